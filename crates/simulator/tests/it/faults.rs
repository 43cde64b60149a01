//! Injected trouble, as the client feels it.

use std::time::Duration;

use felhom_simulator::{Fault, FaultKind};
use serde_json::json;

use crate::client::{Client, World};

const ROLE: &str = "/access/roles";

async fn make_role(client: &Client, id: &str) -> Result<crate::client::Answer, hyper::Error> {
    client
        .try_send(
            "POST",
            &format!("/api2/json{ROLE}"),
            "application/x-www-form-urlencoded",
            &format!("roleid={id}"),
        )
        .await
}

fn made(world: &World) -> u64 {
    world
        .running
        .counts()
        .get("POST /access/roles")
        .copied()
        .unwrap_or_default()
}

#[tokio::test]
async fn a_refused_request_is_not_executed_and_a_cut_one_is() {
    let world = World::virgin().await;
    let root = world.root().await;
    world
        .running
        .inject(Fault::request("POST", ROLE, FaultKind::Refuse));
    make_role(&root, "A").await.unwrap_err();
    assert_eq!(made(&world), 0);
    world
        .running
        .inject(Fault::request("POST", ROLE, FaultKind::CutAnswer));
    make_role(&root, "A").await.unwrap_err();
    assert_eq!(made(&world), 1);
    make_role(&root, "A")
        .await
        .unwrap()
        .says(500, "create role failed: role 'A' already exists");
    assert_eq!(made(&world), 1);
}

#[tokio::test]
async fn a_held_answer_comes_when_it_is_released() {
    let world = World::virgin().await;
    let root = world.root().await;
    world
        .running
        .inject(Fault::request("POST", ROLE, FaultKind::HoldAnswer));
    let asking = tokio::spawn(async move { make_role(&root, "A").await });
    while world.running.held_answers() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(made(&world), 1);
    assert!(!asking.is_finished());
    world.running.release();
    asking.await.unwrap().unwrap().ok();
}

#[tokio::test]
async fn a_stalled_request_is_never_executed() {
    let world = World::virgin().await;
    let root = world.root().await;
    world
        .running
        .inject(Fault::request("POST", ROLE, FaultKind::Stall));
    let waited = tokio::time::timeout(Duration::from_millis(200), make_role(&root, "A")).await;
    assert!(waited.is_err());
    assert_eq!(made(&world), 0);
}

#[tokio::test]
async fn answers_that_are_none() {
    let world = World::virgin().await;
    let root = world.root().await;
    let get = |kind: FaultKind| {
        world
            .running
            .inject(Fault::request("GET", "/version", kind));
        root.try_send("GET", "/api2/json/version", "", "")
    };
    let text = "Connection timed out".to_owned();
    get(FaultKind::Status { code: 596, text })
        .await
        .unwrap()
        .says(596, "Connection timed out");
    let html = get(FaultKind::Html).await.unwrap();
    assert!(html.body.starts_with(b"<html>"));
    let garbage = get(FaultKind::Garbage).await.unwrap();
    assert_eq!((garbage.status, garbage.json()), (200, json!(null)));
    get(FaultKind::Truncated).await.unwrap_err();
    root.get("/version").await.ok();
}

#[tokio::test]
async fn the_side_door_speaks_json_and_refuses_what_it_does_not_know() {
    let world = World::virgin().await;
    let anyone = world.anonymous();
    let post = async |name: &str, body: serde_json::Value| {
        anyone
            .try_send(
                "POST",
                &format!("/_sim/{name}"),
                "application/json",
                &body.to_string(),
            )
            .await
            .unwrap()
    };
    let fault = json!({"method": "GET", "path": "/version", "count": 1, "kind": {"status": {"code": 500, "text": "no"}}});
    post("fault", fault).await.ok();
    let root = world.root().await;
    root.get("/version").await.says(500, "no");
    root.get("/version").await.ok();
    assert_eq!(post("fault", json!({"kind": "nonsense"})).await.status, 400);
    assert_eq!(post("nonsense", json!({})).await.status, 400);
    assert_eq!(anyone.send("GET", "/_sim/power-cut", "").await.status, 405);
    let state = anyone.send("GET", "/_sim/state", "").await.json();
    assert_eq!(state["node"]["name"], "demo-felhom");
    assert!(state["counts"].is_object());
}

#[tokio::test]
async fn what_is_cut_and_runs_later_runs_once_and_what_is_answered_wrongly_ran() {
    let world = World::virgin().await;
    let root = world.root().await;
    world.running.inject(Fault::request(
        "POST",
        ROLE,
        FaultKind::CutThenRun { seconds: 20.0 },
    ));
    let sent = world.running.now();
    make_role(&root, "A").await.unwrap_err();
    assert_eq!(made(&world), 0);
    while made(&world) == 0 {
        tokio::task::yield_now().await;
    }
    assert!(world.running.now() - sent >= 20);
    let text = "Connection timed out".to_owned();
    let kind = FaultKind::AnswerStatus { code: 596, text };
    world.running.inject(Fault::request("POST", ROLE, kind));
    make_role(&root, "B")
        .await
        .unwrap()
        .says(596, "Connection timed out");
    assert_eq!(made(&world), 2);
}

#[tokio::test]
async fn the_wall_clock_jumps_and_time_goes_on() {
    let world = World::virgin().await;
    // A ticket from the future would not be taken, a token has no date.
    let clock = world.principal("watch@pve", "clock").await;
    world
        .root()
        .await
        .put(
            "/access/acl",
            &[
                ("path", "/"),
                ("roles", "PVEAuditor"),
                ("users", "watch@pve"),
                ("tokens", "watch@pve!clock"),
            ],
        )
        .await
        .ok();
    let shown = async || {
        let time = clock.get("/nodes/demo-felhom/time").await.data();
        time["time"].as_i64().unwrap()
    };
    let before = shown().await;
    world.running.shift_clock(-7200);
    let after = shown().await;
    assert!(after <= before - 7100, "{before} {after}");
    assert!(world.running.now() >= before);
}

#[tokio::test]
async fn a_renewed_certificate_is_another_and_stays() {
    let world = World::virgin().await;
    let root = world.root().await;
    let before = world.running.fingerprint();
    let renewed = world.running.renew_certificate().unwrap();
    assert_ne!(before, renewed);
    assert_eq!(world.running.fingerprint(), renewed);
    // The client accepts no other certificate than the one it knows.
    let mut knowing = root.clone();
    knowing.fingerprint.clone_from(&renewed);
    knowing.get("/version").await.ok();
}
