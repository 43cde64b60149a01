//! What a pass knows of earlier tries, however many there were.

use std::sync::Arc;
use std::time::Duration;

use felhom_engine::{BackupReport, BackupVerdict, Timestamp, Verdict};
use serde_json::{Value, json};

use super::{CONTAINERS, Stage, done};
use crate::helper::{SERIAL, UUID};
use crate::support::*;
use crate::targets::Site;

/// More than the plan takes notice of.
const MANY: u64 = 25;

/// Notes a backup of 9001 as one that ended then.
async fn note_backup(stage: &Stage, bits: u64, report: &BackupReport, ended: Timestamp) {
    let journal = stage.bench.journal().await;
    let job = backup_job(&stage.bench, &journal, 9001, bits);
    journal.insert(&job).await.unwrap();
    journal.finish_backup(&job, report, ended).await.unwrap();
}

/// A guest as the host report tells of it.
async fn told(stage: &Stage, vmid: u32) -> Value {
    let report = stage.run(&["report"]).await.data();
    let guests = report["guests"].as_array().unwrap().clone();
    guests.into_iter().find(|one| one["vmid"] == vmid).unwrap()
}

/// Backups of 9001 that failed one after another, the first of them then.
async fn failed_since(stage: &Stage, first: Timestamp) {
    let journal = stage.bench.journal().await;
    let good = journal.backups(Some(vmid(9001))).await.unwrap();
    let good = good.into_iter().next().unwrap().report;
    drop(journal);
    let failed = BackupReport {
        verdict: BackupVerdict::Failed,
        volid: None,
        ..good
    };
    for n in 0..MANY {
        let ended = first.plus(Duration::from_secs(60 * n));
        note_backup(stage, 100 + n, &failed, ended).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_keeps_its_good_backup_and_its_proof_however_often_others_fail() {
    let stage = Stage::new(CONTAINERS).await;
    stage.until("12:00").await;
    let ran = stage.pass().await;
    assert!(done(&ran).contains(&"proof 9001 passed".to_owned()));
    failed_since(&stage, stage.now()).await;
    let journal = stage.bench.journal().await;
    let passed = journal.tests(Some(vmid(9001))).await.unwrap().remove(0);
    let mut error = passed.report;
    error.judgement.verdict = Verdict::Error;
    for n in 0..MANY {
        let job = backup_job(&stage.bench, &journal, 9001, 200 + n);
        let ended = stage.now().plus(Duration::from_secs(60 * n));
        journal.insert(&job).await.unwrap();
        let noted = journal.finish_test(&job, &error, None, ended).await;
        noted.unwrap();
    }
    drop(journal);
    // Long enough ago that nothing rests any more.
    stage.until("11:00").await;
    stage.until("11:00").await;
    stage.until("11:00").await;
    let planned = stage.run(&["run", "--once", "--dry-run"]).await;
    let text = planned.text();
    assert_eq!(planned.data()["due"].as_array().unwrap().len(), 0, "{text}");
    // Three days, less an hour or two.
    assert_eq!(text.matches("guest 9001: backed up 7").count(), 1, "{text}");
    assert!(text.contains("restore-tested 7"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_that_is_known_to_be_bad_is_no_backup_however_long_that_is_known() {
    let stage = Stage::new(CONTAINERS).await;
    stage.until("12:00").await;
    stage.run(&["backup", "run", "9001"]).await;
    assert!(told(&stage, 9001).await["newest_archive_s"].is_i64());
    let journal = stage.bench.journal().await;
    let made = journal.backups(Some(vmid(9001))).await.unwrap().remove(0);
    drop(journal);
    let bad = BackupReport {
        verdict: BackupVerdict::Failed,
        ..made.report
    };
    note_backup(&stage, 1, &bad, stage.now()).await;
    failed_since(&stage, stage.now().plus(Duration::from_secs(1))).await;
    stage.until("13:00").await;
    let guest = told(&stage, 9001).await;
    assert!(guest["newest_archive_s"].is_null(), "{guest}");
    let planned = stage.run(&["run", "--once", "--dry-run"]).await;
    let left = planned.data()["left"].as_array().unwrap().clone();
    let proof = |one: &Value| one["work"] == "proof" && one["vmid"] == 9001;
    let proof = left.into_iter().find(proof).unwrap();
    assert_eq!(proof["reason"], "there is no backup of it to test");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_is_away_is_not_asked_for_by_every_pass_and_is_used_soon_after_it_is_back() {
    let Site { bench, helper } = Site::adopted().await;
    let config = std::fs::read_to_string(&bench.config).unwrap();
    let config = format!("{config}\n{CONTAINERS}proof = []\n");
    std::fs::write(&bench.config, config).unwrap();
    let stage = Stage {
        bench,
        clock: Arc::default(),
    };
    let sees = async |state: &str| {
        let order = json!({ "storage": "usb1", "state": state });
        let set = stage.bench.world.control("storage-state", order).await;
        set.unwrap();
    };
    helper.pull();
    sees("offline").await;
    stage.until("12:00").await;
    let away = ["backup 9001 target-detached", "backup 9010 target-detached"];
    assert_eq!(done(&stage.pass().await), away);
    for time in ["12:15", "12:30", "12:45"] {
        stage.until(time).await;
        let ran = stage.pass().await;
        assert_eq!(done(&ran), Vec::<String>::new(), "{time}");
        let reason = "it was held up, and is tried again in";
        assert!(ran.text().contains(reason), "{}", ran.text());
        assert!(ran.text().contains("is detached"), "{}", ran.text());
    }
    for time in ["13:15", "14:30", "15:45", "17:00"] {
        stage.until(time).await;
        assert_eq!(done(&stage.pass().await), away, "{time}");
    }
    helper.plug(UUID, SERIAL);
    sees("online").await;
    let ran = stage.run(&["backup", "run", "9001"]).await;
    assert_eq!(ran.data()["verdict"], "good", "a person is not bound");
    stage.until("18:05").await;
    let ran = stage.pass().await;
    assert_eq!(done(&ran), ["backup 9010 good"], "{}", ran.text());
}

/// A journal of before these tables is planned from as one that knows of no such thing, and brought up to date by a pass.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_of_before_is_planned_from_and_then_brought_up_to_date() {
    let stage = Stage::new(CONTAINERS).await;
    stage.until("12:00").await;
    drop(stage.bench.journal().await);
    let file = stage.bench.state_dir().join("journal.sqlite");
    let url = format!("sqlite://{}", file.display());
    let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
    for query in [
        "DROP TABLE refused_work",
        "DROP TABLE resumptions",
        "DELETE FROM _sqlx_migrations WHERE version = 14",
    ] {
        sqlx::query(query).execute(&pool).await.unwrap();
    }
    pool.close().await;
    let planned = stage.run(&["run", "--once", "--dry-run"]).await;
    assert_eq!(planned.data()["due"].as_array().unwrap().len(), 2);
    assert_eq!(stage.run(&["report"]).await.data()["unknown"], json!([]));
    let ran = stage.pass().await;
    assert!(done(&ran).contains(&"backup 9001 good".to_owned()));
}
