//! Golden containers, scratch guests that are stripped, and what a power cut left of a restore.

use felhom_host::{Code, Operation};
use felhom_simulator::{Fault, FaultKind};
use serde_json::{Value, json};

use super::*;
use crate::client::Client;
use crate::guests::options;
use crate::story::{AGENT, NODE, ROOT_TOKEN, TEST, backup, config, post, upid};

const TEMPLATE: &str = "local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst";

fn golden(vmid: u32, template: &str) -> Operation {
    let request =
        json!({ "operation": "create-golden-container", "vmid": vmid, "template": template });
    serde_json::from_value(request).unwrap()
}

fn strip(vmid: u32) -> Operation {
    serde_json::from_value(json!({ "operation": "strip-scratch-guest", "vmid": vmid })).unwrap()
}

fn release(vmid: u32, upid: &str) -> Operation {
    let request = json!({ "operation": "release-unfinished-restore", "vmid": vmid, "upid": upid });
    serde_json::from_value(request).unwrap()
}

#[tokio::test]
async fn a_golden_container_has_what_no_token_may_give_and_a_restore_keeps_it() {
    let world = built_in().await;
    let Report::Golden(made) = ask(&world, golden(9900, TEMPLATE)).await.unwrap() else {
        panic!("no golden container");
    };
    assert!(!made.existed);
    assert!(made.features.contains("keyctl=1") && made.features.contains("nesting=1"));
    let root = world.as_token(ROOT_TOKEN);
    let written = config(&root, 9900).await;
    assert_eq!(written["unprivileged"], 1);
    assert_eq!(written["description"], "felhom: golden container 9900\n");
    assert_eq!(written["hostname"], "felhom-golden");
    let Report::Golden(again) = ask(&world, golden(9900, TEMPLATE)).await.unwrap() else {
        panic!("no golden container");
    };
    assert!(again.existed);
    let agent = world.as_token(AGENT);
    let volid = backup(&agent, 9900, &[]).await;
    let order = options(
        "9101",
        &[
            ("ostemplate", &volid),
            ("restore", "1"),
            ("storage", "local-lvm"),
            ("hostname", "fresh"),
            ("unique", "1"),
        ],
    );
    post(&agent, "/lxc", &order).await.ok();
    assert_eq!(config(&root, 9101).await["features"], made.features);
}

#[tokio::test]
async fn golden_containers_are_made_where_and_from_what_root_allows() {
    let world = built_in().await;
    let outside = ask(&world, golden(9001, TEMPLATE)).await;
    refused(outside, Code::OutsideRange, "9900-9909");
    let none = "local:vztmpl/none.tar.zst";
    refused(
        ask(&world, golden(9900, none)).await,
        Code::Failed,
        "does not exist",
    );
    let elsewhere = "usb:vztmpl/none.tar.zst";
    refused(
        ask(&world, golden(9900, elsewhere)).await,
        Code::NotConfigured,
        "`usb`",
    );
    let root = world.as_token(ROOT_TOKEN);
    let order = options(
        "9901",
        &[("ostemplate", TEMPLATE), ("storage", "local-lvm")],
    );
    post(&root, "/lxc", &order).await.ok();
    refused(
        ask(&world, golden(9901, TEMPLATE)).await,
        Code::Exists,
        "no golden",
    );
    control(
        &world,
        "host-config",
        json!({ "golden": null, "scratch": null }),
    )
    .await;
    refused(
        ask(&world, golden(9900, TEMPLATE)).await,
        Code::NotConfigured,
        "[golden]",
    );
    refused(
        ask(&world, strip(9100)).await,
        Code::NotConfigured,
        "[scratch]",
    );
}

