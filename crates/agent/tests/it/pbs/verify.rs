//! `pbs verify`: what passed, and what only looked like it.

use felhom_agent::exit::Exit;
use felhom_proxmox::pbs::tasks::ListTasks;
use felhom_proxmox::pbs::verify::{Scope, Verify};
use felhom_proxmox::task::FollowOptions;
use felhom_proxmox::{Outcome, Pbs};
use serde_json::json;

use super::*;

impl Site {
    fn server(&self) -> Pbs {
        let performer = self.bench.performer();
        let storage = "offsite".parse().unwrap();
        performer.remotes().pbs(&storage).unwrap().clone()
    }

    /// As the server does it when nobody tells it better.
    async fn verify_the_wrong_way(&self) -> Outcome {
        let server = self.server();
        let verify = Verify {
            store: "backups".parse().unwrap(),
            scope: Scope::Below {
                namespace: "".parse().unwrap(),
                max_depth: None,
            },
            ignore_verified: true,
            outdated_after: None,
        };
        let task = server.verify(&verify).await.unwrap();
        server
            .finish(task, &FollowOptions::default())
            .await
            .unwrap()
    }

    async fn state(&self) -> Value {
        let ran = self.run(&["pbs", "snapshots"]).await;
        ran.data()["servers"][0]["snapshots"][0]["verify_state"].clone()
    }
}

