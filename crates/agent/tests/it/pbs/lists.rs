//! `pbs snapshots`: what a list says, and what it leaves out.

use felhom_agent::exit::Exit;
use felhom_protocol::pbs::{Encryption, SnapshotRecord, VerifyState};
use serde_json::json;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_told_as_the_record_that_documents_carry() {
    let site = Site::with_backup().await;
    let ran = site.run(&["pbs", "snapshots"]).await;
    let server = &ran.data()["servers"][0];
    assert_eq!(server["storage"], "offsite");
    assert_eq!(server["sight"], "whole");
    let record: SnapshotRecord = serde_json::from_value(server["snapshots"][0].clone()).unwrap();
    assert_eq!(record.snapshot().unwrap().to_string(), NAME);
    assert!(record.is_backup() && !record.in_progress);
    assert_eq!(record.encrypted, Encryption::Encrypted);
    assert_eq!(record.verify_state, VerifyState::None);
    assert_eq!(record.owner.as_deref(), Some(OWNER));
    assert!(record.key_fingerprint.is_some(), "{record:?}");
    let text = ran.text();
    assert!(
        text.contains(NAME) && text.contains("ENCRYPTED WITH") && text.contains("never"),
        "{text}"
    );
    // Nobody said that the kit is stored, and the node defines no such storage.
    assert_eq!(ran.exit, Exit::Findings);
    assert!(codes(&ran).contains("recovery-kit-unconfirmed"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_progress_is_listed_and_is_no_backup() {
    let site = Site::with_backup().await;
    let begun = json!({ "store": "backups", "type": "ct", "id": "9001", "owner": OWNER });
    site.control("pbs-begin", begun).await;
    let ran = site.run(&["pbs", "snapshots"]).await;
    let snapshots = &ran.data()["servers"][0]["snapshots"];
    assert_eq!(snapshots.as_array().unwrap().len(), 2, "{snapshots}");
    assert_eq!(snapshots[0]["in_progress"], true, "{snapshots}");
    assert_eq!(snapshots[0]["verify_state"], "none");
    assert!(ran.text().contains("in progress"), "{ran:?}");
    let status = site.run(&["status"]).await;
    assert_eq!(status.data()["backup_servers"][0]["backups"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_sees_only_its_own_is_told_that_the_list_proves_nothing() {
    let site = Site::at(20.0, "DatastoreBackup", "/datastore/backups").await;
    site.snapshot(FIRST, json!({})).await;
    site.section("offsite", "backups", "");
    let ran = site.run(&["pbs", "snapshots"]).await;
    assert_eq!(ran.exit, Exit::Findings);
    assert!(codes(&ran).contains("list-may-be-shortened"), "{ran:?}");
    assert!(
        ran.text().contains("no backup can be seen"),
        "{}",
        ran.text()
    );
    let ran = site.run(&["pbs", "audit"]).await;
    assert_eq!(ran.exit, Exit::NoSuchThing, "{ran:?}");
    assert!(ran.text().contains("no backup can be seen"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rights_on_a_namespace_alone_open_that_namespace_alone() {
    let site = Site::at(20.0, "DatastoreReader", "/datastore/backups/site").await;
    site.snapshot(FIRST, json!({ "ns": "site" })).await;
    site.section("inner", "backups", "namespace = \"site\"");
    site.section("outer", "backups", "");
    let ran = site.run(&["pbs", "snapshots", "--storage", "inner"]).await;
    let snapshots = ran.data()["servers"][0]["snapshots"].clone();
    assert_eq!(snapshots[0]["namespace"], "site", "{ran:?}");
    let ran = site.run(&["pbs", "verify", "inner:ct/9001"]).await;
    assert_eq!(ran.exit, Exit::Done, "{ran:?}");
    let ran = site.run(&["pbs", "snapshots", "--storage", "outer"]).await;
    assert_eq!(ran.exit, Exit::Permission, "{ran:?}");
    // Of both: what can be seen is shown, and the other one is a finding.
    let ran = site.run(&["pbs", "snapshots"]).await;
    assert_eq!(ran.exit, Exit::Findings, "{ran:?}");
    assert!(codes(&ran).contains("list-may-be-shortened"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_somebody_elses_and_one_that_can_be_read_are_findings() {
    let site = Site::with_backup().await;
    site.snapshot(SECOND, json!({ "key": null })).await;
    site.snapshot(FIRST, json!({ "id": "9002", "owner": "other@pbs!x" }))
        .await;
    let ran = site.run(&["pbs", "snapshots"]).await;
    let codes = codes(&ran);
    assert!(codes.contains("backup-owner-foreign"), "{ran:?}");
    assert!(codes.contains("backup-not-encrypted"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_server_that_cannot_be_asked_stands_in_no_others_way() {
    let site = Site::with_backup().await;
    site.section("broken", "others", "");
    let text = std::fs::read_to_string(&site.bench.config).unwrap();
    let (before, after) = text.rsplit_once("secret_file = \"offsite\"").unwrap();
    let text = format!("{before}secret_file = \"missing\"{after}");
    std::fs::write(&site.bench.config, text).unwrap();
    let ran = site.run(&["pbs", "snapshots"]).await;
    assert_eq!(ran.exit, Exit::Findings, "{ran:?}");
    assert!(codes(&ran).contains("pbs-unusable"), "{ran:?}");
    assert!(ran.text().contains(NAME), "{ran:?}");
    let ran = site.run(&["pbs", "snapshots", "--storage", "broken"]).await;
    assert_eq!(ran.exit, Exit::Configuration, "{ran:?}");
    assert!(ran.text().contains("missing"), "{ran:?}");
    // What has nothing to do with it goes on.
    let ran = site.run(&["guests"]).await;
    assert_eq!(ran.exit, Exit::Done, "{ran:?}");
    let ran = site.run(&["pbs", "verify"]).await;
    let reports = ran.data()["servers"].clone();
    let passed: Vec<&Value> = reports
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["passed"])
        .collect();
    assert_eq!(passed, [false, true], "{ran:?}");
}
