//! Reports on Docker volumes that are none, of guests that are none, and at a bad time.

use super::{assert_untouched, refused};
use crate::support::*;

/// Writes a file beside the configuration.
fn file(bench: &Bench, name: &str, content: &[u8]) -> String {
    let path = bench.directory.path().join(name);
    std::fs::write(&path, content).unwrap();
    path.display().to_string()
}

async fn assert_nothing_kept(bench: &Bench) {
    assert_untouched(bench).await;
    let shown = refused(bench, &["volumes", "show", "9001"]).await;
    shown.says(5, &["no report on the Docker volumes of 9001"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_no_report_is_refused_with_its_name_and_the_command_that_helps() {
    let bench = Bench::new().await;
    let good = recorded_report();
    let hostile = "\x1b[2J".repeat(5_000);
    for (content, words, hint) in [
        (
            "DRIVER    VOLUME NAME\nlocal     pgdata\n".to_owned(),
            &["bad.json", "not the JSON"][..],
            "docker volume inspect",
        ),
        (
            String::new(),
            &["which volumes there are"],
            "docker volume ls",
        ),
        (
            "[]".into(),
            &["which volumes there are"],
            "docker volume ls",
        ),
        ("{}".into(), &["bad.json"], "docker volume inspect"),
        (format!("\"{hostile}\""), &["bad.json"], "docker"),
        (
            r#"{"ServerErrors":["Cannot connect to the Docker daemon"]}"#.into(),
            &["bad.json", "did not reach the engine"],
            "inside the guest",
        ),
        (
            r#"{"schema":"felhom.volume-report","version":7,"data":{}}"#.into(),
            &["version 7", "update it"],
            "report again",
        ),
        (
            r#"{"schema":"felhom.guests","version":1,"data":[]}"#.into(),
            &["no `felhom.volume-report`"],
            "report again",
        ),
        (
            r#"{"Name":"x","Driver":1,"Mountpoint":"/x"}"#.into(),
            &["bad.json", "`Driver` is not a text"],
            "unchanged",
        ),
    ] {
        let bad = file(&bench, "bad.json", content.as_bytes());
        for dry in [None, Some("--dry-run")] {
            let args = ["volumes", "import", "9001", &bad].into_iter().chain(dry);
            let args: Vec<&str> = args.collect();
            let told = refused(&bench, &args).await;
            told.says(2, words);
            assert_eq!(told.code(), "no-report");
            assert!(told.hint().contains(hint), "{}", told.error);
            assert!(told.error.to_string().len() < 3_000);
        }
    }
    // One bad file spoils the good ones.
    let bad = file(&bench, "bad.json", b"{}");
    let args = ["volumes", "import", "9001", &good[0], &good[2], &bad];
    refused(&bench, &args).await.says(2, &["bad.json"]);
    assert_nothing_kept(&bench).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_cannot_be_read_is_named() {
    let bench = Bench::new().await;
    let directory = bench.directory.path().display().to_string();
    let absent = format!("{directory}/absent.json");
    for (path, exit) in [(&absent, 5), (&directory, 1)] {
        let told = refused(&bench, &["volumes", "import", "9001", path]).await;
        told.says(exit, &[path, "cannot be read"]);
        assert!(told.hint().contains("< FILE"), "{}", told.error);
    }
    let told = refused(&bench, &["volumes", "import", "9001", "-", "-"]).await;
    told.says(2, &["standard input", "once"]);
    // Endless input ends.
    let told = refused(&bench, &["volumes", "import", "9001", "/dev/zero"]).await;
    told.says(2, &["at most 8388608 are read"]);
    assert_nothing_kept(&bench).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_on_no_container_of_the_node_is_refused() {
    let bench = Bench::new().await;
    let report = recorded_report();
    for wrong in ["abc", "99", "9001;reboot", ""] {
        for args in [
            &["volumes", "show", wrong][..],
            &["volumes", "import", wrong, &report[2]],
        ] {
            let told = refused(&bench, args).await;
            told.says(2, &["VMID", &format!("`{wrong}`")]);
        }
    }
    for (vmid, exit) in [("9999", 5), ("9000", 4)] {
        for dry in [None, Some("--dry-run")] {
            let args = ["volumes", "import", vmid, &report[2]]
                .into_iter()
                .chain(dry);
            let args: Vec<&str> = args.collect();
            refused(&bench, &args).await.says(exit, &[vmid]);
        }
    }
    assert!(!bench.state_dir().exists(), "nothing was begun");
    // Without an answer of the node nobody knows whose report it is.
    let url = bench.world.url();
    bench.reconfigure(|text| text.replace(&url, "https://127.0.0.1:9"));
    let args = ["volumes", "import", "9001", &report[2]];
    refused(&bench, &args).await.says(7, &["127.0.0.1:9"]);
    assert!(!bench.state_dir().exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_somebody_works_on_the_journal_nothing_is_taken_up() {
    let bench = Bench::new().await;
    let mut journal = bench.journal().await;
    journal.say("restore test of local:backup/x");
    let report = recorded_report();
    let import = ["volumes", "import", "9001", &report[2]];
    let told = refused(&bench, &import).await;
    told.says(75, &["restore test of local:backup/x"]);
    let dry = [&import[..], &["--dry-run"]].concat();
    let ran = bench.program(&dry, "").await;
    assert_eq!(ran.exit, Some(0), "looking is free: {ran:?}");
    drop(journal);
    assert_nothing_kept(&bench).await;
    let ran = bench.program(&import, "").await;
    assert_eq!(ran.exit, Some(0), "{ran:?}");
}
