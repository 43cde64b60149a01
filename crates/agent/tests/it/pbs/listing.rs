//! What lies in a backup on the server, held against the plan: by its directories, which the node lists.

use felhom_agent::exit::Exit;
use serde_json::{Value, json};

use crate::enroll_pbs::Site;

/// 9010 as its backups tell of it: one mount point is in, one is out, and one lies on the node.
const CONFIG: &str = "\
arch: amd64
hostname: demo-guest
mp1: local-lvm:vm-9010-disk-1,mp=/mnt/mp1,backup=1,size=1G
mp2: local-lvm:vm-9010-disk-2,mp=/mnt/mp2,backup=0,size=1G
mp3: /var/lib/bindmount,mp=/mnt/mp3
ostype: debian
rootfs: local-lvm:vm-9010-disk-0,size=2G
unprivileged: 1
";

async fn enrolled() -> Site {
    let site = Site::new().await;
    let ran = site.enroll(&[]).await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
    site
}

/// Puts a backup of 9010 on the server, of this configuration and tree. Its name on the node.
async fn put(site: &Site, time: i64, config: &str, tree: Value) -> String {
    let all = site.bench.root().storage_configs().await.unwrap();
    let offsite = all
        .into_iter()
        .find(|one| one.storage.as_str() == "offsite");
    let order = json!({
        "store": "store", "type": "ct", "id": "9010", "time": time,
        "owner": offsite.unwrap().username.unwrap(),
        "files": { "pct.conf.blob": config }, "tree": tree,
    });
    site.bench
        .world
        .control("pbs-snapshot", order)
        .await
        .unwrap();
    let day = (time - super::FIRST) / 86_400 + 18;
    format!("offsite:backup/ct/9010/2026-11-{day}T23:36:02Z")
}

/// What is said of one mount point.
fn mount<'a>(proofs: &'a Value, key: &str) -> &'a Value {
    let all = proofs.as_array().unwrap();
    let one = all.iter().find(|one| one["planned"]["key"] == key);
    one.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_holds_what_was_planned_mount_point_by_mount_point() {
    let site = enrolled().await;
    for guest in ["9001", "9010"] {
        let ran = site
            .bench
            .run(&["backup", "run", guest, "--storage", "offsite"])
            .await;
        let report = ran.data();
        assert_eq!(report["verdict"], "good", "{}", ran.text());
        assert_eq!(report["unproven"], Value::Null, "{}", ran.text());
        assert_eq!(report["content"]["listed_only"], true, "{report}");
        let proofs = &report["inclusion"];
        let keys: &[(&str, bool)] = match guest {
            "9001" => &[("rootfs", true)],
            _ => &[
                ("rootfs", true),
                ("mp1", true),
                ("mp2", false),
                ("mp3", false),
            ],
        };
        assert_eq!(proofs.as_array().unwrap().len(), keys.len(), "{proofs}");
        for (key, included) in keys {
            let proof = mount(proofs, key);
            assert_eq!(proof["planned"]["included"], json!(included), "{proof}");
            assert_eq!(proof["logged"], json!(included), "{proof}");
            assert_eq!(
                proof["archived"]["members"].as_u64().unwrap() > 0,
                *included,
                "{proof}"
            );
        }
        let volid = report["volid"].as_str().unwrap().to_owned();
        let ran = site.bench.run(&["backup", "proof", &volid]).await;
        assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
        assert_eq!(ran.data()["standing"], "proven", "{}", ran.text());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_from_which_something_is_missing_or_that_holds_too_much_fails() {
    let site = enrolled().await;
    let whole = json!({ "etc/hostname": "guest", "mnt/mp1/data": "1" });
    for (day, key, tree) in [
        (0, None, whole),
        (1, Some("mp1"), json!({ "etc/hostname": "guest" })),
        (
            2,
            Some("mp2"),
            json!({ "etc/hostname": "guest", "mnt/mp1/data": "1", "mnt/mp2/data": "2" }),
        ),
        // There is nothing but the way to the mount points.
        (3, Some("rootfs"), json!({ "mnt/mp1/data": "1" })),
    ] {
        let time = super::FIRST + day * 86_400;
        let volid = put(&site, time, CONFIG, tree).await;
        let ran = site.bench.run(&["backup", "proof", &volid]).await;
        let proof = ran.data();
        let Some(key) = key else {
            // Nothing is wrong with it, but vzdump's word is missing.
            assert_eq!(ran.exit, Exit::Findings, "{day}: {}", ran.text());
            assert_eq!(proof["standing"], "unproven", "{day}: {}", ran.text());
            continue;
        };
        assert_eq!(ran.exit, Exit::VerdictFailed, "{day}: {}", ran.text());
        assert_eq!(proof["standing"], "failed", "{day}: {}", ran.text());
        for one in proof["mounts"].as_array().unwrap() {
            let differs = one["difference"].is_string();
            assert_eq!(differs, one["planned"]["key"] == key, "{day}: {one}");
        }
    }
}

/// Docker's directory is out and the volumes in it are in: the way from the one to the other is nobody's content.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mount_point_below_one_that_stays_out_does_not_accuse_it() {
    let site = enrolled().await;
    let config = CONFIG
        .replace("mp=/mnt/mp2", "mp=/var/lib/docker")
        .replace("mp=/mnt/mp1", "mp=/var/lib/docker/volumes");
    let inner = json!({
        "etc/hostname": "guest", "var/lib/docker/volumes/db/_data/file": "1",
    });
    let volid = put(&site, super::FIRST, &config, inner).await;
    let ran = site.bench.run(&["backup", "proof", &volid]).await;
    assert_eq!(ran.data()["standing"], "unproven", "{}", ran.text());
    let found = ran.data()["content"]["docker_volumes"].clone();
    assert_eq!(found[0]["name"], "db", "{found}");
    let more = json!({
        "etc/hostname": "guest", "var/lib/docker/volumes/db/_data/file": "1",
        "var/lib/docker/engine-id": "2",
    });
    let volid = put(&site, super::SECOND, &config, more).await;
    let ran = site.bench.run(&["backup", "proof", &volid]).await;
    assert_eq!(ran.exit, Exit::VerdictFailed, "{}", ran.text());
    let mounts = &ran.data()["mounts"];
    assert_eq!(mount(mounts, "mp2")["archived"]["members"], 1, "{mounts}");
}

/// More volumes than are listed, of which nobody told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn volumes_that_are_too_many_to_be_listed_leave_the_proof_whole() {
    let site = enrolled().await;
    let mut tree = json!({ "etc/hostname": "guest", "mnt/mp1/data": "1" });
    for number in 0..220 {
        tree[format!("var/lib/docker/volumes/v{number}/_data/file")] = json!("1");
    }
    let volid = put(&site, super::FIRST, CONFIG, tree).await;
    let ran = site.bench.run(&["backup", "proof", &volid]).await;
    assert_eq!(ran.data()["standing"], "unproven", "{}", ran.text());
    let content = &ran.data()["content"];
    let listed = content["docker_volumes"].as_array().unwrap().len();
    assert!((150..220).contains(&listed), "{listed}: {}", ran.text());
    assert_eq!(content["docker_volumes_beyond"], 220 - listed, "{content}");
}
