//! Snapshots, and the storages that carry them.

use serde_json::{Value, json};

use crate::guests::options;
use crate::story::{AGENT, NODE, built_in, config, delete, end, post, upid};

#[tokio::test]
async fn snapshots_are_taken_and_listed() {
    let world = built_in().await;
    let agent = world.as_token(AGENT);
    let no = post(&agent, "/lxc/9010/snapshot", &[("snapname", "s1")]).await;
    assert_eq!(
        no.exit, "snapshot feature is not available",
        "a bind mount forbids it"
    );
    let feature = agent
        .get(&format!("{NODE}/lxc/9010/feature?feature=snapshot"))
        .await
        .data();
    assert_eq!(feature, json!({"hasFeature": 0}));
    let wish = [("snapname", "s1"), ("description", "before")];
    let task = post(&agent, "/lxc/9001/snapshot", &wish).await.ok();
    assert_eq!(
        task.log[0],
        "  Logical volume \"snap_vm-9001-disk-0_s1\" created."
    );
    let path = format!("{NODE}/lxc/9001/snapshot");
    let list = agent.get(&path).await.data();
    assert_eq!(
        (&list[0]["name"], &list[0]["description"]),
        (&json!("s1"), &json!("before\n"))
    );
    assert_eq!(
        (&list[1]["name"], &list[1]["parent"]),
        (&json!("current"), &json!("s1"))
    );
    let twice = post(&agent, "/lxc/9001/snapshot", &[("snapname", "s1")]).await;
    assert_eq!(twice.exit, "snapshot name 's1' already used");
    let reserved = agent.post(&path, &[("snapname", "vzdump")]).await;
    reserved.says(500, "unable to use snapshot name 'vzdump' (reserved name)");
}

#[tokio::test]
async fn a_rollback_brings_files_and_options_back() {
    let world = built_in().await;
    let agent = world.as_token(AGENT);
    post(&agent, "/lxc/9001/snapshot", &[("snapname", "s1")])
        .await
        .ok();
    let file = world
        .dir
        .path()
        .join("volumes/vm-9001-disk-0/SENTINEL_ROOTFS");
    std::fs::remove_file(&file).unwrap();
    agent
        .put(&format!("{NODE}/lxc/9001/config"), &[("memory", "1024")])
        .await
        .ok();
    let task = post(&agent, "/lxc/9001/snapshot/s1/rollback", &[])
        .await
        .ok();
    let lines = [
        "  Logical volume \"vm-9001-disk-0\" successfully removed.",
        "  Logical volume \"vm-9001-disk-0\" created.",
        "  Logical volume pve/vm-9001-disk-0 changed.",
        "TASK OK",
    ];
    assert_eq!(task.log, lines);
    assert!(file.exists());
    assert_eq!(config(&agent, 9001).await["memory"], 256);
    let status = agent
        .get(&format!("{NODE}/lxc/9001/status/current"))
        .await
        .data();
    assert_eq!(status["status"], "stopped");
    assert_eq!(
        delete(&agent, "/lxc/9001/snapshot/s9").await.exit,
        "snapshot 's9' does not exist"
    );
    delete(&agent, "/lxc/9001/snapshot/s1").await.ok();
    assert!(config(&agent, 9001).await.get("parent").is_none());
    assert!(
        !world
            .dir
            .path()
            .join("volumes/snap_vm-9001-disk-0_s1")
            .exists()
    );
}

#[tokio::test]
async fn a_volume_grows_and_never_shrinks() {
    let world = built_in().await;
    let agent = world.as_token(AGENT);
    post(&agent, "/lxc", &options("9020", &[])).await.ok();
    let path = format!("{NODE}/lxc/9020/resize");
    let answer = agent
        .put(&path, &[("disk", "rootfs"), ("size", "+256M")])
        .await;
    let task = end(&agent, &upid(&answer)).await.ok();
    let line = "  Size of logical volume pve/vm-9020-disk-0 changed from 1.00 GiB (256 extents) to 1.25 GiB (320 extents).";
    assert_eq!(task.log[0], line);
    assert_eq!(
        config(&agent, 9020).await["rootfs"],
        "local-lvm:vm-9020-disk-0,size=1280M"
    );
    let smaller = agent
        .put(&path, &[("disk", "rootfs"), ("size", "1G")])
        .await;
    smaller.says(500, "unable to shrink disk size");
}

const DIR: [(&str, &str); 4] = [
    ("storage", "felhom-dir"),
    ("type", "dir"),
    ("path", "/var/lib/felhom-dir"),
    ("content", "backup"),
];
const PBS: [(&str, &str); 4] = [
    ("storage", "pbs1"),
    ("type", "pbs"),
    ("server", "192.0.2.7"),
    ("datastore", "x"),
];

#[tokio::test]
async fn storages_are_defined_changed_and_forgotten() {
    let world = built_in().await;
    let agent = world.as_token(AGENT);
    let named = json!({"storage": "felhom-dir", "type": "dir"});
    assert_eq!(agent.post("/storage", &DIR).await.data(), named);
    let again = agent.post("/storage", &DIR).await;
    again.says(
        500,
        "create storage failed: storage ID 'felhom-dir' already defined",
    );
    let changed = agent
        .put("/storage/felhom-dir", &[("content", "backup,iso")])
        .await;
    assert_eq!(changed.data(), named);
    let status = agent
        .get(&format!("{NODE}/storage/felhom-dir/status"))
        .await
        .data();
    assert_eq!(
        (&status["active"], &status["type"]),
        (&json!(1), &json!("dir"))
    );
    assert_eq!(
        agent.delete("/storage/felhom-dir").await.data(),
        Value::Null
    );
    let refused = agent.post("/storage", &PBS).await;
    assert_eq!(refused.status, 500);
    let start = "create storage failed: pbs1: error fetching datastores - ";
    assert!(refused.reason.starts_with(start), "{}", refused.reason);
    let list = agent
        .get(&format!("{NODE}/storage/local-lvm/content"))
        .await
        .data();
    assert_eq!(list[0]["volid"], "local-lvm:vm-9001-disk-0");
    assert!(list[0]["ctime"].is_string());
}
