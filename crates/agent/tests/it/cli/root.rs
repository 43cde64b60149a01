//! Started as root on a box without its user, the program says so.

use std::io::Write;
use std::path::Path;

use crate::support::*;

#[test]
fn who_runs_it_as_root_without_its_user_is_warned_once() {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
    let has_user = passwd.lines().any(|line| line.starts_with("felhom-agent:"));
    if !rustix::process::geteuid().is_root() || has_user {
        let why = "this is not root, or the user is there";
        let line = format!("skipped: who_runs_it_as_root_without_its_user_is_warned_once: {why}");
        return writeln!(std::io::stderr(), "{line}").unwrap();
    }
    let ran = program(
        Path::new("/nonexistent"),
        &["findings", "explain", "clock-off"],
    )
    .spawn()
    .unwrap()
    .wait_with_output()
    .unwrap();
    assert!(ran.status.success(), "{ran:?}");
    let told = String::from_utf8(ran.stderr).unwrap();
    let warned = told.matches("running as root, because there is no user `felhom-agent`");
    assert_eq!(warned.count(), 1, "{told}");
    assert!(told.contains("useradd --system"), "{told}");
}
