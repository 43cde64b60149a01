//! How far a request got, and that a mutation is never sent twice.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use felhom_ids::Vmid;
use felhom_proxmox::pve::backup::Vzdump;
use felhom_proxmox::{Address, Client, Delivery, Error, Phase, Pve, Trust};
use tokio::net::TcpListener;

use crate::scripted::{Reply, Scripted, json, node, ok, settings};

const UPID: &str =
    "UPID:demo-felhom:000007D9:00010F40:6B0384E7:vzdump:9001:felhom-agent@pve!agent:";

fn vmid() -> Vmid {
    Vmid::new(9001).unwrap()
}

fn backup() -> Vzdump {
    Vzdump::new(vmid(), "local".parse().unwrap())
}

fn pve(address: Address, patience: Duration) -> Pve {
    let mut settings = settings(address, Trust::Insecure);
    settings.timeouts.connect = patience;
    settings.timeouts.request = patience;
    Pve::new(Client::new(settings).unwrap(), node())
}

#[tokio::test]
async fn nobody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string().parse().unwrap();
    drop(listener);
    let error = pve(address, Duration::from_secs(5))
        .vzdump(&backup())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Connect { .. }), "{error:?}");
    assert_eq!(
        (error.delivery(), error.is_transient()),
        (Delivery::NotSent, true)
    );
}

#[tokio::test]
async fn a_handshake_that_never_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string().parse().unwrap();
    let error = pve(address, Duration::from_millis(100))
        .vzdump(&backup())
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::Timeout {
                phase: Phase::Handshake,
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(error.delivery(), Delivery::NotSent);
    drop(listener);
}

#[tokio::test]
async fn an_answer_that_never_comes() {
    let server = Scripted::start(|_| Reply::Hang).await;
    let error = pve(server.address.clone(), Duration::from_millis(300))
        .vzdump(&backup())
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::Timeout {
                phase: Phase::Answer,
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(error.delivery(), Delivery::Unknown);
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_connection_cut_after_the_request() {
    let server = Scripted::start(|_| Reply::SendAndDrop(Vec::new())).await;
    let error = server.pve().vzdump(&backup()).await.unwrap_err();
    assert!(
        matches!(error, Error::ConnectionLost { sent: true, .. }),
        "{error:?}"
    );
    assert_eq!(error.delivery(), Delivery::Unknown);
    assert_eq!(server.seen().len(), 1, "a mutation is never sent twice");
}

#[tokio::test]
async fn an_answer_cut_in_its_body() {
    let server = Scripted::start(|_| {
        let mut bytes = json(200, "OK", &format!(r#"{{"data":"{UPID}"}}"#));
        bytes.truncate(bytes.len() - 9);
        Reply::SendAndClose(bytes)
    })
    .await;
    let error = server.pve().vzdump(&backup()).await.unwrap_err();
    assert!(
        matches!(error, Error::ConnectionLost { sent: true, .. }),
        "{error:?}"
    );
    assert_eq!(error.delivery(), Delivery::Unknown);
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_200_without_a_task_is_not_a_success() {
    for (answer, delivery) in [(r#""OK""#, Delivery::Answered), ("null", Delivery::Unknown)] {
        let server = Scripted::start(move |_| ok(&format!(r#"{{"data":{answer}}}"#))).await;
        let error = server.pve().vzdump(&backup()).await.unwrap_err();
        assert!(matches!(&error, Error::NoTask { .. }), "{error:?}");
        assert_eq!(error.delivery(), delivery, "{answer}");
    }
}

#[tokio::test]
async fn a_task_is_taken_from_the_answer() {
    let server = Scripted::start(|_| ok(&format!(r#"{{"data":"{UPID}"}}"#))).await;
    let task = server.pve().vzdump(&backup()).await.unwrap();
    assert_eq!(task.upid().as_str(), UPID);
    let request = server.seen().remove(0);
    assert!(
        request.contains("content-type: application/x-www-form-urlencoded\r\n"),
        "{request}"
    );
    assert!(
        request.ends_with("&lockwait=10&notification-mode=legacy-sendmail"),
        "{request}"
    );
}

#[tokio::test]
async fn parameters_of_a_delete_stand_in_the_query_and_there_is_no_body() {
    let server = Scripted::start(|_| ok(&format!(r#"{{"data":"{UPID}"}}"#))).await;
    let destroy = felhom_proxmox::pve::guests::DestroyLxc {
        vmid: vmid(),
        unreferenced_disks: true,
    };
    let task = server.pve().destroy_lxc(&destroy).await.unwrap();
    assert_eq!(task.into_upid().kind(), "vzdump");
    let request = server.seen().remove(0);
    let line =
        "DELETE /api2/json/nodes/demo-felhom/lxc/9001?destroy-unreferenced-disks=1 HTTP/1.1\r\n";
    assert!(request.starts_with(line), "{request}");
    assert!(
        !request.to_ascii_lowercase().contains("content-length"),
        "{request}"
    );
    assert!(!request.contains("transfer-encoding"), "{request}");
}

#[tokio::test]
async fn reads_share_a_connection_and_mutations_never_do() {
    let server = Scripted::start(|request| {
        ok(if request.starts_with("GET") {
            r#"{"data":[]}"#
        } else {
            r#"{"data":null}"#
        })
    })
    .await;
    let pve = server.pve();
    for _ in 0..5 {
        pve.lxc_list().await.unwrap();
    }
    assert_eq!(server.connections(), 1);
    let change = felhom_proxmox::pve::guests::SetLxcConfig::one(vmid(), "memory", &256);
    pve.set_lxc_config(&change).await.unwrap();
    pve.set_lxc_config(&change).await.unwrap();
    assert_eq!(server.connections(), 3);
    // What is left of the mutations' connections serves reads.
    pve.lxc_list().await.unwrap();
    assert_eq!(server.connections(), 3);
}

#[tokio::test]
async fn a_read_survives_an_idle_connection_that_was_closed() {
    let count = AtomicUsize::new(0);
    let server = Scripted::start(move |_| {
        // The second request on the first connection finds it dead.
        match count.fetch_add(1, Ordering::SeqCst) {
            1 => Reply::SendAndDrop(Vec::new()),
            _ => ok(r#"{"data":[]}"#),
        }
    })
    .await;
    let pve = server.pve();
    pve.lxc_list().await.unwrap();
    pve.lxc_list().await.unwrap();
    assert_eq!((server.connections(), server.seen().len()), (2, 3));
}

#[tokio::test]
async fn a_read_is_not_tried_forever() {
    let server = Scripted::start(|_| Reply::SendAndDrop(Vec::new())).await;
    let error = server.pve().lxc_list().await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_server_that_closes_gets_a_new_connection() {
    let server = Scripted::start(|_| {
        let text = String::from_utf8(json(200, "OK", r#"{"data":[]}"#)).unwrap();
        Reply::SendAndClose(text.replace("Keep-Alive", "close").into_bytes())
    })
    .await;
    let pve = server.pve();
    for _ in 0..3 {
        pve.lxc_list().await.unwrap();
    }
    assert_eq!((server.connections(), server.seen().len()), (3, 3));
}
