//! Guards: what is never done twice, never done without proof, and never done because a clock jumped.

use std::collections::BTreeSet;
use std::time::Duration;

use felhom_engine::*;
use felhom_ids::Upid;

use crate::fake::*;

const NOW: Timestamp = Timestamp::from_secs(1_000_000);

fn upid(kind: &str, number: u32) -> Upid {
    format!("UPID:pve:{number:08X}:00000001:{number:08X}:{kind}:9010:felhom-agent@pve!agent:")
        .parse()
        .unwrap()
}

fn policy() -> GuardPolicy {
    GuardPolicy {
        on_expiry: OnExpiry::Keep,
        max_age: Duration::from_hours(24),
        on_max_age: OnMaxAge::Finding,
        storage_percent: 10,
        metadata_percent: 10,
        no_progress: Duration::from_secs(1),
        settle: Duration::from_secs(1),
    }
}

fn reading(age: u64) -> Reading {
    let age = i64::try_from(age).unwrap();
    Reading {
        ours: Timestamp::from_secs(NOW.secs() - age),
        node_s: Some(NOW.secs() - age),
        uptime_s: Some(u64::try_from(500_000 - age).unwrap()),
    }
}

/// A guard that was opened an hour ago for ten minutes.
fn guard() -> OpenGuard {
    OpenGuard {
        mark: Mark {
            installation: installation(),
            job: job_id(),
            vmid: vmid(9010),
        },
        snapshot: "felhom-guard-1".parse().unwrap(),
        made_by: Some(upid("vzsnapshot", 1)),
        begun: reading(3600),
        confirm_within: Duration::from_mins(10),
        on_expiry: OnExpiry::Rollback,
        ran: true,
        volumes: BTreeSet::from(["rootfs".to_owned(), "mp1".to_owned(), "mp2".to_owned()]),
        beyond_backup: vec![],
        rollbacks: BTreeSet::new(),
        phase: GuardPhase::Open,
    }
}

fn snapshot() -> SnapshotFacts {
    SnapshotFacts {
        name: guard().snapshot,
        description: Some(format!("words\n{}", guard().mark)),
        taken_s: Some(NOW.secs() - 3601),
        parent: None,
        state: None,
    }
}

/// The guest with the guard's snapshot, as it was all along.
fn subject() -> GuardSubject {
    let mut config = guest();
    config
        .mounts
        .retain(|mount| matches!(mount.source, MountSource::Volume(_)));
    GuardSubject {
        config,
        state: GuestState {
            pid: Some(77),
            uptime_s: 5000,
            ..running()
        },
        node: NodeFacts {
            now_s: Some(NOW.secs()),
            uptime_s: Some(500_000),
            ..node()
        },
        capable: true,
        storages: vec![StorageFacts {
            kind: "lvmthin".into(),
            ..storage("local-lvm", "rootdir")
        }],
        snapshots: vec![snapshot()],
        parent: Some(guard().snapshot),
        tasks: BTreeSet::from([upid("vzsnapshot", 1)]),
        may_snapshot: true,
        may_roll_back: true,
    }
}

fn rolled_back() -> GuardSubject {
    let mut subject = subject();
    subject.state.pid = Some(99);
    subject.state.uptime_s = 1;
    subject.tasks.insert(upid("vzrollback", 2));
    subject
}

fn job(make: fn(OpenGuard, GuardPolicy) -> GuardJob, guard: OpenGuard) -> Job {
    Job {
        id: job_id(),
        created: NOW,
        kind: JobKind::Guard(Box::new(make(guard, policy()))),
    }
}

fn seen(subject: GuardSubject) -> Outcome {
    Outcome::GuardSubject(Box::new(subject))
}

fn lost() -> Outcome {
    Outcome::Sent(Sent::Lost(RemoteError {
        class: ErrorClass::Unreachable,
        text: "cut".into(),
    }))
}

fn ended(verdict: TaskVerdict) -> Outcome {
    Outcome::Followed(Followed::Ended {
        verdict,
        log: vec![],
        elapsed_ms: 1,
    })
}

fn not_found() -> Outcome {
    Outcome::Found {
        upid: None,
        effect: EffectSeen::Unknown,
    }
}

