//! Restores of virtual machines that stay: beside the original, in its place, and refused.

mod broken;
mod crash;

use felhom_ids::GuestKind;
use std::collections::BTreeMap;
use std::time::Duration;

use felhom_agent::exit::Exit;
use felhom_proxmox::pve::guests::DestroyQemu;
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
    drop(
        root.stop_guest(GuestKind::Qemu, vmid(number))
            .await
            .unwrap(),
    );
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
async fn what_no_token_restores_is_refused() {
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
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_checks_comes_back_told_and_is_not_started() {
    let bench = Bench::new().await;
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
async fn a_cloud_init_drive_is_made_anew_and_links_stay_down() {
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
