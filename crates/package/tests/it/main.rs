//! What stands in the package: units that hold, pages for every command, a configuration that is the default one.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_types,
    reason = "helpers of tests may fail loudly, and ask systemd and a shell"
)]

mod generated;
mod install;
mod scripts;
mod units;

use std::io::Write;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// Says that a test was not run, and why.
fn skipped(name: &str, why: &str) {
    let line = format!("skipped: {name}: {why}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}
