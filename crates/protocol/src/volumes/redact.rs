//! What must not be written down: passwords that the options of a volume carry, and secrets in labels.

use std::collections::BTreeMap;

use super::VolumeReport;

const REDACTED: &str = "[redacted]";

/// Labels whose values are told: ours and compose's own, by which volumes are classed and grouped, and what images say of
/// themselves. People keep passwords and tokens under names of their own choice (`caddy.basic_auth`, `homepage.widget.key`,
/// headers of a proxy), so that no list of bad names could be whole.
const TOLD_LABELS: [&str; 3] = [
    "felhom.",
    "com.docker.compose.",
    "org.opencontainers.image.",
];

/// Values that no secret has.
const PLAIN_VALUES: [&str; 7] = ["", "true", "false", "yes", "no", "0", "1"];

/// Options of volumes that are told: those of the `local` driver (moby, `volume/local`), and where plug-ins keep their bytes.
const TOLD_OPTIONS: [&str; 12] = [
    "type",
    "o",
    "device",
    "sshcmd",
    "share",
    "mountpoint",
    "path",
    "host",
    "port",
    "size",
    "uid",
    "gid",
];

/// Mount options whose values are told (mount(8), nfs(5), mount.cifs(8), tmpfs(5), overlay). Those without a value always are.
const TOLD_MOUNT_OPTIONS: [&str; 35] = [
    "acdirmax",
    "acdirmin",
    "acregmax",
    "acregmin",
    "actimeo",
    "addr",
    "cache",
    "clientaddr",
    "dir_mode",
    "domain",
    "file_mode",
    "gid",
    "iocharset",
    "ip",
    "local_lock",
    "lookupcache",
    "mode",
    "mountport",
    "mountproto",
    "mountvers",
    "nfsvers",
    "nr_inodes",
    "port",
    "proto",
    "retrans",
    "rsize",
    "sec",
    "size",
    "timeo",
    "uid",
    "user",
    "username",
    "vers",
    "workgroup",
    "wsize",
];

/// Takes out of a report what may be a secret. A second time changes nothing.
pub(super) fn redact(report: &mut VolumeReport) {
    for volume in &mut report.volumes {
        options(&mut volume.options);
        labels(&mut volume.labels);
    }
    for container in &mut report.containers {
        labels(&mut container.labels);
    }
}

fn labels(all: &mut BTreeMap<String, String>) {
    for (key, value) in all {
        let is_told = TOLD_LABELS.iter().any(|prefix| key.starts_with(prefix));
        if !is_told && !PLAIN_VALUES.contains(&value.as_str()) {
            REDACTED.clone_into(value);
        }
    }
}

fn options(all: &mut BTreeMap<String, String>) {
    for (key, value) in all {
        if TOLD_OPTIONS.contains(&key.as_str()) {
            *value = mount_options(value);
        } else if !PLAIN_VALUES.contains(&value.as_str()) {
            REDACTED.clone_into(value);
        }
    }
}

/// `username=me,password=x` without the password, `//me:x@host/share` without it too.
fn mount_options(value: &str) -> String {
    let told = value.split(',').map(|option| match option.split_once('=') {
        Some((key, value)) if !is_told(key) && !value.is_empty() => format!("{key}={REDACTED}"),
        _ => option.to_owned(),
    });
    address(&told.collect::<Vec<_>>().join(","))
}

/// What has a slash, such as `/mnt/a=b`, is a path and no option.
fn is_told(key: &str) -> bool {
    let key = key.trim().to_ascii_lowercase();
    key.contains('/') || TOLD_MOUNT_OPTIONS.contains(&key.as_str())
}

/// A password stands between the first colon behind `//` and an `@`. It may hold slashes and `@` itself, so all is taken out
/// up to the last one, be it part of a path.
fn address(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("//") else {
        return text.to_owned();
    };
    let Some((user, host)) = rest.rsplit_once('@') else {
        return text.to_owned();
    };
    match user.split_once(':') {
        Some((user, _)) => format!("{scheme}//{user}:{REDACTED}@{host}"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(change: fn(&mut BTreeMap<String, String>), key: &str, value: &str) -> String {
        let mut all = BTreeMap::from([(key.to_owned(), value.to_owned())]);
        change(&mut all);
        let once = all[key].clone();
        change(&mut all);
        assert_eq!(all[key], once, "a second time changes nothing");
        once
    }

    #[test]
    fn passwords_in_options_go_and_what_decides_stays() {
        for (key, before, after) in [
            (
                "o",
                "username=me,password=x,vers=3.0",
                "username=me,password=[redacted],vers=3.0",
            ),
            ("o", "addr=192.0.2.7,rw", "addr=192.0.2.7,rw"),
            (
                "o",
                "PASS=x,pw=y,credentials=/etc/x",
                "PASS=[redacted],pw=[redacted],credentials=[redacted]",
            ),
            ("o", "password=", "password="),
            ("device", ":/export/media", ":/export/media"),
            ("device", "/mnt/a=b", "/mnt/a=b"),
            ("device", "//host/share", "//host/share"),
            ("device", "//host/share@home", "//host/share@home"),
            (
                "device",
                "https://me:p@ss@host/x",
                "https://me:[redacted]@host/x",
            ),
            (
                "device",
                "https://me:p/w@s@host/x",
                "https://me:[redacted]@host/x",
            ),
            ("device", "https://me:x@host/y@z", "https://me:[redacted]@z"),
            ("sshcmd", "me@host:/path", "me@host:/path"),
            ("Password", "x", "[redacted]"),
            ("accountkey", "x", "[redacted]"),
        ] {
            assert_eq!(told(options, key, before), after, "{key}={before}");
        }
    }

    #[test]
    fn labels_of_others_are_not_written_down() {
        for (key, before, after) in [
            ("felhom.class", "bulk", "bulk"),
            ("com.docker.compose.project", "cloud", "cloud"),
            (
                "traefik.http.middlewares.x.basicauth.users",
                "me:$apr1$x",
                "[redacted]",
            ),
            ("homepage.widget.key", "x", "[redacted]"),
            (
                "traefik.x.customrequestheaders.Authorization",
                "Basic eA==",
                "[redacted]",
            ),
            ("caddy.basic_auth.bob", "$2a$x", "[redacted]"),
            ("private_key", "x", "[redacted]"),
            ("traefik.enable", "true", "true"),
            ("com.docker.volume.anonymous", "", ""),
        ] {
            assert_eq!(told(labels, key, before), after, "{key}={before}");
        }
    }
}
