//! The units: systemd takes them, what they may is little, and they call commands that there are.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use clap::Parser;

use crate::{read, root, skipped};

/// The most that `systemd-analyze security` may say of a unit of the agent.
const MOST: f64 = 1.5;

fn units(ending: &str) -> Vec<String> {
    let directory = std::fs::read_dir(root().join("packaging/systemd")).unwrap();
    let names = directory.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(ending)).collect();
    names.sort();
    names
}

/// What `systemd-analyze` says, and whether it was content; `None` where there is none.
fn analyze(args: &[&str]) -> Option<(String, bool)> {
    let ran = Command::new("systemd-analyze")
        .args(args)
        .env("SYSTEMD_COLORS", "0")
        .output()
        .ok()?;
    let text = [ran.stdout, ran.stderr].concat();
    Some((String::from_utf8(text).unwrap(), ran.status.success()))
}

fn version() -> Option<String> {
    let (text, _) = analyze(&["--version"])?;
    Some(text.split_whitespace().nth(1)?.to_owned())
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    if version().is_none() {
        return skipped(
            "systemd_finds_nothing_wrong_with_the_units",
            "there is no systemd-analyze",
        );
    }
    // The programs are not installed here; everything else is as it is shipped.
    let directory = tempfile::tempdir().unwrap();
    for unit in units("") {
        let text = read(&format!("packaging/systemd/{unit}"));
        let lines = text
            .lines()
            .map(|line| match line.strip_prefix("ExecStart=") {
                Some(_) => "ExecStart=/bin/true",
                None => line,
            });
        let text: String = lines.flat_map(|line| [line, "\n"]).collect();
        std::fs::write(directory.path().join(&unit), text).unwrap();
    }
    assert!(units("").len() >= 8);
    for unit in units("") {
        let path = directory.path().join(&unit);
        let (said, content) = analyze(&["verify", "--man=no", path.to_str().unwrap()]).unwrap();
        // What it thinks of the machine's own units is not ours.
        let ours: Vec<&str> = said
            .lines()
            .filter(|line| line.contains("felhom"))
            .collect();
        assert!(ours.is_empty(), "{unit}: {said}");
        assert!(content || !said.is_empty(), "{unit}");
    }
}

/// The last line's number: `→ Overall exposure level for X: 1.2 OK`.
fn exposure(unit: &str) -> String {
    let path = root().join("packaging/systemd").join(unit);
    let (said, _) = analyze(&[
        "security",
        "--offline=true",
        "--no-pager",
        path.to_str().unwrap(),
    ])
    .unwrap();
    let line = said
        .lines()
        .find(|line| line.contains("Overall exposure level"))
        .unwrap();
    let (_, rest) = line.split_once(": ").unwrap();
    rest.split_whitespace().next().unwrap().to_owned()
}

#[test]
fn the_exposure_of_each_service_is_the_recorded_one_and_the_agents_is_small() {
    let name = "the_exposure_of_each_service_is_the_recorded_one_and_the_agents_is_small";
    let Some(version) = version() else {
        return skipped(name, "there is no systemd-analyze");
    };
    let page = read("docs/reference/exposure.md");
    let mut table = String::new();
    for unit in units(".service") {
        let found = exposure(&unit);
        let number: f64 = found.parse().unwrap();
        assert!(
            unit == "felhom-hostd.service" || number <= MOST,
            "{unit}: {number}"
        );
        writeln!(table, "| `{unit}` | {found} |").unwrap();
    }
    if !page.contains(&format!("systemd {version} says")) {
        return skipped(
            name,
            &format!("the page records what another systemd than {version} says; the limit holds"),
        );
    }
    assert!(
        page.contains(&table),
        "docs/reference/exposure.md must have:\n{table}"
    );
}

/// Each with its reason in the unit.
const OF_ROOT: [&str; 21] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_KILL",
    "CAP_LINUX_IMMUTABLE",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_ADMIN",
    "CAP_SYS_CHROOT",
    "CAP_SYS_NICE",
    "CAP_SYS_PTRACE",
    "CAP_SYS_RESOURCE",
];

#[test]
fn the_helper_keeps_the_capabilities_that_its_operations_need_and_no_other() {
    let text = read("packaging/systemd/felhom-hostd.service");
    let mut kept: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("CapabilityBoundingSet="))
        .flat_map(str::split_whitespace)
        .collect();
    kept.sort_unstable();
    assert_eq!(kept, OF_ROOT);
}

#[test]
fn the_units_call_the_programs_where_they_are_installed_with_commands_that_there_are() {
    let manifest: toml::Table = read("crates/package/Cargo.toml").parse().unwrap();
    let assets = manifest["package"]["metadata"]["deb"]["assets"]
        .as_array()
        .unwrap()
        .clone();
    let installed = |program: &str| {
        let (directory, file) = program.rsplit_once('/').unwrap();
        assets.iter().any(|asset| {
            let from = asset[0].as_str().unwrap();
            from.ends_with(&format!("/{file}"))
                && asset[1].as_str().unwrap() == format!("{}/", directory.trim_start_matches('/'))
        })
    };
    for unit in units(".service") {
        let text = read(&format!("packaging/systemd/{unit}"));
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("ExecStart="))
            .unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        assert!(
            installed(words[0]),
            "{unit}: {} is not in the package",
            words[0]
        );
        if words[0].ends_with("felhom-agent") {
            let parsed = felhom_agent::cli::Cli::try_parse_from(&words);
            assert!(parsed.is_ok(), "{unit}: {}", parsed.unwrap_err());
        }
    }
}

#[test]
fn what_is_unprivileged_runs_as_the_packages_user_and_gets_every_secret_by_systemd() {
    let user = felhom_agent::privilege::USER;
    for unit in units(".service") {
        let text = read(&format!("packaging/systemd/{unit}"));
        let has = |line: &str| text.lines().any(|found| found == line);
        if unit == "felhom-hostd.service" {
            assert!(has("User=root"));
            // A mount namespace of its own would keep what it mounts from the host.
            for ours in [
                "Protect",
                "Private",
                "ReadOnly",
                "ReadWrite",
                "Inaccessible",
                "TemporaryFile",
                "BindPaths",
            ] {
                assert!(
                    !text.lines().any(|line| line.starts_with(ours)),
                    "{unit}: {ours}"
                );
            }
            continue;
        }
        assert!(has(&format!("User={user}")), "{unit}");
        assert!(
            has("LoadCredential=felhom:/etc/felhom/credentials"),
            "{unit}"
        );
        assert!(has("CapabilityBoundingSet="), "{unit}");
        assert!(
            !text.contains("IPAddressAllow")
                || has("PrivateNetwork=yes")
                || text.contains("# What it may"),
            "{unit}"
        );
    }
    let socket = read("packaging/systemd/felhom-hostd.socket");
    assert!(socket.contains(&format!("SocketUser={user}\n")));
    let made = read("packaging/sysusers.d/felhom-agent.conf");
    assert!(made.contains(user) && Path::new("/var/lib/felhom-agent").starts_with("/var/lib"));
}
