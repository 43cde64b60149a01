//! `run --once` against the simulator: what is due is done, each with its reason, and what fails stops nothing else.

mod interrupted;
mod told;
mod tries;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use felhom_agent::clock::{self, Source};
use felhom_agent::exit::Exit;
use felhom_engine::Timestamp;
use felhom_simulator::{Fault, FaultKind};
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::storages;
use crate::support::*;

/// The machine's clock, set forward; in the zone of Vienna by its rule.
#[derive(Default)]
pub(crate) struct Stepped(AtomicI64);

impl Source for Stepped {
    fn now(&self) -> Timestamp {
        // Outside of `under` it is the machine's own.
        Timestamp::from_millis(machine_ms() + self.0.load(Ordering::Relaxed))
    }

    fn zone(&self) -> TimeZone {
        TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
    }
}

#[expect(
    clippy::disallowed_types,
    reason = "a test's own clock stands on the machine's"
)]
fn machine_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.unwrap().as_millis()).unwrap()
}

/// A box whose clock and the agent's are stepped together.
pub(crate) struct Stage {
    pub(crate) bench: Bench,
    clock: Arc<Stepped>,
}

impl Stage {
    pub(crate) async fn new(extra: &str) -> Self {
        let keep = "[backup]\nkeep_last = 2\nkeep_daily = 3\nkeep_weekly = 2\n";
        let fast = FAST.replace("[backup]\n", keep);
        let bench = Bench::with(&format!("{fast}\n{extra}"), None).await;
        let stage = Self {
            bench,
            clock: Arc::default(),
        };
        stage.together();
        stage
    }

