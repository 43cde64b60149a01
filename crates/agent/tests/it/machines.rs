//! Virtual machines: backed up and proven, restored and asked, refused where they reach the host, and what a failed restore leaves.

mod everyday;

use std::collections::BTreeMap;

use felhom_agent::exit::Exit;
use felhom_engine::{BackupVerdict, Consistency, Freeze};
use felhom_ids::VolumeId;
use felhom_proxmox::{Method, Request};
use felhom_simulator::{Fault, FaultKind};
use serde_json::{Value, json};

use crate::support::*;

/// A running machine with an agent, one drive in its backups and one out of them.
pub(crate) async fn machine(bench: &Bench, more: Value) {
    let mut config = json!({
        "name": "shop", "memory": "1024", "cores": "2", "ostype": "l26", "onboot": "1", "agent": "1",
        "boot": "order=scsi0", "scsihw": "virtio-scsi-single", "ide2": "none,media=cdrom",
        "net0": "virtio=BC:24:11:00:92:00,bridge=vmbr0,firewall=1",
        "net1": "e1000=BC:24:11:00:92:01,bridge=vmbr0",
        "vmgenid": "0b8dc3c1-95cb-4bb1-8bb5-0ad5d7c4a111",
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        config[key] = value.clone();
    }
    let order = json!({
        "vmid": 9200, "config": config, "running": 300.0,
        "disks": [
            { "key": "scsi0", "size": "256M", "boot": { "agent_after": 0.5 } },
            { "key": "scsi1", "size": "64M", "options": "backup=0" },
        ],
    });
    bench.world.control("put-qemu", order).await.unwrap();
    grant(bench).await;
}

/// What the confined principal needs for this guest: its archives.
async fn grant(bench: &Bench) {
    let root = bench.root();
    for (key, who) in [("users", "felhom-test@pve"), ("tokens", TESTER)] {
        let acl = Request::new(Method::Put, &[&"access", &"acl"])
            .with("path", "/vms/9200")
            .with("roles", "FelhomSource")
            .with(key, who);
        let _answer: Value = root.client().send(&acl).await.unwrap();
    }
}

async fn tested(bench: &Bench, volid: &VolumeId, more: &[&str]) -> Ran {
    let volid = volid.to_string();
    let args = [&["restore-test", "run", volid.as_str()], more].concat();
    bench.run(&args).await
}

fn fault(point: &str, kind: FaultKind) -> Fault {
    Fault::task(point, kind)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_is_backed_up_and_the_archive_proves_it() {
    let bench = Bench::new().await;
    machine(&bench, json!({})).await;
    let volid = bench.backup(9200).await;
    let journal = bench.journal().await;
    let report = journal.backup_of(&volid).await.unwrap().unwrap().report;
    assert_eq!(report.verdict, BackupVerdict::Good, "{:?}", report.reasons);
    assert_eq!(report.freeze, Some(Freeze::Done));
    assert_eq!(
        report.consistency,
        Some(Consistency::Crash),
        "file systems are not applications"
    );
    let content = report.content.unwrap();
    assert!(content.complete && content.config_first);
    // 256 MiB in clusters of 64 KiB.
    assert_eq!(content.mounts["scsi0"].members, 4096);
    assert_eq!(content.mounts.len(), 1);
    let proofs: BTreeMap<_, _> = report
        .inclusion
        .iter()
        .map(|proof| {
            (
                proof.planned.key.as_str(),
                (proof.planned.included, proof.logged),
            )
        })
        .collect();
    assert_eq!(proofs["scsi0"], (true, Some(true)));
    assert_eq!(proofs["scsi1"], (false, Some(false)));
    assert!(
        report
            .inclusion
            .iter()
            .all(|proof| proof.difference.is_none())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_does_not_run_leaves_a_copy_as_after_a_power_cut() {
    let bench = Bench::new().await;
    machine(&bench, json!({})).await;
    let poke = json!({ "vmid": 9200, "boot": {} });
    bench.world.control("poke-qemu", poke).await.unwrap();
    let ran = bench.run(&["backup", "run", "9200"]).await;
    assert!(
        ran.text().contains("agent configured but not running?"),
        "{}",
        ran.text()
    );
    let data = ran.data();
    assert_eq!(data["consistency"], "crash");
    assert_eq!(
        data["freeze"]["skipped"],
        "agent configured but not running?"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_archive_of_a_machine_is_no_good_backup() {
    let bench = Bench::new().await;
    machine(&bench, json!({})).await;
    let volid = bench.backup(9200).await;
    bench
        .world
        .corrupt_archive(&volid.to_string())
        .await
        .unwrap();
    let ran = tested(&bench, &volid, &[]).await;
    assert_ne!(ran.data()["verdict"], "passed", "{}", ran.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_comes_back_isolated_answers_and_goes() {
    let bench = Bench::new().await;
    machine(&bench, json!({})).await;
    let volid = bench.backup(9200).await;
    let production = bench.production();
    let ran = tested(&bench, &volid, &[]).await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
    let data = ran.data();
    assert_eq!(data["verdict"], "passed");
    assert_eq!(data["judgement"]["level"], "answered");
    assert_eq!(data["nothing_left"], true);
    assert!(bench.scratch_volumes().is_empty());
    assert!(
        bench
            .world
            .guests()
            .iter()
            .all(|vmid| !(9100..=9199).contains(vmid))
    );
    assert_eq!(bench.production(), production);
    let counts = bench.world.counts();
    for once in ["qmrestore", "qmstart", "qmstop", "qmdestroy"] {
        let times: u64 = counts
            .iter()
            .filter(|(key, _)| key.starts_with(&format!("{once} 91")))
            .map(|(_, count)| count)
            .sum();
        assert_eq!(times, 1, "{once}: {counts:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_would_reach_the_host_is_not_restored() {
    let bench = Bench::new().await;
    for more in [
        json!({ "args": "-S" }),
        json!({ "hookscript": "local:snippets/a.sh" }),
        json!({ "hostpci0": "0000:01:00.0" }),
        json!({ "usb0": "host=1234:5678" }),
        json!({ "serial0": "/dev/ttyS0" }),
        json!({ "parallel0": "/dev/parport0" }),
        json!({ "efidisk0": "local-lvm:vm-9200-disk-9,size=4M" }),
        json!({ "ide2": "cdrom,media=cdrom" }),
    ] {
        machine(&bench, more.clone()).await;
        let volid = bench.backup(9200).await;
        let ran = tested(&bench, &volid, &[]).await;
        assert_eq!(ran.data()["verdict"], "error", "{more}: {}", ran.text());
        assert!(ran.text().contains("  refused: "), "{more}: {}", ran.text());
        settled(&bench).await;
        // Names of archives have seconds.
        bench.world.advance(std::time::Duration::from_secs(2));
    }
    assert!(
        !bench
            .world
            .counts()
            .keys()
            .any(|key| key.starts_with("qmrestore"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_agent_a_machine_shows_no_more_than_that_it_started() {
    let bench = Bench::new().await;
    machine(&bench, json!({ "agent": "0" })).await;
    let volid = bench.backup(9200).await;
    let ran = tested(&bench, &volid, &[]).await;
    assert_eq!(ran.data()["verdict"], "error", "{}", ran.text());
    assert!(
        ran.text().contains("no guest agent answered"),
        "{}",
        ran.text()
    );
    assert_eq!(ran.data()["judgement"]["level"], "started");
    assert!(bench.scratch_volumes().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_can_be_demanded_of_machines_and_is_refused_for_containers() {
    let bench = Bench::new().await;
    bench.reconfigure(|text| {
        text.replace(
            "[restore-test]\n",
            "[restore-test]\nevidence = \"answered\"\n",
        )
    });
    machine(&bench, json!({})).await;
    let volid = bench.backup(9200).await;
    let ran = tested(&bench, &volid, &[]).await;
    assert_eq!(ran.data()["verdict"], "passed", "{}", ran.text());
    let volid = bench.backup(9001).await;
    let ran = tested(&bench, &volid, &[]).await;
    assert_eq!(ran.data()["verdict"], "error", "{}", ran.text());
    let told = "nothing inside a container answers";
    assert!(ran.text().contains(told), "{}", ran.text());
    assert!(bench.scratch_volumes().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_root_helper_a_restore_that_breaks_off_is_told_and_its_stub_named() {
    let bench = Bench::new().await;
    drop(bench.world.control("host-off", json!({})).await.unwrap());
    machine(&bench, json!({})).await;
    let volid = bench.backup(9200).await;
    for kind in [
        FaultKind::TaskFail {
            text: "no such device".into(),
        },
        FaultKind::TaskVanish,
    ] {
        bench.world.inject(fault("qmrestore:extract", kind));
        let ran = tested(&bench, &volid, &[]).await;
        let data = ran.data();
        assert_eq!(data["verdict"], "error", "{}", ran.text());
        assert_eq!(data["nothing_left"], false);
        assert!(ran.text().contains("qm destroy 91"), "{}", ran.text());
    }
    // The number is not taken again, and nothing of somebody else's was touched.
    assert!(bench.world.guests().contains(&9100) && bench.world.guests().contains(&9101));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_root_helper_nothing_is_left_of_a_restore_that_breaks_off() {
    let bench = Bench::new().await;
    machine(&bench, json!({})).await;
    let volid = bench.backup(9200).await;
    let text = "no such device".into();
    bench
        .world
        .inject(fault("qmrestore:extract", FaultKind::TaskFail { text }));
    let ran = tested(&bench, &volid, &[]).await;
    assert_eq!(ran.data()["verdict"], "error", "{}", ran.text());
    assert_eq!(ran.data()["nothing_left"], true, "{}", ran.text());
    assert!(!bench.world.guests().contains(&9100));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_at_every_mutation_reaches_the_same_end() {
    let bench = Bench::new().await;
    machine(&bench, json!({})).await;
    let volid = bench.backup(9200).await;
    let cut = |method: &str, path: &str| Fault {
        method: Some(method.into()),
        path: Some(path.into()),
        task: None,
        id: None,
        count: Some(1),
        skip: 0,
        kind: FaultKind::CutAnswer,
    };
    for (method, path, task) in [
        ("POST", "*/qemu", "qmrestore"),
        ("POST", "*/qemu/*/status/start", "qmstart"),
        ("POST", "*/qemu/*/status/stop", "qmstop"),
        ("DELETE", "*/qemu/*", "qmdestroy"),
    ] {
        let before = bench.world.counts();
        bench.world.inject(cut(method, path));
        let ran = tested(&bench, &volid, &[]).await;
        assert!(
            bench.world.faults().is_empty(),
            "{path} was never asked for"
        );
        assert_eq!(ran.data()["verdict"], "passed", "{path}: {}", ran.text());
        assert_eq!(ran.data()["nothing_left"], true, "{path}: {}", ran.text());
        let key = format!("{task} 9100");
        let of = |counts: &BTreeMap<String, u64>| counts.get(&key).copied().unwrap_or_default();
        assert_eq!(
            of(&bench.world.counts()) - of(&before),
            1,
            "{task} happened once"
        );
        assert!(bench.scratch_volumes().is_empty());
    }
}
