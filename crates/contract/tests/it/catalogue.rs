//! The questions themselves: what they rest on is real.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use felhom_contract::{Catalogue, Evidence, Product, Target, matches};
use serde_json::Value;

/// Recorded exchanges by name.
type Recordings = BTreeMap<String, Vec<Value>>;

/// `FELHOM_FACTS` names the folder above theirs; without it `shared/facts` of a folder above this crate.
fn recordings() -> Option<Recordings> {
    let named = std::env::var_os("FELHOM_FACTS").map(PathBuf::from);
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let folder = named
        .into_iter()
        .chain(above.map(|above| above.join("shared/facts")))
        .map(|facts| facts.join("traces/pve"))
        .find(|folder| folder.is_dir())?;
    let mut found = Recordings::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        for line in text.lines() {
            let exchange: Value = serde_json::from_str(line).unwrap();
            let name = exchange["name"].as_str().unwrap().to_owned();
            found.entry(name).or_default().push(exchange);
        }
    }
    Some(found)
}

#[test]
fn hardly_anything_is_assumed() {
    let catalogue = Catalogue::of(Product::Pve).unwrap();
    let assumed = catalogue
        .questions()
        .iter()
        .filter(|question| question.evidence == Evidence::Assumed);
    assert!(assumed.count() * 20 < catalogue.questions().len());
}

/// Status, error text and exit status of a question stand in one of the recordings that it names.
#[test]
fn what_is_called_recorded_was_recorded_so() {
    let Some(recordings) = recordings() else {
        writeln!(std::io::stderr(), "skipped: what_is_called_recorded_was_recorded_so: FELHOM_FACTS names no folder with recordings").unwrap();
        return;
    };
    let catalogue = Catalogue::of(Product::Pve).unwrap();
    let (mut compared, mut never) = (0, Vec::new());
    for question in catalogue.questions() {
        let Evidence::Recorded(names) = &question.evidence else {
            continue;
        };
        for name in names {
            assert!(recordings.contains_key(name), "{}: {name}", question.name);
        }
        let mut exchanges = names.iter().flat_map(|name| &recordings[name]);
        if !exchanges.any(|exchange| question_fits(question, exchange)) {
            never.push(question.name.as_str());
        }
        compared += 1;
    }
    assert!(never.is_empty(), "expected but never recorded: {never:?}");
    assert!(compared > 150, "{compared}");
}

fn question_fits(question: &felhom_contract::Question, exchange: &Value) -> bool {
    let mut known = question.expected();
    // Names of ours for what is not there, or is there for the run only.
    for name in ["felhom-contract-dir", "felhom-none"] {
        known.text = known.text.map(|text| text.replace(name, "*"));
    }
    if exchange["status"] != known.status {
        return false;
    }
    let text = exchange["body"]["message"].as_str();
    let text = text.or(exchange["reason"].as_str()).unwrap_or_default();
    let fits = |pattern: &Option<String>, came: Option<&str>| match pattern {
        Some(pattern) => came.is_some_and(|came| matches(pattern, came.trim_end())),
        None => true,
    };
    let errors = known.errors.iter().all(|(parameter, pattern)| {
        let came = exchange["body"]["errors"][parameter].as_str();
        fits(&Some(pattern.clone()), came)
    });
    let exit = exchange["task"]["exitstatus"].as_str();
    // The end of some tasks was not recorded.
    let ended = exit.is_none() || fits(&known.exit, exit);
    let upid = exchange["body"]["data"].as_str();
    let started = upid.is_some_and(|data| data.starts_with("UPID:"));
    fits(&known.text, Some(text)) && errors && ended && started == known.exit.is_some()
}

/// The file that an admin copies is a target as soon as its secrets are there.
#[test]
fn the_example_is_a_target() {
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("pve.toml");
    std::fs::write(&path, include_str!("../../targets/example.toml")).unwrap();
    for name in ["root", "root-token", "agent", "self-backup", "restore-test"] {
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).mode(0o600);
        drop(options.open(dir.path().join(name)).unwrap());
    }
    let target = Target::read(&path).unwrap();
    assert_eq!(target.url(), "https://192.0.2.10:8006");
    let text = std::fs::read_to_string(&path).unwrap();
    for (from, to) in [
        ("https://", "http://"),
        ("9001 #", "9105 #"),
        ("node = \"pve\"", "node = \"p v e\""),
        ("vm = 9000", "vm = 9000\nwm = 9000"),
    ] {
        std::fs::write(&path, text.replace(from, to)).unwrap();
        assert!(Target::read(&path).is_err(), "{to}");
    }
}
