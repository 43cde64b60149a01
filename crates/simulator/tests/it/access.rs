//! Logging in, tokens, and what principals may do, through the API alone.

use proptest::prelude::*;
use serde_json::json;
use tokio::runtime::Runtime;

use crate::client::{Client, World};

#[tokio::test]
async fn a_ticket_writes_only_with_its_csrf_token() {
    let world = World::virgin().await;
    let root = world.root().await;
    let role = [("roleid", "Mine")];
    let bare = root.with("CSRFPreventionToken", "");
    let refused = bare.post("/access/roles", &role).await;
    refused.says(401, "Permission denied - invalid csrf token");
    assert!(refused.body.is_empty());
    bare.get("/access/roles").await.ok();
    root.post("/access/roles", &role).await.ok();
}

#[tokio::test]
async fn a_wrong_password_is_a_401_with_an_envelope() {
    let world = World::virgin().await;
    let answer = world
        .anonymous()
        .post(
            "/access/ticket",
            &[("username", "root@pam"), ("password", "no")],
        )
        .await;
    answer.says(401, "authentication failure");
    assert_eq!(
        answer.json(),
        json!({"data": null, "message": "authentication failure\n"})
    );
}

#[tokio::test]
async fn a_ticket_tells_who_and_what() {
    let world = World::virgin().await;
    let password = &world.running.passwords()["root@pam"];
    let params = [
        ("username", "root"),
        ("realm", "pam"),
        ("password", password),
    ];
    let data = world
        .anonymous()
        .post("/access/ticket", &params)
        .await
        .data();
    assert_eq!(data["username"], "root@pam");
    assert!(
        data["ticket"]
            .as_str()
            .unwrap()
            .starts_with("PVE:root@pam:")
    );
    assert_eq!(data["cap"]["vms"]["VM.Audit"], 1);
    assert!(data.get("clustername").is_none());
}

#[tokio::test]
async fn a_token_logs_nobody_in_and_a_cookie_beats_a_token() {
    let world = World::virgin().await;
    let token = world.principal("u@pve", "tok").await;
    let refused = token
        .post(
            "/access/ticket",
            &[("username", "root@pam"), ("password", "x")],
        )
        .await;
    let text = "Permission check failed (URI '/access/ticket' not available with API token, need proper ticket.";
    refused.says(403, text);
    let root = world.root().await;
    let both = Client {
        headers: [root.headers.clone(), token.headers.clone()].concat(),
        ..root
    };
    let permissions = both.get("/access/permissions").await.data();
    assert_eq!(permissions["/"]["Sys.Modify"], 1);
}

#[tokio::test]
async fn a_separated_token_needs_the_grant_twice() {
    let world = World::virgin().await;
    let root = world.root().await;
    let token = world.principal("u@pve", "tok").await;
    let grant = async |kind: &str, id: &str| {
        let params = [("path", "/vms/100"), ("roles", "PVEAuditor"), (kind, id)];
        root.put("/access/acl", &params).await.ok();
    };
    grant("tokens", "u@pve!tok").await;
    assert_eq!(token.get("/access/permissions").await.data(), json!({}));
    grant("users", "u@pve").await;
    let permissions = token.get("/access/permissions").await.data();
    assert_eq!(permissions["/vms/100"]["VM.Audit"], 1);
    assert_eq!(permissions.as_object().unwrap().len(), 1);
}

#[tokio::test]
async fn root_is_root_only_without_a_token() {
    let world = World::virgin().await;
    let root = world.root().await;
    let made = root
        .post(
            "/access/users/root@pam/token/full",
            &[("privsep", "0"), ("comment", "all")],
        )
        .await
        .data();
    assert_eq!(made["info"], json!({"privsep": "0", "comment": "all"}));
    assert_eq!(made["full-tokenid"], "root@pam!full");
    let token = world.token("root@pam!full", made["value"].as_str().unwrap());
    token.get("/nodes/demo-felhom/status").await.ok();
    token
        .get("/cluster/backup-info")
        .await
        .says(403, "Permission check failed (user != root@pam)");
    root.get("/cluster/backup-info").await.ok();
}

