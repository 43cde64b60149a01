//! The restore test's verdicts, its isolation, and its clean-up.

use felhom_engine::*;

use crate::fake::*;

fn run(world: &mut World, trouble: impl FnMut(usize, &Step) -> Trouble) -> RestoreTestReport {
    let (job, _) = drive(test_job(), world, trouble);
    let JobKind::RestoreTest(test) = job.kind else {
        unreachable!()
    };
    test.report().unwrap().clone()
}

#[test]
fn a_good_backup_passes_leaves_nothing_and_is_noted() {
    let mut world = World {
        notes: "demo (9010)\nmark".into(),
        ..World::default()
    };
    let report = run(&mut world, |_, _| Trouble::None);
    assert_eq!(
        report.judgement.verdict,
        Verdict::Passed,
        "{:?}",
        report.judgement.reasons
    );
    assert_eq!(report.judgement.level, Some(EvidenceLevel::Booted));
    assert!(report.nothing_left && report.noted);
    assert!(world.scratch.is_none());
    assert_eq!(
        world.notes,
        "restore-tested 1970-01-01: passed, booted, 1 s\ndemo (9010)\nmark"
    );
    let lost: Vec<_> = report
        .plan
        .unwrap()
        .lost
        .iter()
        .map(|lost| lost.key.clone())
        .collect();
    assert_eq!(lost, ["mp2", "mp3"]);
}

#[test]
fn every_step_of_a_production_like_run_has_the_right_principal() {
    let mut seen = Vec::new();
    drive(test_job(), &mut World::default(), |_, step| {
        seen.push((step.name(), step.principal()));
        Trouble::None
    });
    for (name, principal) in seen {
        let scratch = ["restore", "start", "stop", "destroy", "gather-evidence"].contains(&name);
        if scratch {
            assert_eq!(principal, Principal::RestoreTest, "{name}");
        }
        if ["set-notes", "observe-scratch"].contains(&name) {
            assert_eq!(principal, Principal::Agent, "{name}");
        }
    }
}

#[test]
fn trouble_of_the_box_is_an_error_and_never_a_failed_backup() {
    for what in [
        Trouble::TaskFails,
        Trouble::TaskUndetermined,
        Trouble::Refused,
    ] {
        let report = run(&mut World::default(), at("restore", what));
        assert_eq!(report.judgement.verdict, Verdict::Error, "{what:?}");
    }
}

#[test]
fn a_tripped_guard_stops_the_task_and_cleans_up() {
    let mut world = World::default();
    let report = run(&mut world, at("follow-task", Trouble::Trips));
    assert_eq!(report.judgement.verdict, Verdict::Error);
    assert!(
        report
            .findings
            .iter()
            .any(|finding| finding.code == "floor-reached")
    );
    assert!(report.nothing_left && world.scratch.is_none());
    assert!(world.effects.keys().any(|key| key.starts_with("stop-task")));
}

#[test]
fn a_guest_that_is_not_ours_is_never_touched() {
    for name in ["follow-task", "observe-scratch", "gather-evidence"] {
        let mut world = World::default();
        let report = run(&mut world, at(name, Trouble::Hijacked));
        assert!(world.harmed.is_empty(), "{name}: {:?}", world.harmed);
        if world.scratch.is_some() {
            assert!(
                report
                    .findings
                    .iter()
                    .any(|finding| finding.code == "scratch-foreign"),
                "{name}"
            );
        }
    }
}

