//! What people do at the node's shell and inside guests, and what goes wrong without a word.

use serde_json::{Value, json};

use crate::story::{AGENT, backup, built_in, config, members};

async fn files(world: &crate::client::World, changes: Value) -> Result<Value, String> {
    let order = json!({ "vmid": 9001, "changes": changes, "list": "/mnt/films" });
    let listed = world.running.control("guest-files", order).await?;
    Ok(listed["files"].clone())
}

#[tokio::test]
async fn root_adds_a_mount_point_to_a_running_guest_and_what_is_copied_there_is_compared() {
    let world = built_in().await;
    let order = json!({ "vmid": 9001, "set": { "mp0": "local-lvm:1,mp=/mnt/films,backup=0" } });
    world.running.control("pct-set", order).await.unwrap();
    let agent = world.as_token(AGENT);
    let mount = config(&agent, 9001).await["mp0"].clone();
    assert_eq!(
        mount,
        "local-lvm:vm-9001-disk-1,mp=/mnt/films,backup=0,size=1G"
    );
    let (from, to) = ("/var/lib/docker/volumes/pgdata/_data", "/mnt/films/data");
    let listed = files(
        &world,
        json!([
            { "do": "mkdir", "path": to },
            { "do": "copy", "from": from, "to": to },
            { "do": "compare", "from": from, "to": to },
        ]),
    )
    .await;
    assert_eq!(listed.unwrap()[0], "/mnt/films/data/PG_VERSION");
    for change in [
        json!({ "do": "rot", "path": format!("{to}/PG_VERSION") }),
        json!({ "do": "write", "path": format!("{to}/more"), "text": "" }),
        json!({ "do": "remove", "path": format!("{to}/PG_VERSION") }),
    ] {
        let compare = json!({ "do": "compare", "from": from, "to": to });
        let refused = files(&world, json!([change, compare])).await.unwrap_err();
        assert!(refused.contains("differs"), "{change}: {refused}");
        let again = json!([
            { "do": "remove", "path": to },
            { "do": "copy", "from": from, "to": to },
            compare,
        ]);
        files(&world, again).await.unwrap();
    }
    // On a mount point of its own, it is in no backup.
    let volid = backup(&agent, 9001, &[]).await;
    let names = members(world.dir.path(), &volid);
    assert!(!names.iter().any(|name| name.starts_with("./mnt/films/")));
}

#[tokio::test]
async fn an_archive_may_lack_something_once_and_its_log_is_silent() {
    let world = built_in().await;
    let agent = world.as_token(AGENT);
    let order = json!({ "paths": ["/var/lib/docker/volumes/pgdata"] });
    world.running.control("vzdump-omits", order).await.unwrap();
    let held = async || {
        let volid = backup(&agent, 9001, &[]).await;
        let names = members(world.dir.path(), &volid);
        ["pgdata", "uploads"].map(|volume| {
            names
                .iter()
                .any(|name| name.contains(&format!("/{volume}/")))
        })
    };
    assert_eq!(held().await, [false, true]);
    assert_eq!(held().await, [true, true]);
}
