//! The backup server as a storage of the node: defining it, backing up to it, looking into it, restoring from it.

use std::time::Duration;

use felhom_simulator::{Fault, FaultKind, Scenario};
use serde_json::{Value, json};

use crate::client::{Answer, Client, SPEED, World, form};
use crate::pbs;
use crate::story::{self, Task};

const NODE: &str = "/nodes/demo-felhom";
const TOKEN: &str = "felhom@pbs!n100";
/// The public half of a master key that nobody has any more.
const MASTER: &str = "\
-----BEGIN PUBLIC KEY-----\n\
MIICIjANBgkqhkiG9w0BAQEFAAOCAg8AMIICCgKCAgEAx31+qrkhQg601h6nFeon\n\
w6s1UjJgbU9uYKQb5UlEsfT08S2dmAcxbiUPtEQUTSYfZ9e+4UQ+dRjBZ4VzAmKx\n\
EVtKUSiersHSrHHpLhNZ27eum/AZvJMxmzdKICuF9TcG1FwtlJRnFwGRhn7DDkPB\n\
ytP806fn/KYeh3YIZMmf8otnLeoLjW+nv8sPbyd4NHf5drobvSrd4c8hMFO/UNsO\n\
GkUb+qkjcI3ctW5rSe3OhZaCYDOF3AXobdpBtJygBUJBIVMawPFRLDfGrclUYqaJ\n\
Rivk3CSmbmZYQC+iear7qO1dBw7jo7MG7ROB9Tz9NHKxGz5slu3f3LO6Xjosb7sl\n\
8hsfadRHfxfiRhrCt3m4omtTb73blqDOL41xYlsUq4rPDCg8lXVIBBg8qgQbUebk\n\
Un7NbvUG9amVaKgJsHFFtBVp3llDO2hT3A9IwQWLzcrY0h8kCq2Woxwqgy9crnG1\n\
MjmcHrymubqaiMNfC/kcNU2pnHHRUWoTFHZARPMvTRuJHptVmOST5D1Wm8rtVkWz\n\
74oSKtF+D6uJDNzvrWF9OUvjWthffvgETuS2AKxe2VktYUxuGDOw+kEr+MBsLc5A\n\
ZRK1jk4fJaOHAWizPVzzXhH6R7eSQFP9qqZW0v/KAzEMoDS3883GkXkCZxMN1Rxo\n\
nEQ34jnwkrhGg6Ha4B1CXKsCAwEAAQ==\n\
-----END PUBLIC KEY-----\n\
";

struct Bench {
    world: World,
    root: Client,
    secret: String,
}

impl Bench {
    async fn new() -> Self {
        let world = World::start(Scenario::BuiltIn, SPEED).await;
        let control =
            async |name: &str, order: Value| world.running.control(name, order).await.unwrap();
        control("pbs-datastore", json!({ "name": "backups" })).await;
        let made = control(
            "pbs-user",
            json!({ "userid": "felhom@pbs", "tokens": { "n100": null } }),
        )
        .await;
        let secret = made["tokens"][TOKEN].as_str().unwrap().to_owned();
        for auth in ["felhom@pbs", TOKEN] {
            let order =
                json!({ "path": "/datastore/backups", "auth": auth, "role": "DatastoreAdmin" });
            control("pbs-acl", order).await;
        }
        let root = world.root().await;
        Self {
            world,
            root,
            secret,
        }
    }

    async fn control(&self, name: &str, order: Value) -> Value {
        self.world.running.control(name, order).await.unwrap()
    }

    async fn define(&self, id: &str, more: &[(&str, &str)]) -> Answer {
        let port = self.world.running.pbs_address().port().to_string();
        let fingerprint = self.world.running.pbs_fingerprint();
        let mut params = vec![
            ("storage", id),
            ("type", "pbs"),
            ("server", "127.0.0.1"),
            ("port", &port),
            ("datastore", "backups"),
            ("username", TOKEN),
            ("password", &self.secret),
            ("fingerprint", &fingerprint),
            ("content", "backup"),
        ];
        params.retain(|(name, _)| !more.iter().any(|(other, _)| name == other));
        params.extend(more);
        self.root.post("/storage", &params).await
    }

