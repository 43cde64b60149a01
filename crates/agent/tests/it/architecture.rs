//! Who may depend on whom, and the shape of the house: read from the manifests and the tree, so that it stays true.

mod fences;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

/// Crate → our crates that its product code may use. Tests may use the simulator besides.
fn allowed() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    [
        ("ids", vec![]),
        ("engine", vec!["ids"]),
        ("proxmox", vec!["ids"]),
        // The interface of the fence is our own, so that the simulator answers the very same operations.
        ("simulator", vec!["host"]),
        ("host", vec!["ids"]),
        ("protocol", vec!["ids"]),
        (
            "agent",
            vec!["ids", "engine", "protocol", "proxmox", "host"],
        ),
        // What the servers' admins do in the story it does as they would, through the client.
        ("demo", vec!["agent", "proxmox", "simulator"]),
        ("contract", vec!["ids"]),
        // Its pages are generated from the agent's command line.
        ("package", vec!["agent"]),
        (
            "fuzzing",
            vec!["ids", "engine", "protocol", "proxmox", "agent", "host"],
        ),
    ]
    .into_iter()
    .map(|(name, uses)| (name, uses.into_iter().collect()))
    .collect()
}

fn manifest(name: &str) -> toml::Table {
    let path = root().join("crates").join(name).join("Cargo.toml");
    std::fs::read_to_string(path).unwrap().parse().unwrap()
}

fn ours(manifest: &toml::Table, section: &str) -> BTreeSet<String> {
    let Some(table) = manifest.get(section).and_then(toml::Value::as_table) else {
        return BTreeSet::new();
    };
    table
        .keys()
        .filter_map(|name| name.strip_prefix("felhom-"))
        .map(str::to_owned)
        .collect()
}

fn crates() -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(root().join("crates"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_library_depends_on_ids_and_only_programs_compose() {
    let allowed = allowed();
    for name in crates() {
        let may = allowed
            .get(name.as_str())
            .unwrap_or_else(|| panic!("`{name}` is not in the table of allowed edges"));
        let manifest = manifest(&name);
        for used in ours(&manifest, "dependencies") {
            assert!(
                may.contains(used.as_str()),
                "`{name}` must not depend on `{used}`"
            );
        }
        for used in ours(&manifest, "dev-dependencies") {
            let fine = used == "simulator" || may.contains(used.as_str());
            assert!(fine, "the tests of `{name}` must not depend on `{used}`");
        }
    }
}

#[test]
fn the_pure_crates_cannot_do_io() {
    for name in ["ids", "engine", "protocol"] {
        let manifest = manifest(name);
        let dependencies = manifest["dependencies"].as_table().unwrap();
        for outside in ["tokio", "hyper", "sqlx", "rustls", "aws-lc-rs", "rand"] {
            assert!(
                !dependencies.contains_key(outside),
                "`{name}` must not depend on `{outside}`"
            );
        }
        for (path, text) in sources(name) {
            for outside in [
                "std::fs",
                "TcpStream",
                "UdpSocket",
                "std::env",
                "std::thread",
                "Instant::now",
                "SystemTime",
            ] {
                assert!(!text.contains(outside), "`{outside}` in {}", path.display());
            }
        }
    }
}

#[test]
fn only_the_journal_holds_sql_and_only_the_clock_reads_time() {
    for (path, text) in sources("agent") {
        let name = path
            .strip_prefix(root().join("crates/agent/src"))
            .unwrap()
            .to_owned();
        if !name.starts_with("journal") && name != Path::new("journal.rs") {
            assert!(!text.contains("sqlx::"), "SQL in {}", path.display());
        }
        if name != Path::new("clock.rs") {
            assert!(
                !text.contains("SystemTime"),
                "wall-clock time in {}",
                path.display()
            );
        }
    }
}

#[test]
fn the_simulator_shares_no_type_with_our_client() {
    for (path, text) in sources("simulator") {
        for ours in [
            "felhom_ids",
            "felhom_proxmox",
            "felhom_engine",
            "felhom_protocol",
            "felhom_agent",
        ] {
            assert!(!text.contains(ours), "{} uses {ours}", path.display());
        }
    }
}

#[test]
fn no_source_file_grows_out_of_hand() {
    for name in crates() {
        for (path, text) in sources(&name) {
            assert_ne!(path.file_name().unwrap(), "mod.rs", "{}", path.display());
            // Tests at the end of a file are left out.
            let product = text
                .split("#[cfg(test)]\nmod tests {")
                .next()
                .unwrap_or_default();
            let lines = product.lines().count();
            assert!(lines <= 600, "{} has {lines} lines", path.display());
            assert!(
                text.starts_with("//!"),
                "{} does not say what it is",
                path.display()
            );
        }
    }
}

fn sources(name: &str) -> Vec<(PathBuf, String)> {
    let mut all = Vec::new();
    walk(&root().join("crates").join(name).join("src"), &mut all);
    assert!(!all.is_empty(), "no sources of `{name}`");
    all
}

fn walk(directory: &Path, all: &mut Vec<(PathBuf, String)>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, all);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            all.push((path, text));
        }
    }
}
