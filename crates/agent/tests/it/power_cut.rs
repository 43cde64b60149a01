//! The host loses power: the agent, which stands on it, dies with it, and finds after its restart what the cut left.

use std::time::Duration;

use felhom_agent::exit::Exit;
use felhom_agent::progress::Silent;
use felhom_agent::runner::Runner;
use felhom_engine::*;
use felhom_proxmox::pve::guests::DestroyLxc;
use felhom_proxmox::{Client, Pve, Settings, Token, Trust};
use felhom_simulator::{Fault, FaultKind};
use secrecy::SecretString;

use crate::support::*;

/// Begins a job, waits for a sign, and cuts the power: the agent's process ends with everything else.
async fn cut_when(
    bench: &Bench,
    make: impl FnOnce(&felhom_agent::journal::Journal) -> Job,
    sign: impl Fn(&Bench) -> bool,
) {
    let journal = bench.journal().await;
    let performer = bench.performer();
    let job = make(&journal);
    let agent = tokio::spawn(async move {
        let runner = Runner {
            journal: &journal,
            performer: &performer,
            progress: &Silent,
        };
        runner.start(job).await.map(|_| ())
    });
    eventually("the instant of the cut", || sign(bench)).await;
    agent.abort();
    assert!(agent.await.is_err(), "the job ended before the power did");
    bench.world.power_cut(Duration::from_mins(1)).await;
}

fn runs(bench: &Bench, task: &str) -> bool {
    bench.world.state()["running_tasks"]
        .to_string()
        .contains(task)
}

/// Installs the root helper (`host-on`), or takes it away.
async fn helper(bench: &Bench, verb: &str) {
    let done = bench.world.control(verb, serde_json::json!({})).await;
    drop(done.unwrap());
}

/// Goes on after the restart. The node's services may need a moment longer than ours.
async fn resume(bench: &Bench) -> Job {
    for _ in 0..20 {
        let journal = bench.journal().await;
        let performer = bench.performer();
        let unfinished = journal.unfinished().await.unwrap().remove(0);
        let runner = Runner {
            journal: &journal,
            performer: &performer,
            progress: &Silent,
        };
        if let Ok(job) = runner.resume(unfinished).await {
            return job;
        }
    }
    panic!("the job does not come to its end");
}