#[tokio::test]
async fn a_token_shows_its_secret_once_and_gets_a_new_one_when_asked() {
    let world = World::virgin().await;
    let root = world.root().await;
    let token = world.principal("u@pve", "tok").await;
    let again = root.post("/access/users/u@pve/token/tok", &[]).await;
    again.says(400, "Parameter verification failed.");
    assert_eq!(again.json()["errors"]["tokenid"], "Token already exists.");
    assert_eq!(
        root.get("/access/users/u@pve/token/tok").await.data(),
        json!({"privsep": 1, "expire": 0})
    );
    let renewed = root
        .put("/access/users/u@pve/token/tok", &[("regenerate", "1")])
        .await
        .data();
    token
        .get("/version")
        .await
        .says(401, "Authentication failed!");
    world
        .token("u@pve!tok", renewed["value"].as_str().unwrap())
        .get("/version")
        .await
        .ok();
    root.delete("/access/users/u@pve/token/tok").await.ok();
    root.get("/access/users/u@pve/token/tok")
        .await
        .says(500, "no such token 'tok' for user 'u@pve'");
}

#[tokio::test]
async fn a_token_manages_neither_its_user_nor_its_siblings() {
    let world = World::virgin().await;
    let token = world.principal("u@pve", "tok").await;
    token
        .get("/access/users/u@pve/token")
        .await
        .says(403, "Permission check failed");
    token
        .get("/access/permissions?userid=u@pve")
        .await
        .says(403, "Permission check failed (/access, Sys.Audit)");
}

#[tokio::test]
async fn whoever_allocates_may_hand_on_what_they_hold_and_no_more() {
    let world = World::virgin().await;
    let root = world.root().await;
    let token = world.principal("u@pve", "tok").await;
    root.post(
        "/access/roles",
        &[("roleid", "Maker"), ("privs", "VM.Allocate VM.Audit")],
    )
    .await
    .ok();
    for (kind, id) in [("users", "u@pve"), ("tokens", "u@pve!tok")] {
        root.put(
            "/access/acl",
            &[("path", "/"), ("roles", "Maker"), (kind, id)],
        )
        .await
        .ok();
    }
    let set = async |role: &str| {
        token
            .put(
                "/access/acl",
                &[("path", "/vms/100"), ("roles", role), ("users", "root@pam")],
            )
            .await
    };
    set("Maker").await.ok();
    let refused = set("PVEVMUser").await;
    refused.says(500, "ACL update failed: 400 Parameter verification failed.");
    assert_eq!(
        refused.json()["message"],
        "ACL update failed: 400 Parameter verification failed.\nrole: Cannot add role 'PVEVMUser' - requires \
         'Permissions.Modify' or superset of privileges.\n"
    );
    let elsewhere = token
        .put(
            "/access/acl",
            &[
                ("path", "/nodes"),
                ("roles", "Maker"),
                ("users", "root@pam"),
            ],
        )
        .await;
    elsewhere.says(403, "Permission check failed (/nodes, Permissions.Modify)");
}

#[tokio::test]
async fn acl_requests_are_looked_at_closely() {
    let world = World::virgin().await;
    let root = world.root().await;
    let set = async |params: &[(&str, &str)]| root.put("/access/acl", params).await;
    let path = set(&[
        ("path", "/nope"),
        ("roles", "PVEAuditor"),
        ("users", "root@pam"),
    ])
    .await;
    assert_eq!(path.json()["errors"]["path"], "invalid ACL path '/nope'");
    let subject = set(&[("path", "/"), ("roles", "PVEAuditor")]).await;
    assert_eq!(
        subject.json()["errors"]["users"],
        "either 'users', 'groups' or 'tokens' is required."
    );
    let unknown = set(&[("path", "/"), ("roles", "PVEAuditor"), ("users", "x@pve")]).await;
    unknown.says(500, "ACL update failed: user 'x@pve' does not exist");
    let role = root.post("/access/roles", &[("roleid", "pveX")]).await;
    let text = "cannot use role ID starting with the (case-insensitive) 'PVE' namespace";
    assert_eq!(role.json()["errors"]["roleid"], text);
    let special = root.delete("/access/roles/PVEAdmin").await;
    special.says(
        500,
        "delete role failed: auto-generated role 'PVEAdmin' cannot be deleted",
    );
}

