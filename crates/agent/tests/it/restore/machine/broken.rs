//! Restores of virtual machines that break off: taken back by proof, or told, also when answers are lost.

use felhom_ids::GuestKind;
use std::collections::BTreeMap;
use std::time::Duration;

use felhom_agent::exit::Exit;
use felhom_agent::progress::Silent;
use felhom_agent::runner::Runner;
use felhom_engine::*;
use felhom_proxmox::pve::guests::DestroyQemu;
use felhom_simulator::{Fault, FaultKind};
use serde_json::json;

use super::{FRESH, SHOP, config, destroy, machine, runs, words};
use crate::restore::report;
use crate::support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_failed_restore_left_is_destroyed_by_proof() {
    let bench = Bench::new().await;
    machine(&bench, json!({})).await;
    let volid = bench.backup(SHOP).await.to_string();
    for point in ["qmrestore:allocate", "qmrestore:extract"] {
        let text = "no such device".to_owned();
        bench
            .world
            .inject(Fault::task(point, FaultKind::TaskFail { text }));
        let ran = bench.run(&words(&volid, &FRESH)).await;
        assert_eq!(ran.exit, Exit::TaskFailed, "{point}: {}", ran.text());
        let report = report(&bench).await;
        assert!(report.nothing_left, "{point}: {}", ran.text());
        assert!(report.destroy_upid.is_some(), "{point}: {}", ran.text());
        assert_eq!(config(&bench, 9020).await, None, "{point}");
        assert!(bench.restored_volumes().is_empty(), "{point}");
    }
    bench
        .world
        .inject(Fault::task("qmrestore:end", FaultKind::TaskVanish));
    let ran = bench.run(&words(&volid, &FRESH)).await;
    assert!(report(&bench).await.nothing_left, "{}", ran.text());
    assert!(bench.restored_volumes().is_empty() && runs(&bench, SHOP).await);
    let ran = bench.run(&words(&volid, &FRESH)).await;
    let told = ran.text();
    assert_eq!(ran.exit, Exit::Done, "the VMID is free again: {told}");
    destroy(&bench, 9020).await;
    bench.world.corrupt_archive(&volid).await.unwrap();
    let ran = bench.run(&words(&volid, &FRESH)).await;
    assert_eq!(ran.exit, Exit::TaskFailed, "{}", ran.text());
    assert!(report(&bench).await.nothing_left, "{}", ran.text());
    assert_eq!(config(&bench, 9020).await, None);
}

