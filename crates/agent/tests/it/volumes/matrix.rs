//! As measured on a real node: six sentinels, one in every kind of place, through plan, log, archive and restore.

use std::collections::BTreeSet;

use felhom_agent::exit::Exit;
use serde_json::{Value, json};

use crate::support::*;

/// Where a sentinel was planted, and what becomes of it.
struct Sentinel {
    name: &'static str,
    /// What is asked about it: a mount point's key, or a volume's name.
    about: &'static str,
    /// Its path inside the guest.
    path: &'static str,
    /// Whether a backup holds it.
    held: bool,
}

/// As a real node showed it (stop mode, archive of 9010, restored as another guest). `SENTINEL_MP3` came back there because
/// root restored it and the same directory of the host was bound again; a token restores no bind mount.
const SENTINELS: [Sentinel; 6] = [
    Sentinel {
        name: "SENTINEL_ROOTFS",
        about: "rootfs",
        path: "/SENTINEL_ROOTFS",
        held: true,
    },
    Sentinel {
        name: "SENTINEL_DOCKERVOL",
        about: "b2vol",
        path: "/var/lib/docker/volumes/b2vol/_data/SENTINEL_DOCKERVOL",
        held: true,
    },
    Sentinel {
        name: "SENTINEL_MP1",
        about: "mp1",
        path: "/mnt/mp1/SENTINEL_MP1",
        held: true,
    },
    Sentinel {
        name: "SENTINEL_MP2",
        about: "mp2",
        path: "/mnt/mp2/SENTINEL_MP2",
        held: false,
    },
    Sentinel {
        name: "SENTINEL_MP3",
        about: "mp3",
        path: "/mnt/mp3/SENTINEL_MP3",
        held: false,
    },
    Sentinel {
        name: "SENTINEL_BULK",
        about: "bulkvol",
        path: "/mnt/mp2/SENTINEL_BULK",
        held: false,
    },
];

/// What Docker inside 9010 prints of its two volumes.
fn report() -> String {
    let volume = |name: &str, options: Value| {
        json!({
            "CreatedAt": "2026-06-08T10:00:00Z", "Driver": "local", "Labels": null, "Name": name, "Scope": "local",
            "Mountpoint": format!("/var/lib/docker/volumes/{name}/_data"), "Options": options,
        })
    };
    let bound = json!({ "type": "none", "o": "bind", "device": "/mnt/mp2" });
    json!([volume("b2vol", Value::Null), volume("bulkvol", bound)]).to_string()
}

/// Members of an archive by their paths inside the guest.
fn members(bench: &Bench, volid: &str) -> BTreeSet<String> {
    let file = volid.rsplit('/').next().unwrap();
    let config = felhom_agent::config::load(&bench.config).unwrap();
    let file = std::fs::File::open(config.archives[0].path.join(file)).unwrap();
    let mut archive = tar::Archive::new(zstd::Decoder::new(file).unwrap());
    let paths = archive.entries().unwrap().map(|entry| {
        let path = entry
            .unwrap()
            .path()
            .unwrap()
            .to_string_lossy()
            .into_owned();
        format!("/{}", path.trim_start_matches("./"))
    });
    paths.collect()
}

/// Plan and log of what a sentinel is about, from the proof's document.
fn planned_and_logged(proof: &Value, about: &str) -> (Value, Value) {
    let mounts = proof["mounts"].as_array().unwrap().iter();
    let volumes = proof["volumes"].as_array().unwrap().iter();
    let row = mounts
        .chain(volumes)
        .find(|row| {
            row["planned"]["key"] == about && row["planned"]["name"].is_null()
                || row["planned"]["name"] == about
        })
        .unwrap_or_else(|| panic!("no row about {about}: {proof:#}"));
    assert_eq!(row["difference"], Value::Null, "{about}");
    (row["planned"]["included"].clone(), row["logged"].clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn six_sentinels_go_through_plan_log_archive_and_restore_as_on_a_real_node() {
    let bench = Bench::new().await;
    let file = bench.state_dir().parent().unwrap().join("docker.json");
    std::fs::write(&file, report()).unwrap();
    let import = ["volumes", "import", "9010", file.to_str().unwrap()];
    bench.run(&import).await;
    let found = bench
        .world
        .control("guest-files", json!({ "vmid": 9010, "list": "/" }))
        .await
        .unwrap();
    let sown: BTreeSet<String> = serde_json::from_value(found["files"].clone()).unwrap();

    let backed = bench
        .run(&["backup", "run", "9010", "--mode", "stop"])
        .await;
    assert_eq!(backed.exit, Exit::Findings, "{}", backed.text());
    assert_eq!(backed.data()["verdict"], "good", "{}", backed.text());
    let volid = backed.data()["volid"].as_str().unwrap().to_owned();
    let proven = bench.run(&["backup", "proof", &volid]).await;
    assert_eq!(proven.exit, Exit::Done, "{}", proven.text());
    let proof = proven.data();
    assert_eq!(proof["standing"], "proven");
    let archived = members(&bench, &volid);

    let restore = [
        "restore",
        "run",
        &volid,
        "--to",
        "9020",
        "--identity",
        "fresh",
    ];
    let restored = bench.run(&restore).await;
    assert_eq!(restored.exit, Exit::Done, "{}", restored.text());
    let back = bench
        .world
        .control("guest-files", json!({ "vmid": 9020, "list": "/" }))
        .await
        .unwrap();
    let back: BTreeSet<String> = serde_json::from_value(back["files"].clone()).unwrap();

    for sentinel in &SENTINELS {
        let name = sentinel.name;
        assert!(sown.contains(sentinel.path), "{name} was planted");
        let (planned, logged) = planned_and_logged(&proof, sentinel.about);
        assert_eq!(planned, sentinel.held, "{name} by plan");
        assert_eq!(logged, sentinel.held, "{name} by vzdump's log");
        assert_eq!(
            archived.contains(sentinel.path),
            sentinel.held,
            "{name} in the archive"
        );
        assert_eq!(
            back.contains(sentinel.path),
            sentinel.held,
            "{name} in the restored guest"
        );
    }
}
