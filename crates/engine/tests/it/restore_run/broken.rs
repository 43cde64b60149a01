//! Restores that break off: what they made is taken back by proof, or told.

use felhom_engine::*;
use proptest::prelude::*;

use super::report_of;
use crate::fake::*;
use crate::stale::up_to;

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

/// A change of a value in the journal.
type Edit = fn(&mut serde_json::Value);

/// Cuts a restore off after its plan was changed in the journal, and returns what is said of the volume that is left.
fn cut_off_knowing(change: impl FnOnce(&mut serde_json::Value)) -> Finding {
    let mut world = World::default();
    let (job, now) = up_to(restore_job(restore_request()), &mut world, "restore-guest");
    let mut kept = serde_json::to_value(&job).unwrap();
    let before = "/kind/restore-run/report/plan/before";
    change(kept.pointer_mut(before).unwrap());
    let mut job: Job = serde_json::from_value(kept).unwrap();
    let Next::Do(step) = job.next(now) else {
        panic!("nothing to do")
    };
    job.record(now, world.perform(&step, Trouble::TaskUndetermined));
    let (job, _) = drive(job, &mut world, |_, _| Trouble::None);
    report_of(&job).findings.first().unwrap().clone()
}

#[test]
fn only_volumes_that_were_not_there_before_are_named_as_ours_to_remove() {
    let named = "pvesm free local-lvm:vm-9020-disk-0";
    let ours = cut_off_knowing(|before| assert_eq!(before["local-lvm"], serde_json::json!([])));
    assert!(ours.hint.unwrap().contains(named));
    let changes: [Edit; 3] = [
        |before| before["local-lvm"] = serde_json::json!(["local-lvm:vm-9020-disk-0"]),
        |before| before["local-lvm"] = serde_json::Value::Null,
        // Written down by a version that did not keep it.
        |before| *before = serde_json::json!({}),
    ];
    for change in changes {
        let told = cut_off_knowing(change);
        let hint = told.hint.unwrap();
        assert!(!hint.contains("pvesm free"), "{hint}");
        assert!(hint.contains("pct destroy 9020"), "{hint}");
        let left = "`local-lvm:vm-9020-disk-0` is not proven to be of this restore";
        assert!(told.detail.contains(left), "{}", told.detail);
    }
}

#[test]
fn volumes_without_a_guest_are_ours_only_when_they_came_with_the_restore() {
    let mark = Mark {
        installation: installation(),
        job: job_id(),
        vmid: vmid(9020),
    };
    let (old, new): (felhom_ids::VolumeId, felhom_ids::VolumeId) = (
        "local-lvm:vm-9020-disk-0".parse().unwrap(),
        "local-lvm:vm-9020-disk-1".parse().unwrap(),
    );
    let ends = |left: Vec<felhom_ids::VolumeId>| {
        let storage: felhom_ids::StorageId = "local-lvm".parse().unwrap();
        let before = [(storage.clone(), Some([old.clone()].into()))].into();
        let lease = Lease::named(mark.clone(), None).after(before);
        let policy = RestoreRunPolicy::from(&policy());
        let kind = felhom_ids::GuestKind::Lxc;
        let mut clean_up = CleanUp::of_restore(kind, &[storage], &policy, lease).unwrap();
        let mut facts = World::default().restored_facts();
        facts.guest.volumes = Some(left);
        clean_up.record(Timestamp::from_secs(1), Outcome::Restored(Box::new(facts)));
        let Some(CleanUpEnd::LeftBehind(finding)) = clean_up.ended().cloned() else {
            panic!("{:?}", clean_up.ended())
        };
        (finding.code, finding.detail, finding.hint.unwrap())
    };
    let (code, _, hint) = ends(vec![old.clone()]);
    assert_eq!(code, "restore-leftover");
    assert!(!hint.contains("pvesm free"), "{hint}");
    let (code, detail, hint) = ends(vec![old.clone(), new.clone()]);
    assert_eq!(
        (code.as_str(), hint),
        ("orphan-volumes", format!("pvesm free {new}"))
    );
    assert!(
        detail.contains(&format!("`{old}` is not proven")),
        "{detail}"
    );
}

/// A journal's job goes on in a new process.
fn resumed(mut job: Job, mut world: World) -> (RestoreRunReport, World) {
    job.resume();
    let (job, _) = drive(job, &mut world, |_, _| Trouble::None);
    (report_of(&job).clone(), world)
}

#[test]
fn a_restore_that_was_interrupted_before_its_request_is_not_begun_later() {
    let fresh = restore_job(restore_request());
    for step in ["observe-restore-subject", "list-tasks", "restore-guest"] {
        let mut world = World::default();
        let (job, _) = up_to(fresh.clone(), &mut world, step);
        let (report, world) = resumed(job, world);
        assert_eq!(report.end, RestoreEnd::Refused, "{step}");
        assert_eq!(report.reasons, ["interrupted before anything was sent"]);
        assert!(report.nothing_left && world.effects.is_empty(), "{step}");
    }
}

#[test]
fn a_guest_whose_restore_was_interrupted_is_there_and_not_started_later() {
    let mut request = restore_request();
    request.start = true;
    for step in ["observe-restored", "start-restored"] {
        let mut world = World::default();
        let (job, _) = up_to(restore_job(request.clone()), &mut world, step);
        let (report, world) = resumed(job, world);
        assert_eq!(
            (report.end, report.started),
            (RestoreEnd::Restored, false),
            "{step}"
        );
        let codes: Vec<_> = report
            .findings
            .iter()
            .map(|one| one.code.as_str())
            .collect();
        assert!(codes.contains(&"restored-not-started"), "{step}: {codes:?}");
        assert!(
            !world.effects.keys().any(|key| key.starts_with("start")),
            "{step}"
        );
    }
}

#[test]
fn a_request_that_may_have_left_is_looked_for_and_never_sent_by_another_process() {
    for works in [true, false] {
        let mut world = World::default();
        let (mut job, now) = up_to(restore_job(restore_request()), &mut world, "restore-guest");
        if works {
            let Next::Do(step) = job.next(now) else {
                panic!("nothing to do")
            };
            world.perform(&step, Trouble::None);
        }
        job.resume();
        let (class, text) = (ErrorClass::Local, "ended".to_owned());
        let lost = Sent::Lost(RemoteError { class, text });
        job.record(now, Outcome::Sent(lost));
        let (job, _) = drive(job, &mut world, |_, _| Trouble::None);
        let report = report_of(&job);
        let restores = world
            .effects
            .keys()
            .filter(|key| key.starts_with("restore"));
        assert_eq!(restores.count(), usize::from(works));
        let end = if works {
            RestoreEnd::Restored
        } else {
            RestoreEnd::Failed
        };
        assert_eq!(report.end, end, "{:?}", report.reasons);
        assert_eq!(world.restored.is_some(), works);
        assert!(works || report.nothing_left);
    }
}