fn step(job: &Job) -> String {
    match job.next(NOW) {
        Next::Do(step) => step.name().to_owned(),
        Next::Wait { .. } => "wait".to_owned(),
        Next::Pause(_) => "pause".to_owned(),
        Next::Done => "done".to_owned(),
    }
}

/// Tells the job these outcomes, one after the other, each for the step that must be asked for then.
fn tell(job: &mut Job, told: Vec<(&str, Outcome)>) {
    for (expected, outcome) in told {
        assert_eq!(step(job), expected, "{job:?}");
        job.record(NOW, outcome);
        let text = serde_json::to_string(&job).unwrap();
        assert_eq!(serde_json::from_str::<Job>(&text).unwrap(), *job);
    }
}

fn report(job: &Job) -> GuardReport {
    let JobKind::Guard(guard) = &job.kind else {
        unreachable!()
    };
    guard
        .report()
        .unwrap_or_else(|| panic!("it goes on: {job:?}"))
        .clone()
}

fn codes(report: &GuardReport) -> Vec<&str> {
    report
        .findings
        .iter()
        .map(|one| one.code.as_str())
        .collect()
}

/// An abort whose rollback was just asked for.
fn asked(guard: OpenGuard) -> Job {
    let mut job = job(GuardJob::abort, guard);
    tell(&mut job, vec![("observe-guard-subject", seen(subject()))]);
    assert_eq!(step(&job), "rollback");
    job
}

#[test]
fn an_abort_rolls_back_once_looks_and_removes_its_snapshot() {
    let mut job = asked(guard());
    let Next::Do(Step::Mutate(Mutation::Rollback { start, .. })) = job.next(NOW) else {
        unreachable!()
    };
    assert!(start, "it ran before");
    let mut gone = rolled_back();
    gone.snapshots.clear();
    tell(
        &mut job,
        vec![
            (
                "rollback",
                Outcome::Sent(Sent::Started(upid("vzrollback", 2))),
            ),
            ("follow-task", ended(TaskVerdict::Succeeded)),
            ("observe-guard-subject", seen(rolled_back())),
            (
                "delete-snapshot",
                Outcome::Sent(Sent::Started(upid("vzdelsnapshot", 3))),
            ),
            ("follow-task", ended(TaskVerdict::Succeeded)),
            ("observe-guard-subject", seen(gone)),
        ],
    );
    let report = report(&job);
    assert_eq!(
        (report.end, report.stays),
        (GuardEnd::RolledBack, false),
        "{report:?}"
    );
}

#[test]
fn a_lost_rollback_is_asked_for_again_only_when_it_is_proven_that_nothing_happened() {
    // The guest ran on all the while.
    let mut job = asked(guard());
    tell(
        &mut job,
        vec![
            ("rollback", lost()),
            ("find-task", not_found()),
            ("observe-guard-subject", seen(subject())),
        ],
    );
    assert_eq!(step(&job), "rollback");
    // Not a third time.
    tell(
        &mut job,
        vec![
            ("rollback", lost()),
            ("find-task", not_found()),
            ("observe-guard-subject", seen(subject())),
        ],
    );
    assert_eq!(report(&job).end, GuardEnd::Unchanged);
}

#[test]
fn a_lost_rollback_that_may_have_happened_is_left_to_a_person() {
    let forgotten = {
        // The guest was stopped meanwhile, and the list no longer reaches back to the snapshot.
        let mut subject = subject();
        subject.state.pid = Some(99);
        subject.state.uptime_s = 4000;
        subject.tasks.clear();
        subject
    };
    let mut locked = subject();
    locked.config.lock = Some("rollback".into());
    for after in [rolled_back(), forgotten, locked] {
        let mut job = asked(guard());
        tell(
            &mut job,
            vec![
                ("rollback", lost()),
                ("find-task", not_found()),
                ("observe-guard-subject", seen(after)),
            ],
        );
        let report = report(&job);
        assert_eq!(report.end, GuardEnd::Undetermined, "{report:?}");
        assert_eq!(report.guard.phase, GuardPhase::Doubtful);
        assert_eq!(codes(&report), ["guard-undetermined"]);
        // From here on nothing is done without a person.
        let standing = guard_standing(&report.guard, &policy(), &reading(0));
        assert_eq!(standing.due, GuardDue::Nothing);
        assert!(!standing.findings.is_empty());
    }
}