#[test]
fn what_is_not_isolated_is_not_booted() {
    type Spoil = (&'static str, fn(&mut GuestConfig));
    let spoil: [Spoil; 9] = [
        ("link_down", |c| c.nics[0].link_down = false),
        ("isolated bridge", |c| {
            c.nics[0].bridge = Some("vmbr0".into());
        }),
        ("onboot", |c| c.onboot = true),
        ("hookscript", |c| {
            c.keys.insert("hookscript".into());
        }),
        ("dev0", |c| {
            c.keys.insert("dev0".into());
        }),
        ("lxc.idmap", |c| {
            c.keys.insert("lxc.idmap".into());
        }),
        ("reaches the host", |c| {
            c.mounts.push(mount("mp1", "/x", "/srv", false));
        }),
        ("privileged", |c| c.unprivileged = false),
        ("memory", |c| c.memory_mib = Some(4096)),
    ];
    for (word, change) in spoil {
        let mut world = World::default();
        let mut job = test_job();
        let mut now = Timestamp::from_secs(1);
        let mut spoilt = false;
        loop {
            match job.next(now) {
                Next::Do(step) => {
                    assert_ne!(step.name(), "start", "{word}: the copy was booted");
                    let outcome = world.perform(&step, Trouble::None);
                    if let (Some(scratch), false) = (&mut world.scratch, spoilt) {
                        change(&mut scratch.config);
                        spoilt = true;
                    }
                    job.record(now, outcome);
                }
                Next::Wait { until, .. } => now = until,
                Next::Pause(_) | Next::Done => break,
            }
        }
        let JobKind::RestoreTest(test) = job.kind else {
            unreachable!()
        };
        let report = test.report().unwrap();
        assert_eq!(report.judgement.verdict, Verdict::Error);
        assert!(
            report
                .judgement
                .reasons
                .iter()
                .any(|reason| reason.contains(word)),
            "{word}: {:?}",
            report.judgement
        );
        assert!(report.nothing_left, "{word}");
    }
}

fn refused(change: impl Fn(&mut TestSubject)) -> RestoreTestReport {
    let mut job = test_job();
    let mut subject = test_subject();
    change(&mut subject);
    let now = Timestamp::from_secs(1);
    job.record(now, Outcome::TestSubject(Box::new(subject)));
    assert_eq!(job.next(now), Next::Done);
    let JobKind::RestoreTest(test) = job.kind else {
        unreachable!()
    };
    test.report().unwrap().clone()
}

#[test]
fn preflight_stops_with_a_reason_before_anything_is_made() {
    type Spoil = (&'static str, fn(&mut TestSubject));
    let cases: [Spoil; 12] = [
        ("not on the storage", |s| s.archive = None),
        ("no VMID is free", |s| s.free_vmids.clear()),
        ("hookscript", |s| {
            s.archived.hookscript = Some("local:snippets/x".into());
        }),
        ("dev0", |s| s.archived.devices.push("dev0".into())),
        ("lxc.", |s| {
            s.archived.raw_lxc.push("lxc.mount.entry".into());
        }),
        ("privileged", |s| s.archived.unprivileged = false),
        ("not isolated: port", |s| {
            s.bridge.as_mut().unwrap().ports.push("eth0".into());
        }),
        ("not isolated: the host has", |s| {
            s.bridge
                .as_mut()
                .unwrap()
                .addresses
                .push("10.0.0.1/24".into());
        }),
        ("pool", |s| s.pool = None),
        ("target storage", |s| {
            s.target.as_mut().unwrap().avail = 1 << 30;
        }),
        ("memory", |s| s.node.memory_available = 600 << 20),
        ("root disk", |s| s.node.root_avail = 1),
    ];
    for (word, change) in cases {
        let report = refused(change);
        assert_eq!(report.judgement.verdict, Verdict::Error, "{word}");
        assert!(
            report.judgement.reasons.iter().any(|r| r.contains(word)),
            "{word}: {:?}",
            report.judgement
        );
        assert!(report.nothing_left);
    }
}

#[test]
fn thin_pool_metadata_counts_as_well_as_data() {
    let full = ThinPool {
        vg: "pve".into(),
        lv: "data".into(),
        metadata_size: 100 << 20,
        metadata_used: 95 << 20,
    };
    let report = refused(|subject| subject.target.as_mut().unwrap().thin_pool = Some(full.clone()));
    assert!(
        report
            .judgement
            .reasons
            .iter()
            .any(|reason| reason.contains("thin-pool metadata"))
    );
}

#[test]
fn a_copy_on_a_thick_storage_needs_room_for_its_whole_volumes() {
    for (kind, may) in [("dir", true), ("lvm", false)] {
        let job = test_job();
        let JobKind::RestoreTest(test) = &job.kind else {
            unreachable!()
        };
        let mut kept = serde_json::to_value(test).unwrap();
        kept["request"]["content_bytes"] = 1_000_000.into();
        let mut job = Job {
            kind: JobKind::RestoreTest(serde_json::from_value(kept).unwrap()),
            ..job
        };
        let mut subject = test_subject();
        let target = subject.target.as_mut().unwrap();
        target.kind = kind.into();
        // The rootfs and mp1, 1 GiB each, are no more than that; a tenth must stay free.
        (target.total, target.avail) = (10 << 30, 5 << 29);
        let now = Timestamp::from_secs(1);
        job.record(now, Outcome::TestSubject(Box::new(subject)));
        assert_eq!(job.next(now) != Next::Done, may, "{kind}");
    }
}
