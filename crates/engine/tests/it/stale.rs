//! What was seen before a restart, or before a request was lost, is no proof right before the next request.

use std::time::Duration;

use felhom_engine::*;

use crate::fake::*;

fn error(class: ErrorClass) -> RemoteError {
    let text = "simulated".to_owned();
    RemoteError { class, text }
}

/// Goes on without trouble up to the first step of this name, which is not performed.
pub(crate) fn up_to(mut job: Job, world: &mut World, name: &str) -> (Job, Timestamp) {
    let mut now = Timestamp::from_secs(1);
    for _ in 0..100 {
        match job.next(now) {
            Next::Do(step) if step.name() == name => return (job, now),
            Next::Do(step) => {
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

fn next_step(job: &Job, mut now: Timestamp) -> Step {
    for _ in 0..4 {
        match job.next(now) {
            Next::Do(step) => return step,
            Next::Wait { until, .. } => now = until,
            other => panic!("{other:?}"),
        }
    }
    panic!("it only waits");
}

fn exercise() -> Job {
    let mark = Mark {
        installation: installation(),
        job: job_id(),
        vmid: vmid(9001),
    };
    let second = Duration::from_secs(1);
    let exercise = ExerciseJob::new(mark, "felhom-1".parse().unwrap(), second, second);
    Job {
        id: job_id(),
        created: Timestamp::default(),
        kind: JobKind::Exercise(Box::new(exercise)),
    }
}

/// The requests that need a proof right before them, and the look that is the proof.
const PROVEN: [(&str, &str); 4] = [
    ("restore", "observe-test-subject"),
    ("start", "observe-scratch"),
    ("stop", "observe-scratch"),
    ("destroy", "observe-scratch"),
];

#[test]
fn a_request_that_was_never_sent_is_not_sent_after_a_restart_without_a_new_look() {
    for (request, look) in PROVEN {
        let (mut job, now) = up_to(test_job(), &mut World::default(), request);
        job.resume();
        assert_eq!(next_step(&job, now).name(), look, "{request}");
    }
    let (mut job, now) = up_to(backup_job(), &mut World::default(), "backup");
    job.resume();
    assert_eq!(next_step(&job, now).name(), "observe-backup-subject");
}

#[test]
fn a_request_that_was_lost_is_looked_for_first_and_then_looked_at_anew() {
    for (request, look) in PROVEN {
        let (mut job, now) = up_to(test_job(), &mut World::default(), request);
        job.resume();
        job.record(now, Outcome::Sent(Sent::Lost(error(ErrorClass::Local))));
        assert_eq!(next_step(&job, now).name(), "find-task", "{request}");
        let effect = EffectSeen::No;
        job.record(now, Outcome::Found { upid: None, effect });
        assert_eq!(next_step(&job, now).name(), look, "{request}");
    }
}

#[test]
fn a_guest_that_took_the_vmid_meanwhile_is_neither_started_nor_stopped_nor_destroyed() {
    for request in ["start", "stop", "destroy"] {
        for restarted in [true, false] {
            let mut world = World::default();
            let (mut job, now) = up_to(test_job(), &mut world, request);
            world.hijack();
            if restarted {
                job.resume();
            } else {
                let lost = Sent::NotSent(error(ErrorClass::Unreachable));
                job.record(now, Outcome::Sent(lost));
            }
            let (job, _) = drive(job, &mut world, |_, _| Trouble::None);
            assert!(world.harmed.is_empty(), "{request}: {:?}", world.harmed);
            let JobKind::RestoreTest(test) = job.kind else {
                unreachable!()
            };
            let report = test.report().unwrap();
            assert!(
                report.findings.iter().any(|f| f.code == "scratch-foreign"),
                "{request}: {report:?}"
            );
        }
    }
}

#[test]
fn a_snapshot_is_looked_at_again_before_it_is_removed_after_a_restart() {
    let mut job = exercise();
    let now = Timestamp::from_secs(1);
    let ours = SnapshotFacts {
        name: "felhom-1".parse().unwrap(),
        description: Some(
            Mark {
                installation: installation(),
                job: job_id(),
                vmid: vmid(9001),
            }
            .to_string(),
        ),
        taken_s: None,
        parent: None,
        state: None,
    };
    job.record(now, Outcome::Snapshots(vec![]));
    job.record(now, Outcome::Tasks([].into()));
    job.record(now, Outcome::Sent(Sent::Done));
    job.record(now, Outcome::Snapshots(vec![ours.clone()]));
    job.record(now, Outcome::Tasks([].into()));
    assert_eq!(next_step(&job, now).name(), "delete-snapshot");
    job.resume();
    assert_eq!(next_step(&job, now).name(), "list-snapshots");
    let foreign = SnapshotFacts {
        description: None,
        ..ours
    };
    job.record(now, Outcome::Snapshots(vec![foreign]));
    let JobKind::Exercise(exercise) = job.kind else {
        unreachable!()
    };
    assert!(!exercise.report().unwrap().done);
}

#[test]
fn an_exercise_does_not_end_while_its_snapshot_may_still_be_there() {
    let mut job = exercise();
    let mut now = Timestamp::from_secs(1);
    job.record(now, Outcome::Snapshots(vec![]));
    job.record(now, Outcome::Tasks([].into()));
    job.record(now, Outcome::Sent(Sent::Done));
    for _ in 0..20 {
        match job.next(now) {
            Next::Do(_) => job.record(now, Outcome::Failed(error(ErrorClass::Unreachable))),
            Next::Wait { until, .. } => now = until,
            Next::Pause(_) => return,
            Next::Done => panic!("a snapshot is left behind, and nobody is told"),
        }
    }
    panic!("it never pauses");
}

#[test]
fn a_wait_ends_though_the_clock_is_set_back() {
    let (mut job, now) = up_to(test_job(), &mut World::default(), "destroy");
    let lost = Sent::NotSent(error(ErrorClass::Unreachable));
    job.record(now, Outcome::Sent(lost));
    assert!(matches!(job.next(now), Next::Wait { .. }));
    let earlier = Timestamp::from_secs(now.secs() - 86_400);
    assert!(matches!(job.next(earlier), Next::Do(_)));
}

#[test]
fn waiting_for_another_vzdump_ends_though_the_clock_is_set_back_and_says_so_once() {
    let mut job = test_job();
    let mut now = Timestamp::from_secs(1_000_000);
    let mut subject = test_subject();
    subject.node.vzdump_running = "UPID:pve:00000001:00000001:00000001:vzdump:101:root@pam:"
        .parse()
        .ok();
    for _ in 0..100 {
        match job.next(now) {
            Next::Do(_) => {
                now = Timestamp::from_secs(now.secs() - 3600);
                let subject = Box::new(subject.clone());
                job.record(now, Outcome::TestSubject(subject));
            }
            Next::Wait { until, .. } => now = until,
            Next::Pause(error) => panic!("{error}"),
            Next::Done => break,
        }
    }
    assert_eq!(job.next(now), Next::Done);
    assert_eq!(job.planning().len(), 1, "{:?}", job.planning());
}
