//! Restores of virtual machines that stay: beside the original, in its place, refused, broken off, and with answers lost.

use std::collections::BTreeMap;
use std::time::Duration;

use felhom_agent::exit::Exit;
use felhom_agent::progress::Silent;
use felhom_agent::runner::Runner;
use felhom_engine::*;
use felhom_ids::VolumeId;
use felhom_proxmox::pve::guests::DestroyQemu;
use felhom_simulator::{Fault, FaultKind};
use serde_json::{Value, json};

use crate::support::*;

const SHOP: u32 = 9200;
const NET: &str = "virtio=BC:24:11:00:92:00,bridge=vmbr0,firewall=1,link_down=0,mtu=1400,queues=4,rate=5,tag=7,trunks=7;8";
const UUID: &str = "11111111-2222-3333-4444-555555555555";

/// A running machine: a drive in its backups and one out of them, cloud-init, UUIDs, an interface with every key there is.
async fn machine(bench: &Bench, more: Value) {
    let mut config = json!({
        "name": "shop.example.org", "memory": "512", "cores": "2", "ostype": "l26", "onboot": "1", "agent": "1",
        "boot": "order=scsi0", "scsihw": "virtio-scsi-single", "ide2": "none,media=cdrom",
        "net0": NET, "net1": "e1000=BC:24:11:00:92:01,bridge=vmbr0",
        "smbios1": format!("uuid={UUID},serial=QUJD,base64=1"),
        "vmgenid": "0b8dc3c1-95cb-4bb1-8bb5-0ad5d7c4a111", "tags": "prod", "description": "the shop",
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        config[key] = value.clone();
    }
    let order = json!({
        "vmid": SHOP, "config": config, "running": 300.0,
        "disks": [
            { "key": "scsi0", "size": "256M", "options": "discard=on,iothread=1", "boot": { "agent_after": 0.5 } },
            { "key": "scsi1", "size": "1G", "options": "backup=0" },
        ],
    });
    bench.world.control("put-qemu", order).await.unwrap();
}

/// The configuration of a machine; none when there is none.
async fn config(bench: &Bench, number: u32) -> Option<BTreeMap<String, String>> {
    let read = bench.root().qemu_config(vmid(number)).await;
    read.ok().map(|config| config.raw)
}

async fn runs(bench: &Bench, number: u32) -> bool {
    let status = bench.root().qemu_status(vmid(number)).await;
    status.unwrap().guest.is_running()
}

fn words<'a>(volid: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["restore", "run", volid, "--to"], more].concat()
}

const FRESH: [&str; 3] = ["9020", "--identity", "fresh"];

