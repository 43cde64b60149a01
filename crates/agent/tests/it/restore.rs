//! Restores that stay, through the command line: what is said before, what is there afterwards, and what is never done.

mod broken;
mod machine;
pub(crate) mod occasion;
mod refused;

use felhom_agent::exit::Exit;
use felhom_engine::RestoreRunReport;
use felhom_ids::GuestKind;
use serde_json::{Value, json};

use crate::support::*;

/// The configuration of a guest, as the world holds it; null when there is none.
pub(crate) fn config(bench: &Bench, vmid: u32) -> Value {
    bench.world.state()["world"]["guests"][vmid.to_string()]["config"].clone()
}

pub(crate) fn line(bench: &Bench, vmid: u32, key: &str) -> Option<String> {
    let text = config(bench, vmid).as_str()?.to_owned();
    let start = format!("{key}: ");
    let found = text.lines().find_map(|line| line.strip_prefix(&start));
    found.map(str::to_owned)
}

/// Whether a file is there, below the mount point that a key of the guest names.
fn holds(bench: &Bench, vmid: u32, key: &str, path: &str) -> bool {
    let text = line(bench, vmid, key).unwrap_or_else(|| panic!("no {key}"));
    let volume = text.split(',').next().unwrap();
    let name = volume.strip_prefix("local-lvm:").unwrap();
    let root = bench.world.state_dir().join("volumes").join(name);
    root.join(path).exists()
}

