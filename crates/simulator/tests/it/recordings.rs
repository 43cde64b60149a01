//! What a real node answered, asked again: the recorded exchanges are replayed in their order against a node fresh from
//! the installer, and each answer must have the recorded status, text and shape, each task its exit status.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use felhom_simulator::{Fault, FaultKind, Scenario};
use serde_json::{Value, json};

use crate::client::{Answer, Client, SPEED, World};
use crate::story;

/// The folder of recordings, beside one of the folders above this crate.
fn folder() -> Option<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors()
        .map(|above| above.join("shared/facts/traces/pve"))
        .find(|path| path.is_dir())
}

fn read(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Exchanges that ran into a lock held by the slow machine; the recordings repeat them under names with `b-`.
const NOT_ASKED: &[&str] = &[
    "destroy-9023-running",
    "destroy-9023-running-force",
    "destroy-with-snapshots-while-running",
    "delsnapshot",
    "shutdown",
    "start2",
    "reboot",
    "stop",
    "stop-again",
    "shutdown-stopped",
    "vzdump-stop-stopped",
];

/// Exchanges that this world answers otherwise, and why.
const EXCEPT: &[(&str, &str)] = &[
    ("02-read version-apt", "there are no packages in this world"),
    (
        "03-phase1-selfbackup tasks",
        "the recorded token had a history of which no record was kept",
    ),
    (
        "03-phase1-selfbackup volume-attrs",
        "the recorded node had a stand-in where qemu-img belongs",
    ),
    (
        "04-phase3-agent storage-add-pbs",
        "the recorded node had a stand-in for the client of the backup server",
    ),
];

/// The replay of one recording after the other.
struct Replay {
    world: World,
    clients: BTreeMap<String, Client>,
    /// What recorded names are called here: archives carry the time they were made.
    names: BTreeMap<String, String>,
    problems: Vec<String>,
    compared: usize,
}

impl Replay {
    async fn new() -> Self {
        let world = World::start(Scenario::Virgin, SPEED).await;
        let clients = BTreeMap::from([("root@pam(ticket)".to_owned(), world.root().await)]);
        Self {
            world,
            clients,
            names: BTreeMap::new(),
            problems: Vec::new(),
            compared: 0,
        }
    }

    fn here(&self, text: &str) -> String {
        self.names
            .iter()
            .fold(text.to_owned(), |text, (there, here)| {
                text.replace(there, here)
            })
    }

    fn client(&mut self, auth: &str) -> Client {
        if let Some(client) = self.clients.get(auth) {
            return client.clone();
        }
        let client = self.world.as_token(auth);
        self.clients.insert(auth.to_owned(), client.clone());
        client
    }

    async fn ask(&mut self, exchange: &Value) -> Answer {
        let client = self.client(exchange["auth"].as_str().unwrap());
        let path = self.here(exchange["path"].as_str().unwrap());
        let mut params: Vec<(String, String)> = Vec::new();
        for (key, value) in exchange["params"].as_object().into_iter().flatten() {
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            params.push((key.clone(), self.here(&text)));
        }
        let params: Vec<(&str, &str)> = params
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        match exchange["method"].as_str().unwrap() {
            "POST" => client.post(&path, &params).await,
            "PUT" => client.put(&path, &params).await,
            other => {
                let query = crate::client::form(&params);
                let uri = format!(
                    "/api2/json{path}{}{query}",
                    if query.is_empty() { "" } else { "?" }
                );
                client.send(other, &uri, "").await
            }
        }
    }

    async fn replay(&mut self, file: &str, exchange: &Value) {
        let name = format!("{file} {}", exchange["name"].as_str().unwrap());
        let answer = self.ask(exchange).await;
        let mut problems = Vec::new();
        let recorded = (
            exchange["status"].as_u64().unwrap(),
            exchange["reason"].as_str().unwrap(),
        );
        let expect = (recorded.0, self.here(recorded.1));
        let got = (u64::from(answer.status), answer.reason.clone());
        if got != expect {
            problems.push(format!("{got:?}, recorded {expect:?}"));
        }
        let body = answer.json();
        if answer.status == 200 {
            problems.extend(shape_differs("", &exchange["body"], &body));
        } else {
            for field in ["message", "errors"] {
                let got = body[field].to_string();
                let wanted = self.here(&exchange["body"][field].to_string());
                if got != wanted {
                    problems.push(format!("{field} {got}, recorded {wanted}"));
                }
            }
        }
        if let (Some(upid), Some(exit)) = (
            body["data"].as_str(),
            exchange["task"]["exitstatus"].as_str(),
        ) && upid.starts_with("UPID:")
        {
            let root = self.client("root@pam(ticket)");
            let task = story::end(&root, upid).await;
            let expect = self.here(exit);
            if task.exit != expect {
                problems.push(format!(
                    "task {:?}, recorded {expect:?}; {:#?}",
                    task.exit, task.log
                ));
            }
            self.learn(&exchange["task"], &task.log);
        }
        self.compared += 1;
        if !EXCEPT.iter().any(|(one, _)| *one == name) {
            let problems = problems.into_iter();
            self.problems
                .extend(problems.map(|problem| format!("{name}: {problem}")));
        }
    }

    /// Remembers what the archive of a recorded backup is called here.
    fn learn(&mut self, recorded: &Value, log: &[String]) {
        let archive = |line: &str| {
            let (_, path) = line.split_once("creating vzdump archive '")?;
            Some(path.trim_end_matches('\'').rsplit('/').next()?.to_owned())
        };
        let lines = recorded["log"]["data"].as_array().into_iter().flatten();
        let there = lines.filter_map(|line| archive(line["t"].as_str()?));
        let here = log.iter().filter_map(|line| archive(line));
        for (there, here) in there.zip(here) {
            self.names.insert(there, here);
        }
    }
}

/// The fields and their JSON types by path; the elements of a list count together.
fn shape(at: &str, value: &Value, out: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            out.insert(format!("{at} object"));
            for (key, value) in fields {
                shape(&format!("{at}.{key}"), value, out);
            }
        }
        Value::Array(list) => {
            out.insert(format!("{at} array"));
            for value in list {
                shape(&format!("{at}[]"), value, out);
            }
        }
        Value::String(_) => drop(out.insert(format!("{at} string"))),
        Value::Number(_) => drop(out.insert(format!("{at} number"))),
        Value::Bool(_) => drop(out.insert(format!("{at} boolean"))),
        Value::Null => drop(out.insert(format!("{at} null"))),
    }
}

