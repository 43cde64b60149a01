//! A year of the real `run --once` in this process, against a simulated node whose time is stepped with ours: power cuts, nights
//! without power, a target that vanishes, a pool that is full, a guest that comes and goes, and the changes of clocks.
//!
//! `FELHOM_YEAR_DAYS` says how many days of it are lived (`.ci/run` lives 365). By default it is what `cargo test` bears: each thing
//! that can happen once, and the week of either change of clocks, with a box that was off in between.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use felhom_agent::exit::Exit;
use felhom_engine::{BackupVerdict, Timestamp, Verdict};
use felhom_proxmox::{Method, Request};
use serde_json::{Value, json};

use crate::machines::machine;
use crate::notify::receiver::Receiver;
use crate::notify::{self, hook};
use crate::pass::{CONTAINERS, Stage};
use crate::support::*;

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// How many days somebody wants to be lived.
fn wanted() -> Option<u64> {
    let said = std::env::var("FELHOM_YEAR_DAYS").ok();
    said.map(|days| days.parse().unwrap())
}

/// How many days are lived.
fn days() -> u64 {
    wanted().unwrap_or(22)
}

/// Before this day of a short year the box is off for half a year.
const LONG_NIGHT: u64 = 14;

/// What happens on a day, and until when no promise holds.
async fn incident(stage: &Stage, day: u64) -> Option<u64> {
    let world = &stage.bench.world;
    match day % 24 {
        3 => {
            machine(&stage.bench, json!({})).await;
            None
        }
        // The box reboots in the evening; nothing is lost by that.
        5 => {
            world.power_cut(Duration::from_secs(1)).await;
            None
        }
        // Somebody fills the pool when the week's tests are due, and empties it the next day.
        6 => {
            let order = json!({ "bytes": 1_u64 << 50 });
            world.control("fill-pool", order).await.unwrap();
            Some(3)
        }
        7 => {
            world.control("drain-pool", json!({})).await.unwrap();
            stage.storage("offline").await;
            Some(2)
        }
        8 => {
            stage.storage("online").await;
            None
        }
        9 => {
            gone(&stage.bench, "qemu", 9200).await;
            None
        }
        // Two nights without power.
        10 => {
            stage.until("23:30").await;
            stage.until("23:30").await;
            Some(3)
        }
        _ => None,
    }
}

/// What is running when the power fails within a pass, and on which days that is in wait.
fn cut_in_wait(day: u64) -> Option<&'static str> {
    match day % 24 {
        2 => Some("vzdump"),
        4 => Some("vzrestore"),
        _ => None,
    }
}

