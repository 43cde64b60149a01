//! Restores that break off: what they made is taken back by proof, or told.

use felhom_engine::*;
use proptest::prelude::*;

use super::report_of;
use crate::fake::*;

#[test]
fn a_restore_that_fails_or_is_cut_off_is_taken_back_or_told_with_its_commands() {
    for (step, trouble) in [
        ("restore-guest", Trouble::TaskFails),
        ("restore-guest", Trouble::Refused),
        ("follow-task", Trouble::Trips),
    ] {
        let mut world = World::default();
        let (job, _) = drive(
            restore_job(restore_request()),
            &mut world,
            at(step, trouble),
        );
        let report = report_of(&job);
        assert_eq!(report.end, RestoreEnd::Failed, "{trouble:?}");
        assert!(
            report.nothing_left && world.restored.is_none(),
            "{trouble:?}"
        );
        assert!(world.harmed.is_empty());
    }
    let mut world = World::default();
    let cut = at("restore-guest", Trouble::TaskUndetermined);
    let (job, _) = drive(restore_job(restore_request()), &mut world, cut);
    let report = report_of(&job);
    assert!(!report.nothing_left);
    assert_eq!(report.findings[0].code, "unfinished-restore");
    let hint = report.findings[0].hint.clone().unwrap();
    assert!(
        hint.contains("pct unlock 9020 && pct destroy 9020 && pvesm free local-lvm:vm-9020-disk-0"),
        "{hint}"
    );
    assert!(
        !hint.contains("unreferenced"),
        "what else bears the VMID is not ours: {hint}"
    );
}

/// Drives a restore whose task ends without a verdict though the guest is whole, and changes something right before it would
/// be destroyed.
fn undone(change: impl FnOnce(&mut World)) -> (Job, World) {
    let mut world = World::default();
    let mut change = Some(change);
    let mut job = restore_job(restore_request());
    let mut now = Timestamp::from_secs(1);
    loop {
        match job.next(now) {
            Next::Do(step) => {
                if step.name() == "observe-restored"
                    && let Some(change) = change.take()
                {
                    change(&mut world);
                }
                let outcome = match world.perform(&step, Trouble::None) {
                    Outcome::Followed(Followed::Ended {
                        log, elapsed_ms, ..
                    }) if !world.effects.keys().any(|one| one.starts_with("destroy")) => {
                        let verdict = TaskVerdict::Undetermined("unexpected status".into());
                        Outcome::Followed(Followed::Ended {
                            verdict,
                            log,
                            elapsed_ms,
                        })
                    }
                    other => other,
                };
                job.record(now, outcome);
            }
            Next::Wait { until, .. } => now = until,
            Next::Pause(error) => panic!("{error}"),
            Next::Done => return (job, world),
        }
    }
}

type Change = fn(&mut World);

#[test]
fn only_what_is_proven_ours_and_was_never_touched_is_destroyed() {
    let (job, world) = undone(|_| {});
    assert!(report_of(&job).nothing_left && world.restored.is_none());
    let started = |world: &mut World| world.restored.as_mut().unwrap().running = true;
    let touched = |world: &mut World| {
        let upid = "UPID:pve:0000FFFF:0000FFFF:0000FFFF:vzsnapshot:9020:root@pam:";
        let done = TaskVerdict::Succeeded;
        world.tasks.push((upid.parse().unwrap(), done));
    };
    let foreign = |world: &mut World| world.restored.as_mut().unwrap().hijack();
    let changes: [(&str, Change); 3] = [
        ("started", started),
        ("vzsnapshot", touched),
        ("no mark", foreign),
    ];
    for (words, change) in changes {
        let (job, world) = undone(change);
        let report = report_of(&job);
        assert!(
            world.restored.is_some() && world.harmed.is_empty(),
            "{words}"
        );
        assert!(!report.nothing_left);
        assert_eq!(report.findings[0].code, "restore-leftover");
        assert!(
            report.findings[0].detail.contains(words),
            "{:?}",
            report.findings
        );
    }
}

proptest! {
    #[test]
    fn a_restore_ends_and_nothing_of_it_is_left_unreported(troubles in crate::crash::troubles()) {
        let mut world = World::default();
        let request = RestoreRunRequest { start: true, ..restore_request() };
        let (job, _) = drive(restore_job(request), &mut world, |n, _| {
            troubles.get(n).copied().unwrap_or(Trouble::None)
        });
        let report = report_of(&job);
        prop_assert!(world.harmed.is_empty());
        match (&world.restored, report.end) {
            (None, RestoreEnd::Restored | RestoreEnd::Differs) => prop_assert!(false, "not there"),
            (None, _) => {}
            (Some(guest), RestoreEnd::Restored) => {
                prop_assert!(guest.foreign || guest.running == report.started || !report.findings.is_empty());
            }
            (Some(_), RestoreEnd::Refused) => prop_assert!(report.restore_upid.is_none()),
            (Some(_), _) => prop_assert!(!report.findings.is_empty()),
        }
        let restores = world.effects.iter().filter(|(key, _)| key.starts_with("restore-guest")).map(|(_, n)| *n);
        prop_assert!(restores.max().unwrap_or(0) <= 1);
    }
}

#[test]
fn a_lost_request_that_begins_late_is_found_when_the_next_is_refused() {
    let mut world = World::default();
    let mut job = restore_job(restore_request());
    let (mut now, mut sent) = (Timestamp::from_secs(1), 0);
    loop {
        match job.next(now) {
            Next::Do(step @ Step::Mutate(Mutation::RestoreGuest(_))) => {
                sent += 1;
                let text = "CT 9020 already exists".to_owned();
                let class = ErrorClass::Refused;
                let error = RemoteError { class, text };
                let answer = if sent == 1 {
                    Sent::Lost(error)
                } else {
                    // The first has begun right before the second arrives.
                    world.perform(&step, Trouble::None);
                    Sent::Refused(error)
                };
                job.record(now, Outcome::Sent(answer));
            }
            Next::Do(step) => job.record(now, world.perform(&step, Trouble::None)),
            Next::Wait { until, .. } => now = until,
            Next::Pause(error) => panic!("{error}"),
            Next::Done => break,
        }
    }
    let report = report_of(&job);
    assert_eq!(report.end, RestoreEnd::Restored, "{:?}", report.reasons);
    assert_eq!(sent, 2);
    assert!(world.restored.is_some());
}
