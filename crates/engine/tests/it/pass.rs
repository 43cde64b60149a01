//! The planning of a pass: what is due, in which order, and what is left for which reason.

use std::collections::BTreeSet;
use std::time::Duration;

use felhom_engine::*;
use felhom_ids::{GuestKind, Vmid, VolumeId};
use jiff::tz::TimeZone;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
/// A Monday, 02:00 UTC: in the default window for backups.
const NIGHT: i64 = 1_795_485_600;
/// The same Monday, noon.
const NOON: i64 = NIGHT + 10 * HOUR;

pub(crate) fn schedule() -> Schedule {
    let window = |opens: &str, hours| TimeWindow {
        opens: vec![opens.parse().unwrap()],
        lasts: Duration::from_hours(hours),
    };
    Schedule {
        guests: Selection::all(),
        backup: window("01:00", 5),
        backup_every: Duration::from_hours(24),
        proof: window("02:30", 5),
        proof_every: Duration::from_hours(7 * 24),
        verify: window("05:00", 4),
        retry_after: Duration::from_hours(1),
        first_at_once: true,
        proofs_per_pass: 50,
    }
}

pub(crate) fn volid(vmid: u32, n: i64) -> VolumeId {
    let text = format!(
        "local:backup/vzdump-lxc-{vmid}-2026_11_23-00_00_{:02}.tar.zst",
        n % 60
    );
    text.parse().unwrap()
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

/// Backed up and proven lately.
pub(crate) fn guest(vmid: u32, backed_up: i64, proven: i64) -> PassGuest {
    PassGuest {
        vmid: Vmid::new(vmid).unwrap(),
        kind: GuestKind::Lxc,
        template: false,
        tags: vec![],
        pool: None,
        good: vec![at(backed_up)],
        failed: vec![],
        archive: Some(volid(vmid, 0)),
        proofs: vec![(at(proven), Verdict::Passed, volid(vmid, 0))],
        errors: vec![],
        strangers: BTreeSet::new(),
        fresh: None,
    }
}

pub(crate) fn facts(now: i64, guests: Vec<PassGuest>) -> PassFacts {
    PassFacts {
        now: at(now),
        clock: None,
        guests,
        servers: vec![],
        scratch: Vmid::new(9100).unwrap()..=Vmid::new(9199).unwrap(),
        tests: true,
        prunes: true,
        refused: vec![],
        stuck: vec![],
        begun: BTreeSet::new(),
        windows: true,
    }
}

fn planned(facts: &PassFacts) -> PassPlan {
    plan_pass(&schedule(), facts, &TimeZone::UTC)
}

fn backups(plan: &PassPlan) -> Vec<u32> {
    let backup = |due: &Due| match due.work {
        Work::Backup { vmid } => Some(vmid.get()),
        _ => None,
    };
    plan.due.iter().filter_map(backup).collect()
}

fn proofs(plan: &PassPlan) -> Vec<u32> {
    let proof = |due: &Due| match due.work {
        Work::Proof { vmid, .. } => Some(vmid.get()),
        _ => None,
    };
    plan.due.iter().filter_map(proof).collect()
}

fn left<'a>(plan: &'a PassPlan, wanted: &Work) -> &'a Left {
    plan.left
        .iter()
        .find(|left| left.work.is_same(wanted))
        .unwrap()
}

#[test]
fn within_the_window_the_oldest_goes_first_and_who_had_its_turn_waits_for_the_next() {
    let guests = vec![
        guest(100, NIGHT - DAY, NIGHT - DAY),
        guest(101, NIGHT - 2 * DAY, NIGHT - DAY),
        guest(102, NIGHT - 600, NIGHT - DAY),
    ];
    let plan = planned(&facts(NIGHT, guests.clone()));
    assert_eq!(backups(&plan), [101, 100]);
    let waits = left(
        &plan,
        &Work::Backup {
            vmid: Vmid::new(102).unwrap(),
        },
    );
    assert_eq!(waits.next, Some(at(NIGHT + 23 * HOUR)));
    assert!(!waits.overdue);
    // Outside of the window nothing begins, and what is late is called so.
    let plan = planned(&facts(NOON, guests));
    assert_eq!(backups(&plan), Vec::<u32>::new());
    assert!(
        left(
            &plan,
            &Work::Backup {
                vmid: Vmid::new(101).unwrap()
            }
        )
        .overdue
    );
}