#[test]
fn a_list_of_tasks_that_reaches_back_proves_that_a_stopped_guest_was_not_rolled_back() {
    let stopped = |mut subject: GuardSubject| {
        subject.state = GuestState::default();
        subject
    };
    let guard = OpenGuard {
        ran: false,
        ..guard()
    };
    let attempt = |after: GuardSubject| {
        let mut job = job(GuardJob::abort, guard.clone());
        tell(
            &mut job,
            vec![
                ("observe-guard-subject", seen(stopped(subject()))),
                ("rollback", lost()),
                ("find-task", not_found()),
                ("observe-guard-subject", seen(stopped(after))),
            ],
        );
        job
    };
    assert_eq!(step(&attempt(subject())), "rollback");
    assert_eq!(report(&attempt(rolled_back())).end, GuardEnd::Undetermined);
}

#[test]
fn a_rollback_is_never_asked_for_by_a_later_process() {
    // Not sent, and lost with the process: in both cases nothing happened, and who asked may have gone on working.
    let mut unsent = asked(guard());
    unsent.resume();
    tell(
        &mut unsent,
        vec![("observe-guard-subject", seen(subject()))],
    );
    assert_eq!(report(&unsent).end, GuardEnd::Unchanged);
    let mut pending = asked(guard());
    pending.resume();
    pending.record(NOW, lost());
    tell(
        &mut pending,
        vec![
            ("find-task", not_found()),
            ("observe-guard-subject", seen(subject())),
        ],
    );
    let report = report(&pending);
    assert_eq!((report.end, report.stays), (GuardEnd::Unchanged, true));
    assert_eq!(report.guard.phase, GuardPhase::Open);
}

#[test]
fn a_rollback_that_is_found_after_a_restart_is_followed_to_its_end() {
    let mut job = asked(guard());
    job.resume();
    job.record(NOW, lost());
    let found = Outcome::Found {
        upid: Some(upid("vzrollback", 2)),
        effect: EffectSeen::Unknown,
    };
    tell(
        &mut job,
        vec![
            ("find-task", found),
            ("follow-task", ended(TaskVerdict::Succeeded)),
            ("observe-guard-subject", seen(rolled_back())),
        ],
    );
    assert_eq!(step(&job), "delete-snapshot");
}

#[test]
fn a_task_without_an_end_is_no_rollback_and_no_reason_for_a_second() {
    let unknown = || ended(TaskVerdict::Undetermined("unexpected status".into()));
    for (after, end) in [
        (subject(), GuardEnd::Unchanged),
        (rolled_back(), GuardEnd::Undetermined),
    ] {
        let mut job = asked(guard());
        tell(
            &mut job,
            vec![
                (
                    "rollback",
                    Outcome::Sent(Sent::Started(upid("vzrollback", 2))),
                ),
                ("follow-task", unknown()),
                ("observe-guard-subject", seen(after)),
            ],
        );
        assert_eq!(report(&job).end, end);
    }
}

#[test]
fn an_ok_that_the_guest_contradicts_is_doubted() {
    let mut elsewhere = rolled_back();
    elsewhere.parent = None;
    for after in [subject(), elsewhere] {
        let mut job = asked(guard());
        tell(
            &mut job,
            vec![
                (
                    "rollback",
                    Outcome::Sent(Sent::Started(upid("vzrollback", 2))),
                ),
                ("follow-task", ended(TaskVerdict::Succeeded)),
                ("observe-guard-subject", seen(after)),
            ],
        );
        assert_eq!(report(&job).end, GuardEnd::Undetermined);
    }
}