/// A pass under which the power fails as soon as such a task runs: the agent's process ends with everything else, and the timer
/// starts it anew when the box has come up. Whether it came to that.
async fn cut_within(stage: &Stage, task: &str) -> bool {
    let world = &stage.bench.world;
    let sign = async {
        while !world.state()["running_tasks"].to_string().contains(task) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::select! {
        ran = stage.pass() => {
            assert!([0, 3].contains(&ran.exit.code()), "{}", ran.text());
            return false;
        }
        () = sign => {}
    }
    world.power_cut(Duration::from_secs(1)).await;
    true
}

/// Root removes a guest.
pub(crate) async fn gone(bench: &Bench, kind: &str, vmid: u32) {
    let root = bench.root();
    let node = bench.world.node();
    let machine: [&dyn std::fmt::Display; 4] = [&"nodes", &node, &kind, &vmid];
    let stop: [&dyn std::fmt::Display; 6] = [&"nodes", &node, &kind, &vmid, &"status", &"stop"];
    let _task: Value = root
        .client()
        .send(&Request::new(Method::Post, &stop))
        .await
        .unwrap();
    settled(bench).await;
    let _task: Value = root
        .client()
        .send(&Request::new(Method::Delete, &machine))
        .await
        .unwrap();
    settled(bench).await;
}

/// When each guest was last backed up well, and last proven.
async fn last(stage: &Stage) -> BTreeMap<u32, (Option<Timestamp>, Option<Timestamp>)> {
    let journal = stage.bench.journal().await;
    let until = stage.now().plus(Duration::from_secs(DAY));
    let mut last: BTreeMap<u32, (Option<Timestamp>, Option<Timestamp>)> = BTreeMap::new();
    for one in journal.backups_tried(until).await.unwrap() {
        if one.verdict == BackupVerdict::Good {
            let known = last.entry(one.vmid.get()).or_default();
            known.0 = known.0.max(Some(one.ended));
        }
    }
    for one in journal.tests_tried(until).await.unwrap() {
        if one.verdict == Verdict::Passed {
            let known = last.entry(one.vmid.get()).or_default();
            known.1 = known.1.max(Some(one.ended));
        }
    }
    last
}

/// Each guest that is there, and since when.
type Known = BTreeMap<u32, Timestamp>;

/// Notes which guests are new, and which are gone.
fn meet(stage: &Stage, known: &mut Known) {
    let there: BTreeSet<u32> = stage.bench.world.guests().into_iter().collect();
    known.retain(|vmid, _| there.contains(vmid));
    for vmid in there {
        // The schedule leaves this one out.
        if vmid != 9000 {
            known.entry(vmid).or_insert_with(|| stage.now());
        }
    }
}

/// Each guest that is there was backed up lately, and proven within the week, or as soon after an incident as can be.
async fn promises_hold(stage: &Stage, known: &Known, day: u64, excused: u64) {
    let last = last(stage).await;
    for (vmid, there) in known {
        // What an earlier guest of this number has, is not its own.
        let (backup, proof) = last.get(vmid).copied().unwrap_or_default();
        let age = stage
            .now()
            .since(backup.max(Some(*there)).unwrap())
            .as_secs();
        assert!(
            age <= 8 * HOUR,
            "day {day}: guest {vmid} was backed up {} h ago",
            age / HOUR
        );
        let since = stage.now().since(proof.max(Some(*there)).unwrap());
        let limit = 7 * DAY + 6 * HOUR + 3 * DAY * u64::from(day < excused + 3);
        assert!(
            since.as_secs() <= limit,
            "day {day}: guest {vmid} was proven {since:?} ago"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_year_of_passes_keeps_its_promises_and_leaks_nothing() {
    let phone = Receiver::new().await;
    let stage = Stage::new(&format!("{CONTAINERS}{}", hook("phone", phone.port()))).await;
    notify::secrets(stage.bench.config.parent().unwrap());
    // A week later the clocks are set forward.
    stage.until("*-03-22 12:00").await;
    let first = stage.pass().await;
    assert_eq!(first.exit, Exit::Findings, "{}", first.text());
    let mut known = Known::new();
    // The day from which on promises hold again.
    let mut excused = 0;
    let mut cut = None;
    let mut cuts = 0;
    for day in 0..days() {
        if wanted().is_none() && day == LONG_NIGHT {
            stage.until("*-10-24 12:00").await;
            excused = day + 3;
        }
        cut = cut_in_wait(day).or(cut);
        if let Some(nights) = incident(&stage, day).await {
            excused = day + nights;
        }
        meet(&stage, &mut known);
        for hour in ["01:00", "02:30", "06:30"] {
            stage.until(hour).await;
            if let Some(task) = cut
                && cut_within(&stage, task).await
            {
                cut = None;
                cuts += 1;
            }
            let ran = stage.pass().await;
            let code = ran.exit.code();
            assert!(
                [0, 3].contains(&code),
                "day {day}, {hour}: {code}: {}",
                ran.text()
            );
        }
        if day >= excused {
            promises_hold(&stage, &known, day, excused).await;
        }
    }
    // Two in each round of 24 days; one may still be in wait.
    let rounds = days().div_ceil(24);
    assert!(cuts + 1 >= rounds * 2, "{cuts} passes were cut");
    if days() > 7 {
        let journal = stage.bench.journal().await;
        let tried = journal.tests_tried(stage.now()).await.unwrap();
        let stopped = tried.iter().any(|one| one.verdict == Verdict::Error);
        assert!(stopped, "a full pool lets no copy in");
    }
    each_incident_was_told_once(&phone);
    nothing_is_left(&stage).await;
    the_archives_are_what_retention_says(&stage).await;
    the_journal_is_bounded(&stage, cuts).await;
}

/// What a person heard: of everything first that it began and then that it is over, in turn and never twice. Of what was made to
/// happen they heard once each time it happened, and of a storage that is away not once more for each guest on it.
fn each_incident_was_told_once(phone: &Receiver) {
    let mut open: BTreeSet<(String, String)> = BTreeSet::new();
    let mut names = BTreeSet::new();
    let mut begun: BTreeMap<String, u64> = BTreeMap::new();
    for seen in phone.take() {
        let notice = seen.notice();
        let text = |key: &str| notice[key].as_str().unwrap().to_owned();
        assert!(names.insert(text("id")), "twice: {notice}");
        let subject = (text("code"), text("subject"));
        if text("event") == "opened" {
            *begun.entry(text("code")).or_default() += 1;
        }
        let detail = text("detail");
        assert_ne!(
            detail, "there is no backup",
            "the storage is away: {notice}"
        );
        match text("event").as_str() {
            "opened" => assert!(open.insert(subject), "began twice: {notice}"),
            "resolved" => assert!(open.remove(&subject), "over, and never began: {notice}"),
            "worsened" | "reminder" => assert!(open.contains(&subject), "{notice}"),
            other => panic!("{other}: {notice}"),
        }
    }
    let times = |day: u64| (days() + 23 - day) / 24;
    let once_each = [("storage-vanished", times(7)), ("storage-fills", times(6))];
    for (code, times) in once_each {
        let told = begun.get(code).copied().unwrap_or_default();
        assert_eq!(told, times, "{code}: {begun:?}");
    }
    // The target is back, and whoever was told of it was told so.
    let left: Vec<_> = open.iter().filter(|(code, _)| code != "posture").collect();
    let lasting =
        |(code, _): &&(String, String)| code.starts_with("storage-") || code == "backup-failed";
    assert!(!left.iter().any(lasting), "{open:?}");
}

/// Asked of the world itself.
async fn nothing_is_left(stage: &Stage) {
    settled(&stage.bench).await;
    assert_eq!(stage.bench.scratch_guests(), Vec::<String>::new());
    assert_eq!(stage.bench.scratch_volumes(), Vec::<String>::new());
    let world = stage.bench.world.state();
    for kind in ["guests", "machines"] {
        for (vmid, guest) in world["world"][kind].as_object().unwrap() {
            assert!(guest["lock"].is_null(), "{vmid}: {}", guest["lock"]);
            let config = guest["config"].to_string();
            assert!(
                !config.contains("[felhom") && !config.contains("[vzdump"),
                "{vmid}: {config}"
            );
        }
    }
}

/// Pruning once more has nothing to do, and no more is kept than the rules can mean.
async fn the_archives_are_what_retention_says(stage: &Stage) {
    let planned = stage.run(&["backup", "prune", "--dry-run"]).await;
    let data = planned.data();
    let decisions = data["decisions"].as_array().unwrap();
    assert!(!decisions.is_empty());
    let mut kept: BTreeMap<String, usize> = BTreeMap::new();
    for decision in decisions {
        let gone = decision["volid"].as_str().unwrap().contains("-9200-");
        assert!(gone || decision["delete"] == false, "{decision}");
        let volid = decision["volid"].as_str().unwrap();
        let guest = volid.split('-').nth(2).unwrap();
        *kept.entry(guest.to_owned()).or_default() += 1;
    }
    for (guest, count) in kept {
        // Two last, three days, two weeks, and the proven one.
        assert!(count <= 8, "guest {guest} has {count}");
    }
}

async fn the_journal_is_bounded(stage: &Stage, cuts: u64) {
    let journal = stage.bench.journal().await;
    let passes = journal.passes().await.unwrap();
    assert!(passes.len() <= 1000);
    // Only a pass that a power cut ended has no end.
    let endless = passes.iter().filter(|pass| pass.ended.is_none()).count();
    assert!(
        u64::try_from(endless).unwrap() <= cuts,
        "{endless} of {cuts}"
    );
    assert!(journal.unfinished().await.unwrap().is_empty());
    drop(journal);
    let size = std::fs::metadata(stage.bench.state_dir().join("journal.sqlite"))
        .unwrap()
        .len();
    let most = 4 << 20;
    // Reports of backups stay, since the archives may.
    let each = 200 * 1024 * days();
    assert!(size <= most + each, "{size} bytes after {} days", days());
}
