//! The reference pages hold what the program has: every configuration key with its default, every finding, every exit code.
//! And the pages' links lead somewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use felhom_agent::config;
use felhom_engine::codes;
use serde_json::Value;

/// The rows of a page's tables, by the first cell without its backticks.
fn rows(page: &str) -> BTreeMap<String, Vec<String>> {
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference");
    let text = std::fs::read_to_string(above.join(page)).unwrap();
    let table = text.lines().filter(|line| line.starts_with("| "));
    table
        .map(|line| {
            let inner = line.trim_matches('|');
            let cells: Vec<String> = inner.split('|').map(|c| c.trim().to_owned()).collect();
            (cells[0].trim_matches('`').to_owned(), cells)
        })
        .filter(|(first, _)| !["key", "code"].contains(&first.as_str()))
        .collect()
}

const LEAST: &str = "node = \"pve\"\n\
                     pve = { url = \"https://127.0.0.1:8006\", insecure = true }\n\
                     [principals.agent]\n\
                     token = \"agent@pve!agent\"\n\
                     secret_file = \"secret\"\n";

const PBS: &str = "[pbs.offsite]\n\
                   url = \"https://192.168.0.180\"\n\
                   ca_file = \"ca.pem\"\n\
                   datastore = \"store\"\n\
                   token = \"felhom@pbs!agent\"\n\
                   secret_file = \"secret\"\n";

/// The places of the file where keys may stand, each with the beginning of a file that ends in that place.
const PLACES: [(&str, &str); 22] = [
    ("", ""),
    ("pve.", "[pve]\n"),
    ("principals.NAME.", "[principals.agent]\n"),
    ("principals.NAME.", "[principals.restore-test]\n"),
    ("principals.NAME.", "[principals.restore]\n"),
    ("backup.", "[backup]\n"),
    ("restore-test.", "[restore-test]\n"),
    ("restore-test.floors.", "[restore-test.floors]\n"),
    ("snapshot-guard.", "[snapshot-guard]\n"),
    ("archives[].", "[[archives]]\n"),
    ("volumes.", "[volumes]\n"),
    ("volumes.rules[].", "[[volumes.rules]]\n"),
    (
        "volumes.rules[].accepted_loss.",
        "[[volumes.rules]]\n[volumes.rules.accepted_loss]\n",
    ),
    ("pbs.STORAGE.", "[pbs.offsite]\n"),
    ("host.", "[host]\n"),
    ("targets.", "[targets]\n"),
    ("limits.", "[limits]\n"),
    ("metrics.", "[metrics]\n"),
    ("schedule.", "[schedule]\n"),
    ("notify.", "[notify]\n"),
    ("notify.channels[].", "[[notify.channels]]\n"),
    ("notify.ping.", "[notify.ping]\n"),
];

