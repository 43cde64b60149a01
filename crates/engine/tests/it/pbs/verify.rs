//! What is verified, in which order, and which verdict each gets.

use std::collections::BTreeSet;
use std::time::Duration;

use felhom_engine::pbs::*;
use felhom_engine::*;

use super::server::*;

const BAD: &str = "7b68545f61c78cc1ebb92baf8111a5f580ccf7619715a0d39d5a2ffd8f93d3f5";

fn verdicts(job: &Job) -> Vec<VerifyVerdict> {
    let report = report_of(job);
    report.verdicts.iter().map(|one| one.verdict).collect()
}

/// Two groups: one with an old good verify and two newer backups, one never verified.
fn shelf() -> Vec<Snapshot> {
    vec![
        snapshot(named("ct/9001", 40), verified(VerifyState::Ok, 39)),
        snapshot(named("ct/9001", 2), None),
        snapshot(named("ct/9001", 1), None),
        snapshot(named("vm/101", 3), None),
        snapshot(named("ct/9001", 50), verified(VerifyState::Ok, 35)),
        snapshot(named("ct/9001", 60), verified(VerifyState::Ok, 3)),
    ]
}

#[test]
fn what_was_never_verified_comes_first_and_the_newest_of_each_group_before_that() {
    let due = plan_verify(&listing(shelf()), Duration::from_hours(24 * 30), now());
    let names: Vec<_> = due.iter().map(|due| due.snapshot.clone()).collect();
    let wanted = [
        named("ct/9001", 1),
        named("vm/101", 3),
        named("ct/9001", 2),
        named("ct/9001", 40),
        named("ct/9001", 50),
    ];
    assert_eq!(names, wanted);
    assert_eq!(due[0].why, "never verified");
    assert_eq!(due[3].why, "last verified 39 days ago");
}

#[test]
fn what_is_in_progress_or_empty_is_never_due() {
    let mut growing = snapshot(named("ct/9001", 0), None);
    growing.files.clear();
    let mut empty = snapshot(named("ct/9001", 1), None);
    empty.files.retain(|file| file.name == "index.json.blob");
    assert!(growing.is_in_progress() && !growing.is_backup());
    assert!(!empty.is_in_progress() && !empty.is_backup());
    let due = plan_verify(&listing(vec![growing, empty]), Duration::ZERO, now());
    assert_eq!(due, []);
}

#[test]
fn a_verify_that_went_well_is_believed_when_the_list_names_our_task() {
    let mut server = Server::new(shelf());
    let job = smoothly(request(due(3)), &mut server);
    let report = report_of(&job);
    assert!(report.passed(), "{report:?}");
    assert_eq!(server.verified.len(), 3);
    assert!(report.findings.is_empty());
    let first = &report.verdicts[0];
    assert!(first.upid.as_ref().unwrap().task_id().is_some());
    // A server cannot look into what is encrypted, and the verdict says so.
    assert!(first.reasons[1].contains("only a restore"), "{first:?}");
    assert_eq!(job.kind_name(), "verify");
    assert_eq!(job.planning().len(), 4);
}

#[test]
fn a_task_that_ends_ok_over_a_skipped_snapshot_passes_nothing() {
    let mut server = Server::new(shelf());
    let named = Wanted::Named(vec![named("ct/9001", 40)]);
    let (job, _) = drive(job(request(named)), &mut server, |_, _| Trouble::Skips);
    let told = &report_of(&job).verdicts[0];
    assert_eq!(told.verdict, VerifyVerdict::Undetermined);
    assert!(told.reasons[0].contains("skipped it: recently verified"));
    assert!(told.reasons[0].contains("another task"), "{told:?}");
    let finding = &report_of(&job).findings[0];
    assert_eq!(finding.code, codes::BACKUP_VERIFY_UNDETERMINED.name);
    assert!(
        finding
            .hint
            .as_ref()
            .unwrap()
            .contains("pbs verify felhom-pbs:ct/9001/")
    );
}

