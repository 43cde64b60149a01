//! Containers: options, power, snapshots, removal.

use std::time::Duration;

use serde_json::{Value, json};

use crate::story::{AGENT, NODE, ROOT_TOKEN, built_in, config, delete, post};

const TEMPLATE: &str = "local:vztmpl/debian-13-mini_13.1-1_amd64.tar.zst";

fn options<'a>(vmid: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
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
async fn creation_follows_the_recordings() {
    let world = built_in().await;
    let (agent, root) = (world.as_token(AGENT), world.root().await);
    let path = format!("{NODE}/lxc");
    let keyctl = options("9020", &[("features", "nesting=1,keyctl=1")]);
    for who in [&agent, &world.as_token(ROOT_TOKEN)] {
        let answer = who.post(&path, &keyctl).await;
        answer.says(403, "Permission check failed (changing feature flags (except nesting) is only allowed for root@pam)");
    }
    let answer = agent
        .post(
            &path,
            &options("9020", &[("unprivileged", "0"), ("features", "nesting=1")]),
        )
        .await;
    answer.says(403, "Permission check failed (/, Sys.Modify)");
    let bind = options("9020", &[("mp0", "/var/lib/bindmount,mp=/x")]);
    agent.post(&path, &bind).await.says(
        403,
        "Permission check failed (mount point type bind is only allowed for root@pam)",
    );
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
    assert_eq!(
        new,
        json!({
            "arch": "amd64", "cores": 1, "features": "nesting=1", "hostname": "demo-new", "memory": 256, "net0": null,
            "ostype": "debian", "rootfs": "local-lvm:vm-9020-disk-0,size=1G", "swap": 0, "unprivileged": 1,
        })
    );
    let mut params = keyctl;
    params[0] = ("vmid", "9021");
    post(&root, "/lxc", &params).await.ok();
    assert_eq!(config(&root, 9021).await["features"], "nesting=1,keyctl=1");
}

#[tokio::test]
async fn options_change_as_recorded() {
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
    for (key, value) in [
        ("memory", "512"),
        ("cores", "2"),
        ("onboot", "1"),
        ("tags", "felhom;demo"),
        ("mp1", "local-lvm:1,mp=/srv/data,backup=1"),
        ("mp2", "local-lvm:1,mp=/srv/cache,backup=0"),
        ("net0", "name=eth0,bridge=vmbr0,ip=dhcp,rate=10"),
        ("description", "a line\nb"),
    ] {
        agent.put(&path, &[(key, value)]).await.ok();
    }
    let new = config(&agent, 9020).await;
    assert_eq!(
        (&new["tags"], &new["description"], &new["onboot"]),
        (&json!("demo;felhom"), &json!("a line\nb\n"), &json!(1))
    );
    assert_eq!(
        new["mp2"],
        "local-lvm:vm-9020-disk-2,mp=/srv/cache,backup=0,size=1G"
    );
    let refused = |key: &'static str, value: &'static str, status: u16, text: &'static str| {
        (key, value, status, text)
    };
    for (key, value, status, text) in [
        refused(
            "mp3",
            "/var/lib/bindmount,mp=/srv/bind",
            403,
            "Permission check failed (mount point type bind is only allowed for root@pam)",
        ),
        refused(
            "features",
            "nesting=1,keyctl=1",
            403,
            "Permission check failed (changing feature flags (except nesting) is only allowed for root@pam)",
        ),
        refused(
            "hookscript",
            "local:snippets/x.pl",
            403,
            "Permission check failed (changing the hookscript is only allowed for root@pam)",
        ),
        refused(
            "dev0",
            "/dev/ttyUSB0",
            403,
            "Permission check failed (configuring device passthrough is only allowed for root@pam)",
        ),
        refused(
            "unprivileged",
            "0",
            500,
            "unable to modify read-only option: 'unprivileged'",
        ),
        refused(
            "delete",
            "memory",
            500,
            "unable to delete required option 'memory'",
        ),
        refused("lxc", "x", 400, "Parameter verification failed."),
        refused(
            "net0",
            "bridge=vmbr0",
            400,
            "Parameter verification failed.",
        ),
    ] {
        agent.put(&path, &[(key, value)]).await.says(status, text);
    }
    let stale = [
        ("memory", "256"),
        ("digest", "0000000000000000000000000000000000000000"),
    ];
    agent.put(&path, &stale).await.says(
        500,
        "detected modified configuration - file changed by other user? Try again.",
    );
    agent.put(&path, &[("delete", "features")]).await.ok();
    let answer = agent.put(&path, &[("delete", "foo")]).await;
    assert_eq!(
        answer.json()["errors"],
        json!({"delete": "unknown option 'foo'"})
    );
    let answer = agent.put(&path, &[("net0", "bridge=vmbr0")]).await;
    assert_eq!(
        answer.json()["errors"]["net0"],
        "invalid format - format error\nnet0.name: property is missing and it is not optional\n"
    );
    agent.put(&path, &[("protection", "1")]).await.ok();
    agent
        .delete(&format!("{NODE}/lxc/9020"))
        .await
        .says(500, "can't remove CT 9020 - protection mode enabled");
    agent.put(&path, &[("protection", "0")]).await.ok();
    agent.put(&path, &[("delete", "mp1")]).await.ok();
    assert_eq!(
        config(&agent, 9020).await["unused0"],
        "local-lvm:vm-9020-disk-1"
    );
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

