//! Interrupted anywhere, under any trouble: the job ends, and says nothing that the server does not bear out.

use felhom_engine::pbs::*;
use felhom_engine::*;
use proptest::prelude::*;

use super::server::*;

const BAD: &str = "7b68545f61c78cc1ebb92baf8111a5f580ccf7619715a0d39d5a2ffd8f93d3f5";

fn server() -> Server {
    let mut server = Server::new(vec![
        snapshot(named("ct/9001", 1), None),
        snapshot(named("ct/9001", 2), verified(VerifyState::Ok, 90)),
        snapshot(named("ct/9002", 1), None),
    ]);
    server.damaged.insert(named("ct/9002", 1), vec![BAD.into()]);
    server
}

fn verdicts(job: &Job) -> Vec<(String, VerifyVerdict)> {
    let verdicts = report_of(job).verdicts.iter();
    let mut told: Vec<_> = verdicts
        .map(|one| (one.snapshot.to_string(), one.verdict))
        .collect();
    told.sort();
    told
}

/// What the server's list must say for a verdict to be true.
fn is_borne_out(one: &SnapshotVerdict, server: &Server) -> bool {
    let seen = server.listing.get(&one.snapshot).unwrap();
    let ours = seen
        .verification
        .as_ref()
        .filter(|last| Some(&last.upid) == one.upid.as_ref());
    match one.verdict {
        VerifyVerdict::Passed => ours.is_some_and(|last| last.state == VerifyState::Ok),
        VerifyVerdict::Failed => ours.is_some_and(|last| last.state == VerifyState::Failed),
        VerifyVerdict::Undetermined => true,
    }
}

#[test]
fn a_process_that_dies_at_any_step_reaches_the_same_end() {
    let mut plain = server();
    let (job, steps) = drive(job(request(due(9))), &mut plain, |_, _| Trouble::None);
    let wanted = verdicts(&job);
    assert_eq!(wanted.len(), 3);
    for died_at in 0..steps {
        let mut server = server();
        let trouble = |n: usize, _: &Step| {
            if n == died_at {
                Trouble::Dies
            } else {
                Trouble::None
            }
        };
        let (job, _) = drive(super::server::job(request(due(9))), &mut server, trouble);
        assert_eq!(verdicts(&job), wanted, "died at step {died_at}");
        assert_eq!(
            server.verified.len(),
            3,
            "verified twice, died at step {died_at}"
        );
    }
}

#[test]
fn each_trouble_at_each_step_ends_in_a_verdict_that_the_server_bears_out() {
    let mut plain = server();
    let (_, steps) = drive(job(request(due(9))), &mut plain, |_, _| Trouble::None);
    for trouble in TROUBLES {
        for at in 0..steps {
            let mut server = server();
            let met = |n: usize, _: &Step| if n == at { trouble } else { Trouble::None };
            let (job, _) = drive(job(request(due(9))), &mut server, met);
            let report = report_of(&job);
            for one in &report.verdicts {
                assert!(is_borne_out(one, &server), "{trouble:?} at {at}: {one:?}");
            }
            let all = report.verdicts.len() + report.left.len();
            assert!(
                all == 3 || report.trouble.is_some(),
                "{trouble:?} at {at}: {report:?}"
            );
        }
    }
}

#[test]
fn a_task_that_the_server_forgot_is_judged_by_the_list_alone() {
    let mut server = server();
    let (job, _) = drive(job(request(due(9))), &mut server, |_, step| match step {
        Step::Follow { .. } => Trouble::Forgotten,
        _ => Trouble::None,
    });
    let told = verdicts(&job);
    assert_eq!(told[0].1, VerifyVerdict::Passed);
    assert_eq!(told[2].1, VerifyVerdict::Failed, "{told:?}");
}

#[test]
fn a_lost_answer_whose_task_is_nowhere_is_sent_again_and_not_for_ever() {
    let mut server = server();
    let (job, _) = drive(job(request(due(9))), &mut server, |_, step| match step {
        Step::Mutate(_) => Trouble::LostBefore,
        _ => Trouble::None,
    });
    assert!(
        verdicts(&job)
            .iter()
            .all(|(_, verdict)| *verdict == VerifyVerdict::Undetermined)
    );
    assert!(server.verified.is_empty());
}

#[test]
fn who_may_not_verify_asks_once() {
    let mut server = server();
    let mut asked = 0;
    let (job, _) = drive(job(request(due(9))), &mut server, |_, step| match step {
        Step::Mutate(_) => {
            asked += 1;
            Trouble::Forbidden
        }
        _ => Trouble::None,
    });
    let report = report_of(&job);
    assert_eq!((asked, report.left.len()), (1, 2));
    assert_eq!(report.trouble, Some(ErrorClass::Forbidden));
}

#[test]
fn a_server_that_refuses_everything_is_not_asked_for_each_snapshot() {
    let shelf = (1..20).map(|days| snapshot(named("ct/9001", days), None));
    let mut server = Server::new(shelf.collect());
    let mut asked = 0;
    let (job, _) = drive(job(request(due(50))), &mut server, |_, step| match step {
        Step::Mutate(_) => {
            asked += 1;
            Trouble::Refused
        }
        _ => Trouble::None,
    });
    assert_eq!(asked, 3);
    assert_eq!(report_of(&job).left.len(), 16);
}

#[test]
fn a_list_that_is_refused_afterwards_leaves_the_verdict_open() {
    let mut server = server();
    let mut looks = 0;
    let (job, _) = drive(job(request(due(9))), &mut server, |_, step| match step {
        Step::Observe(Observe::PbsSnapshots { .. }) => {
            looks += 1;
            if looks == 2 {
                Trouble::Forbidden
            } else {
                Trouble::None
            }
        }
        _ => Trouble::None,
    });
    let report = report_of(&job);
    assert_eq!(report.verdicts[0].verdict, VerifyVerdict::Undetermined);
    assert_eq!(report.left.len(), 2);
}

proptest! {
    #[test]
    fn whatever_goes_wrong_nothing_passes_that_the_server_does_not_bear_out(
        troubles in prop::collection::vec(
            prop_oneof![3 => Just(Trouble::None), 1 => prop::sample::select(TROUBLES.to_vec())],
            80,
        ),
    ) {
        let mut server = server();
        let met = |n: usize, _: &Step| troubles.get(n).copied().unwrap_or(Trouble::None);
        let (job, _) = drive(job(request(due(9))), &mut server, met);
        let report = report_of(&job);
        for one in &report.verdicts {
            prop_assert!(is_borne_out(one, &server), "{one:?}");
        }
        if report.passed() {
            prop_assert!(server.verified.len() >= 3);
        }
    }
}
