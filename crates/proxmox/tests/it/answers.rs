//! Answers that are not what they should be, and refusals as PVE words them.

use felhom_ids::Vmid;
use felhom_proxmox::{Client, Delivery, Error, Trust};

use crate::scripted::{Reply, SECRET, Scripted, json, ok};

fn vmid() -> Vmid {
    Vmid::new(9001).unwrap()
}

async fn refused(bytes: Vec<u8>) -> Error {
    let server = Scripted::start(move |_| Reply::SendAndClose(bytes.clone())).await;
    server.pve().lxc_config(vmid()).await.unwrap_err()
}

#[tokio::test]
async fn html_instead_of_json_is_shown() {
    let page = "<html><head><title>Router login</title></head></html>";
    let error = refused(json(200, "OK", page)).await;
    let text = error.to_string();
    assert!(matches!(error, Error::Decode { .. }));
    assert!(
        text.starts_with("GET /nodes/demo-felhom/lxc/9001/config: "),
        "{text}"
    );
    assert!(text.contains("<title>Router login"), "{text}");
    assert_eq!(error.delivery(), Delivery::Unknown);
}

#[tokio::test]
async fn garbage_is_shown_bounded_and_harmless() {
    for body in [
        "\u{1b}[31m\0\0",
        "{\"data\":",
        "[]",
        "{}",
        "null",
        "{\"data\":[]}",
        "{\"data\":\"x\"}",
        "",
    ] {
        let error = refused(json(200, "OK", body)).await;
        assert!(matches!(error, Error::Decode { .. }), "{body:?}: {error:?}");
        assert!(!error.to_string().contains('\u{1b}'));
    }
    let long = refused(json(200, "OK", &"x".repeat(100_000))).await;
    assert!(long.to_string().len() < 1_000);
}

#[tokio::test]
async fn bytes_that_are_no_http_are_told_so() {
    let error = refused(b"SSH-2.0-OpenSSH_9.2\r\n\r\n".to_vec()).await;
    assert!(
        matches!(
            error,
            Error::Decode {
                what: "an HTTP/1.1 answer",
                ..
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let body = format!("{{\"data\":[{}1]}}", "1,".repeat(2_000));
    for bytes in [
        json(200, "OK", &body),
        // Without a length, so that only counting helps.
        format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{body}").into_bytes(),
    ] {
        let server = Scripted::start(move |_| Reply::SendAndClose(bytes.clone())).await;
        let mut settings = server.settings(Trust::Insecure);
        settings.longest_answer = 1_000;
        let error = Client::new(settings).unwrap().nodes().await.unwrap_err();
        assert!(
            matches!(error, Error::TooLong { limit: 1_000, .. }),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_body_without_a_length_ends_with_the_connection() {
    let bytes = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"data\":[]}".to_vec();
    for drop_it in [false, true] {
        let bytes = bytes.clone();
        let server = Scripted::start(move |_| {
            if drop_it {
                Reply::SendAndDrop(bytes.clone())
            } else {
                Reply::SendAndClose(bytes.clone())
            }
        })
        .await;
        assert!(server.pve().lxc_list().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_401_has_no_body_and_no_length() {
    let bytes = b"HTTP/1.1 401 Authentication failed!\r\nConnection: close\r\nServer: pve-api-daemon/3.0\r\n\r\n";
    for drop_it in [false, true] {
        let server = Scripted::start(move |_| {
            if drop_it {
                Reply::SendAndDrop(bytes.to_vec())
            } else {
                Reply::SendAndClose(bytes.to_vec())
            }
        })
        .await;
        let error = server.pve().lxc_list().await.unwrap_err();
        assert!(
            matches!(&error, Error::Unauthorized { text, .. } if text == "Authentication failed!"),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn refusals_are_typed() {
    let message = |text: &str| format!(r#"{{"data":null,"message":"{text}\n"}}"#);
    let denied = "Permission check failed (/vms/9001, VM.Snapshot|VM.Snapshot.Rollback)";
    let error = refused(json(403, denied, &message(denied))).await;
    let Error::Forbidden {
        denied: Some(denied),
        ..
    } = &error
    else {
        panic!("{error:?}")
    };
    assert!(denied.any && denied.path == "/vms/9001");
    assert!(error.hint().unwrap().contains("user and to its token"));

    let text = "Configuration file 'nodes/demo-felhom/lxc/9001.conf' does not exist";
    assert!(matches!(
        refused(json(500, text, &message(text))).await,
        Error::NotFound { .. }
    ));

    // Only in the status line, as PVE's front end does for its own refusals.
    let error = refused(json(501, "Method 'GET /nope' not implemented", "")).await;
    assert_eq!(
        error.to_string(),
        "GET /nodes/demo-felhom/lxc/9001/config: 501: Method 'GET /nope' not implemented"
    );

    let error = refused(json(596, "Connection timed out", "")).await;
    assert!(matches!(error, Error::Proxy { code: 596, .. }), "{error:?}");
}

#[tokio::test]
async fn an_occupied_vmid_is_an_answer_not_an_error() {
    let body = r#"{"message":"Parameter verification failed.\n","data":null,"errors":{"vmid":"VM 9001 already exists"}}"#;
    let taken =
        Scripted::start(|_| Reply::Send(json(400, "Parameter verification failed.", body))).await;
    assert!(!taken.pve().is_free(vmid()).await.unwrap());
    let free = Scripted::start(|_| ok(r#"{"data":"9001"}"#)).await;
    assert!(free.pve().is_free(vmid()).await.unwrap());
}

#[tokio::test]
async fn a_server_that_echoes_the_secret_does_not_get_it_into_an_error() {
    for bytes in [
        json(200, "OK", SECRET),
        json(500, SECRET, ""),
        json(500, "x", &format!(r#"{{"message":"bad {SECRET}"}}"#)),
        json(400, "x", &format!(r#"{{"errors":{{"a":"bad {SECRET}"}}}}"#)),
    ] {
        let error = refused(bytes).await;
        assert!(!format!("{error:?} {error}").contains(SECRET), "{error}");
    }
}

#[tokio::test]
async fn an_empty_list_is_an_empty_list() {
    let server = Scripted::start(|_| ok(r#"{"data":[]}"#)).await;
    assert!(server.pve().lxc_list().await.unwrap().is_empty());
    let server = Scripted::start(|_| ok(r#"{"data":null}"#)).await;
    assert_eq!(server.pve().lxc_interfaces(vmid()).await.unwrap(), None);
}
