//! What a pass tells a person, and what is told past all passes.

use felhom_agent::exit::Exit;
use serde_json::{Value, json};

use super::{CONTAINERS, Stage, done, lasting};
use crate::notify::receiver::Receiver;
use crate::notify::{self, hook};
use crate::support::*;

/// The codes of what the end of a pass told.
fn told(ran: &Ran) -> Vec<String> {
    let data = ran.data();
    let found = data["told"]["findings"].as_array().unwrap();
    let code = |one: &Value| one["code"].as_str().unwrap().to_owned();
    found.iter().map(code).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pass_that_breaks_off_is_told_until_one_does_not() {
    let phone = Receiver::new().await;
    let stage = Stage::new(&format!("{CONTAINERS}{}", hook("phone", phone.port()))).await;
    notify::secrets(stage.bench.config.parent().unwrap());
    stage.until("12:00").await;
    lasting(&stage, "/cluster/resources");
    let ran = stage.pass().await;
    assert_ne!(ran.exit, Exit::Done);
    assert_ne!(ran.exit, Exit::Busy, "a timer takes that for a success");
    assert!(
        told(&ran).contains(&"pass-broken".to_owned()),
        "{}",
        ran.text()
    );
    stage.bench.world.clear_faults();
    let ran = stage.pass().await;
    assert!(
        !told(&ran).contains(&"pass-broken".to_owned()),
        "{}",
        ran.text()
    );
    assert!(
        done(&ran).contains(&"backup 9001 good".to_owned()),
        "{}",
        ran.text()
    );
    let heard = phone.take().into_iter().map(|seen| seen.notice());
    let heard = heard.filter(|notice| notice["code"] == "pass-broken");
    let events: Vec<_> = heard
        .map(|notice| notice["event"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(events[0], "opened");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_that_means_nobody_is_told() {
    let stage = Stage::new("[schedule]\nguests = \"@tag-nobody-has-it\"\n").await;
    let ran = stage.pass().await;
    assert_eq!(done(&ran), Vec::<String>::new());
    assert_eq!(ran.exit, Exit::Findings, "{}", ran.text());
    assert!(
        told(&ran).contains(&"nobody-selected".to_owned()),
        "{}",
        ran.text()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pass_that_cannot_begin_is_told_once_a_day_though_nothing_can_be_written() {
    let phone = Receiver::new().await;
    let stage = Stage::new(&format!("{CONTAINERS}{}", hook("phone", phone.port()))).await;
    notify::secrets(stage.bench.config.parent().unwrap());
    stage.pass().await;
    phone.take();
    let journal = stage.bench.state_dir().join("journal.sqlite");
    let aside = journal.with_extension("aside");
    std::fs::rename(&journal, &aside).unwrap();
    std::fs::write(&journal, "this was a data base once").unwrap();
    for hour in ["12:00", "13:00"] {
        stage.until(hour).await;
        assert_eq!(stage.pass().await.exit, Exit::Unexpected);
    }
    let heard: Vec<Value> = phone.take().into_iter().map(|seen| seen.notice()).collect();
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert_eq!(
        (&heard[0]["code"], &heard[0]["event"]),
        (&json!("pass-broken"), &json!("opened"))
    );
    stage.until("12:00").await;
    stage.until("14:00").await;
    assert_eq!(stage.pass().await.exit, Exit::Unexpected);
    assert_eq!(phone.take().len(), 1, "a day later again");
    std::fs::rename(&aside, &journal).unwrap();
    stage.pass().await;
    let told = |seen: notify::receiver::Seen| seen.notice()["code"] == "pass-broken";
    assert!(!phone.take().into_iter().any(told));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passes_that_are_cut_off_one_after_another_are_told_before_the_next_one_is() {
    let phone = Receiver::new().await;
    let stage = Stage::new(&format!("{CONTAINERS}{}", hook("phone", phone.port()))).await;
    notify::secrets(stage.bench.config.parent().unwrap());
    stage.until("12:00").await;
    stage.pass().await;
    phone.take();
    let broken = || {
        let heard = phone.take().into_iter().map(|seen| seen.notice());
        heard
            .filter(|notice| notice["code"] == "pass-broken")
            .collect::<Vec<_>>()
    };
    // As a pass leaves it that is killed; nobody holds the journal then.
    let killed = async || {
        let journal = stage.bench.journal().await;
        journal.begin_pass(stage.now()).await.unwrap();
    };
    killed().await;
    killed().await;
    stage.pass().await;
    assert_eq!(broken(), Vec::<Value>::new(), "two may be a power cut each");
    for _ in 0..3 {
        killed().await;
    }
    stage.pass().await;
    let heard = broken();
    assert_eq!(heard.len(), 1, "{heard:?}");
    let detail = heard[0]["detail"].as_str().unwrap();
    assert!(
        detail.contains("the last 3 passes were cut off"),
        "{detail}"
    );
    stage.pass().await;
    assert_eq!(broken(), Vec::<Value>::new(), "that one came to its end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storage_that_stays_away_becomes_an_overdue_backup() {
    let stage = Stage::new(CONTAINERS).await;
    stage.until("12:00").await;
    stage.pass().await;
    stage.storage("offline").await;
    let codes = async || told(&stage.pass().await);
    assert!(!codes().await.contains(&"backup-overdue".to_owned()));
    for _ in 0..3 {
        stage.until("12:00").await;
    }
    assert!(codes().await.contains(&"backup-overdue".to_owned()));
}

/// The health of a disk in the report that was kept last.
async fn health(stage: &Stage, device: &str) -> Value {
    let report = stage.run(&["report", "--last"]).await.data();
    let disks = report["disks"].as_array().unwrap();
    let disk = disks.iter().find(|disk| disk["device"] == device);
    disk.unwrap()["health"].clone()
}

async fn disk(stage: &Stage, health: &str) {
    let order = json!({
        "device": "/dev/sdb", "type": "hdd", "model": "DISK", "size": 1_u64 << 40, "health": health, "left": null,
        "celsius": 30,
    });
    let order = stage.bench.world.control("put-disk", order);
    order.await.unwrap();
}

/// The question wakes a disk that sleeps: passes ask every few hours, and a person who asks is answered at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_is_not_woken_by_every_pass_and_its_incident_stays_until_it_is_asked_again() {
    let stage = Stage::new(CONTAINERS).await;
    stage.until("12:00").await;
    disk(&stage, "PASSED").await;
    stage.pass().await;
    assert_eq!(health(&stage, "/dev/sdb").await, "passed");
    lasting(&stage, "/nodes/*/disks/list");
    lasting(&stage, "/nodes/*/disks/smart");
    lasting(&stage, "/nodes/*/apt/versions");
    stage.until("13:00").await;
    let ran = stage.pass().await;
    let report = stage.run(&["report", "--last"]).await.data();
    let unknown = report["unknown"].to_string();
    assert!(!unknown.contains("disk"), "{unknown}: {}", ran.text());
    assert!(!unknown.contains("updates"), "{unknown}");
    assert_eq!(health(&stage, "/dev/sdb").await, "passed");
    stage.bench.world.clear_faults();
    disk(&stage, "FAILED!").await;
    stage.run(&["report"]).await;
    assert_eq!(health(&stage, "/dev/sdb").await, "failed");
    disk(&stage, "PASSED").await;
    let failing = "disk-failing".to_owned();
    assert!(told(&stage.pass().await).contains(&failing));
    stage.until("20:00").await;
    let ran = stage.pass().await;
    assert!(!told(&ran).contains(&failing), "{}", ran.text());
    assert_eq!(health(&stage, "/dev/sdb").await, "passed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_box_on_which_nothing_is_pruned_or_proven_says_so_and_it_is_no_finding() {
    let stage = Stage::new("[schedule]\nguests = \"@ct\"\nbackup = []\nproof = []\n").await;
    for args in [&["run", "--once", "--dry-run"][..], &["run", "--once"]] {
        let ran = stage.run(args).await;
        let text = ran.text();
        for line in [
            "not set up: backups: `[schedule] backup` names no time",
            "not set up: restore tests: `[schedule] proof` names no time",
        ] {
            assert!(text.contains(line), "{text}");
        }
        assert_eq!(ran.data()["unasked"].as_array().unwrap().len(), 2, "{text}");
    }
}
