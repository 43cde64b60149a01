//! Pages, completions, the example of a configuration, the bill of materials.

use std::collections::BTreeSet;
use std::path::Path;

use felhom_agent::config;
use felhom_package::{agent, completions, example, man, sbom};
use serde_json::{Value, json};

use crate::read;

/// The agent's commands as the names of their pages.
fn commands(name: &str, command: &clap::Command, into: &mut BTreeSet<String>) {
    into.insert(format!("{name}.8"));
    for below in command.get_subcommands() {
        if below.get_name() != "help" {
            commands(&format!("{name}-{}", below.get_name()), below, into);
        }
    }
}

fn files(directory: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn every_command_has_a_page_that_says_how_it_is_called() {
    let directory = tempfile::tempdir().unwrap();
    man::write(directory.path()).unwrap();
    let mut wanted = BTreeSet::new();
    commands("felhom-agent", &agent(), &mut wanted);
    assert!(wanted.len() > 50, "{wanted:?}");
    assert_eq!(files(directory.path()), wanted);
    for page in wanted {
        let text = std::fs::read_to_string(directory.path().join(&page)).unwrap();
        for section in [".SH NAME", ".SH SYNOPSIS", ".SH DESCRIPTION"] {
            assert!(text.contains(section), "{page} has no {section}");
        }
    }
    let page = std::fs::read_to_string(directory.path().join("felhom-agent-backup-run.8"));
    assert!(page.unwrap().contains("\\-\\-mode"));
}

#[test]
fn each_shell_completes_every_command() {
    let directory = tempfile::tempdir().unwrap();
    completions::write(directory.path()).unwrap();
    assert_eq!(files(directory.path()).len(), completions::SHELLS.len());
    for (shell, file) in completions::SHELLS {
        let text = std::fs::read_to_string(directory.path().join(file)).unwrap();
        for below in agent().get_subcommands() {
            let name = below.get_name();
            assert!(text.contains(name), "{shell} does not know `{name}`");
        }
        assert!(text.contains("dry-run"), "{shell} knows no options");
    }
}

/// The example with the `#` taken away from every setting.
fn uncommented(example: &str) -> String {
    let is_setting =
        |rest: &str| rest.starts_with(|first: char| first.is_ascii_lowercase() || first == '[');
    let lines = example.lines().map(|line| match line.strip_prefix('#') {
        Some(rest) if is_setting(rest) => rest,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_example_is_the_default_configuration_and_names_every_key() {
    let page = read("docs/reference/configuration.md");
    let example = example::example(&page).unwrap();
    let path = Path::new("/etc/felhom/agent.toml");
    let plain = config::parse(path, &example).unwrap();
    let all = uncommented(&example);
    assert!(all.contains("\n[restore-test.floors]\n"), "{all}");
    let filled = config::parse(path, &all).unwrap();
    assert_eq!(
        plain.shown(),
        filled.shown(),
        "a setting of the example is not the default"
    );
    let settings = |text: &str| {
        let keys = text.lines().filter(|line| line.contains(" = "));
        keys.count()
    };
    let rows = page.lines().filter(|line| line.starts_with("| `")).count();
    assert!(
        settings(&example) >= rows,
        "{} of {rows}",
        settings(&example)
    );
    assert!(example.lines().all(|line| line.chars().count() <= 115));
}

#[test]
fn the_bill_has_what_is_linked_and_not_what_tests_and_build_scripts_need() {
    let package =
        |id: &str| json!({ "id": id, "name": id, "version": "1.0.0", "license": "MIT/Apache-2.0" });
    let edge = |to: &str, kind: Value| json!({ "pkg": to, "dep_kinds": [{ "kind": kind }] });
    let node = |id: &str, deps: Vec<Value>| json!({ "id": id, "deps": deps });
    let all = [
        "felhom-agent",
        "felhom-host",
        "serde",
        "cc",
        "proptest",
        "memchr",
    ];
    let packages = all.map(package);
    let metadata = json!({
        "packages": packages,
        "resolve": { "nodes": [
            node("felhom-agent", vec![
                edge("serde", Value::Null), edge("cc", json!("build")), edge("proptest", json!("dev")),
            ]),
            node("felhom-host", vec![edge("serde", Value::Null)]),
            node("serde", vec![edge("memchr", Value::Null)]),
            node("memchr", vec![]),
        ] },
    });
    let bill = sbom::bill(&metadata).unwrap();
    let components = bill["components"].as_array().unwrap();
    let names: Vec<&str> = components
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["felhom-agent", "felhom-host", "memchr", "serde"]);
    assert_eq!(bill["components"][3]["purl"], "pkg:cargo/serde@1.0.0");
    assert_eq!(
        bill["components"][3]["licenses"][0]["expression"],
        "MIT OR Apache-2.0"
    );
    let serde = bill["dependencies"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["ref"] == "pkg:cargo/serde@1.0.0");
    assert_eq!(
        serde.unwrap()["dependsOn"],
        json!(["pkg:cargo/memchr@1.0.0"])
    );
    assert!(sbom::bill(&json!({})).is_err());
}
