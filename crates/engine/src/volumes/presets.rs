//! What well-known images keep where.
//!
//! A preset may say *hot* generously: too much in a backup costs space. It may say *bulk* only of what a program makes again by
//! itself from what it still has: caches, thumbnails, transcodes, downloaded models. What people put in is never bulk by preset.
//! Sources are the images' own documentation of their volumes.

use super::class::VolumeClass;
use super::place::below;

/// What one directory of one image is.
pub(super) struct Preset {
    /// Repository of the image, without registry, tag and digest.
    pub(super) image: &'static str,
    /// Where the image has it.
    path: &'static str,
    pub(super) class: VolumeClass,
    pub(super) why: &'static str,
}

const fn hot(image: &'static str, path: &'static str, why: &'static str) -> Preset {
    Preset {
        image,
        path,
        class: VolumeClass::Hot,
        why,
    }
}

const fn bulk(image: &'static str, path: &'static str, why: &'static str) -> Preset {
    Preset {
        image,
        path,
        class: VolumeClass::Bulk,
        why,
    }
}

const DATABASE: &str = "a database";
const STATE: &str = "the program's own state and settings";
const FILES: &str = "people's files";

/// More exact paths of an image come before those above them.
const PRESETS: &[Preset] = &[
    hot("postgres", "/var/lib/postgresql", DATABASE),
    hot("postgis/postgis", "/var/lib/postgresql", DATABASE),
    hot("pgvector/pgvector", "/var/lib/postgresql", DATABASE),
    hot("immich-app/postgres", "/var/lib/postgresql", DATABASE),
    hot("tensorchord/pgvecto-rs", "/var/lib/postgresql", DATABASE),
    hot("timescale/timescaledb", "/var/lib/postgresql", DATABASE),
    hot("mysql", "/var/lib/mysql", DATABASE),
    hot("mariadb", "/var/lib/mysql", DATABASE),
    hot("linuxserver/mariadb", "/config", DATABASE),
    hot("mongo", "/data/db", DATABASE),
    hot("mongo", "/data/configdb", DATABASE),
    hot("couchdb", "/opt/couchdb/data", DATABASE),
    hot("redis", "/data", DATABASE),
    hot("valkey/valkey", "/data", DATABASE),
    hot("influxdb", "/var/lib/influxdb", DATABASE),
    hot("influxdb", "/var/lib/influxdb2", DATABASE),
    hot("influxdb", "/etc/influxdb2", STATE),
    hot("prom/prometheus", "/prometheus", DATABASE),
    hot(
        "victoriametrics/victoria-metrics",
        "/victoria-metrics-data",
        DATABASE,
    ),
    hot("grafana/grafana", "/var/lib/grafana", STATE),
    hot("grafana/loki", "/loki", DATABASE),
    hot("elasticsearch", "/usr/share/elasticsearch/data", DATABASE),
    hot("getmeili/meilisearch", "/meili_data", DATABASE),
    hot("vaultwarden/server", "/data", DATABASE),
    hot("nextcloud", "/var/www/html", FILES),
    hot("owncloud/ocis", "/var/lib/ocis", FILES),
    hot("seafileltd/seafile-mc", "/shared", FILES),
    hot("syncthing/syncthing", "/var/syncthing", FILES),
    hot("filebrowser/filebrowser", "/srv", FILES),
    hot(
        "paperless-ngx/paperless-ngx",
        "/usr/src/paperless/data",
        DATABASE,
    ),
    hot(
        "paperless-ngx/paperless-ngx",
        "/usr/src/paperless/media",
        FILES,
    ),
    hot(
        "paperless-ngx/paperless-ngx",
        "/usr/src/paperless/consume",
        FILES,
    ),
    hot(
        "paperless-ngx/paperless-ngx",
        "/usr/src/paperless/export",
        FILES,
    ),
    bulk(
        "immich-app/immich-server",
        "/usr/src/app/upload/thumbs",
        "thumbnails, made again from the originals by a job",
    ),
    bulk(
        "immich-app/immich-server",
        "/usr/src/app/upload/encoded-video",
        "transcodes, made again from the originals by a job",
    ),
    bulk(
        "immich-app/immich-server",
        "/data/thumbs",
        "thumbnails, made again from the originals by a job",
    ),
    bulk(
        "immich-app/immich-server",
        "/data/encoded-video",
        "transcodes, made again from the originals by a job",
    ),
    hot("immich-app/immich-server", "/usr/src/app/upload", FILES),
    hot("immich-app/immich-server", "/data", FILES),
    bulk(
        "immich-app/immich-machine-learning",
        "/cache",
        "models, downloaded again at the next start",
    ),
    bulk(
        "photoprism/photoprism",
        "/photoprism/storage/cache",
        "thumbnails, made again from the originals",
    ),
    hot("photoprism/photoprism", "/photoprism/storage", STATE),
    hot("photoprism/photoprism", "/photoprism/originals", FILES),
    hot("photoprism/photoprism", "/photoprism/import", FILES),
    bulk(
        "jellyfin/jellyfin",
        "/cache",
        "transcodes and resized pictures, made again on demand",
    ),
    hot("jellyfin/jellyfin", "/config", STATE),
    bulk(
        "linuxserver/jellyfin",
        "/config/cache",
        "transcodes and resized pictures, made again on demand",
    ),
    hot("linuxserver/jellyfin", "/config", STATE),
    bulk(
        "plexinc/pms-docker",
        "/transcode",
        "transcodes of what is being watched",
    ),
    hot("plexinc/pms-docker", "/config", STATE),
    bulk(
        "linuxserver/plex",
        "/transcode",
        "transcodes of what is being watched",
    ),
    hot("linuxserver/plex", "/config", STATE),
    hot("emby/embyserver", "/config", STATE),
    hot("linuxserver/sonarr", "/config", STATE),
    hot("linuxserver/radarr", "/config", STATE),
    hot("linuxserver/lidarr", "/config", STATE),
    hot("linuxserver/prowlarr", "/config", STATE),
    hot("linuxserver/qbittorrent", "/config", STATE),
    hot("blakeblackshear/frigate", "/config", STATE),
    hot("home-assistant/home-assistant", "/config", STATE),
    hot("homeassistant/home-assistant", "/config", STATE),
    hot("eclipse-mosquitto", "/mosquitto/data", STATE),
    hot("eclipse-mosquitto", "/mosquitto/config", STATE),
    hot("koenkk/zigbee2mqtt", "/app/data", STATE),
    hot("nodered/node-red", "/data", STATE),
    hot("esphome/esphome", "/config", STATE),
    hot("louislam/uptime-kuma", "/app/data", DATABASE),
    hot("gitea/gitea", "/data", FILES),
    hot("forgejo/forgejo", "/data", FILES),
    hot("gitlab/gitlab-ce", "/var/opt/gitlab", FILES),
    hot("gitlab/gitlab-ce", "/etc/gitlab", STATE),
    hot("wordpress", "/var/www/html", FILES),
    hot("ghost", "/var/lib/ghost/content", FILES),
    hot("linuxserver/bookstack", "/config", FILES),
    hot("requarks/wiki", "/wiki/data", FILES),
    hot("n8nio/n8n", "/home/node/.n8n", DATABASE),
    hot("portainer/portainer-ce", "/data", STATE),
    hot("jc21/nginx-proxy-manager", "/data", STATE),
    hot("jc21/nginx-proxy-manager", "/etc/letsencrypt", STATE),
    hot("traefik", "/letsencrypt", STATE),
    hot("caddy", "/data", STATE),
    hot("caddy", "/config", STATE),
    hot("adguard/adguardhome", "/opt/adguardhome/conf", STATE),
    hot("adguard/adguardhome", "/opt/adguardhome/work", STATE),
    hot("pihole/pihole", "/etc/pihole", STATE),
    hot("pihole/pihole", "/etc/dnsmasq.d", STATE),
    hot("linuxserver/unifi-network-application", "/config", STATE),
    hot("minio/minio", "/data", FILES),
    bulk(
        "ubuntu/squid",
        "/var/spool/squid",
        "a proxy's cache, filled again by use",
    ),
    bulk(
        "sameersbn/squid",
        "/var/spool/squid",
        "a proxy's cache, filled again by use",
    ),
    bulk(
        "sameersbn/apt-cacher-ng",
        "/var/cache/apt-cacher-ng",
        "a proxy's cache, filled again by use",
    ),
    bulk(
        "moby/buildkit",
        "/var/lib/buildkit",
        "a build cache, filled again by use",
    ),
];

