//! Storages on targets: what PVE says when the disk is not there, is pulled in the middle, takes no data or is full. Derived
//! from pve-storage `DirPlugin.pm` and `Plugin.pm` (`activate_storage`), pve-manager `VZDump.pm`.

use felhom_host::{Code, Standing};
use felhom_simulator::{Fault, FaultKind};
use serde_json::json;

use super::*;
use crate::client::Client;
use crate::story::{NODE, ROOT_TOKEN, Task, end, post, upid};

const POINT: &str = "/mnt/felhom/usb1";

async fn define(root: &Client, id: &str, path: &str, more: &[(&str, &str)]) -> u16 {
    let mut form = vec![
        ("storage", id),
        ("type", "dir"),
        ("path", path),
        ("content", "backup"),
    ];
    form.extend(more);
    root.post("/storage", &form).await.status
}

/// A world with the storage `usb1` on the adopted disk.
async fn stored() -> (World, Client) {
    let world = adopted().await;
    let root = world.as_token(ROOT_TOKEN);
    let more = [("is_mountpoint", "yes"), ("prune-backups", "keep-all=1")];
    assert_eq!(define(&root, "usb1", POINT, &more).await, 200);
    (world, root)
}

async fn active(root: &Client, id: &str) -> i64 {
    let status = root
        .get(&format!("{NODE}/storage/{id}/status"))
        .await
        .data();
    status["active"].as_i64().unwrap()
}

async fn archives(root: &Client) -> usize {
    let list = root
        .get(&format!("{NODE}/storage/usb1/content?content=backup"))
        .await;
    list.data().as_array().unwrap().len()
}

const JOB: [(&str, &str); 3] = [("vmid", "9001"), ("storage", "usb1"), ("compress", "zstd")];

async fn back_up(root: &Client) -> Task {
    post(root, "/vzdump", &JOB).await
}

#[track_caller]
fn failed(task: &Task, says: &str) {
    assert_ne!(task.exit, "OK");
    let said = task.log.iter().any(|line| line.contains(says));
    assert!(said, "{says}: {:#?}", task.log);
}

#[tokio::test]
async fn what_lies_on_a_storage_goes_and_comes_with_its_disk() {
    let (world, root) = stored().await;
    assert_eq!(active(&root, "usb1").await, 1);
    back_up(&root).await.ok();
    assert_eq!(archives(&root).await, 1);
    let shown = root
        .get(&format!("{NODE}/storage/usb1/status"))
        .await
        .data();
    assert_eq!(shown["total"], json!(1_u64 << 40));
    assert!(shown["used"].as_u64().unwrap() > 0);
    control(&world, "disk-detach", json!({ "id": "usb1" })).await;
    assert_eq!(active(&root, "usb1").await, 0);
    let list = root.get(&format!("{NODE}/storage/usb1/content")).await;
    let text = "unable to activate storage 'usb1' - directory is expected to be a mount point but is not mounted: '/mnt/felhom/usb1'";
    assert!(list.reason.contains(text), "{}", list.reason);
    let refused = root.post(&format!("{NODE}/vzdump"), &JOB).await;
    if refused.status == 200 {
        failed(&end(&root, &upid(&refused)).await, text);
    } else {
        assert!(refused.reason.contains(text), "{}", refused.reason);
    }
    // It comes back, and is not mounted by itself.
    control(&world, "disk-attach", json!({ "id": "usb1" })).await;
    assert_eq!(active(&root, "usb1").await, 0);
    target(&world, "mount-usb").await;
    assert_eq!((active(&root, "usb1").await, archives(&root).await), (1, 1));
    let volid = root
        .get(&format!("{NODE}/storage/usb1/content"))
        .await
        .data()[0]["volid"]
        .clone();
    let restored = [
        ("vmid", "9150"),
        ("ostemplate", volid.as_str().unwrap()),
        ("restore", "1"),
        ("storage", "local-lvm"),
        ("rootfs", "local-lvm:2"),
    ];
    post(&root, "/lxc", &restored).await.ok();
}

