//! The same server as a storage of the node: its definition, its key, and the posture of a guest whose only copies are there.

use felhom_agent::exit::Exit;
use felhom_ids::{KeyFingerprint, StorageId};
use felhom_protocol::host::{HostReport, Posture};
use felhom_proxmox::pve::storage::{CreateStorage, PbsPlace, StoragePlace};
use felhom_proxmox::{FollowOptions, Method, Outcome, Request, pve};
use secrecy::SecretString;
use serde_json::json;

use super::*;

const STORAGE: &str = "offsite";

impl Site {
    /// Defines the storage with a key of the node's making, which the agent's token may see.
    async fn define(&self) -> KeyFingerprint {
        self.grant_storage().await;
        let world = &self.bench.world;
        let root = self.bench.root();
        let create = CreateStorage {
            storage: storage(),
            place: StoragePlace::Pbs(Box::new(PbsPlace {
                server: "127.0.0.1".to_owned(),
                port: Some(world.pbs_address().port()),
                datastore: "backups".parse().unwrap(),
                namespace: Namespace::root(),
                fingerprint: Some(world.pbs_fingerprint().parse().unwrap()),
                token: OWNER.parse().unwrap(),
                secret: SecretString::from(world.pbs_tokens()[OWNER].clone()),
                key: Some(SecretString::from("autogen".to_owned())),
                master_key: None,
            })),
            content: vec!["backup".to_owned()],
            prune_backups: None,
        };
        drop(root.call(&create).await.unwrap());
        self.key().await
    }

    async fn key(&self) -> KeyFingerprint {
        let all = self.bench.root().storage_configs().await.unwrap();
        let defined = all.into_iter().find(|one| one.storage == storage());
        defined.unwrap().encryption_key.unwrap().parse().unwrap()
    }

    async fn grant_storage(&self) {
        for auth in ["felhom@pbs", OWNER] {
            let order =
                json!({ "path": "/datastore/backups", "auth": auth, "role": "DatastoreBackup" });
            self.control("pbs-acl", order).await;
        }
        let user = AGENT.split_once('!').unwrap().0;
        for (kind, who) in [("users", user), ("tokens", AGENT)] {
            let grant = Request::new(Method::Put, &[&"access", &"acl"])
                .with("path", format!("/storage/{STORAGE}"))
                .with("roles", "PVEDatastoreUser")
                .with(kind, who);
            let sent = self.bench.root().client().exchange(&grant).await;
            drop(sent.unwrap());
        }
    }

    /// As an admin does it by hand.
    async fn back_up(&self, number: u32) {
        let root = self.bench.root();
        let vzdump = pve::backup::Vzdump::new(vmid(number), storage());
        let task = root.vzdump(&vzdump).await.unwrap();
        let ended = root.finish(task, &FollowOptions::default()).await.unwrap();
        assert_eq!(ended, Outcome::Succeeded);
    }
}

