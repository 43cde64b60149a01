//! The backup server beside the node: a client for it, and what surprises clients.

use std::time::Duration;

use felhom_simulator::{Fault, FaultKind, Options, Simulator};
use serde_json::{Value, json};

use crate::client::{Answer, Client, World, form};

/// A client with a token.
pub(crate) fn client(world: &World, id: &str, secret: &str) -> Client {
    Client {
        headers: vec![("Authorization", format!("PBSAPIToken={id}:{secret}"))],
        ..nobody(world)
    }
}

/// A client without credentials.
pub(crate) fn nobody(world: &World) -> Client {
    Client {
        address: world.running.pbs_address(),
        fingerprint: world.running.pbs_fingerprint().to_ascii_uppercase(),
        headers: Vec::new(),
    }
}

/// Logged in with the password that the world knows.
pub(crate) async fn login(world: &World, user: &str) -> Client {
    let password = world.running.pbs_passwords()[user].clone();
    let mut client = nobody(world);
    let answer = client
        .post(
            "/access/ticket",
            &[("username", user), ("password", &password)],
        )
        .await;
    let data = answer.data();
    let ticket = data["ticket"].as_str().unwrap();
    client
        .headers
        .push(("Cookie", format!("PBSAuthCookie={ticket}")));
    let csrf = data["CSRFPreventionToken"].as_str().unwrap().to_owned();
    client.headers.push(("CSRFPreventionToken", csrf));
    client
}

const STORE: &str = "/admin/datastore/backups";
const KEY: &str = "the key of a client";
const FIRST: i64 = 1_795_390_562;

/// A server with a datastore, a namespace in it, and a user for whom nothing is granted.
async fn start() -> World {
    let world = World::virgin().await;
    for store in ["backups", "others"] {
        control(&world, "pbs-datastore", json!({ "name": store })).await;
    }
    let namespace = json!({ "store": "backups", "ns": "site" });
    control(&world, "pbs-namespace", namespace).await;
    world
}

async fn control(world: &World, name: &str, order: Value) -> Value {
    world.running.control(name, order).await.unwrap()
}

/// A user and a token of the same name, both with a role on a path.
async fn principal(world: &World, name: &str, grants: &[(&str, &str)]) -> Client {
    let user = format!("{name}@pbs");
    let made = control(
        world,
        "pbs-user",
        json!({ "userid": user, "tokens": { "t": null } }),
    )
    .await;
    let id = format!("{user}!t");
    for (path, role) in grants {
        for auth in [&user, &id] {
            let order = json!({ "path": path, "auth": auth, "role": role });
            control(world, "pbs-acl", order).await;
        }
    }
    client(world, &id, made["tokens"][&id].as_str().unwrap())
}

async fn admin(world: &World) -> Client {
    principal(world, "admin", &[("/datastore/backups", "DatastoreAdmin")]).await
}

/// A small snapshot, `more` laid over it.
async fn snapshot(world: &World, id: &str, time: i64, more: Value) {
    let mut order = json!({
        "store": "backups", "type": "ct", "id": id, "time": time, "owner": "admin@pbs!t",
        "files": { "pct.conf.blob": "arch: amd64\n" }, "tree": { "etc/hostname": format!("{id}-{time}\n") },
    });
    let more = more.as_object().cloned().unwrap();
    order.as_object_mut().unwrap().extend(more);
    control(world, "pbs-snapshot", order).await;
}

fn which(id: &str, time: i64) -> String {
    format!("backup-type=ct&backup-id={id}&backup-time={time}")
}

