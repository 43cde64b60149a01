//! What is refused at once, in the words of the source: one row a request, its status, its text, and what it says of
//! each parameter.

use serde_json::{Value, json};

use crate::client::Client;
use crate::story::{AGENT, CTL, NODE, built_in, post};

/// Method, path below the node, parameters, status, text of the parameter (or the reason phrase).
type Row = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
    u16,
    &'static str,
);

/// Asks, and compares the reason phrase, or where parameters are refused the text of the first.
async fn ask(client: &Client, (method, path, params, status, text): Row) {
    let query = crate::client::form(params);
    let answer = match method {
        "GET" | "DELETE" => {
            let mark = if query.is_empty() { "" } else { "?" };
            let uri = format!("/api2/json{path}{mark}{query}");
            client.send(method, &uri, "").await
        }
        _ => {
            client
                .send(method, &format!("/api2/json{path}"), &query)
                .await
        }
    };
    let body = answer.json();
    let of_parameter = body["errors"]
        .as_object()
        .and_then(|all| all.values().next());
    let got = match of_parameter {
        Some(one) => one.as_str().unwrap().to_owned(),
        None => answer.reason.clone(),
    };
    assert_eq!(
        (answer.status, got.as_str()),
        (status, text),
        "{method} {path} {params:?}: {body}"
    );
}

const OPTIONS: &[Row] = &[
    (
        "PUT",
        "/nodes/demo-felhom/lxc/9010/config",
        &[("mp6", "local-lvm:1,mp=/a/../b")],
        400,
        "invalid format - format error\nmp6.mp: invalid format - /a/../b contains illegal character sequences\n\n",
    ),
    (
        "PUT",
        "/nodes/demo-felhom/lxc/9010/config",
        &[("tags", "a;!x")],
        400,
        "invalid format - invalid characters in tag\n",
    ),
    (
        "PUT",
        "/nodes/demo-felhom/lxc/9010/config",
        &[("startup", "order=x")],
        400,
        "invalid format - unable to parse startup options\n",
    ),
    (
        "PUT",
        "/nodes/demo-felhom/lxc/9010/config",
        &[("nameserver", "x")],
        400,
        "invalid format - value does not look like a valid IP address\n",
    ),
    (
        "PUT",
        "/nodes/demo-felhom/lxc/9010/config",
        &[("cpulimit", "9000")],
        400,
        "value must have a maximum value of 8192",
    ),
    (
        "PUT",
        "/nodes/demo-felhom/lxc/9010/config",
        &[("timezone", "Mars")],
        400,
        "invalid format - invalid time zone 'Mars'\n",
    ),
    (
        "PUT",
        "/nodes/demo-felhom/lxc/9010/config",
        &[("net1", "name=eth1,foo=1")],
        400,
        "invalid format - invalid key in comma-separated list property: foo\n",
    ),
    (
        "PUT",
        "/nodes/demo-felhom/lxc/9010/config",
        &[("net1", "name=eth1,gw=x")],
        400,
        "invalid format - format error\nnet1.gw: invalid format - value does not look like a valid IPv4 address\n\n",
    ),
    (
        "PUT",
        "/nodes/demo-felhom/lxc/9010/config",
        &[("unused0", "x")],
        400,
        "invalid format - format error\nunused0.volume: invalid format - unable to parse volume ID 'x'\n\n",
    ),
    (
        "PUT",
        "/nodes/demo-felhom/lxc/9010/resize",
        &[("disk", "rootfs"), ("size", "+x")],
        400,
        "value does not match the regex pattern",
    ),
    (
        "POST",
        "/nodes/demo-felhom/lxc",
        &[("vmid", "9020"), ("ostemplate", "x"), ("password", "abc")],
        400,
        "value must be at least 5 characters long",
    ),
    (
        "POST",
        "/nodes/demo-felhom/lxc",
        &[("vmid", "9020"), ("ostemplate", "x"), ("pool", "a/b/c/d")],
        400,
        "invalid format - pool name 'a/b/c/d' nested too deeply (max levels = 3)\n",
    ),
];

