//! The simulated root helper: it answers the operations of the fence from this world.

mod disks;
mod guests;
mod socket;
mod vanishing;

use std::time::Duration;

use felhom_host::{Code, ConnectError, Connection, Operation, Refusal, Report, TargetReport};
use felhom_simulator::Running;
use serde_json::{Value, json};

use crate::client::World;
use crate::story::built_in;

/// The file system of the disk that is plugged in from the beginning.
pub(crate) const UUID: &str = "0b7a9a0e-7a35-4f2c-8d0b-2c6f9c1e0a11";

/// Asks as the agent does, with patience that a test has.
pub(crate) async fn try_ask(
    world: &Running,
    operation: Operation,
) -> Result<Result<Report, Refusal>, ConnectError> {
    let connection = Connection::new(world.host_socket(), Duration::from_secs(20));
    tokio::task::spawn_blocking(move || connection.ask(&operation))
        .await
        .unwrap()
}

pub(crate) async fn ask(world: &World, operation: Operation) -> Result<Report, Refusal> {
    try_ask(&world.running, operation).await.unwrap()
}

/// An operation on the target `usb1`, as it is written in a request.
pub(crate) fn on(operation: &str, more: &Value) -> Operation {
    let mut request = json!({ "operation": operation, "name": "usb1" });
    let fields = request.as_object_mut().unwrap();
    fields.extend(
        more.as_object()
            .into_iter()
            .flatten()
            .map(|(k, v)| (k.clone(), v.clone())),
    );
    serde_json::from_value(request).unwrap()
}

pub(crate) async fn target(world: &World, operation: &str) -> TargetReport {
    of_target(ask(world, on(operation, &json!({}))).await)
}

pub(crate) fn of_target(result: Result<Report, Refusal>) -> TargetReport {
    match result {
        Ok(Report::Target(report)) => *report,
        other => panic!("no report on a target: {other:?}"),
    }
}

pub(crate) async fn look(world: &World) -> TargetReport {
    of_target(ask(world, on("probe-usb", &json!({ "write": false }))).await)
}

pub(crate) async fn write(world: &World) -> Result<Report, Refusal> {
    ask(world, on("probe-usb", &json!({ "write": true }))).await
}

pub(crate) fn install(uuid: &str) -> Operation {
    on("install-usb-mount", &json!({ "uuid": uuid }))
}

pub(crate) async fn control(world: &World, name: &str, body: Value) -> Value {
    world.running.control(name, body).await.unwrap()
}

#[track_caller]
pub(crate) fn refused(result: Result<Report, Refusal>, code: Code, says: &str) {
    let refusal = result.unwrap_err();
    assert_eq!(refusal.code, code, "{refusal}");
    assert!(refusal.text.contains(says), "{refusal}");
}

/// A world with the disk adopted as `usb1`, mounted and written to.
pub(crate) async fn adopted() -> World {
    let world = built_in().await;
    ask(&world, install(UUID)).await.unwrap();
    target(&world, "mount-usb").await;
    write(&world).await.unwrap();
    world
}
