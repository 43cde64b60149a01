//! Time, power and the state on disk.

use std::time::Duration;

use felhom_simulator::{Options, Scenario, Simulator, Time};
use serde_json::json;

use crate::client::{SPEED, World};

#[tokio::test]
async fn a_world_survives_a_restart() {
    let world = World::virgin().await;
    let token = world.principal("u@pve", "tok").await;
    let root = world.root().await;
    root.post("/pools", &[("poolid", "kept"), ("comment", "for ever")])
        .await
        .ok();
    let (fingerprint, tokens, now) = (
        world.running.fingerprint(),
        world.running.tokens(),
        world.running.now(),
    );
    let World { running, dir } = world;
    running.stop().await.unwrap();
    let options = Options {
        scenario: Scenario::Virgin,
        time: SPEED,
        ..Options::new(dir.path())
    };
    let running = Simulator::start(options).await.unwrap();
    assert_eq!(
        (running.fingerprint(), running.tokens()),
        (fingerprint, tokens)
    );
    assert!(running.now() >= now);
    let world = World { running, dir };
    let token = crate::client::Client {
        address: world.running.address(),
        ..token
    };
    token.get("/version").await.ok();
    let pools = world.root().await.get("/pools").await.data();
    assert_eq!(pools, json!([{"poolid": "kept", "comment": "for ever"}]));
}

#[tokio::test]
async fn stepped_time_stands_still_until_it_is_told() {
    let world = World::start(Scenario::Virgin, Time::Stepped).await;
    let root = world.root().await;
    let time = async || {
        root.get("/nodes/demo-felhom/time").await.data()["time"]
            .as_i64()
            .unwrap()
    };
    let before = time().await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(time().await, before);
    world.running.advance(Duration::from_hours(1));
    assert_eq!(time().await, before + 3600);
}

#[tokio::test]
async fn a_ticket_ends_after_two_hours() {
    let world = World::start(Scenario::Virgin, Time::Stepped).await;
    let root = world.root().await;
    world.running.advance(Duration::from_secs(7300));
    let asking = tokio::spawn(async move { root.get("/version").await });
    while !asking.is_finished() {
        // The refusal itself waits three simulated seconds.
        world.running.advance(Duration::from_secs(3));
        tokio::task::yield_now().await;
    }
    asking.await.unwrap().says(401, "Authentication failed!");
}

#[tokio::test]
async fn after_a_power_cut_the_node_has_just_booted() {
    let world = World::virgin().await;
    let root = world.root().await;
    let uptime = async || {
        root.get("/nodes/demo-felhom/status").await.data()["uptime"]
            .as_i64()
            .unwrap()
    };
    assert!(uptime().await >= 600);
    let mut connection = root.connect().await;
    root.on(&mut connection, "GET", "/api2/json/version", "", "")
        .await
        .unwrap()
        .ok();
    world.running.power_cut(Duration::from_secs(20)).await;
    assert!(
        root.on(&mut connection, "GET", "/api2/json/version", "", "")
            .await
            .is_err()
    );
    assert!(uptime().await < 60);
}

#[tokio::test]
async fn the_node_answers_for_itself() {
    let world = World::virgin().await;
    let root = world.root().await;
    let nodes = root.get("/nodes").await.data();
    assert_eq!(nodes[0]["ssl_fingerprint"], world.running.fingerprint());
    assert_eq!(nodes[0]["status"], "online");
    let token = world.principal("u@pve", "tok").await;
    let bare = token.get("/nodes").await.data();
    assert!(bare[0].get("maxmem").is_none());
    assert_eq!(bare[0].as_object().unwrap().len(), 6);
    let resources = token.get("/cluster/resources").await.data();
    assert_eq!(resources.as_array().unwrap().len(), 1);
    assert_eq!(resources[0].as_object().unwrap().len(), 6);
    assert_eq!(root.get("/cluster/nextid").await.data(), json!("100"));
    assert_eq!(
        root.get("/cluster/nextid?vmid=9500").await.data(),
        json!("9500")
    );
    let status = root.get("/cluster/status").await.data();
    assert_eq!(
        (&status[0]["type"], &status[0]["nodeid"]),
        (&json!("node"), &json!(0))
    );
    token
        .get("/cluster/status")
        .await
        .says(403, "Permission check failed (/, Sys.Audit)");
    let unknown = "UPID:demo-felhom:00000001:00000001:00000001:vzdump:1:root@pam:";
    let log = root
        .get(&format!("/nodes/demo-felhom/tasks/{unknown}/log"))
        .await;
    assert_eq!(
        log.data(),
        json!([{"n": 1, "t": "unable to open file - No such file or directory"}])
    );
    let status = root
        .get(&format!("/nodes/demo-felhom/tasks/{unknown}/status"))
        .await;
    assert_eq!(status.json()["errors"]["upid"], "no such task");
    let bad = root.get("/nodes/demo-felhom/tasks/nonsense/status").await;
    assert_eq!(bad.json()["errors"]["upid"], "unable to parse worker upid");
}
