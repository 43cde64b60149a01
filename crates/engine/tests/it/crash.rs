//! Properties over random trouble: jobs end, nothing foreign is harmed, no mutation takes effect twice.

use felhom_engine::*;
use proptest::prelude::*;

use crate::fake::*;

pub(crate) fn troubles() -> impl Strategy<Value = Vec<Trouble>> {
    prop::collection::vec(
        prop_oneof![
            4 => Just(Trouble::None),
            1 => prop::sample::select(TROUBLES.to_vec()),
        ],
        60,
    )
}

proptest! {
    #[test]
    fn a_restore_test_ends_and_leaves_nothing_of_ours_unreported(troubles in troubles()) {
        let mut world = World::default();
        let (job, _) = drive(test_job(), &mut world, |n, _| troubles.get(n).copied().unwrap_or(Trouble::None));
        prop_assert!(world.harmed.is_empty());
        let JobKind::RestoreTest(test) = job.kind else { unreachable!() };
        let report = test.report().unwrap();
        match &world.scratch {
            None => {}
            Some(_) => prop_assert!(!report.nothing_left && !report.findings.is_empty()),
        }
        let restores = world.effects.iter().filter(|(key, _)| key.starts_with("restore ")).map(|(_, n)| *n);
        prop_assert!(restores.max().unwrap_or(0) <= 1);
    }

    #[test]
    fn a_backup_ends_and_is_made_at_most_once(troubles in troubles()) {
        let mut world = World::default();
        drive(backup_job(), &mut world, |n, _| troubles.get(n).copied().unwrap_or(Trouble::None));
        prop_assert!(world.effects.values().copied().max().unwrap_or(0) <= 1);
    }

    #[test]
    fn a_process_that_dies_anywhere_goes_on_from_what_was_written(died_at in 0usize..40) {
        let mut world = World::default();
        let mut job = test_job();
        let mut now = Timestamp::from_secs(1);
        let mut steps = 0;
        loop {
            match job.next(now) {
                Next::Do(step) => {
                    let outcome = world.perform(&step, Trouble::None);
                    if steps == died_at {
                        // The outcome is lost with the process.
                        job.resume();
                        if step.is_mutation() {
                            let text = "died".to_owned();
                            let lost = Sent::Lost(RemoteError { class: ErrorClass::Local, text });
                            job.record(now, Outcome::Sent(lost));
                        }
                    } else {
                        job.record(now, outcome);
                    }
                    steps += 1;
                }
                Next::Wait { until, .. } => now = until,
                Next::Pause(_) => job.resume(),
                Next::Done => break,
            }
        }
        let JobKind::RestoreTest(test) = job.kind else { unreachable!() };
        let report = test.report().unwrap();
        prop_assert_eq!(report.judgement.verdict, Verdict::Passed);
        prop_assert!(report.nothing_left && world.scratch.is_none());
        prop_assert!(world.effects.iter().filter(|(key, _)| !key.starts_with("set-notes")).all(|(_, n)| *n == 1));
    }
}
