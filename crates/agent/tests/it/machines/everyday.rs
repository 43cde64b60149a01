//! The everyday commands see virtual machines: in lists, with their posture, when a test chooses by itself.

use felhom_agent::exit::Exit;
use serde_json::{Value, json};

use super::machine;
use crate::support::*;

/// A guest's line of the status page.
async fn line(bench: &Bench, vmid: u32) -> Value {
    let data = bench.run(&["status"]).await.data();
    let guests = data["guests"].as_array().unwrap();
    let guest = guests.iter().find(|guest| guest["vmid"] == vmid);
    guest.unwrap_or_else(|| panic!("{data}")).clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guests_of_both_kinds_are_listed() {
    let bench = Bench::new().await;
    machine(&bench, json!({})).await;
    let ran = bench.run(&["guests"]).await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
    let data = ran.data();
    let listed: Vec<_> = data
        .as_array()
        .unwrap()
        .iter()
        .map(|guest| (guest["vmid"].as_u64().unwrap(), guest["kind"].clone()))
        .collect();
    let (lxc, qemu) = (json!("lxc"), json!("qemu"));
    let due = [(9000, &qemu), (9001, &lxc), (9010, &lxc), (9200, &qemu)];
    assert_eq!(listed, due.map(|(vmid, kind)| (vmid, kind.clone())));
    assert!(ran.text().contains("KIND"), "{}", ran.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_has_its_posture_and_drives_out_of_backups_count() {
    let bench = Bench::new().await;
    machine(&bench, json!({})).await;
    let before = line(&bench, 9200).await;
    assert_eq!(before["posture"], "unprotected", "{before}");
    let volid = bench.backup(9200).await;
    let backed_up = line(&bench, 9200).await;
    let reasons = backed_up["reasons"].to_string();
    assert!(reasons.contains("never restore-tested"), "{reasons}");
    assert!(reasons.contains("1 drive(s) are in no backup"), "{reasons}");
    let ran = super::tested(&bench, &volid, &[]).await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
    let tested = line(&bench, 9200).await;
    assert_eq!(tested["kind"], "qemu");
    assert_eq!(tested["last_proof"]["verdict"], "passed", "{tested}");
    assert_eq!(tested["reasons"], json!(["1 drive(s) are in no backup"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_was_made_anew_does_not_inherit_what_was_proven() {
    let bench = Bench::new().await;
    let made = |at: i64| json!({ "meta": format!("creation-qemu=10.1.2,ctime={at}") });
    machine(&bench, made(1_790_000_000)).await;
    let volid = bench.backup(9200).await;
    super::tested(&bench, &volid, &[]).await;
    assert_eq!(line(&bench, 9200).await["last_proof"]["verdict"], "passed");
    // The same volumes, the same addresses: another machine.
    let poke = json!({ "vmid": 9200, "set": made(1_790_500_000) });
    bench.world.control("poke-qemu", poke).await.unwrap();
    assert_eq!(line(&bench, 9200).await["last_proof"], Value::Null);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_without_a_name_takes_machines_in_turn_and_none_twice() {
    let bench = Bench::new().await;
    // One that cannot be tested: it must not keep the others from being.
    machine(&bench, json!({ "args": "-S" })).await;
    bench.backup(9001).await;
    let volid = bench.backup(9200).await;
    let mut tested = Vec::new();
    for _ in 0..3 {
        let ran = bench.run(&["restore-test", "run"]).await;
        let data = ran.data();
        let of = data["volid"].as_str().unwrap().to_owned();
        tested.push((of == volid.to_string(), data["verdict"].clone()));
    }
    let (passed, error) = (json!("passed"), json!("error"));
    let due = [(false, passed.clone()), (true, error), (false, passed)];
    assert_eq!(tested, due);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn archives_of_the_scratch_range_are_not_chosen() {
    let bench = Bench::new().await;
    let order = json!({
        "vmid": 9150, "config": { "name": "somebodys", "memory": "128", "ostype": "l26" },
        "disks": [{ "key": "scsi0", "size": "8M" }],
    });
    bench.world.control("put-qemu", order).await.unwrap();
    let storage = "local".parse().unwrap();
    let request = felhom_proxmox::pve::backup::Vzdump::new(vmid(9150), storage);
    drop(bench.root().vzdump(&request).await.unwrap());
    settled(&bench).await;
    let ran = bench.run(&["restore-test", "run"]).await;
    assert_eq!(ran.exit, Exit::NoSuchThing, "{}", ran.text());
    let page = bench.run(&["status"]).await;
    let guests = page.data()["guests"].to_string();
    assert!(!guests.contains("9150"), "{guests}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guard_of_a_machine_is_refused_with_what_to_do_instead() {
    let bench = Bench::new().await;
    machine(&bench, json!({})).await;
    for args in [
        &[
            "snapshot",
            "guard",
            "9200",
            "begin",
            "--confirm-within",
            "15m",
        ][..],
        &["selftest", "task", "9200"],
    ] {
        let ran = bench.run(args).await;
        assert_eq!(ran.exit, Exit::Refused, "{}", ran.text());
        assert!(
            ran.text().contains("guest 9200 is a virtual machine"),
            "{}",
            ran.text()
        );
    }
    assert!(!bench.state_dir().join("journal.sqlite").exists());
}