/// The person at the console: `root@pam!root` may what the agent's tokens may not.
fn root(bench: &Bench) -> Pve {
    let secret = SecretString::from(bench.world.tokens()["root@pam!root"].clone());
    let token = Token::new("root@pam!root".parse().unwrap(), &secret);
    let address = bench.world.address().to_string().parse().unwrap();
    let trust = Trust::PinnedLeaf(bench.world.fingerprint().parse().unwrap());
    let client = Client::new(Settings::new(address, token, trust)).unwrap();
    Pve::new(client, bench.world.node().parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_root_helper_an_unfinished_restore_is_reported_with_its_commands() {
    let bench = Bench::at(10.0, FAST, None).await;
    helper(&bench, "host-off").await;
    let volid = bench.backup(9010).await;
    let production = bench.production();
    cut_when(
        &bench,
        |journal| test_job(&bench, journal, &volid, 5),
        |bench| !bench.scratch_volumes().is_empty(),
    )
    .await;

    let job = resume(&bench).await;
    let JobKind::RestoreTest(test) = &job.kind else {
        unreachable!()
    };
    let report = test.report().unwrap();
    // A power cut says nothing about the backup.
    assert_eq!(report.judgement.verdict, Verdict::Error);
    assert!(!report.nothing_left);
    let finding = report
        .findings
        .iter()
        .find(|finding| finding.code == "unfinished-restore")
        .unwrap();
    assert!(
        finding.detail.contains("the root helper is not there"),
        "{}",
        finding.detail
    );
    let hint = finding.hint.clone().unwrap();
    assert!(
        hint.contains("pct unlock 9100 && pct destroy 9100 --destroy-unreferenced-disks 1"),
        "{hint}"
    );

    // Exactly what PVE leaves: a stub that holds nothing but its lock, and volumes that nothing mentions.
    let state = bench.world.state();
    assert_eq!(state["world"]["guests"]["9100"]["config"], "lock: create\n");
    assert!(!bench.scratch_volumes().is_empty());

    // Looking again changes nothing, and still says so.
    let ran = bench.run(&["restore-test", "reap"]).await;
    assert_eq!(ran.exit, Exit::Findings, "{}", ran.text());
    assert!(ran.text().contains("pct unlock 9100"));

    // The admin does what the hint says.
    let poked = serde_json::json!({ "vmid": 9100, "delete": ["lock"] });
    bench.world.control("poke-guest", poked).await.unwrap();
    let destroy = DestroyLxc {
        vmid: vmid(9100),
        unreferenced_disks: true,
    };
    let task = root(&bench).destroy_lxc(&destroy).await.unwrap();
    let upid = task.into_upid().to_string();
    eventually("the stub is gone", || {
        !bench.world.state()["running_tasks"]
            .to_string()
            .contains(&upid)
    })
    .await;
    assert_eq!(bench.scratch_volumes(), Vec::<String>::new());

    let ran = bench.run(&["restore-test", "reap"]).await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
    assert!(bench.journal().await.remains().await.unwrap().is_empty());
    assert_eq!(bench.production(), production);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_root_helper_nothing_is_left_of_an_unfinished_restore() {
    let bench = Bench::at(10.0, FAST, None).await;
    let volid = bench.backup(9010).await;
    let production = bench.production();
    cut_when(
        &bench,
        |journal| test_job(&bench, journal, &volid, 5),
        |bench| !bench.scratch_volumes().is_empty(),
    )
    .await;
    let job = resume(&bench).await;
    let JobKind::RestoreTest(test) = &job.kind else {
        unreachable!()
    };
    let report = test.report().unwrap();
    assert_eq!(report.judgement.verdict, Verdict::Error);
    assert!(report.nothing_left, "{:?}", report.findings);
    assert_eq!(report.findings, []);
    assert_eq!(bench.scratch_volumes(), Vec::<String>::new());
    assert!(bench.scratch_guests().is_empty());
    let ran = bench.run(&["restore-test", "reap"]).await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
    assert_eq!(bench.production(), production);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_left_while_there_was_no_helper_goes_when_there_is_one() {
    let bench = Bench::at(10.0, FAST, None).await;
    let volid = bench.backup(9010).await;
    helper(&bench, "host-off").await;
    cut_when(
        &bench,
        |journal| test_job(&bench, journal, &volid, 5),
        |bench| !bench.scratch_volumes().is_empty(),
    )
    .await;
    drop(resume(&bench).await);
    helper(&bench, "host-on").await;
    // It does not answer; then root's configuration does not provide for it; then it does it, and its reply is lost.
    let asked = |kind| Fault {
        count: None,
        ..Fault::request("ASK", "*/release-unfinished-restore", kind)
    };
    bench.world.inject(asked(FaultKind::Refuse));
    let ran = bench.run(&["restore-test", "reap"]).await;
    assert_eq!(ran.exit, Exit::Findings, "{}", ran.text());
    assert!(ran.text().contains("did not answer"), "{}", ran.text());
    bench.world.clear_faults();
    let rules = bench.world.state()["host"]["rules"].clone();
    let mut none = rules.clone();
    none["scratch"] = serde_json::Value::Null;
    drop(bench.world.control("host-config", none).await.unwrap());
    let ran = bench.run(&["restore-test", "reap"]).await;
    assert_eq!(ran.exit, Exit::Findings, "{}", ran.text());
    assert!(ran.text().contains("has no [scratch]"), "{}", ran.text());
    assert!(ran.text().contains("pct unlock 9100 && pct destroy 9100"));
    drop(bench.world.control("host-config", rules).await.unwrap());
    let once = Fault {
        count: Some(1),
        ..asked(FaultKind::CutAnswer)
    };
    bench.world.inject(once);
    let ran = bench.run(&["restore-test", "reap"]).await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.text());
    assert_eq!(bench.scratch_volumes(), Vec::<String>::new());
    assert!(bench.journal().await.remains().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stub_that_is_released_into_no_pool_is_told_without_its_lock() {
    let bench = Bench::at(10.0, FAST, None).await;
    let volid = bench.backup(9010).await;
    let mut rules = bench.world.state()["host"]["rules"].clone();
    rules["scratch"]["pool"] = serde_json::Value::Null;
    drop(bench.world.control("host-config", rules).await.unwrap());
    cut_when(
        &bench,
        |journal| test_job(&bench, journal, &volid, 5),
        |bench| !bench.scratch_volumes().is_empty(),
    )
    .await;
    let job = resume(&bench).await;
    let finding = &job.findings()[0];
    assert_eq!(finding.code, "unfinished-restore");
    // A restore's guest comes into its pool at the very end: the token has no rights on what is left of one.
    assert!(finding.detail.contains("VM.Allocate"), "{finding:?}");
    let hint = finding.hint.as_deref().unwrap();
    assert!(
        hint.contains("as root on the node: pct destroy 9100"),
        "{hint}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_a_power_cut_stopped_is_no_failed_backup_and_is_removed() {
    let bench = Bench::at(20.0, FAST, None).await;
    let volid = bench.backup(9010).await;
    cut_when(
        &bench,
        |journal| test_job(&bench, journal, &volid, 6),
        |bench| runs(bench, ":vzstart:9100"),
    )
    .await;
    let job = resume(&bench).await;
    let JobKind::RestoreTest(test) = &job.kind else {
        unreachable!()
    };
    let report = test.report().unwrap();
    assert_eq!(
        report.judgement.verdict,
        Verdict::Error,
        "{:?}",
        report.judgement.reasons
    );
    assert!(report.nothing_left, "{:?}", report.findings);
    assert!(bench.scratch_guests().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_a_power_cut_ended_is_undetermined_and_not_repeated() {
    let bench = Bench::at(10.0, FAST, None).await;
    cut_when(
        &bench,
        |journal| backup_job(&bench, journal, 9001, 7),
        |bench| runs(bench, ":vzdump:9001"),
    )
    .await;
    let job = resume(&bench).await;
    let JobKind::Backup(backup) = &job.kind else {
        unreachable!()
    };
    let report = backup.report().unwrap();
    assert_eq!(
        report.verdict,
        BackupVerdict::Undetermined,
        "{:?}",
        report.reasons
    );
    assert_eq!(report.volid, None);
    assert_eq!(
        bench
            .world
            .counts()
            .get("POST /nodes/{node}/vzdump 9001")
            .copied()
            .unwrap_or(1),
        1
    );
    // The node cleared the guest's lock when it booted, and the guest runs again.
    let state = bench.world.state();
    assert_eq!(
        state["world"]["guests"]["9001"]["lock"],
        serde_json::Value::Null
    );
}