const STORAGES: &[Row] = &[
    (
        "POST",
        "/storage",
        &[("storage", "a"), ("type", "dir")],
        400,
        "invalid format - storage ID 'a' cannot be shorter than 2 characters\n",
    ),
    (
        "POST",
        "/storage",
        &[("storage", "ab"), ("type", "dir")],
        500,
        "missing value for required option 'path'",
    ),
    (
        "POST",
        "/storage",
        &[("storage", "ab"), ("type", "dir"), ("path", "x")],
        400,
        "invalid format - value does not look like a valid absolute path\n",
    ),
    (
        "POST",
        "/storage",
        &[
            ("storage", "ab"),
            ("type", "dir"),
            ("path", "/x"),
            ("vgname", "pve"),
        ],
        500,
        "unexpected property 'vgname'",
    ),
    (
        "POST",
        "/storage",
        &[
            ("storage", "ab"),
            ("type", "dir"),
            ("path", "/x"),
            ("content", "foo"),
        ],
        400,
        "invalid format - invalid content type 'foo'\n",
    ),
    (
        "POST",
        "/storage",
        &[
            ("storage", "ab"),
            ("type", "lvmthin"),
            ("vgname", "pve"),
            ("thinpool", "data"),
            ("content", "backup"),
        ],
        500,
        "storage does not support content type 'none'",
    ),
    (
        "POST",
        "/storage",
        &[
            ("storage", "ab"),
            ("type", "lvmthin"),
            ("vgname", "pve"),
            ("thinpool", "nope"),
        ],
        500,
        "create storage failed: no such logical volume pve/nope",
    ),
    (
        "PUT",
        "/storage/local",
        &[("delete", "path")],
        500,
        "update storage failed: unable to delete required option 'path'",
    ),
    (
        "PUT",
        "/storage/local",
        &[("delete", "nope")],
        500,
        "update storage failed: no such option 'nope'",
    ),
    (
        "PUT",
        "/storage/local",
        &[("server", "a")],
        500,
        "update storage failed: unexpected property 'server'",
    ),
    (
        "PUT",
        "/storage/nope",
        &[("content", "iso")],
        500,
        "update storage failed: storage 'nope' does not exist",
    ),
    (
        "DELETE",
        "/storage/nope",
        &[],
        500,
        "delete storage failed: storage 'nope' does not exist",
    ),
    (
        "GET",
        "/nodes/demo-felhom/storage/nope/status",
        &[],
        400,
        "No such storage.",
    ),
    (
        "GET",
        "/nodes/demo-felhom/storage/nope/content",
        &[],
        500,
        "storage 'nope' does not exist",
    ),
    (
        "GET",
        "/nodes/demo-felhom/storage/local-lvm/prunebackups",
        &[("prune-backups", "keep-last=1")],
        500,
        "storage 'local-lvm' does not support backups",
    ),
    (
        "GET",
        "/nodes/demo-felhom/storage/local/content/local-lvm:vm-9001-disk-0",
        &[],
        400,
        "storage ID mismatch (local-lvm != local)\n",
    ),
    (
        "GET",
        "/nodes/demo-felhom/storage/local/content/local:backup%2Fnope.tar",
        &[],
        500,
        "volume_size_info on 'local:backup/nope.tar' failed - no format",
    ),
    (
        "PUT",
        "/nodes/demo-felhom/storage/local/content/local:iso%2Fx.iso",
        &[("notes", "x")],
        500,
        "only backups can have notes",
    ),
    (
        "POST",
        "/nodes/demo-felhom/storage/local-lvm/content",
        &[
            ("vmid", "9001"),
            ("filename", "vm-9001-disk-5"),
            ("size", "1T"),
        ],
        400,
        "value does not match the regex pattern",
    ),
    (
        "POST",
        "/nodes/demo-felhom/storage/local/content",
        &[
            ("vmid", "9001"),
            ("filename", "vm-9001-disk-5.raw"),
            ("size", "1G"),
            ("format", "qcow2"),
        ],
        400,
        "different storage formats (qcow2 != raw)",
    ),
];

