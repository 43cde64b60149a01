//! Unique secrets are planted wherever the agent meets some, and searched for wherever it leaves something behind.
//!
//! Run against the real program, with everything logged that can be logged.

use std::collections::BTreeMap;

use felhom_proxmox::pve::storage::SetVolumeAttributes;
use felhom_simulator::{Fault, FaultKind};
use serde_json::json;

use crate::support::*;

/// What was planted, by the place where it was.
struct Canaries {
    /// Never to be seen anywhere.
    tokens: BTreeMap<&'static str, String>,
    /// In the guest's environment, its description, a file's name and a file's content: the agent has no use for them.
    guest: BTreeMap<&'static str, String>,
    /// In the archive's notes: shown where notes are shown.
    notes: String,
    /// In the logs of tasks: shown where a log is followed.
    log: String,
}

fn unique(name: &str) -> String {
    let random = felhom_agent::clock::random::<16>().unwrap();
    format!("canary-{name}-{:032x}", u128::from_be_bytes(random))
}

impl Canaries {
    fn of(bench: &Bench) -> Self {
        let tokens = bench.world.tokens();
        Self {
            tokens: [
                (AGENT, tokens[AGENT].clone()),
                (TESTER, tokens[TESTER].clone()),
            ]
            .into(),
            guest: ["env", "description", "file", "content"]
                .map(|name| (name, unique(name)))
                .into(),
            notes: unique("notes"),
            log: unique("log"),
        }
    }

    async fn plant(&self, bench: &Bench) {
        let name = format!("root/{}", self.guest["file"]);
        let poked = json!({
            "set": {
                "env": format!("DB_PASSWORD={}", self.guest["env"]),
                "description": format!("the password is {}", self.guest["description"]),
            },
            "files": { name: self.guest["content"] },
        });
        bench.poke(9001, poked).await;
        for task in [
            "vzdump",
            "vzrestore",
            "vzstart",
            "vzstop",
            "vzdestroy",
            "vzsnapshot",
            "vzdelsnapshot",
        ] {
            let say = FaultKind::TaskSay {
                text: format!("INFO: adding {}", self.log),
            };
            bench.world.inject(Fault {
                count: None,
                ..Fault::task(task, say)
            });
        }
    }

    /// Every canary but those that may be in this place.
    fn all_but(&self, allowed: &[&String]) -> Vec<(String, &String)> {
        let tokens = self.tokens.iter().chain(&self.guest);
        let named = tokens.map(|(name, secret)| ((*name).to_owned(), secret));
        let rest = [
            ("notes".to_owned(), &self.notes),
            ("log".to_owned(), &self.log),
        ];
        named
            .chain(rest)
            .filter(|(_, secret)| !allowed.contains(secret))
            .collect()
    }

    fn assert_absent(&self, place: &str, bytes: &[u8], allowed: &[&String]) {
        for (name, secret) in self.all_but(allowed) {
            let found = bytes
                .windows(secret.len())
                .any(|window| window == secret.as_bytes());
            assert!(
                !found,
                "the canary of `{name}` is in {place}:\n{}",
                String::from_utf8_lossy(bytes)
            );
        }
    }

    /// Everything that the agent keeps: database, write-ahead log, shared memory, lock.
    fn assert_not_kept(&self, bench: &Bench, when: &str, allowed: &[&String]) {
        let Ok(entries) = std::fs::read_dir(bench.state_dir()) else {
            return;
        };
        for entry in entries {
            let path = entry.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            self.assert_absent(&format!("`{}` {when}", path.display()), &bytes, allowed);
        }
    }
}

/// Runs one command in all the ways that say something, and looks at what it said.
async fn speak(bench: &Bench, canaries: &Canaries, args: &[&str]) -> Vec<Output> {
    let text = say(bench, canaries, &["-vv"], args).await;
    vec![text, say(bench, canaries, &["-vvv", "--json"], args).await]
}

