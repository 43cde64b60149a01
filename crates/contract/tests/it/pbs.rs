//! The questions for a backup server, asked of the simulated one.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use felhom_contract::{Options, Report, Target, Verdict, permission_table, run};
use felhom_simulator::{Fault, FaultKind};
use serde_json::json;

use crate::pbs_world::{Filled, STORE};

async fn asked(filled: &Filled, only: &[&str]) -> Report {
    let options = Options {
        only: only.iter().map(|name| (*name).to_owned()).collect(),
        may_edit_identities: true,
        ..Options::default()
    };
    run(&filled.target(), &options).await.unwrap()
}

/// What a run must leave as it was.
fn accounts(filled: &Filled) -> serde_json::Value {
    let state = filled.world.running.state();
    json!([
        state["world"]["pbs"]["access"]["users"],
        state["world"]["pbs"]["access"]["acl"]
    ])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_simulated_backup_server_agrees_on_every_question() {
    let filled = Filled::start().await;
    let before = accounts(&filled);
    let report = asked(&filled, &[]).await;
    writeln!(
        std::io::stderr().lock(),
        "{}\n{}",
        report.not_asked(),
        report.text()
    )
    .unwrap();
    let counts = report.counts();
    assert_eq!(
        (counts.differ, counts.not_applicable, counts.assumed),
        (0, 0, 0)
    );
    assert!(counts.agree > 300, "{counts:?}");
    assert!(counts.recorded > 140, "{counts:?}");
    assert!(report.leftovers.is_empty(), "{:?}", report.leftovers);
    assert_eq!(
        before,
        accounts(&filled),
        "no user, token or grant of ours stays"
    );
    compare_table(&permission_table(&report.permissions));
}

/// `FELHOM_CONTRACT_BLESS` writes the table anew.
fn compare_table(table: &str) {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/pbs-permissions.md");
    if std::env::var_os("FELHOM_CONTRACT_BLESS").is_some() {
        std::fs::write(&path, table).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap();
    assert_eq!(
        kept, table,
        "run the test with FELHOM_CONTRACT_BLESS=1 and look at the difference"
    );
}

/// The points in which the one question differs.
fn points(report: &Report) -> Vec<(String, String)> {
    let (_, points) = report.differing().next().unwrap();
    let both = |point: &felhom_contract::Difference| (point.what.clone(), point.came.clone());
    points.iter().map(both).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_text_is_a_difference() {
    let filled = Filled::start().await;
    let text = "no such namespace".to_owned();
    let path = format!("/pbs/admin/datastore/{STORE}/snapshots");
    let fault = Fault::request("GET", &path, FaultKind::AnswerStatus { code: 400, text });
    // The look at what is there comes first, once for each namespace.
    for _ in 0..2 {
        let pass = FaultKind::Delay { seconds: 0.0 };
        filled
            .world
            .running
            .inject(Fault::request("GET", &path, pass));
    }
    filled.world.running.inject(fault);
    let report = asked(&filled, &["pbs-read/snapshots-of-a-missing-namespace"]).await;
    let came = ("error text".to_owned(), "no such namespace".to_owned());
    assert_eq!(points(&report), [came]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_cell_of_the_table_is_a_difference() {
    let filled = Filled::start().await;
    let path = format!("/pbs/admin/datastore/{STORE}/gc");
    let text = "permission check failed".to_owned();
    let fault = FaultKind::AnswerStatus { code: 403, text };
    filled
        .world
        .running
        .inject(Fault::request("GET", &path, fault));
    let report = asked(&filled, &["pbs-permissions/DatastoreAudit"]).await;
    let counts = report.counts();
    assert_eq!((counts.agree, counts.differ), (17, 1));
    let (name, _) = report.differing().next().unwrap();
    assert_eq!(name, "pbs-permissions/DatastoreAudit/gc-status");
    let table = permission_table(&report.permissions);
    assert!(
        table.contains("**403 permission check failed**, not 200"),
        "{table}"
    );
}

/// A verification that says OK and leaves another state behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_end_of_a_task_is_a_difference() {
    let filled = Filled::start().await;
    let order = json!({
        "store": STORE, "type": "ct", "id": "9023", "archive": "root.pxar.didx", "how": "flip",
    });
    filled.control("pbs-corrupt", order).await;
    let report = asked(
        &filled,
        &["pbs-damage/ciphertext-altered-with-its-checksum"],
    )
    .await;
    let (what, came) = points(&report).remove(0);
    assert_eq!(what, "exit status");
    assert!(came.starts_with("verification failed"), "{came}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_where_none_is_expected_is_a_difference() {
    let filled = Filled::start().await;
    let path = format!("/pbs/admin/datastore/{STORE}/verify");
    let text = "invalid type".to_owned();
    let fault = FaultKind::Status { code: 400, text };
    filled
        .world
        .running
        .inject(Fault::request("POST", &path, fault));
    let report = asked(&filled, &["pbs-wire/json-array"]).await;
    let came = ("HTTP status".to_owned(), "400 invalid type".to_owned());
    assert_eq!(points(&report), [came]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_prepared_is_not_asked() {
    let filled = Filled::empty().await;
    let missing = run(&filled.target(), &Options::default())
        .await
        .unwrap_err();
    assert!(
        missing.to_string().contains("the target says no `path`"),
        "{missing}"
    );
    let stores = |filled: &Filled| filled.world.running.state()["world"]["pbs"]["stores"].clone();
    let before = stores(&filled);
    let lines = format!("datastore = {STORE:?}\npath = \"/srv/{STORE}\"");
    let target = Target::read(&filled.target_file(&lines)).unwrap();
    let options = Options {
        may_edit_identities: true,
        ..Options::default()
    };
    let report = run(&target, &options).await.unwrap();
    let counts = report.counts();
    assert_eq!(counts.differ, 0, "{}", report.text());
    assert!(
        counts.agree > 100 && counts.not_applicable > 100,
        "{counts:?}"
    );
    assert!(report.leftovers.is_empty(), "{:?}", report.leftovers);
    assert_eq!(before, stores(&filled), "the datastore is gone again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_leave_no_account_is_made_and_a_rehearsal_changes_nothing() {
    let filled = Filled::start().await;
    let before = filled.world.running.state();
    let rehearsal = Options {
        may_edit_identities: true,
        dry_run: true,
        ..Options::default()
    };
    let report = run(&filled.target(), &rehearsal).await.unwrap();
    assert_eq!(report.counts().not_applicable, report.outcomes.len());
    assert!(report.outcomes.len() > 300, "{}", report.outcomes.len());
    let report = run(&filled.target(), &Options::default()).await.unwrap();
    assert_eq!(report.counts().differ, 0, "{}", report.text());
    for outcome in report.outcomes {
        let allowed = match &outcome.verdict {
            Verdict::NotApplicable { why } => why.contains("--may-edit-identities"),
            Verdict::Agree | Verdict::Differ { .. } => outcome.name.starts_with("pbs-wire/"),
        };
        assert!(allowed, "{}: {:?}", outcome.name, outcome.verdict);
    }
    let after = filled.world.running.state();
    assert_eq!(before["world"]["pbs"], after["world"]["pbs"]);
}

#[tokio::test]
async fn a_datastore_of_others_is_refused() {
    let filled = Filled::empty().await;
    let refused = Target::read(&filled.target_file("datastore = \"backups\"")).unwrap_err();
    let text = refused.to_string();
    assert!(
        text.contains("`backups` may hold somebody's backups"),
        "{text}"
    );
    let path = filled.target_file(&format!("datastore = {STORE:?}"));
    let both = format!(
        "node = \"pve\"\n{}",
        std::fs::read_to_string(&path).unwrap()
    );
    std::fs::write(&path, both).unwrap();
    let refused = Target::read(&path).unwrap_err().to_string();
    assert!(refused.contains("not both"), "{refused}");
}

/// The file that an admin copies is a target as soon as its secret is there.
#[test]
fn the_example_is_a_target() {
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("pbs.toml");
    std::fs::write(&path, include_str!("../../targets/pbs-example.toml")).unwrap();
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).mode(0o600);
    drop(options.open(dir.path().join("root")).unwrap());
    assert_eq!(
        Target::read(&path).unwrap().url(),
        "https://192.0.2.20:8007"
    );
}
