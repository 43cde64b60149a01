//! What `doctor` finds about backup servers. None of it is a failure of doctor itself.

use felhom_agent::exit::Exit;
use serde_json::json;

use super::*;

async fn doctor(site: &Site) -> (Ran, String) {
    let ran = site.run(&["doctor"]).await;
    assert_eq!(ran.exit, Exit::Findings, "{ran:?}");
    let codes = codes(&ran);
    (ran, codes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_kit_is_asked_for_until_somebody_says_where_it_is() {
    let site = Site::with_backup().await;
    let (_, found) = doctor(&site).await;
    assert!(found.contains("recovery-kit-unconfirmed"), "{found}");
    let ran = site.run(&["pbs", "kit", "--storage", "offsite"]).await;
    assert_eq!(ran.exit, Exit::Findings, "{ran:?}");
    assert!(ran.text().contains("nobody said"), "{ran:?}");
    let said = ["pbs", "kit", "--storage", "offsite", "--stored-by", "Ada"];
    let ran = site.run(&said).await;
    assert_eq!(ran.exit, Exit::Done, "{ran:?}");
    assert!(ran.text().contains("Ada said"), "{ran:?}");
    let (ran, found) = doctor(&site).await;
    assert!(!found.contains("recovery-kit-unconfirmed"), "{found}");
    assert_eq!(ran.data()["backup_servers"][0]["kit"], "stored");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_key_on_the_box_than_in_the_newest_backup_is_told() {
    let site = Site::new().await;
    let key = site.snapshot(FIRST, json!({})).await;
    site.snapshot(SECOND, json!({ "key": "a key from somewhere else" }))
        .await;
    site.section(
        "offsite",
        "backups",
        &format!("key_fingerprint = \"{key}\""),
    );
    let (ran, found) = doctor(&site).await;
    assert!(found.contains("backup-key-differs"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_that_differ_are_told_and_ages_follow_the_servers() {
    let site = Site::with_backup().await;
    site.agree().await;
    let (_, found) = doctor(&site).await;
    assert!(!found.contains("pbs-clock-off"), "{found}");
    site.control("pbs-clock", json!({ "offset": 7200 })).await;
    let (ran, found) = doctor(&site).await;
    assert!(found.contains("pbs-clock-off"), "{ran:?}");
    assert!(ran.text().contains("ahead of ours"), "{ran:?}");
    // What is verified now was verified two hours ahead of our clock, and is believed all the same.
    let ran = site.run(&["pbs", "verify", NAME]).await;
    assert_eq!(ran.exit, Exit::Done, "{ran:?}");
    let ran = site.run(&["pbs", "snapshots"]).await;
    assert!(ran.text().contains("ok, "), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_in_maintenance_is_told_by_its_own_words() {
    let site = Site::with_backup().await;
    let maintenance = json!({ "store": "backups", "mode": "offline" });
    site.control("pbs-maintenance", maintenance).await;
    let (ran, found) = doctor(&site).await;
    assert!(found.contains("datastore-maintenance"), "{ran:?}");
    assert!(!found.contains("pbs-unusable"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_certificate_is_told_with_both_and_nothing_is_sent_to_it() {
    let site = Site::with_backup().await;
    site.control("pbs-renew-certificate", json!({})).await;
    let (ran, found) = doctor(&site).await;
    assert!(found.contains("pbs-certificate-changed"), "{ran:?}");
    assert!(!found.contains("pbs-unusable"), "{ran:?}");
    let shown = site.bench.world.pbs_fingerprint().to_uppercase();
    assert!(ran.text().to_uppercase().contains(&shown), "{ran:?}");
    for args in [["pbs", "snapshots"], ["pbs", "audit"]] {
        let ran = site.run(&args).await;
        assert_eq!(ran.exit, Exit::Remote, "{ran:?}");
    }
    let ran = site.run(&["pbs", "verify"]).await;
    assert_eq!(ran.exit, Exit::Remote, "{ran:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_nobody_answers_at_is_a_finding_and_status_shows_the_rest() {
    let site = Site::with_backup().await;
    let text = std::fs::read_to_string(&site.bench.config).unwrap();
    let text = text.replace(&site.bench.world.pbs_url(), "https://127.0.0.1:1");
    std::fs::write(&site.bench.config, text).unwrap();
    let (ran, found) = doctor(&site).await;
    assert!(found.contains("pbs-unusable"), "{ran:?}");
    assert!(ran.text().contains("proxmox-backup-proxy"), "{ran:?}");
    let status = site.run(&["status"]).await;
    assert_eq!(status.exit, Exit::Findings, "{status:?}");
    assert!(status.text().contains("cannot be asked"), "{status:?}");
    assert!(status.text().contains("9001"), "{status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_the_server_does_not_know_is_told_with_what_to_do() {
    let site = Site::with_backup().await;
    secret(&site.directory().join("offsite"), "wrong", 0o600);
    let (ran, found) = doctor(&site).await;
    assert!(found.contains("pbs-unusable"), "{ran:?}");
    assert!(ran.text().contains("list-tokens"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_should_have_a_copy_there_and_has_none_is_told() {
    let site = Site::with_backup().await;
    let text = std::fs::read_to_string(&site.bench.config).unwrap();
    let text = text.replace("[backup]\n", "[backup]\nstorage = \"offsite\"\n");
    std::fs::write(&site.bench.config, text).unwrap();
    let (ran, found) = doctor(&site).await;
    assert!(found.contains("backup-group-empty"), "{ran:?}");
    assert!(ran.text().contains("backups ct/9010 on offsite"), "{ran:?}");
    assert!(
        !ran.text()
            .contains("backups ct/9001 on offsite: the server lists no"),
        "{ran:?}"
    );
}