#[tokio::test]
async fn users_groups_and_expiry() {
    let world = World::virgin().await;
    let root = world.root().await;
    root.post("/access/groups", &[("groupid", "g")]).await.ok();
    root.post(
        "/access/users",
        &[
            ("userid", "u@pve"),
            ("groups", "g"),
            ("password", "12345678"),
        ],
    )
    .await
    .ok();
    let again = root.post("/access/users", &[("userid", "u@pve")]).await;
    again.says(500, "create user failed: user 'u@pve' already exists");
    let unknown = root
        .post("/access/users", &[("userid", "v@pve"), ("groups", "h")])
        .await;
    unknown.says(500, "create user failed: no such group 'h'");
    root.put(
        "/access/acl",
        &[("path", "/"), ("roles", "PVEAuditor"), ("groups", "g")],
    )
    .await
    .ok();
    let user = world.login("u@pve", "12345678").await;
    user.get("/nodes/demo-felhom/status").await.ok();
    root.put("/access/users/u@pve", &[("enable", "0")])
        .await
        .ok();
    user.get("/nodes/demo-felhom/status")
        .await
        .says(401, "Authentication failed!");
    root.delete("/access/users/u@pve").await.ok();
    root.get("/access/users/u@pve")
        .await
        .says(500, "no such user ('u@pve')");
}

#[tokio::test]
async fn pools_hold_what_may_be_put_there() {
    let world = World::virgin().await;
    let root = world.root().await;
    root.post("/pools", &[("poolid", "a"), ("comment", "first")])
        .await
        .ok();
    root.post("/pools", &[("poolid", "b")]).await.ok();
    let again = root.post("/pools", &[("poolid", "a")]).await;
    again.says(500, "create pool failed: pool 'a' already exists");
    root.put("/pools/a", &[("vms", "100")]).await.ok();
    let move_it = root.put("/pools/b", &[("vms", "100")]).await;
    move_it.says(
        500,
        "update pools failed: VM 100 belongs already to pool 'a' and 'allow-move' is not set",
    );
    root.put("/pools/b", &[("vms", "100"), ("allow-move", "1")])
        .await
        .ok();
    root.delete("/pools/b").await.says(
        500,
        "delete pool failed: pool 'b' is not empty (contains VM 100)",
    );
    root.delete("/pools?poolid=a").await.ok();
    let token = world.principal("u@pve", "tok").await;
    assert_eq!(token.get("/pools").await.data(), json!([]));
    token
        .get("/pools/b")
        .await
        .says(403, "Permission check failed (/pool/b, Pool.Audit)");
}

#[derive(Debug, Clone)]
struct Grant {
    path: usize,
    to_token: bool,
    role: usize,
    propagate: bool,
}

const PATHS: [&str; 6] = [
    "/",
    "/vms",
    "/vms/100",
    "/storage",
    "/storage/local",
    "/pool/p",
];
const ROLES: [&str; 5] = [
    "Administrator",
    "NoAccess",
    "PVEAuditor",
    "PVEVMAdmin",
    "PVEDatastoreUser",
];

fn grants() -> impl Strategy<Value = Vec<Grant>> {
    let grant = (0..PATHS.len(), any::<bool>(), 0..ROLES.len(), any::<bool>());
    let grant = grant.prop_map(|(path, to_token, role, propagate)| Grant {
        path,
        to_token,
        role,
        propagate,
    });
    prop::collection::vec(grant, 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Whatever is granted to whom, a separated token never holds what its user does not.
    #[test]
    fn a_token_never_exceeds_its_user(grants in grants()) {
        Runtime::new().unwrap().block_on(async {
            let world = World::virgin().await;
            let root = world.root().await;
            world.principal("u@pve", "tok").await;
            root.post("/pools", &[("poolid", "p")]).await.ok();
            root.put("/pools/p", &[("vms", "100")]).await.ok();
            for grant in &grants {
                let (kind, id) = if grant.to_token { ("tokens", "u@pve!tok") } else { ("users", "u@pve") };
                let propagate = if grant.propagate { "1" } else { "0" };
                let params = [("path", PATHS[grant.path]), ("roles", ROLES[grant.role]), (kind, id), ("propagate", propagate)];
                root.put("/access/acl", &params).await.ok();
            }
            for path in PATHS {
                let of = async |id: &str| {
                    root.get(&format!("/access/permissions?userid={id}&path={path}")).await.data()[path].clone()
                };
                let (user, token) = (of("u@pve").await, of("u@pve%21tok").await);
                for privilege in token.as_object().unwrap().keys() {
                    assert!(user.get(privilege).is_some(), "{path} {privilege} {grants:?}");
                }
            }
        });
    }
}