/// The preset for what a container of this image mounts at this path.
pub(super) fn find(image: &str, destination: &str) -> Option<&'static Preset> {
    let repository = repository(image);
    PRESETS
        .iter()
        .filter(|preset| is_repository(repository, preset.image))
        .find(|preset| match preset.class {
            VolumeClass::Bulk => below(destination, preset.path).is_some(),
            // A mount above the directory holds it as well; one at the very top could hold anything.
            VolumeClass::Hot => {
                below(destination, preset.path).is_some()
                    || (destination != "/" && below(preset.path, destination).is_some())
            }
        })
}

/// `registry.example:5000/group/name:tag@sha256:…` without tag and digest.
fn repository(image: &str) -> &str {
    let image = image.split_once('@').map_or(image, |(name, _)| name);
    let last = image.rfind('/').map_or(0, |slash| slash + 1);
    match image.get(last..).and_then(|name| name.find(':')) {
        Some(colon) => image.get(..last + colon).unwrap_or(image),
        None => image,
    }
}

/// Whether the repository is that one, at whichever registry; `library/` is what Docker Hub calls its own images.
fn is_repository(repository: &str, wanted: &str) -> bool {
    let Some(rest) = repository.strip_suffix(wanted) else {
        return false;
    };
    let registry = rest.strip_suffix("library/").unwrap_or(rest);
    registry.is_empty()
        || registry.strip_suffix('/').is_some_and(|host| {
            !host.contains('/') && (host.contains(['.', ':']) || host == "localhost")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(image: &str, destination: &str) -> Option<VolumeClass> {
        find(image, destination).map(|preset| preset.class)
    }

    #[test]
    fn an_image_is_known_at_every_registry_and_in_every_version() {
        for image in [
            "postgres",
            "postgres:17",
            "docker.io/library/postgres:17-alpine",
            "registry.example:5000/postgres@sha256:00",
        ] {
            assert_eq!(
                class(image, "/var/lib/postgresql/data"),
                Some(VolumeClass::Hot),
                "{image}"
            );
        }
        for image in [
            "somebody/postgres",
            "mypostgres",
            "postgres/else",
            "sha256:00",
        ] {
            assert_eq!(class(image, "/var/lib/postgresql/data"), None, "{image}");
        }
    }

    #[test]
    fn thumbnails_are_bulk_and_what_holds_them_with_the_originals_is_not() {
        let image = "ghcr.io/immich-app/immich-server:release";
        assert_eq!(
            class(image, "/usr/src/app/upload/thumbs"),
            Some(VolumeClass::Bulk)
        );
        assert_eq!(class(image, "/usr/src/app/upload"), Some(VolumeClass::Hot));
        assert_eq!(class(image, "/usr/src/app"), Some(VolumeClass::Hot));
        assert_eq!(class(image, "/"), None);
        assert_eq!(class(image, "/mnt/external-library"), None);
    }

    #[test]
    fn bulk_by_preset_is_only_what_a_program_makes_again_by_itself() {
        // Each was held against its image's documentation: what lies there is derived from what lies elsewhere. Whoever adds
        // one answers for it here.
        let answered_for = [
            ("immich-app/immich-server", "/usr/src/app/upload/thumbs"),
            (
                "immich-app/immich-server",
                "/usr/src/app/upload/encoded-video",
            ),
            ("immich-app/immich-server", "/data/thumbs"),
            ("immich-app/immich-server", "/data/encoded-video"),
            ("immich-app/immich-machine-learning", "/cache"),
            ("photoprism/photoprism", "/photoprism/storage/cache"),
            ("jellyfin/jellyfin", "/cache"),
            ("linuxserver/jellyfin", "/config/cache"),
            ("plexinc/pms-docker", "/transcode"),
            ("linuxserver/plex", "/transcode"),
            ("ubuntu/squid", "/var/spool/squid"),
            ("sameersbn/squid", "/var/spool/squid"),
            ("sameersbn/apt-cacher-ng", "/var/cache/apt-cacher-ng"),
            ("moby/buildkit", "/var/lib/buildkit"),
        ];
        let bulk = || {
            PRESETS
                .iter()
                .filter(|preset| preset.class == VolumeClass::Bulk)
        };
        let all: Vec<_> = bulk().map(|preset| (preset.image, preset.path)).collect();
        assert_eq!(all, answered_for);
        for preset in bulk() {
            let files = [FILES, STATE, DATABASE];
            assert!(
                !files.contains(&preset.why),
                "{} {}",
                preset.image,
                preset.path
            );
            // A bulk directory of an image must not hold one that is hot.
            let holds_hot = PRESETS.iter().any(|other| {
                other.image == preset.image
                    && other.class == VolumeClass::Hot
                    && below(other.path, preset.path).is_some()
            });
            assert!(!holds_hot, "{} {}", preset.image, preset.path);
        }
    }

    #[test]
    fn an_exact_preset_stands_before_the_one_above_it() {
        for (place, preset) in PRESETS.iter().enumerate() {
            let hidden = PRESETS.iter().take(place).any(|earlier| {
                earlier.image == preset.image && below(preset.path, earlier.path).is_some()
            });
            assert!(!hidden, "{} {}", preset.image, preset.path);
        }
    }
}
