//! What is told of the host: its node, disks, updates and sensors, each by itself.

use felhom_agent::fence::Fence;
use felhom_agent::observe::host;
use felhom_agent::{config, observe::host::Host};
use felhom_engine::Principal;
use felhom_protocol::host::{Disk, DiskHealth, Unknown};
use felhom_simulator::{Fault, FaultKind};
use serde_json::json;

use crate::helper::Helper;
use crate::support::*;

const HOST: &str = "\n[host]\nsocket = \"hostd.sock\"\n";

async fn bench() -> Bench {
    Bench::with(&format!("{FAST}{HOST}"), None).await
}

async fn look(bench: &Bench) -> Host {
    let config = config::load(&bench.config).unwrap();
    let performer = bench.performer();
    let pve = performer.remotes().of(Principal::Agent);
    let kept = host::Kept::default();
    host::look(pve, &config.node, &Fence::new(&config), kept).await
}

fn disk<'a>(host: &'a Host, device: &str) -> &'a Disk {
    let mut disks = host.disks.iter();
    disks.find(|disk| disk.device == device).unwrap()
}

fn silent(host: &Host) -> Vec<&str> {
    host.unknown.iter().map(|one| one.what.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_told_of_a_box_that_answers() {
    let bench = bench().await;
    let _helper = Helper::listen(&bench.directory.path().join("box/hostd.sock"));
    for (device, kind, health, left, celsius) in [
        ("/dev/nvme0n1", "nvme", "PASSED", json!(-3), 44),
        ("/dev/sdb", "ssd", "FAILED!", json!(12), 38),
        ("/dev/sdc", "hdd", "PASSED", json!(null), 29),
    ] {
        let order = json!({
            "device": device, "type": kind, "model": "DISK", "size": 1_u64 << 40, "health": health, "left": left,
            "celsius": celsius,
        });
        bench.world.control("put-disk", order).await.unwrap();
    }
    let order = json!({ "package": "pve-manager", "version": "9.2.12" });
    bench.world.control("put-update", order).await.unwrap();
    let order = json!({ "package": "lvm2", "version": "2.03.99" });
    bench.world.control("put-update", order).await.unwrap();

    let seen = look(&bench).await;
    assert_eq!(seen.unknown, []);
    let node = &seen.node;
    assert_eq!(node.pve_version.as_deref(), Some("9.2.11"));
    assert!(node.kernel.as_deref().unwrap().starts_with('6'), "{node:?}");
    assert_eq!((node.load.len(), node.cpus), (3, Some(4)));
    assert!(node.memory.unwrap().total > node.memory.unwrap().used);
    assert!(node.swap.is_some() && node.root.is_some() && node.uptime_s.is_some());
    let updates = node.updates.as_ref().unwrap();
    assert_eq!(updates.packages, 2);
    assert_eq!(updates.pve_manager.as_deref(), Some("9.2.12"));
    assert_eq!(seen.thin_pools[0].name, "pve/data");
    assert!(seen.thin_pools[0].metadata.total > 0);
    assert_eq!(seen.temperatures[0].chip, "coretemp");

    let told = |device| {
        let disk = disk(&seen, device);
        (disk.health, disk.worn_percent, disk.celsius)
    };
    assert_eq!(told("/dev/sda"), (DiskHealth::Passed, None, Some(31)));
    assert_eq!(told("/dev/vdb"), (DiskHealth::Unknown, None, None));
    assert_eq!(
        told("/dev/nvme0n1"),
        (DiskHealth::Passed, Some(103), Some(44))
    );
    assert_eq!(told("/dev/sdb"), (DiskHealth::Failed, Some(88), Some(38)));
    assert_eq!(told("/dev/sdc"), (DiskHealth::Passed, None, Some(29)));
    assert_eq!(disk(&seen, "/dev/vdb").model, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_silent_part_is_named_and_hides_no_other() {
    let parts = [
        ("/nodes/*/status", "node"),
        ("/nodes/*/disks/list", "disks"),
        ("/nodes/*/disks/smart", "disk /dev/sda"),
        ("/nodes/*/disks/lvmthin", "thin pools"),
        ("/nodes/*/apt/versions", "updates"),
    ];
    let bench = bench().await;
    let _helper = Helper::listen(&bench.directory.path().join("box/hostd.sock"));
    for (path, what) in parts {
        for kind in [FaultKind::Stall, FaultKind::Garbage] {
            bench
                .world
                .control("clear-faults", json!({}))
                .await
                .unwrap();
            let mut fault = Fault::request("GET", path, kind.clone());
            fault.count = None;
            bench.world.inject(fault);
            let seen = look(&bench).await;
            assert_eq!(silent(&seen), [what], "{path} {kind:?}");
            let Unknown { why, .. } = &seen.unknown[0];
            assert!(!why.is_empty());
            let gone = [
                ("node", seen.node.uptime_s.is_none()),
                ("disks", seen.disks.is_empty()),
                ("thin pools", seen.thin_pools.is_empty()),
                ("updates", seen.node.updates.is_none()),
                ("temperatures", seen.temperatures.is_empty()),
            ];
            for (part, gone) in gone {
                assert_eq!(gone, part == what, "{part}, while {what} is silent");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_root_helper_only_the_sensors_are_unknown() {
    let bench = bench().await;
    let seen = look(&bench).await;
    assert_eq!(silent(&seen), ["temperatures"]);
    assert!(seen.unknown[0].why.contains("/sys/class/hwmon"));
    assert!(!seen.disks.is_empty() && seen.node.uptime_s.is_some());
}