#[tokio::test]
async fn power_refusals_are_synchronous() {
    let world = built_in().await;
    let agent = world.as_token(AGENT);
    agent
        .post(&format!("{NODE}/lxc/9001/status/start"), &[])
        .await
        .says(500, "CT 9001 already running");
    agent
        .delete(&format!("{NODE}/lxc/9001"))
        .await
        .says(500, "unable to destroy CT 9001 - container is running");
    let skip = agent
        .post(
            &format!("{NODE}/lxc/9001/status/stop"),
            &[("skiplock", "1")],
        )
        .await;
    assert_eq!(
        skip.json()["errors"],
        json!({"skiplock": "Only root may use this option."})
    );
    post(&agent, "/lxc/9001/status/shutdown", &[("timeout", "20")])
        .await
        .ok();
    agent
        .post(&format!("{NODE}/lxc/9001/status/stop"), &[])
        .await
        .says(500, "CT 9001 not running");
    agent
        .post(&format!("{NODE}/lxc/9001/status/reboot"), &[])
        .await
        .says(500, "VM 9001 not running");
    assert_eq!(
        agent
            .get(&format!("{NODE}/lxc/9001/interfaces"))
            .await
            .data(),
        Value::Null
    );
    assert_eq!(
        agent
            .get(&format!("{NODE}/lxc/4444/interfaces"))
            .await
            .data(),
        Value::Null
    );
    let gone = agent.get(&format!("{NODE}/lxc/4444/config")).await;
    gone.says(
        500,
        "Configuration file 'nodes/demo-felhom/lxc/4444.conf' does not exist",
    );
    agent
        .post(&format!("{NODE}/lxc/9010/clone"), &[("newid", "9500")])
        .await
        .says(403, "Permission check failed (/vms/9010, VM.Clone)");
    agent
        .post(&format!("{NODE}/lxc/9010/migrate"), &[("target", "other")])
        .await
        .says(403, "Permission check failed (/vms/9010, VM.Migrate)");
    agent
        .post(&format!("{NODE}/lxc/9010/vncproxy"), &[])
        .await
        .says(403, "Permission check failed (/vms/9010, VM.Console)");
}

