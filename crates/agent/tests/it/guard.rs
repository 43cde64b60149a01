//! `snapshot guard`: a change confirmed, taken back, forgotten; and every reason not to make the promise.

use felhom_ids::GuestKind;
use std::time::Duration;

use felhom_agent::exit::Exit;
use felhom_engine::*;
use felhom_simulator::{Fault, FaultKind};
use serde_json::{Value, json};

use crate::support::*;

/// A world whose clock runs away slowly: a guard wants the node's and ours to agree to a minute, on a busy machine too.
async fn calm() -> Bench {
    Bench::at(10.0, "", None).await
}

/// A file of guest 9001's rootfs, as the world has it.
fn sentinel(bench: &Bench) -> std::path::PathBuf {
    let volumes = bench.world.state_dir().join("volumes");
    volumes.join("vm-9001-disk-0/SENTINEL_ROOTFS")
}

fn guest_9001(bench: &Bench) -> Value {
    bench.world.state()["world"]["guests"]["9001"].clone()
}

fn snapshots(bench: &Bench) -> usize {
    let config = guest_9001(bench)["config"].to_string();
    config.matches("[felhom-guard-").count()
}

async fn begin(bench: &Bench, more: &[&str]) -> Ran {
    let words = [
        "snapshot",
        "guard",
        "9001",
        "begin",
        "--confirm-within",
        "15m",
    ];
    let words: Vec<&str> = words.iter().chain(more).copied().collect();
    bench.run(&words).await
}

