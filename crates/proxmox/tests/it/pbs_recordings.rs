//! What a real backup server answered: every recorded exchange is one that a call of ours makes, with its values checked, or
//! stands in the list of those that none makes, with the reason.

mod checks;
mod requests;
mod table;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine;
use felhom_proxmox::pbs::format;
use felhom_proxmox::{Delivery, Error, Method, Request};
use serde_json::Value;

use table::{Use, table};

use crate::scripted::{Reply, Scripted, json};

fn matches(pattern: &str, path: &str) -> bool {
    let (pattern, path): (Vec<_>, Vec<_>) =
        (pattern.split('/').collect(), path.split('/').collect());
    pattern.len() == path.len()
        && pattern
            .iter()
            .zip(&path)
            .all(|(want, part)| *want == "*" || want == part)
}

/// All recordings, or none with a word about why. `FELHOM_FACTS` names the folder above theirs; without it `shared/facts`
/// of a folder above this crate.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn recordings(test: &str) -> Vec<Value> {
    let named = std::env::var_os("FELHOM_FACTS").map(PathBuf::from);
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let folder = named
        .into_iter()
        .chain(above.map(|above| above.join("shared/facts")))
        .map(|facts| facts.join("traces/pbs"))
        .find(|path| path.is_dir());
    let Some(folder) = folder else {
        eprintln!("skipped: {test}: FELHOM_FACTS names no folder with recordings");
        return Vec::new();
    };
    let entries = folder
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.collect();
    files.sort();
    files
        .iter()
        .filter(|path| path.extension().is_some_and(|ext| ext == "jsonl"))
        .map(|path| std::fs::read_to_string(path).unwrap())
        .flat_map(|text| {
            let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
            lines.collect::<Vec<Value>>()
        })
        .collect()
}

