//! The container that a golden archive is taken of: made once, whatever happens to the reply.

use std::time::Duration;

use felhom_engine::*;

use crate::fake::*;

fn job() -> Job {
    let request = GoldenRequest {
        vmid: vmid(9900),
        template: "local:vztmpl/debian-13.tar.zst".parse().unwrap(),
        storage: "local-lvm".parse().unwrap(),
        no_progress: Duration::from_mins(1),
        settle: Duration::from_secs(1),
    };
    Job {
        id: job_id(),
        created: Timestamp::from_secs(0),
        kind: JobKind::Golden(Box::new(GoldenJob::new(request))),
    }
}

fn run(world: &mut World, trouble: impl FnMut(usize, &Step) -> Trouble) -> GoldenReport {
    let (job, _) = drive(job(), world, trouble);
    let JobKind::Golden(golden) = job.kind else {
        unreachable!()
    };
    golden.report().unwrap().clone()
}

fn asked(world: &World) -> u32 {
    let effects = world.effects.iter();
    let of = effects.filter(|(key, _)| key.starts_with("create-golden"));
    of.map(|(_, count)| *count).sum()
}

#[test]
fn it_is_made_looked_at_and_ready() {
    let mut world = World::default();
    let report = run(&mut world, |_, _| Trouble::None);
    assert!(report.ready && !report.existed, "{report:?}");
    assert_eq!(report.features.as_deref(), Some("nesting=1,keyctl=1"));
}

#[test]
fn one_that_is_there_is_not_asked_for() {
    let mut world = World {
        scratch: Some(golden(vmid(9900))),
        ..World::default()
    };
    let report = run(&mut world, |_, _| Trouble::None);
    assert!(report.ready && report.existed);
    assert_eq!(asked(&world), 0);
}

#[test]
fn a_lost_reply_is_looked_for() {
    for lost in [Trouble::LostAfter, Trouble::LostBefore] {
        let mut world = World::default();
        let report = run(&mut world, at("create-golden", lost));
        assert!(report.ready, "{lost:?} {report:?}");
        assert_eq!(asked(&world), 1);
    }
}

#[test]
fn a_helper_that_refuses_is_heard_and_one_that_is_deaf_is_given_up() {
    let mut world = World::default();
    let report = run(&mut world, at("create-golden", Trouble::Refused));
    assert_eq!(report.trouble, Some(ErrorClass::Forbidden));
    assert_eq!(report.reasons, ["simulated"]);
    let mut world = World::default();
    let report = run(&mut world, |_, step| match step.name() {
        "create-golden" => Trouble::LostBefore,
        _ => Trouble::None,
    });
    assert!(
        !report.ready && report.reasons[0].contains("simulated"),
        "{report:?}"
    );
}

#[test]
fn what_is_no_golden_container_is_left_alone() {
    type Change = fn(&mut GuestConfig);
    let strange: [(&str, Change); 5] = [
        ("no golden container", |c| c.description = None),
        ("no golden container", |c| {
            c.description = Some("felhom: golden container 9901".into());
        }),
        ("keyctl=1", |c| c.features = Some("nesting=1".into())),
        ("nesting=1", |c| {
            c.features = Some("keyctl=1,nesting=0".into());
        }),
        ("unprivileged=1", |c| c.unprivileged = false),
    ];
    for (words, change) in strange {
        let mut there = golden(vmid(9900));
        change(&mut there.config);
        let mut world = World {
            scratch: Some(there),
            ..World::default()
        };
        let report = run(&mut world, |_, _| Trouble::None);
        assert!(
            !report.ready && report.reasons[0].contains(words),
            "{report:?}"
        );
        assert_eq!(asked(&world), 0);
    }
}

#[test]
fn one_that_stays_locked_is_told_with_the_command() {
    let mut there = golden(vmid(9900));
    there.config.lock = Some("create".into());
    let mut world = World {
        scratch: Some(there),
        ..World::default()
    };
    let report = run(&mut world, |_, _| Trouble::None);
    assert!(report.reasons[0].contains("pct unlock 9900 && pct destroy 9900"));
}
