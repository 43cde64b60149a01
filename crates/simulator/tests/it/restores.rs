//! Restores: both ways, by whom, what is kept, what is left when they fail.

use std::time::Duration;

use felhom_simulator::{Fault, FaultKind};
use serde_json::{Value, json};

use crate::client::{Client, World};
use crate::story::{AGENT, NODE, ROOT_TOKEN, Task, backup, built_in, config, end, post, upid};

async fn restore(client: &Client, vmid: &str, archive: &str, more: &[(&str, &str)]) -> Task {
    let mut params = vec![
        ("vmid", vmid),
        ("ostemplate", archive),
        ("restore", "1"),
        ("storage", "local-lvm"),
    ];
    params.extend(more);
    post(client, "/lxc", &params).await
}

fn at(task: &str, kind: FaultKind) -> Fault {
    Fault {
        method: None,
        path: None,
        task: Some(task.into()),
        id: None,
        count: Some(1),
        skip: 0,
        kind,
    }
}

fn guest(world: &World, vmid: &str) -> Value {
    world.running.state()["world"]["guests"][vmid].clone()
}

/// Volumes of a guest, by name.
fn volumes(world: &World, owner: u32) -> Vec<String> {
    let state = world.running.state();
    let volumes = state["world"]["volumes"].as_object().unwrap();
    volumes
        .iter()
        .filter(|(_, volume)| volume["owner"] == owner)
        .map(|(id, _)| id.clone())
        .collect()
}

#[tokio::test]
async fn storage_only_restore_keeps_everything_and_logs_what_pve_logs() {
    let world = built_in().await;
    let agent = world.as_token(AGENT);
    let archive = backup(&agent, 9001, &[]).await;
    let task = restore(&agent, "9030", &archive, &[]).await.ok();
    let cut = |line: &String| {
        let start = ["Filesystem UUID: ", "Total bytes read: "]
            .into_iter()
            .find(|start| line.starts_with(start));
        start.map_or_else(|| line.clone(), ToOwned::to_owned)
    };
    let file = archive.trim_start_matches("local:backup/");
    let expected = [
        format!("recovering backed-up configuration from '{archive}'"),
        "  Logical volume \"vm-9030-disk-0\" created.".into(),
        "  Logical volume pve/vm-9030-disk-0 changed.".into(),
        "Creating filesystem with 524288 4k blocks and 131072 inodes".into(),
        "Filesystem UUID: ".into(),
        "Superblock backups stored on blocks: ".into(),
        "\t32768, 98304, 163840, 229376, 294912".into(),
        format!("restoring '{archive}' now.."),
        format!("extracting archive '/var/lib/vz/dump/{file}'"),
        "Total bytes read: ".into(),
        "merging backed-up and given configuration..".into(),
        "TASK OK".into(),
    ];
    assert_eq!(task.log.iter().map(cut).collect::<Vec<_>>(), expected);
    let (mut old, mut new) = (config(&agent, 9001).await, config(&agent, 9030).await);
    assert_eq!(new["rootfs"], "local-lvm:vm-9030-disk-0,size=2G");
    for config in [&mut old, &mut new] {
        config
            .as_object_mut()
            .unwrap()
            .retain(|key, _| key != "rootfs" && key != "digest");
    }
    assert_eq!(old, new);
    let tree = world.dir.path().join("volumes/vm-9030-disk-0");
    assert!(
        tree.join("var/lib/docker/volumes/pgdata/_data/SENTINEL_PGDATA")
            .exists()
    );
    assert!(!tree.join("tmp/scratch").exists());
}