/// Pool membership is what root's configuration says; two requests at a time for one container are one too many.
#[tokio::test]
async fn a_golden_container_goes_into_the_pool_and_its_making_can_fail() {
    let world = built_in().await;
    let rules = json!({ "golden": {
        "vmids": [9900, 9909], "templates": ["local"], "storage": "local-lvm", "pool": "felhom-scratch",
    } });
    control(&world, "host-config", rules).await;
    let text = "lvcreate failed".to_owned();
    world
        .running
        .inject(Fault::task("vzcreate", FaultKind::TaskFail { text }));
    refused(
        ask(&world, golden(9902, TEMPLATE)).await,
        Code::Failed,
        "lvcreate failed",
    );
    assert!(!world.running.guests().contains(&9902));
    world
        .running
        .inject(Fault::task("vzcreate", FaultKind::TaskHold));
    let socket = world.running.host_socket();
    let first = tokio::task::spawn_blocking(move || {
        Connection::new(socket, Duration::from_secs(20)).ask(&golden(9902, TEMPLATE))
    });
    while world.running.held_answers() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    refused(
        ask(&world, golden(9902, TEMPLATE)).await,
        Code::Busy,
        "has not ended",
    );
    world.running.release();
    first.await.unwrap().unwrap().unwrap();
    let state = world.running.state();
    assert_eq!(state["world"]["guests"]["9902"]["pool"], "felhom-scratch");
}

/// A restore of 9001 to 9100 by the restore test's token, as far as it comes.
async fn restore(world: &World, more: &[(&str, &str)]) -> String {
    let volid = backup(&world.as_token(AGENT), 9001, &[]).await;
    let mut order = vec![
        ("vmid", "9100"),
        ("ostemplate", volid.as_str()),
        ("restore", "1"),
        ("pool", "felhom-scratch"),
        ("rootfs", "local-lvm:2"),
        ("net0", "name=eth0,bridge=vmbr9,link_down=1"),
    ];
    order.extend(more);
    let answer = world
        .as_token(TEST)
        .post(&format!("{NODE}/lxc"), &order)
        .await;
    upid(&answer)
}

/// Cut off by a power cut: the stub stays, locked.
async fn cut(world: &World) -> String {
    world
        .running
        .inject(Fault::task("vzrestore:extract", FaultKind::TaskHold));
    let task = restore(world, &[]).await;
    while world.running.held_answers() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let running = ask(world, release(9100, &task)).await;
    refused(running, Code::Busy, "still runs");
    world.running.power_cut(Duration::from_secs(30)).await;
    task
}

fn stub(world: &World) -> Value {
    world.running.state()["world"]["guests"]["9100"].clone()
}

async fn destroy(client: &Client, more: &str) -> u16 {
    client
        .delete(&format!("{NODE}/lxc/9100{more}"))
        .await
        .status
}

#[tokio::test]
async fn what_a_power_cut_left_of_a_restore_is_released_and_destroyed() {
    let world = built_in().await;
    let task = cut(&world).await;
    assert_eq!(stub(&world)["config"], "lock: create\n");
    let agent = world.as_token(AGENT);
    assert_eq!(destroy(&agent, "").await, 500);
    let Report::Released {
        lock, unmounted, ..
    } = ask(&world, release(9100, &task)).await.unwrap()
    else {
        panic!("not released");
    };
    assert_eq!((lock.as_deref(), unmounted.len()), (Some("create"), 0));
    assert_eq!(stub(&world)["config"], "");
    let Report::Released { lock, .. } = ask(&world, release(9100, &task)).await.unwrap() else {
        panic!("not released");
    };
    assert_eq!(lock, None);
    let left = |world: &World| {
        let volumes = world.running.state()["world"]["volumes"].clone();
        volumes
            .as_object()
            .unwrap()
            .keys()
            .filter(|id| id.contains("vm-9100"))
            .count()
    };
    assert_eq!(left(&world), 1);
    crate::story::delete(&agent, "/lxc/9100?destroy-unreferenced-disks=1")
        .await
        .ok();
    assert_eq!(left(&world), 0);
    assert!(!world.running.guests().contains(&9100));
    let gone = ask(&world, release(9100, &task)).await;
    refused(gone, Code::NotFound, "no guest 9100");
}

#[tokio::test]
async fn nothing_is_released_that_is_not_proven() {
    let world = built_in().await;
    let task = cut(&world).await;
    refused(
        ask(&world, release(9001, &task)).await,
        Code::OutsideRange,
        "9100-9199",
    );
    refused(
        ask(&world, release(9101, &task)).await,
        Code::NotProven,
        "not one on 9101",
    );
    let other = task.replace("felhom-test@pve!restore-test", "felhom-ctl@pve!ctl");
    refused(
        ask(&world, release(9100, &other)).await,
        Code::NotProven,
        "felhom-ctl",
    );
    let elsewhere = task.replace("demo-felhom", "elsewhere");
    refused(
        ask(&world, release(9100, &elsewhere)).await,
        Code::NotProven,
        "ran on elsewhere",
    );
    let kind = task.replace("vzrestore", "vzdump");
    refused(
        ask(&world, release(9100, &kind)).await,
        Code::NotProven,
        "leaves nothing",
    );
    assert_eq!(stub(&world)["lock"], "create");
}

