//! A process that is killed, and the next one, which brings its job to one end and leaves nothing.

use felhom_simulator::{Fault, FaultKind};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::*;

/// Starts the program, waits until a task of it stands still at a point, sends a signal, and lets the task go on.
async fn signalled(
    bench: &Bench,
    args: &[&str],
    point: &str,
    task: &str,
    signal: Signal,
) -> Option<i32> {
    bench.world.inject(Fault::task(point, FaultKind::TaskHold));
    let mut child = program(&bench.config, args).spawn().unwrap();
    let pid = Pid::from_child(&child);
    let runs = || {
        bench.world.state()["running_tasks"]
            .to_string()
            .contains(task)
    };
    eventually("the task stands still", runs).await;
    kill_process(pid, signal).unwrap();
    let code = tokio::task::spawn_blocking(move || child.wait().unwrap().code())
        .await
        .unwrap();
    bench.world.clear_faults();
    code
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_in_a_restore_test_is_mended_by_the_next_process() {
    for (point, task) in [
        ("vzrestore:extract", ":vzrestore:9100:"),
        ("vzstart", ":vzstart:9100:"),
        ("vzstop", ":vzstop:9100:"),
        ("vzdestroy", ":vzdestroy:9100:"),
    ] {
        let bench = Bench::new().await;
        let production = bench.production();
        let volid = bench.backup(9001).await.to_string();
        let code = signalled(
            &bench,
            &["restore-test", "run", &volid],
            point,
            task,
            Signal::KILL,
        )
        .await;
        assert_eq!(code, None, "{point}: a signal ended it");
        assert!(!bench.scratch_guests().is_empty());
        let listed = bench.program(&["restore-test", "list", "--json"], "").await;
        assert_eq!(
            listed.json()["data"].as_array().unwrap().len(),
            0,
            "{point}: no verdict yet"
        );
        let plan = bench
            .program(&["restore-test", "reap", "--dry-run"], "")
            .await;
        assert!(
            plan.stdout
                .contains(&format!("go on with restore-test of {volid}")),
            "{plan:?}"
        );

        let reaped = bench.program(&["restore-test", "reap"], "").await;
        assert_eq!(reaped.exit, Some(0), "{point}: {reaped:?}");
        assert!(
            reaped.stdout.contains("was brought to its end"),
            "{reaped:?}"
        );
        let listed = bench.program(&["restore-test", "list", "--json"], "").await;
        let tests = listed.json()["data"].clone();
        assert_eq!(tests.as_array().unwrap().len(), 1, "{point}: one verdict");
        assert_eq!(
            tests[0]["report"]["judgement"]["verdict"], "passed",
            "{point}: {tests}"
        );
        assert!(bench.scratch_guests().is_empty() && bench.scratch_volumes().is_empty());
        assert_eq!(bench.production(), production);
        for (what, count) in bench.mutations() {
            // An archive's attributes are written twice: the verdict, then the protection.
            let times = if what.contains("/content/") { 2 } else { 1 };
            assert_eq!(count, times, "{point}: `{what}`");
        }
        let again = bench.program(&["restore-test", "reap"], "").await;
        assert!(
            again
                .stdout
                .contains("nothing was interrupted, and nothing is left"),
            "{again:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_in_a_backup_is_mended_by_whatever_comes_next() {
    let bench = Bench::new().await;
    let args = ["backup", "run", "9001"];
    let code = signalled(
        &bench,
        &args,
        "vzdump:archive",
        ":vzdump:9001:",
        Signal::KILL,
    )
    .await;
    assert_eq!(code, None);
    let next = bench.program(&["selftest", "task", "9001"], "").await;
    assert_eq!(next.exit, Some(0), "{next:?}");
    assert!(
        next.stderr.contains("go on with backup of guest 9001"),
        "{next:?}"
    );
    let listed = bench.program(&["backup", "list", "--json"], "").await;
    let backups = listed.json()["data"].clone();
    assert_eq!(backups.as_array().unwrap().len(), 1);
    assert_eq!(backups[0]["content"], "proven");
    assert_eq!(bench.mutations().get("vzdump 9001"), Some(&1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupt_from_the_keyboard_says_what_goes_on() {
    let bench = Bench::new().await;
    bench
        .world
        .inject(Fault::task("vzdump:archive", FaultKind::TaskHold));
    let child = program(&bench.config, &["backup", "run", "9001", "--json"])
        .spawn()
        .unwrap();
    let pid = Pid::from_child(&child);
    let runs = || {
        bench.world.state()["running_tasks"]
            .to_string()
            .contains(":vzdump:9001:")
    };
    eventually("vzdump stands still", runs).await;
    kill_process(pid, Signal::INT).unwrap();
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap())
        .await
        .unwrap();
    bench.world.clear_faults();
    assert_eq!(output.status.code(), Some(8));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["error"]["code"], "interrupted");
    assert!(
        document["error"]["hint"]
            .as_str()
            .unwrap()
            .contains("restore-test reap"),
        "{document}"
    );
    let reaped = bench.program(&["restore-test", "reap"], "").await;
    assert_eq!(reaped.exit, Some(0), "{reaped:?}");
    assert_eq!(bench.mutations().get("vzdump 9001"), Some(&1));
}