#[test]
fn a_guest_that_does_not_come_up_is_told_and_the_guard_still_ends() {
    let mut down = rolled_back();
    down.state = GuestState::default();
    let mut job = asked(guard());
    tell(
        &mut job,
        vec![
            (
                "rollback",
                Outcome::Sent(Sent::Started(upid("vzrollback", 2))),
            ),
            ("follow-task", ended(TaskVerdict::Succeeded)),
        ],
    );
    let mut now = NOW;
    for _ in 0..200 {
        match job.next(now) {
            Next::Wait { until, .. } => now = until,
            Next::Do(step) if step.name() == "observe-guard-subject" => {
                job.record(now, seen(down.clone()));
            }
            Next::Do(step) => {
                assert_eq!(step.name(), "delete-snapshot");
                assert_eq!(job.findings()[0].code, "guard-guest-state");
                return;
            }
            other => panic!("{other:?}"),
        }
    }
    panic!("it waits for ever");
}

#[test]
fn a_snapshot_that_is_gone_or_not_ours_is_neither_rolled_back_to_nor_removed() {
    let mut gone = subject();
    gone.snapshots.clear();
    let mut foreign = subject();
    foreign.snapshots[0].description = Some("somebody else's".into());
    let mut clone = subject();
    let other = Mark {
        vmid: vmid(9001),
        ..guard().mark
    };
    clone.snapshots[0].description = Some(other.to_string());
    for subject in [gone, foreign, clone] {
        for make in [GuardJob::abort, GuardJob::expire, GuardJob::confirm] {
            let mut job = job(make, guard());
            tell(
                &mut job,
                vec![("observe-guard-subject", seen(subject.clone()))],
            );
            let report = report(&job);
            assert!(
                matches!(report.end, GuardEnd::Gone | GuardEnd::Confirmed),
                "{report:?}"
            );
            assert_eq!(codes(&report), ["guard-snapshot-gone"]);
            assert!(!report.stays);
        }
    }
}

#[test]
fn a_removal_is_looked_at_again_after_a_restart() {
    let mut job = job(GuardJob::confirm, guard());
    tell(&mut job, vec![("observe-guard-subject", seen(subject()))]);
    assert_eq!(step(&job), "delete-snapshot");
    job.resume();
    let mut foreign = subject();
    foreign.snapshots[0].description = None;
    tell(&mut job, vec![("observe-guard-subject", seen(foreign))]);
    assert_eq!(report(&job).end, GuardEnd::Confirmed);
}

#[test]
fn a_confirmed_guard_is_never_due_for_a_rollback() {
    let JobKind::Guard(confirm) = job(GuardJob::confirm, guard()).kind else {
        unreachable!()
    };
    let standing = guard_standing(confirm.guard(), &policy(), &reading(0));
    assert_eq!(standing.due, GuardDue::Remove(GuardEnd::Confirmed));
    let mut late = job(GuardJob::expire, confirm.guard().clone());
    tell(&mut late, vec![("observe-guard-subject", seen(subject()))]);
    assert_eq!(report(&late).end, GuardEnd::Unchanged);
}

#[test]
fn what_is_due_depends_on_every_clock_and_on_how_it_was_begun() {
    let due = |guard: &OpenGuard, now: Reading| guard_standing(guard, &policy(), &now).due;
    assert_eq!(due(&guard(), reading(0)), GuardDue::Rollback);
    let kept = OpenGuard {
        on_expiry: OnExpiry::Keep,
        ..guard()
    };
    let standing = guard_standing(&kept, &policy(), &reading(0));
    assert_eq!(standing.due, GuardDue::Nothing);
    assert_eq!(standing.findings[0].code, "guard-expired");
    // Five minutes after it was begun.
    assert_eq!(due(&guard(), reading(3300)), GuardDue::Nothing);
    let jumped = Reading {
        ours: NOW,
        node_s: Some(NOW.secs()),
        ..reading(3300)
    };
    let standing = guard_standing(&guard(), &policy(), &jumped);
    assert_eq!(
        (standing.due, standing.expired),
        (GuardDue::Nothing, Past::Unsure)
    );
    assert!(standing.findings[0].detail.contains("do not agree"));
    let deleting = GuardPolicy {
        max_age: Duration::from_mins(30),
        on_max_age: OnMaxAge::Delete,
        ..policy()
    };
    let standing = guard_standing(&kept, &deleting, &reading(0));
    assert_eq!(standing.due, GuardDue::Remove(GuardEnd::Outlived));
    assert_eq!(standing.findings[0].code, "guard-too-old");
    let back = Reading {
        node_s: Some(0),
        ..reading(0)
    };
    assert_eq!(
        guard_standing(&kept, &deleting, &back).due,
        GuardDue::Nothing
    );
}