#[tokio::test]
async fn guests_that_cannot_boot_or_do_not_last() {
    let world = built_in().await;
    let agent = world.as_token(AGENT);
    post(&agent, "/lxc/9001/status/stop", &[]).await.ok();
    world
        .running
        .control(
            "poke-guest",
            json!({"vmid": 9001, "files": {"etc/sim-crash-after": "1"}}),
        )
        .await
        .unwrap();
    post(&agent, "/lxc/9001/status/start", &[]).await.ok();
    tokio::time::sleep(Duration::from_millis(60)).await;
    let status = agent
        .get(&format!("{NODE}/lxc/9001/status/current"))
        .await
        .data();
    assert_eq!(status["status"], "stopped");
    world
        .running
        .control(
            "poke-guest",
            json!({"vmid": 9001, "files": {"sbin/ifup": null, "etc/sim-crash-after": null}}),
        )
        .await
        .unwrap();
    post(&agent, "/lxc/9001/status/start", &[]).await.ok();
    tokio::time::sleep(Duration::from_millis(60)).await;
    let list = agent
        .get(&format!("{NODE}/lxc/9001/interfaces"))
        .await
        .data();
    assert!(
        list.as_array()
            .unwrap()
            .iter()
            .all(|row| row["ip-addresses"] == json!([])),
        "{list}"
    );
    post(&agent, "/lxc/9001/status/stop", &[]).await.ok();
    world
        .running
        .control(
            "poke-guest",
            json!({"vmid": 9001, "files": {"sbin/init": null}}),
        )
        .await
        .unwrap();
    let task = post(&agent, "/lxc/9001/status/start", &[]).await;
    assert_eq!(task.exit, "startup for container '9001' failed");
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

#[tokio::test]
async fn snapshots_are_taken_listed_rolled_back_and_removed() {
    let world = built_in().await;
    let agent = world.as_token(AGENT);
    let no = post(&agent, "/lxc/9010/snapshot", &[("snapname", "s1")]).await;
    assert_eq!(
        no.exit, "snapshot feature is not available",
        "a bind mount forbids it"
    );
    let feature = agent
        .get(&format!("{NODE}/lxc/9010/feature?feature=snapshot"))
        .await
        .data();
    assert_eq!(feature, json!({"hasFeature": 0}));
    let task = post(
        &agent,
        "/lxc/9001/snapshot",
        &[("snapname", "s1"), ("description", "before")],
    )
    .await
    .ok();
    assert_eq!(
        task.log[0],
        "  Logical volume \"snap_vm-9001-disk-0_s1\" created."
    );
    let list = agent.get(&format!("{NODE}/lxc/9001/snapshot")).await.data();
    assert_eq!(
        (&list[0]["name"], &list[0]["description"]),
        (&json!("s1"), &json!("before\n"))
    );
    assert_eq!(
        (&list[1]["name"], &list[1]["parent"], &list[1]["running"]),
        (&json!("current"), &json!("s1"), &json!(1))
    );
    let twice = post(&agent, "/lxc/9001/snapshot", &[("snapname", "s1")]).await;
    assert_eq!(twice.exit, "snapshot name 's1' already used");
    let tree = world
        .dir
        .path()
        .join("volumes/vm-9001-disk-0/SENTINEL_ROOTFS");
    std::fs::remove_file(&tree).unwrap();
    agent
        .put(&format!("{NODE}/lxc/9001/config"), &[("memory", "1024")])
        .await
        .ok();
    let task = post(&agent, "/lxc/9001/snapshot/s1/rollback", &[])
        .await
        .ok();
    assert_eq!(
        task.log[..3],
        [
            "  Logical volume \"vm-9001-disk-0\" successfully removed.",
            "  Logical volume \"vm-9001-disk-0\" created.",
            "  Logical volume pve/vm-9001-disk-0 changed."
        ]
    );
    assert!(tree.exists());
    assert_eq!(config(&agent, 9001).await["memory"], 256);
    let missing = delete(&agent, "/lxc/9001/snapshot/s9").await;
    assert_eq!(missing.exit, "snapshot 's9' does not exist");
    delete(&agent, "/lxc/9001/snapshot/s1").await.ok();
    assert!(config(&agent, 9001).await.get("parent").is_none());
    let reserved = agent
        .post(
            &format!("{NODE}/lxc/9001/snapshot"),
            &[("snapname", "vzdump")],
        )
        .await;
    reserved.says(500, "unable to use snapshot name 'vzdump' (reserved name)");
}

#[tokio::test]
async fn removal_takes_volumes_rights_and_membership_with_it() {
    let world = built_in().await;
    let (agent, root) = (world.as_token(AGENT), world.root().await);
    post(&agent, "/lxc", &options("9020", &[])).await.ok();
    root.put(
        "/access/acl",
        &[
            ("path", "/vms/9020"),
            ("roles", "PVEVMUser"),
            ("users", "felhom-ctl@pve"),
        ],
    )
    .await
    .ok();
    root.put("/pools", &[("poolid", "felhom-scratch"), ("vms", "9020")])
        .await
        .ok();
    let path = format!("{NODE}/storage/local-lvm/content");
    let extra = [
        ("vmid", "9020"),
        ("filename", "vm-9020-disk-9"),
        ("size", "64M"),
        ("format", "raw"),
    ];
    assert_eq!(
        agent.post(&path, &extra).await.data(),
        "local-lvm:vm-9020-disk-9"
    );
    let foreign = [
        ("vmid", "9020"),
        ("filename", "vm-9999-disk-9"),
        ("size", "64M"),
    ];
    agent
        .post(&path, &foreign)
        .await
        .says(500, "illegal name 'vm-9999-disk-9' - should be 'vm-9020-*'");
    post(&agent, "/lxc/9020/status/start", &[]).await.ok();
    let task = delete(
        &agent,
        "/lxc/9020?force=1&purge=1&destroy-unreferenced-disks=1",
    )
    .await
    .ok();
    assert_eq!(
        task.log,
        [
            "forced to stop CT 9020 before destroying!",
            "  Logical volume \"vm-9020-disk-0\" successfully removed.",
            "  Logical volume \"vm-9020-disk-9\" successfully removed.",
            "purging CT 9020 from related configurations..",
            "TASK OK",
        ]
    );
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

#[tokio::test]
async fn resize_and_storage_definitions() {
    let world = built_in().await;
    let agent = world.as_token(AGENT);
    post(&agent, "/lxc", &options("9020", &[])).await.ok();
    let answer = agent
        .put(
            &format!("{NODE}/lxc/9020/resize"),
            &[("disk", "rootfs"), ("size", "+256M")],
        )
        .await;
    let task = crate::story::end(&agent, &crate::story::upid(&answer))
        .await
        .ok();
    assert_eq!(
        task.log[0],
        "  Size of logical volume pve/vm-9020-disk-0 changed from 1.00 GiB (256 extents) to 1.25 GiB (320 extents)."
    );
    assert_eq!(
        config(&agent, 9020).await["rootfs"],
        "local-lvm:vm-9020-disk-0,size=1280M"
    );
    let shrink = agent
        .put(
            &format!("{NODE}/lxc/9020/resize"),
            &[("disk", "rootfs"), ("size", "1G")],
        )
        .await;
    shrink.says(500, "unable to shrink disk size");
    let dir = [
        ("storage", "felhom-dir"),
        ("type", "dir"),
        ("path", "/var/lib/felhom-dir"),
        ("content", "backup"),
    ];
    assert_eq!(
        agent.post("/storage", &dir).await.data(),
        json!({"storage": "felhom-dir", "type": "dir"})
    );
    agent.post("/storage", &dir).await.says(
        500,
        "create storage failed: storage ID 'felhom-dir' already defined",
    );
    assert_eq!(
        agent
            .put("/storage/felhom-dir", &[("content", "backup,iso")])
            .await
            .data(),
        json!({"storage": "felhom-dir", "type": "dir"})
    );
    let status = agent
        .get(&format!("{NODE}/storage/felhom-dir/status"))
        .await
        .data();
    assert_eq!(
        (&status["active"], &status["type"]),
        (&json!(1), &json!("dir"))
    );
    assert_eq!(
        agent.delete("/storage/felhom-dir").await.data(),
        Value::Null
    );
    let pbs = [
        ("storage", "pbs1"),
        ("type", "pbs"),
        ("server", "192.0.2.7"),
        ("datastore", "x"),
        ("username", "root@pam"),
        ("password", "x"),
    ];
    let refused = agent.post("/storage", &pbs).await;
    assert_eq!(refused.status, 500);
    assert!(
        refused
            .reason
            .starts_with("create storage failed: pbs1: error fetching datastores - "),
        "{}",
        refused.reason
    );
    let list = agent
        .get(&format!("{NODE}/storage/local-lvm/content"))
        .await
        .data();
    assert_eq!(list[0]["volid"], "local-lvm:vm-9001-disk-0");
    assert!(list[0]["ctime"].is_string());
}
