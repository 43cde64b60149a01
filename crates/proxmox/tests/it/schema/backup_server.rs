//! The same for a backup server, whose schema is another document.

use super::check::Found;
use super::document::Schema;
use super::examples::backup_server::all;
use super::{Asked, Example, check, source};

/// What makes requests for calls of other files, or that are no calls.
pub(super) const MAKERS: &[(&str, &str)] = &[
    ("proxmox/src/pbs.rs", "fn in_store("),
    ("proxmox/src/pbs/identities.rs", "impl Grant"),
];

/// A request whose answer is no JSON, so that it is no call.
const DOWNLOAD: (&str, &str) = ("proxmox/src/pbs/download.rs", "impl Download");

#[test]
fn every_request_is_one_of_the_backup_servers_schema() {
    let Some(schema) = Schema::of_the_backup_server() else {
        println!(
            "skipped: every_request_is_one_of_the_backup_servers_schema: FELHOM_FACTS names no folder with the schema"
        );
        return;
    };
    let (mut all_found, mut calls) = (Found::default(), std::collections::BTreeSet::new());
    for Example { call, request } in all() {
        let found = check(&schema, &Asked::of(&request));
        let said = found.problems.into_iter();
        all_found
            .problems
            .extend(said.map(|problem| format!("{call}: {request}: {problem}")));
        all_found.passed_over.extend(found.passed_over);
        all_found.values += found.values;
        let more = check(
            &schema,
            &Asked::of(&request.clone().with("felhom-other", 1)),
        );
        let unknown = "felhom-other: not in the schema".to_owned();
        assert!(more.problems.contains(&unknown), "{call}");
        calls.insert(call);
    }
    println!(
        "schema of the backup server: {} calls with {} values against {} operations, {} problems",
        calls.len(),
        all_found.values,
        schema.len(),
        all_found.problems.len()
    );
    assert!(
        all_found.problems.is_empty(),
        "{}",
        all_found.problems.join("\n")
    );
    assert!(
        all_found.passed_over.is_empty(),
        "{:#?}",
        all_found.passed_over
    );
}

#[tokio::test]
async fn a_login_is_one_of_the_backup_servers_schema() {
    let Some(schema) = Schema::of_the_backup_server() else {
        println!(
            "skipped: a_login_is_one_of_the_backup_servers_schema: FELHOM_FACTS names no folder with the schema"
        );
        return;
    };
    let seen = crate::pbs::login().await;
    assert_eq!(seen.len(), 2);
    for text in &seen {
        let found = check(&schema, &Asked::wire(text));
        assert!(found.problems.is_empty(), "{:?}", found.problems);
    }
}

#[test]
fn every_call_of_a_backup_server_has_an_example() {
    let mut items = source::items();
    items.retain(|item| item.file.starts_with("proxmox/src/pbs/") && !item.is(&DOWNLOAD));
    let calls = items.iter().filter(|item| item.call.is_some()).count();
    assert!(calls > 30, "only {calls} calls found");
    let gaps = source::gaps(&items, &all());
    assert!(gaps.is_empty(), "{}", gaps.join("\n"));
}