#[tokio::test]
async fn no_token_gets_a_bind_mount_back() {
    let world = built_in().await;
    let (agent, root) = (world.as_token(AGENT), world.root().await);
    let archive = backup(&agent, 9010, &[]).await;
    let text =
        "unable to restore CT 9036 - restoring 'mp3' to bind mount is only possible for root";
    for who in [&agent, &world.as_token(ROOT_TOKEN)] {
        let task = restore(who, "9036", &archive, &[]).await;
        assert_eq!((task.exit.as_str(), task.log.len()), (text, 2));
        let gone = agent.get(&format!("{NODE}/lxc/9036/config")).await;
        gone.says(
            500,
            "Configuration file 'nodes/demo-felhom/lxc/9036.conf' does not exist",
        );
    }
    restore(&root, "9039", &archive, &[]).await.ok();
    let new = config(&agent, 9039).await;
    assert_eq!(new["mp3"], "/var/lib/bindmount,mp=/mnt/mp3");
    assert_eq!(
        new["mp2"],
        "local-lvm:vm-9039-disk-2,mp=/mnt/mp2,backup=0,size=1G"
    );
    let excluded = world.dir.path().join("volumes/vm-9039-disk-2");
    assert_eq!(
        std::fs::read_dir(excluded).unwrap().count(),
        0,
        "it comes back empty"
    );
}

#[tokio::test]
async fn explicit_mounts_leave_out_what_a_token_cannot_have() {
    let world = built_in().await;
    let agent = world.as_token(AGENT);
    let archive = backup(&agent, 9010, &[]).await;
    let both = [
        ("rootfs", "local-lvm:2"),
        ("mp1", "local-lvm:1,mp=/mnt/mp1,backup=1"),
    ];
    restore(&agent, "9037", &archive, &both).await.ok();
    let new = config(&agent, 9037).await;
    assert!(new.get("mp2").is_none() && new.get("mp3").is_none());
    assert_eq!(
        new["mp1"],
        "local-lvm:vm-9037-disk-1,mp=/mnt/mp1,backup=1,size=1G"
    );
    let there = |path: &str| world.dir.path().join("volumes").join(path).exists();
    assert!(there("vm-9037-disk-1/SENTINEL_MP1") && there("vm-9037-disk-0/SENTINEL_ROOTFS"));
    restore(&agent, "9038", &archive, &[("rootfs", "local-lvm:2")])
        .await
        .ok();
    assert!(
        there("vm-9038-disk-0/mnt/mp1/SENTINEL_MP1"),
        "its files land in the root file system"
    );
}

