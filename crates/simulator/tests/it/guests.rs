//! Containers: made, started, stopped, removed.

use std::time::Duration;

use serde_json::{Value, json};

use crate::story::{AGENT, NODE, ROOT_TOKEN, built_in, config, delete, post};

const TEMPLATE: &str = "local:vztmpl/debian-13-mini_13.1-1_amd64.tar.zst";

/// What the recorded creations passed, with these options instead or besides.
pub(crate) fn options<'a>(vmid: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut params = vec![
        ("vmid", vmid),
        ("ostemplate", TEMPLATE),
        ("rootfs", "local-lvm:1"),
        ("hostname", "demo-new"),
        ("memory", "256"),
        ("swap", "0"),
        ("cores", "1"),
        ("unprivileged", "1"),
        ("net0", "name=eth0,bridge=vmbr0,ip=dhcp"),
        ("ostype", "debian"),
    ];
    params.retain(|(key, _)| !more.iter().any(|(other, _)| other == key));
    params.extend(more);
    params
}

#[tokio::test]
async fn a_container_is_made_as_recorded() {
    let world = built_in().await;
    let agent = world.as_token(AGENT);
    let task = post(
        &agent,
        "/lxc",
        &options("9020", &[("features", "nesting=1")]),
    )
    .await
    .ok();
    assert!(task.has("Detected container architecture: amd64"));
    assert!(task.has("\t32768, 98304, 163840, 229376"));
    let mut new = config(&agent, 9020).await;
    let net = new["net0"].take();
    assert!(
        net.as_str()
            .unwrap()
            .starts_with("name=eth0,bridge=vmbr0,hwaddr=BC:24:11:")
    );
    assert!(net.as_str().unwrap().ends_with(",ip=dhcp,type=veth"));
    new.as_object_mut().unwrap().remove("digest");
    let expected = json!({
        "arch": "amd64", "cores": 1, "features": "nesting=1", "hostname": "demo-new", "memory": 256,
        "net0": null, "ostype": "debian", "rootfs": "local-lvm:vm-9020-disk-0,size=1G", "swap": 0,
        "unprivileged": 1,
    });
    assert_eq!(new, expected);
}

#[tokio::test]
async fn what_only_root_may_make() {
    let world = built_in().await;
    let (agent, root) = (world.as_token(AGENT), world.root().await);
    let path = format!("{NODE}/lxc");
    let keyctl = options("9020", &[("features", "nesting=1,keyctl=1")]);
    let text = "Permission check failed (changing feature flags (except nesting) is only allowed for root@pam)";
    for who in [&agent, &world.as_token(ROOT_TOKEN)] {
        who.post(&path, &keyctl).await.says(403, text);
    }
    let privileged = options("9020", &[("unprivileged", "0"), ("features", "nesting=1")]);
    agent
        .post(&path, &privileged)
        .await
        .says(403, "Permission check failed (/, Sys.Modify)");
    let bind = options("9020", &[("mp0", "/var/lib/bindmount,mp=/x")]);
    let text = "Permission check failed (mount point type bind is only allowed for root@pam)";
    agent.post(&path, &bind).await.says(403, text);
    post(&root, "/lxc", &keyctl).await.ok();
    assert_eq!(config(&root, 9020).await["features"], "nesting=1,keyctl=1");
}

#[tokio::test]
async fn power_refusals_are_synchronous() {
    let world = built_in().await;
    let agent = world.as_token(AGENT);
    let guest = |rest: &str| format!("{NODE}/lxc/9001{rest}");
    agent
        .post(&guest("/status/start"), &[])
        .await
        .says(500, "CT 9001 already running");
    agent
        .delete(&guest(""))
        .await
        .says(500, "unable to destroy CT 9001 - container is running");
    let skip = agent
        .post(&guest("/status/stop"), &[("skiplock", "1")])
        .await;
    assert_eq!(
        skip.json()["errors"],
        json!({"skiplock": "Only root may use this option."})
    );
    post(&agent, "/lxc/9001/status/shutdown", &[("timeout", "20")])
        .await
        .ok();
    agent
        .post(&guest("/status/stop"), &[])
        .await
        .says(500, "CT 9001 not running");
    agent
        .post(&guest("/status/reboot"), &[])
        .await
        .says(500, "VM 9001 not running");
    assert_eq!(agent.get(&guest("/interfaces")).await.data(), Value::Null);
}

type Forbidden = (
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static str,
);

const FORBIDDEN: [Forbidden; 3] = [
    ("clone", &[("newid", "9500")], "VM.Clone"),
    ("migrate", &[("target", "other")], "VM.Migrate"),
    ("vncproxy", &[], "VM.Console"),
];

#[tokio::test]
async fn what_the_agents_role_does_not_hold_and_what_is_not_there() {
    let world = built_in().await;
    let agent = world.as_token(AGENT);
    for (name, params, privilege) in FORBIDDEN {
        let answer = agent.post(&format!("{NODE}/lxc/9010/{name}"), params).await;
        answer.says(
            403,
            &format!("Permission check failed (/vms/9010, {privilege})"),
        );
    }
    let gone = agent.get(&format!("{NODE}/lxc/4444/config")).await;
    gone.says(
        500,
        "Configuration file 'nodes/demo-felhom/lxc/4444.conf' does not exist",
    );
    assert_eq!(
        agent
            .get(&format!("{NODE}/lxc/4444/interfaces"))
            .await
            .data(),
        Value::Null
    );
}

