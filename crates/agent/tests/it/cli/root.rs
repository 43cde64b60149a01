//! Started as root on a box without its user, the program says so.

use std::io::Write;
use std::path::Path;

use felhom_agent::exit::Exit;

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn root_enrols_by_no_configuration_that_somebody_else_can_write() {
    if !rustix::process::geteuid().is_root() {
        let name = "root_enrols_by_no_configuration_that_somebody_else_can_write";
        let line = format!("skipped: {name}: this is not root");
        return writeln!(std::io::stderr(), "{line}").unwrap();
    }
    let bench = Bench::new().await;
    let args = ["enroll", "pve"];
    let plan = bench.run(&args).await;
    assert_eq!(plan.exit, Exit::Done, "{}", plan.text());
    let theirs = || std::os::unix::fs::chown(&bench.config, Some(12345), None).unwrap();
    let open = || {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
        std::os::unix::fs::chown(&bench.config, Some(0), None).unwrap();
        std::fs::set_permissions(&bench.config, mode).unwrap();
    };
    let ways: [&dyn Fn(); 2] = [&theirs, &open];
    for make in ways {
        make();
        for args in [&args[..], &["enroll", "pve", "--remove"]] {
            let ran = bench.run(args).await;
            assert_eq!(ran.exit, Exit::Configuration, "{}", ran.text());
            assert!(
                ran.text().contains("somebody else can write"),
                "{}",
                ran.text()
            );
        }
    }
}