const JOBS: &[Row] = &[
    (
        "POST",
        "/nodes/demo-felhom/vzdump",
        &[("vmid", "9001"), ("exclude", "9010")],
        400,
        "option conflicts with option 'vmid'",
    ),
    (
        "POST",
        "/nodes/demo-felhom/vzdump",
        &[("vmid", "9001"), ("stdout", "1")],
        400,
        "option is only allowed on the command line interface.",
    ),
    (
        "POST",
        "/nodes/demo-felhom/vzdump",
        &[("vmid", "9001"), ("performance", "max-workers=300")],
        400,
        "invalid format - format error\nperformance.max-workers: value must have a maximum value of 256\n",
    ),
    (
        "GET",
        "/nodes/demo-felhom/vzdump/extractconfig",
        &[("volume", "local:iso/x.iso")],
        500,
        "unable to use volume local:iso/x.iso - content type needs to be 'backup'",
    ),
    (
        "POST",
        "/cluster/backup",
        &[("vmid", "9001")],
        400,
        "neither 'starttime' nor 'schedule' were set",
    ),
    (
        "POST",
        "/cluster/backup",
        &[
            ("vmid", "9001"),
            ("schedule", "02:00"),
            ("starttime", "2:00"),
        ],
        400,
        "'starttime' and 'schedule' cannot both be set",
    ),
    (
        "POST",
        "/cluster/backup",
        &[("schedule", "02:00")],
        500,
        "400 Parameter verification failed.",
    ),
    (
        "DELETE",
        "/cluster/backup/nope",
        &[],
        500,
        "400 Parameter verification failed.",
    ),
    (
        "GET",
        "/cluster/backup/nope",
        &[],
        400,
        "No such job 'nope'",
    ),
    (
        "GET",
        "/nodes/demo-felhom/disks/smart",
        &[("disk", "sda")],
        400,
        "value does not match the regex pattern",
    ),
    (
        "GET",
        "/access/permissions",
        &[("userid", "x")],
        400,
        "value does not match the regex pattern",
    ),
];

#[tokio::test]
async fn refusals_are_worded_as_in_the_source() {
    let world = built_in().await;
    let root = world.root().await;
    for row in OPTIONS.iter().chain(STORAGES).chain(JOBS) {
        ask(&root, *row).await;
    }
}

#[tokio::test]
async fn a_job_is_given_back_taken_apart() {
    let world = built_in().await;
    let root = world.root().await;
    let job = [
        ("id", "nightly"),
        ("vmid", "9001"),
        ("starttime", "02:30"),
        ("dow", "mon,tue"),
        ("prune-backups", "keep-last=3"),
    ];
    root.post("/cluster/backup", &job).await.ok();
    let expected = json!({
        "id": "nightly", "type": "vzdump", "enabled": 1, "vmid": "9001", "schedule": "mon,tue 02:30",
        "prune-backups": { "keep-last": "3" },
    });
    assert_eq!(root.get("/cluster/backup").await.data(), json!([expected]));
    root.delete("/cluster/backup/nightly").await.ok();
    assert_eq!(root.get("/cluster/backup").await.data(), json!([]));
}

/// The right to manage a storage does not include the right to remove a guest's backups.
#[tokio::test]
async fn removing_a_backup_needs_the_right_to_make_one() {
    let world = built_in().await;
    let (agent, root) = (world.as_token(AGENT), world.root().await);
    let params = [("vmid", "9001"), ("storage", "local"), ("compress", "zstd")];
    post(&agent, "/vzdump", &params).await.ok();
    let archive = crate::story::newest(&agent, 9001).await;
    let privileges = [("privs", "Datastore.Allocate Datastore.AllocateSpace")];
    root.put("/access/roles/FelhomAgent", &privileges)
        .await
        .ok();
    let path = format!(
        "{NODE}/storage/local/content/{}",
        archive.replace('/', "%2F")
    );
    let answer = agent.delete(&path).await;
    answer.says(403, "Permission check failed (/vms/9001, VM.Backup)");
    let attributes = root.get(&path).await.data();
    assert_eq!(
        (&attributes["notes"], &attributes["protected"]),
        (&json!(""), &json!(0))
    );
}

/// Who may not look at the node is not told where it puts backups.
#[tokio::test]
async fn defaults_are_shown_in_part() {
    let world = built_in().await;
    let path = format!("{NODE}/vzdump/defaults");
    let own: Value = world.as_token(CTL).get(&path).await.data();
    let agents = world.as_token(AGENT).get(&path).await.data();
    assert!(own.get("dumpdir").is_none() && own.get("ionice").is_none());
    assert_eq!(agents["dumpdir"], "/var/lib/vz/dump");
}
