//! `pbs audit`: shown, and turned red by one plain blob.

use felhom_agent::exit::Exit;
use serde_json::json;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_encrypted_is_shown_to_be_and_the_limits_are_named() {
    let site = Site::with_backup().await;
    // Of each group only the newest.
    site.snapshot(FIRST - 86_400, json!({ "key": null })).await;
    let ran = site.run(&["pbs", "audit"]).await;
    assert_eq!(ran.exit, Exit::Done, "{ran:?}");
    let audits = ran.data()["servers"][0]["audits"].clone();
    assert_eq!(audits.as_array().unwrap().len(), 1, "{audits}");
    assert_eq!(audits[0]["verdict"], "passed", "{audits}");
    assert!(audits[0]["limits"].as_array().unwrap().len() > 1);
    let text = ran.text();
    for told in [
        "pct.conf.blob",
        "root.pxar.didx",
        "no audit from outside shows",
    ] {
        assert!(text.contains(told), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_plain_blob_turns_it_red() {
    let site = Site::with_backup().await;
    let plain = json!({
        "store": "backups", "type": "ct", "id": "9001", "name": "pct.conf.blob", "text": "arch: amd64\n",
    });
    site.control("pbs-plain-blob", plain).await;
    let ran = site.run(&["pbs", "audit"]).await;
    assert_eq!(ran.exit, Exit::VerdictFailed, "{ran:?}");
    assert!(codes(&ran).contains("server-can-read"), "{ran:?}");
    let text = ran.text();
    assert!(
        text.contains("BREACH") && text.contains("pct.conf.blob"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_on_one_group_throws_no_breach_away() {
    let site = Site::with_backup().await;
    let plain = json!({
        "store": "backups", "type": "ct", "id": "9001", "name": "pct.conf.blob", "text": "arch: amd64\n",
    });
    site.control("pbs-plain-blob", plain).await;
    site.snapshot(FIRST, json!({ "id": "9002" })).await;
    let fault = json!({
        "method": "GET", "path": "/pbs/admin/datastore/*/files", "skip": 1, "kind": "cut_answer",
    });
    site.control("fault", fault).await;
    let ran = site.run(&["pbs", "audit"]).await;
    assert_eq!(ran.exit, Exit::VerdictFailed, "{ran:?}");
    let audits = ran.data()["servers"][0]["audits"].clone();
    assert_eq!(audits[0]["verdict"], "failed", "{audits}");
    assert_eq!(audits[1]["verdict"], "undetermined", "{audits}");
    assert!(codes(&ran).contains("server-can-read-unproven"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_key_turns_it_red_and_an_unknown_one_proves_nothing() {
    let site = Site::new().await;
    site.snapshot(FIRST, json!({})).await;
    let other = "bb:8f:".repeat(16);
    let more = format!("key_fingerprint = \"{}\"", other.trim_end_matches(':'));
    site.section("offsite", "backups", &more);
    let ran = site.run(&["pbs", "audit"]).await;
    assert_eq!(ran.exit, Exit::VerdictFailed, "{ran:?}");
    assert!(ran.text().contains("it was made with key"), "{ran:?}");
    let site = Site::new().await;
    site.snapshot(FIRST, json!({})).await;
    site.section("offsite", "backups", "");
    let ran = site.run(&["pbs", "audit"]).await;
    assert_eq!(ran.exit, Exit::Undetermined, "{ran:?}");
    assert!(codes(&ran).contains("server-can-read-unproven"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_right_to_read_it_is_undetermined() {
    let site = Site::at(20.0, "DatastoreAudit", "/datastore/backups").await;
    let key = site.snapshot(FIRST, json!({})).await;
    site.section(
        "offsite",
        "backups",
        &format!("key_fingerprint = \"{key}\""),
    );
    let ran = site.run(&["pbs", "audit"]).await;
    assert_eq!(ran.exit, Exit::Undetermined, "{ran:?}");
    assert!(ran.text().contains("DatastoreReader"), "{ran:?}");
}
