//! The backup job's verdicts.

use felhom_engine::*;

use crate::fake::*;

fn report(world: &mut World, trouble: impl FnMut(usize, &Step) -> Trouble) -> BackupReport {
    let (job, _) = drive(backup_job(), world, trouble);
    let JobKind::Backup(backup) = job.kind else {
        unreachable!()
    };
    backup.report().unwrap().clone()
}

#[test]
fn a_backup_with_three_agreeing_witnesses_is_good() {
    let report = report(&mut World::default(), |_, _| Trouble::None);
    assert_eq!(report.verdict, BackupVerdict::Good, "{:?}", report.reasons);
    assert_eq!(report.consistency, Some(Consistency::Crash));
    assert!(
        report
            .inclusion
            .iter()
            .all(|proof| proof.difference.is_none())
    );
    let codes: Vec<_> = report
        .findings
        .iter()
        .map(|finding| finding.code.as_str())
        .collect();
    assert_eq!(codes, ["volume-not-in-backup", "bind-not-in-backup"]);
}

#[test]
fn a_lost_answer_leads_to_the_task_and_not_to_a_second_backup() {
    let mut world = World::default();
    let report = report(&mut world, at("backup", Trouble::LostAfter));
    assert_eq!(report.verdict, BackupVerdict::Good);
    assert_eq!(world.effects.values().copied().max(), Some(1));
}

#[test]
fn a_request_that_was_lost_on_the_way_is_sent_again_once_it_is_proven_not_to_have_happened() {
    let mut world = World::default();
    assert_eq!(
        report(&mut world, at("backup", Trouble::LostBefore)).verdict,
        BackupVerdict::Good
    );
    assert_eq!(world.effects.values().copied().max(), Some(1));
}

#[test]
fn a_failed_an_undetermined_and_a_refused_task_are_three_different_things() {
    let verdict = |what| report(&mut World::default(), at("backup", what)).verdict;
    assert_eq!(verdict(Trouble::TaskFails), BackupVerdict::Failed);
    assert_eq!(
        verdict(Trouble::TaskUndetermined),
        BackupVerdict::Undetermined
    );
    assert_eq!(verdict(Trouble::Refused), BackupVerdict::Refused);
}

#[test]
fn an_ok_task_with_another_content_than_planned_is_a_failed_backup() {
    let mut world = World::default();
    let mut job = backup_job();
    let mut now = Timestamp::from_secs(1);
    while let Next::Do(step) = job.next(now) {
        let mut outcome = world.perform(&step, Trouble::None);
        if let Outcome::ArchiveContent(content) = &mut outcome {
            content.mounts.insert(
                "mp3".into(),
                MountTally {
                    members: 1,
                    bytes: 1,
                },
            );
        }
        job.record(now, outcome);
        now = now.plus(std::time::Duration::from_secs(1));
    }
    let JobKind::Backup(backup) = job.kind else {
        unreachable!()
    };
    let report = backup.report().unwrap();
    assert_eq!(report.verdict, BackupVerdict::Failed);
    assert!(
        report
            .findings
            .iter()
            .any(|finding| finding.code == "inclusion-differs")
    );
}

fn preflight(change: impl Fn(&mut BackupSubject)) -> BackupReport {
    let mut job = backup_job();
    let mut subject = backup_subject();
    change(&mut subject);
    let mut now = Timestamp::from_secs(1);
    for _ in 0..400 {
        match job.next(now) {
            Next::Do(Step::Observe(_)) => {
                job.record(now, Outcome::BackupSubject(Box::new(subject.clone())));
            }
            Next::Do(step) => panic!("preflight let {} through", step.name()),
            Next::Wait { until, .. } => now = until,
            Next::Pause(_) | Next::Done => break,
        }
    }
    let JobKind::Backup(backup) = job.kind else {
        unreachable!()
    };
    backup.report().unwrap().clone()
}

#[test]
fn preflight_refuses_with_a_reason() {
    let refused = |change: fn(&mut BackupSubject), word: &str| {
        let report = preflight(change);
        assert_eq!(report.verdict, BackupVerdict::Refused);
        assert!(
            report.reasons.iter().any(|reason| reason.contains(word)),
            "{:?}",
            report.reasons
        );
    };
    refused(|s| s.node.cluster_nodes = 3, "3 nodes");
    refused(|s| s.storage = None, "hidden from the token");
    refused(|s| s.storage.as_mut().unwrap().active = false, "not active");
    refused(
        |s| s.storage.as_mut().unwrap().content.clear(),
        "does not take backups",
    );
    refused(|s| s.storage.as_mut().unwrap().avail = 5, "must stay free");
    refused(
        |s| {
            s.missing_privileges
                .push(("/vms/9010".into(), "VM.Backup".into()));
        },
        "lacks VM.Backup",
    );
    refused(
        |s| s.config.lock = Some("backup".into()),
        "gave up waiting: guest 9010 is locked (backup)",
    );
    refused(
        |s| s.state.lock = Some("snapshot".into()),
        "locked (snapshot)",
    );
}

#[test]
fn a_storage_with_retention_gets_protected_archives_until_the_quota_is_reached() {
    let limited = |protected: usize| {
        let mut job = backup_job();
        let mut subject = backup_subject();
        subject.storage.as_mut().unwrap().retention = Retention::Limited;
        subject.protected_backups = protected;
        let now = Timestamp::from_secs(1);
        job.record(now, Outcome::BackupSubject(Box::new(subject)));
        job.next(now)
    };
    assert!(matches!(
        limited(4),
        Next::Do(Step::Mutate(Mutation::Backup {
            protected: true,
            ..
        }))
    ));
    assert_eq!(limited(5), Next::Done);
}

/// A backup whose read-back finds somebody else's at work the first `busy` times.
fn beside_another(busy: usize) -> (BackupReport, usize) {
    let (mut job, mut world) = (backup_job(), World::default());
    let (mut now, mut looks) = (Timestamp::from_secs(1), 0);
    loop {
        match job.next(now) {
            Next::Do(step) => {
                let mut outcome = world.perform(&step, Trouble::None);
                if let Outcome::BackupResult(result) = &mut outcome {
                    looks += 1;
                    if looks <= busy {
                        result.state.lock = Some("backup".into());
                        result.state.snapshots.push("vzdump".into());
                        result.other_backup = Some(
                            "UPID:demo:00000BAD:00000001:00000002:vzdump:9010:root@pam:"
                                .parse()
                                .unwrap(),
                        );
                    }
                }
                job.record(now, outcome);
            }
            Next::Wait { until, .. } => now = until,
            Next::Pause(_) => job.resume(),
            Next::Done => break,
        }
    }
    let JobKind::Backup(backup) = job.kind else {
        unreachable!()
    };
    (backup.report().unwrap().clone(), looks)
}

#[test]
fn somebody_else_s_backup_right_after_ours_is_waited_for_and_is_no_damage_of_ours() {
    let (report, looks) = beside_another(3);
    assert_eq!((report.verdict, looks), (BackupVerdict::Good, 4));
    let codes = |report: &BackupReport| -> Vec<String> {
        let findings = report.findings.iter();
        findings.map(|finding| finding.code.clone()).collect()
    };
    assert!(!codes(&report).contains(&"other-backup-at-work".to_owned()));
    let (report, looks) = beside_another(usize::MAX);
    assert!(looks > 4, "{looks}");
    assert_eq!(report.verdict, BackupVerdict::Good, "{:?}", report.reasons);
    assert!(codes(&report).contains(&"other-backup-at-work".to_owned()));
    assert!(!codes(&report).contains(&"guest-changed-by-backup".to_owned()));
}