#[test]
fn a_guest_without_a_good_backup_and_a_box_without_a_proof_wait_for_no_window() {
    let mut new = guest(100, 0, 0);
    (new.good, new.proofs, new.archive) = (vec![], vec![], None);
    let plan = planned(&facts(NOON, vec![new.clone()]));
    assert_eq!((backups(&plan), proofs(&plan)), (vec![100], vec![]));
    assert!(plan.due[0].reason.contains("waits for no window"));
    // Then it has one.
    new.good = vec![at(NOON + 60)];
    new.archive = Some(volid(100, 1));
    let mut other = new.clone();
    other.vmid = Vmid::new(101).unwrap();
    let plan = planned(&facts(NOON + 120, vec![new.clone(), other.clone()]));
    assert_eq!(proofs(&plan), [100], "one is enough for the box");
    new.proofs = vec![(at(NOON + 300), Verdict::Passed, volid(100, 1))];
    let plan = planned(&facts(NOON + 400, vec![new, other]));
    assert_eq!(
        proofs(&plan),
        Vec::<u32>::new(),
        "the other one waits for the window"
    );
    let mut patient = schedule();
    patient.first_at_once = false;
    let mut new = guest(100, 0, 0);
    new.good = vec![];
    let plan = plan_pass(&patient, &facts(NOON, vec![new]), &TimeZone::UTC);
    assert!(plan.due.is_empty(), "{plan:?}");
}

#[test]
fn what_fails_is_tried_again_after_a_while_and_three_times_a_window() {
    let mut bad = guest(100, NIGHT - DAY, NIGHT - DAY);
    bad.failed = vec![at(NIGHT - 1800)];
    let plan = planned(&facts(NIGHT, vec![bad.clone()]));
    assert_eq!(backups(&plan), Vec::<u32>::new());
    let work = Work::Backup { vmid: bad.vmid };
    assert_eq!(left(&plan, &work).next, Some(at(NIGHT + 1800)));
    let plan = planned(&facts(NIGHT + 1800, vec![bad.clone()]));
    assert_eq!(backups(&plan), [100]);
    bad.failed = vec![at(NIGHT - 1800), at(NIGHT + 1900), at(NIGHT + 6000)];
    let plan = planned(&facts(NIGHT + 3 * HOUR, vec![bad.clone()]));
    assert_eq!(backups(&plan), Vec::<u32>::new());
    assert!(left(&plan, &work).reason.contains("3 times"));
    // A new window, new tries.
    let plan = planned(&facts(NIGHT + 23 * HOUR, vec![bad]));
    assert_eq!(backups(&plan), [100]);
    // One that never had a good one fails at noon, too: not for ever.
    let mut never = guest(101, 0, 0);
    (never.good, never.failed) = (vec![], (1..=3).map(|n| at(NOON - n * 2 * HOUR)).collect());
    let plan = planned(&facts(NOON, vec![never.clone()]));
    assert_eq!(backups(&plan), Vec::<u32>::new());
    let next = left(&plan, &Work::Backup { vmid: never.vmid }).next;
    assert_eq!(next, Some(at(NOON - 6 * HOUR + DAY)));
    let plan = planned(&facts(NOON - 6 * HOUR + DAY + 1, vec![never]));
    assert_eq!(backups(&plan), [101]);
}

#[test]
fn what_cannot_begin_is_tried_again_after_a_while_for_as_long_as_that_lasts() {
    let old = guest(100, NIGHT - DAY, NIGHT - 20 * DAY);
    let other = guest(101, NIGHT - DAY, NIGHT);
    let refused = |minutes: i64, work: Work| RefusedWork {
        work,
        at: at(NIGHT + minutes * 60),
        why: "the disk is away".to_owned(),
    };
    let backup = Work::Backup { vmid: old.vmid };
    let mut facts = facts(NIGHT + 30 * 60, vec![old, other]);
    facts.refused = vec![
        refused(-300, backup.clone()),
        refused(0, backup.clone()),
        // The archive was another one then.
        refused(
            10,
            Work::Proof {
                vmid: Vmid::new(100).unwrap(),
                volid: Some(volid(100, 7)),
            },
        ),
    ];
    let plan = planned(&facts);
    assert_eq!(
        (backups(&plan), proofs(&plan)),
        (vec![101], vec![]),
        "who can begin does"
    );
    let waits = left(&plan, &backup);
    assert!(waits.reason.contains("the disk is away"), "{waits:?}");
    assert_eq!(waits.next, Some(at(NIGHT + HOUR)));
    // However often it was in vain.
    facts.refused = (0..10).map(|n| refused(-60 * n, backup.clone())).collect();
    facts.now = at(NIGHT + HOUR);
    assert_eq!(backups(&planned(&facts)), [100, 101]);
}

