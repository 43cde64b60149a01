//! The rules of the HTTP layer: what is refused before any method runs, and in which words.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{SPEED, World};

#[tokio::test]
async fn a_401_has_a_text_and_no_body_and_comes_late() {
    let world = World::virgin().await;
    let before = world.running.now();
    let answer = world.anonymous().get("/version").await;
    answer.says(401, "No ticket");
    assert!(answer.body.is_empty());
    assert!(answer.headers.get("content-type").is_none());
    assert_eq!(answer.headers["connection"], "close");
    assert!(world.running.now() - before >= 3);
    world
        .token("root@pam!x", "wrong")
        .get("/version")
        .await
        .says(401, "Authentication failed!");
    world
        .token("nonsense", "")
        .get("/version")
        .await
        .says(401, "Authentication failed!");
}

#[tokio::test]
async fn an_answer_has_the_headers_of_a_node() {
    let world = World::virgin().await;
    let root = world.root().await;
    let answer = root.get("/version").await;
    assert_eq!(answer.json()["data"]["version"], "9.2.11");
    for (name, value) in [
        ("server", "pve-api-daemon/3.0"),
        ("cache-control", "max-age=0"),
        ("pragma", "no-cache"),
        ("content-type", "application/json;charset=UTF-8"),
        ("connection", "Keep-Alive"),
    ] {
        assert_eq!(answer.headers[name], value, "{name}");
    }
    assert_eq!(
        answer.headers["content-length"].to_str().unwrap(),
        answer.body.len().to_string()
    );
}

#[tokio::test]
async fn an_unknown_method_is_a_501_whether_or_not_the_path_is_known() {
    let world = World::virgin().await;
    let root = world.root().await;
    let answer = root.get("/nope").await;
    answer.says(501, "Method 'GET /nope' not implemented");
    assert_eq!(
        answer.json(),
        serde_json::json!({"data": null, "message": "Method 'GET /nope' not implemented"})
    );
    root.delete("/version")
        .await
        .says(501, "Method 'DELETE /version' not implemented");
    root.send("GET", "/api2/yaml/version", "")
        .await
        .says(501, "no formatter for uri /version, yaml");
    root.send("GET", "/index", "")
        .await
        .says(500, "no such file '/index'");
}

#[tokio::test]
async fn what_the_http_layer_does_not_take() {
    let world = World::virgin().await;
    let root = world.root().await;
    let patch = root.send("PATCH", "/api2/json/version", "").await;
    patch.says(501, "method 'PATCH' not available");
    assert!(patch.body.is_empty());
    let uri = "/api2/json/access/roles";
    root.send("DELETE", uri, "a=1")
        .await
        .says(501, "Unexpected content for method 'DELETE'");
    let long = format!("privs={}", "x".repeat(600 * 1024));
    root.send("POST", uri, &long)
        .await
        .says(501, "for data too large");
    let other = root.try_send("POST", uri, "text/plain", "x").await.unwrap();
    other.says(506, "upload 'Content-Type 'text/plain' not implemented");
    let chunked = root
        .with("Transfer-Encoding", "chunked")
        .send("POST", uri, "roleid=x")
        .await;
    chunked.says(501, "chunked transfer encoding not supported");
}

#[tokio::test]
async fn permission_comes_before_verification_and_verification_names_each_field() {
    let world = World::virgin().await;
    let nobody = world.principal("nobody@pve", "tok").await;
    nobody
        .post("/access/roles", &[("nonsense", "1")])
        .await
        .says(403, "Permission check failed (/access, Sys.Modify)");
    let root = world.root().await;
    let answer = root.post("/access/roles", &[("nonsense", "1")]).await;
    answer.says(400, "Parameter verification failed.");
    assert_eq!(
        answer.json(),
        serde_json::json!({
            "data": null,
            "message": "Parameter verification failed.\n",
            "errors": {
                "nonsense": "property is not defined in schema and the schema does not allow additional properties",
                "roleid": "property is missing and it is not optional",
            },
        })
    );
    let bad = root
        .post("/access/roles", &[("roleid", "x"), ("privs", "VM.Nope")])
        .await;
    assert_eq!(
        bad.json()["errors"]["privs"],
        "invalid format - invalid privilege 'VM.Nope'\n"
    );
}

#[tokio::test]
async fn parameters_of_path_and_body_must_agree() {
    let world = World::virgin().await;
    let root = world.root().await;
    let answer = root
        .put("/access/users/root@pam", &[("userid", "other@pam")])
        .await;
    assert_eq!(
        answer.json()["errors"]["userid"],
        "duplicate parameter (already defined in URI) with conflicting values!"
    );
}

#[tokio::test]
async fn extjs_answers_are_always_200() {
    let world = World::virgin().await;
    let nobody = world.principal("nobody@pve", "tok").await;
    let good = nobody.send("GET", "/api2/extjs/version", "").await;
    assert_eq!(
        (good.status, &good.json()["success"]),
        (200, &serde_json::json!(1))
    );
    let bad = nobody
        .send("POST", "/api2/extjs/access/roles", "roleid=x")
        .await;
    assert_eq!(bad.status, 200);
    assert_eq!(bad.json()["success"], 0);
    assert_eq!(bad.json()["status"], 403);
}

#[tokio::test]
async fn a_json_body_is_taken_with_its_own_types() {
    let world = World::virgin().await;
    let root = world.root().await;
    let body = r#"{"userid": "json@pve", "enable": false, "expire": 99}"#;
    root.try_send("POST", "/api2/json/access/users", "application/json", body)
        .await
        .unwrap()
        .ok();
    let user = root.get("/access/users/json@pve").await.data();
    assert_eq!(
        (&user["enable"], &user["expire"]),
        (&serde_json::json!(0), &serde_json::json!(99))
    );
}

#[tokio::test]
async fn an_unknown_node_fails_in_name_resolution_and_localhost_is_a_name() {
    let world = World::virgin().await;
    let root = world.root().await;
    let answer = root.get("/nodes/nope/tasks").await;
    assert_eq!(answer.status, 500);
    assert!(
        answer
            .reason
            .starts_with("hostname lookup 'nope' failed - "),
        "{}",
        answer.reason
    );
    root.get("/nodes/localhost/status").await.ok();
}

#[tokio::test]
async fn a_connection_answers_a_hundred_requests() {
    let world = World::virgin().await;
    let root = world.root().await;
    let mut connection = root.connect().await;
    for round in 1..=100 {
        let answer = root
            .on(&mut connection, "GET", "/api2/json/version", "", "")
            .await
            .unwrap();
        let expect = if round == 100 { "close" } else { "Keep-Alive" };
        assert_eq!(answer.headers["connection"], expect, "request {round}");
    }
    assert!(
        root.on(&mut connection, "GET", "/api2/json/version", "", "")
            .await
            .is_err()
    );
}

#[tokio::test]
async fn plain_http_is_sent_to_https() {
    let world = World::virgin().await;
    for (method, status) in [("GET", "301"), ("POST", "308")] {
        let mut stream = TcpStream::connect(world.running.address()).await.unwrap();
        let request =
            format!("{method} /x HTTP/1.1\r\nHost: box:8006\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
        assert!(
            answer.contains("Location: https://box:8006/x\r\n"),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn it_is_ready_quickly() {
    let began = tokio::time::Instant::now();
    let world = World::start(felhom_simulator::Scenario::Virgin, SPEED).await;
    world.root().await.get("/nodes").await.ok();
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
}