    /// An encrypted storage `safe`; answers its key file.
    async fn encrypted(&self) -> String {
        let answer = self
            .define("safe", &[("encryption-key", "autogen")])
            .await
            .data();
        answer["config"]["encryption-key"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    async fn content(&self, storage: &str) -> Vec<Value> {
        let path = format!("{NODE}/storage/{storage}/content");
        self.root
            .get(&path)
            .await
            .data()
            .as_array()
            .unwrap()
            .clone()
    }

    async fn backup(&self, storage: &str, vmid: &str, more: &[(&str, &str)]) -> Task {
        let mut params = vec![("vmid", vmid), ("storage", storage), ("mode", "snapshot")];
        params.extend(more);
        let upid = self
            .root
            .post(&format!("{NODE}/vzdump"), &params)
            .await
            .data();
        story::end(&self.root, upid.as_str().unwrap()).await
    }

    async fn restore(&self, volid: &str, vmid: &str) -> Task {
        let params = [
            ("vmid", vmid),
            ("ostemplate", volid),
            ("restore", "1"),
            ("storage", "local-lvm"),
        ];
        let upid = self.root.post(&format!("{NODE}/lxc"), &params).await.data();
        story::end(&self.root, upid.as_str().unwrap()).await
    }
}

/// Where the configuration in an archive is read.
fn config_of(volid: &str) -> String {
    format!("{NODE}/vzdump/extractconfig?{}", form(&[("volume", volid)]))
}

fn volid(list: &[Value]) -> String {
    list[0]["volid"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_definition_is_refused_where_the_server_does_not_let_the_node_in() {
    let bench = Bench::new().await;
    let actual = bench.world.running.pbs_fingerprint().to_ascii_uppercase();
    let wrong = "00:".repeat(31) + "00";
    let says = async |more: &[(&str, &str)]| bench.define("box", more).await.reason;
    let start = "create storage failed: box: error fetching datastores - ";
    let unverified = format!("{start}fingerprint '{actual}' not verified, abort!");
    assert_eq!(says(&[("fingerprint", &wrong)]).await, unverified);
    assert_eq!(
        says(&[("password", "wrong")]).await,
        format!("{start}401 Unauthorized")
    );
    let refused = format!("{start}500 Can't connect to 192.0.2.99:8007 (Connection refused)");
    assert_eq!(
        says(&[("server", "192.0.2.99"), ("port", "8007")]).await,
        refused
    );
    let missing = "create storage failed: box: Cannot find datastore 'other', check permissions and existence!";
    assert_eq!(says(&[("datastore", "other")]).await, missing);
    bench.define("box", &[]).await.ok();
}

#[tokio::test]
async fn the_key_is_told_once_and_goes_with_the_definition() {
    let bench = Bench::new().await;
    let key = bench.encrypted().await;
    let file: Value = serde_json::from_str(&key).unwrap();
    let shown = bench.root.get("/storage/safe").await.data();
    assert_eq!(shown["encryption-key"], file["fingerprint"]);
    assert!(shown.get("password").is_none());
    assert_eq!(bench.define("plain", &[]).await.data()["config"], json!({}));
    assert_eq!(bench.backup("safe", "9001", &[]).await.exit, "OK");
    let list = bench.content("safe").await;
    assert_eq!(list[0]["encrypted"], file["fingerprint"]);
    assert_eq!(
        (&list[0]["format"], &list[0]["subtype"]),
        (&json!("pbs-ct"), &json!("lxc"))
    );
    let archive = volid(&list);
    bench.root.get(&config_of(&archive)).await.ok();
    bench.root.delete("/storage/safe").await.ok();
    // The same datastore with another key: everything is there, nothing can be read.
    bench.encrypted().await;
    let answer = bench.root.get(&config_of(&archive)).await;
    assert!(
        answer.reason.ends_with("failed: exit code 255"),
        "{}",
        answer.reason
    );
    let task = bench.restore(&archive, "9100").await;
    assert!(
        task.exit.starts_with("unable to restore CT 9100 - command"),
        "{}",
        task.exit
    );
    assert!(
        task.log
            .iter()
            .any(|line| line.starts_with("Error: wrong key - manifest's key")),
        "{:#?}",
        task.log
    );
    bench.root.delete("/storage/safe").await.ok();
    bench.define("safe", &[("encryption-key", &key)]).await.ok();
    let text = bench.root.get(&config_of(&archive)).await.data();
    assert!(text.as_str().unwrap().contains("hostname: demo-ctl"));
}

#[tokio::test]
async fn a_container_goes_there_and_comes_back() {
    let bench = Bench::new().await;
    bench.encrypted().await;
    let task = bench
        .backup(
            "safe",
            "9010",
            &[("notes-template", "{{guestname}} kept"), ("protected", "1")],
        )
        .await;
    assert_eq!(task.exit, "OK", "{:#?}", task.log);
    for wanted in [
        "creating Proxmox Backup Server archive 'ct/9010/",
        "Encryption key fingerprint: ",
        "root.pxar: had to backup",
    ] {
        assert!(
            task.log.iter().any(|line| line.contains(wanted)),
            "{wanted}: {:#?}",
            task.log
        );
    }
    let list = bench.content("safe").await;
    assert_eq!(
        (&list[0]["notes"], &list[0]["protected"]),
        (&json!("demo-guest kept"), &json!(1))
    );
    let archive = volid(&list);
    let task = bench.restore(&archive, "9100").await;
    assert_eq!(task.exit, "OK", "{:#?}", task.log);
    let config = bench
        .root
        .get(&format!("{NODE}/lxc/9100/config"))
        .await
        .data();
    assert_eq!(config["hostname"], "demo-guest");
    let pbs = pbs::login(&bench.world, "root@pam").await;
    let seen = pbs.get("/admin/datastore/backups/snapshots").await.data();
    assert_eq!(seen[0]["owner"], TOKEN);
    let files: Vec<&str> = seen[0]["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| file["filename"].as_str().unwrap())
        .collect();
    assert_eq!(
        files,
        [
            "root.pxar.didx",
            "pct.conf.blob",
            "catalog.pcat1.didx",
            "index.json.blob",
            "client.log.blob"
        ]
    );
}

#[tokio::test]
async fn the_node_marks_and_removes_snapshots_with_the_storages_token() {
    let bench = Bench::new().await;
    bench.encrypted().await;
    let task = bench.backup("safe", "9001", &[("protected", "1")]).await;
    assert_eq!(task.exit, "OK", "{:#?}", task.log);
    let archive = volid(&bench.content("safe").await);
    let delete = bench
        .root
        .delete(&format!("{NODE}/storage/safe/content/{archive}"))
        .await
        .data();
    let task = story::end(&bench.root, delete.as_str().unwrap()).await;
    assert!(
        task.exit.starts_with("cannot remove protected volume"),
        "{}",
        task.exit
    );
    let path = format!("{NODE}/storage/safe/content/{archive}");
    bench
        .root
        .put(&path, &[("protected", "0"), ("notes", "another")])
        .await
        .ok();
    let delete = bench.root.delete(&path).await.data();
    assert_eq!(
        story::end(&bench.root, delete.as_str().unwrap()).await.exit,
        "OK"
    );
    assert!(bench.content("safe").await.is_empty());
}

#[tokio::test]
async fn what_is_inside_can_be_looked_at_with_the_key_only() {
    let bench = Bench::new().await;
    bench.encrypted().await;
    assert_eq!(bench.backup("safe", "9001", &[]).await.exit, "OK");
    let archive = volid(&bench.content("safe").await);
    let list = async |path: &str| {
        let path = if path == "/" {
            path.to_owned()
        } else {
            data_encoding::BASE64.encode(path.as_bytes())
        };
        let query = form(&[("volume", &archive), ("filepath", &path)]);
        bench
            .root
            .get(&format!("{NODE}/storage/safe/file-restore/list?{query}"))
            .await
    };
    let top = list("/").await.data();
    assert_eq!(
        (&top[0]["text"], &top[0]["leaf"]),
        (&json!("root.pxar.didx"), &json!(0))
    );
    let root = list("/root.pxar.didx/").await.data();
    let names: Vec<&str> = root
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["text"].as_str().unwrap())
        .collect();
    assert!(
        names.contains(&"SENTINEL_ROOTFS") && names.contains(&"etc"),
        "{names:?}"
    );
    let data = list("/root.pxar.didx/var/lib/docker/volumes/pgdata/_data")
        .await
        .data();
    let found = data
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["text"] == "SENTINEL_PGDATA")
        .unwrap();
    assert_eq!((&found["type"], &found["leaf"]), (&json!("f"), &json!(1)));
    assert_eq!(list("/root.pxar.didx/nowhere").await.status, 500);
    // What was excluded is not there.
    let tmp = list("/root.pxar.didx/tmp").await.data();
    assert_eq!(tmp, json!([]));
}

#[tokio::test]
async fn a_backup_that_the_server_refuses_is_a_failed_one() {
    let bench = Bench::new().await;
    bench.define("plain", &[]).await.ok();
    let audit = json!({ "path": "/datastore/backups", "auth": TOKEN, "role": "DatastoreAdmin", "delete": true });
    bench.control("pbs-acl", audit).await;
    let order = json!({ "path": "/datastore/backups", "auth": TOKEN, "role": "DatastoreAudit" });
    bench.control("pbs-acl", order).await;
    let task = bench.backup("plain", "9001", &[]).await;
    assert_eq!(task.exit, "job errors", "{:#?}", task.log);
    assert!(
        task.log
            .iter()
            .any(|line| line.contains("Error: permission check failed - missing Datastore.Backup")),
        "{:#?}",
        task.log
    );
    assert!(bench.content("plain").await.is_empty());
}

#[tokio::test]
async fn a_lack_of_the_right_to_prune_fails_the_job_though_the_backup_is_there() {
    let bench = Bench::new().await;
    bench
        .define("plain", &[("prune-backups", "keep-last=1")])
        .await
        .ok();
    let admin = json!({ "path": "/datastore/backups", "auth": TOKEN, "role": "DatastoreAdmin", "delete": true });
    bench.control("pbs-acl", admin).await;
    let order = json!({ "path": "/datastore/backups", "auth": TOKEN, "role": "DatastoreBackup" });
    bench.control("pbs-acl", order).await;
    let task = bench.backup("plain", "9001", &[]).await;
    assert_eq!(task.exit, "job errors");
    assert!(
        task.log
            .iter()
            .any(|line| line.ends_with("error pruning backups - check log")),
        "{:#?}",
        task.log
    );
    assert_eq!(bench.content("plain").await.len(), 1);
}

#[tokio::test]
async fn a_damaged_chunk_fails_the_restore_and_verification_finds_it() {
    let bench = Bench::new().await;
    bench.encrypted().await;
    assert_eq!(bench.backup("safe", "9001", &[]).await.exit, "OK");
    let archive = volid(&bench.content("safe").await);
    let order = json!({
        "store": "backups", "type": "ct", "id": "9001", "archive": "root.pxar.didx", "chunk": 2, "how": "resum",
    });
    bench.control("pbs-corrupt", order).await;
    let task = bench.restore(&archive, "9100").await;
    assert!(
        task.log.contains(&"Error: OpenSSL error".to_owned()),
        "{:#?}",
        task.log
    );
    assert!(
        task.exit.starts_with("unable to restore CT 9100 - command"),
        "{}",
        task.exit
    );
    let pbs = pbs::login(&bench.world, "root@pam").await;
    pbs.post("/admin/datastore/backups/verify", &[]).await.ok();
    for _ in 0..500 {
        let list = bench.content("safe").await;
        if let Some(state) = list[0].get("verification") {
            assert_eq!(state["state"], "ok");
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("no verification");
}

#[tokio::test]
async fn a_storage_whose_server_is_gone_is_not_active() {
    let bench = Bench::new().await;
    bench.define("plain", &[]).await.ok();
    let status = async || {
        bench
            .root
            .get(&format!("{NODE}/storage/plain/status"))
            .await
            .data()
    };
    let before = status().await;
    assert_eq!(
        (&before["active"], &before["shared"]),
        (&json!(1), &json!(1))
    );
    assert_ne!(before["total"], 0);
    bench.control("pbs-power", json!({ "on": false })).await;
    assert_eq!(status().await["active"], 0);
    bench.control("pbs-power", json!({ "on": true })).await;
    assert_eq!(status().await, before);
    bench.control("pbs-renew-certificate", json!({})).await;
    let after = status().await;
    assert_eq!((&after["active"], &after["total"]), (&json!(0), &json!(0)));
    assert_eq!(
        bench
            .root
            .get(&format!("{NODE}/storage/plain/content"))
            .await
            .status,
        500
    );
    assert!(
        bench
            .backup("plain", "9001", &[])
            .await
            .exit
            .contains("not verified, abort!")
    );
}

#[tokio::test]
async fn a_machine_goes_there_and_comes_back() {
    let bench = Bench::new().await;
    bench.encrypted().await;
    let config = json!({ "name": "disky", "memory": "512", "boot": "order=scsi0" });
    let disk = json!({ "key": "scsi0", "size": "64M" });
    let order = json!({ "vmid": 9005, "config": config, "disks": [disk] });
    bench.control("put-qemu", order).await;
    let task = bench.backup("safe", "9005", &[]).await;
    assert_eq!(task.exit, "OK", "{:#?}", task.log);
    for wanted in [
        "INFO: enabling encryption",
        "INFO: scsi0: dirty-bitmap status: created new",
    ] {
        assert!(
            task.log.contains(&wanted.to_owned()),
            "{wanted}: {:#?}",
            task.log
        );
    }
    let list = bench.content("safe").await;
    assert_eq!(
        (&list[0]["format"], &list[0]["subtype"]),
        (&json!("pbs-vm"), &json!("qemu"))
    );
    let archive = volid(&list);
    let text = bench.root.get(&config_of(&archive)).await.data();
    assert!(text.as_str().unwrap().contains("name: disky"));
    let params = [
        ("vmid", "9105"),
        ("archive", archive.as_str()),
        ("storage", "local-lvm"),
    ];
    let upid = bench
        .root
        .post(&format!("{NODE}/qemu"), &params)
        .await
        .data();
    let task = story::end(&bench.root, upid.as_str().unwrap()).await;
    assert_eq!(task.exit, "OK", "{:#?}", task.log);
    assert!(
        task.log
            .iter()
            .any(|line| line.starts_with("restore proxmox backup image: ")),
        "{:#?}",
        task.log
    );
    let (before, after) = (image(&bench, "9005"), image(&bench, "9105"));
    let held = before.iter().rposition(|byte| *byte != 0).unwrap();
    assert_eq!(before[..=held], after[..=held]);
}

/// What is on a machine's first disk.
fn image(bench: &Bench, vmid: &str) -> Vec<u8> {
    let name = format!("vm-{vmid}-disk-0");
    let mut found = walk(bench.world.dir.path()).into_iter();
    let file = found.find(|path| path.is_file() && path.to_string_lossy().contains(&name));
    std::fs::read(file.unwrap()).unwrap()
}

fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut found = Vec::new();
    for path in entries.map(|entry| entry.path()) {
        if path.is_dir() {
            found.extend(walk(&path));
        }
        found.push(path);
    }
    found
}

#[tokio::test]
async fn a_backup_that_is_stopped_leaves_no_snapshot() {
    let bench = Bench::new().await;
    bench.define("plain", &[]).await.ok();
    let hold = Fault::task("vzdump:archive", FaultKind::TaskHold);
    bench.world.running.inject(hold);
    let params = [("vmid", "9001"), ("storage", "plain"), ("mode", "snapshot")];
    let upid = bench
        .root
        .post(&format!("{NODE}/vzdump"), &params)
        .await
        .data();
    let upid = upid.as_str().unwrap();
    let pbs = pbs::login(&bench.world, "root@pam").await;
    let seen = async || pbs.get("/admin/datastore/backups/snapshots").await.data();
    for _ in 0..2000 {
        if seen().await != json!([]) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(seen().await[0]["files"], json!([]));
    bench
        .root
        .delete(&format!("{NODE}/tasks/{upid}"))
        .await
        .ok();
    let task = story::end(&bench.root, upid).await;
    assert_eq!(task.exit, "interrupted by signal", "{:#?}", task.log);
    assert_eq!(seen().await, json!([]));
    let tasks = pbs
        .get("/nodes/localhost/tasks?typefilter=backup")
        .await
        .data();
    assert_eq!(
        tasks[0]["status"],
        "backup ended but finished flag is not set."
    );
}

#[tokio::test]
async fn a_master_key_leaves_the_key_beside_the_data() {
    let bench = Bench::new().await;
    let master = data_encoding::BASE64.encode(MASTER.as_bytes());
    let answer = bench.define("alone", &[("master-pubkey", &master)]).await;
    assert!(
        answer
            .reason
            .ends_with("can only be used together with 'encryption-key'"),
        "{}",
        answer.reason
    );
    bench
        .define(
            "safe",
            &[("encryption-key", "autogen"), ("master-pubkey", &master)],
        )
        .await
        .ok();
    assert_eq!(
        bench.root.get("/storage/safe").await.data()["master-pubkey"],
        "1"
    );
    let task = bench.backup("safe", "9001", &[]).await;
    assert_eq!(task.exit, "OK", "{:#?}", task.log);
    let pbs = pbs::login(&bench.world, "root@pam").await;
    let list = pbs.get("/admin/datastore/backups/snapshots").await.data();
    let files = list[0]["files"].as_array().unwrap();
    let key = files
        .iter()
        .find(|file| file["filename"] == "rsa-encrypted.key.blob")
        .unwrap();
    assert_eq!(
        (&key["crypt-mode"], &key["size"]),
        (&json!("none"), &json!(12 + 512))
    );
}
