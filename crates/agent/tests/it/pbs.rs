//! Backup servers beside the simulated node: what is told of their backups, and what is believed.

mod audit;
mod doctor;
mod listing;
mod lists;
mod node;
mod restore;
mod verify;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use felhom_agent::exit::Exit;
use felhom_agent::journal::VerifyRow;
use felhom_engine::pbs::{Target, VerifyJob, VerifyRequest, VerifyVerdict, Wanted};
use felhom_engine::{Job, JobId, JobKind};
use felhom_ids::Namespace;
use serde_json::{Value, json};

use crate::support::*;

/// When the first backup was made; the second is a day later.
pub(crate) const FIRST: i64 = 1_795_044_962;
pub(crate) const SECOND: i64 = FIRST + 86_400;
/// Its name.
pub(crate) const NAME: &str = "ct/9001/2026-11-18T23:36:02Z";
pub(crate) const LATER: &str = "ct/9001/2026-11-19T23:36:02Z";

const OWNER: &str = "felhom@pbs!storage";
const READER: &str = "felhom@pbs!agent";
const KEY: &str = "the key of the box";

/// A box with a datastore `backups` on a backup server, which the agent may read and verify, and nothing in it.
pub(crate) struct Site {
    pub(crate) bench: Bench,
}

impl Site {
    pub(crate) async fn new() -> Self {
        // Clocks are to agree to a minute.
        Self::at(8.0, "DatastoreReader", "/datastore/backups").await
    }

    pub(crate) async fn at(speed: f64, role: &str, path: &str) -> Self {
        let bench = Bench::at(speed, FAST, None).await;
        let site = Self { bench };
        for store in ["backups", "others"] {
            site.control("pbs-datastore", json!({ "name": store }))
                .await;
        }
        let namespace = json!({ "store": "backups", "ns": "site" });
        site.control("pbs-namespace", namespace).await;
        let tokens = json!({ "agent": null, "storage": null });
        let user = json!({ "userid": "felhom@pbs", "tokens": tokens });
        let made = site.control("pbs-user", user).await;
        site.grant(role, path).await;
        let secret_of = made["tokens"][READER].as_str().unwrap();
        secret(&site.directory().join("offsite"), secret_of, 0o600);
        site
    }

    /// To the user and to its token.
    pub(crate) async fn grant(&self, role: &str, path: &str) {
        for auth in ["felhom@pbs", READER] {
            let order = json!({ "path": path, "auth": auth, "role": role });
            self.control("pbs-acl", order).await;
        }
    }

    pub(crate) fn directory(&self) -> &Path {
        self.bench.config.parent().unwrap()
    }

    /// Writes a section on this server into the configuration, `more` below it.
    pub(crate) fn section(&self, storage: &str, store: &str, more: &str) {
        section(&self.bench, storage, store, more);
    }

    pub(crate) async fn control(&self, name: &str, order: Value) -> Value {
        self.bench.world.control(name, order).await.unwrap()
    }

    /// An encrypted backup of 9001, `more` laid over it. The fingerprint of its key.
    pub(crate) async fn snapshot(&self, time: i64, more: Value) -> String {
        let mut order = json!({
            "store": "backups", "type": "ct", "id": "9001", "time": time, "owner": OWNER, "key": KEY,
            "files": { "pct.conf.blob": "arch: amd64\n" }, "tree": { "etc/hostname": format!("{time}\n") },
            "noise": 20_000, "seed": 7, "log": "INFO: ended\n",
        });
        let more = more.as_object().cloned().unwrap();
        order.as_object_mut().unwrap().extend(more);
        let made = self.control("pbs-snapshot", order).await;
        made["fingerprint"].as_str().unwrap_or_default().to_owned()
    }

    /// Sets the server's clock to ours, which simulated time leaves behind.
    pub(crate) async fn agree(&self) {
        self.control("pbs-clock", json!({ "offset": 0 })).await;
        let ahead = self.bench.world.pbs_now() - felhom_agent::clock::now().secs();
        self.control("pbs-clock", json!({ "offset": -ahead })).await;
    }

    pub(crate) async fn run(&self, args: &[&str]) -> Ran {
        self.bench.run(args).await
    }

    /// A site with a section `offsite` and one encrypted backup.
    pub(crate) async fn with_backup() -> Self {
        let site = Self::new().await;
        let key = site.snapshot(FIRST, json!({})).await;
        let more = format!("owner = \"{OWNER}\"\nkey_fingerprint = \"{key}\"\n");
        site.section("offsite", "backups", &more);
        site
    }

    /// Damages a chunk that all backups share.
    pub(crate) async fn damage(&self, time: i64) -> String {
        let order = json!({
            "store": "backups", "type": "ct", "id": "9001", "time": time, "archive": "root.pxar.didx", "how": "flip",
        });
        let told = self.control("pbs-corrupt", order).await;
        told["digest"].as_str().unwrap().to_owned()
    }
}