fn shape_differs(at: &str, recorded: &Value, got: &Value) -> Vec<String> {
    let (mut wanted, mut seen) = (BTreeSet::new(), BTreeSet::new());
    shape(at, recorded, &mut wanted);
    shape(at, got, &mut seen);
    let missing = wanted
        .difference(&seen)
        .map(|field| format!("missing {field}"));
    let additional = seen
        .difference(&wanted)
        .map(|field| format!("additional {field}"));
    missing.chain(additional).collect()
}

#[expect(clippy::print_stderr, reason = "a skipped test says so")]
#[tokio::test]
async fn a_replay_of_the_recordings_is_answered_alike() {
    let Some(folder) = folder() else {
        eprintln!("skipped: no recordings beside this repository");
        return;
    };
    let mut replay = Replay::new().await;
    // The recorded node had the configuration of a QEMU guest laid down by hand.
    let config = json!({
        "name": "demo-vm", "memory": "2048", "cores": "2", "ostype": "l26", "boot": "order=scsi0",
        "scsihw": "virtio-scsi-single", "net0": "virtio=BC:24:11:00:90:00,bridge=vmbr0",
    });
    replay
        .world
        .running
        .control("put-qemu", json!({ "vmid": 9000, "config": config }))
        .await
        .unwrap();
    for file in [
        "00-setup",
        "01-start",
        "02-read",
        "03-phase1-selfbackup",
        "04-phase3-agent",
    ] {
        for exchange in read(&folder.join(format!("{file}.jsonl"))) {
            let name = exchange["name"].as_str().unwrap();
            if file == "04-phase3-agent" && NOT_ASKED.contains(&name) {
                continue;
            }
            if (file, name) == ("01-start", "start-9001") {
                // The slow machine gave up on a start that succeeded in the end; so does this one.
                let text = "unable to get PID for CT 9001 (not running?)".to_owned();
                replay
                    .world
                    .running
                    .inject(Fault::task("vzstart:end", FaultKind::TaskFail { text }));
            }
            replay.replay(file, &exchange).await;
        }
    }
    let problems = &replay.problems;
    assert!(
        problems.is_empty(),
        "{} of {} exchanges:\n{}",
        problems.len(),
        replay.compared,
        problems.join("\n")
    );
}
