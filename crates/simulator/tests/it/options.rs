//! Options of containers: who may change what, and when it takes effect.

use serde_json::json;

use crate::guests::options;
use crate::story::{AGENT, NODE, ROOT_TOKEN, built_in, config, post};

const ALLOWED: [(&str, &str); 8] = [
    ("memory", "512"),
    ("cores", "2"),
    ("onboot", "1"),
    ("tags", "felhom;demo"),
    ("mp1", "local-lvm:1,mp=/srv/data,backup=1"),
    ("mp2", "local-lvm:1,mp=/srv/cache,backup=0"),
    ("net0", "name=eth0,bridge=vmbr0,ip=dhcp,rate=10"),
    ("description", "a line\nb"),
];

const BIND: &str = "Permission check failed (mount point type bind is only allowed for root@pam)";
const FEATURES: &str = "Permission check failed (changing feature flags (except nesting) is only allowed for root@pam)";
const HOOK: &str = "Permission check failed (changing the hookscript is only allowed for root@pam)";
const DEVICE: &str =
    "Permission check failed (configuring device passthrough is only allowed for root@pam)";

const REFUSED: [(&str, &str, u16, &str); 8] = [
    ("mp3", "/var/lib/bindmount,mp=/srv/bind", 403, BIND),
    ("features", "nesting=1,keyctl=1", 403, FEATURES),
    ("hookscript", "local:snippets/x.pl", 403, HOOK),
    ("dev0", "/dev/ttyUSB0", 403, DEVICE),
    (
        "unprivileged",
        "0",
        500,
        "unable to modify read-only option: 'unprivileged'",
    ),
    (
        "delete",
        "memory",
        500,
        "unable to delete required option 'memory'",
    ),
    ("lxc", "x", 400, "Parameter verification failed."),
    (
        "net0",
        "bridge=vmbr0",
        400,
        "Parameter verification failed.",
    ),
];

#[tokio::test]
async fn a_token_may_change_what_the_recordings_let_it() {
    let world = built_in().await;
    let agent = world.as_token(AGENT);
    post(
        &agent,
        "/lxc",
        &options("9020", &[("features", "nesting=1")]),
    )
    .await
    .ok();
    let path = format!("{NODE}/lxc/9020/config");
    for pair in ALLOWED {
        agent.put(&path, &[pair]).await.ok();
    }
    let new = config(&agent, 9020).await;
    assert_eq!(new["tags"], "demo;felhom");
    assert_eq!(
        (&new["description"], &new["onboot"]),
        (&json!("a line\nb\n"), &json!(1))
    );
    assert_eq!(
        new["mp2"],
        "local-lvm:vm-9020-disk-2,mp=/srv/cache,backup=0,size=1G"
    );
    agent.put(&path, &[("delete", "features")]).await.ok();
    agent.put(&path, &[("delete", "mp1")]).await.ok();
    assert_eq!(
        config(&agent, 9020).await["unused0"],
        "local-lvm:vm-9020-disk-1"
    );
    agent.put(&path, &[("protection", "1")]).await.ok();
    let guest = format!("{NODE}/lxc/9020");
    agent
        .delete(&guest)
        .await
        .says(500, "can't remove CT 9020 - protection mode enabled");
}

#[tokio::test]
async fn what_is_refused_is_refused_in_pves_words() {
    let world = built_in().await;
    let agent = world.as_token(AGENT);
    post(
        &agent,
        "/lxc",
        &options("9020", &[("features", "nesting=1")]),
    )
    .await
    .ok();
    let path = format!("{NODE}/lxc/9020/config");
    let before = config(&agent, 9020).await;
    for (key, value, status, text) in REFUSED {
        agent.put(&path, &[(key, value)]).await.says(status, text);
    }
    let stale = [
        ("memory", "256"),
        ("digest", "0000000000000000000000000000000000000000"),
    ];
    let text = "detected modified configuration - file changed by other user? Try again.";
    agent.put(&path, &stale).await.says(500, text);
    let errors = agent.put(&path, &[("delete", "foo")]).await.json()["errors"].clone();
    assert_eq!(errors, json!({"delete": "unknown option 'foo'"}));
    let errors = agent.put(&path, &[("net0", "bridge=vmbr0")]).await.json()["errors"].clone();
    let text =
        "invalid format - format error\nnet0.name: property is missing and it is not optional\n";
    assert_eq!(errors["net0"], text);
    assert_eq!(config(&agent, 9020).await, before);
}

#[tokio::test]
async fn changes_to_a_running_guest_wait_or_take_effect() {
    let world = built_in().await;
    let root = world.root().await;
    let path = format!("{NODE}/lxc/9001/config");
    root.put(&path, &[("memory", "384"), ("nameserver", "192.0.2.53")])
        .await
        .ok();
    let pending = root.get(&format!("{NODE}/lxc/9001/pending")).await.data();
    let row = |key: &str| {
        pending
            .as_array()
            .unwrap()
            .iter()
            .find(|row| row["key"] == key)
            .cloned()
            .unwrap_or_default()
    };
    assert_eq!(row("memory"), json!({"key": "memory", "value": 384}));
    assert_eq!(
        row("nameserver"),
        json!({"key": "nameserver", "pending": "192.0.2.53"})
    );
    assert_eq!(config(&root, 9001).await["nameserver"], "192.0.2.53");
    assert!(
        root.get(&format!("{path}?current=1"))
            .await
            .data()
            .get("nameserver")
            .is_none()
    );
    post(&root, "/lxc/9001/status/stop", &[]).await.ok();
    post(&root, "/lxc/9001/status/start", &[]).await.ok();
    assert_eq!(
        root.get(&format!("{path}?current=1")).await.data()["nameserver"],
        "192.0.2.53"
    );
}

#[tokio::test]
async fn an_unknown_bridge_is_saved_in_spite_of_the_error() {
    let world = built_in().await;
    let root = world.as_token(ROOT_TOKEN);
    post(&root, "/lxc", &options("9020", &[])).await.ok();
    let path = format!("{NODE}/lxc/9020/config");
    root.put(&path, &[("net0", "name=eth0,bridge=vmbr99")])
        .await
        .says(500, "bridge 'vmbr99' does not exist");
    assert!(
        config(&root, 9020).await["net0"]
            .as_str()
            .unwrap()
            .contains("vmbr99")
    );
    root.put(&path, &[("cores", "3")])
        .await
        .says(500, "bridge 'vmbr99' does not exist");
    assert_eq!(config(&root, 9020).await["cores"], 3);
    let task = post(&root, "/lxc/9020/status/start", &[]).await;
    assert_eq!(task.exit, "startup for container '9020' failed");
}