#[test]
fn an_expiry_looks_at_the_clocks_again_right_before() {
    let mut back = subject();
    back.node.now_s = Some(NOW.secs() - 86_400);
    let mut young = subject();
    young.snapshots[0].taken_s = Some(NOW.secs() - 5);
    let mut taken_back = subject();
    taken_back.tasks.insert(upid("vzrollback", 9));
    for subject in [back, young, taken_back] {
        let mut job = job(GuardJob::expire, guard());
        tell(&mut job, vec![("observe-guard-subject", seen(subject))]);
        let report = report(&job);
        assert_eq!(
            (report.end, report.stays),
            (GuardEnd::Unchanged, true),
            "{report:?}"
        );
    }
    let mut job = job(GuardJob::expire, guard());
    tell(&mut job, vec![("observe-guard-subject", seen(subject()))]);
    assert_eq!(step(&job), "rollback");
}

#[test]
fn an_expiry_whose_tasks_the_server_forgot_is_left_to_a_person() {
    let mut forgotten = subject();
    forgotten.tasks = BTreeSet::from([upid("vzstart", 50)]);
    let unknown = OpenGuard {
        made_by: None,
        ..guard()
    };
    for (guard, subject) in [(guard(), forgotten.clone()), (unknown, subject())] {
        let mut job = job(GuardJob::expire, guard);
        tell(&mut job, vec![("observe-guard-subject", seen(subject))]);
        let report = report(&job);
        assert_eq!(
            (report.end, report.stays),
            (GuardEnd::Undetermined, true),
            "{report:?}"
        );
        assert!(report.upids.is_empty());
        assert_eq!(codes(&report), ["guard-undetermined"]);
        let standing = guard_standing(&report.guard, &policy(), &reading(0));
        assert_eq!(standing.due, GuardDue::Nothing);
    }
    // A person's word needs no list.
    let mut job = asked(guard());
    tell(&mut job, vec![]);
    assert_eq!(step(&job), "rollback");
    let mut aborted = self::job(GuardJob::abort, guard());
    tell(
        &mut aborted,
        vec![("observe-guard-subject", seen(forgotten))],
    );
    assert_eq!(step(&aborted), "rollback");
}

#[test]
fn a_storage_that_rolls_back_to_the_newest_only_is_told_before_anything_is_asked_for() {
    let newer = SnapshotFacts {
        name: "s2".parse().unwrap(),
        description: None,
        taken_s: Some(NOW.secs() - 60),
        parent: Some(guard().snapshot),
        state: None,
    };
    let mut on_thin = subject();
    on_thin.snapshots.push(newer);
    let mut on_zfs = on_thin.clone();
    on_zfs.storages[0].kind = "zfspool".into();
    let mut job_on_zfs = job(GuardJob::abort, guard());
    tell(
        &mut job_on_zfs,
        vec![("observe-guard-subject", seen(on_zfs))],
    );
    let report = report(&job_on_zfs);
    assert_eq!(report.end, GuardEnd::Unchanged);
    assert!(
        report.reasons[0].contains("newest snapshot only"),
        "{report:?}"
    );
    let mut job_on_thin = job(GuardJob::abort, guard());
    tell(
        &mut job_on_thin,
        vec![("observe-guard-subject", seen(on_thin))],
    );
    assert_eq!(step(&job_on_thin), "rollback");
    assert!(
        job_on_thin
            .planning()
            .iter()
            .any(|line| line.contains("newer snapshots stay: s2"))
    );
}

fn draft() -> OpenGuard {
    OpenGuard {
        begun: Reading::default(),
        made_by: None,
        ran: false,
        volumes: BTreeSet::new(),
        ..guard()
    }
}

fn bare() -> GuardSubject {
    GuardSubject {
        snapshots: vec![],
        parent: None,
        ..subject()
    }
}

