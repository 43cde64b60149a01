//! Every question, the evidence it rests on, and the table of privileges that follows from the answers.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

use felhom_contract::{Options, Report, Verdict, privilege_table, run};

use crate::world::World;

/// What the simulator's built-in world has not: everything else must be asked.
const LACKS: [&str; 3] = ["disks", "gzip", "qemu-create"];

fn not_applicable(report: &Report) -> BTreeSet<String> {
    let why = |outcome: &felhom_contract::Outcome| match &outcome.verdict {
        Verdict::NotApplicable { why } => Some(why.clone()),
        Verdict::Agree | Verdict::Differ { .. } => None,
    };
    report.outcomes.iter().filter_map(why).collect()
}

/// `FELHOM_CONTRACT_ONLY` narrows it down, `FELHOM_CONTRACT_BLESS` writes the table of privileges anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_simulator_agrees_on_every_question() {
    let world = World::start(200.0).await;
    let only = std::env::var("FELHOM_CONTRACT_ONLY").ok();
    let options = Options {
        only: only.clone(),
        may_edit_identities: true,
        ..Options::default()
    };
    let before = (world.running.guests(), world.running.state());
    let report = run(&world.target(), &options).await.unwrap();
    writeln!(std::io::stderr().lock(), "{}", report.text()).unwrap();
    let counts = report.counts();
    assert_eq!(counts.differ, 0);
    assert!(report.leftovers.is_empty(), "{:?}", report.leftovers);
    let lacks: BTreeSet<String> = LACKS
        .iter()
        .map(|ability| format!("the target has no `{ability}`"))
        .collect();
    let missing = not_applicable(&report);
    assert!(missing.is_subset(&lacks), "{missing:?}");
    assert!(counts.assumed * 20 < report.outcomes.len(), "{counts:?}");
    let after = (world.running.guests(), world.running.state());
    assert_eq!(before.0, after.0, "all guests of ours are gone");
    assert_eq!(before.1["world"]["storages"], after.1["world"]["storages"]);
    assert_eq!(volumes(&before.1), volumes(&after.1));
    if only.is_none() {
        compare_table(&privilege_table(&report.privileges));
    }
}

fn volumes(state: &serde_json::Value) -> Vec<&String> {
    state["world"]["volumes"]
        .as_object()
        .unwrap()
        .keys()
        .collect()
}

fn compare_table(table: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/privileges.md");
    if std::env::var_os("FELHOM_CONTRACT_BLESS").is_some() {
        std::fs::write(&path, table).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap();
    assert_eq!(
        kept, table,
        "run the test with FELHOM_CONTRACT_BLESS=1 and look at the difference"
    );
}
