//! A server that answers otherwise is found out, whatever it gets wrong; and nothing foreign is harmed in the asking.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;

use felhom_contract::{Known, Options, Report, Target, TargetError, Verdict, run};
use felhom_simulator::{Fault, FaultKind};
use serde_json::json;

use crate::world::World;

async fn asked(world: &World, only: &str) -> Report {
    let options = Options {
        only: vec![only.to_owned()],
        ..Options::default()
    };
    run(&world.target(), &options).await.unwrap()
}

/// The points in which the one question differs.
fn points(report: &Report) -> Vec<(String, String)> {
    let (_, points) = report.differing().next().unwrap();
    let both = |point: &felhom_contract::Difference| (point.what.clone(), point.came.clone());
    points.iter().map(both).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_status_is_a_difference() {
    let world = World::start(100.0).await;
    let text = "Connection timed out".to_owned();
    let fault = FaultKind::Status { code: 596, text };
    let path = "/nodes/demo-felhom/lxc/9001/snapshot";
    world.running.inject(Fault::request("GET", path, fault));
    let report = asked(&world, "read/snapshots").await;
    let came = (
        "HTTP status".to_owned(),
        "596 Connection timed out".to_owned(),
    );
    assert_eq!(points(&report), [came]);
    assert_eq!(report.counts().differ, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_end_of_a_task_is_a_difference() {
    let world = World::start(100.0).await;
    let text = "no space left".to_owned();
    let fault = Fault::task("vzsnapshot:end", FaultKind::TaskFail { text });
    world.running.inject(fault);
    let report = asked(&world, "phase3/snapshot-stopped").await;
    let (what, came) = points(&report).remove(0);
    assert_eq!(what, "exit status");
    assert!(came.starts_with("no space left"), "{came}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_success_without_its_effect_is_a_difference() {
    let world = World::start(100.0).await;
    // The copy is there and the task said OK, but somebody puts it on the wire.
    let fault = Fault::task("vzrestore:end", FaultKind::TaskDelay { seconds: 20.0 });
    world.running.inject(fault);
    let poke = async {
        loop {
            let state = world.running.state();
            let guests = state["world"]["guests"].as_object().unwrap();
            let copy = guests.iter().find(|(_, guest)| {
                let config = guest["config"].as_str().unwrap();
                config.contains("hostname: drill") && guest["lock"].is_null()
            });
            if let Some((vmid, _)) = copy {
                let order = json!({ "set": { "onboot": "1" } });
                world
                    .running
                    .poke_guest(vmid.parse().unwrap(), order)
                    .await
                    .unwrap();
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    };
    let (report, ()) = tokio::join!(asked(&world, "restore/overrides"), poke);
    let (what, came) = points(&report).remove(0);
    assert!(
        what.starts_with("effect, ") && what.ends_with("`onboot`"),
        "{what}"
    );
    assert_eq!(came, "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_removed_is_reported() {
    let world = World::start(100.0).await;
    let text = "volume is busy".to_owned();
    let fault = Fault {
        count: None,
        ..Fault::task("vzdestroy", FaultKind::TaskFail { text })
    };
    world.running.inject(fault);
    let report = asked(&world, "phase3/create-nesting").await;
    assert_eq!(report.counts().agree, 1);
    assert_eq!(report.leftovers.len(), 1, "{:?}", report.leftovers);
    assert!(
        report.leftovers[0].contains("volume is busy"),
        "{:?}",
        report.leftovers
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guests_of_others_in_the_scratch_range_are_passed_over() {
    let world = World::start(100.0).await;
    let before = world.running.guests();
    // Somebody else's guest sits on the first numbers: made by a run that could not clean up.
    let text = "volume is busy".to_owned();
    let fault = Fault {
        count: None,
        ..Fault::task("vzdestroy", FaultKind::TaskFail { text })
    };
    world.running.inject(fault);
    asked(&world, "phase3/create-nesting").await;
    world.running.clear_faults();
    let theirs: BTreeSet<u32> = world
        .running
        .guests()
        .difference(&before)
        .copied()
        .collect();
    assert_eq!(theirs.len(), 1);
    let report = asked(&world, "restore/keyctl-as-the-everyday-token").await;
    assert_eq!(report.counts().agree, 1);
    assert_eq!(report.leftovers, Vec::<String>::new());
    let left: BTreeSet<u32> = world
        .running
        .guests()
        .difference(&before)
        .copied()
        .collect();
    assert_eq!(left, theirs);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_leave_no_account_is_made_and_a_rehearsal_changes_nothing() {
    let world = World::start(100.0).await;
    let target = world.target();
    let rehearsal = Options {
        may_edit_identities: true,
        dry_run: true,
        ..Options::default()
    };
    let report = run(&target, &rehearsal).await.unwrap();
    assert_eq!(report.counts().agree + report.counts().differ, 0);
    assert!(report.outcomes.len() > 1500, "{}", report.outcomes.len());
    let said = report.not_asked();
    assert!(said.contains(
        "phase1/self-stop: as self-backup: POST /nodes/demo-felhom/lxc/9001/status/stop\n"
    ));
    assert_eq!(world.running.counts(), [].into());
    let report = asked(&world, "privileges/restore-test").await;
    let not = report.outcomes.iter().all(|outcome| {
        matches!(&outcome.verdict, Verdict::NotApplicable { why } if why.contains("--may-edit-identities"))
    });
    assert!(not);
    assert_eq!(world.running.counts(), [].into());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_pinned_server_is_asked() {
    let world = World::start(100.0).await;
    let other = World::start(100.0).await;
    let path = world.target_file();
    let text = std::fs::read_to_string(&path).unwrap();
    let (ours, theirs) = (world.running.fingerprint(), other.running.fingerprint());
    std::fs::write(&path, text.replace(&ours, &theirs)).unwrap();
    let options = Options::default();
    let refused = run(&Target::read(&path).unwrap(), &options)
        .await
        .unwrap_err();
    assert!(format!("{refused:?}").contains(&ours), "{refused:?}");
}

#[tokio::test]
async fn a_secret_that_others_can_read_is_refused() {
    let world = World::start(100.0).await;
    let path = world.target_file();
    let secret = world.dir.path().join("agent");
    let mode = std::fs::Permissions::from_mode(0o640);
    std::fs::set_permissions(secret, mode).unwrap();
    let refused = Target::read(&path).unwrap_err();
    assert!(
        matches!(refused, TargetError::Readable { mode: 0o640, .. }),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_known_difference_is_excused_and_an_idle_entry_is_named() {
    let world = World::start(100.0).await;
    let text = String::new();
    let fault = FaultKind::Status { code: 599, text };
    world.running.inject(Fault::request("GET", "/nodes", fault));
    let mut report = asked(&world, "read").await;
    assert_eq!(report.counts().differ, 1);
    let path = world.dir.path().join("known.toml");
    let list =
        "[[difference]]\nreason = \"under test\"\nquestions = [\"read/nodes\", \"tasks/*\"]\n";
    std::fs::write(&path, list).unwrap();
    let idle = Known::read(&path).unwrap().excuse(&mut report);
    assert_eq!(idle, ["tasks/*"]);
    assert_eq!(report.counts().differ, 0);
}