#[tokio::test]
async fn guests_that_cannot_boot_or_do_not_last() {
    let world = built_in().await;
    let agent = world.as_token(AGENT);
    let files = async |files: Value| {
        let stopped = post(&agent, "/lxc/9001/status/stop", &[]).await;
        assert_eq!(stopped.exit, "OK");
        let order = json!({"vmid": 9001, "files": files});
        world.running.control("poke-guest", order).await.unwrap();
    };
    files(json!({"sbin/ifup": null})).await;
    post(&agent, "/lxc/9001/status/start", &[]).await.ok();
    tokio::time::sleep(Duration::from_millis(60)).await;
    let list = agent
        .get(&format!("{NODE}/lxc/9001/interfaces"))
        .await
        .data();
    let bare = |row: &Value| row["ip-addresses"] == json!([]);
    assert!(list.as_array().unwrap().iter().all(bare), "{list}");
    files(json!({"sbin/init": null})).await;
    let task = post(&agent, "/lxc/9001/status/start", &[]).await;
    assert_eq!(task.exit, "startup for container '9001' failed");
    let poke = json!({"vmid": 9001, "files": {"sbin/init": "", "etc/sim-crash-after": "1"}});
    world.running.control("poke-guest", poke).await.unwrap();
    post(&agent, "/lxc/9001/status/start", &[]).await.ok();
    tokio::time::sleep(Duration::from_millis(60)).await;
    let status = agent
        .get(&format!("{NODE}/lxc/9001/status/current"))
        .await
        .data();
    assert_eq!(status["status"], "stopped");
}

#[tokio::test]
async fn a_lock_left_behind_is_refused_everywhere() {
    let world = built_in().await;
    let agent = world.as_token(AGENT);
    post(&agent, "/lxc/9001/status/stop", &[]).await.ok();
    world
        .running
        .control(
            "poke-guest",
            json!({"vmid": 9001, "set": {"lock": "backup"}}),
        )
        .await
        .unwrap();
    let text = "CT is locked (backup)";
    agent
        .put(&format!("{NODE}/lxc/9001/config"), &[("cores", "2")])
        .await
        .says(500, text);
    agent
        .delete(&format!("{NODE}/lxc/9001"))
        .await
        .says(500, text);
    assert_eq!(post(&agent, "/lxc/9001/status/start", &[]).await.exit, text);
    assert_eq!(
        post(&agent, "/lxc/9001/snapshot", &[("snapname", "s1")])
            .await
            .exit,
        text
    );
    let dump = post(&agent, "/vzdump", &[("vmid", "9001"), ("storage", "local")]).await;
    assert!(
        dump.has("ERROR: Backup of VM 9001 failed - CT is locked (backup)"),
        "{:#?}",
        dump.log
    );
    // A boot removes left-over backup locks, and only those.
    world.running.power_cut(Duration::from_secs(10)).await;
    let lock = world.running.state()["world"]["guests"]["9001"]["lock"].clone();
    assert_eq!(lock, Value::Null);
}

const EXTRA: [(&str, &str); 4] = [
    ("vmid", "9020"),
    ("filename", "vm-9020-disk-9"),
    ("size", "64M"),
    ("format", "raw"),
];
const FOREIGN: [(&str, &str); 3] = [
    ("vmid", "9020"),
    ("filename", "vm-9999-disk-9"),
    ("size", "64M"),
];
const GRANT: [(&str, &str); 3] = [
    ("path", "/vms/9020"),
    ("roles", "PVEVMUser"),
    ("users", "felhom-ctl@pve"),
];

#[tokio::test]
async fn removal_takes_volumes_rights_and_membership_with_it() {
    let world = built_in().await;
    let (agent, root) = (world.as_token(AGENT), world.root().await);
    post(&agent, "/lxc", &options("9020", &[])).await.ok();
    root.put("/access/acl", &GRANT).await.ok();
    root.put("/pools", &[("poolid", "felhom-scratch"), ("vms", "9020")])
        .await
        .ok();
    let path = format!("{NODE}/storage/local-lvm/content");
    assert_eq!(
        agent.post(&path, &EXTRA).await.data(),
        "local-lvm:vm-9020-disk-9"
    );
    let foreign = agent.post(&path, &FOREIGN).await;
    foreign.says(500, "illegal name 'vm-9999-disk-9' - should be 'vm-9020-*'");
    post(&agent, "/lxc/9020/status/start", &[]).await.ok();
    let how = "?force=1&purge=1&destroy-unreferenced-disks=1";
    let task = delete(&agent, &format!("/lxc/9020{how}")).await.ok();
    let expected = [
        "forced to stop CT 9020 before destroying!",
        "  Logical volume \"vm-9020-disk-0\" successfully removed.",
        "  Logical volume \"vm-9020-disk-9\" successfully removed.",
        "purging CT 9020 from related configurations..",
        "TASK OK",
    ];
    assert_eq!(task.log, expected);
    let acl = root.get("/access/acl").await.data();
    assert!(
        acl.as_array()
            .unwrap()
            .iter()
            .all(|row| row["path"] != "/vms/9020")
    );
    assert_eq!(
        world.running.state()["pools"]["felhom-scratch"]["vms"],
        json!([])
    );
}
