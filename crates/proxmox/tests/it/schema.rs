//! Every request that the client can make, against the API's published schema: the path and the method exist, each
//! parameter is known and has a legal value, and none is missing. What the client sends and what the schema says are both
//! read anew here.

#![expect(
    clippy::print_stdout,
    reason = "the counts are for whoever reads the test's output"
)]

mod backup_server;
mod check;
mod document;
mod examples;
mod format;
mod pattern;
mod property;
mod refusals;
mod source;
mod value;

use check::Found;
use document::{Asked, Schema};
use examples::Example;
use source::Item;

/// What makes requests for calls of its own file.
const MAKERS: &[(&str, &str)] = &[
    ("proxmox/src/pve/nodes.rs", "fn list("),
    ("proxmox/src/pve/guests/power.rs", "fn power("),
    ("proxmox/src/pve/storage/volumes.rs", "fn volume_request("),
    ("proxmox/src/task/requests.rs", "pub(crate) fn status("),
    ("proxmox/src/task/requests.rs", "pub(crate) fn log("),
    ("proxmox/src/task/requests.rs", "pub(crate) fn stop("),
];

/// What makes requests outside of any call; `a_login_is_one_of_the_schema` reads them on the wire.
const LOGINS: &[(&str, &str)] = &[
    ("proxmox/src/login.rs", "pub(crate) async fn login("),
    (
        "proxmox/src/login.rs",
        "pub(crate) async fn answer_challenge(",
    ),
];

/// The call that asks whether something would be allowed, and must not be legal.
const PROBE: &str = "Probe";
const UNKNOWN: &str = "felhom-probe: not in the schema";

/// The schema; says so where there is none.
fn schema(test: &str) -> Option<Schema> {
    let schema = Schema::beside();
    if schema.is_none() {
        println!("skipped: {test}: FELHOM_FACTS names no folder with the schema");
    }
    schema
}

fn check(schema: &Schema, asked: &Result<Asked, String>) -> Found {
    let mut found = Found::default();
    match asked {
        Ok(asked) => check::request(schema, asked, &mut found),
        Err(problem) => found.problem("parameters", problem),
    }
    found
}

#[test]
fn every_request_is_one_of_the_schema() {
    let Some(schema) = schema("every_request_is_one_of_the_schema") else {
        return;
    };
    let examples = examples::all();
    let (mut all, mut calls) = (Found::default(), std::collections::BTreeSet::new());
    for Example { call, request } in &examples {
        let found = check(&schema, &Asked::of(request));
        if call.starts_with(PROBE) {
            // Refused by the schema, so that it is carried out by no server.
            assert!(found.problems.contains(&UNKNOWN.to_owned()), "{call}");
            continue;
        }
        let said = found.problems.into_iter();
        all.problems
            .extend(said.map(|problem| format!("{call}: {request}: {problem}")));
        all.passed_over.extend(found.passed_over);
        all.values += found.values;
        calls.insert(call);
    }
    println!(
        "schema: {} requests of {} calls with {} values against {} operations, {} problems",
        examples.len(),
        calls.len(),
        all.values,
        schema.len(),
        all.problems.len()
    );
    assert!(all.problems.is_empty(), "{}", all.problems.join("\n"));
    assert!(
        all.passed_over.is_empty(),
        "not understood here: {:#?}",
        all.passed_over
    );
}

#[tokio::test]
async fn a_login_is_one_of_the_schema() {
    let Some(schema) = schema("a_login_is_one_of_the_schema") else {
        return;
    };
    let (server, _door, login) = crate::login::ask("totp:123456").await;
    login.unwrap();
    let seen = server.seen();
    assert_eq!(seen.len(), 2);
    for text in &seen {
        let found = check(&schema, &Asked::wire(text));
        assert!(found.problems.is_empty(), "{:?}", found.problems);
        assert!(found.passed_over.is_empty(), "{:?}", found.passed_over);
    }
    assert!(seen[1].contains("&tfa-challenge="));
}

#[test]
fn a_request_with_anything_else_is_none() {
    let Some(schema) = schema("a_request_with_anything_else_is_none") else {
        return;
    };
    for Example { call, request } in examples::all() {
        let more = check(
            &schema,
            &Asked::of(&request.clone().with("felhom-other", 1)),
        );
        let unknown = "felhom-other: not in the schema".to_owned();
        assert!(more.problems.contains(&unknown), "{call}");
        let mut elsewhere = Asked::of(&request).unwrap();
        elsewhere.segments.push("felhom-other".to_owned());
        elsewhere.segments.push("deeper".to_owned());
        let elsewhere = check(&schema, &Ok(elsewhere));
        assert_eq!(elsewhere.problems, ["path: no such path"], "{call}");
    }
}

#[test]
fn every_call_has_an_example_with_everything_and_one_with_the_least() {
    let items = source::items();
    let calls = items.iter().filter(|item| item.call.is_some()).count();
    // Guards against a reader that finds nothing.
    assert!(calls > 40, "only {calls} calls found");
    let is_login = |item: &Item| LOGINS.iter().any(|login| item.is(login));
    let is_here = |item: &Item| !is_login(item) && !item.file.starts_with("proxmox/src/pbs");
    let items: Vec<Item> = items.into_iter().filter(is_here).collect();
    let gaps = source::gaps(&items, &examples::all());
    assert!(gaps.is_empty(), "{}", gaps.join("\n"));
}

#[test]
fn requests_are_made_by_calls() {
    let items = source::items();
    let known = || MAKERS.iter().chain(LOGINS).chain(backup_server::MAKERS);
    let strays = source::strays(&items, known);
    assert!(strays.is_empty(), "{}", strays.join("\n"));
    for maker in known() {
        let is_there = items.iter().any(|item| item.is(maker) && item.makes);
        assert!(is_there, "no {}…) in {} any more", maker.1, maker.0);
    }
}