/// Waits for a task; answers its exit status and its log, without dates.
async fn ended(client: &Client, upid: &str) -> (String, Vec<String>) {
    let path = format!(
        "/nodes/localhost/tasks/{}",
        form(&[("", upid)]).trim_start_matches('=')
    );
    for _ in 0..2000 {
        let status = client.get(&format!("{path}/status")).await.data();
        if status["status"] == "stopped" {
            let log = client.get(&format!("{path}/log?limit=0")).await.data();
            let lines = log.as_array().unwrap().iter();
            let lines = lines.map(|line| {
                line["t"]
                    .as_str()
                    .unwrap()
                    .split_once(": ")
                    .unwrap()
                    .1
                    .to_owned()
            });
            return (
                status["exitstatus"].as_str().unwrap().to_owned(),
                lines.collect(),
            );
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("{upid} does not end");
}

async fn verify(client: &Client, params: &[(&str, &str)]) -> (String, Vec<String>) {
    let upid = client.post(&format!("{STORE}/verify"), params).await.data();
    ended(client, upid.as_str().unwrap()).await
}

/// The state of a snapshot as lists tell it.
async fn state(client: &Client, id: &str) -> Value {
    let list = client
        .get(&format!("{STORE}/snapshots?backup-type=ct&backup-id={id}"))
        .await
        .data();
    list[0]["verification"]["state"].clone()
}

async fn json_body(client: &Client, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
    let uri = format!("/api2/json{path}");
    let answer = client
        .try_send(method, &uri, "application/json", body)
        .await
        .ok()?;
    Some((
        answer.status,
        String::from_utf8_lossy(&answer.body).into_owned(),
    ))
}

fn text(answer: &Answer) -> (u16, String) {
    (
        answer.status,
        String::from_utf8_lossy(&answer.body).into_owned(),
    )
}

/// The calls of the table, each with the answers to the six principals: status, and how long a list is.
const TABLE: &[(&str, [&str; 6])] = &[
    (
        "GET /access/permissions",
        ["200", "200", "200", "200", "200", "200"],
    ),
    (
        "GET /admin/datastore",
        ["200[1]", "200[1]", "200[1]", "200[1]", "200[1]", "200[2]"],
    ),
    (
        "GET STORE/status",
        ["200", "200", "200", "200", "200", "200"],
    ),
    (
        "GET STORE/snapshots",
        ["200[4]", "200[4]", "200[0]", "200[0]", "403", "200[4]"],
    ),
    (
        "GET STORE/snapshots?ns=site",
        ["200[1]", "200[1]", "200[0]", "200[0]", "200[1]", "200[1]"],
    ),
    (
        "GET STORE/groups",
        ["200[2]", "200[2]", "200[0]", "200[0]", "403", "200[2]"],
    ),
    (
        "GET STORE/namespace",
        ["200[2]", "200[2]", "200[2]", "200[2]", "200[1]", "200[2]"],
    ),
    (
        "GET STORE/files?ID",
        ["200[4]", "200[4]", "400", "400", "403", "200[4]"],
    ),
    (
        "GET STORE/download-decoded?ID&file-name=index.json.blob",
        ["403", "200", "400", "400", "403", "403"],
    ),
    (
        "POST STORE/verify",
        ["403", "200", "200", "200", "403", "403"],
    ),
    (
        "POST STORE/verify?ID",
        ["403", "200", "400", "400", "403", "403"],
    ),
    (
        "POST STORE/prune?backup-type=ct&backup-id=1&keep-last=1&dry-run=1",
        ["403", "403", "403", "400", "403", "403"],
    ),
    ("GET STORE/gc", ["200", "200", "403", "403", "403", "200"]),
    ("POST STORE/gc", ["403", "403", "403", "403", "403", "403"]),
    (
        "GET STORE/notes?ID",
        ["200", "200", "400", "400", "403", "200"],
    ),
    (
        "GET STORE/protected?ID",
        ["200", "200", "400", "400", "403", "200"],
    ),
    (
        "GET /nodes/localhost/status",
        ["403", "403", "403", "403", "403", "200"],
    ),
    (
        "GET /config/verify",
        ["200[0]", "200[0]", "200[0]", "200[0]", "200[0]", "200[0]"],
    ),
];

#[tokio::test]
async fn each_role_may_call_what_it_may_on_a_real_server() {
    let world = start().await;
    for (id, time) in [
        ("1", FIRST),
        ("1", FIRST + 1),
        ("1", FIRST + 2),
        ("2", FIRST),
    ] {
        snapshot(&world, id, time, json!({})).await;
    }
    snapshot(&world, "1", FIRST, json!({ "ns": "site" })).await;
    let store = "/datastore/backups";
    let who = [
        principal(&world, "audit", &[(store, "DatastoreAudit")]).await,
        principal(&world, "reader", &[(store, "DatastoreReader")]).await,
        principal(&world, "backup", &[(store, "DatastoreBackup")]).await,
        principal(&world, "power", &[(store, "DatastorePowerUser")]).await,
        principal(
            &world,
            "site",
            &[("/datastore/backups/site", "DatastoreAudit")],
        )
        .await,
        principal(&world, "root-audit", &[("/", "Audit")]).await,
    ];
    for (call, wanted) in TABLE {
        let call = call
            .replace("STORE", STORE)
            .replace("ID", &which("1", FIRST));
        let (method, path) = call.split_once(' ').unwrap();
        let mut seen = Vec::new();
        for client in &who {
            let answer = client.send(method, &format!("/api2/json{path}"), "").await;
            let length = answer.json()["data"].as_array().map(Vec::len);
            let length = length
                .map(|length| format!("[{length}]"))
                .unwrap_or_default();
            seen.push(format!("{}{length}", answer.status));
        }
        assert_eq!(seen, wanted, "{call}");
    }
}

#[tokio::test]
async fn an_exit_status_of_ok_does_not_mean_verified() {
    let world = start().await;
    let admin = admin(&world).await;
    snapshot(&world, "1", FIRST, json!({})).await;
    let damage = json!({
        "store": "backups", "type": "ct", "id": "1", "archive": "root.pxar.didx", "how": "flip",
    });
    control(&world, "pbs-corrupt", damage).await;
    let (exit, log) = verify(&admin, &[]).await;
    assert_eq!(
        exit,
        "verification failed - please check the log for details"
    );
    assert!(log.iter().any(|line| line.contains(".0.bad")), "{log:#?}");
    assert_eq!(state(&admin, "1").await, "failed");
    let (exit, log) = verify(&admin, &[]).await;
    assert_eq!(exit, "OK");
    assert!(
        log.iter().any(|line| line.contains("(recently verified)")),
        "{log:#?}"
    );
    let missing = [
        ("backup-type", "ct"),
        ("backup-id", "77"),
        ("backup-time", "77"),
    ];
    assert_eq!(verify(&admin, &missing).await.0, "OK");
    assert_eq!(verify(&admin, missing.get(..2).unwrap()).await.0, "OK");
    assert_ne!(verify(&admin, &[("ns", "nope")]).await.0, "OK");
}

#[tokio::test]
async fn only_the_holder_of_the_key_notices_altered_ciphertext() {
    let world = start().await;
    let admin = admin(&world).await;
    snapshot(&world, "1", FIRST, json!({ "key": KEY })).await;
    snapshot(&world, "2", FIRST, json!({})).await;
    for (id, how) in [("1", "resum"), ("2", "replace")] {
        let order = json!({
            "store": "backups", "type": "ct", "id": id, "archive": "root.pxar.didx", "how": how,
        });
        control(&world, "pbs-corrupt", order).await;
    }
    let (_, log) = verify(&admin, &[]).await;
    assert!(
        log.contains(&"detected chunk with wrong digest.".to_owned()),
        "{log:#?}"
    );
    assert_eq!(
        (state(&admin, "1").await, state(&admin, "2").await),
        (json!("ok"), json!("failed"))
    );
}

#[tokio::test]
async fn a_grant_to_one_of_user_and_token_is_none() {
    let world = start().await;
    let made = control(
        &world,
        "pbs-user",
        json!({ "userid": "a@pbs", "tokens": { "t": "s" } }),
    )
    .await;
    assert_eq!(made["tokens"]["a@pbs!t"], "s");
    let token = client(&world, "a@pbs!t", "s");
    let (grant, take) = (
        json!({ "path": "/datastore/backups", "role": "DatastoreAdmin" }),
        json!(true),
    );
    for auth in ["a@pbs", "a@pbs!t"] {
        let mut order = grant.clone();
        order["auth"] = json!(auth);
        control(&world, "pbs-acl", order.clone()).await;
        assert_eq!(token.get("/access/permissions").await.data(), json!({}));
        assert_eq!(token.get("/admin/datastore").await.data(), json!([]));
        assert_eq!(token.get(&format!("{STORE}/snapshots")).await.status, 403);
        order["delete"] = take.clone();
        control(&world, "pbs-acl", order).await;
    }
}

#[tokio::test]
async fn an_unknown_datastore_and_a_forbidden_one_look_the_same() {
    let world = start().await;
    let admin = admin(&world).await;
    for name in ["others", "nowhere"] {
        let answer = admin
            .get(&format!("/admin/datastore/{name}/snapshots"))
            .await;
        let missing =
            "permission check failed - missing Datastore.Audit|Datastore.Backup on /datastore";
        assert_eq!(text(&answer), (403, format!("{missing}/{name}")));
    }
    let root = login(&world, "root@pam").await;
    let answer = root.get("/admin/datastore/nowhere/snapshots").await;
    assert_eq!(text(&answer), (400, "no such datastore 'nowhere'".into()));
}

#[tokio::test]
async fn refusals_are_plain_text_that_claims_to_be_json() {
    let world = start().await;
    let admin = admin(&world).await;
    let nobody = nobody(&world);
    assert_eq!(nobody.get("/ping").await.data()["pong"], true);
    assert_eq!(nobody.send("HEAD", "/api2/json/ping", "").await.status, 401);
    let answer = nobody.get("/version").await;
    let told = "authentication failed - no authentication credentials provided.";
    assert_eq!(text(&answer), (401, told.into()));
    assert_eq!(
        answer.headers["content-type"],
        "application/json;charset=UTF-8"
    );
    assert_eq!(admin.get("/nowhere").await.status, 404);
    assert_eq!(
        admin
            .get(&format!("{STORE}/snapshots?backup-type=vm"))
            .await
            .status,
        400
    );
    let answer = admin
        .get(&format!("{STORE}/snapshots?backup-type=ct&backup-id=5"))
        .await;
    assert_eq!(answer.data(), json!([]));
    assert_eq!(admin.get("/nodes").await.status, 403);
}

#[tokio::test]
async fn a_task_that_never_was_is_unknown() {
    let world = start().await;
    let admin = admin(&world).await;
    let own = "UPID:pbs:00000001:00000001:00000001:6B037C49:verify:backups:admin@pbs!t:";
    let path = format!(
        "/nodes/any-node/tasks/{}",
        form(&[("", own)]).trim_start_matches('=')
    );
    let status = admin.get(&format!("{path}/status")).await.data();
    assert_eq!(
        (&status["status"], &status["exitstatus"]),
        (&json!("stopped"), &json!("unknown"))
    );
    assert_eq!(admin.get(&format!("{path}/log")).await.status, 400);
    let other = path.replace("admin%40pbs", "other%40pbs");
    let answer = admin.get(&format!("{other}/status")).await;
    assert_eq!(text(&answer), (400, "task access not allowed".into()));
}

#[tokio::test]
async fn a_backup_in_progress_is_listed_and_cannot_be_removed() {
    let world = start().await;
    let admin = admin(&world).await;
    snapshot(&world, "1", FIRST, json!({})).await;
    let order = json!({ "store": "backups", "type": "ct", "id": "1", "time": FIRST + 9, "owner": "admin@pbs!t" });
    let upid = control(&world, "pbs-begin", order.clone()).await["upid"].clone();
    let list = admin.get(&format!("{STORE}/snapshots")).await.data();
    let begun = list
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["backup-time"] == FIRST + 9)
        .unwrap();
    assert_eq!((&begun["files"], begun.get("size")), (&json!([]), None));
    let groups = admin.get(&format!("{STORE}/groups")).await.data();
    assert_eq!(
        (&groups[0]["backup-count"], &groups[0]["last-backup"]),
        (&json!(2), &json!(FIRST + 9))
    );
    let (exit, log) = verify(
        &admin,
        &[
            ("backup-type", "ct"),
            ("backup-id", "1"),
            ("backup-time", &(FIRST + 9).to_string()),
        ],
    )
    .await;
    assert_eq!(exit, "OK");
    assert!(
        log[0].contains("could not acquire snapshot lock"),
        "{log:#?}"
    );
    let gone = admin
        .delete(&format!("{STORE}/snapshots?{}", which("1", FIRST + 9)))
        .await;
    assert_eq!(gone.status, 400);
    let mut end = order;
    end["upid"] = upid.clone();
    control(&world, "pbs-end", end).await;
    assert_eq!(
        admin
            .get(&format!("{STORE}/snapshots"))
            .await
            .data()
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        ended(&admin, upid.as_str().unwrap()).await.0,
        "backup ended but finished flag is not set."
    );
}

#[tokio::test]
async fn json_has_types_and_an_array_breaks_the_connection() {
    let world = start().await;
    let admin = admin(&world).await;
    let path = format!("{STORE}/verify");
    let told = async |body: &str| json_body(&admin, "POST", &path, body).await;
    let (status, text) = told(r#"{"ignore-verified": 1}"#).await.unwrap();
    assert_eq!(
        (status, text.as_str()),
        (
            400,
            "parameter verification failed - 'ignore-verified': Expected boolean value."
        )
    );
    assert_eq!(told(r#"{"backup-time": "123"}"#).await.unwrap().0, 400);
    assert_eq!(told(r#"{"nonsense": 1}"#).await.unwrap().0, 400);
    assert_eq!(told("[]").await, None);
    assert_eq!(
        admin.post(&path, &[("ignore-verified", "0")]).await.status,
        200
    );
}

#[tokio::test]
async fn protection_holds_against_everything_but_the_file_system() {
    let world = start().await;
    let admin = admin(&world).await;
    snapshot(&world, "1", FIRST, json!({ "protected": true })).await;
    snapshot(&world, "1", FIRST + 1, json!({})).await;
    let answer = admin
        .delete(&format!("{STORE}/snapshots?{}", which("1", FIRST)))
        .await;
    assert_eq!(
        text(&answer),
        (400, "cannot remove protected snapshot".into())
    );
    let answer = admin
        .delete(&format!("{STORE}/groups?backup-type=ct&backup-id=1"))
        .await;
    assert_eq!(
        text(&answer),
        (
            400,
            "group only partially deleted due to protected snapshots".into()
        )
    );
    let left = admin.get(&format!("{STORE}/snapshots")).await.data();
    assert_eq!(left.as_array().unwrap().len(), 1);
    assert_eq!(left[0]["protected"], true);
}

#[tokio::test]
async fn maintenance_refuses_and_says_so() {
    let world = start().await;
    let admin = admin(&world).await;
    snapshot(&world, "1", FIRST, json!({})).await;
    let order = json!({ "store": "backups", "mode": "read-only" });
    control(&world, "pbs-maintenance", order).await;
    assert_eq!(verify(&admin, &[]).await.0, "OK");
    assert_eq!(state(&admin, "1").await, "ok");
    assert_eq!(
        admin
            .delete(&format!("{STORE}/snapshots?{}", which("1", FIRST)))
            .await
            .status,
        400
    );
    let order = json!({ "store": "backups", "mode": "offline" });
    control(&world, "pbs-maintenance", order).await;
    assert_eq!(admin.get(&format!("{STORE}/snapshots")).await.status, 400);
    assert_eq!(
        admin.get("/admin/datastore").await.data()[0]["maintenance"],
        "offline"
    );
}

#[tokio::test]
async fn a_world_goes_on_where_it_stopped() {
    let world = start().await;
    let admin = admin(&world).await;
    snapshot(
        &world,
        "1",
        FIRST,
        json!({ "key": KEY, "notes": "kept\nas it was" }),
    )
    .await;
    verify(&admin, &[]).await;
    let before = admin.get(&format!("{STORE}/snapshots")).await.data();
    assert_eq!(before[0]["comment"], "kept");
    let (fingerprint, headers) = (world.running.pbs_fingerprint(), admin.headers.clone());
    world.running.stop().await.unwrap();
    let running = Simulator::start(Options::new(world.dir.path()))
        .await
        .unwrap();
    assert_eq!(running.pbs_fingerprint(), fingerprint);
    let admin = Client {
        address: running.pbs_address(),
        fingerprint: fingerprint.to_ascii_uppercase(),
        headers,
    };
    assert_eq!(
        admin.get(&format!("{STORE}/snapshots")).await.data(),
        before
    );
}

#[tokio::test]
async fn many_snapshots_are_made_cheaply_and_go_with_the_process() {
    let world = start().await;
    let admin = admin(&world).await;
    let order =
        json!({ "store": "backups", "owner": "admin@pbs!t", "count": 20_000, "per_group": 30 });
    assert_eq!(control(&world, "pbs-bulk", order).await["groups"], 667);
    let list = admin.get(&format!("{STORE}/snapshots")).await.data();
    assert_eq!(list.as_array().unwrap().len(), 20_000);
    world.running.stop().await.unwrap();
    let size = std::fs::metadata(world.dir.path().join("world.json"))
        .unwrap()
        .len();
    assert!(size < 1 << 20, "{size}");
}

#[tokio::test]
async fn another_certificate_ends_every_connection() {
    let world = start().await;
    let admin = admin(&world).await;
    let mut connection = admin.connect().await;
    let before = world.running.pbs_fingerprint();
    let after = control(&world, "pbs-renew-certificate", json!({})).await["fingerprint"].clone();
    assert_eq!(after, world.running.pbs_fingerprint());
    assert_ne!(after, before);
    assert!(
        admin
            .on(&mut connection, "GET", "/api2/json/version", "", "")
            .await
            .is_err()
    );
}

#[tokio::test]
async fn garbage_goes_after_a_day() {
    let world = start().await;
    let admin = admin(&world).await;
    snapshot(&world, "1", FIRST, json!({ "noise": 600_000 })).await;
    admin
        .delete(&format!("{STORE}/snapshots?{}", which("1", FIRST)))
        .await
        .ok();
    let collect = async || {
        let upid = admin.post(&format!("{STORE}/gc"), &[]).await.data();
        assert_eq!(ended(&admin, upid.as_str().unwrap()).await.0, "OK");
        admin.get(&format!("{STORE}/gc")).await.data()
    };
    let first = collect().await;
    assert_eq!(
        (&first["removed-chunks"], &first["disk-chunks"]),
        (&json!(0), &json!(0))
    );
    assert_ne!(first["pending-chunks"], 0);
    world.running.advance(Duration::from_hours(25));
    let second = collect().await;
    assert_eq!(
        (&second["removed-chunks"], &second["pending-chunks"]),
        (&first["pending-chunks"], &json!(0))
    );
}

#[tokio::test]
async fn faults_meet_the_backup_server_below_its_own_name() {
    let world = start().await;
    let admin = admin(&world).await;
    let status = FaultKind::Status {
        code: 503,
        text: "busy".into(),
    };
    world
        .running
        .inject(Fault::request("GET", "/pbs/version", status));
    assert_eq!(text(&admin.get("/version").await), (503, "busy".into()));
    assert_eq!(admin.get("/version").await.status, 200);
    let text = "the disk is gone".to_owned();
    world.running.inject(Fault::task(
        "pbs:verify",
        FaultKind::TaskFail { text: text.clone() },
    ));
    assert_eq!(verify(&admin, &[]).await.0, text);
}
