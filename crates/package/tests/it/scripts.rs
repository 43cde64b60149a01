//! The maintainer scripts: what dpkg calls them with, played by a shell with stand-ins for the system's programs.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::{read, root};

/// What a script called, when systemd says of the running pass what `state` says; and its exit code with what it printed.
fn play(script: &str, argument: &str, state: &str) -> (Vec<String>, i32, String) {
    let above = tempfile::tempdir().unwrap();
    let log = above.path().join("log");
    for program in [
        "systemctl",
        "deb-systemd-helper",
        "deb-systemd-invoke",
        "systemd-sysusers",
        "systemd-tmpfiles",
        "rm",
        "rmdir",
    ] {
        let path = above.path().join(program);
        let says = if program == "systemctl" { state } else { "" };
        let text = format!(
            "#!/bin/sh\necho \"{program} $*\" >>{}\necho {says}\n",
            log.display()
        );
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    // As on a machine that systemd has booted, with nothing of ours in /etc.
    let text = read(&format!("packaging/debian/{script}"))
        .replace("/run/systemd/system", above.path().to_str().unwrap())
        .replace(
            "/usr/bin/deb-systemd-helper",
            above.path().join("deb-systemd-helper").to_str().unwrap(),
        )
        .replace("/etc/felhom", above.path().join("etc").to_str().unwrap());
    let copy = above.path().join("script");
    std::fs::write(&copy, text).unwrap();
    let path = format!("{}:/usr/bin:/bin", above.path().display());
    let ran = Command::new("sh")
        .arg(&copy)
        .arg(argument)
        .env("PATH", path)
        .output()
        .unwrap();
    let said = String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap();
    let called = std::fs::read_to_string(&log).unwrap_or_default();
    (
        called.lines().map(str::to_owned).collect(),
        ran.status.code().unwrap(),
        said,
    )
}

#[test]
fn an_upgrade_stops_nothing() {
    let (called, code, _) = play("prerm", "upgrade", "activating");
    assert_eq!((called, code), (Vec::new(), 0));
    let (called, code, said) = play("postinst", "configure", "active");
    assert_eq!(code, 0, "{said}");
    assert!(
        called
            .iter()
            .any(|call| call.starts_with("deb-systemd-invoke start felhom-agent.timer")),
        "{called:?}"
    );
    let broken_off = |call: &&String| {
        // The metrics' endpoint only reads, and its socket keeps who asks.
        !call.ends_with(" felhom-metrics.service")
            && (call.contains(" stop") || call.contains("restart"))
    };
    assert_eq!(called.iter().find(broken_off), None);
}

#[test]
fn after_installing_the_next_command_is_said() {
    let (called, _, said) = play("postinst", "configure", "inactive");
    assert!(said.contains("felhom-agent enroll pve"), "{said}");
    assert!(
        called.contains(&"systemd-sysusers felhom-agent.conf".to_owned()),
        "{called:?}"
    );
}

#[test]
fn a_removal_waits_for_a_pass_to_end_and_stops_what_does_not_run() {
    let (called, code, said) = play("prerm", "remove", "activating");
    assert_eq!(code, 1);
    assert!(
        said.contains("a pass is running") && said.contains("restore-test reap"),
        "{said}"
    );
    assert!(
        !called.iter().any(|call| call.contains(" stop")),
        "{called:?}"
    );
    let (called, code, _) = play("prerm", "remove", "inactive");
    assert_eq!(code, 0);
    let stopped = called
        .iter()
        .find(|call| call.starts_with("deb-systemd-invoke stop"))
        .unwrap();
    for unit in std::fs::read_dir(root().join("packaging/systemd")).unwrap() {
        let unit = unit.unwrap().file_name().into_string().unwrap();
        assert!(stopped.contains(&unit), "{unit} is not stopped");
    }
}

#[test]
fn only_a_purge_removes_secrets_and_no_script_ever_names_an_archive() {
    let (called, _, _) = play("postrm", "remove", "inactive");
    assert!(
        !called.iter().any(|call| call.starts_with("rm")),
        "{called:?}"
    );
    let (called, code, said) = play("postrm", "purge", "inactive");
    assert_eq!(code, 0, "{said}");
    let removed: Vec<&String> = called
        .iter()
        .filter(|call| call.starts_with("rm "))
        .collect();
    for gone in ["/var/lib/felhom-agent", "/credentials", "/agent.toml"] {
        assert!(
            removed.iter().any(|call| call.contains(gone)),
            "{removed:?}"
        );
    }
    assert!(said.contains("backups are not touched"), "{said}");
    for script in ["postinst", "prerm", "postrm"] {
        let text = read(&format!("packaging/debian/{script}"));
        assert!(
            !text.contains("vzdump") && !text.contains("/var/lib/vz") && !text.contains("/mnt"),
            "{script}"
        );
        let mode = std::fs::metadata(Path::new(&root()).join("packaging/debian").join(script))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o111, 0o111, "{script} is not executable");
    }
}