/// The bytes of a drive.
fn image(bench: &Bench, text: &str) -> Vec<u8> {
    let volume = text.split(',').next().unwrap();
    let name = volume.strip_prefix("local-lvm:").unwrap();
    let root = bench.world.state_dir().join("volumes").join(name);
    std::fs::read(root.join("disk.raw")).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_comes_back_beside_the_original_as_the_plan_said() {
    let bench = Bench::new().await;
    machine(&bench, json!({})).await;
    let volid = bench.backup(SHOP).await.to_string();
    let before = config(&bench, SHOP).await.unwrap();
    let planned = bench
        .run(&["restore", "plan", &volid, "--to", "9020"])
        .await;
    assert_eq!(planned.exit, Exit::Done, "{}", planned.text());
    let told = planned.text();
    for words in [
        "256M on `local-lvm`",
        "scsi1 (local-lvm:vm-9200-disk-1): not in the backup (backup=0)",
        "qm set 9020 --scsi1 local-lvm:1,backup=0",
        "net0 gets a new MAC address (archived: BC:24:11:00:92:00)",
        "`shop-restored.example.org` (archived: `shop.example.org`)",
        "qm set 9020 --onboot 1",
        "`vmgenid` is a new one",
        "UUID of the machine",
        "machine-id",
        "addresses that are set inside the guest",
        "/etc/pve/firewall/9020.fw",
    ] {
        assert!(told.contains(words), "`{words}` is not in\n{told}");
    }
    assert!(!told.contains("pct "), "{told}");
    assert_eq!(config(&bench, 9020).await, None, "a plan changes nothing");

    let ran = bench.run(&words(&volid, &FRESH)).await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
    assert!(ran.text().contains("qm start 9020"), "{}", ran.text());
    let after = config(&bench, 9020).await.unwrap();
    for part in NET.split(',').skip(1) {
        let kept = after["net0"].split(',').any(|one| one == part);
        assert!(kept, "{part} is not in {}", after["net0"]);
    }
    for (key, model) in [("net0", "virtio="), ("net1", "e1000=")] {
        let net = &after[key];
        assert!(net.starts_with(model) && !net.contains("00:92:0"), "{net}");
    }
    assert!(!after.contains_key("scsi1"), "{after:?}");
    assert!(
        after["scsi0"].contains("discard=on,iothread=1"),
        "{after:?}"
    );
    assert!(after["smbios1"].contains("serial=QUJD") && !after["smbios1"].contains(UUID));
    assert_ne!(after["vmgenid"], before["vmgenid"]);
    let text = &after["description"];
    assert!(
        text.starts_with("the shop") && !text.contains("backup=0"),
        "{text}"
    );
    for key in ["cores", "boot", "scsihw", "tags", "ide2", "memory", "agent"] {
        assert_eq!(after[key], before[key], "{key}");
    }
    assert_eq!(
        image(&bench, &after["scsi0"]),
        image(&bench, &before["scsi0"])
    );
    assert!(!runs(&bench, 9020).await && runs(&bench, SHOP).await);
    assert_eq!(config(&bench, SHOP).await.unwrap(), before);
}

/// The person at the console removes a machine.
async fn destroy(bench: &Bench, number: u32) {
    let root = bench.root();
    drop(root.stop_qemu(vmid(number)).await.unwrap());
    settled(bench).await;
    let destroy = DestroyQemu {
        vmid: vmid(number),
        unreferenced_disks: false,
    };
    drop(root.destroy_qemu(&destroy).await.unwrap());
    settled(bench).await;
    assert_eq!(config(bench, number).await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_is_gone_comes_back_as_itself_and_is_started() {
    let bench = Bench::new().await;
    machine(&bench, json!({ "ipconfig0": "ip=192.0.2.7/24" })).await;
    let volid = bench.backup(SHOP).await.to_string();
    let before = config(&bench, SHOP).await.unwrap();
    let keep = words(&volid, &["9200", "--identity", "keep", "--start"]);
    let ran = bench.run(&keep).await;
    assert_eq!(ran.exit, Exit::Refused, "{}", ran.text());
    assert!(
        ran.text()
            .contains("qm shutdown 9200 && qm set 9200 --onboot 0"),
        "{}",
        ran.text()
    );
    let beside = words(&volid, &[&FRESH[..], &["--start"]].concat());
    let ran = bench.run(&beside).await;
    assert!(
        ran.text().contains("take a fixed address"),
        "{}",
        ran.text()
    );

    destroy(&bench, SHOP).await;
    let planned = bench.run(&["restore", "plan", &volid]).await;
    assert_eq!(planned.data()["to"], SHOP, "{}", planned.text());
    assert_eq!(planned.data()["plan"]["identity"], "keep");
    let ran = bench.run(&keep).await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
    assert_eq!(ran.data()["started"], true);
    let after = config(&bench, SHOP).await.unwrap();
    for key in ["net0", "net1", "name", "smbios1", "onboot", "ipconfig0"] {
        assert_eq!(after[key], before[key], "{key}");
    }
    assert_ne!(after["vmgenid"], before["vmgenid"], "PVE always renews it");
    assert!(runs(&bench, SHOP).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_token_restores_is_refused_and_what_nobody_checks_is_told() {
    let bench = Bench::new().await;
    for (more, told) in [
        (
            json!({ "hostpci0": "0000:01:00.0" }),
            "qm set 9020 --delete hostpci0",
        ),
        (
            json!({ "usb0": "host=1234:5678" }),
            "`usb0: host=1234:5678` is a device of the node",
        ),
        (
            json!({ "usb0": "mapping=key" }),
            "Mapping.Use on /mapping/usb/key",
        ),
        (
            json!({ "virtiofs0": "share" }),
            "Mapping.Use on /mapping/dir/share",
        ),
        (
            json!({ "rng0": "source=/dev/hwrng" }),
            "Mapping.Use on /mapping/hwrng",
        ),
        (
            json!({ "efidisk0": "local-lvm:vm-9200-disk-9,size=4M" }),
            "would have `local-lvm:vm-9200-disk-9` itself",
        ),
        (json!({ "template": "1" }), "is a template"),
    ] {
        machine(&bench, more.clone()).await;
        let volid = bench.backup(SHOP).await.to_string();
        let ran = bench.run(&words(&volid, &FRESH)).await;
        assert!(
            matches!(ran.exit, Exit::Refused | Exit::Permission),
            "{more}: {}",
            ran.text()
        );
        assert!(ran.text().contains(told), "{more}: {}", ran.text());
        assert_eq!(config(&bench, 9020).await, None, "{more}");
        // Names of archives have seconds.
        bench.world.advance(Duration::from_secs(2));
    }
    machine(
        &bench,
        json!({ "args": "-S", "serial0": "/dev/ttyS0", "hookscript": "local:snippets/a.sh" }),
    )
    .await;
    let volid = bench.backup(SHOP).await.to_string();
    let started = bench
        .run(&words(&volid, &[&FRESH[..], &["--start"]].concat()))
        .await;
    assert_eq!(started.exit, Exit::Refused, "{}", started.text());
    let ran = bench.run(&words(&volid, &FRESH)).await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
    let after = config(&bench, 9020).await.unwrap();
    assert_eq!((&*after["args"], &*after["serial0"]), ("-S", "/dev/ttyS0"));
    let plan = bench.run(&["restore", "plan", &volid]).await.text();
    for key in ["args", "serial0", "hookscript"] {
        assert!(plan.contains(&format!("--delete {key}`")), "{key}: {plan}");
    }
    let wrong = words(
        &volid,
        &["9021", "--identity", "fresh", "--storage", "local"],
    );
    let ran = bench.run(&wrong).await;
    assert!(
        ran.text().contains("does not take virtual machines"),
        "{}",
        ran.text()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cloud_init_and_disks_of_the_node_come_back_as_volumes() {
    let bench = Bench::new().await;
    machine(&bench, json!({})).await;
    let root = bench.root();
    let cloud = json!({ "vmid": SHOP, "set": { "ide0": "local-lvm:vm-9200-cloudinit,media=cdrom,size=4M" } });
    bench.world.control("poke-qemu", cloud).await.unwrap();
    let volid = bench.backup(SHOP).await.to_string();
    let ran = bench
        .run(&words(&volid, &[&FRESH[..], &["--link-down"]].concat()))
        .await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
    let after = root.qemu_config(vmid(9020)).await.unwrap().raw;
    assert!(
        after["ide0"].starts_with("local-lvm:vm-9020-cloudinit"),
        "{after:?}"
    );
    assert!(!ran.text().contains("empty: ide0"), "{}", ran.text());
    for key in ["net0", "net1"] {
        assert!(after[key].contains("link_down=1"), "{after:?}");
        assert!(!after[key].contains("link_down=0"), "{after:?}");
    }
    let plan = bench.run(&["restore", "plan", &volid]).await.text();
    assert!(plan.contains("cloud-init sees another instance"), "{plan}");
}

/// The report of the last restore.
async fn report(bench: &Bench) -> RestoreRunReport {
    super::report(bench).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_failed_restore_left_is_destroyed_by_proof() {
    let bench = Bench::new().await;
    machine(&bench, json!({})).await;
    let volid = bench.backup(SHOP).await.to_string();
    for point in ["qmrestore:allocate", "qmrestore:extract"] {
        let text = "no such device".to_owned();
        bench
            .world
            .inject(Fault::task(point, FaultKind::TaskFail { text }));
        let ran = bench.run(&words(&volid, &FRESH)).await;
        assert_eq!(ran.exit, Exit::TaskFailed, "{point}: {}", ran.text());
        let report = report(&bench).await;
        assert!(report.nothing_left, "{point}: {}", ran.text());
        assert!(report.destroy_upid.is_some(), "{point}: {}", ran.text());
        assert_eq!(config(&bench, 9020).await, None, "{point}");
        assert!(bench.restored_volumes().is_empty(), "{point}");
    }
    bench
        .world
        .inject(Fault::task("qmrestore:end", FaultKind::TaskVanish));
    let ran = bench.run(&words(&volid, &FRESH)).await;
    assert!(report(&bench).await.nothing_left, "{}", ran.text());
    assert!(bench.restored_volumes().is_empty() && runs(&bench, SHOP).await);
    let ran = bench.run(&words(&volid, &FRESH)).await;
    let told = ran.text();
    assert_eq!(ran.exit, Exit::Done, "the VMID is free again: {told}");
    destroy(&bench, 9020).await;
    bench.world.corrupt_archive(&volid).await.unwrap();
    let ran = bench.run(&words(&volid, &FRESH)).await;
    assert_eq!(ran.exit, Exit::TaskFailed, "{}", ran.text());
    assert!(report(&bench).await.nothing_left, "{}", ran.text());
    assert_eq!(config(&bench, 9020).await, None);
}

/// The admin types the hint's commands, one after the other.
async fn as_told(bench: &Bench, hint: &str) {
    let commands = hint.strip_prefix("as root on the node: ").unwrap();
    for command in commands.split(" && ") {
        let words: Vec<&str> = command.split(' ').collect();
        match words.as_slice() {
            ["qm", "unlock", "9020"] => {
                let unlock = json!({ "vmid": 9020, "delete": ["lock"] });
                drop(bench.world.control("poke-qemu", unlock).await.unwrap());
            }
            ["qm", "destroy", "9020"] => {
                let destroy = DestroyQemu {
                    vmid: vmid(RESTORED),
                    unreferenced_disks: false,
                };
                drop(bench.root().destroy_qemu(&destroy).await.unwrap());
            }
            ["pvesm", "free", volume] => {
                let volume = volume.parse().unwrap();
                drop(bench.root().delete_volume(&volume).await.unwrap());
            }
            other => panic!("{other:?}"),
        }
        settled(bench).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_restore_left_is_told_with_the_commands_that_remove_it() {
    let bench = Bench::new().await;
    machine(&bench, json!({})).await;
    let volid = bench.backup(SHOP).await.to_string();
    // Before it does anything, at work, and when all the data is there and the last check fails: then PVE frees nothing.
    let text = "no such privilege".to_owned();
    for (point, kind) in [
        ("qmrestore", FaultKind::TaskVanish),
        ("qmrestore:extract", FaultKind::TaskVanish),
        ("qmrestore:config", FaultKind::TaskFail { text }),
    ] {
        bench.world.inject(Fault::task(point, kind));
        let ran = bench.run(&words(&volid, &FRESH)).await;
        assert_eq!(ran.exit, Exit::TaskFailed, "{point}: {}", ran.text());
        let report = report(&bench).await;
        assert!(!report.nothing_left && report.destroy_upid.is_none());
        let finding = &report.findings[0];
        assert_eq!(finding.code, "unfinished-restore", "{point}");
        let again = bench.run(&words(&volid, &FRESH)).await;
        assert_eq!(again.exit, Exit::Refused, "{point}: {}", again.text());
        as_told(&bench, finding.hint.as_ref().unwrap()).await;
        assert_eq!(config(&bench, 9020).await, None, "{point}");
        assert_eq!(bench.restored_volumes(), Vec::<String>::new(), "{point}");
    }
    let ran = bench.run(&words(&volid, &FRESH)).await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_power_cut_the_unfinished_machine_is_told() {
    let bench = Bench::at(10.0, FAST, None).await;
    machine(&bench, json!({})).await;
    let volid = bench.backup(SHOP).await;
    let journal = bench.journal().await;
    let performer = bench.performer();
    let job = restore_job(&bench, journal.installation(), &volid, 8);
    let agent = tokio::spawn(async move {
        let runner = Runner {
            journal: &journal,
            performer: &performer,
            progress: &Silent,
        };
        runner.start(job).await.map(drop)
    });
    eventually("volumes are made", || !bench.restored_volumes().is_empty()).await;
    agent.abort();
    assert!(agent.await.is_err(), "the job ended before the power did");
    bench.world.power_cut(Duration::from_mins(1)).await;
    let job = crate::scene::restart(&bench).await.unwrap().unwrap();
    let JobKind::RestoreRun(restore) = &job.kind else {
        unreachable!()
    };
    let report = restore.report().unwrap();
    assert_eq!(report.end, RestoreEnd::Failed);
    assert!(!report.nothing_left);
    as_told(&bench, report.findings[0].hint.as_ref().unwrap()).await;
    assert_eq!(config(&bench, 9020).await, None);
    assert_eq!(bench.restored_volumes(), Vec::<String>::new());
}

fn cut(method: &str, path: &str) -> Fault {
    Fault {
        count: Some(1),
        ..Fault::request(method, path, FaultKind::CutAnswer)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_at_every_mutation_reaches_the_same_end() {
    let bench = Bench::new().await;
    machine(&bench, json!({})).await;
    let volid: VolumeId = bench.backup(SHOP).await;
    let volid = volid.to_string();
    for (method, path, task, fails) in [
        ("POST", "*/qemu", "qmrestore", false),
        ("POST", "*/qemu/*/status/start", "qmstart", false),
        ("DELETE", "*/qemu/*", "qmdestroy", true),
    ] {
        let before = bench.world.counts();
        if fails {
            let text = "no such device".to_owned();
            let fails = FaultKind::TaskFail { text };
            bench.world.inject(Fault::task("qmrestore:extract", fails));
        }
        bench.world.inject(cut(method, path));
        let ran = bench
            .run(&words(&volid, &[&FRESH[..], &["--start"]].concat()))
            .await;
        assert!(
            bench.world.faults().is_empty(),
            "{path} was never asked for"
        );
        let report = report(&bench).await;
        if fails {
            assert!(report.nothing_left, "{path}: {}", ran.text());
            assert_eq!(config(&bench, 9020).await, None);
        } else {
            assert_eq!(ran.exit, Exit::Done, "{path}: {}", ran.text());
            assert!(runs(&bench, 9020).await);
        }
        let key = format!("{task} 9020");
        let of = |counts: &BTreeMap<String, u64>| counts.get(&key).copied().unwrap_or_default();
        assert_eq!(
            of(&bench.world.counts()) - of(&before),
            1,
            "{task} happened once"
        );
        if !fails {
            destroy(&bench, 9020).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stub_that_somebody_touched_is_left_to_them() {
    let bench = Bench::new().await;
    machine(&bench, json!({})).await;
    let volid = bench.backup(SHOP).await;
    let text = "no such device".to_owned();
    bench.world.inject(Fault::task(
        "qmrestore:extract",
        FaultKind::TaskFail { text },
    ));
    let journal = bench.journal().await;
    let performer = bench.performer();
    let mut job = restore_job(&bench, journal.installation(), &volid, 9);
    let mut meddled = false;
    loop {
        match job.next(felhom_agent::clock::now()) {
            Next::Do(step) => {
                if step.name() == "observe-restored" && !meddled {
                    meddled = true;
                    // Right after the failure a person has tried to start what is there.
                    drop(bench.root().start_qemu(vmid(RESTORED)).await.unwrap());
                    settled(&bench).await;
                    drop(bench.root().stop_qemu(vmid(RESTORED)).await.unwrap());
                    settled(&bench).await;
                }
                let outcome = performer.perform(&step, &Silent).await;
                job.record(felhom_agent::clock::now(), outcome);
            }
            Next::Wait { .. } => tokio::time::sleep(Duration::from_millis(20)).await,
            Next::Done => break,
            Next::Pause(error) => panic!("{error}"),
        }
    }
    let JobKind::RestoreRun(restore) = &job.kind else {
        unreachable!()
    };
    let report = restore.report().unwrap();
    assert_eq!(report.findings[0].code, "restore-leftover");
    assert!(config(&bench, 9020).await.is_some());
}