#[tokio::test]
async fn until_the_end_there_is_nothing_but_a_stub() {
    let world = built_in().await;
    let agent = world.as_token(AGENT);
    let archive = backup(&agent, 9001, &[]).await;
    world
        .running
        .inject(at("vzrestore:config", FaultKind::TaskStall));
    let params = [
        ("vmid", "9100"),
        ("ostemplate", archive.as_str()),
        ("restore", "1"),
        ("storage", "local-lvm"),
        ("pool", "felhom-scratch"),
        ("description", "mark"),
    ];
    let job = upid(&agent.post(&format!("{NODE}/lxc"), &params).await);
    for _ in 0..400 {
        let log = agent
            .get(&format!(
                "{NODE}/tasks/{}/log?limit=0",
                job.replace(':', "%3A")
            ))
            .await
            .data();
        if log.to_string().contains("merging backed-up") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let stub = guest(&world, "9100");
    assert_eq!(
        (&stub["config"], &stub["pool"]),
        (&json!("lock: create\n"), &json!(null))
    );
    assert_eq!(volumes(&world, 9100), ["local-lvm:vm-9100-disk-0"]);
    agent
        .delete(&format!("{NODE}/lxc/9100"))
        .await
        .says(500, "CT is locked (create)");
    let again = agent.post(&format!("{NODE}/lxc"), &params).await;
    again.says(500, "CT 9100 already exists on node 'demo-felhom'");
    // Stopped, the task takes away what it made.
    agent
        .delete(&format!("{NODE}/tasks/{}", job.replace(':', "%3A")))
        .await
        .ok();
    let task = end(&agent, &job).await;
    assert_eq!(task.exit, "unable to restore CT 9100 - received interrupt");
    assert_eq!(guest(&world, "9100"), Value::Null);
    assert!(volumes(&world, 9100).is_empty());
}

#[tokio::test]
async fn a_power_cut_leaves_the_stub() {
    let world = built_in().await;
    let agent = world.as_token(AGENT);
    let archive = backup(&agent, 9001, &[]).await;
    world
        .running
        .inject(at("vzrestore:extract", FaultKind::TaskStall));
    let params = [
        ("vmid", "9100"),
        ("ostemplate", archive.as_str()),
        ("restore", "1"),
        ("storage", "local-lvm"),
    ];
    let job = upid(&agent.post(&format!("{NODE}/lxc"), &params).await);
    for _ in 0..400 {
        if !volumes(&world, 9100).is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    world.running.power_cut(Duration::from_secs(30)).await;
    assert_eq!(end(&agent, &job).await.exit, "unexpected status");
    assert_eq!(guest(&world, "9100")["config"], "lock: create\n");
    agent
        .delete(&format!("{NODE}/lxc/9100"))
        .await
        .says(500, "CT is locked (create)");
    for _ in 0..400 {
        if guest(&world, "9001")["status"] == "running" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("guests with onboot start again");
}

#[tokio::test]
async fn a_broken_archive_fails_as_tar_fails() {
    let world = built_in().await;
    let agent = world.as_token(AGENT);
    for truncate in [false, true] {
        let archive = backup(&agent, 9001, &[]).await;
        world
            .running
            .control(
                "corrupt-archive",
                json!({"volid": archive, "truncate": truncate}),
            )
            .await
            .unwrap();
        let task = restore(&agent, "9100", &archive, &[]).await;
        assert!(
            task.exit
                .starts_with("unable to restore CT 9100 - command 'lxc-usernsexec"),
            "{}",
            task.exit
        );
        assert!(task.exit.ends_with("failed: exit code 2"), "{}", task.exit);
        assert!(volumes(&world, 9100).is_empty());
        assert_eq!(guest(&world, "9100"), Value::Null);
    }
}

const FEATURES: &str = "Permission check failed (changing feature flags for privileged container is only allowed for root@pam)";
const OLD: &str = "local:backup/vzdump-lxc-9020-2020_01_01-00_00_00.tar.zst";

type Refusal = (&'static [(&'static str, &'static str)], u16, &'static str);

const REFUSALS: [Refusal; 5] = [
    (
        &[("vmid", "9032"), ("storage", "nope")],
        500,
        "storage 'nope' does not exist",
    ),
    (
        &[("vmid", "9001"), ("storage", "local-lvm")],
        500,
        "CT 9001 already exists on node 'demo-felhom'",
    ),
    (
        &[("vmid", "9000"), ("storage", "local-lvm")],
        500,
        "VM 9000 already exists on node 'demo-felhom'",
    ),
    (
        &[
            ("vmid", "9032"),
            ("storage", "local-lvm"),
            ("features", "nesting=1,keyctl=1"),
        ],
        403,
        FEATURES,
    ),
    (
        &[
            ("vmid", "9032"),
            ("storage", "local-lvm"),
            ("mp0", "local-lvm:1,mp=/x"),
        ],
        500,
        "mount points configured, but 'rootfs' not set - aborting",
    ),
];

#[tokio::test]
async fn refusals_come_in_pves_words() {
    let world = built_in().await;
    let agent = world.as_token(AGENT);
    let archive = backup(&agent, 9001, &[]).await;
    let path = format!("{NODE}/lxc");
    for (params, status, text) in REFUSALS {
        let mut params = params.to_vec();
        params.extend([("ostemplate", archive.as_str()), ("restore", "1")]);
        agent.post(&path, &params).await.says(status, text);
    }
    let bare = [
        ("vmid", "9032"),
        ("ostemplate", archive.as_str()),
        ("restore", "1"),
    ];
    let errors = agent.post(&path, &bare).await.json()["errors"].clone();
    assert_eq!(
        errors,
        json!({"storage": "storage 'local' does not support container directories"})
    );
    let task = restore(&agent, "9029", OLD, &[]).await;
    assert_eq!(
        task.exit,
        format!("unable to restore CT 9029 - volume '{OLD}' does not exist")
    );
}

#[tokio::test]
async fn unique_and_raw_options() {
    let world = built_in().await;
    let (agent, root) = (world.as_token(AGENT), world.root().await);
    let poke = json!({"vmid": 9001, "raw": [["lxc.mount.entry", "/x x none bind 0 0"]], "set": {"hookscript": "local:snippets/h.pl"}});
    world.running.control("poke-guest", poke).await.unwrap();
    let archive = backup(&agent, 9001, &[]).await;
    let given = [("unique", "1"), ("net0", "name=eth9,bridge=vmbr9")];
    let task = restore(&agent, "9100", &archive, &given).await;
    assert_eq!(task.exit, "WARNINGS: 1");
    assert!(
        task.has("WARN: skipping custom lxc options, restore manually as root:"),
        "{:#?}",
        task.log
    );
    let new = config(&agent, 9100).await;
    assert!(new.get("lxc").is_none());
    assert_eq!(
        new["hookscript"], "local:snippets/h.pl",
        "hook scripts survive also for tokens"
    );
    let net = new["net0"].as_str().unwrap();
    assert!(
        net.starts_with("name=eth0,bridge=vmbr0,hwaddr=BC:24:11:")
            && !net.contains("BC:24:11:BC:99:47"),
        "{net}"
    );
    restore(&root, "9101", &archive, &[]).await.ok();
    assert_eq!(
        config(&root, 9101).await["lxc"],
        json!([["lxc.mount.entry", "/x x none bind 0 0"]])
    );
}

#[tokio::test]
async fn force_replaces_a_stopped_guest() {
    let world = built_in().await;
    let agent = world.as_token(AGENT);
    let archive = backup(&agent, 9001, &[]).await;
    let path = format!("{NODE}/lxc");
    let params = [
        ("vmid", "9001"),
        ("ostemplate", archive.as_str()),
        ("restore", "1"),
        ("storage", "local-lvm"),
        ("force", "1"),
    ];
    agent
        .post(&path, &params)
        .await
        .says(500, "can't overwrite running container");
    post(&agent, "/lxc/9001/status/stop", &[]).await.ok();
    let task = restore(&agent, "9001", &archive, &[("force", "1")])
        .await
        .ok();
    assert!(
        task.has("  Logical volume \"vm-9001-disk-0\" successfully removed."),
        "{:#?}",
        task.log
    );
    assert_eq!(
        config(&agent, 9001).await["rootfs"],
        "local-lvm:vm-9001-disk-1,size=2G"
    );
    post(&agent, "/lxc/9001/status/start", &[]).await.ok();
}

#[tokio::test]
async fn a_pool_filled_by_somebody_else_stops_the_restore_and_hurts_production() {
    let world = built_in().await;
    let agent = world.as_token(AGENT);
    let archive = backup(&agent, 9001, &[]).await;
    let lvm = async || agent.get(&format!("{NODE}/disks/lvmthin")).await.data()[0].clone();
    let before = lvm().await;
    world.running.inject(at(
        "vzrestore:extract",
        FaultKind::TaskDelay { seconds: 60.0 },
    ));
    let params = [
        ("vmid", "9100"),
        ("ostemplate", archive.as_str()),
        ("restore", "1"),
        ("storage", "local-lvm"),
    ];
    let job = upid(&agent.post(&format!("{NODE}/lxc"), &params).await);
    while volumes(&world, 9100).is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let fill = json!({"bytes": 40_u64 << 30, "rate": 8_u64 << 30});
    world.running.control("fill-pool", fill).await.unwrap();
    let task = end(&agent, &job).await;
    assert!(task.exit.ends_with("failed: exit code 2"), "{}", task.exit);
    assert!(
        task.has("tar: .: Cannot write: Input/output error"),
        "{:#?}",
        task.log
    );
    assert!(volumes(&world, 9100).is_empty());
    let after = lvm().await;
    assert!(before["used"].as_u64() < after["used"].as_u64());
    assert!(after["used"].as_u64().unwrap() * 100 > after["lv_size"].as_u64().unwrap() * 99);
    let failures = world.running.state()["world"]["production_write_failures"]
        .as_u64()
        .unwrap();
    assert!(failures > 0);
}
