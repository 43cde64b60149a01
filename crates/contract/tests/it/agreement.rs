//! Every question, the evidence it rests on, and the table of privileges that follows from the answers.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

use felhom_contract::{Catalogue, Options, Product, Report, Verdict, privilege_table, run};

use crate::world::World;

/// What the simulator's built-in world has not: everything else must be asked.
const LACKS: [&str; 1] = ["gzip"];

fn not_applicable(report: &Report) -> BTreeSet<String> {
    let why = |outcome: &felhom_contract::Outcome| match &outcome.verdict {
        Verdict::NotApplicable { why } => Some(why.clone()),
        Verdict::Agree | Verdict::Differ { .. } => None,
    };
    report.outcomes.iter().filter_map(why).collect()
}

/// Asks everything in some groups, and sees that nothing of it stays behind.
async fn agreement(speed: f64, groups: &[&str]) -> Report {
    let world = World::start(speed).await;
    let options = Options {
        only: groups.iter().map(|group| (*group).to_owned()).collect(),
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
    report
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_simulator_agrees_on_every_question() {
    let mut groups: BTreeSet<String> = BTreeSet::new();
    for question in Catalogue::of(Product::Pve).unwrap().questions() {
        groups.insert(question.name.split('/').next().unwrap().to_owned());
    }
    let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
    let report = agreement(100.0, &groups).await;
    assert!(report.outcomes.len() > 380, "{}", report.outcomes.len());
}

/// `FELHOM_CONTRACT_BLESS` writes the table anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_table_of_privileges_is_what_a_run_shows() {
    let report = agreement(300.0, &["privileges"]).await;
    assert!(report.outcomes.len() > 1500, "{}", report.outcomes.len());
    compare_table(&privilege_table(&report.privileges));
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
