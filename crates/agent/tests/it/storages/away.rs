//! Storages that are gone, lists that may be shortened, and journals of before.

use felhom_agent::exit::Exit;
use felhom_agent::journal::Journal;
use felhom_protocol::host::{Guest, HostReport, Posture};
use felhom_proxmox::{FollowOptions, Outcome, pve};
use serde_json::json;

use super::*;

/// Backups go to the NFS storage.
const TO_NAS: &str = "[backup]\nwait = \"5s\"\nstorage = \"nas\"\n";

fn to_nas() -> String {
    FAST.replace("[backup]\nwait = \"5s\"\n", TO_NAS)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_definition_that_is_gone_is_missed_and_one_that_cannot_be_seen_is_not() {
    let bench = with_nas(SPEED, FAST).await;
    assert_eq!(state(&bench, "nas").await, (Exit::Done, "attached".into()));
    undefine(&bench, "nas").await;
    let (exit, nas) = listed(&bench, "nas").await;
    assert_eq!((exit, &nas["state"]), (Exit::Findings, &json!("detached")));
    assert_eq!(
        (&nas["kind"], &nas["why"]),
        (&json!("unknown"), &json!("it is not defined"))
    );
    assert_eq!(doctor(&bench).await, one("storage-vanished", "nas"));
    for right in [
        "Datastore.AllocateSpace",
        "Datastore.Audit",
        "Datastore.Allocate",
    ] {
        bench.revoke("FelhomAgent", right).await;
    }
    let (exit, nas) = listed(&bench, "nas").await;
    assert_eq!((exit, &nas["state"]), (Exit::Done, &json!("unknown")));
    let why = nas["why"].as_str().unwrap();
    assert!(why.contains("the token may not see /storage/nas"), "{why}");
}

/// Each trouble with the configured storage is told once, by whoever knows most of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_trouble_is_not_told_twice() {
    let bench = with_nas(SPEED, &to_nas()).await;
    behave(&bench, "nas", "offline").await;
    assert_eq!(
        doctor(&bench).await,
        one("storage-unusable", "nas"),
        "never seen"
    );
    behave(&bench, "nas", "online").await;
    assert_eq!(doctor(&bench).await, []);
    behave(&bench, "nas", "offline").await;
    assert_eq!(doctor(&bench).await, one("storage-vanished", "nas"));
    behave(&bench, "nas", "hang").await;
    assert_eq!(doctor(&bench).await, one("storage-unusable", "nas"));
    behave(&bench, "nas", "offline").await;
    assert_eq!(
        bench.run(&["storage", "eject", "nas"]).await.exit,
        Exit::Done
    );
    assert_eq!(doctor(&bench).await, [], "it is away on purpose");
}

/// Only what was seen to be there is remembered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storage_that_never_answered_is_not_missed() {
    let bench = with_nas(SPEED, FAST).await;
    behave(&bench, "nas", "offline").await;
    let (exit, nas) = listed(&bench, "nas").await;
    assert_eq!((exit, &nas["state"]), (Exit::Done, &json!("detached")));
    assert_eq!(nas["remembered"], json!(null));
    let known = bench.journal().await.storages().await.unwrap();
    let ids: Vec<String> = known.iter().map(|one| one.id.to_string()).collect();
    assert_eq!(ids, ["local", "local-lvm"]);
}