/// PVE makes its directories on whatever is below; the bare mount point lets nobody.
#[tokio::test]
async fn without_is_mountpoint_only_the_fence_keeps_backups_off_the_root_disk() {
    let (world, root) = stored().await;
    let loose = root.put("/storage/usb1", &[("is_mountpoint", "no")]).await;
    assert_eq!(loose.status, 200);
    target(&world, "unmount-usb").await;
    assert_eq!(active(&root, "usb1").await, 0);
    let list = root.get(&format!("{NODE}/storage/usb1/content")).await;
    let text = "failed to create content directory '/mnt/felhom/usb1/dump' for content 'backup' - Operation not permitted";
    assert!(list.reason.contains(text), "{}", list.reason);
    // A directory of which root knows nothing is made, and fills the root disk: that is the trap.
    assert_eq!(define(&root, "loose", "/mnt/felhom/other", &[]).await, 200);
    let params = [("vmid", "9001"), ("storage", "loose"), ("compress", "zstd")];
    post(&root, "/vzdump", &params).await.ok();
    let strict = [("is_mountpoint", "1")];
    assert_eq!(
        define(&root, "strict", "/mnt/felhom/none", &strict).await,
        500
    );
    // A mount point above the directory may be named.
    let above = [("is_mountpoint", POINT)];
    assert_eq!(
        define(&root, "below", "/mnt/felhom/usb1/pve", &above).await,
        500
    );
    target(&world, "mount-usb").await;
    assert_eq!(
        define(&root, "below", "/mnt/felhom/usb1/pve", &above).await,
        200
    );
    let own = [("is_mountpoint", "yes")];
    assert_eq!(
        define(&root, "never", "/mnt/felhom/usb1/sub", &own).await,
        500
    );
}

#[tokio::test]
async fn a_disk_pulled_in_the_middle_of_a_backup_fails_it_and_leaves_no_archive() {
    let (world, root) = stored().await;
    world
        .running
        .inject(Fault::task("vzdump:archive", FaultKind::TaskHold));
    let begun = upid(&root.post(&format!("{NODE}/vzdump"), &JOB).await);
    while world.running.held_answers() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let busy = ask(&world, on("unmount-usb", &json!({}))).await;
    refused(busy, Code::InUse, "zstd");
    control(&world, "disk-detach", json!({ "id": "usb1" })).await;
    // Somebody holds it: it is still mounted, and dead.
    let dead = root
        .get(&format!("{NODE}/storage/usb1/status"))
        .await
        .data();
    assert_eq!(
        (&dead["active"], &dead["total"]),
        (&json!(1), &json!(1_u64 << 40))
    );
    assert_eq!(look(&world).await.standing, Standing::Detached);
    assert_eq!(archives(&root).await, 0);
    world.running.release();
    let task = end(&root, &begun).await;
    failed(
        &task,
        "zstd: error 70 : Write error : cannot write block : Input/output error",
    );
    failed(&task, "failed: exit code 70");
    assert_eq!(task.exit, "job errors");
    assert_eq!(active(&root, "usb1").await, 0);
    let state = world.running.state();
    assert!(state["world"]["guests"]["9001"]["lock"].is_null());
    control(&world, "disk-attach", json!({ "id": "usb1" })).await;
    target(&world, "mount-usb").await;
    // What was half written stayed on the disk; it is no archive.
    assert_eq!(archives(&root).await, 0);
    back_up(&root).await.ok();
}

#[tokio::test]
async fn a_full_or_read_only_disk_fails_a_backup_in_its_own_words() {
    let (world, root) = stored().await;
    control(&world, "disk-fill", json!({ "id": "usb1" })).await;
    failed(&back_up(&root).await, "No space left on device");
    control(&world, "disk-fill", json!({ "id": "usb1", "bytes": 0 })).await;
    control(&world, "disk-read-only", json!({ "id": "usb1" })).await;
    failed(
        &back_up(&root).await,
        "unable to create temporary directory '/mnt/felhom/usb1/dump/vzdump-lxc-9001-",
    );
    assert_eq!(archives(&root).await, 0);
    control(&world, "disk-format", json!({ "id": "usb1", "uuid": UUID })).await;
    let list = root.get(&format!("{NODE}/storage/usb1/content")).await;
    assert!(
        list.reason.contains("Read-only file system - ensure that"),
        "{}",
        list.reason
    );
}

#[tokio::test]
async fn after_a_power_cut_records_are_there_and_nothing_is_mounted() {
    let (world, root) = stored().await;
    back_up(&root).await.ok();
    world.running.power_cut(Duration::from_secs(20)).await;
    assert_eq!(look(&world).await.standing, Standing::Present);
    assert_eq!(active(&root, "usb1").await, 0);
    target(&world, "mount-usb").await;
    assert_eq!(archives(&root).await, 1);
}

/// A restart of the simulator is no boot of the host.
#[tokio::test]
async fn a_world_that_is_started_again_knows_its_targets() {
    let (world, root) = stored().await;
    back_up(&root).await.ok();
    drop(root);
    let World { running, dir } = world;
    running.stop().await.unwrap();
    let options = felhom_simulator::Options::new(dir.path());
    let running = felhom_simulator::Simulator::start(options).await.unwrap();
    let world = World { running, dir };
    assert_eq!(look(&world).await.standing, Standing::Mounted);
    assert_eq!(archives(&world.as_token(ROOT_TOKEN)).await, 1);
}