fn begun() -> Job {
    let mut job = job(GuardJob::begin, draft());
    tell(&mut job, vec![("observe-guard-subject", seen(bare()))]);
    job
}

#[test]
fn a_guard_stands_only_when_its_task_said_ok_and_its_snapshot_is_whole() {
    let started = || Outcome::Sent(Sent::Started(upid("vzsnapshot", 1)));
    let mut job = begun();
    tell(
        &mut job,
        vec![
            ("snapshot", started()),
            ("follow-task", ended(TaskVerdict::Succeeded)),
            ("observe-guard-subject", seen(subject())),
        ],
    );
    let opened = report(&job);
    assert_eq!((opened.end, opened.stays), (GuardEnd::Opened, true));
    assert_eq!(opened.guard.begun, reading(0));
    assert!(opened.guard.ran && opened.guard.made_by.is_some());
    let mut half = subject();
    half.snapshots[0].state = Some("prepare".into());
    for (verdict, after) in [
        (
            TaskVerdict::Undetermined("unexpected status".into()),
            subject(),
        ),
        (TaskVerdict::Failed("no".into()), subject()),
        (TaskVerdict::Succeeded, half),
    ] {
        let mut job = begun();
        tell(
            &mut job,
            vec![
                ("snapshot", started()),
                ("follow-task", ended(verdict)),
                ("observe-guard-subject", seen(after)),
                (
                    "delete-snapshot",
                    Outcome::Sent(Sent::Started(upid("vzdelsnapshot", 3))),
                ),
                ("follow-task", ended(TaskVerdict::Succeeded)),
                ("observe-guard-subject", seen(bare())),
            ],
        );
        let report = report(&job);
        assert_eq!(
            (report.end, report.stays),
            (GuardEnd::Failed, false),
            "{report:?}"
        );
    }
}

#[test]
fn a_guard_that_nobody_was_told_of_takes_its_snapshot_back() {
    let mut job = begun();
    tell(
        &mut job,
        vec![
            (
                "snapshot",
                Outcome::Sent(Sent::Started(upid("vzsnapshot", 1))),
            ),
            ("follow-task", ended(TaskVerdict::Succeeded)),
            ("observe-guard-subject", seen(subject())),
        ],
    );
    assert_eq!(step(&job), "done");
    job.resume();
    tell(&mut job, vec![("observe-guard-subject", seen(subject()))]);
    assert_eq!(step(&job), "delete-snapshot");
}

#[test]
fn what_stands_in_the_way_of_a_snapshot_is_named() {
    let refuse = |change: &dyn Fn(&mut GuardSubject)| {
        let mut subject = bare();
        change(&mut subject);
        let mut job = job(GuardJob::begin, draft());
        tell(&mut job, vec![("observe-guard-subject", seen(subject))]);
        let report = report(&job);
        assert_eq!((report.end, report.stays), (GuardEnd::Refused, false));
        report.reasons.join("; ")
    };
    let told = refuse(&|subject| {
        subject.capable = false;
        subject.config = guest();
    });
    assert!(
        told.contains("mp3 (/mnt/mp3)") && told.contains("bind mount"),
        "{told}"
    );
    let told = refuse(&|subject| {
        subject.capable = false;
        subject.storages[0].kind = "dir".into();
    });
    assert!(
        told.contains("a storage of type `dir` cannot snapshot containers"),
        "{told}"
    );
    let told = refuse(&|subject| subject.capable = false);
    assert!(told.contains("no snapshot can be made"), "{told}");
    let told = refuse(&|subject| subject.config.template = true);
    assert!(told.contains("template"), "{told}");
    let told = refuse(&|subject| subject.state.lock = Some("backup".into()));
    assert!(told.contains("locked (backup)"), "{told}");
    let told = refuse(&|subject| subject.storages[0].avail = subject.storages[0].total / 20);
    assert!(told.contains("must be free"), "{told}");
    let told = refuse(&|subject| subject.may_roll_back = false);
    assert!(told.contains("no way back"), "{told}");
    let told = refuse(&|subject| subject.node.uptime_s = None);
    assert!(told.contains("no deadline could be proven"), "{told}");
}