#[test]
fn damage_is_told_with_its_chunk_what_shares_it_and_what_is_left() {
    let shelf = vec![
        snapshot(named("ct/9001", 1), None),
        snapshot(named("ct/9001", 2), None),
        snapshot(named("ct/9001", 3), verified(VerifyState::Ok, 2)),
        snapshot(named("ct/9001", 4), verified(VerifyState::Ok, 3)),
    ];
    let mut server = Server::new(shelf);
    for days in [1, 2] {
        server
            .damaged
            .insert(named("ct/9001", days), vec![BAD.into()]);
    }
    let mut request = request(due(5));
    // An earlier job saw the same chunk missing from the snapshot of three days ago.
    let before = BTreeSet::from([named("ct/9001", 3)]);
    request.known_damage.insert(BAD.into(), before);
    let job = smoothly(request, &mut server);
    assert_eq!(
        verdicts(&job),
        [VerifyVerdict::Failed, VerifyVerdict::Failed]
    );
    let told = &report_of(&job).verdicts[0];
    assert_eq!(told.chunks, [BAD]);
    assert_eq!(told.files[0].file, "root.pxar.didx");
    let shared = [named("ct/9001", 2), named("ct/9001", 3)];
    assert_eq!(told.shared_with, shared.into_iter().collect());
    let left: Vec<_> = told.restorable.iter().map(|one| &one.snapshot).collect();
    assert_eq!(left, [&named("ct/9001", 4)]);
    let finding = &job.findings()[0];
    assert_eq!(finding.code, codes::BACKUP_VERIFY_FAILED.name);
    assert!(finding.detail.contains(BAD), "{finding:?}");
    let plan = "restore plan felhom-pbs:backup/ct/9001/2026-11-19T00:00:00Z";
    assert!(finding.hint.as_ref().unwrap().contains(plan), "{finding:?}");
    assert!(!report_of(&job).passed());
}

#[test]
fn what_cannot_be_verified_is_undetermined_and_starts_no_task() {
    let mut growing = snapshot(named("ct/9001", 1), None);
    growing.files.clear();
    let mut empty = snapshot(named("ct/9001", 2), None);
    empty.files.retain(|file| file.name == "index.json.blob");
    let mut server = Server::new(vec![growing, empty]);
    server.listing.sight = Sight::Own;
    let wanted = [
        named("ct/9001", 1),
        named("ct/9001", 2),
        named("ct/9001", 3),
    ];
    let job = smoothly(request(Wanted::Named(wanted.to_vec())), &mut server);
    let reasons: Vec<_> = report_of(&job)
        .verdicts
        .iter()
        .map(|one| one.reasons[0].as_str())
        .collect();
    assert!(reasons[0].contains("in progress"));
    assert!(reasons[1].contains("empty"));
    assert!(reasons[2].contains("may be shortened"), "{reasons:?}");
    assert!(
        verdicts(&job)
            .iter()
            .all(|one| *one == VerifyVerdict::Undetermined)
    );
    assert!(server.tasks.is_empty());
}

#[test]
fn an_empty_list_that_may_be_shortened_is_not_all_is_verified() {
    for (sight, told) in [
        (Sight::Whole, 0),
        (Sight::Own, 1),
        (Sight::Nothing, 1),
        (Sight::Unknown, 1),
    ] {
        let mut server = Server::new(vec![]);
        server.listing.sight = sight;
        let job = smoothly(request(due(5)), &mut server);
        assert_eq!(job.findings().len(), told, "{sight:?}");
        assert!(!report_of(&job).passed());
    }
}