async fn say(bench: &Bench, canaries: &Canaries, flags: &[&str], args: &[&str]) -> Output {
    let line: Vec<&str> = flags.iter().chain(args).copied().collect();
    let output = bench.program(&line, "").await;
    // Notes are part of one document, and a log that is followed is narrated.
    let (shown, narrated): (&[&String], &[&String]) = match args {
        ["backup", "list", ..] => (&[&canaries.notes], &[]),
        ["task", "watch", ..] => (&[], &[&canaries.log]),
        _ => (&[], &[]),
    };
    canaries.assert_absent(
        &format!("stdout of {line:?}"),
        output.stdout.as_bytes(),
        shown,
    );
    canaries.assert_absent(
        &format!("stderr of {line:?}"),
        output.stderr.as_bytes(),
        narrated,
    );
    canaries.assert_not_kept(bench, &format!("after {line:?}"), &[]);
    output
}

/// Adds a line to an archive's notes, as a person would in the GUI.
async fn annotate(bench: &Bench, volid: &felhom_ids::VolumeId, line: &str) {
    let root = bench.root();
    let notes = root.volume(volid).await.unwrap().notes.unwrap_or_default();
    let change = SetVolumeAttributes {
        volume: volid.clone(),
        notes: Some(format!("{line}\n{notes}")),
        protected: None,
    };
    root.set_volume_attributes(&change).await.unwrap();
}