/// The journal of whoever asks proves nothing: root looks at the configuration, the processes and the tasks.
#[tokio::test]
async fn what_somebody_went_on_with_is_not_released() {
    let world = built_in().await;
    let task = cut(&world).await;
    let later = json!({ "vmid": 9100, "set": { "hostname": "somebodys" } });
    control(&world, "poke-guest", later).await;
    refused(
        ask(&world, release(9100, &task)).await,
        Code::NotProven,
        "holds more",
    );
    let back = json!({ "vmid": 9100, "delete": ["hostname"], "running": true });
    control(&world, "poke-guest", back).await;
    refused(ask(&world, release(9100, &task)).await, Code::InUse, "runs");
    control(
        &world,
        "poke-guest",
        json!({ "vmid": 9100, "running": false }),
    )
    .await;
    // A task of somebody else's came after it.
    let stopped = world
        .as_token(AGENT)
        .post(&format!("{NODE}/lxc/9100/status/start"), &[])
        .await;
    crate::story::end(&world.as_token(ROOT_TOKEN), &upid(&stopped)).await;
    refused(
        ask(&world, release(9100, &task)).await,
        Code::NotProven,
        "is another one",
    );
    assert_eq!(stub(&world)["lock"], "create");
}

#[tokio::test]
async fn a_scratch_guest_loses_what_would_act_on_the_host() {
    let world = built_in().await;
    let inst = "0".repeat(32);
    let job = "0123456789abcdef";
    let mark = format!("felhom-mark:v1:{inst}:{job}:9100");
    let task = restore(&world, &[("description", &mark)]).await;
    let agent = world.as_token(AGENT);
    crate::story::end(&agent, &task).await.ok();
    let Report::Stripped { keys, .. } = ask(&world, strip(9100)).await.unwrap() else {
        panic!("not stripped");
    };
    assert!(keys.is_empty());
    let bad = json!({ "vmid": 9100, "set": { "hookscript": "local:snippets/x.pl", "dev0": "/dev/kvm" },
        "raw": [["lxc.mount.entry", "/ mnt none bind"]] });
    control(&world, "poke-guest", bad).await;
    let Report::Stripped { keys, .. } = ask(&world, strip(9100)).await.unwrap() else {
        panic!("not stripped");
    };
    assert_eq!(
        keys,
        [
            "dev0: /dev/kvm",
            "hookscript: local:snippets/x.pl",
            "lxc.mount.entry: / mnt none bind",
        ]
    );
    let left = config(&agent, 9100).await;
    assert!(
        left.get("hookscript").is_none() && left.get("dev0").is_none() && left.get("lxc").is_none()
    );
    control(
        &world,
        "poke-guest",
        json!({ "vmid": 9100, "running": true }),
    )
    .await;
    refused(ask(&world, strip(9100)).await, Code::InUse, "runs");
    let foreign = json!({ "vmid": 9100, "running": false, "set": { "description": "mine" } });
    control(&world, "poke-guest", foreign).await;
    refused(ask(&world, strip(9100)).await, Code::NotProven, "mark");
    let of_another =
        json!({ "vmid": 9100, "set": { "description": mark.replace(":9100", ":9101") } });
    control(&world, "poke-guest", of_another).await;
    refused(ask(&world, strip(9100)).await, Code::NotProven, "mark");
    refused(ask(&world, strip(9101)).await, Code::NotFound, "9101");
    refused(
        ask(&world, strip(9001)).await,
        Code::OutsideRange,
        "9100-9199",
    );
    let locked = json!({ "vmid": 9100, "set": { "description": mark, "lock": "backup" } });
    control(&world, "poke-guest", locked).await;
    refused(ask(&world, strip(9100)).await, Code::NotProven, "locked");
}
