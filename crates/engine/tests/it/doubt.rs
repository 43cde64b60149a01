//! What cannot be told is not told: verdicts under interruption, forgotten tasks, unread logs, looks that fall apart.

use std::collections::BTreeSet;
use std::time::Duration;

use felhom_engine::*;
use felhom_ids::Upid;

use crate::fake::*;

fn error(class: ErrorClass, text: &str) -> RemoteError {
    let text = text.to_owned();
    RemoteError { class, text }
}

/// Goes on without trouble up to the n-th step of this name, which is not performed.
fn up_to(mut job: Job, world: &mut World, name: &str, mut nth: usize) -> (Job, Timestamp) {
    let mut now = Timestamp::from_secs(1);
    for _ in 0..100 {
        match job.next(now) {
            Next::Do(step) => {
                if step.name() == name {
                    nth -= 1;
                    if nth == 0 {
                        return (job, now);
                    }
                }
                let outcome = world.perform(&step, Trouble::None);
                now = now.plus(Duration::from_millis(50));
                job.record(now, outcome);
            }
            Next::Wait { until, .. } => now = until,
            other => panic!("{other:?}"),
        }
    }
    panic!("`{name}` is never reached");
}

fn test_of(job: &Job) -> &RestoreTestJob {
    let JobKind::RestoreTest(test) = &job.kind else {
        unreachable!()
    };
    test
}

fn ended(verdict: TaskVerdict) -> Outcome {
    Outcome::Followed(Followed::Ended {
        verdict,
        log: vec![],
        elapsed_ms: 10,
    })
}

fn stub() -> GuestConfig {
    GuestConfig {
        lock: Some("create".into()),
        keys: BTreeSet::from(["lock".to_owned()]),
        ..GuestConfig::default()
    }
}

fn scratch(config: GuestConfig, last: &Upid, running: bool) -> Outcome {
    let last_task = TaskFacts {
        upid: last.clone(),
        running,
        status: None,
    };
    Outcome::Scratch(Box::new(ScratchFacts {
        existence: Existence::Guest(Box::new(config)),
        state: None,
        volumes: Some(vec![]),
        tasks: vec![last_task],
    }))
}

#[test]
fn a_restore_that_does_not_stop_is_still_known_as_ours() {
    let mut world = World::default();
    let (mut job, mut now) = up_to(test_job(), &mut world, "follow-task", 1);
    let upid = world.tasks[0].0.clone();
    let silent = Outcome::Followed(Followed::Stuck { silent_ms: 60_000 });
    loop {
        match job.next(now) {
            Next::Do(Step::Observe(Observe::Scratch { .. })) => break,
            Next::Do(Step::Follow { .. }) => job.record(now, silent.clone()),
            Next::Do(Step::Mutate(_)) => job.record(now, Outcome::Sent(Sent::Done)),
            Next::Wait { until, .. } => now = until,
            other => panic!("{other:?}"),
        }
    }
    job.record(now, scratch(stub(), &upid, true));
    assert!(
        matches!(job.next(now), Next::Wait { .. }),
        "it is taken for somebody else's: {:?}",
        job.findings()
    );
    assert_eq!(test_of(&job).remains().unwrap().restore, Some(upid));
}

#[test]
fn a_restore_that_ends_between_two_looks_is_removed_and_not_reported_as_cut_off() {
    let mut world = World::default();
    let (mut job, mut now) = up_to(test_job(), &mut world, "follow-task", 1);
    let upid = world.tasks[0].0.clone();
    job.record(
        now,
        ended(TaskVerdict::Undetermined("unexpected status".into())),
    );
    job.record(now, scratch(stub(), &upid, false));
    while let Next::Wait { until, .. } = job.next(now) {
        now = until;
    }
    let (job, _) = drive(job, &mut world, |_, _| Trouble::None);
    let report = test_of(&job).report().unwrap();
    assert!(report.nothing_left, "{:?}", report.findings);
    assert!(world.scratch.is_none());
}

#[test]
fn a_task_that_the_server_has_forgotten_does_not_keep_a_job_forever() {
    for job in [test_job(), backup_job()] {
        let mut world = World::default();
        let (mut job, now) = up_to(job, &mut world, "follow-task", 1);
        job.record(
            now,
            Outcome::Failed(error(ErrorClass::NotFound, "no such task")),
        );
        assert!(matches!(job.next(now), Next::Do(_)), "{:?}", job.next(now));
    }
}

