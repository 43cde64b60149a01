//! Restores that break off: by a floor, by a task that is killed, by a power cut, by somebody who was faster.

use felhom_ids::GuestKind;
use std::time::Duration;

use felhom_agent::exit::Exit;
use felhom_agent::progress::Silent;
use felhom_agent::runner::Runner;
use felhom_engine::*;
use felhom_proxmox::pve::guests::DestroyLxc;
use felhom_simulator::{Fault, FaultKind};
use serde_json::json;

use super::config;
use crate::scene::restored_or_nothing;
use crate::support::*;

async fn works(bench: &Bench) {
    eventually("the restore works", || {
        bench.world.state()["running_tasks"]
            .to_string()
            .contains(":vzrestore:9020")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_a_floor_the_restore_is_stopped_and_nothing_of_it_is_left() {
    let bench = Bench::at(10.0, FAST, None).await;
    let volid = bench.backup(9010).await.to_string();
    let production = bench.production();
    bench
        .world
        .inject(Fault::task("vzrestore:extract", FaultKind::TaskStall));
    let run = [
        "restore",
        "run",
        &volid,
        "--to",
        "9020",
        "--identity",
        "fresh",
    ];
    let filled = async {
        works(&bench).await;
        let size = bench.world.state()["world"]["pool"]["size"]
            .as_u64()
            .unwrap();
        bench.world.fill_pool(size / 100 * 92).await.unwrap();
    };
    let (ran, ()) = tokio::join!(bench.run(&run), filled);
    assert_eq!(ran.exit, Exit::TaskFailed, "{}", ran.text());
    let report = super::report(&bench).await;
    assert_eq!(report.findings[0].code, "floor-reached");
    assert!(report.nothing_left);
    restored_or_nothing(&bench, &report).unwrap();
    assert_eq!(bench.production(), production);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_that_does_not_unpack_leaves_nothing() {
    let bench = Bench::new().await;
    let volid = bench.backup(9010).await.to_string();
    let text = "command 'tar' failed: exit code 2".to_owned();
    bench.world.inject(Fault::task(
        "vzrestore:extract",
        FaultKind::TaskFail { text },
    ));
    let run = [
        "restore",
        "run",
        &volid,
        "--to",
        "9020",
        "--identity",
        "fresh",
    ];
    let ran = bench.run(&run).await;
    assert_eq!(ran.exit, Exit::TaskFailed, "{}", ran.text());
    assert!(
        ran.text().contains("nothing of it is left"),
        "{}",
        ran.text()
    );
    restored_or_nothing(&bench, &super::report(&bench).await).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_power_cut_the_unfinished_restore_is_told_with_the_commands_that_remove_it() {
    let bench = Bench::at(10.0, FAST, None).await;
    let volid = bench.backup(9010).await;
    let production = bench.production();
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
    assert_eq!(config(&bench, RESTORED), "lock: create\n");
    restored_or_nothing(&bench, report).unwrap();
    let finding = &report.findings[0];
    assert_eq!(finding.code, "unfinished-restore");

    let listed = bench.run(&["restore", "list"]).await;
    assert!(
        listed.text().contains("pct unlock 9020"),
        "{}",
        listed.text()
    );

    // The VMID is taken until the admin has done what the hint says.
    let volid = volid.to_string();
    let again = [
        "restore",
        "run",
        &volid,
        "--to",
        "9020",
        "--identity",
        "fresh",
    ];
    let ran = bench.run(&again).await;
    assert_eq!(ran.exit, Exit::Refused, "{}", ran.text());
    as_told(&bench, finding.hint.as_ref().unwrap()).await;
    let ran = bench.run(&again).await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
    // Guests come up again by themselves; but for that they are what they were.
    assert_eq!(bench.production().len(), production.len());
}

/// The admin types the hint's commands, one after the other.
async fn as_told(bench: &Bench, hint: &str) {
    let commands = hint.strip_prefix("as root on the node: ").unwrap();
    for command in commands.split(" && ") {
        let words: Vec<&str> = command.split(' ').collect();
        match words.as_slice() {
            ["pct", "unlock", "9020"] => bench.poke(RESTORED, json!({ "delete": ["lock"] })).await,
            ["pct", "destroy", "9020"] => {
                let destroy = DestroyLxc {
                    vmid: vmid(RESTORED),
                    unreferenced_disks: false,
                };
                drop(bench.root().destroy_lxc(&destroy).await.unwrap());
            }
            ["pvesm", "free", volume] => {
                let volume = volume.parse().unwrap();
                drop(bench.root().delete_volume(&volume).await.unwrap());
            }
            other => panic!("{other:?}"),
        }
        settled(bench).await;
    }
    assert_eq!(bench.restored_volumes(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_somebody_started_meanwhile_is_left_to_them() {
    let bench = Bench::new().await;
    let volid = bench.backup(9010).await;
    // The task ends without its last line, and before anybody looks, a person has started the guest.
    bench
        .world
        .inject(Fault::task("vzrestore:end", FaultKind::TaskVanish));
    let journal = bench.journal().await;
    let performer = bench.performer();
    let mut job = restore_job(&bench, journal.installation(), &volid, 9);
    let mut meddled = false;
    loop {
        match job.next(felhom_agent::clock::now()) {
            Next::Do(step) => {
                if step.name() == "observe-restored" && !meddled {
                    meddled = true;
                    drop(
                        bench
                            .root()
                            .start_guest(GuestKind::Lxc, vmid(RESTORED))
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
    assert_eq!(report.end, RestoreEnd::Failed);
    assert_eq!(report.findings[0].code, "restore-leftover");
    let state = bench.world.state();
    assert_eq!(state["world"]["guests"]["9020"]["status"], "running");
}