/// The keys that the program knows at a place: it names them all when it refuses another one.
fn known(beginning: &str) -> Vec<String> {
    let text = format!("{beginning}no-such-key = 1\n");
    let refused = config::parse(Path::new("/agent.toml"), &text).unwrap_err();
    let refused = refused.to_string();
    let (_, expected) = refused.split_once("expected ").unwrap();
    expected
        .split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_page_has_every_key_of_the_configuration_and_no_other() {
    let page = rows("configuration.md");
    // What holds other keys is no key of its own.
    let sections = [
        "pve",
        "principals",
        "backup",
        "restore-test",
        "floors",
        "snapshot-guard",
        "archives",
        "volumes",
        "rules",
        "accepted_loss",
        "pbs",
        "host",
        "targets",
        "limits",
        "metrics",
        "schedule",
        "notify",
        "channels",
        "ping",
    ];
    let mut all = BTreeSet::new();
    for (prefix, beginning) in PLACES {
        let keys = known(beginning).into_iter();
        // `schedule.backup` is a key, `backup` a section.
        let keys = keys.filter(|key| prefix == "schedule." || !sections.contains(&key.as_str()));
        all.extend(keys.map(|key| format!("{prefix}{key}")));
    }
    assert!(all.len() > 50, "{all:?}");
    let written: BTreeSet<String> = page.into_keys().collect();
    assert_eq!(written, all);
}

#[test]
fn every_key_that_config_show_prints_stands_in_the_page_with_its_default() {
    let page = rows("configuration.md");
    let text = format!("{LEAST}{PBS}");
    let config = config::parse(Path::new("/etc/felhom/agent.toml"), &text).unwrap();
    let mut shown = BTreeMap::new();
    flatten("", &config.shown(), &mut shown);
    let mut compared = 0;
    for (key, value) in shown {
        let named = ["agent", "restore-test"].iter().fold(key, |key, name| {
            key.replace(&format!("principals.{name}."), "principals.NAME.")
        });
        let named = named.replace("pbs.offsite.", "pbs.STORAGE.");
        let row = page
            .get(&named)
            .unwrap_or_else(|| panic!("`{named}` is not in the page"));
        if row[1].starts_with('(') {
            continue;
        }
        assert_eq!(row[1].trim_matches('`'), value, "the default of `{named}`");
        compared += 1;
    }
    assert!(compared > 30, "{compared} defaults are in the page");
}

fn flatten(prefix: &str, value: &Value, into: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let dot = if prefix.is_empty() { "" } else { "." };
                flatten(&format!("{prefix}{dot}{key}"), value, into);
            }
        }
        Value::Array(all) => {
            for value in all {
                flatten(&format!("{prefix}[]"), value, into);
            }
        }
        Value::String(text) => drop(into.insert(prefix.to_owned(), text.clone())),
        Value::Null | Value::Bool(_) | Value::Number(_) => {
            into.insert(prefix.to_owned(), value.to_string());
        }
    }
}

#[test]
fn every_finding_stands_in_the_page_with_its_severity_its_meaning_and_what_to_do() {
    let mut page = rows("findings.md");
    for code in codes::ALL {
        let row = page
            .remove(code.name)
            .unwrap_or_else(|| panic!("`{}` is not in the page", code.name));
        assert_eq!(row[1], code.severity.to_string(), "{}", code.name);
        assert_eq!(row[2], code.meaning, "{}", code.name);
        assert!(row[3].len() > 5, "{}: nothing to do", code.name);
    }
    assert!(page.is_empty(), "the program does not know {page:?}");
}

#[test]
fn the_exit_codes_stand_in_the_page_in_ascending_order() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/exit-codes.md");
    let text = std::fs::read_to_string(path).unwrap();
    let written: Vec<u8> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(' ').next()?.parse().ok())
        .collect();
    assert_eq!(written, [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 75, 77, 78]);
}

/// Every page of the repository.
fn pages(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            pages(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
}

/// A heading as links name it.
fn anchor(heading: &str) -> String {
    let heading = heading.trim_start_matches('#').trim().to_lowercase();
    heading
        .chars()
        .filter(|c| c.is_alphanumeric() || *c == ' ' || *c == '-')
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

#[test]
fn every_link_of_the_pages_leads_somewhere() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut all = Vec::new();
    pages(&top.join("docs"), &mut all);
    for page in [
        "README",
        "ARCHITECTURE",
        "CHANGELOG",
        "CONTRIBUTING",
        "SECURITY",
    ] {
        all.push(top.join(format!("{page}.md")));
    }
    let mut followed = 0;
    for page in all {
        let text = std::fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1) {
            let link = link.split(')').next().unwrap();
            if link.contains("://") {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => page.clone(),
                file => page.parent().unwrap().join(file),
            };
            let there = std::fs::read_to_string(&target);
            let there = there.unwrap_or_else(|error| panic!("{}: {link}: {error}", page.display()));
            let mut headings = there.lines().filter(|line| line.starts_with('#'));
            assert!(
                heading.is_empty() || headings.any(|line| anchor(line) == heading),
                "{}: {link}: no such heading",
                page.display()
            );
            followed += 1;
        }
    }
    assert!(followed > 30, "{followed} links");
}
