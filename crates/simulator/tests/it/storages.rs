//! Storages of other machines, and what a dead one does to the rest. Derived from pve-storage: `NFSPlugin.pm`,
//! `CIFSPlugin.pm`, `Storage.pm` (`activate_storage`, `storage_info`, `volume_list`).

use serde_json::json;

use crate::story::{NODE, ROOT_TOKEN, built_in};

const SERVER: &str = "192.0.2.20";

#[tokio::test]
async fn a_network_storage_is_defined_once_somebody_exports_it() {
    let world = built_in().await;
    let root = world.as_token(ROOT_TOKEN);
    let define = async |export: &str| {
        let form = [
            ("storage", "nas"),
            ("type", "nfs"),
            ("server", SERVER),
            ("export", export),
            ("content", "backup"),
        ];
        root.post("/storage", &form).await
    };
    let refused = define("/a").await;
    assert_eq!(refused.status, 500);
    assert!(refused.reason.contains("storage 'nas' is not online"));
    for (kind, known) in [("nfs", true), ("smb", false)] {
        let order =
            json!({ "kind": kind, "server": SERVER, "name": "/a", "total": 1000, "used": 300 });
        assert_eq!(
            world.running.control("put-export", order).await.is_ok(),
            known
        );
    }
    let refused = define("/b").await;
    assert!(refused.reason.contains("mounting 192.0.2.20:/b failed"));
    assert_eq!(define("/a").await.status, 200);
    let defined = root.get("/storage/nas").await.data();
    assert_eq!(defined["path"], "/mnt/pve/nas");
    assert_eq!(defined["shared"], 1);
    let status = root.get(&format!("{NODE}/storage/nas/status")).await.data();
    assert_eq!(
        (
            &status["active"],
            &status["total"],
            &status["used"],
            &status["avail"]
        ),
        (&json!(1), &json!(1000), &json!(300), &json!(700))
    );
    let gone = json!({ "server": SERVER, "name": "/a" });
    world.running.control("remove-export", gone).await.unwrap();
    let status = root.get(&format!("{NODE}/storage/nas/status")).await.data();
    assert_eq!(
        (&status["active"], &status["total"]),
        (&json!(0), &json!(0))
    );
}

/// The status of any storage waits for all of them; the content of one waits for that one only.
#[tokio::test]
async fn a_silent_storage_holds_up_all_states_and_no_other_content() {
    let world = built_in().await;
    let root = world.as_token(ROOT_TOKEN);
    let behave = |state: &'static str| {
        let order = json!({ "storage": "local", "state": state });
        world.running.control("storage-state", order)
    };
    let now = || world.running.now();
    behave("silent").await.unwrap();
    for path in ["storage", "storage/local-lvm/status"] {
        let begun = now();
        assert_eq!(root.get(&format!("{NODE}/{path}")).await.status, 200);
        assert!(now() - begun >= 9, "{path}");
    }
    let content = root.get(&format!("{NODE}/storage/local/content")).await;
    assert!(
        content
            .reason
            .contains("unable to activate storage 'local'")
    );
    behave("hang").await.unwrap();
    let late = root.get(&format!("{NODE}/storage/local-lvm/status")).await;
    assert_eq!(late.status, 596);
    let begun = now();
    let other = root.get(&format!("{NODE}/storage/local-lvm/content")).await;
    assert_eq!(other.status, 200);
    assert!(now() - begun < 9);
    behave("online").await.unwrap();
    assert_eq!(root.get(&format!("{NODE}/storage")).await.status, 200);
    let unknown = json!({ "storage": "nas", "state": "offline" });
    assert!(
        world
            .running
            .control("storage-state", unknown)
            .await
            .is_err()
    );
}