#[test]
fn each_guest_is_tested_once_a_week_the_least_recently_proven_first_and_so_many_a_pass() {
    let now = NIGHT + HOUR;
    let guests: Vec<PassGuest> = (0..8)
        .map(|n| guest(100 + u32::try_from(n).unwrap(), NIGHT, now - n * DAY))
        .collect();
    let plan = planned(&facts(now, guests.clone()));
    // Six days ago: it would be seven before the next night.
    assert_eq!(proofs(&plan), [107], "{:?}", plan.due);
    let mut limited = schedule();
    limited.proofs_per_pass = 2;
    let old: Vec<PassGuest> = (0..4)
        .map(|n| guest(100 + n, NIGHT, now - 20 * DAY))
        .collect();
    let plan = plan_pass(&limited, &facts(now, old.clone()), &TimeZone::UTC);
    assert_eq!(proofs(&plan), [100, 101]);
    let mut later = facts(now, old);
    later.begun = plan.due.iter().map(|due| due.work.clone()).collect();
    let plan = plan_pass(&limited, &later, &TimeZone::UTC);
    assert_eq!(proofs(&plan), Vec::<u32>::new());
}

#[test]
fn an_error_takes_its_turn_and_a_failed_backup_is_tested_again_as_soon_as_there_is_another() {
    let now = NIGHT + HOUR;
    let mut held = guest(100, NIGHT, now - 20 * DAY);
    held.errors = vec![at(now - 7200)];
    let waiting = guest(101, NIGHT, now - 10 * DAY);
    let plan = planned(&facts(now, vec![held, waiting]));
    assert_eq!(proofs(&plan), [101, 100]);
    let mut failed = guest(102, NIGHT, now - DAY);
    failed.proofs = vec![(at(now - DAY), Verdict::Failed, volid(102, 0))];
    let plan = planned(&facts(now, vec![failed.clone()]));
    assert_eq!(proofs(&plan), Vec::<u32>::new());
    failed.archive = Some(volid(102, 1));
    let plan = planned(&facts(now, vec![failed]));
    assert_eq!(proofs(&plan), [102]);
}

#[test]
fn a_backup_comes_before_the_test_of_its_guest_and_pruning_only_behind_a_good_one() {
    let now = NIGHT + HOUR;
    let old = guest(100, now - 2 * DAY, now - 20 * DAY);
    let plan = planned(&facts(now, vec![old.clone()]));
    assert_eq!((backups(&plan), proofs(&plan)), (vec![100], vec![]));
    let mut fresh = old;
    fresh.good = vec![at(now)];
    fresh.fresh = Some("local".parse().unwrap());
    let plan = planned(&facts(now, vec![fresh.clone()]));
    let prune = Work::Prune {
        vmid: fresh.vmid,
        storage: "local".parse().unwrap(),
    };
    assert_eq!(plan.due[0].work, prune);
    assert_eq!(proofs(&plan), [100]);
    let mut odd = facts(now, vec![fresh]);
    odd.clock = Some("they are days apart".to_owned());
    let plan = planned(&odd);
    assert!(plan.due.iter().all(|due| due.work != prune));
    assert!(left(&plan, &prune).reason.contains("days apart"));
}

#[test]
fn what_is_dated_in_the_future_counts_for_no_age() {
    let mut ahead = guest(100, NIGHT + 400 * DAY, NIGHT - DAY);
    let plan = planned(&facts(NIGHT, vec![ahead.clone()]));
    assert_eq!(backups(&plan), [100]);
    ahead.good.push(at(NIGHT + 60));
    let plan = planned(&facts(NIGHT + 120, vec![ahead]));
    assert_eq!(backups(&plan), Vec::<u32>::new());
}

