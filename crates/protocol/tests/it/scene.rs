//! What `tests/scene.sh` makes on an engine, as a report has to tell it: asked of the recording and of a live engine alike.

use std::collections::BTreeMap;

use felhom_protocol::volumes::{Container, Source, Volume, VolumeReport};

pub(crate) fn volume<'a>(report: &'a VolumeReport, name: &str) -> &'a Volume {
    let found = report.volumes.iter().find(|volume| volume.name == name);
    found.unwrap_or_else(|| panic!("no volume `{name}`"))
}

pub(crate) fn container<'a>(report: &'a VolumeReport, name: &str) -> &'a Container {
    let found = report.containers.iter().find(|one| one.name == name);
    found.unwrap_or_else(|| panic!("no container `{name}`"))
}

/// Destination → what is mounted, and whether it is read-only. The name of an anonymous volume is another each time.
fn mounts(report: &VolumeReport, name: &str) -> BTreeMap<String, (Source, bool)> {
    let mounts = &container(report, name).mounts;
    let told = mounts.iter().map(|mount| {
        let source = match &mount.source {
            Source::Volume { name } if volume(report, name).anonymous => source("anonymous"),
            other => other.clone(),
        };
        (mount.destination.clone(), (source, mount.read_only))
    });
    told.collect()
}

fn source(name: &str) -> Source {
    Source::Volume { name: name.into() }
}

fn texts<const N: usize>(entries: [(&str, &str); N]) -> BTreeMap<String, String> {
    let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    entries.into_iter().map(owned).collect()
}

/// The whole scene, whose bind mounts lie below `srv`.
pub(crate) fn assert_told(report: &VolumeReport, srv: &str) {
    let root = &report.engine.as_ref().unwrap().data_root;
    volumes(report, srv);
    for volume in &report.volumes {
        let expected = format!("{root}/volumes/{}/_data", volume.name);
        assert_eq!(volume.mountpoint, expected);
        assert_eq!(volume.driver, "local");
        assert!(volume.described, "{}", volume.name);
    }
    containers(report);
    mounted(report, srv);
}

fn volumes(report: &VolumeReport, srv: &str) {
    let named: Vec<_> = report
        .volumes
        .iter()
        .filter(|volume| !volume.anonymous)
        .map(|volume| volume.name.as_str())
        .collect();
    assert_eq!(
        named,
        [
            "a-Very_odd.NAME-0",
            "bound",
            "bound-ro",
            "bulk.media",
            "in-memory",
            "on-cifs",
            "on-mp2",
            "on-nfs",
            "paperless_data",
            "paperless_db",
            "unused"
        ]
    );
    let none = BTreeMap::new();
    assert_eq!(volume(report, "unused").options, none);
    let bound = texts([
        ("device", &format!("{srv}/plain")),
        ("o", "bind"),
        ("type", "none"),
    ]);
    assert_eq!(volume(report, "bound").options, bound);
    let read_only = texts([
        ("device", &format!("{srv}/odd ones/ä b")),
        ("o", "bind,ro"),
        ("type", "none"),
    ]);
    assert_eq!(volume(report, "bound-ro").options, read_only);
    assert_eq!(volume(report, "on-mp2").options["device"], "/mnt/mp2/media");
    assert_eq!(volume(report, "in-memory").options["type"], "tmpfs");
    let nfs = texts([
        ("device", ":/export/media"),
        ("o", "addr=192.0.2.7,rw,nfsvers=4"),
        ("type", "nfs"),
    ]);
    assert_eq!(volume(report, "on-nfs").options, nfs);
    let cifs = "username=felhom,password=[redacted],vers=3.0";
    assert_eq!(volume(report, "on-cifs").options["o"], cifs);
    let labels = texts([("api_token", "[redacted]"), ("felhom.class", "bulk")]);
    assert_eq!(volume(report, "bulk.media").labels, labels);
    assert_eq!(
        volume(report, "paperless_db").labels["com.docker.compose.volume"],
        "db"
    );
    // Counted by the engine; it does not count volumes with options.
    assert_eq!(volume(report, "paperless_db").size, Some(1_500_000));
    assert_eq!(volume(report, "unused").size, Some(0));
    assert_eq!(volume(report, "on-nfs").size, None);
}

