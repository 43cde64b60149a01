//! Exit codes and `--json` documents of the commands, on the built-in world and in trouble.

use felhom_simulator::{Fault, FaultKind};
use serde_json::Value;

use crate::support::*;

/// Runs with `--json`; the document is whole, and nothing is narrated.
async fn document(bench: &Bench, args: &[&str], exit: i32, schema: &str) -> Value {
    let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
    let output = bench.program(&args, "").await;
    assert_eq!(output.exit, Some(exit), "{args:?}: {output:?}");
    let document = output.json();
    assert_eq!(document["schema"], schema, "{args:?}: {output:?}");
    assert_eq!(document["version"], 1);
    let told = output.stderr.lines().find(|line| !line.contains(" WARN "));
    assert_eq!(told, None, "{args:?} narrates beside its document");
    if schema == "felhom.error" {
        let error = &document["error"];
        assert!(
            error["code"].is_string() && error["message"].is_string(),
            "{error}"
        );
        assert!(
            error["causes"].is_array() && error.get("hint").is_some(),
            "{error}"
        );
        return error.clone();
    }
    assert!(document.get("data").is_some(), "{args:?}: {document}");
    document["data"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_that_look_have_their_documents() {
    let bench = Bench::new().await;
    let status = document(&bench, &["status"], 3, "felhom.status").await;
    assert_eq!(status["node"], "demo-felhom");
    assert_eq!(status["guests"].as_array().unwrap().len(), 3);
    assert_eq!(status["guests"][0]["kind"], "qemu");
    let guests = document(&bench, &["guests"], 0, "felhom.guests").await;
    assert_eq!(guests[2]["name"], "demo-guest");
    assert_eq!(guests[0]["kind"], "qemu");
    let storages = document(&bench, &["storage", "list"], 0, "felhom.storages").await;
    assert_eq!(storages.as_array().unwrap().len(), 2);
    let trust = document(&bench, &["trust", "show"], 0, "felhom.trust").await;
    assert_eq!(trust["seen"], bench.world.fingerprint());
    assert_eq!(trust["agrees"], true);
    for (args, schema) in [
        (&["backup", "list"][..], "felhom.backups"),
        (&["restore-test", "list"], "felhom.restore-tests"),
        (
            &["restore-test", "run", "--allow-empty"],
            "felhom.restore-test",
        ),
        (&["restore-test", "reap"], "felhom.reap"),
        (&["restore-test", "reap", "--dry-run"], "felhom.plan"),
        (&["trust", "repin"], "felhom.trust"),
        (&["selftest"], "felhom.selftest"),
        (&["config", "check"], "felhom.config-check"),
        (&["config", "show"], "felhom.config"),
    ] {
        document(&bench, args, 0, schema).await;
    }
    let error = document(&bench, &["restore-test", "run"], 5, "felhom.error").await;
    assert_eq!(error["code"], "nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_about_backups_have_their_documents() {
    let bench = Bench::new().await;
    let dry = ["backup", "run", "9001", "--dry-run"];
    document(&bench, &dry, 0, "felhom.plan").await;
    let backup = document(&bench, &["backup", "run", "9001"], 0, "felhom.backup").await;
    assert_eq!(backup["verdict"], "good");
    assert_eq!(backup["vmid"], 9001);
    assert_eq!(backup["docker_volumes"].as_array().unwrap().len(), 2);
    // mp2 and mp3 of 9010 are findings: done, with findings.
    let backup = document(&bench, &["backup", "run", "9010"], 3, "felhom.backup").await;
    assert_eq!(backup["findings"].as_array().unwrap().len(), 2);
    let volid = backup["volid"].as_str().unwrap();
    let upid = backup["upid"].as_str().unwrap();
    let listed = document(&bench, &["backup", "list", "9010"], 0, "felhom.backups").await;
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(listed[0]["volid"], volid);
    assert_eq!(listed[0]["content"], "proven");
    let proof = document(&bench, &["backup", "proof", volid], 0, "felhom.proof").await;
    assert_eq!(proof["content"]["complete"], true);
    let plan = document(
        &bench,
        &["restore", "plan", volid],
        0,
        "felhom.restore-plan",
    )
    .await;
    assert_eq!(plan["plan"]["missing"].as_array().unwrap().len(), 1);
    let empty = plan["plan"]["volumes"].as_array().unwrap().iter();
    assert_eq!(empty.filter(|volume| volume["filled"] == false).count(), 1);
    let run = [
        "restore",
        "run",
        volid,
        "--to",
        "9020",
        "--identity",
        "fresh",
    ];
    let restored = document(&bench, &run, 0, "felhom.restore").await;
    assert_eq!(restored["end"], "restored");
    assert_eq!(restored["as_root"].as_array().unwrap().len(), 1);
    let refused = document(&bench, &run, 4, "felhom.restore").await;
    assert_eq!(refused["end"], "refused");
    let listed = document(&bench, &["restore", "list"], 0, "felhom.restores").await;
    assert_eq!(listed.as_array().unwrap().len(), 2);
    let watched = document(&bench, &["task", "watch", upid], 0, "felhom.task").await;
    assert_eq!(watched["upid"], upid);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_about_volumes_have_their_documents() {
    let bench = Bench::new().await;
    let show = ["volumes", "show", "9001"];
    let error = document(&bench, &show, 5, "felhom.error").await;
    assert_eq!(error["code"], "no-report");
    let recorded = recorded_report();
    let files: Vec<&str> = recorded.iter().map(String::as_str).collect();
    let import = [&["volumes", "import", "9001"], &files[..]].concat();
    let dry = [&import[..], &["--dry-run"]].concat();
    let told = document(&bench, &dry, 0, "felhom.volume-import").await;
    assert_eq!(told["dry_run"], true);
    let told = document(&bench, &import, 0, "felhom.volume-import").await;
    assert_eq!(
        (&told["volumes"], &told["containers"]),
        (&20.into(), &10.into())
    );
    assert_eq!(told["engine"]["data_root"], "/var/lib/docker");
    assert_eq!(told["coverage"]["volumes"], "all");
    assert!(told["changes"].is_null() && told["since_ms"].is_null());
    let told = document(&bench, &import, 0, "felhom.volume-import").await;
    assert_eq!(told["changes"]["volumes"]["added"], serde_json::json!([]));
    let shown = document(&bench, &show, 3, "felhom.volumes").await;
    assert_eq!(shown["vmid"], 9001);
    let inventory = &shown["inventory"];
    assert_eq!(inventory["volumes"].as_array().unwrap().len(), 20);
    assert_eq!(inventory["storage_driver"], "vfs");
    // One file of the six: what it leaves out is a finding.
    let containers = files[3];
    assert!(containers.ends_with("containers.json"));
    let import = ["volumes", "import", "9001", containers];
    let told = document(&bench, &import, 3, "felhom.volume-import").await;
    assert_eq!(told["findings"][0]["code"], "volumes-incomplete");
    let shown = document(&bench, &show, 3, "felhom.volumes").await;
    assert_eq!(shown["findings"][0], told["findings"][0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_about_tests_have_their_documents() {
    let bench = Bench::new().await;
    let volid = bench.backup(9010).await.to_string();
    let dry = ["restore-test", "run", &volid, "--dry-run"];
    document(&bench, &dry, 0, "felhom.plan").await;
    let run = ["restore-test", "run", &volid];
    let test = document(&bench, &run, 0, "felhom.restore-test").await;
    assert_eq!(test["verdict"], "passed");
    assert_eq!(test["nothing_left"], true);
    let list = ["restore-test", "list", "9010"];
    let tests = document(&bench, &list, 0, "felhom.restore-tests").await;
    assert_eq!(tests[0]["report"]["judgement"]["verdict"], "passed");
    let again = ["selftest", "restore-test"];
    document(&bench, &again, 0, "felhom.restore-test").await;
    let task = ["selftest", "task", "9001"];
    let exercise = document(&bench, &task, 0, "felhom.selftest-task").await;
    assert_eq!(exercise["done"], true);
    assert_eq!(exercise["upids"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_about_guards_have_their_documents() {
    // Slow enough that the node's clock does not run away from ours meanwhile.
    let bench = Bench::at(5.0, "", None).await;
    let begin = [
        "snapshot",
        "guard",
        "9001",
        "begin",
        "--confirm-within",
        "15m",
    ];
    let dry: Vec<&str> = begin.into_iter().chain(["--dry-run"]).collect();
    document(&bench, &dry, 0, "felhom.plan").await;
    let none = document(&bench, &["snapshot", "list"], 0, "felhom.snapshot-guards").await;
    assert_eq!(none, serde_json::json!([]));
    let opened = document(&bench, &begin, 0, "felhom.snapshot-guard").await;
    assert_eq!(
        (&opened["end"], &opened["open"]),
        (&"opened".into(), &true.into())
    );
    let error = document(&bench, &begin, 4, "felhom.error").await;
    assert_eq!(error["code"], "guard-open");
    let list = document(&bench, &["snapshot", "list"], 0, "felhom.snapshot-guards").await;
    assert_eq!(list[0]["state"], "open");
    let status = document(&bench, &["status"], 3, "felhom.status").await;
    assert_eq!(status["guards"][0]["snapshot"], opened["snapshot"]);
    let settle = ["snapshot", "settle"];
    let settled = document(&bench, &settle, 0, "felhom.snapshot-settle").await;
    assert_eq!(settled["guards"].as_array().unwrap().len(), 1);
    document(
        &bench,
        &["snapshot", "settle", "--dry-run"],
        0,
        "felhom.plan",
    )
    .await;
    for end in ["confirm", "abort"] {
        let dry = ["snapshot", "guard", "9001", end, "--dry-run"];
        document(&bench, &dry, 0, "felhom.plan").await;
    }
    let abort = ["snapshot", "guard", "9001", "abort"];
    let aborted = document(&bench, &abort, 0, "felhom.snapshot-guard").await;
    assert_eq!(
        (&aborted["end"], &aborted["open"]),
        (&"rolled-back".into(), &false.into())
    );
    let error = document(&bench, &abort, 5, "felhom.error").await;
    assert_eq!(error["code"], "no-guard");
    for (value, within) in [
        ("--confirm-within", "0s"),
        ("--confirm-within", "2d"),
        ("--confirm-within", "soon"),
    ] {
        let odd = ["snapshot", "guard", "9001", "begin", value, within];
        let error = document(&bench, &odd, 2, "felhom.error").await;
        assert_eq!(error["code"], "usage");
    }
}

fn fail(point: &str) -> Fault {
    Fault::task(
        point,
        FaultKind::TaskFail {
            text: "simulated trouble".into(),
        },
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_fails_or_warns_has_its_own_exit_code() {
    let bench = Bench::new().await;
    bench.world.inject(fail("vzdump"));
    let backup = document(&bench, &["backup", "run", "9001"], 6, "felhom.backup").await;
    assert_eq!(backup["verdict"], "failed");
    assert!(
        backup["reasons"][0]
            .as_str()
            .unwrap()
            .contains("simulated trouble"),
        "{backup}"
    );
    let upid = backup["upid"].as_str().unwrap().to_owned();
    let watched = document(&bench, &["task", "watch", &upid], 6, "felhom.task").await;
    assert!(
        watched["verdict"]
            .as_str()
            .unwrap()
            .contains("simulated trouble"),
        "{watched}"
    );

    let warn = FaultKind::TaskWarn {
        text: "simulated doubt".into(),
    };
    bench.world.inject(Fault::task("vzdump", warn));
    let backup = document(&bench, &["backup", "run", "9001"], 3, "felhom.backup").await;
    assert_eq!(backup["verdict"], "good");
    assert_eq!(backup["findings"][0]["code"], "task-warnings", "{backup}");
    let upid = backup["upid"].as_str().unwrap().to_owned();
    document(&bench, &["task", "watch", &upid], 3, "felhom.task").await;

    bench
        .world
        .inject(Fault::task("vzdump", FaultKind::TaskVanish));
    let backup = document(&bench, &["backup", "run", "9001"], 8, "felhom.backup").await;
    assert_eq!(backup["verdict"], "undetermined", "{backup}");
    let upid = backup["upid"].as_str().unwrap().to_owned();
    document(&bench, &["task", "watch", &upid], 8, "felhom.task").await;

    bench.world.inject(fail("vzsnapshot"));
    document(
        &bench,
        &["selftest", "task", "9001"],
        6,
        "felhom.selftest-task",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_backup_and_a_test_that_could_not_run_differ() {
    let bench = Bench::new().await;
    let volid = bench.backup(9001).await.to_string();
    bench.world.inject(fail("vzrestore"));
    let test = document(
        &bench,
        &["restore-test", "run", &volid],
        11,
        "felhom.restore-test",
    )
    .await;
    assert_eq!(
        (&test["verdict"], &test["nothing_left"]),
        (&"error".into(), &true.into()),
        "{test}"
    );
    bench.world.corrupt_archive(&volid).await.unwrap();
    let test = document(
        &bench,
        &["restore-test", "run", &volid],
        10,
        "felhom.restore-test",
    )
    .await;
    assert_eq!(
        (&test["verdict"], &test["nothing_left"]),
        (&"failed".into(), &true.into()),
        "{test}"
    );
    document(&bench, &["backup", "proof", &volid], 10, "felhom.proof").await;
    assert!(bench.scratch_guests().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_goes_to_stdout_narration_to_stderr_and_quiet_means_quiet() {
    let bench = Bench::new().await;
    let loud = bench.program(&["backup", "run", "9001"], "").await;
    assert!(
        loud.stderr.starts_with("back guest 9001 up to `local`"),
        "{loud:?}"
    );
    assert!(
        loud.stdout.starts_with("demo-ctl (9001) is backed up"),
        "{loud:?}"
    );
    let quiet = bench
        .program(&["--quiet", "backup", "run", "9001"], "")
        .await;
    assert_eq!(quiet.stderr, "");
    assert!(
        quiet.stdout.starts_with("demo-ctl (9001) is backed up"),
        "{quiet:?}"
    );
    let failing = bench
        .program(&["--quiet", "backup", "run", "9999"], "")
        .await;
    assert!(
        failing.stderr.starts_with("error: ") && failing.stdout.is_empty(),
        "{failing:?}"
    );
    let verbose = bench.program(&["-vv", "guests"], "").await;
    assert!(
        verbose.stderr.contains("path=\"/nodes/demo-felhom/lxc\""),
        "{verbose:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_goes_away_is_no_trouble() {
    let bench = Bench::new().await;
    let config = bench.config.clone();
    let run = move || {
        let mut child = program(&config, &["config", "show"]).spawn().unwrap();
        drop((child.stdout.take(), child.stderr.take()));
        child.wait().unwrap().code()
    };
    assert_eq!(tokio::task::spawn_blocking(run).await.unwrap(), Some(0));
}