    /// Puts our clock to the node's.
    fn together(&self) {
        let node = self.bench.world.state()["now"].as_f64().unwrap();
        self.clock
            .0
            .store(millis(node) - machine_ms(), Ordering::Relaxed);
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Lets time pass for both until the next time of day, in the zone of the box.
    pub(crate) async fn until(&self, event: &str) {
        let event: felhom_engine::CalendarEvent = event.parse().unwrap();
        self.together();
        let next = event.next_after(self.now(), &self.clock.zone()).unwrap();
        let seconds = next.since(self.now()).as_secs() + 1;
        let order = json!({ "seconds": seconds });
        self.bench.world.control("advance", order).await.unwrap();
        self.together();
    }

    pub(crate) async fn run(&self, args: &[&str]) -> Ran {
        self.together();
        let clock: Arc<Stepped> = Arc::clone(&self.clock);
        clock::under(clock, self.bench.run(args)).await
    }

    /// What backups go to is there, or is not.
    pub(crate) async fn storage(&self, state: &str) {
        let order = json!({ "storage": "local", "state": state });
        self.bench
            .world
            .control("storage-state", order)
            .await
            .unwrap();
    }

    pub(crate) async fn pass(&self) -> Ran {
        self.run(&["run", "--once"]).await
    }
}

fn millis(secs: f64) -> i64 {
    format!("{:.0}", secs * 1000.0).parse().unwrap()
}

/// `backup 9001 good`, one word a thing that was done.
pub(crate) fn done(ran: &Ran) -> Vec<String> {
    let data = ran.data();
    let all = data["done"].as_array().cloned().unwrap_or_default();
    let word = |one: &Value| {
        let what = one["vmid"].as_u64().map(|vmid| vmid.to_string());
        let what = what.unwrap_or_else(|| one["storage"].as_str().unwrap().to_owned());
        format!(
            "{} {what} {}",
            one["work"].as_str().unwrap(),
            one["verdict"].as_str().unwrap()
        )
    };
    all.iter().map(word).collect()
}

/// The same without what was pruned.
fn backed_up(ran: &Ran) -> Vec<String> {
    let mut all = done(ran);
    all.retain(|one| !one.starts_with("prune"));
    all
}

/// The built-in world has a machine without a drive: no archive of it can be told to be of that machine, so none is pruned.
pub(crate) const CONTAINERS: &str = "[schedule]\nguests = \"@all,-9000\"\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_pass_backs_everything_up_and_proves_one_and_the_next_has_nothing_to_do() {
    let stage = Stage::new(CONTAINERS).await;
    stage.until("12:00").await;
    let planned = stage.run(&["run", "--once", "--dry-run"]).await;
    assert_eq!(planned.exit, Exit::Done, "{}", planned.text());
    assert!(
        planned.text().contains("waits for no window"),
        "{}",
        planned.text()
    );
    assert_eq!(
        planned.data()["due"].as_array().unwrap().len(),
        2,
        "{}",
        planned.text()
    );
    let ran = stage.pass().await;
    let good = [
        "backup 9001 good",
        "prune 9001 0 removed",
        "backup 9010 good",
        "prune 9010 0 removed",
        "proof 9001 passed",
    ];
    assert_eq!(done(&ran), good, "{}", ran.text());
    // 9010 has a bind mount that no backup holds.
    assert_eq!(ran.exit, Exit::Findings, "{}", ran.text());
    let ran = stage.pass().await;
    assert_eq!(done(&ran), Vec::<String>::new(), "{}", ran.text());
    assert!(
        ran.text().contains("the window is closed"),
        "{}",
        ran.text()
    );
    // In the night the backups; the other guest's first test; a week later the first one's second.
    stage.until("01:00").await;
    let ran = stage.pass().await;
    assert_eq!(
        backed_up(&ran),
        ["backup 9001 good", "backup 9010 good"],
        "{}",
        ran.text()
    );
    stage.until("02:30").await;
    let ran = stage.pass().await;
    assert_eq!(done(&ran), ["proof 9010 passed"], "{}", ran.text());
    let journal = stage.bench.journal().await;
    let passes = journal.passes().await.unwrap();
    assert_eq!(passes.len(), 4);
    let ends: Vec<_> = passes.iter().map(|pass| pass.exit).collect();
    // Of 9010 some mounts are in no backup, which every pass says.
    assert_eq!(ends, [Some(3); 4]);
    let kept: Value = serde_json::from_str(passes[3].document.as_ref().unwrap()).unwrap();
    assert_eq!(kept["done"].as_array().unwrap().len(), 5);
    assert!(stage.bench.scratch_guests().is_empty() && stage.bench.scratch_volumes().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_stops_no_other_and_is_tried_again_later_but_not_for_ever() {
    let stage = Stage::new("[schedule]\nguests = \"@ct,-9010\"\nproof = []\n").await;
    stage.until("12:00").await;
    let ran = stage.pass().await;
    assert_eq!(backed_up(&ran), ["backup 9001 good"], "{}", ran.text());
    assert!(
        ran.text()
            .contains("left out: guest 9010: schedule.guests has `-9010`"),
        "{}",
        ran.text()
    );
    stage.storage("offline").await;
    stage.until("01:00").await;
    let ran = stage.pass().await;
    assert_eq!(done(&ran).len(), 1, "{}", ran.text());
    assert!(!done(&ran)[0].ends_with("good"), "{}", ran.text());
    assert_eq!(ran.exit, Exit::Findings, "{}", ran.text());
    let ran = stage.pass().await;
    assert_eq!(done(&ran), Vec::<String>::new(), "{}", ran.text());
    assert!(ran.text().contains("is tried again in"), "{}", ran.text());
    stage.storage("online").await;
    stage.until("02:30").await;
    let ran = stage.pass().await;
    assert_eq!(backed_up(&ran), ["backup 9001 good"], "{}", ran.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pass_goes_on_with_what_was_cut_off_and_gives_way_to_who_has_the_journal() {
    let stage = Stage::new("[schedule]\nguests = \"@ct\"\nproof = []\n").await;
    let journal = stage.bench.journal().await;
    let ran = stage.pass().await;
    assert_eq!(ran.exit, Exit::Busy, "{}", ran.text());
    journal
        .insert(&backup_job(&stage.bench, &journal, 9001, 1))
        .await
        .unwrap();
    drop(journal);
    stage.until("12:00").await;
    let planned = stage.run(&["run", "--once", "--dry-run"]).await;
    assert!(
        planned.text().contains("go on with backup of guest 9001"),
        "{}",
        planned.text()
    );
    let ran = stage.pass().await;
    assert_eq!(
        ran.data()["resumed"],
        json!(["backup of guest 9001"]),
        "{}",
        ran.text()
    );
    assert_eq!(backed_up(&ran), ["backup 9010 good"], "{}", ran.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_does_not_answer_ends_the_pass_which_is_written_down() {
    let stage = Stage::new("").await;
    let config = std::fs::read_to_string(&stage.bench.config).unwrap();
    let gone = config.replace(&stage.bench.world.url(), "https://127.0.0.1:1");
    std::fs::write(&stage.bench.config, gone).unwrap();
    let ran = stage.pass().await;
    assert_eq!(ran.exit, Exit::Remote, "{}", ran.text());
    let passes = stage.bench.journal().await.passes().await.unwrap();
    assert_eq!(passes[0].exit, Some(7));
}

/// A request that is refused until somebody mends it.
fn lasting(stage: &Stage, path: &str) {
    let kind = FaultKind::Status {
        code: 500,
        text: "it is broken".to_owned(),
    };
    stage.bench.world.inject(Fault {
        count: None,
        ..Fault::request("GET", path, kind)
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storage_that_does_not_list_its_backups_keeps_nobody_from_the_others() {
    let stage = Stage::new(CONTAINERS).await;
    storages::export(&stage.bench, "nfs", "/export/a", 40).await;
    storages::define(&stage.bench, "nas", storages::nfs("/export/a")).await;
    lasting(&stage, "/nodes/*/storage/nas/content");
    let ran = stage.pass().await;
    assert!(
        done(&ran).contains(&"backup 9001 good".to_owned()),
        "{}",
        ran.text()
    );
    assert!(
        done(&ran).contains(&"backup 9010 good".to_owned()),
        "{}",
        ran.text()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_clock_that_ran_ahead_has_dated_is_not_the_last_of_anything() {
    let stage = Stage::new(CONTAINERS).await;
    stage.together();
    let ahead = Arc::new(Stepped(AtomicI64::new(
        stage.clock.0.load(Ordering::Relaxed) + 400 * 86_400_000,
    )));
    let ran = clock::under(ahead, stage.bench.run(&["backup", "run", "9001"])).await;
    assert!(ran.text().contains("is backed up"), "{}", ran.text());
    let guest = async || {
        let report = stage.run(&["report"]).await.data();
        let guests = report["guests"].as_array().unwrap().clone();
        guests.into_iter().find(|one| one["vmid"] == 9001).unwrap()
    };
    let before = guest().await;
    assert!(
        before["last_backup"].is_null() && before["good_backup_s"].is_null(),
        "{before}"
    );
    let ran = stage.run(&["backup", "run", "9001"]).await;
    assert!(ran.text().contains("is backed up"), "{}", ran.text());
    assert_eq!(guest().await["last_backup"]["verdict"], "good");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_was_given_an_interface_keeps_its_backups_and_proofs() {
    let stage = Stage::new(CONTAINERS).await;
    stage.until("12:00").await;
    stage.pass().await;
    let before = stage.run(&["report"]).await.data();
    let net =
        json!({ "set": { "net3": "name=eth3,bridge=vmbr0,hwaddr=BC:24:11:99:99:99,ip=dhcp" } });
    stage.bench.world.poke_guest(9001, net).await.unwrap();
    let ran = stage.pass().await;
    assert_eq!(done(&ran), Vec::<String>::new(), "the window is closed");
    let after = stage.run(&["report"]).await.data();
    let of = |report: &Value| {
        let guests = report["guests"].as_array().unwrap();
        let guest = guests.iter().find(|one| one["vmid"] == 9001).unwrap();
        (
            guest["last_proof"].clone(),
            guest["good_backup_s"].clone(),
            guest["posture"].clone(),
        )
    };
    assert!(!of(&before).0.is_null());
    assert_eq!(of(&before), of(&after));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_the_future_is_told_and_hides_no_other() {
    let stage = Stage::new(CONTAINERS).await;
    stage.pass().await;
    let shift = async |seconds: i64| {
        let order = json!({ "seconds": seconds });
        stage
            .bench
            .world
            .control("shift-clock", order)
            .await
            .unwrap();
    };
    shift(400 * 86_400).await;
    stage.bench.backup(9001).await;
    shift(-400 * 86_400).await;
    stage.together();
    let report = stage.run(&["report"]).await.data();
    let found = report["findings"].as_array().unwrap();
    let ahead = found
        .iter()
        .find(|one| one["code"] == "archive-from-future");
    assert!(ahead.is_some(), "{found:?}");
    let guests = report["guests"].as_array().unwrap();
    let guest = guests.iter().find(|one| one["vmid"] == 9001).unwrap();
    let newest = guest["newest_archive_s"].as_i64().unwrap();
    assert!(newest <= stage.now().secs(), "{guest}");
    assert_eq!(guest["posture"], "protected", "{guest}");
}
