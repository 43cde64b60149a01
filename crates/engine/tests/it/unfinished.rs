//! A restore test that was cut off: the root helper releases what it left, and then nothing is left of it.

use felhom_engine::*;

use crate::fake::*;

/// A restore that is cut off, and more trouble beside.
fn cut_off(mut more: impl FnMut(&Step, usize) -> Trouble) -> (RestoreTestReport, World) {
    let (mut world, mut seen) = (World::default(), std::collections::BTreeMap::new());
    let (job, _) = drive(test_job(), &mut world, |_, step| {
        let nth = seen.entry(step.name()).or_insert(0);
        *nth += 1;
        match step.name() {
            "restore" => Trouble::TaskUndetermined,
            _ => more(step, *nth),
        }
    });
    let JobKind::RestoreTest(test) = job.kind else {
        unreachable!()
    };
    (test.report().unwrap().clone(), world)
}

fn count(world: &World, name: &str) -> u32 {
    let of = world
        .effects
        .iter()
        .filter(|(key, _)| key.starts_with(name));
    of.map(|(_, count)| *count).sum()
}

fn told(report: &RestoreTestReport) -> &Finding {
    let mut findings = report.findings.iter();
    findings
        .find(|finding| finding.code == "unfinished-restore")
        .unwrap_or_else(|| panic!("{report:?}"))
}

#[test]
fn what_was_cut_off_is_released_and_removed() {
    let (report, world) = cut_off(|_, _| Trouble::None);
    assert!(report.nothing_left && world.scratch.is_none(), "{report:?}");
    assert_eq!(report.judgement.verdict, Verdict::Error);
    assert_eq!(count(&world, "release-unfinished"), 1);
    assert_eq!(count(&world, "destroy-stub"), 1);
    assert_eq!(count(&world, "destroy "), 0);
    assert!(world.harmed.is_empty());
}

#[test]
fn a_helper_that_refuses_or_is_not_there_leaves_it_to_a_person() {
    let (report, world) = cut_off(|step, _| match step.name() {
        "release-unfinished" => Trouble::Refused,
        _ => Trouble::None,
    });
    let finding = told(&report);
    let hint = finding.hint.as_deref().unwrap();
    assert!(hint.contains("pct unlock 9100 && pct destroy 9100 --destroy-unreferenced-disks 1"));
    assert!(finding.detail.contains("simulated"), "{}", finding.detail);
    assert!(!report.nothing_left && world.scratch.is_some());
    assert_eq!(count(&world, "destroy"), 0);
}

#[test]
fn a_reply_that_is_lost_is_looked_for_in_the_world() {
    for lost in [Trouble::LostAfter, Trouble::LostBefore] {
        let (report, world) = cut_off(|step, nth| match step.name() {
            "release-unfinished" if nth == 1 => lost,
            _ => Trouble::None,
        });
        assert!(report.nothing_left && world.scratch.is_none(), "{lost:?}");
        assert!(world.harmed.is_empty());
    }
}

#[test]
fn a_helper_that_never_answers_is_asked_a_few_times_only() {
    let (report, world) = cut_off(|step, _| match step.name() {
        "release-unfinished" => Trouble::LostBefore,
        _ => Trouble::None,
    });
    assert!(told(&report).detail.contains("simulated"));
    assert!(world.scratch.is_some());
}

#[test]
fn a_removal_that_is_cut_off_in_its_turn_is_released_again() {
    let (report, world) = cut_off(|step, nth| match step.name() {
        "destroy-stub" if nth == 1 => Trouble::TaskUndetermined,
        _ => Trouble::None,
    });
    assert!(report.nothing_left && world.scratch.is_none(), "{report:?}");
    assert_eq!(count(&world, "release-unfinished"), 2);
}

#[test]
fn what_was_released_and_cannot_be_removed_is_told_without_its_lock() {
    let (report, _) = cut_off(|step, _| match step.name() {
        "destroy-stub" => Trouble::Refused,
        _ => Trouble::None,
    });
    let hint = told(&report).hint.as_deref().unwrap();
    assert!(
        hint.contains("as root on the node: pct destroy 9100"),
        "{hint}"
    );
}

#[test]
fn what_somebody_else_puts_there_meanwhile_is_left_alone() {
    for name in ["release-unfinished", "destroy-stub"] {
        let mut next = false;
        let (report, world) = cut_off(|step, _| {
            let hijack = std::mem::replace(&mut next, step.name() == name);
            if hijack {
                Trouble::Hijacked
            } else {
                Trouble::None
            }
        });
        assert!(world.harmed.is_empty(), "{name}: {:?}", world.harmed);
        let foreign = report
            .findings
            .iter()
            .any(|one| one.code == "scratch-foreign");
        assert!(world.scratch.is_none() || foreign, "{name}: {report:?}");
    }
}

/// A scratch VMID on which our restore was the last task.
fn facts(config: GuestConfig, last: &str) -> (ScratchFacts, Lease) {
    let upid = |kind: &str| {
        let text = format!("UPID:pve:00000001:00000001:00000001:{kind}:9100:felhom@pve!t:");
        text.parse().unwrap()
    };
    let mark = Mark {
        installation: installation(),
        job: job_id(),
        vmid: vmid(9100),
    };
    let lease = Lease::new(&policy(), mark, Some(upid("vzrestore")));
    let task = TaskFacts {
        upid: upid(last),
        running: false,
        status: None,
    };
    let facts = ScratchFacts {
        existence: Existence::Guest(Box::new(config)),
        state: None,
        volumes: Some(vec![]),
        tasks: vec![task],
    };
    (facts, lease)
}

#[test]
fn what_is_empty_is_ours_by_the_whole_proof_only() {
    let (found, lease) = facts(GuestConfig::default(), "vzrestore");
    let unfinished = |found: &ScratchFacts, lease: &Lease| {
        matches!(scratch_standing(found, lease), Standing::Unfinished(_))
    };
    assert!(unfinished(&found, &lease));
    // Somebody's task came after ours.
    let (other, _) = facts(GuestConfig::default(), "vzcreate");
    assert!(!unfinished(&other, &lease));
    // No task of ours is known.
    let unknown = Lease {
        restore: None,
        ..lease.clone()
    };
    assert!(!unfinished(&found, &unknown));
    // It lies outside of the range.
    let elsewhere = Lease {
        first: vmid(9101),
        ..lease.clone()
    };
    assert!(!unfinished(&found, &elsewhere));
    // It holds something.
    let (guest, _) = facts(guest(), "vzrestore");
    assert!(!unfinished(&guest, &lease));
    // It runs still.
    let mut running = found;
    running.tasks[0].running = true;
    assert!(!unfinished(&running, &lease));
}