#[test]
fn templates_scratch_guests_and_who_is_left_out_are_named_with_the_reason() {
    let mut template = guest(100, NIGHT - DAY, NIGHT);
    template.template = true;
    let scratch = guest(9100, NIGHT - DAY, NIGHT);
    let mut tagged = guest(101, NIGHT - DAY, NIGHT);
    tagged.tags = vec!["lab".to_owned()];
    let mut schedule = schedule();
    schedule.guests = "@all,-@tag-lab".parse().unwrap();
    let facts = facts(NIGHT, vec![template, scratch, tagged]);
    let plan = plan_pass(&schedule, &facts, &TimeZone::UTC);
    assert!(plan.due.is_empty() && plan.left.is_empty());
    let reasons: Vec<&str> = plan.out.iter().map(|out| out.reason.as_str()).collect();
    assert_eq!(
        reasons,
        [
            "it is a template",
            "its VMID is one of the scratch range",
            "schedule.guests has `-@tag-lab`"
        ]
    );
}

#[test]
fn a_backup_server_verifies_once_a_window_until_it_closes() {
    let now = NIGHT + 4 * HOUR;
    let mut facts = facts(now, vec![]);
    facts.servers = vec![PassServer {
        storage: "offsite".parse().unwrap(),
        verified: vec![at(now - DAY)],
        failed: vec![],
    }];
    let plan = planned(&facts);
    let until = Some(at(NIGHT + 7 * HOUR));
    assert_eq!(
        plan.due[0].work,
        Work::Verify {
            storage: "offsite".parse().unwrap(),
            until
        }
    );
    facts.servers[0].verified.push(at(now - 60));
    assert!(planned(&facts).due.is_empty());
    facts.now = at(NOON);
    assert!(planned(&facts).due.is_empty());
}

#[test]
fn without_windows_the_cadence_alone_decides() {
    let guests = vec![
        guest(100, NOON - 25 * HOUR, NOON),
        guest(101, NOON - 23 * HOUR, NOON - 8 * DAY),
    ];
    let mut facts = facts(NOON, guests);
    facts.windows = false;
    let plan = planned(&facts);
    assert_eq!((backups(&plan), proofs(&plan)), (vec![100], vec![101]));
}

#[test]
fn a_backup_that_turned_out_to_be_of_another_guest_is_not_tested_again_and_again() {
    const NOW: i64 = 1_795_000_000;
    let mut stranger = guest(101, NOW - 3600, NOW - 3600);
    stranger.proofs.clear();
    let work = Work::Proof {
        vmid: stranger.vmid,
        volid: stranger.archive.clone(),
    };
    let mut facts = facts(NOW, vec![stranger]);
    facts.windows = false;
    assert_eq!(proofs(&planned(&facts)), [101]);
    let archive = facts.guests[0].archive.clone().unwrap();
    facts.guests[0].strangers.insert(archive);
    let plan = planned(&facts);
    assert_eq!(proofs(&plan), Vec::<u32>::new());
    let said = left(&plan, &work);
    assert!(said.reason.contains("of another guest"), "{said:?}");
}

fn unasked(plan: &PassPlan) -> Vec<String> {
    let told = plan.unasked.iter();
    told.map(|one| format!("{}: {}", one.chore, one.reason))
        .collect()
}

#[test]
fn what_the_configuration_asks_for_nowhere_is_said_with_the_reason() {
    let guests = vec![guest(100, NIGHT - DAY, NIGHT), guest(101, NIGHT, NIGHT)];
    let mut all = facts(NIGHT, guests);
    let server = PassServer {
        storage: "offsite".parse().unwrap(),
        verified: vec![],
        failed: vec![],
    };
    assert_eq!(unasked(&planned(&all)), [""; 0]);
    all.prunes = false;
    all.tests = false;
    assert_eq!(
        unasked(&planned(&all)),
        [
            "pruning: no `[backup] keep_*` says what to keep, so nothing is removed",
            "restore tests: there is neither `[principals.restore-test]` nor `[restore-test]`, so no backup is proven"
        ]
    );
    all.tests = true;
    let mut schedule = schedule();
    for window in [
        &mut schedule.backup,
        &mut schedule.proof,
        &mut schedule.verify,
    ] {
        window.opens.clear();
    }
    // Without backups of ours there is nothing of ours to remove, and without a server nothing to verify.
    let mut said = vec![
        "backups: `[schedule] backup` names no time",
        "restore tests: `[schedule] proof` names no time",
    ];
    let plan = plan_pass(&schedule, &all, &TimeZone::UTC);
    assert_eq!(unasked(&plan), said);
    all.servers.push(server);
    said.push("verifies: `[schedule] verify` names no time");
    let plan = plan_pass(&schedule, &all, &TimeZone::UTC);
    assert_eq!(unasked(&plan), said);
}