/// Restores a guest that stays, once and in vain.
async fn restored_for_good(bench: &Bench, canaries: &Canaries, volid: &str) {
    // Twice would be on top of the first.
    let run = [
        "restore",
        "run",
        volid,
        "--to",
        "9020",
        "--identity",
        "fresh",
    ];
    let restored = say(bench, canaries, &["-vvv", "--json"], &run).await;
    assert!(matches!(restored.exit, Some(0 | 3)), "{restored:?}");
    let again = say(bench, canaries, &["-vv"], &run).await;
    assert_eq!(again.exit, Some(4), "{again:?}");
    speak(bench, canaries, &["restore", "list"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_where_it_does_not_belong() {
    let bench = Bench::new().await;
    let canaries = Canaries::of(&bench);
    canaries.plant(&bench).await;

    let made = speak(&bench, &canaries, &["backup", "run", "9001"]).await;
    let volid = made[1].json()["data"]["volid"].as_str().unwrap().to_owned();
    let upid = made[1].json()["data"]["upid"].as_str().unwrap().to_owned();
    annotate(&bench, &volid.parse().unwrap(), &canaries.notes).await;
    let listed = bench.program(&["backup", "list"], "").await;
    assert!(
        listed.stdout.contains(&canaries.notes),
        "the canary of the notes is alive: {listed:?}"
    );
    let watched = bench.program(&["task", "watch", &upid], "").await;
    assert!(
        watched.stderr.contains(&canaries.log),
        "the canary of the logs is alive: {watched:?}"
    );

    for args in [
        &["status"][..],
        &["guests"],
        &["backup", "run", "9001", "--dry-run"],
        &["backup", "list"],
        &["backup", "proof", &volid],
        &["restore", "plan", &volid],
        &["restore-test", "run", &volid, "--dry-run"],
        &["restore-test", "run", &volid],
        &["restore-test", "list"],
        &["restore", "list"],
        &["restore-test", "reap"],
        &["storage", "list"],
        &["task", "watch", &upid],
        &["trust", "show"],
        &["selftest"],
        &["selftest", "task", "9001"],
        &["config", "check"],
        &["config", "show"],
        &["status"],
    ] {
        let outputs = speak(&bench, &canaries, args).await;
        for output in outputs {
            assert!(matches!(output.exit, Some(0 | 3)), "{args:?}: {output:?}");
        }
    }
    restored_for_good(&bench, &canaries, &volid).await;
    // The verdict was written above what a person had written, and took nothing away.
    let notes = bench
        .root()
        .volume(&volid.parse().unwrap())
        .await
        .unwrap()
        .notes
        .unwrap();
    assert!(
        notes.starts_with("restore-tested ") && notes.contains(&canaries.notes),
        "{notes}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_when_things_go_wrong() {
    let bench = Bench::new().await;
    let canaries = Canaries::of(&bench);
    canaries.plant(&bench).await;
    let volid = bench.backup(9001).await;
    annotate(&bench, &volid, &canaries.notes).await;
    let volid = volid.to_string();
    let commands: [&[&str]; 7] = [
        &["status"],
        &["backup", "run", "9001"],
        &["backup", "list"],
        &["backup", "proof", &volid],
        &["restore", "plan", &volid],
        &["restore-test", "run", &volid],
        &["selftest", "task", "9001"],
    ];
    // Tasks that fail, an archive that is damaged, answers that make no sense: the beginning of each is quoted in errors.
    for task in ["vzdump", "vzrestore", "vzstart", "vzsnapshot"] {
        let text = "simulated".to_owned();
        bench.world.inject(Fault::task(
            &format!("{task}:end"),
            FaultKind::TaskFail { text },
        ));
    }
    for args in commands {
        speak(&bench, &canaries, args).await;
    }
    for (kind, flag) in [(FaultKind::Html, "-vvv"), (FaultKind::Truncated, "--json")] {
        for path in ["*/config", "*/extractconfig", "*/content*"] {
            bench.world.inject(Fault {
                count: Some(2),
                ..Fault::request("GET", path, kind.clone())
            });
            for args in [commands[1], commands[5]] {
                say(&bench, &canaries, &[flag], args).await;
            }
        }
    }
    bench.world.corrupt_archive(&volid).await.unwrap();
    for args in [commands[3], commands[5]] {
        speak(&bench, &canaries, args).await;
    }
    // Not permitted, then not the pinned one.
    bench.revoke("FelhomAgent", "VM.Backup").await;
    bench
        .revoke("FelhomTarget", "Datastore.AllocateSpace")
        .await;
    for args in commands {
        speak(&bench, &canaries, args).await;
    }
    let pinned = bench.world.fingerprint();
    bench.reconfigure(|text| text.replace(&pinned, &("AB:".repeat(31) + "AB")));
    for args in commands {
        let outputs = speak(&bench, &canaries, args).await;
        assert!(
            outputs.iter().all(|output| output.exit == Some(7)),
            "{args:?}: {outputs:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_while_a_job_is_under_way() {
    let bench = Bench::new().await;
    let canaries = Canaries::of(&bench);
    canaries.plant(&bench).await;
    let volid = bench.backup(9001).await.to_string();
    bench
        .world
        .inject(Fault::task("vzrestore:extract", FaultKind::TaskHold));
    let look = async {
        let restoring = || {
            bench.world.state()["running_tasks"]
                .to_string()
                .contains(":vzrestore:")
        };
        eventually("the restore stands still", restoring).await;
        canaries.assert_not_kept(&bench, "during a restore", &[]);
        bench.world.release();
    };
    let args = ["restore-test", "run", &volid];
    let (output, ()) = tokio::join!(bench.program(&args, ""), look);
    assert_eq!(output.exit, Some(0), "{output:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_cannot_be_used_is_not_quoted() {
    let bench = Bench::new().await;
    let mut canaries = Canaries::of(&bench);
    let path = bench.directory.path().join("box/agent");
    for (wrong, exit) in [("", 77), ("\u{1}", 78), ("\nsecond line", 78), ("é", 77)] {
        let whole = unique("wrong") + wrong;
        secret(&path, &whole, 0o600);
        canaries
            .tokens
            .insert("wrong", whole.lines().next().unwrap().to_owned());
        for args in [
            &["status"][..],
            &["backup", "run", "9001"],
            &["config", "check"],
        ] {
            let checked_only = args[0] == "config" && exit == 77;
            for output in speak(&bench, &canaries, args).await {
                let wanted = if checked_only { 0 } else { exit };
                assert_eq!(output.exit, Some(wanted), "{wrong:?}, {args:?}: {output:?}");
            }
        }
    }
}
