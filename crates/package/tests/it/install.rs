//! The way from a bare Debian to a proven backup, in a root in which systemd is booted.

use std::process::Command;

use crate::{root, skipped};

/// Builds two packages and boots a machine, so that only who asks for it waits: `.ci/run` calls the script by itself.
#[test]
fn a_bare_debian_ends_with_a_weekly_proof_and_a_purge_leaves_what_is_promised() {
    let name = "a_bare_debian_ends_with_a_weekly_proof_and_a_purge_leaves_what_is_promised";
    if std::env::var_os("FELHOM_PACKAGE_TEST").is_none() {
        return skipped(
            name,
            "FELHOM_PACKAGE_TEST is not set; `packaging/test/install` by itself, or `.ci/run`, runs it",
        );
    }
    let ran = Command::new(root().join("packaging/test/install"))
        .status()
        .unwrap();
    match ran.code() {
        Some(77) => skipped(name, "the script said above what it lacks"),
        code => assert_eq!(code, Some(0), "packaging/test/install"),
    }
}
