//! `doctor`: every right taken away from either side is named, mended by its own commands, and nothing is lost by that.

mod beyond;
mod measured;

use std::collections::{BTreeMap, BTreeSet};

use felhom_agent::exit::Exit;
use felhom_proxmox::{Method, Pve, Request};
use serde_json::Value;

use crate::support::*;

/// Role, path, principal and token of each grant of the built-in box.
const GRANTS: [(&str, &str, &str, &str); 8] = [
    ("FelhomAgent", "/", "agent", AGENT),
    (
        "FelhomRestoreTest",
        "/pool/felhom-scratch",
        "restore-test",
        TESTER,
    ),
    ("FelhomSource", "/vms/9001", "restore-test", TESTER),
    ("FelhomSource", "/vms/9010", "restore-test", TESTER),
    ("FelhomSource", "/vms/9000", "restore-test", TESTER),
    ("FelhomTarget", "/storage/local", "restore-test", TESTER),
    ("FelhomTarget", "/storage/local-lvm", "restore-test", TESTER),
    (
        "FelhomBridge",
        "/sdn/zones/localnetwork/vmbr9",
        "restore-test",
        TESTER,
    ),
];

/// What is held and needed by nothing: taking it away must not be noticed.
const NEEDLESS: [(&str, &str); 11] = [
    ("agent", "Datastore.Allocate"),
    ("agent", "Datastore.Audit"),
    ("agent", "VM.Allocate"),
    ("agent", "VM.Config.CPU"),
    ("agent", "VM.Config.Disk"),
    ("agent", "VM.Config.Memory"),
    ("agent", "VM.Config.Network"),
    ("agent", "VM.Config.Options"),
    ("agent", "VM.PowerMgmt"),
    ("agent", "VM.Snapshot.Rollback"),
    ("restore-test", "Datastore.Audit"),
];

async fn send(root: &Pve, request: &Request) {
    let answer: Value = root.client().send(request).await.unwrap();
    assert!(answer.is_null(), "{request}: {answer}");
}

fn acl(path: &str, role: &str, kind: &str, who: &str, delete: bool) -> Request {
    Request::new(Method::Put, &[&"access", &"acl"])
        .with("path", path)
        .with("roles", role)
        .with(kind, who)
        .flag("delete", delete)
}

fn subject(side: &str, token: &str) -> (&'static str, String) {
    match side {
        "user" => ("users", token.split('!').next().unwrap().to_owned()),
        _ => ("tokens", token.to_owned()),
    }
}

async fn privileges(root: &Pve, role: &str) -> Vec<String> {
    let read = Request::new(Method::Get, &[&"access", &"roles", &role]);
    let held: BTreeMap<String, Value> = root.client().send(&read).await.unwrap();
    held.into_keys().collect()
}

/// What a user or token holds, wherever anything is granted and on what the agent works on.
async fn held(root: &Pve, who: &str) -> BTreeSet<(String, String)> {
    let ask = Request::new(Method::Get, &[&"access", &"permissions"]).with("userid", who);
    let all: BTreeMap<String, BTreeMap<String, Value>> = root.client().send(&ask).await.unwrap();
    let mut held: Vec<_> = all.into_iter().collect();
    for path in [
        "/nodes/demo-felhom",
        "/vms/9001",
        "/vms/9010",
        "/vms/9100",
        "/storage/local",
    ] {
        let ask = ask.clone().with("path", path);
        let at: BTreeMap<String, BTreeMap<String, Value>> = root.client().send(&ask).await.unwrap();
        held.extend(at);
    }
    held.into_iter()
        .flat_map(|(path, privileges)| {
            privileges
                .into_keys()
                .map(move |privilege| (path.clone(), privilege))
        })
        .collect()
}

/// The words of a command line with single quotes.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (place, part) in line.split('\'').enumerate() {
        if place % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