async fn guards(bench: &Bench) -> Vec<OpenGuard> {
    bench.journal().await.guards().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_confirmed_change_stays_and_leaves_no_snapshot() {
    let bench = calm().await;
    let before = bench.production();
    let ran = begin(&bench, &[]).await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
    assert_eq!(ran.data()["end"], "opened");
    assert_eq!(snapshots(&bench), 1);
    std::fs::write(sentinel(&bench), "updated").unwrap();
    let again = begin(&bench, &[]).await;
    assert_eq!(again.exit, Exit::Refused, "{}", again.text());
    assert!(again.text().contains("stands already"), "{}", again.text());
    let ran = bench.run(&["snapshot", "guard", "9001", "confirm"]).await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
    assert_eq!(
        std::fs::read_to_string(sentinel(&bench)).unwrap(),
        "updated"
    );
    assert_eq!(bench.production(), before);
    assert!(guards(&bench).await.is_empty());
    let ended = bench.journal().await.ended_guards().await.unwrap();
    assert_eq!(ended[0].1, GuardEnd::Confirmed);
    let ran = bench.run(&["snapshot", "guard", "9001", "confirm"]).await;
    assert_eq!(ran.exit, Exit::NoSuchThing, "{}", ran.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_aborted_change_is_taken_back_and_the_guest_runs_as_before() {
    let bench = calm().await;
    let before = bench.root().lxc_status(vmid(9001)).await.unwrap().pid;
    begin(&bench, &[]).await;
    std::fs::write(sentinel(&bench), "broken").unwrap();
    let dry = bench
        .run(&["snapshot", "guard", "9001", "abort", "--dry-run"])
        .await;
    assert_eq!(dry.exit, Exit::Done, "{}", dry.text());
    assert!(
        dry.text().contains("stopped for that and started again"),
        "{}",
        dry.text()
    );
    assert_eq!(std::fs::read_to_string(sentinel(&bench)).unwrap(), "broken");
    let ran = bench.run(&["snapshot", "guard", "9001", "abort"]).await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
    assert_eq!(ran.data()["end"], "rolled-back");
    assert_ne!(std::fs::read_to_string(sentinel(&bench)).unwrap(), "broken");
    let guest = guest_9001(&bench);
    assert_eq!(guest["status"], "running", "{guest}");
    let after = bench.root().lxc_status(vmid(9001)).await.unwrap().pid;
    assert!(after.is_some() && after != before, "{before:?} {after:?}");
    assert_eq!(snapshots(&bench), 0);
    assert!(guards(&bench).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_was_stopped_stays_stopped() {
    let bench = calm().await;
    drop(
        bench
            .root()
            .stop_guest(GuestKind::Lxc, vmid(9001))
            .await
            .unwrap(),
    );
    settled(&bench).await;
    assert_eq!(begin(&bench, &[]).await.exit, Exit::Done);
    std::fs::write(sentinel(&bench), "broken").unwrap();
    let ran = bench.run(&["snapshot", "guard", "9001", "abort"]).await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
    assert_eq!(guest_9001(&bench)["status"], "stopped");
    assert_ne!(std::fs::read_to_string(sentinel(&bench)).unwrap(), "broken");
}

/// Begins on a guest for which that is refused; the text that a person reads.
async fn refused(bench: &Bench, vmid: &str, exit: Exit) -> String {
    let before = bench.production();
    let words = [
        "snapshot",
        "guard",
        vmid,
        "begin",
        "--confirm-within",
        "15m",
    ];
    let dry: Vec<&str> = words.into_iter().chain(["--dry-run"]).collect();
    let ran = bench.run(&dry).await;
    assert_eq!(ran.exit, exit, "{}", ran.text());
    let ran = bench.run(&words).await;
    assert_eq!(ran.exit, exit, "{}", ran.text());
    assert!(
        ran.text()
            .contains(&format!("felhom-agent backup run {vmid}")),
        "{}",
        ran.text()
    );
    assert_eq!(bench.production(), before);
    assert!(guards(bench).await.is_empty());
    ran.text()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_snapshotted_is_refused_with_the_mount_in_the_way_and_another_way() {
    let bench = calm().await;
    let text = refused(&bench, "9010", Exit::Refused).await;
    assert!(
        text.contains("mp3 (/mnt/mp3) is the directory `/var/lib/bindmount` of the host"),
        "{text}"
    );
    bench
        .poke(9001, json!({ "set": { "lock": "backup" } }))
        .await;
    let text = refused(&bench, "9001", Exit::Refused).await;
    assert!(text.contains("locked (backup)"), "{text}");
    bench.poke(9001, json!({ "delete": ["lock"] })).await;
    let size = bench.world.state()["world"]["pool"]["size"]
        .as_u64()
        .unwrap();
    bench.world.fill_pool(size / 100 * 92).await.unwrap();
    let text = refused(&bench, "9001", Exit::Refused).await;
    assert!(text.contains("and a snapshot grows"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_may_not_snapshot_makes_no_promise() {
    let bench = calm().await;
    bench.revoke("FelhomAgent", "VM.Snapshot").await;
    let text = refused(&bench, "9001", Exit::Permission).await;
    assert!(text.contains("lacks VM.Snapshot on /vms/9001"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_time_the_node_is_not_rolled_back_by_itself_and_a_person_still_can() {
    let bench = calm().await;
    bench.revoke("FelhomAgent", "Sys.Audit").await;
    let ran = begin(&bench, &["--on-expiry", "rollback"]).await;
    assert_eq!(ran.exit, Exit::Refused, "{}", ran.text());
    assert!(
        ran.text().contains("no deadline could be proven"),
        "{}",
        ran.text()
    );
    let ran = begin(&bench, &["--on-expiry", "keep"]).await;
    assert_eq!(ran.exit, Exit::Findings, "{}", ran.text());
    let ran = bench.run(&["snapshot", "guard", "9001", "abort"]).await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_fails_is_no_guard() {
    let bench = calm().await;
    let before = bench.production();
    for kind in [
        FaultKind::TaskFail {
            text: "lvcreate: no".into(),
        },
        FaultKind::TaskVanish,
    ] {
        for point in ["vzsnapshot", "vzsnapshot:end"] {
            bench.world.inject(Fault::task(point, kind.clone()));
            let ran = begin(&bench, &[]).await;
            assert!(
                matches!(ran.exit, Exit::TaskFailed | Exit::Undetermined),
                "{}",
                ran.text()
            );
            assert_eq!(ran.data()["end"], "failed", "{}", ran.text());
            assert!(
                ran.text().contains("felhom-agent backup run 9001"),
                "{}",
                ran.text()
            );
            assert_eq!(bench.production(), before);
            assert!(guards(&bench).await.is_empty());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volume_that_no_backup_holds_is_named_before_it_is_taken_back() {
    let bench = calm().await;
    // What 9010 has in its way is taken out of it.
    bench.poke(9010, json!({ "delete": ["mp3"] })).await;
    let ran = bench
        .run(&[
            "snapshot",
            "guard",
            "9010",
            "begin",
            "--confirm-within",
            "15m",
        ])
        .await;
    assert_eq!(ran.exit, Exit::Findings, "{}", ran.text());
    assert_eq!(ran.data()["findings"][0]["code"], "rollback-takes-back");
    assert_eq!(
        ran.data()["beyond_backup"],
        json!(["mp2 (/mnt/mp2, backup=0)"])
    );
    let dry = bench
        .run(&["snapshot", "guard", "9010", "abort", "--dry-run"])
        .await;
    assert!(
        dry.text()
            .contains("mp2 (/mnt/mp2, backup=0) is taken back too"),
        "{}",
        dry.text()
    );
    assert!(
        dry.text().contains("mp1 (/mnt/mp1) is taken back"),
        "{}",
        dry.text()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_is_gone_or_is_not_ours_is_neither_rolled_back_to_nor_removed() {
    let bench = calm().await;
    begin(&bench, &[]).await;
    let name = guards(&bench).await[0].snapshot.clone();
    let root = bench.root();
    drop(root.delete_snapshot(vmid(9001), &name).await.unwrap());
    settled(&bench).await;
    let foreign = felhom_proxmox::pve::guests::CreateSnapshot {
        vmid: vmid(9001),
        name: name.clone(),
        description: Some("somebody else's".into()),
    };
    drop(root.create_snapshot(&foreign).await.unwrap());
    settled(&bench).await;
    let before = guest_9001(&bench);
    let ran = bench.run(&["snapshot", "guard", "9001", "abort"]).await;
    assert_eq!(ran.exit, Exit::NoSuchThing, "{}", ran.text());
    assert_eq!(ran.data()["findings"][0]["code"], "guard-snapshot-gone");
    assert_eq!(guest_9001(&bench), before);
    assert!(guards(&bench).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_that_fails_leaves_the_guard_as_it_was() {
    let bench = calm().await;
    begin(&bench, &[]).await;
    let before = guest_9001(&bench);
    let text = "can't rollback, 's1' is not most recent snapshot on 'zfs:subvol-9001-disk-0'";
    bench.world.inject(Fault::task(
        "vzrollback",
        FaultKind::TaskFail { text: text.into() },
    ));
    let ran = bench.run(&["snapshot", "guard", "9001", "abort"]).await;
    assert_eq!(ran.exit, Exit::TaskFailed, "{}", ran.text());
    assert_eq!(ran.data()["end"], "unchanged");
    assert!(ran.text().contains(text), "{}", ran.text());
    assert_eq!(guest_9001(&bench), before);
    assert_eq!(guards(&bench).await[0].phase, GuardPhase::Open);
    let ran = bench.run(&["snapshot", "guard", "9001", "abort"]).await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_whose_end_nobody_knows_is_left_to_a_person() {
    let bench = calm().await;
    begin_short(&bench, "rollback").await;
    bench
        .world
        .inject(Fault::task("vzrollback:end", FaultKind::TaskVanish));
    let ran = bench.run(&["snapshot", "guard", "9001", "abort"]).await;
    assert_eq!(ran.exit, Exit::Undetermined, "{}", ran.text());
    settled(&bench).await;
    std::fs::write(sentinel(&bench), "worked on").unwrap();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let status = bench.run(&["status"]).await;
    assert!(
        status.text().contains("guard-undetermined"),
        "{}",
        status.text()
    );
    let settle = bench.run(&["snapshot", "settle"]).await;
    assert_eq!(settle.exit, Exit::Findings, "{}", settle.text());
    assert_eq!(
        std::fs::read_to_string(sentinel(&bench)).unwrap(),
        "worked on"
    );
    let ran = bench.run(&["snapshot", "guard", "9001", "confirm"]).await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
    assert_eq!(snapshots(&bench), 0);
}

/// Runs the timer's command until it has done something or a while is over.
async fn settle_until(bench: &Bench, end: &str) -> bool {
    for _ in 0..40 {
        let ran = bench.run(&["snapshot", "settle"]).await;
        if ran.data()["settled"][0]["end"] == end {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    false
}

async fn begin_short(bench: &Bench, on_expiry: &str) {
    let words = [
        "snapshot",
        "guard",
        "9001",
        "begin",
        "--confirm-within",
        "1s",
        "--on-expiry",
        on_expiry,
    ];
    let ran = bench.run(&words).await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
    std::fs::write(sentinel(bench), "forgotten").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forgotten_change_is_taken_back_when_it_was_begun_so() {
    let bench = calm().await;
    begin_short(&bench, "rollback").await;
    assert!(settle_until(&bench, "rolled-back").await);
    assert_ne!(
        std::fs::read_to_string(sentinel(&bench)).unwrap(),
        "forgotten"
    );
    assert_eq!(guest_9001(&bench)["status"], "running");
    assert_eq!(snapshots(&bench), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forgotten_change_is_told_where_it_is_kept_and_every_command_that_changes_something_settles()
 {
    let bench = calm().await;
    begin_short(&bench, "keep").await;
    assert!(!settle_until(&bench, "rolled-back").await);
    let list = bench.run(&["snapshot", "list"]).await;
    assert_eq!(list.exit, Exit::Findings, "{}", list.text());
    assert_eq!(list.data()[0]["state"], "expired");
    assert_eq!(list.data()[0]["findings"][0]["code"], "guard-expired");
    let status = bench.run(&["status"]).await;
    assert!(
        status.text().contains("snapshot guard 9001 abort"),
        "{}",
        status.text()
    );
    bench.reconfigure(|text| {
        format!("{text}\n[snapshot-guard]\nmax_age = \"1s\"\non_max_age = \"delete\"\n")
    });
    let ran = bench.run(&["selftest", "task", "9010"]).await;
    assert!(ran.text().contains("became too old"), "{}", ran.text());
    assert_eq!(snapshots(&bench), 0);
    assert_eq!(
        std::fs::read_to_string(sentinel(&bench)).unwrap(),
        "forgotten"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumped_rolls_nothing_back() {
    let bench = calm().await;
    let ran = begin(&bench, &["--on-expiry", "rollback"]).await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
    std::fs::write(sentinel(&bench), "at work").unwrap();
    bench.world.shift_clock(7200);
    let ran = bench.run(&["snapshot", "settle"]).await;
    assert_eq!(ran.exit, Exit::Findings, "{}", ran.text());
    assert_eq!(ran.data()["guards"][0]["state"], "unsure");
    assert!(
        ran.text().contains("the clocks do not agree"),
        "{}",
        ran.text()
    );
    assert_eq!(
        std::fs::read_to_string(sentinel(&bench)).unwrap(),
        "at work"
    );
    assert_eq!(snapshots(&bench), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_persons_word_comes_before_what_is_due() {
    let bench = calm().await;
    begin_short(&bench, "rollback").await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let dry = bench.run(&["snapshot", "settle", "--dry-run"]).await;
    assert!(
        dry.text().contains("roll guest 9001 back"),
        "{}",
        dry.text()
    );
    let ran = bench.run(&["snapshot", "guard", "9001", "confirm"]).await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
    assert_eq!(
        std::fs::read_to_string(sentinel(&bench)).unwrap(),
        "forgotten"
    );
    assert_eq!(snapshots(&bench), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_confirmed_guard_of_a_locked_guest_is_confirmed_and_its_snapshot_goes_later() {
    let bench = calm().await;
    begin_short(&bench, "rollback").await;
    bench
        .poke(9001, json!({ "set": { "lock": "backup" } }))
        .await;
    let ran = bench.run(&["snapshot", "guard", "9001", "confirm"]).await;
    assert_eq!(ran.exit, Exit::Findings, "{}", ran.text());
    assert_eq!(ran.data()["end"], "confirmed");
    assert_eq!(snapshots(&bench), 1);
    bench.poke(9001, json!({ "delete": ["lock"] })).await;
    assert!(settle_until(&bench, "confirmed").await);
    assert_eq!(snapshots(&bench), 0);
    assert_eq!(
        std::fs::read_to_string(sentinel(&bench)).unwrap(),
        "forgotten"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_journal_nothing_is_settled_and_nothing_made() {
    let bench = calm().await;
    let asked = bench.world.counts();
    let ran = bench.run(&["snapshot", "settle"]).await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
    assert_eq!(ran.data(), json!({ "settled": [], "guards": [] }));
    assert_eq!(bench.world.counts(), asked);
    assert!(!bench.state_dir().exists(), "no journal is made");
}

/// The timer asks every five minutes, a pass or not; most boxes never have a guard.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nothing_stands_settling_asks_nobody_and_waits_for_nobody() {
    let bench = calm().await;
    assert_eq!(begin(&bench, &[]).await.exit, Exit::Done);
    let confirm = ["snapshot", "guard", "9001", "confirm"];
    assert_eq!(bench.run(&confirm).await.exit, Exit::Done);
    let node = bench.world.url();
    bench.reconfigure(|text| text.replace(&node, "https://127.0.0.1:1"));
    let at_work = bench.journal().await;
    let ran = bench.run(&["snapshot", "settle"]).await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
    assert!(ran.text().contains("nothing is due"), "{}", ran.text());
    // A job that did not end is looked after.
    let draft = guard_draft(&at_work, 9001);
    let job = guard_job(&bench, draft, GuardJob::begin);
    at_work.insert(&job).await.unwrap();
    let ran = bench.run(&["snapshot", "settle"]).await;
    assert_ne!(ran.exit, Exit::Done, "{}", ran.text());
}
