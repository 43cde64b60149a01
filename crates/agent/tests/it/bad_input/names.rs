//! Names that are none, and names of things that are not there.

use super::{assert_untouched, refused};
use crate::support::*;

const GONE: &str = "local:backup/vzdump-lxc-9001-2020_01_01-00_00_00.tar.zst";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_malformed_name_is_refused_before_anybody_is_asked() {
    let bench = Bench::new().await;
    // Nobody answers there: whoever asks first ends with 7.
    let url = bench.world.url();
    bench.reconfigure(|text| text.replace(&url, "https://127.0.0.1:9"));
    for wrong in [
        "abc",
        "99",
        "1000000000",
        "9001;reboot",
        "0x2329",
        "９００１",
        "",
    ] {
        for command in [
            &["backup", "run"][..],
            &["backup", "list"],
            &["restore-test", "run"],
            &["restore-test", "list"],
            &["restore-test", "reap", "--adopt"],
            &["selftest", "task"],
        ] {
            let args: Vec<&str> = command.iter().copied().chain([wrong]).collect();
            let told = refused(&bench, &args).await;
            assert_eq!(told.code(), "usage", "{args:?}");
            told.says(2, &["VMID", &format!("`{wrong}`")]);
        }
    }
    for wrong in [
        "local",
        "local:",
        ":backup/x",
        "local:backup/../../../etc/passwd",
        "local:backup/vzdump-lxc-9001-2020_01_01-00_00_00.tar.zst\n",
        "local:vm-9001-disk-0",
        "lo cal:backup/vzdump-lxc-9001-2020_01_01-00_00_00.tar.zst",
    ] {
        for command in [&["backup", "proof"], &["restore", "plan"]] {
            let args: Vec<&str> = command.iter().copied().chain([wrong]).collect();
            refused(&bench, &args).await.says(2, &["VOLID"]);
        }
        if wrong.contains(':') {
            refused(&bench, &["restore-test", "run", wrong])
                .await
                .says(2, &["VOLID"]);
        }
    }
    for wrong in [
        "UPID",
        "UPID:demo-felhom:1:2:3:vzdump:9001:root@pam:",
        "vzdump",
        "",
    ] {
        refused(&bench, &["task", "watch", wrong])
            .await
            .says(2, &["UPID"]);
    }
    let told = refused(&bench, &["backup", "run", "9001", "--storage", "lo/cal"]).await;
    told.says(2, &["--storage", "`lo/cal`"]);
    let told = refused(&bench, &["backup", "run", "9001", "--mode", "fast"]).await;
    told.says(2, &["--mode", "`fast`"]);
    assert_untouched(&bench).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_makes_no_command_is_a_usage_error_also_in_json() {
    let bench = Bench::new().await;
    for args in [
        &["nonsense"][..],
        &["backup"],
        &["backup", "run"],
        &["backup", "run", "9001", "--force"],
        &["backup", "run", "9001", "9010"],
        &["backup", "run", "-5"],
        &["restore-test", "reap", "--adopt"],
        &["volumes"],
        &["volumes", "show"],
        &["volumes", "import", "9001"],
    ] {
        let output = bench.program(args, "").await;
        assert_eq!(output.exit, Some(2), "{args:?}");
        assert!(
            output.stderr.contains("--help") && output.stdout.is_empty(),
            "{output:?}"
        );
        let told = refused(&bench, args).await;
        assert_eq!(told.code(), "usage", "{args:?}");
        assert!(told.hint().contains("--help"), "{}", told.error);
        told.says(2, &[]);
    }
    assert_untouched(&bench).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_is_no_such_thing_and_begins_no_job() {
    let bench = Bench::new().await;
    let upid = "UPID:demo-felhom:00000001:00000002:5F000000:vzdump:9001:root@pam:";
    for (args, word) in [
        (&["backup", "run", "9999"][..], "9999"),
        (&["backup", "run", "9999", "--dry-run"], "9999"),
        (&["backup", "proof", GONE], GONE),
        (&["restore", "plan", GONE], GONE),
        (&["restore-test", "run", GONE], GONE),
        (&["restore-test", "run", GONE, "--dry-run"], GONE),
        (&["restore-test", "run", "9999"], "9999"),
        (&["restore-test", "run"], "no backup"),
        (&["selftest", "task", "9999"], "9999"),
        (&["selftest", "task", "9999", "--dry-run"], "9999"),
        (&["selftest", "restore-test"], "no backup"),
        (&["restore-test", "reap", "--adopt", "9150"], "9150"),
        (&["task", "watch", upid], "no such task"),
        (&["volumes", "show", "9999"], "9999"),
    ] {
        let told = refused(&bench, args).await;
        told.says(5, &[word]);
    }
    let output = bench
        .program(&["restore-test", "run", "--allow-empty"], "")
        .await;
    assert_eq!(
        output.exit,
        Some(0),
        "nothing to do is no error when it may be"
    );
    assert_untouched(&bench).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storage_that_is_not_there_is_named() {
    let bench = Bench::new().await;
    let elsewhere = GONE.replace("local:", "nowhere:");
    for command in [
        &["backup", "proof"],
        &["restore", "plan"],
        &["restore-test", "run"],
    ] {
        let args: Vec<&str> = command
            .iter()
            .copied()
            .chain([elsewhere.as_str()])
            .collect();
        refused(&bench, &args).await.says(5, &["nowhere"]);
    }
    assert_untouched(&bench).await;
    // As a place to write to it is refused by preflight, which is written down.
    let args = ["backup", "run", "9001", "--storage", "nowhere"];
    let output = bench.program(&args, "").await;
    assert_eq!(output.exit, Some(4), "{output:?}");
    assert!(
        output
            .stdout
            .contains("storage `nowhere` is not on the node, or hidden"),
        "{output:?}"
    );
    let dry: Vec<&str> = args.into_iter().chain(["--dry-run"]).collect();
    refused(&bench, &dry).await.says(4, &["storage `nowhere`"]);
    assert!(bench.mutations().is_empty());
    assert!(bench.journal().await.unfinished().await.unwrap().is_empty());
}
