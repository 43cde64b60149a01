//! Which storage stands under a name, whether it is there, and how long a dead one keeps the others waiting.

mod away;
mod decisions;
mod defined;

use std::time::Duration;

use felhom_agent::exit::Exit;
use felhom_proxmox::pve::storage::{CreateStorage, StoragePlace};
use felhom_proxmox::{Method, Request};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::*;

pub(super) const SERVER: &str = "192.0.2.20";
const GIB: u64 = 1 << 30;

/// Another machine exports this, with so much in use of 100 GiB.
pub(super) async fn export(bench: &Bench, kind: &str, name: &str, used_gib: u64) {
    let order = json!({
        "kind": kind, "server": SERVER, "name": name, "total": 100 * GIB, "used": used_gib * GIB,
    });
    bench.world.control("put-export", order).await.unwrap();
}

pub(super) async fn behave(bench: &Bench, storage: &str, state: &str) {
    let order = json!({ "storage": storage, "state": state });
    bench.world.control("storage-state", order).await.unwrap();
}

pub(super) async fn define(bench: &Bench, id: &str, place: StoragePlace) {
    let create = CreateStorage {
        storage: id.parse().unwrap(),
        place,
        content: vec!["backup".to_owned()],
        prune_backups: None,
    };
    let made = bench.root().call(&create).await.unwrap();
    assert_eq!(made.storage.to_string(), id);
}

pub(super) fn nfs(export: &str) -> StoragePlace {
    StoragePlace::Nfs {
        server: SERVER.to_owned(),
        export: export.to_owned(),
        options: None,
    }
}

pub(super) async fn undefine(bench: &Bench, id: &str) {
    let delete = Request::new(Method::Delete, &[&"storage", &id]);
    let () = bench.root().client().send(&delete).await.unwrap();
}

/// A box with an NFS storage `nas`.
pub(super) async fn with_nas(speed: f64, extra: &str) -> Bench {
    let bench = Bench::at(speed, extra, None).await;
    export(&bench, "nfs", "/export/a", 40).await;
    define(&bench, "nas", nfs("/export/a")).await;
    bench
}

pub(super) fn of<'a>(listed: &'a Value, id: &str) -> &'a Value {
    let mut all = listed.as_array().unwrap().iter();
    let found = all.find(|one| one["id"] == id);
    found.unwrap_or_else(|| panic!("no `{id}` in {listed}"))
}

/// What `storage list` says of one, and how it ended.
pub(super) async fn listed(bench: &Bench, id: &str) -> (Exit, Value) {
    let ran = bench.run(&["storage", "list"]).await;
    (ran.exit, of(&ran.data(), id).clone())
}

pub(super) async fn state(bench: &Bench, id: &str) -> (Exit, String) {
    let (exit, one) = listed(bench, id).await;
    (exit, one["state"].as_str().unwrap().to_owned())
}

/// The codes and subjects of `doctor` that are about storages.
pub(super) async fn doctor(bench: &Bench) -> Vec<(String, String)> {
    let data = bench.run(&["doctor"]).await.data();
    let findings = data["findings"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    findings
        .map(|one| (text(&one["code"]), text(&one["subject"])))
        .filter(|(_, subject)| subject.starts_with("storage "))
        .collect()
}

pub(super) fn one(code: &str, id: &str) -> Vec<(String, String)> {
    vec![(code.to_owned(), format!("storage {id}"))]
}

/// In real time: the node never answers for the dead one, and neither for the list.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_dead_storage_keeps_nobody_from_being_seen() {
    let bench = with_nas(1.0, FAST).await;
    export(&bench, "cifs", "backup", 10).await;
    let share = StoragePlace::Cifs {
        server: SERVER.to_owned(),
        share: "backup".to_owned(),
        username: None,
        password: None,
    };
    define(&bench, "share", share).await;
    assert_eq!(state(&bench, "nas").await, (Exit::Done, "attached".into()));
    behave(&bench, "nas", "hang").await;
    let begun = Instant::now();
    let ran = bench.run(&["storage", "list"]).await;
    // Two seconds for the list, two for the dead one.
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(7), "{took:?}");
    let data = ran.data();
    assert_eq!(of(&data, "nas")["state"], "unknown");
    assert_eq!(of(&data, "nas")["why"], "it did not answer within 2 s");
    assert_eq!(of(&data, "nas")["active"], Value::Null);
    for id in ["local", "local-lvm", "share"] {
        assert_eq!(of(&data, id)["state"], "attached", "{data}");
        assert_eq!(of(&data, id)["active"], true);
    }
    assert_eq!(ran.exit, Exit::Done, "what does not answer is not gone");
    // The whole page comes, and does not say of a guest that it has no backup.
    let begun = Instant::now();
    let page = bench.run(&["status"]).await;
    assert!(begun.elapsed() < Duration::from_secs(12));
    assert_eq!(page.data()["guests"][0]["posture"], "unknown");
    let line = "nas: UNKNOWN, it did not answer within 2 s";
    assert!(page.text().contains(line), "{page:?}");
}

/// In fast time: the front of the node loses patience before we do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_node_that_waits_in_vain_is_told_from_a_server_that_is_gone() {
    let bench = with_nas(SPEED, FAST).await;
    assert_eq!(state(&bench, "nas").await, (Exit::Done, "attached".into()));
    behave(&bench, "nas", "hang").await;
    let (exit, nas) = listed(&bench, "nas").await;
    assert_eq!((exit, &nas["state"]), (Exit::Done, &json!("unknown")));
    assert_eq!(nas["why"], "the node got no answer from it");
    // Ten seconds of silence make a server dead for PVE: that is an answer.
    behave(&bench, "nas", "silent").await;
    let (exit, nas) = listed(&bench, "nas").await;
    assert_eq!((exit, &nas["state"]), (Exit::Findings, &json!("detached")));
    assert_eq!(nas["why"], "the node cannot reach it");
}

/// Asked by itself, a storage that is not online says so though another one stands still.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_a_dead_storage_one_that_is_gone_is_still_told_as_gone() {
    let bench = with_nas(SPEED, FAST).await;
    export(&bench, "nfs", "/export/b", 1).await;
    define(&bench, "other", nfs("/export/b")).await;
    assert_eq!(
        state(&bench, "other").await,
        (Exit::Done, "attached".into())
    );
    behave(&bench, "nas", "hang").await;
    behave(&bench, "other", "offline").await;
    let (exit, other) = listed(&bench, "other").await;
    assert_eq!(
        (exit, &other["state"]),
        (Exit::Findings, &json!("detached"))
    );
    assert_eq!(other["why"], "storage 'other' is not online");
}
