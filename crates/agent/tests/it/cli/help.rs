//! Every command explains itself.

use std::collections::BTreeSet;
use std::path::Path;

use clap::CommandFactory;
use felhom_agent::cli::Cli;
use felhom_agent::exit::Exit;

use crate::support::*;

/// The interface; adding a command means adding it here.
const COMMANDS: [&str; 73] = [
    "",
    "backup",
    "backup list",
    "backup proof",
    "backup prune",
    "backup run",
    "config",
    "config check",
    "config show",
    "enroll",
    "enroll pbs",
    "enroll pve",
    "doctor",
    "findings",
    "findings explain",
    "findings suppress",
    "golden",
    "golden create",
    "golden list",
    "guests",
    "host",
    "host config",
    "host devices",
    "host sensors",
    "kit",
    "kit print",
    "metrics",
    "metrics print",
    "metrics serve",
    "notify",
    "notify list",
    "notify test",
    "pbs",
    "pbs audit",
    "pbs kit",
    "pbs snapshots",
    "pbs verify",
    "provision",
    "report",
    "restore",
    "restore list",
    "restore plan",
    "restore run",
    "restore-test",
    "restore-test list",
    "restore-test reap",
    "restore-test run",
    "run",
    "selftest",
    "selftest restore-test",
    "selftest task",
    "snapshot",
    "snapshot guard",
    "snapshot guard 9001 abort",
    "snapshot guard 9001 begin",
    "snapshot guard 9001 confirm",
    "snapshot list",
    "snapshot settle",
    "status",
    "storage",
    "storage adopt",
    "storage eject",
    "storage list",
    "task",
    "task watch",
    "trust",
    "trust repin",
    "trust rotate",
    "trust show",
    "volumes",
    "volumes import",
    "volumes plan",
    "volumes show",
];

/// Words of a command and what clap knows of it.
fn walk(words: &[&str], command: &clap::Command, seen: &mut Vec<(Vec<String>, clap::Command)>) {
    seen.push((
        words.iter().map(|word| (*word).to_owned()).collect(),
        command.clone(),
    ));
    for below in command.get_subcommands() {
        // What a command wants to know comes before what is below it.
        let known = command.get_positionals().map(|_| "9001");
        let words = words.iter().copied().chain(known).chain([below.get_name()]);
        let words: Vec<&str> = words.collect();
        walk(&words, below, seen);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_help_of_every_command_names_its_arguments_and_what_they_are_for() {
    let mut seen = Vec::new();
    walk(&[], &Cli::command(), &mut seen);
    let known: BTreeSet<String> = seen.iter().map(|(words, _)| words.join(" ")).collect();
    assert_eq!(known, COMMANDS.map(str::to_owned).into());
    for (words, command) in seen {
        let args: Vec<&str> = words.iter().map(String::as_str).chain(["--help"]).collect();
        let child = program(Path::new("/nonexistent"), &args).spawn().unwrap();
        let output = child.wait_with_output().unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{words:?}"
        );
        assert!(help.contains("Usage: felhom-agent"), "{words:?}: {help}");
        let about = command
            .get_about()
            .unwrap_or_else(|| panic!("{words:?} says nothing of itself"));
        assert!(
            help.contains(about.to_string().split(' ').next().unwrap()),
            "{words:?}"
        );
        for argument in command.get_arguments() {
            let name = match argument.get_long() {
                Some(long) => format!("--{long}"),
                None => argument.get_id().as_str().to_uppercase(),
            };
            assert!(help.contains(&name), "{words:?}: `{name}` is not in {help}");
            assert!(
                argument.get_help().is_some(),
                "{words:?}: `{name}` is not explained"
            );
        }
        for below in command.get_subcommands() {
            assert!(help.contains(below.get_name()), "{words:?}: {help}");
        }
        for line in help.lines() {
            assert!(line.chars().count() <= 100, "{words:?}: {line}");
        }
    }
}

#[test]
fn exit_codes_are_the_documented_ones() {
    let documented = [
        (Exit::Done, 0),
        (Exit::Unexpected, 1),
        (Exit::Usage, 2),
        (Exit::Findings, 3),
        (Exit::Refused, 4),
        (Exit::NoSuchThing, 5),
        (Exit::TaskFailed, 6),
        (Exit::Remote, 7),
        (Exit::Undetermined, 8),
        (Exit::VerdictFailed, 10),
        (Exit::VerdictError, 11),
        (Exit::Busy, 75),
        (Exit::Permission, 77),
        (Exit::Configuration, 78),
    ];
    for (exit, code) in documented {
        assert_eq!(exit.code(), code, "{exit:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_version_is_printed() {
    let mut command = program(Path::new("/nonexistent"), &["--version"]);
    let output = command.spawn().unwrap().wait_with_output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        printed.trim(),
        format!("felhom-agent {}", env!("CARGO_PKG_VERSION"))
    );
}
