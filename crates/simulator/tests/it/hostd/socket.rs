//! The socket itself: what is no request, faults, and a helper that is not there.

use std::os::unix::fs::PermissionsExt;

use felhom_host::{Code, ConnectError, Operation, Reply};
use felhom_simulator::{Fault, FaultKind};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::*;

async fn raw(world: &World, bytes: &[u8]) -> Reply {
    let mut stream = UnixStream::connect(world.running.host_socket())
        .await
        .unwrap();
    stream.write_all(bytes).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut text = Vec::new();
    stream.read_to_end(&mut text).await.unwrap();
    assert_eq!(text.pop(), Some(b'\n'));
    serde_json::from_slice(&text).unwrap()
}

#[tokio::test]
async fn what_is_no_request_is_refused() {
    let world = built_in().await;
    let mut long = vec![b' '; 5000];
    long.push(b'\n');
    let odd: [(&[u8], &str); 5] = [
        (b"hello\n", "nothing that is known"),
        (b"{\"version\":1", "ended in the middle"),
        (b"{\"version\":7,\"request\":{}}\n", "version 7"),
        (
            b"{\"version\":1,\"request\":{\"operation\":\"shell\"}}\n",
            "nothing that is known",
        ),
        (&long, "longer"),
    ];
    for (bytes, says) in odd {
        refused(
            raw(&world, bytes).await.into_result(),
            Code::Malformed,
            says,
        );
    }
}

#[tokio::test]
async fn only_the_owner_reaches_the_socket_and_it_goes_with_the_world() {
    let world = built_in().await;
    let socket = world.running.host_socket();
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    world.running.stop().await.unwrap();
    assert!(!socket.exists());
}

#[tokio::test]
async fn a_stale_socket_is_replaced() {
    let dir = tempfile::TempDir::new().unwrap();
    let stale = std::os::unix::net::UnixListener::bind(dir.path().join("hostd.sock")).unwrap();
    drop(stale);
    let options = felhom_simulator::Options::new(dir.path());
    let running = felhom_simulator::Simulator::start(options).await.unwrap();
    let answer = try_ask(&running, Operation::ReadSensors {}).await.unwrap();
    assert!(answer.is_ok());
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_helper_that_is_not_installed_is_absent() {
    let world = built_in().await;
    control(&world, "host-off", json!({})).await;
    let absent = try_ask(&world.running, Operation::ReadSensors {}).await;
    assert!(
        matches!(absent, Err(ConnectError::Absent(..))),
        "{absent:?}"
    );
    control(&world, "host-on", json!({})).await;
    ask(&world, Operation::ReadSensors {}).await.unwrap();
}

/// The connection is cut after the deed: who asked does not know, and asks again.
#[tokio::test]
async fn a_lost_reply_is_of_a_deed_that_was_done() {
    let world = built_in().await;
    let cut = |kind| Fault::request("ASK", "/host/install-usb-mount", kind);
    world.running.inject(cut(FaultKind::CutAnswer));
    let lost = try_ask(&world.running, install(UUID)).await;
    assert!(matches!(lost, Err(ConnectError::Lost(_))), "{lost:?}");
    assert_eq!(look(&world).await.standing, felhom_host::Standing::Present);
    world.running.inject(cut(FaultKind::Garbage));
    let garbage = try_ask(&world.running, install(UUID)).await;
    assert!(matches!(garbage, Err(ConnectError::Lost(_))), "{garbage:?}");
    world.running.inject(cut(FaultKind::Refuse));
    let closed = try_ask(&world.running, install(UUID)).await;
    assert!(closed.is_err(), "{closed:?}");
    ask(&world, install(UUID)).await.unwrap();
}

#[tokio::test]
async fn a_helper_that_hangs_says_nothing() {
    let world = adopted().await;
    world
        .running
        .inject(Fault::request("ASK", "/host/*", FaultKind::Stall));
    let short = Connection::new(world.running.host_socket(), Duration::from_millis(200));
    let asked = tokio::task::spawn_blocking(move || short.ask(&Operation::ReadSensors {}));
    let hung = asked.await.unwrap();
    assert!(matches!(hung, Err(ConnectError::Lost(_))), "{hung:?}");
    // Another is answered meanwhile, and the same thing is busy while it is worked on.
    let late = Fault::request("ASK", "/host/probe-usb", FaultKind::HoldAnswer);
    world.running.inject(late);
    let socket = world.running.host_socket();
    let held = tokio::task::spawn_blocking(move || {
        let patient = Connection::new(socket, Duration::from_secs(20));
        patient.ask(&on("probe-usb", &json!({ "write": false })))
    });
    while world.running.held_answers() == 0 {
        tokio::task::yield_now().await;
    }
    ask(&world, Operation::ReadSensors {}).await.unwrap();
    world.running.release();
    assert!(held.await.unwrap().unwrap().is_ok());
}

#[tokio::test]
async fn a_refusal_can_be_injected() {
    let world = built_in().await;
    let text = "it broke off".to_owned();
    let kind = FaultKind::Status { code: 500, text };
    world
        .running
        .inject(Fault::request("ASK", "/host/read-sensors", kind));
    let failed = ask(&world, Operation::ReadSensors {}).await;
    refused(failed, Code::Failed, "it broke off");
}
