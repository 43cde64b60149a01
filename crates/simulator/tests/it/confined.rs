//! The principal that may only test restores: what it can do, and that it can do nothing else.

use std::time::Duration;

use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::story::{AGENT, NODE, TEST, backup, built_in, config, delete, end, post, upid};

const ISLAND: &str = "name=eth0,bridge=vmbr9,link_down=1,ip=198.51.100.77/32";

const WISH: [(&str, &str); 13] = [
    ("vmid", "9100"),
    ("restore", "1"),
    ("storage", "local-lvm"),
    ("pool", "felhom-scratch"),
    ("rootfs", "local-lvm:2"),
    ("mp1", "local-lvm:1,mp=/mnt/mp1,backup=1"),
    ("net0", ISLAND),
    ("onboot", "0"),
    ("protection", "0"),
    ("memory", "128"),
    ("cores", "1"),
    ("hostname", "scratch"),
    ("description", "mark of 9100"),
];

/// Asks for the restore without some of the parameters, and with others.
async fn ask(client: &Client, archive: &str, without: &str, more: &[(&str, &str)]) -> Answer {
    let mut params: Vec<(&str, &str)> = WISH.to_vec();
    params.retain(|(key, _)| *key != without);
    params.extend(more);
    params.push(("ostemplate", archive));
    client.post(&format!("{NODE}/lxc"), &params).await
}

#[tokio::test]
async fn it_cannot_leave_its_cage() {
    let world = built_in().await;
    let (agent, test) = (world.as_token(AGENT), world.as_token(TEST));
    let archive = backup(&agent, 9010, &[]).await;
    let bridge = "Permission check failed (/sdn/zones/localnetwork/vmbr0, SDN.Use)";
    let out = [("net0", "name=eth0,bridge=vmbr0")];
    ask(&test, &archive, "net0", &out).await.says(403, bridge);
    ask(&test, &archive, "pool", &[])
        .await
        .says(403, "Permission check failed");
    let tags = ask(&test, &archive, "", &[("tags", "x")]).await;
    tags.says(
        403,
        "Permission check failed (/vms/9100, VM.Config.Options)",
    );
    let forgotten = end(&test, &upid(&ask(&test, &archive, "net0", &[]).await)).await;
    assert_eq!(
        forgotten.exit,
        format!("unable to restore CT 9100 - 403 {bridge}")
    );
    let stop = test
        .post(&format!("{NODE}/lxc/9010/status/stop"), &[])
        .await;
    stop.says(403, "Permission check failed (/vms/9010, VM.PowerMgmt)");
    let destroy = test.delete(&format!("{NODE}/lxc/9010")).await;
    destroy.says(403, "Permission check failed (/vms/9010, VM.Allocate)");
    assert!(
        world
            .running
            .counts()
            .keys()
            .all(|key| !key.starts_with("vzrestore"))
    );
}

const KEPT: [(&str, &str); 5] = [
    ("onboot", "0"),
    ("protection", "0"),
    ("memory", "128"),
    ("hostname", "\"scratch\""),
    ("description", "\"mark of 9100\\n\""),
];

#[tokio::test]
async fn it_restores_boots_looks_and_removes() {
    let world = built_in().await;
    let (agent, test) = (world.as_token(AGENT), world.as_token(TEST));
    let archive = backup(&agent, 9010, &[]).await;
    end(&test, &upid(&ask(&test, &archive, "", &[]).await))
        .await
        .ok();
    let new = config(&test, 9100).await;
    for (key, value) in KEPT {
        assert_eq!(new[key].to_string(), value, "{key}");
    }
    let net = new["net0"].as_str().unwrap();
    assert!(
        net.starts_with("name=eth0,bridge=vmbr9,hwaddr=BC:24:11:"),
        "{net}"
    );
    assert!(
        net.ends_with(",ip=198.51.100.77/32,link_down=1,type=veth"),
        "{net}"
    );
    post(&test, "/lxc/9100/status/start", &[]).await.ok();
    let seen = address(&test).await;
    assert_eq!(seen["ip-addresses"][0]["ip-address"], "198.51.100.77");
    post(&test, "/lxc/9100/status/stop", &[]).await.ok();
    let members = || world.running.state()["pools"]["felhom-scratch"]["vms"].clone();
    assert_eq!(members(), json!([9100]));
    delete(&test, "/lxc/9100").await.ok();
    assert_eq!(members(), json!([]));
    assert!(!world.dir.path().join("volumes/vm-9100-disk-0").exists());
    let rights = test
        .get("/access/permissions?path=/pool/felhom-scratch")
        .await
        .data();
    assert_eq!(
        rights["/pool/felhom-scratch"]["VM.Allocate"], 1,
        "the pool's grants survive"
    );
}

/// `eth0` once its init has given it an address.
async fn address(client: &Client) -> Value {
    let mut seen = Value::Null;
    for _ in 0..200 {
        seen = client
            .get(&format!("{NODE}/lxc/9100/interfaces"))
            .await
            .data()[1]
            .clone();
        if seen["inet"] == "198.51.100.77/32" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    seen
}
