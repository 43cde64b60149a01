//! What becomes of interrupted jobs: what they came to counts, and one that ends every process keeps nobody from the others.

use felhom_agent::exit::Exit;
use felhom_agent::journal::Journal;
use felhom_simulator::{Fault, FaultKind};
use serde_json::{Value, json};

use super::{Stage, backed_up, done};
use crate::notify::receiver::Receiver;
use crate::support::*;

/// A box whose signs of life are heard.
async fn watched(schedule: &str) -> (Stage, Receiver) {
    let receiver = Receiver::new().await;
    let signs = "[notify.ping]\nbackup_file = \"backup\"\nproof_file = \"proof\"\n";
    let stage = Stage::new(&format!("{schedule}{signs}")).await;
    for name in ["backup", "proof"] {
        let url = format!("http://127.0.0.1:{}/{name}", receiver.port());
        let path = stage.bench.config.parent().unwrap().join(name);
        secret(&path, &url, 0o600);
    }
    (stage, receiver)
}

fn heard(receiver: &Receiver) -> Vec<String> {
    let name = |line: String| line.split(['/', ' ']).nth(2).unwrap().to_owned();
    receiver
        .take()
        .into_iter()
        .map(|seen| name(seen.line))
        .collect()
}

/// A pass that a power cut ended in the middle of this job.
async fn cut_off(stage: &Stage, job: &felhom_engine::Job, journal: Journal) {
    journal.begin_pass(stage.now()).await.unwrap();
    journal.insert(job).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_interrupted_jobs_came_to_gives_signs_of_life_and_is_pruned_after() {
    let (stage, receiver) = watched("[schedule]\nguests = \"@ct,-9010\"\n").await;
    stage.until("12:00").await;
    stage.pass().await;
    assert_eq!(heard(&receiver), ["backup", "proof"]);
    let nothing = stage.pass().await;
    assert_eq!(done(&nothing), Vec::<String>::new(), "{}", nothing.text());
    assert_eq!(heard(&receiver), Vec::<String>::new(), "nothing was done");
    // Both are ended by the next pass, outside of all windows.
    let journal = stage.bench.journal().await;
    let row = journal.backups(Some(vmid(9001))).await.unwrap().remove(0);
    let test = test_job(&stage.bench, &journal, &row.report.volid.unwrap(), 1);
    cut_off(&stage, &test, journal).await;
    let ran = stage.pass().await;
    assert_eq!(ran.data()["resumed"].as_array().unwrap().len(), 1);
    assert_eq!(heard(&receiver), ["proof"], "{}", ran.text());
    let journal = stage.bench.journal().await;
    let backup = backup_job(&stage.bench, &journal, 9001, 2);
    cut_off(&stage, &backup, journal).await;
    let ran = stage.pass().await;
    assert_eq!(done(&ran), ["prune 9001 0 removed"], "{}", ran.text());
    assert_eq!(heard(&receiver), ["backup"], "{}", ran.text());
    // Or by the timer for guards, between two passes.
    let journal = stage.bench.journal().await;
    let backup = backup_job(&stage.bench, &journal, 9001, 3);
    cut_off(&stage, &backup, journal).await;
    stage.run(&["snapshot", "settle"]).await;
    let ran = stage.pass().await;
    assert_eq!(ran.data()["resumed"], json!([]), "{}", ran.text());
    assert_eq!(heard(&receiver), ["backup"], "{}", ran.text());
    stage.pass().await;
    assert_eq!(heard(&receiver), Vec::<String>::new(), "once");
}

/// The codes and subjects of what the end of a pass told.
fn stuck(ran: &Ran) -> Vec<String> {
    let found = ran.data()["told"]["findings"].clone();
    let found = found.as_array().unwrap().iter();
    let found = found.filter(|one| one["code"] == "job-stuck");
    found
        .map(|one: &Value| one["subject"].as_str().unwrap().to_owned())
        .collect()
}

/// A command that is killed as soon as it goes on with a job for this time in a row.
async fn killed(stage: &Stage, args: &[&str], times: u32) {
    let directory = stage.bench.state_dir();
    let sign = async {
        let begun = async || {
            let journal = Journal::read(&directory).await.unwrap();
            journal.unfinished().await.unwrap()[0].cut_off
        };
        while begun().await < times {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        ran = stage.run(args) => panic!("{}", ran.text()),
        () = sign => {}
    }
    // Its handles close a moment later.
    drop(stage.bench.journal().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_ends_every_process_is_left_aside_and_told_until_a_person_goes_on_with_it() {
    let stage = Stage::new("[schedule]\nguests = \"@ct\"\nproof = []\n").await;
    stage.until("12:00").await;
    let journal = stage.bench.journal().await;
    let job = backup_job(&stage.bench, &journal, 9001, 1);
    cut_off(&stage, &job, journal).await;
    stage.bench.world.inject(Fault {
        count: None,
        ..Fault::request("GET", "/nodes/*/lxc/9001/config", FaultKind::Stall)
    });
    killed(&stage, &["run", "--once"], 1).await;
    killed(&stage, &["snapshot", "settle"], 2).await;
    killed(&stage, &["run", "--once"], 3).await;
    let planned = stage.run(&["run", "--once", "--dry-run"]).await;
    assert!(planned.text().contains("is left aside"), "{planned:?}");
    stage.bench.world.clear_faults();
    let ran = stage.run(&["snapshot", "settle"]).await;
    assert_eq!(ran.exit, Exit::Done, "{ran:?}");
    let ran = stage.pass().await;
    assert_eq!(backed_up(&ran), ["backup 9010 good"], "{}", ran.text());
    assert!(
        ran.text().contains("cut off again and again"),
        "{}",
        ran.text()
    );
    assert_eq!(stuck(&ran), [format!("job {}", job.id)]);
    let ran = stage.run(&["restore-test", "reap"]).await;
    assert!(ran.text().contains("was brought to its end"), "{ran:?}");
    let ran = stage.pass().await;
    assert_eq!(stuck(&ran), Vec::<String>::new());
    let journal = stage.bench.journal().await;
    assert!(journal.unfinished().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_processes_that_were_cut_off_in_a_row_count_and_two_of_them_are_not_enough() {
    let stage = Stage::new("[schedule]\nguests = \"@ct,-9010\"\nproof = []\n").await;
    stage.until("12:00").await;
    let journal = stage.bench.journal().await;
    let job = backup_job(&stage.bench, &journal, 9001, 1);
    cut_off(&stage, &job, journal).await;
    let journal = stage.bench.journal().await;
    let cut_off = async || journal.unfinished().await.unwrap()[0].cut_off;
    for _ in 0..2 {
        journal.begin_resumption(&job.id).await.unwrap();
    }
    assert_eq!(cut_off().await, 2);
    // As of a job that waits: somebody could say so.
    journal.end_resumption(&job.id).await.unwrap();
    assert_eq!(cut_off().await, 0);
    for _ in 0..2 {
        journal.begin_resumption(&job.id).await.unwrap();
    }
    drop(journal);
    let ran = stage.pass().await;
    let resumed = json!(["backup of guest 9001"]);
    assert_eq!(ran.data()["resumed"], resumed, "{}", ran.text());
    assert_eq!(stuck(&ran), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_cannot_be_read_is_told_and_stands_in_no_others_way() {
    let stage = Stage::new("[schedule]\nguests = \"@ct\"\nproof = []\n").await;
    stage.until("12:00").await;
    let journal = stage.bench.journal().await;
    let odd = backup_job(&stage.bench, &journal, 9001, 1);
    let other = backup_job(&stage.bench, &journal, 9010, 2);
    journal.insert(&odd).await.unwrap();
    journal.insert(&other).await.unwrap();
    drop(journal);
    let file = stage.bench.state_dir().join("journal.sqlite");
    let url = format!("sqlite://{}", file.display());
    let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
    let spoil = sqlx::query("UPDATE jobs SET state = '{\"of\": \"tomorrow\"}' WHERE id = ?");
    spoil.bind(odd.id.as_str()).execute(&pool).await.unwrap();
    pool.close().await;
    let ran = stage.pass().await;
    assert_eq!(ran.data()["resumed"], json!(["backup of guest 9010"]));
    assert_eq!(backed_up(&ran), ["backup 9001 good"], "{}", ran.text());
    assert_eq!(stuck(&ran), [format!("job {}", odd.id)]);
}