/// Does what a printed `pveum` line says, and tells what takes it back.
async fn perform(root: &Pve, line: &str) -> Option<Request> {
    let words = words(line);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let option = |name: &str| {
        let at = words.iter().position(|word| *word == name)?;
        words.get(at + 1).copied()
    };
    match words.as_slice() {
        ["pveum", "role", "add", role, ..] => {
            let make = Request::new(Method::Post, &[&"access", &"roles"])
                .with("roleid", role)
                .with("privs", option("--privs").unwrap().replace(' ', ","));
            send(root, &make).await;
            Some(Request::new(Method::Delete, &[&"access", &"roles", role]))
        }
        ["pveum", "role", "modify", role, ..] => {
            assert_eq!(option("--append"), Some("1"));
            let add = Request::new(Method::Put, &[&"access", &"roles", role])
                .with("privs", option("--privs").unwrap().replace(' ', ","))
                .flag("append", true);
            send(root, &add).await;
            None
        }
        ["pveum", "acl", verb, path, ..] => {
            let change = |delete: bool| {
                Request::new(Method::Put, &[&"access", &"acl"])
                    .with("path", path)
                    .with("roles", option("--roles").unwrap())
                    .maybe("users", option("--users"))
                    .maybe("tokens", option("--tokens"))
                    .flag("delete", delete)
            };
            send(root, &change(*verb == "delete")).await;
            Some(change(*verb != "delete"))
        }
        _ => panic!("`{line}` is no command that is known"),
    }
}

async fn doctor(bench: &Bench) -> Value {
    let ran = bench.run(&["doctor"]).await;
    assert!(matches!(ran.exit, Exit::Done | Exit::Findings), "{ran:?}");
    ran.data()
}

fn lacks(data: &Value) -> Vec<Value> {
    data["lacks"].as_array().unwrap().clone()
}

fn mend(data: &Value) -> Vec<String> {
    let lacks = lacks(data);
    let lines = lacks
        .iter()
        .flat_map(|lack| lack["mend"].as_array().unwrap());
    lines
        .map(|line| line.as_str().unwrap().to_owned())
        .collect()
}

/// What the doctor says becomes of a command.
fn fails(data: &Value, command: &str) -> bool {
    let operations = data["operations"].as_array().unwrap();
    let own = operations.iter().filter(|one| one["command"] == command);
    own.clone().count() > 0 && own.into_iter().any(|one| one["state"] == "fails")
}

/// The steps that do not work as they should.
fn hindered(data: &Value) -> BTreeSet<String> {
    let operations = data["operations"].as_array().unwrap();
    let bad = operations.iter().filter(|one| one["state"] != "works");
    bad.map(|one| one["operation"].as_str().unwrap().to_owned())
        .collect()
}

fn codes(data: &Value) -> BTreeSet<String> {
    let findings = data["findings"].as_array().unwrap();
    let codes = findings.iter().map(|one| one["code"].as_str().unwrap());
    codes.map(str::to_owned).collect()
}

/// One side's grant without one privilege; what it was before is put back by [`Removal::undo`].
struct Removal<'a> {
    role: &'a str,
    path: &'a str,
    kind: &'static str,
    who: String,
}

impl<'a> Removal<'a> {
    const ROLE: &'static str = "Pared";

    async fn new(root: &Pve, grant: (&'a str, &'a str, &str), privilege: &str, side: &str) -> Self {
        let (role, path, token) = grant;
        let (kind, who) = subject(side, token);
        let left = privileges(root, role).await;
        let left: Vec<_> = left.into_iter().filter(|one| one != privilege).collect();
        let make = Request::new(Method::Post, &[&"access", &"roles"])
            .with("roleid", Self::ROLE)
            .with("privs", left.join(","));
        send(root, &make).await;
        send(root, &acl(path, Self::ROLE, kind, &who, false)).await;
        send(root, &acl(path, role, kind, &who, true)).await;
        Self {
            role,
            path,
            kind,
            who,
        }
    }

    async fn undo(self, root: &Pve) {
        send(
            root,
            &acl(self.path, self.role, self.kind, &self.who, false),
        )
        .await;
        send(
            root,
            &acl(self.path, Self::ROLE, self.kind, &self.who, true),
        )
        .await;
        let gone = Request::new(Method::Delete, &[&"access", &"roles", &Self::ROLE]);
        send(root, &gone).await;
    }
}

/// Does what the lines say: then nothing is lacking, nobody has lost anything. Takes it back.
async fn mended(bench: &Bench, data: &Value, token: &str, what: &str) {
    let root = bench.root();
    let user = token.split('!').next().unwrap();
    let before = [held(&root, user).await, held(&root, token).await];
    let mut back = Vec::new();
    for line in mend(data) {
        back.extend(perform(&root, &line).await);
    }
    let after = doctor(bench).await;
    assert_eq!(
        lacks(&after),
        Vec::<Value>::new(),
        "{what}: {:?}",
        mend(data)
    );
    let now = [held(&root, user).await, held(&root, token).await];
    for (before, now) in before.iter().zip(&now) {
        assert!(before.is_subset(now), "{what}: lost {:?}", before - now);
    }
    while let Some(request) = back.pop() {
        send(&root, &request).await;
    }
}