fn containers(report: &VolumeReport) {
    for (name, state, running, restart) in [
        ("docker-in-docker", "created", false, "no"),
        ("ended", "exited", false, "no"),
        ("inside", "created", false, "no"),
        ("nested", "running", true, "on-failure"),
        ("options", "running", true, "no"),
        ("paperless-db-1", "running", true, "unless-stopped"),
        ("paperless-webserver-1", "running", true, "always"),
        ("paused", "paused", true, "no"),
        ("remote", "created", false, "no"),
    ] {
        let told = container(report, name);
        let seen = (
            told.state.as_str(),
            told.running,
            told.restart_policy.as_str(),
        );
        assert_eq!(seen, (state, running, restart), "{name}");
        assert_eq!(told.image, "felhom-scene:1");
        assert_eq!(told.labels["org.example.image"], "[redacted]");
        assert_eq!(told.id.len(), 64);
    }
    let db = container(report, "paperless-db-1");
    assert_eq!(db.project.as_deref(), Some("paperless"));
    assert_eq!(db.service.as_deref(), Some("db"));
    assert_eq!(container(report, "ended").project, None);
    let proxy = &container(report, "docker-in-docker").labels;
    assert_eq!(
        proxy["traefik.http.middlewares.a.basicauth.users"],
        "[redacted]"
    );
}

fn mounted(report: &VolumeReport, srv: &str) {
    let bind = |path: String| Source::Bind { path };
    let below = |path: &str| bind(format!("{srv}/{path}"));
    let anonymous = || ("/anonymous", (source("anonymous"), false));
    for (name, expected) in [
        (
            "paperless-db-1",
            vec![("/var/lib/postgresql/data", (source("paperless_db"), false))],
        ),
        (
            "paperless-webserver-1",
            vec![
                ("/usr/src/paperless/data", (source("paperless_data"), false)),
                (
                    "/usr/src/paperless/media",
                    (below("paperless/media"), false),
                ),
                (
                    "/usr/src/paperless/media/inner",
                    (below("paperless/media/inner"), true),
                ),
            ],
        ),
        (
            "nested",
            vec![
                ("/data", (source("a-Very_odd.NAME-0"), false)),
                ("/data/media", (source("bulk.media"), true)),
                ("/data/cache", (Source::Tmpfs, false)),
                ("/run", (Source::Tmpfs, false)),
                ("/etc/settings.ini", (below("settings.ini"), true)),
            ],
        ),
        (
            "options",
            vec![
                ("/bound", (source("bound"), false)),
                ("/bound-ro", (source("bound-ro"), false)),
                ("/memory", (source("in-memory"), false)),
            ],
        ),
        ("ended", vec![("/from", (source("paperless_data"), true))]),
        (
            "remote",
            vec![
                ("/nfs", (source("on-nfs"), false)),
                ("/cifs", (source("on-cifs"), false)),
                ("/mp2", (source("on-mp2"), false)),
            ],
        ),
        (
            "docker-in-docker",
            vec![
                (
                    "/var/run/docker.sock",
                    (bind("/var/run/docker.sock".to_owned()), false),
                ),
                ("/odd", (below("odd ones/ä b"), false)),
            ],
        ),
    ] {
        let expected = expected.into_iter().chain([anonymous()]);
        let expected: BTreeMap<_, _> = expected
            .map(|(path, mount)| (path.to_owned(), mount))
            .collect();
        assert_eq!(mounts(report, name), expected, "{name}");
    }
    let root = &report.engine.as_ref().unwrap().data_root;
    let inside = bind(format!("{root}/volumes/paperless_data/_data/consume"));
    assert_eq!(mounts(report, "inside")["/consume"], (inside, false));
    // From another container, read-only, its anonymous volume too.
    let paused = mounts(report, "paused");
    assert_eq!(
        paused["/var/lib/postgresql/data"],
        (source("paperless_db"), true)
    );
    assert_eq!(paused["/anonymous"], (source("anonymous"), true));
}