/// The admin types the hint's commands, one after the other.
async fn as_told(bench: &Bench, hint: &str) {
    let commands = hint.strip_prefix("as root on the node: ").unwrap();
    for command in commands.split(" && ") {
        let words: Vec<&str> = command.split(' ').collect();
        match words.as_slice() {
            ["qm", "unlock", "9020"] => {
                let unlock = json!({ "vmid": 9020, "delete": ["lock"] });
                drop(bench.world.control("poke-qemu", unlock).await.unwrap());
            }
            ["qm", "destroy", "9020"] => {
                let destroy = DestroyQemu {
                    vmid: vmid(RESTORED),
                    unreferenced_disks: false,
                };
                drop(bench.root().destroy_qemu(&destroy).await.unwrap());
            }
            ["pvesm", "free", volume] => {
                let volume = volume.parse().unwrap();
                drop(bench.root().delete_volume(&volume).await.unwrap());
            }
            other => panic!("{other:?}"),
        }
        settled(bench).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_restore_left_is_told_with_the_commands_that_remove_it() {
    let bench = Bench::new().await;
    machine(&bench, json!({})).await;
    let volid = bench.backup(SHOP).await.to_string();
    // Before it does anything, at work, and when all the data is there and the last check fails: then PVE frees nothing.
    let text = "no such privilege".to_owned();
    for (point, kind) in [
        ("qmrestore", FaultKind::TaskVanish),
        ("qmrestore:extract", FaultKind::TaskVanish),
        ("qmrestore:config", FaultKind::TaskFail { text }),
    ] {
        bench.world.inject(Fault::task(point, kind));
        let ran = bench.run(&words(&volid, &FRESH)).await;
        assert_eq!(ran.exit, Exit::TaskFailed, "{point}: {}", ran.text());
        let report = report(&bench).await;
        assert!(!report.nothing_left && report.destroy_upid.is_none());
        let finding = &report.findings[0];
        assert_eq!(finding.code, "unfinished-restore", "{point}");
        let again = bench.run(&words(&volid, &FRESH)).await;
        assert_eq!(again.exit, Exit::Refused, "{point}: {}", again.text());
        as_told(&bench, finding.hint.as_ref().unwrap()).await;
        assert_eq!(config(&bench, 9020).await, None, "{point}");
        assert_eq!(bench.restored_volumes(), Vec::<String>::new(), "{point}");
    }
    let ran = bench.run(&words(&volid, &FRESH)).await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_power_cut_the_unfinished_machine_is_told() {
    let bench = Bench::at(10.0, FAST, None).await;
    machine(&bench, json!({})).await;
    let volid = bench.backup(SHOP).await;
    let journal = bench.journal().await;
    let performer = bench.performer();
    let job = restore_job(&bench, journal.installation(), &volid, 8);
    let agent = tokio::spawn(async move {
        let runner = Runner {
            journal: &journal,
            performer: &performer,
            progress: &Silent,
        };
        runner.start(job).await.map(drop)
    });
    eventually("volumes are made", || !bench.restored_volumes().is_empty()).await;
    agent.abort();
    assert!(agent.await.is_err(), "the job ended before the power did");
    bench.world.power_cut(Duration::from_mins(1)).await;
    let job = crate::scene::restart(&bench).await.unwrap().unwrap();
    let JobKind::RestoreRun(restore) = &job.kind else {
        unreachable!()
    };
    let report = restore.report().unwrap();
    assert_eq!(report.end, RestoreEnd::Failed);
    assert!(!report.nothing_left);
    as_told(&bench, report.findings[0].hint.as_ref().unwrap()).await;
    assert_eq!(config(&bench, 9020).await, None);
    assert_eq!(bench.restored_volumes(), Vec::<String>::new());
}

fn cut(method: &str, path: &str) -> Fault {
    Fault {
        count: Some(1),
        ..Fault::request(method, path, FaultKind::CutAnswer)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_at_every_mutation_reaches_the_same_end() {
    let bench = Bench::new().await;
    machine(&bench, json!({})).await;
    let volid = bench.backup(SHOP).await.to_string();
    for (method, path, task, fails) in [
        ("POST", "*/qemu", "qmrestore", false),
        ("POST", "*/qemu/*/status/start", "qmstart", false),
        ("DELETE", "*/qemu/*", "qmdestroy", true),
    ] {
        let before = bench.world.counts();
        if fails {
            let text = "no such device".to_owned();
            let fails = FaultKind::TaskFail { text };
            bench.world.inject(Fault::task("qmrestore:extract", fails));
        }
        bench.world.inject(cut(method, path));
        let ran = bench
            .run(&words(&volid, &[&FRESH[..], &["--start"]].concat()))
            .await;
        assert!(
            bench.world.faults().is_empty(),
            "{path} was never asked for"
        );
        let report = report(&bench).await;
        if fails {
            assert!(report.nothing_left, "{path}: {}", ran.text());
            assert_eq!(config(&bench, 9020).await, None);
        } else {
            assert_eq!(ran.exit, Exit::Done, "{path}: {}", ran.text());
            assert!(runs(&bench, 9020).await);
        }
        let key = format!("{task} 9020");
        let of = |counts: &BTreeMap<String, u64>| counts.get(&key).copied().unwrap_or_default();
        assert_eq!(
            of(&bench.world.counts()) - of(&before),
            1,
            "{task} happened once"
        );
        if !fails {
            destroy(&bench, 9020).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stub_that_somebody_touched_is_left_to_them() {
    let bench = Bench::new().await;
    machine(&bench, json!({})).await;
    let volid = bench.backup(SHOP).await;
    let text = "no such device".to_owned();
    bench.world.inject(Fault::task(
        "qmrestore:extract",
        FaultKind::TaskFail { text },
    ));
    let journal = bench.journal().await;
    let performer = bench.performer();
    let mut job = restore_job(&bench, journal.installation(), &volid, 9);
    let mut meddled = false;
    loop {
        match job.next(felhom_agent::clock::now()) {
            Next::Do(step) => {
                if step.name() == "observe-restored" && !meddled {
                    meddled = true;
                    // Right after the failure a person has tried to start what is there.
                    drop(
                        bench
                            .root()
                            .start_guest(GuestKind::Qemu, vmid(RESTORED))
                            .await
                            .unwrap(),
                    );
                    settled(&bench).await;
                    drop(
                        bench
                            .root()
                            .stop_guest(GuestKind::Qemu, vmid(RESTORED))
                            .await
                            .unwrap(),
                    );
                    settled(&bench).await;
                }
                let outcome = performer.perform(&step, &Silent).await;
                job.record(felhom_agent::clock::now(), outcome);
            }
            Next::Wait { .. } => tokio::time::sleep(Duration::from_millis(20)).await,
            Next::Done => break,
            Next::Pause(error) => panic!("{error}"),
        }
    }
    let JobKind::RestoreRun(restore) = &job.kind else {
        unreachable!()
    };
    let report = restore.report().unwrap();
    assert_eq!(report.findings[0].code, "restore-leftover");
    assert!(config(&bench, 9020).await.is_some());
}