#[test]
fn one_answer_that_makes_no_sense_does_not_leave_a_running_task_alone() {
    let mut world = World::default();
    let (mut job, now) = up_to(test_job(), &mut world, "follow-task", 1);
    job.record(now, Outcome::Failed(error(ErrorClass::Garbage, "no JSON")));
    assert!(matches!(job.next(now), Next::Wait { .. }));
}

#[test]
fn a_copy_that_is_down_after_a_restart_of_the_agent_says_nothing_about_the_backup() {
    let mut world = World::default();
    let (mut job, now) = up_to(test_job(), &mut world, "gather-evidence", 1);
    job.resume();
    // The node's clock went back, so nothing tells that it was restarted.
    let evidence = Evidence {
        node_uptime_s: Some(1_000_000),
        ..Evidence::default()
    };
    job.record(now, Outcome::Evidence(Box::new(evidence)));
    let (job, _) = drive(job, &mut world, |_, _| Trouble::None);
    let report = test_of(&job).report().unwrap();
    assert_eq!(report.judgement.verdict, Verdict::Error);
}

#[test]
fn a_copy_that_is_down_after_a_restart_of_the_node_says_nothing_about_the_backup() {
    // Our clock went back, so by its count the node was up long before the copy was started.
    for (uptime, verdict) in [(400_000, Verdict::Error), (600_000, Verdict::Failed)] {
        let mut world = World::default();
        let (mut job, now) = up_to(test_job(), &mut world, "gather-evidence", 1);
        let evidence = Evidence {
            node_uptime_s: Some(uptime),
            ..Evidence::default()
        };
        job.record(now, Outcome::Evidence(Box::new(evidence)));
        let (job, _) = drive(job, &mut world, |_, _| Trouble::None);
        let report = test_of(&job).report().unwrap();
        assert_eq!(report.judgement.verdict, verdict, "{uptime}");
    }
}

#[test]
fn a_clock_that_jumps_ahead_does_not_spoil_a_copy_that_was_seen_alive() {
    let mut world = World::default();
    let (mut job, now) = up_to(test_job(), &mut world, "gather-evidence", 1);
    let evidence = Evidence {
        stable: true,
        nonces_seen: vec!["192.0.2.1".into()],
        booted_after_ms: Some(5),
        node_uptime_s: Some(600),
        ..Evidence::default()
    };
    let later = now.plus(Duration::from_hours(24 * 365));
    job.record(later, Outcome::Evidence(Box::new(evidence)));
    let (job, _) = drive(job, &mut world, |_, _| Trouble::None);
    let report = test_of(&job).report().unwrap();
    assert_eq!(report.judgement.verdict, Verdict::Passed);
}

#[test]
fn the_time_to_recover_counts_the_start_and_is_not_told_when_nobody_measured_it() {
    let rto = |restarted: bool| {
        let mut world = World::default();
        let (mut job, _) = up_to(test_job(), &mut world, "gather-evidence", 1);
        if restarted {
            job.resume();
        }
        let (job, _) = drive(job, &mut world, |_, _| Trouble::None);
        let report = test_of(&job).report().unwrap().clone();
        assert_eq!(report.judgement.verdict, Verdict::Passed);
        report.rto_ms
    };
    // 10 ms for the restore task, 10 for the start task, 5 to the evidence.
    assert_eq!(rto(false), Some(25));
    assert_eq!(rto(true), None);
}

#[test]
fn the_evidence_is_waited_for_at_least_as_long_as_the_copy_has_to_be_stable() {
    let mut job = test_job();
    let JobKind::RestoreTest(_) = &job.kind else {
        unreachable!()
    };
    let mut policy = policy();
    policy.stable_for = Duration::from_mins(1);
    policy.evidence_timeout = Duration::from_secs(30);
    let request = RestoreTestRequest {
        volid: volid(),
        installation: installation(),
        job: job_id(),
        nonce: 1,
        policy,
        leased: vec![],
        content_bytes: None,
    };
    job.kind = JobKind::RestoreTest(Box::new(RestoreTestJob::new(request)));
    let (job, now) = up_to(job, &mut World::default(), "gather-evidence", 1);
    let Next::Do(Step::Observe(Observe::Evidence {
        stable_for,
        timeout,
        ..
    })) = job.next(now)
    else {
        panic!()
    };
    assert!(timeout > stable_for);
}