async fn report(bench: &Bench) -> HostReport {
    let ran = bench.run(&["report"]).await;
    serde_json::from_value(ran.data()).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

fn guest(report: &HostReport, vmid: u32) -> &Guest {
    report.guests.iter().find(|one| one.vmid == vmid).unwrap()
}

/// Somebody else's backup.
async fn vzdump(bench: &Bench, storage: &str) {
    let root = bench.root();
    let vzdump = pve::backup::Vzdump::new(vmid(9001), storage.parse().unwrap());
    let task = root.vzdump(&vzdump).await.unwrap();
    let ended = root.finish(task, &FollowOptions::default()).await.unwrap();
    assert_eq!(ended, Outcome::Succeeded);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_backup_on_a_storage_that_hangs_is_not_missed() {
    let bench = with_nas(SPEED, FAST).await;
    vzdump(&bench, "local").await;
    let days = json!({ "seconds": 5 * 86_400 });
    bench.world.control("shift-clock", days).await.unwrap();
    vzdump(&bench, "nas").await;
    let overdue = |told: &HostReport| {
        let mut found = told.findings.iter();
        found.any(|one| one.code == "backup-overdue" && one.subject == "guest 9001")
    };
    behave(&bench, "nas", "hang").await;
    let told = report(&bench).await;
    let reasons = guest(&told, 9001).reasons.join("; ");
    let reason = "the newest backup that can be seen is 5 days old, and there may be a newer one";
    assert!(reasons.contains(reason), "{reasons}");
    assert!(!overdue(&told), "{told:?}");
    // Once it was seen, it is remembered.
    behave(&bench, "nas", "online").await;
    let seen = report(&bench).await;
    behave(&bench, "nas", "hang").await;
    for _ in 0..2 {
        let told = report(&bench).await;
        let newest = |report: &HostReport| guest(report, 9001).newest_archive_s.unwrap();
        assert!(newest(&told).abs_diff(newest(&seen)) < 3600, "{told:?}");
        assert_eq!(guest(&told, 9001).reasons, guest(&seen, 9001).reasons);
        assert!(!overdue(&told), "{told:?}");
    }
    // What is gone for good is not.
    undefine(&bench, "nas").await;
    assert!(overdue(&report(&bench).await));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lies_on_a_storage_that_cannot_be_seen_any_more_is_not_missed() {
    let bench = with_nas(SPEED, &to_nas()).await;
    bench.backup(9001).await;
    assert_eq!(
        guest(&report(&bench).await, 9010).posture,
        Posture::Unprotected
    );
    for right in [
        "Datastore.AllocateSpace",
        "Datastore.Audit",
        "Datastore.Allocate",
    ] {
        bench.revoke("FelhomAgent", right).await;
    }
    let told = report(&bench).await;
    for vmid in [9001, 9010] {
        assert_eq!(guest(&told, vmid).posture, Posture::Unknown, "{told:?}");
    }
}

/// A journal of before this table is read as one that remembers nothing, and brought up to date when something is noted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_of_before_learns_to_remember() {
    let bench = Bench::new().await;
    let installation = bench.journal().await.installation().clone();
    let file = bench.state_dir().join("journal.sqlite");
    let pool = sqlx::SqlitePool::connect(&format!("sqlite://{}", file.display()))
        .await
        .unwrap();
    for query in [
        "DROP TABLE storages",
        "DELETE FROM _sqlx_migrations WHERE version = 8",
    ] {
        sqlx::query(query).execute(&pool).await.unwrap();
    }
    pool.close().await;
    let old = Journal::read(&bench.state_dir()).await.unwrap();
    assert_eq!(old.storages().await.unwrap(), []);
    drop(old);
    assert_eq!(
        state(&bench, "local").await,
        (Exit::Done, "attached".into())
    );
    let journal = bench.journal().await;
    assert_eq!(journal.storages().await.unwrap().len(), 2);
    assert_eq!(*journal.installation(), installation);
}

/// While another run holds the journal, what is seen is noted all the same, and nothing waits for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looking_disturbs_no_run() {
    let bench = Bench::new().await;
    let held = bench.journal().await;
    assert_eq!(
        state(&bench, "local").await,
        (Exit::Done, "attached".into())
    );
    assert_eq!(held.storages().await.unwrap().len(), 2);
    let busy = bench.run(&["storage", "eject", "local"]).await;
    assert_eq!(busy.exit, Exit::Busy, "a decision is no look: {busy:?}");
}