/// Writes a section on the backup server into the configuration, `more` below it.
fn section(bench: &Bench, storage: &str, store: &str, more: &str) {
    let (url, pin) = (bench.world.pbs_url(), bench.world.pbs_fingerprint());
    let text = format!(
        "\n[pbs.{storage}]\nurl = \"{url}\"\nfingerprint = \"{pin}\"\ndatastore = \"{store}\"\n\
         token = \"{READER}\"\nsecret_file = \"offsite\"\n{more}\n"
    );
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.append(true).open(&bench.config).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// Equips a box beside a copy of a site's world.
pub(crate) fn equip(bench: &Bench) {
    let secret_of = bench.world.pbs_tokens()[READER].clone();
    let directory = bench.config.parent().unwrap();
    secret(&directory.join("offsite"), &secret_of, 0o600);
    section(bench, "offsite", "backups", "");
}

fn target() -> Target {
    Target {
        storage: "offsite".parse().unwrap(),
        datastore: "backups".parse().unwrap(),
        namespace: Namespace::root(),
    }
}

/// A verify of the one backup of a site.
pub(crate) fn verify_job(bench: &Bench, bits: u64) -> Job {
    let config = felhom_agent::config::load(&bench.config).unwrap();
    let request = VerifyRequest {
        target: target(),
        wanted: Wanted::Named(vec![NAME.parse().unwrap()]),
        window: None,
        known_damage: BTreeMap::new(),
        no_progress: config.backup.no_progress,
        settle: config.backup.settle,
    };
    Job {
        id: JobId::from_bits(bits),
        created: felhom_agent::clock::now(),
        kind: JobKind::Verify(Box::new(VerifyJob::new(request))),
    }
}

/// After a crash: what the journal says of the backup is what the server's list says, or that nobody can say. A good backup is
/// never accused.
pub(crate) async fn verified_or_undetermined(bench: &Bench, passes: bool) -> Result<(), String> {
    let rows = bench.journal().await.verifications(&target()).await;
    let rows = rows.map_err(|error| error.to_string())?;
    let accused = |row: &VerifyRow| row.report.verdict != VerifyVerdict::Passed;
    if rows.iter().any(accused) {
        return Err(format!("a good backup is accused: {rows:?}"));
    }
    if passes && rows.is_empty() {
        return Err("it was not gone on with".to_owned());
    }
    let listed = bench.run(&["pbs", "snapshots"]).await;
    let record = &listed.data()["servers"][0]["snapshots"][0];
    let told: Vec<Value> = rows.iter().map(|row| json!(row.report.upid)).collect();
    if told
        .first()
        .is_some_and(|upid| *upid != record["verify_upid"])
    {
        return Err(format!("told of {told:?}, and listed is {record}"));
    }
    Ok(())
}

/// The codes of the findings that were printed.
pub(crate) fn codes(ran: &Ran) -> String {
    let text = ran.text();
    let codes = text
        .split('[')
        .skip(1)
        .filter_map(|rest| rest.split_once(']'));
    codes.map(|(code, _)| code).collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_backup_server_it_is_said_how_to_get_one() {
    let bench = Bench::new().await;
    for args in [
        ["pbs", "snapshots"].as_slice(),
        &["pbs", "verify"],
        &["pbs", "audit"],
        &["pbs", "kit", "--storage", "offsite"],
    ] {
        let ran = bench.run(args).await;
        assert_eq!(ran.exit, Exit::Configuration, "{args:?}: {ran:?}");
        assert!(ran.text().contains("no backup server"), "{ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_backup_and_no_storage_is_refused_before_anybody_is_asked() {
    let site = Site::with_backup().await;
    site.section("second", "others", "");
    for (args, exit, told) in [
        (
            ["pbs", "verify", "nonsense"].as_slice(),
            Exit::Usage,
            "BACKUP",
        ),
        (&["pbs", "verify", NAME], Exit::Usage, "there are several"),
        (
            &["pbs", "verify", "other:ct/9001"],
            Exit::NoSuchThing,
            "for storage `other`",
        ),
        (
            &["pbs", "verify", "offsite:ct/9001", "--storage", "second"],
            Exit::Usage,
            "names storage `offsite`",
        ),
        (
            &["pbs", "snapshots", "--storage", "other"],
            Exit::NoSuchThing,
            "for storage `other`",
        ),
        (
            &["pbs", "verify", "--for", "0s"],
            Exit::Usage,
            "leaves no time",
        ),
        (
            &["pbs", "verify", "--older-than", "soon"],
            Exit::Usage,
            "--older-than",
        ),
        (
            &["pbs", "kit", "--storage", "offsite", "--stored-by", " "],
            Exit::Usage,
            "needs a name",
        ),
        (
            &["pbs", "kit", "--storage", "second"],
            Exit::NoSuchThing,
            "no encryption key",
        ),
    ] {
        let ran = site.run(args).await;
        assert_eq!(ran.exit, exit, "{args:?}: {ran:?}");
        assert!(ran.text().contains(told), "{args:?}: {ran:?}");
    }
}