#[test]
fn a_group_is_verified_whole_and_newest_first() {
    let mut growing = snapshot(named("vm/101", 0), None);
    growing.files.clear();
    let mut shelf = shelf();
    shelf.extend([growing, snapshot(named("vm/101", 9), None)]);
    let mut server = Server::new(shelf);
    let job = smoothly(
        request(Wanted::Group("vm/101".parse().unwrap())),
        &mut server,
    );
    assert!(report_of(&job).passed());
    assert_eq!(server.verified, [named("vm/101", 3), named("vm/101", 9)]);
    let job = smoothly(
        request(Wanted::Group("vm/102".parse().unwrap())),
        &mut server,
    );
    let report = report_of(&job);
    assert!(!report.passed(), "nothing is not everything");
    assert_eq!(report.trouble, Some(ErrorClass::NotFound));
    assert!(report.reason.as_ref().unwrap().contains("vm/102"));
}

#[test]
fn nothing_begins_when_the_window_is_over_and_what_is_left_is_named() {
    let window = |opens: i64, lasts: u64| {
        Some(Window {
            opens: Timestamp::from_secs(NOW_S + opens),
            lasts: Duration::from_secs(lasts),
        })
    };
    // A look, and four steps a verify, a second each: list, send, follow, read.
    for (window, verified, left) in [
        (None, 3, 0),
        (window(-10, 1000), 3, 0),
        (window(0, 7), 2, 1),
        // Listed within, to be sent when it is over.
        (window(0, 6), 1, 2),
        (window(0, 2), 0, 3),
        (window(1000, 1000), 0, 3),
        (window(-1000, 1000), 0, 3),
    ] {
        let mut server = Server::new(shelf());
        let mut request = request(due(3));
        request.window = window;
        let job = smoothly(request, &mut server);
        let report = report_of(&job);
        assert_eq!(server.verified.len(), verified, "{window:?}");
        assert_eq!(report.left.len(), left, "{window:?}");
        assert_eq!(report.reason.is_some(), left > 0);
        assert_eq!(report.verdicts.len(), verified);
    }
}

#[test]
fn a_verify_that_runs_when_the_window_closes_is_left_to_end() {
    let mut server = Server::new(shelf());
    let mut request = request(due(1));
    request.window = Some(Window {
        opens: now(),
        lasts: Duration::from_secs(3),
    });
    // Its answer is lost, and looking for the task takes it beyond the window.
    let (job, _) = drive(job(request), &mut server, |_, step| match step {
        Step::Mutate(_) => Trouble::LostAfter,
        _ => Trouble::None,
    });
    assert_eq!(verdicts(&job), [VerifyVerdict::Passed]);
}

#[test]
fn a_state_of_another_task_proves_nothing_about_ours() {
    let mut server = Server::new(shelf());
    let named = Wanted::Named(vec![named("ct/9001", 40)]);
    let (job, _) = drive(job(request(named)), &mut server, |_, step| match step {
        Step::Mutate(_) => Trouble::Aborted,
        _ => Trouble::None,
    });
    assert_eq!(verdicts(&job), [VerifyVerdict::Undetermined]);
    let reason = &report_of(&job).verdicts[0].reasons[0];
    assert!(reason.starts_with("abort requested"), "{reason}");
}

#[test]
fn the_task_is_named_as_the_server_names_it() {
    let mutation = |namespace: &str| Mutation::Verify {
        target: Box::new(Target {
            namespace: namespace.parse().unwrap(),
            ..target()
        }),
        snapshot: "ct/9001/2026-11-22T23:36:02Z".parse().unwrap(),
    };
    let (kind, id) = mutation("").task().unwrap();
    // As it was recorded.
    let text = r"UPID:vm:00004F7B:0003D00B:00000025:6B037E67:verify_snapshot:felhom\x2dspike\x3a-ct-9001-6B037C62:felhom@pbs!n100:";
    let upid: felhom_ids::Upid = text.parse().unwrap();
    assert_eq!((kind, id), (upid.kind(), upid.subject()));
    let (_, id) = mutation("a/b").task().unwrap();
    assert_eq!(id, "felhom-spike:ns/a/ns/b/ct/9001/6B037C62");
    assert_eq!(mutation("").remote().clone(), target().remote());
    assert_eq!(mutation("").principal(), Principal::Agent);
}