#[test]
#[expect(
    clippy::print_stdout,
    reason = "the counts are for whoever reads the test's output"
)]
fn every_recorded_exchange_of_a_backup_server_is_accounted_for() {
    let records = recordings("every_recorded_exchange_of_a_backup_server_is_accounted_for");
    let (table, mut wrong) = (table(), Vec::new());
    let (mut used, mut read, mut refused, mut others) = (BTreeMap::new(), 0, 0, BTreeMap::new());
    for record in &records {
        let (method, path) = parts(record);
        let found = table
            .iter()
            .find(|(verb, pattern, _)| *verb == method && matches(pattern, path));
        let Some((verb, pattern, then)) = found else {
            wrong.push(format!("{method} {path}: nobody knows of it"));
            continue;
        };
        *used.entry((*verb, *pattern)).or_insert(0) += 1;
        match then {
            Use::None(why) => *others.entry(*why).or_insert(0) += 1,
            Use::Call(_) if record["status"] != 200 => refused += 1,
            // The log as text, which is another answer of the same path.
            Use::Call(_) if record["params"]["download"] == true => {
                *others.entry("the log as one text").or_insert(0) += 1;
            }
            Use::Call(check) => {
                let body = &record["body"];
                let data = if pattern.contains("/download") {
                    body
                } else {
                    &body["data"]
                };
                match check(data) {
                    Ok(()) => read += 1,
                    Err(error) => wrong.push(format!("{} {path}: {error}", record["name"])),
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    if records.is_empty() {
        return;
    }
    println!(
        "backup server: {} exchanges: {read} answers read, {refused} refusals, {others:#?}",
        records.len()
    );
    let unused = table
        .iter()
        .filter(|(verb, pattern, _)| !used.contains_key(&(*verb, *pattern)));
    let unused: Vec<_> = unused.map(|(verb, pattern, _)| (verb, pattern)).collect();
    assert!(unused.is_empty(), "{unused:?}");
    let rest: usize = others.values().sum();
    assert_eq!(read + refused + rest, records.len());
    assert!(read > 190, "{read}");
}

/// What no call of ours says, though it has the path: exchanges by name, with the reason.
const UNSAID: &[(&str, &str)] = &[
    (
        "both:permissions-self-auth-id",
        "a token asks about itself by not naming anybody",
    ),
    ("prune-dry-run-keep-0", "no number of ours to keep is zero"),
    (
        "prune-dry-run-use-task",
        "a group is pruned before the answer",
    ),
    ("task-log:download", "lines are read one by one"),
    ("task-log:test-status", "the status has a call of its own"),
    ("tasks:statusfilter", "`errors` says nearly the same"),
    (
        "ticket-login-token",
        "a login is no call: `pbs::login` has it on the wire",
    ),
    ("ticket-login-user", "likewise"),
    ("ticket-login-wrong", "likewise"),
    ("token-only:permissions-self-auth-id", "as above"),
    ("user-only:permissions-self-auth-id", "as above"),
];

/// Calls are made anew from what was recorded of their requests, and say the same.
#[test]
#[expect(
    clippy::print_stdout,
    reason = "the counts are for whoever reads the test's output"
)]
fn our_calls_say_what_the_recorded_requests_said() {
    let records = recordings("our_calls_say_what_the_recorded_requests_said");
    let table = table();
    let (mut said, mut unsaid, mut wrong) = (0, Vec::new(), Vec::new());
    for record in &records {
        let (method, path) = parts(record);
        let is_ours = table.iter().any(|(verb, pattern, then)| {
            *verb == method && matches(pattern, path) && matches!(then, Use::Call(_))
        });
        if !is_ours {
            continue;
        }
        match requests::compare(record) {
            Ok(true) => said += 1,
            Ok(false) => unsaid.push(record["name"].as_str().unwrap().to_owned()),
            Err(error) => wrong.push(format!("{}: {error}", record["name"])),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    if records.is_empty() {
        return;
    }
    println!(
        "backup server: {said} requests said anew, {} not: {UNSAID:#?}",
        unsaid.len()
    );
    unsaid.sort_unstable();
    unsaid.dedup();
    let known: Vec<&str> = UNSAID.iter().map(|(name, _)| *name).collect();
    assert_eq!(unsaid, known);
    assert!(said > 220, "{said}");
}

fn parts(record: &Value) -> (&str, &str) {
    let path = record["path"].as_str().unwrap();
    let path = path.strip_prefix("/api2/json").unwrap_or(path);
    (record["method"].as_str().unwrap(), path)
}

/// The error that a recorded refusal must become.
fn is_right(record: &Value, error: &Error) -> bool {
    let said = record["body"].as_str().unwrap().trim();
    let status = record["status"].as_u64().unwrap();
    let missing = [
        "ENOENT: ",
        "unable to load blob ",
        "unable to update manifest blob ",
        "unable to open snapshot directory ",
        "unable to open backup group directory ",
        "File open failed: ",
        "snapshot ct/",
        "no such verification ",
    ];
    match error {
        Error::Unauthorized { text, .. } => status == 401 && text == said,
        Error::Forbidden { denied, text, .. } => {
            let denial = status == 403
                || said == "task access not allowed"
                || said.starts_with("not allowed to ");
            denial && text == said && denied.is_some() == said.contains(" - missing ")
        }
        Error::Parameter { fields, .. } => {
            let (name, what) = fields.first_key_value().unwrap();
            said == format!("parameter verification failed - '{name}': {what}")
        }
        Error::NotFound { what, .. } => {
            what == said && status == 400 && missing.iter().any(|start| said.starts_with(start))
        }
        Error::Api { text, .. } => {
            let known = [
                "cannot decode ",
                "cannot remove protected",
                "group only partially",
                "only partially deleted",
                "Error getting host key",
            ];
            status == 400 && text == said && known.iter().any(|start| said.starts_with(start))
        }
        Error::Connect { .. }
        | Error::Tls { .. }
        | Error::PinMismatch { .. }
        | Error::Trust { .. }
        | Error::Timeout { .. }
        | Error::ConnectionLost { .. }
        | Error::Locked { .. }
        | Error::Proxy { .. }
        | Error::Decode { .. }
        | Error::TooLong { .. }
        | Error::NoTask { .. } => false,
    }
}

#[tokio::test]
async fn every_recorded_refusal_of_a_backup_server_becomes_the_right_error() {
    let mut records =
        recordings("every_recorded_refusal_of_a_backup_server_becomes_the_right_error");
    records.retain(|record| {
        record["status"]
            .as_u64()
            .is_some_and(|status| status >= 400)
    });
    assert!(
        records.is_empty() || records.len() > 40,
        "{}",
        records.len()
    );
    let answers: Vec<Vec<u8>> = records
        .iter()
        .map(|record| {
            let status = u16::try_from(record["status"].as_u64().unwrap()).unwrap();
            let reason = record["reason"].as_str().unwrap();
            json(status, reason, record["body"].as_str().unwrap())
        })
        .collect();
    let server = Scripted::start(move |request| {
        let number = request.split(['/', ' ']).nth(4).unwrap();
        Reply::SendAndClose(answers[number.parse::<usize>().unwrap()].clone())
    })
    .await;
    let pbs = crate::pbs::pbs(&server);
    let client = pbs.client();
    for (number, record) in records.iter().enumerate() {
        let error = client
            .exchange(&Request::new(Method::Get, &[&number]))
            .await
            .unwrap_err();
        assert!(is_right(record, &error), "{record}: {error:?}");
        assert_eq!(error.delivery(), Delivery::Answered);
        assert!(!error.is_transient());
    }
}

/// The raw blobs of one backup, against what its manifest says of them.
#[test]
fn recorded_files_are_those_of_their_manifest() {
    let records = recordings("recorded_files_are_those_of_their_manifest");
    let named = |name: &str| records.iter().find(|record| record["name"] == name);
    let mut compared = 0;
    for kind in ["unenc", "enc"] {
        let Some(manifest) = named(&format!("download-decoded-index:{kind}")) else {
            continue;
        };
        let text = manifest["body"].to_string();
        let manifest = format::Manifest::from_json(text.as_bytes()).unwrap();
        let raw = |name: &str| {
            let record = named(&format!("{name}:{kind}")).unwrap();
            let head = record["body"]["_base64_head"].as_str().unwrap();
            base64::engine::general_purpose::STANDARD
                .decode(head)
                .unwrap()
        };
        assert!(
            manifest
                .file("pct.conf.blob")
                .unwrap()
                .is_blob(&raw("download-blob"))
        );
        let head = format::IndexHead::parse(&raw("download-didx")).unwrap();
        assert!(manifest.file("root.pxar.didx").unwrap().is_index(&head));
        assert_eq!(manifest.is_signed(), kind == "enc");
        compared += 1;
    }
    assert!(records.is_empty() || compared == 2);
}