fn storage() -> StorageId {
    STORAGE.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_an_encrypted_backup_to_a_verified_and_audited_one() {
    let site = Site::new().await;
    let key = site.define().await;
    let more = format!("owner = \"{OWNER}\"\nkey_fingerprint = \"{key}\"");
    site.section(STORAGE, "backups", &more);
    site.back_up(9001).await;
    site.agree().await;
    let ran = site.run(&["pbs", "snapshots"]).await;
    let record = ran.data()["servers"][0]["snapshots"][0].clone();
    assert_eq!(record["encrypted"], "encrypted", "{ran:?}");
    assert_eq!(record["verify_state"], "none", "{ran:?}");
    assert_eq!(record["key_fingerprint"], json!(key), "{ran:?}");
    assert_eq!(codes(&ran), "recovery-kit-unconfirmed", "{}", ran.text());
    let said = ["pbs", "kit", "--storage", STORAGE, "--stored-by", "Ada"];
    assert_eq!(site.run(&said).await.exit, Exit::Done);
    let ran = site.run(&["pbs", "verify"]).await;
    assert_eq!(ran.exit, Exit::Done, "{ran:?}");
    site.agree().await;
    let ran = site.run(&["pbs", "snapshots"]).await;
    assert_eq!(ran.exit, Exit::Done, "{ran:?}");
    assert!(ran.text().contains("ok, "), "{}", ran.text());
    let ran = site.run(&["pbs", "audit"]).await;
    assert_eq!(ran.exit, Exit::Done, "{ran:?}");
    site.agree().await;
    let doctor = site.run(&["doctor"]).await.text();
    assert!(doctor.contains("ok   backup server offsite"), "{doctor}");
    let status = site.run(&["status"]).await;
    let text = status.text();
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("1 verified"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_was_replaced_on_the_node_is_told_against_backups_and_section() {
    let site = Site::new().await;
    let former = site.define().await;
    site.section(
        STORAGE,
        "backups",
        &format!("key_fingerprint = \"{former}\""),
    );
    site.back_up(9001).await;
    let replace =
        Request::new(Method::Put, &[&"storage", &STORAGE]).with("encryption-key", "autogen");
    let sent = site.bench.root().client().exchange(&replace).await;
    drop(sent.unwrap());
    assert_ne!(site.key().await, former);
    let ran = site.run(&["doctor"]).await;
    let found = codes(&ran);
    for code in [
        "backup-key-differs",
        "pbs-storage-differs",
        "recovery-kit-unconfirmed",
    ] {
        assert!(found.contains(code), "{code}: {}", ran.text());
    }
    // The backup is of the configured key; the storage's is somebody's.
    let ran = site.run(&["pbs", "audit"]).await;
    assert_eq!(ran.exit, Exit::Undetermined, "{ran:?}");
    let present = site.key().await;
    for key in [former.short(), present.short()] {
        assert!(ran.text().contains(&key), "{key}: {ran:?}");
    }
    let confirm = [
        "pbs",
        "kit",
        "--storage",
        STORAGE,
        "--stored-by",
        "somebody",
    ];
    let ran = site.run(&confirm).await;
    assert_eq!(ran.exit, Exit::Refused, "{ran:?}");
    assert!(ran.text().contains("the configuration names"), "{ran:?}");
    // What is made from now on is opened by a key that is not ours.
    site.back_up(9001).await;
    let ran = site.run(&["pbs", "audit"]).await;
    assert_eq!(ran.exit, Exit::VerdictFailed, "{ran:?}");
    assert!(ran.text().contains("do not remove it"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_on_the_server_takes_the_posture_of_the_guest_down() {
    let site = Site::new().await;
    site.define().await;
    site.section(STORAGE, "backups", "");
    site.back_up(9001).await;
    let order = json!({
        "store": "backups", "type": "ct", "id": "9001", "archive": "root.pxar.didx", "how": "remove",
    });
    site.control("pbs-corrupt", order).await;
    let ran = site.run(&["pbs", "verify", "offsite:ct/9001"]).await;
    assert_eq!(ran.exit, Exit::VerdictFailed, "{ran:?}");
    let status = site.run(&["status"]).await;
    let text = status.text();
    assert!(text.contains("off the box"), "{text}");
    assert!(text.contains("FAILED their verify"), "{text}");
    // Nothing else is wrong with it, and nobody can look at the server any more: it is not better for that.
    site.bench.backup(9001).await;
    let ran = site.run(&["restore-test", "run", "9001"]).await;
    assert_eq!(ran.exit, Exit::Done, "{ran:?}");
    let told = report(&site).await;
    let guest = |told: &HostReport| told.guests.iter().find(|one| one.vmid == 9001).cloned();
    assert_eq!(guest(&told).unwrap().posture, Posture::Attention);
    assert!(
        told.findings
            .iter()
            .any(|one| one.code == "backup-verify-failed")
    );
    let text = std::fs::read_to_string(&site.bench.config).unwrap();
    let away = text.replace(&site.bench.world.pbs_url(), "https://127.0.0.1:1");
    std::fs::write(&site.bench.config, away).unwrap();
    let told = report(&site).await;
    let seen = guest(&told).unwrap();
    assert_eq!(seen.posture, Posture::Unknown);
    assert_eq!(
        seen.reasons,
        ["its copies off the box could not be looked at"]
    );
    let look = felhom_agent::notify::look(&told, &[]);
    assert!(look.blind.covers("posture", "guest 9001"));
    assert!(
        look.blind
            .covers("backup-verify-failed", "backups ct/9001 on offsite")
    );
}

async fn report(site: &Site) -> HostReport {
    serde_json::from_value(site.run(&["report"]).await.data()).unwrap()
}