#[test]
fn a_start_that_somebody_stopped_is_no_failed_backup() {
    for text in ["received interrupt", "command 'x' failed: got signal 15"] {
        let mut world = World::default();
        let (mut job, now) = up_to(test_job(), &mut world, "follow-task", 2);
        job.record(now, ended(TaskVerdict::Failed(text.into())));
        let (job, _) = drive(job, &mut world, |_, _| Trouble::None);
        let report = test_of(&job).report().unwrap();
        assert_eq!(report.judgement.verdict, Verdict::Error, "{text}");
    }
}

#[test]
fn only_an_archive_without_a_configuration_is_to_blame_for_an_unread_one() {
    let cases = [
        (
            "ERROR: archive contains no configuration file",
            Verdict::Failed,
        ),
        (
            "command 'tar xpOf /x.tar.zst ./etc/vzdump/pct.conf --occurrence' failed: exit code 2",
            Verdict::Failed,
        ),
        ("500: storage 'nas' is not online", Verdict::Error),
        (
            "command '/usr/bin/proxmox-backup-client restore …' failed: exit code 255",
            Verdict::Error,
        ),
    ];
    for (text, verdict) in cases {
        let mut subject = test_subject();
        subject.config_error = Some(error(ErrorClass::Refused, text));
        let mut world = World::default();
        let mut job = test_job();
        job.record(
            Timestamp::from_secs(1),
            Outcome::TestSubject(Box::new(subject)),
        );
        let (job, _) = drive(job, &mut world, |_, _| Trouble::None);
        let report = test_of(&job).report().unwrap();
        assert_eq!(report.judgement.verdict, verdict, "{text}");
    }
}

#[test]
fn somebody_elses_volume_in_the_copy_is_not_booted() {
    let mut world = World::default();
    let (job, _) = up_to(test_job(), &mut world, "observe-scratch", 1);
    let config = &mut world.scratch.as_mut().unwrap().config;
    config.mounts[1].source = MountSource::Volume("local-lvm:vm-9001-disk-1".parse().unwrap());
    let (job, _) = drive(job, &mut world, |_, _| Trouble::None);
    let report = test_of(&job).report().unwrap();
    assert_eq!(report.judgement.verdict, Verdict::Error);
    assert!(!world.effects.keys().any(|key| key.starts_with("start ")));
}

#[test]
fn thin_pool_metadata_that_cannot_be_seen_is_not_fine() {
    let mut subject = test_subject();
    subject.target.as_mut().unwrap().kind = "lvmthin".into();
    let mut job = test_job();
    let now = Timestamp::from_secs(1);
    job.record(now, Outcome::TestSubject(Box::new(subject)));
    assert_eq!(job.next(now), Next::Done);
}

#[test]
fn a_backup_whose_guest_is_gone_ends_undetermined() {
    let mut world = World::default();
    let (mut job, mut now) = up_to(backup_job(), &mut world, "observe-backup-result", 1);
    for _ in 0..20 {
        match job.next(now) {
            Next::Do(_) => job.record(
                now,
                Outcome::Failed(error(ErrorClass::NotFound, "does not exist")),
            ),
            Next::Wait { until, .. } => now = until,
            Next::Pause(_) => job.resume(),
            Next::Done => break,
        }
    }
    let JobKind::Backup(backup) = &job.kind else {
        unreachable!()
    };
    let report = backup.report().expect("it would never end");
    assert_eq!(report.verdict, BackupVerdict::Undetermined);
}

#[test]
fn a_log_that_could_not_be_read_is_no_failed_backup() {
    let mut world = World::default();
    let (mut job, now) = up_to(backup_job(), &mut world, "follow-task", 1);
    job.record(now, ended(TaskVerdict::Succeeded));
    let (job, _) = drive(job, &mut world, |_, _| Trouble::None);
    let JobKind::Backup(backup) = &job.kind else {
        unreachable!()
    };
    let report = backup.report().unwrap();
    assert_eq!(
        report.verdict,
        BackupVerdict::Undetermined,
        "{:?}",
        report.reasons
    );
}