async fn every_removal(grants: &[(&str, &str, &str, &str)], side: &str) {
    let bench = Bench::new().await;
    let root = bench.root();
    assert_eq!(lacks(&doctor(&bench).await), Vec::<Value>::new());
    let mut seen = 0;
    let mut differences = Vec::new();
    for (role, path, principal, token) in grants.iter().copied() {
        for privilege in privileges(&root, role).await {
            let what = format!("{principal}: {side} without {privilege} on {path}");
            let removal = Removal::new(&root, (role, path, token), &privilege, side).await;
            let data = doctor(&bench).await;
            let measured = measured::hindered(principal, path, &privilege, side);
            if hindered(&data) != measured {
                differences.push(format!(
                    "{what}: told {:?}, measured {measured:?}",
                    hindered(&data)
                ));
            }
            if NEEDLESS.contains(&(principal, privilege.as_str())) {
                assert_eq!(lacks(&data), Vec::<Value>::new(), "{what}");
                removal.undo(&root).await;
                continue;
            }
            seen += 1;
            // Without this one, who holds what is hidden; then either side is suspected.
            let visible = data["sides_visible"] == true;
            assert_eq!(
                visible,
                (principal, privilege.as_str()) != ("agent", "Sys.Audit"),
                "{what}"
            );
            let expected = if visible { side } else { "unknown" };
            assert!(!lacks(&data).is_empty(), "{what}: not noticed");
            for lack in lacks(&data) {
                assert_eq!(lack["principal"], principal, "{what}: {lack}");
                let only = serde_json::json!({ &privilege: [expected] });
                assert_eq!(lack["privileges"], only, "{what}: {lack}");
                assert!(!lack["operations"].as_array().unwrap().is_empty(), "{what}");
            }
            mended(&bench, &data, token, &what).await;
            removal.undo(&root).await;
        }
    }
    assert!(seen > 0);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_privilege_of_the_agents_user_is_missed_and_mended() {
    every_removal(&GRANTS[..1], "user").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_privilege_of_the_agents_token_is_missed_and_mended() {
    every_removal(&GRANTS[..1], "token").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_privilege_of_the_testers_user_is_missed_and_mended() {
    every_removal(&GRANTS[1..], "user").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_privilege_of_the_testers_token_is_missed_and_mended() {
    every_removal(&GRANTS[1..], "token").await;
}

/// A job that did its work, with whatever findings.
fn did(exit: Exit) -> bool {
    matches!(exit, Exit::Done | Exit::Findings)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_doctor_says_will_fail_fails() {
    let cases = [
        (0, "VM.Backup", "user"),
        (0, "VM.Audit", "token"),
        (0, "Datastore.AllocateSpace", "token"),
        (0, "Sys.Audit", "user"),
        (0, "VM.PowerMgmt", "user"),
        (0, "VM.Config.Disk", "token"),
        (0, "VM.Snapshot", "token"),
        (1, "VM.PowerMgmt", "token"),
        (1, "Pool.Audit", "user"),
        (1, "VM.Config.Network", "token"),
        (2, "VM.Backup", "user"),
        (5, "Datastore.Audit", "user"),
        (1, "VM.GuestAgent.Audit", "user"),
        (7, "SDN.Use", "token"),
    ];
    let bench = Bench::new().await;
    let root = bench.root();
    let archive = bench.backup(9001).await.to_string();
    for (grant, privilege, side) in cases {
        let (role, path, principal, token) = GRANTS[grant];
        let what = format!("{principal}: {side} without {privilege} on {path}");
        let removal = Removal::new(&root, (role, path, token), privilege, side).await;
        let data = doctor(&bench).await;
        for (command, line) in [
            ("backup run", vec!["backup", "run", "9001"]),
            ("restore-test run", vec!["restore-test", "run", &archive]),
            ("selftest task", vec!["selftest", "task", "9001"]),
        ] {
            let ran = bench.run(&line).await;
            assert_eq!(
                fails(&data, command),
                !did(ran.exit),
                "{what}: {command}: {ran:?}"
            );
        }
        removal.undo(&root).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_much_is_told() {
    let bench = Bench::new().await;
    let root = bench.root();
    let data = doctor(&bench).await;
    let findings = data["findings"].to_string();
    assert!(codes(&data).contains("excess-dangerous"), "{findings}");
    assert!(
        findings.contains("Datastore.Allocate on / is not needed"),
        "{findings}"
    );
    assert!(codes(&data).contains("excess-privileges"), "{findings}");
    assert!(!codes(&data).contains("token-not-separated"), "{findings}");
    assert!(
        !codes(&data).contains("tester-reaches-production"),
        "{findings}"
    );

    let (user, name) = AGENT.split_once('!').unwrap();
    let whole = Request::new(Method::Put, &[&"access", &"users", &user, &"token", &name])
        .flag("privsep", false);
    let changed: Value = root.client().send(&whole).await.unwrap();
    assert_eq!(
        changed["privsep"].to_string().trim_matches('"'),
        "0",
        "{changed}"
    );
    let (kind, who) = subject("token", TESTER);
    for (kind, who) in [(kind, who), subject("user", TESTER)] {
        send(&root, &acl("/vms/9010", "PVEVMAdmin", kind, &who, false)).await;
    }
    let data = doctor(&bench).await;
    assert!(codes(&data).contains("token-not-separated"), "{data}");
    assert!(codes(&data).contains("tester-reaches-production"), "{data}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suppressed_finding_is_shown_and_does_not_count() {
    let bench = Bench::new().await;
    let first = bench.run(&["doctor"]).await;
    assert_eq!(first.exit, Exit::Findings);
    let mut known = codes(&first.data());
    // Simulated time runs ahead, sooner or later by enough.
    known.insert("clock-off".to_owned());
    for code in known {
        let line = [
            "findings",
            "suppress",
            &code,
            "--until",
            "2099-01-01",
            "--reason",
            "a demonstration",
        ];
        let ran = bench.run(&line).await;
        assert_eq!(ran.exit, Exit::Done, "{ran:?}");
    }
    let quiet = bench.run(&["doctor"]).await;
    assert_eq!(quiet.exit, Exit::Done, "{quiet:?}");
    assert!(
        quiet
            .text()
            .contains("suppressed until 2099-01-01 (a demonstration)")
    );
    let suppressed = quiet.data()["suppressed"].as_array().unwrap().len();
    assert!(suppressed >= codes(&first.data()).len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn findings_are_explained_and_nonsense_is_refused() {
    let bench = Bench::new().await;
    let suppress = |code: &str, until: &str, reason: &str| {
        [
            "findings", "suppress", code, "--until", until, "--reason", reason,
        ]
        .map(str::to_owned)
    };
    for (line, exit) in [
        (suppress("no-such", "2099-01-01", "x"), Exit::NoSuchThing),
        (suppress("clock-off", "2001-01-01", "x"), Exit::Usage),
        (suppress("clock-off", "soon", "x"), Exit::Usage),
        (suppress("clock-off", "2099-01-01", " "), Exit::Usage),
        (suppress("clock-off", "2099-01-01", "x"), Exit::Done),
    ] {
        let words: Vec<&str> = line.iter().map(String::as_str).collect();
        let ran = bench.run(&words).await;
        assert_eq!(ran.exit, exit, "{line:?}: {ran:?}");
    }
    let all = bench.run(&["findings", "explain"]).await;
    let known = felhom_engine::codes::ALL.len();
    assert_eq!(all.data().as_array().unwrap().len(), known);
    let one = bench
        .run(&["findings", "explain", "excess-dangerous"])
        .await;
    assert!(one.text().contains("excess-dangerous (warning)"), "{one:?}");
    let none = bench.run(&["findings", "explain", "no-such"]).await;
    assert_eq!(none.exit, Exit::NoSuchThing);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unconfigured_box_is_told_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let ran = run(&directory.path().join("none.toml"), &["doctor"]).await;
    assert_eq!(ran.exit, Exit::Findings);
    assert_eq!(codes(&ran.data()), ["not-configured".to_owned()].into());
    assert!(ran.text().contains("felhom-agent enroll pve"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bridge_with_ports_is_told() {
    let bench = Bench::new().await;
    bench.reconfigure(|text| {
        text.replace("[restore-test]\n", "[restore-test]\nbridge = \"vmbr0\"\n")
    });
    let data = doctor(&bench).await;
    assert!(codes(&data).contains("bridge-not-isolated"), "{data}");
    let findings = data["findings"].to_string();
    assert!(findings.contains("SDN.Use"), "{findings}");
}