pub(crate) async fn report(bench: &Bench) -> RestoreRunReport {
    let journal = bench.journal().await;
    let rows = journal.restores(None).await.unwrap();
    rows.first().unwrap().report.clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_comes_back_beside_the_original_as_the_plan_said() {
    let bench = Bench::new().await;
    let volid = bench.backup(9010).await.to_string();
    let production = bench.production();

    let planned = what_is_planned(&bench, &volid).await;
    assert_eq!(bench.production(), production, "a plan changes nothing");
    let run = [
        "restore",
        "run",
        &volid,
        "--to",
        "9020",
        "--identity",
        "fresh",
    ];
    let dry = bench.run(&[&run[..], &["--dry-run"]].concat()).await;
    assert_eq!(
        dry.data()["plan"]["set"]["net0"],
        planned["plan"]["set"]["net0"]
    );
    assert_eq!(dry.data()["plan"]["volumes"], planned["plan"]["volumes"]);
    assert_eq!(bench.production(), production);

    let ran = bench.run(&run).await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
    assert_eq!(ran.data()["end"], "restored");
    sentinels(&bench);
    let net = line(&bench, 9020, "net0").unwrap();
    assert!(
        !net.contains("BC:24:11:40:B3:87") && net.contains("hwaddr="),
        "{net}"
    );
    assert!(
        net.contains("bridge=vmbr0") && net.contains("ip=dhcp"),
        "{net}"
    );
    assert_eq!(
        line(&bench, 9020, "hostname").unwrap(),
        "demo-guest-restored"
    );
    assert_eq!(
        line(&bench, 9020, "features").unwrap(),
        "nesting=1,keyctl=1"
    );
    assert_eq!(line(&bench, 9020, "onboot").unwrap_or("0".into()), "0");
    assert_eq!(
        bench.world.state()["world"]["guests"]["9020"]["status"],
        "stopped"
    );
    assert_eq!(bench.production(), production, "no other guest is touched");
    let listed = bench.run(&["restore", "list", "9010"]).await;
    assert_eq!(listed.data()[0]["report"]["end"], "restored");
}

/// The plan's document, when its text says all that it has to say.
async fn what_is_planned(bench: &Bench, volid: &str) -> Value {
    let planned = bench.run(&["restore", "plan", volid, "--to", "9020"]).await;
    assert_eq!(planned.exit, Exit::Done, "{}", planned.text());
    let told = planned.text();
    for words in [
        "mp1 (/mnt/mp1), 1G on `local-lvm`",
        "mp2 (/mnt/mp2), 1G on `local-lvm`: not in the backup",
        "mp3 (/mnt/mp3): a bind mount of `/var/lib/bindmount`",
        "pct set 9020 --mp3 /var/lib/bindmount,mp=/mnt/mp3",
        "net0 gets a new MAC address (archived: BC:24:11:40:B3:87",
        "`demo-guest-restored` (archived: `demo-guest`)",
        "pct set 9020 --onboot 1",
        "machine-id",
        "/etc/pve/firewall/9020.fw",
        "nesting=1 comes back as it is; a token with VM.Allocate may change it",
        "keyctl=1 comes back as it is; afterwards only root may change it",
        "as root `pct unlock 9020 && pct destroy 9020`",
        "downtime: none",
    ] {
        assert!(told.contains(words), "`{words}` is not in\n{told}");
    }
    planned.data()
}

/// Sentinels as they were planted on a real node: in the backup is what is in, and nothing else comes back.
pub(crate) fn sentinels(bench: &Bench) {
    let there = [
        ("rootfs", "SENTINEL_ROOTFS"),
        (
            "rootfs",
            "var/lib/docker/volumes/b2vol/_data/SENTINEL_DOCKERVOL",
        ),
        ("mp1", "SENTINEL_MP1"),
    ];
    for (key, path) in there {
        assert!(holds(bench, 9020, key, path), "{key} lacks {path}");
    }
    for path in ["SENTINEL_MP2", "SENTINEL_BULK"] {
        assert!(holds(bench, 9010, "mp2", path), "the original has {path}");
        assert!(!holds(bench, 9020, "mp2", path), "{path} came from nowhere");
    }
    assert!(line(bench, 9020, "mp2").unwrap().contains("backup=0"));
    assert_eq!(
        line(bench, 9020, "mp3"),
        None,
        "no token restores a bind mount"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_is_gone_comes_back_as_itself_and_is_started() {
    let bench = Bench::new().await;
    let net = "name=eth0,bridge=vmbr0,firewall=1,gw=192.0.2.1,hwaddr=BC:24:11:40:B3:87,ip=192.0.2.7/24,mtu=1400,rate=5,tag=7,trunks=7;8,type=veth";
    bench
        .poke(9010, json!({ "set": { "net0": net, "tags": "prod" } }))
        .await;
    let volid = bench.backup(9010).await.to_string();
    destroy(&bench, 9010).await;

    let planned = bench.run(&["restore", "plan", &volid]).await;
    assert_eq!(planned.exit, Exit::Done, "{}", planned.text());
    assert_eq!(planned.data()["to"], 9010, "its own VMID is free again");
    assert_eq!(planned.data()["plan"]["identity"], "keep");
    let run = [
        "restore",
        "run",
        &volid,
        "--to",
        "9010",
        "--identity",
        "keep",
        "--start",
    ];
    let ran = bench.run(&run).await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
    assert_eq!(ran.data()["started"], true);
    assert_eq!(line(&bench, 9010, "net0").unwrap(), net);
    assert_eq!(line(&bench, 9010, "hostname").unwrap(), "demo-guest");
    assert_eq!(line(&bench, 9010, "tags").unwrap(), "prod");
    assert_eq!(line(&bench, 9010, "onboot").unwrap(), "1");
    assert_eq!(
        bench.world.state()["world"]["guests"]["9010"]["status"],
        "running"
    );
}

/// The person at the console removes a guest.
pub(crate) async fn destroy(bench: &Bench, number: u32) {
    use felhom_proxmox::pve::guests::DestroyLxc;
    let root = bench.root();
    drop(root.stop_guest(GuestKind::Lxc, vmid(number)).await.unwrap());
    settled(bench).await;
    let destroy = DestroyLxc {
        vmid: vmid(number),
        unreferenced_disks: false,
    };
    drop(root.destroy_lxc(&destroy).await.unwrap());
    settled(bench).await;
    assert_eq!(config(bench, number), Value::Null);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_key_of_an_interface_but_its_address_survives_a_fresh_identity() {
    let bench = Bench::new().await;
    let keys = "bridge=vmbr0,firewall=1,gw=192.0.2.1,ip=192.0.2.7/24,mtu=1400,rate=5,tag=7,trunks=7;8,type=veth";
    let first = format!("name=eth0,hwaddr=BC:24:11:40:B3:87,{keys}");
    // Without a bridge PVE would lose it for a token, unless it is named.
    let second = "name=eth1,hwaddr=BC:24:11:40:B3:88,type=veth";
    let set = json!({ "set": { "net0": first, "net3": second } });
    bench.poke(9010, set).await;
    let volid = bench.backup(9010).await.to_string();
    let run = [
        "restore",
        "run",
        &volid,
        "--to",
        "9020",
        "--identity",
        "fresh",
        "--link-down",
        "--hostname",
        "other",
        "--without-empty",
    ];
    let ran = bench.run(&run).await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
    let net = line(&bench, 9020, "net0").unwrap();
    for part in keys.split(',').chain(["name=eth0", "link_down=1"]) {
        assert!(
            net.split(',').any(|one| one == part),
            "{part} is not in {net}"
        );
    }
    let other = line(&bench, 9020, "net3").unwrap();
    assert!(
        other.contains("name=eth1") && other.contains("link_down=1"),
        "{other}"
    );
    for net in [net, other] {
        assert!(net.contains("hwaddr=") && !net.contains("40:B3:8"), "{net}");
    }
    assert_eq!(line(&bench, 9020, "hostname").unwrap(), "other");
    assert_eq!(
        line(&bench, 9020, "mp2"),
        None,
        "left out, as was asked for"
    );
    let told = ran.text();
    assert!(told.contains("pct set 9020 --mp2 local-lvm:1,"), "{told}");
}