fn verdict(ran: &Ran) -> Value {
    ran.data()["servers"][0]["report"]["verdicts"][0].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_never_verified_passes_and_stands_in_list_journal_and_status() {
    let site = Site::with_backup().await;
    assert_eq!(site.state().await, "none");
    let planned = site.run(&["pbs", "verify", "--dry-run"]).await;
    assert_eq!(
        planned.data()["snapshots"],
        json!([format!("offsite:{NAME}")])
    );
    assert_eq!(site.state().await, "none");
    let ran = site.run(&["pbs", "verify"]).await;
    assert_eq!(ran.exit, Exit::Done, "{ran:?}");
    let told = verdict(&ran);
    assert_eq!(told["verdict"], "passed", "{ran:?}");
    assert_eq!(site.state().await, "ok");
    let listed = site.run(&["pbs", "snapshots"]).await;
    let record = &listed.data()["servers"][0]["snapshots"][0];
    assert_eq!(record["verify_upid"], told["upid"]);
    let status = site.run(&["status"]).await;
    let server = &status.data()["backup_servers"][0];
    assert_eq!(server["verified"]["ok"], 1, "{server}");
    assert_eq!(server["last_verify"]["verdict"], "passed", "{server}");
    // Nothing is due now, unless everything is wanted.
    let again = site.run(&["pbs", "verify"]).await;
    assert_eq!(again.exit, Exit::Done, "{again:?}");
    assert!(again.text().contains("nothing is due"), "{again:?}");
    let all = site.run(&["pbs", "verify", "--all"]).await;
    assert_eq!(verdict(&all)["verdict"], "passed", "{all:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_that_the_server_calls_ok_is_found_and_named() {
    let site = Site::with_backup().await;
    site.bench.backup(9001).await;
    site.snapshot(SECOND, json!({})).await;
    let ran = site.run(&["pbs", "verify", "offsite:ct/9001"]).await;
    assert_eq!(ran.exit, Exit::Done, "{ran:?}");
    let chunk = site.damage(SECOND).await;
    assert_eq!(site.verify_the_wrong_way().await, Outcome::Succeeded);
    assert_eq!(site.state().await, "ok", "the server believes itself");
    let ran = site
        .run(&["pbs", "verify", &format!("offsite:{LATER}")])
        .await;
    assert_eq!(ran.exit, Exit::VerdictFailed, "{ran:?}");
    let told = verdict(&ran);
    assert_eq!(told["verdict"], "failed");
    assert_eq!(told["chunks"], json!([chunk]), "{told}");
    assert_eq!(told["restorable"][0]["snapshot"], NAME, "{told}");
    assert!(codes(&ran).contains("backup-verify-failed"), "{ran:?}");
    // And the wrong way again: it skips what failed, and says OK.
    assert_eq!(site.verify_the_wrong_way().await, Outcome::Succeeded);
    let status = site.run(&["status"]).await;
    assert!(
        codes(&status).contains("backup-verify-failed"),
        "{status:?}"
    );
    let text = status.text();
    assert!(text.contains("failed its verify"), "{text}");
    assert!(text.contains("1 FAILED their verify"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_without_a_backup_is_not_found() {
    let site = Site::with_backup().await;
    for args in [
        ["pbs", "verify", "offsite:ct/9003"].as_slice(),
        &["pbs", "verify", "offsite:ct/9003", "--dry-run"],
    ] {
        let ran = site.run(args).await;
        assert_eq!(ran.exit, Exit::NoSuchThing, "{args:?}: {ran:?}");
        let text = ran.text();
        assert!(text.contains("lists no backup ct/9003"), "{text}");
        assert!(text.contains("felhom-agent pbs snapshots"), "{text}");
        assert!(!text.contains("nothing is due"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshots_that_share_the_damage_are_named() {
    let site = Site::with_backup().await;
    // A disk of the same content is made of the same chunks, whenever it is backed up.
    let disk = json!({ "tree": {}, "noise": 0, "files": { "drive-scsi0.img.fidx": "one disk" } });
    site.snapshot(SECOND, disk.clone()).await;
    site.snapshot(SECOND + 86_400, disk).await;
    let order = json!({
        "store": "backups", "type": "ct", "id": "9001", "time": SECOND, "archive": "drive-scsi0.img.fidx", "how": "flip",
    });
    let chunk = site.control("pbs-corrupt", order).await["digest"].clone();
    let first = site
        .run(&["pbs", "verify", &format!("offsite:{LATER}")])
        .await;
    assert_eq!(first.exit, Exit::VerdictFailed, "{first:?}");
    let ran = site.run(&["pbs", "verify", "offsite:ct/9001"]).await;
    assert_eq!(ran.exit, Exit::VerdictFailed, "{ran:?}");
    let told = verdict(&ran);
    assert_eq!(told["chunks"], json!([chunk]), "{told}");
    assert_eq!(told["shared_with"], json!([LATER]), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_locked_missing_or_in_progress_is_undetermined_though_the_task_says_ok() {
    let site = Site::with_backup().await;
    let which = json!({ "store": "backups", "type": "ct", "id": "9001", "exclusive": true });
    site.control("pbs-hold", which).await;
    let ran = site.run(&["pbs", "verify", NAME]).await;
    assert_eq!(ran.exit, Exit::Undetermined, "{ran:?}");
    assert_eq!(verdict(&ran)["verdict"], "undetermined", "{ran:?}");
    assert!(ran.text().contains("skipped"), "{}", ran.text());
    assert!(
        codes(&ran).contains("backup-verify-undetermined"),
        "{ran:?}"
    );
    let ran = site.run(&["pbs", "verify", LATER]).await;
    assert_eq!(ran.exit, Exit::Undetermined, "{ran:?}");
    assert!(ran.text().contains("does not hold"), "{}", ran.text());
    let begun = json!({
        "store": "backups", "type": "ct", "id": "9002", "owner": OWNER, "time": FIRST,
    });
    site.control("pbs-begin", begun).await;
    let name = NAME.replace("9001", "9002");
    let ran = site.run(&["pbs", "verify", &name]).await;
    assert_eq!(ran.exit, Exit::Undetermined, "{ran:?}");
    assert!(ran.text().contains("in progress"), "{}", ran.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_window_leaves_the_rest_and_says_so() {
    let site = Site::with_backup().await;
    site.snapshot(SECOND, json!({})).await;
    let ran = site.run(&["pbs", "verify", "--for", "1ms"]).await;
    assert_eq!(ran.exit, Exit::Findings, "{ran:?}");
    let report = ran.data()["servers"][0]["report"].clone();
    assert!(!report["left"].as_array().unwrap().is_empty(), "{report}");
    assert!(ran.text().contains("not begun"), "{}", ran.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_right_to_verify_nothing_is_verified_and_that_is_told() {
    let site = Site::at(20.0, "DatastoreAudit", "/datastore/backups").await;
    site.snapshot(FIRST, json!({})).await;
    site.section("offsite", "backups", "");
    let ran = site.run(&["pbs", "verify"]).await;
    assert_eq!(ran.exit, Exit::Undetermined, "{ran:?}");
    assert!(!site.tasks_were_started().await, "{ran:?}");
}

impl Site {
    async fn tasks_were_started(&self) -> bool {
        let list = ListTasks {
            kind: Some("verify".to_owned()),
            ..ListTasks::default()
        };
        !self.server().tasks(&list).await.unwrap().is_empty()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_server_verifies_and_one_that_is_offline_is_left_alone() {
    let site = Site::with_backup().await;
    let maintenance = json!({ "store": "backups", "mode": "read-only" });
    site.control("pbs-maintenance", maintenance).await;
    let ran = site.run(&["pbs", "verify", NAME]).await;
    assert_eq!(ran.exit, Exit::Done, "{ran:?}");
    let maintenance = json!({ "store": "backups", "mode": "offline" });
    site.control("pbs-maintenance", maintenance).await;
    let ran = site.run(&["pbs", "verify", NAME]).await;
    assert_eq!(ran.exit, Exit::Refused, "{ran:?}");
    let report = ran.data()["servers"][0]["report"].clone();
    assert_eq!(report["verdicts"], json!([]), "{report}");
}
