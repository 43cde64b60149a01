//! Storages that are gone, lists that may be shortened, and journals of before.

use felhom_agent::exit::Exit;
use felhom_agent::journal::Journal;
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
