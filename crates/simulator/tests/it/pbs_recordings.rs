//! What a real backup server answered, asked again: the recorded exchanges are replayed in their order against a
//! server that was brought into the state the recorded one was in.

#![expect(
    clippy::print_stdout,
    reason = "the counts are for whoever reads the test's output"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use felhom_simulator::{Fault, FaultKind, Scenario};
use serde_json::{Value, json};

use crate::alike::{plain, shape_differs};
use crate::client::{Answer, Client, SPEED, World, form};
use crate::pbs::{client, login};
use crate::recordings::{folder, recordings};

/// Exchanges that this server answers otherwise, and why.
const EXCEPT: &[(&str, &str)] = &[];

/// Task logs that differ, and why.
const LOGS_EXCEPT: &[(&str, &str)] = &[(
    "06-mutations:10 prune-datastore-dry-run:task-log",
    "groups came in the order of the recorded directory",
)];

/// Part of the exchanges that must agree.
const WANTED: f64 = 0.97;
const USER: &str = "felhom@pbs";
const TOKEN: &str = "felhom@pbs!n100";
const KEY: &str = "the key of the recorded client";

/// All recordings with their names, in the order in which they were made.
fn in_order(folder: &Path) -> Vec<(String, Vec<Value>)> {
    let mut all = recordings(folder);
    all.sort_by_key(|(_, lines)| lines[0]["t"].as_i64());
    all
}

struct Replay {
    world: World,
    clients: BTreeMap<String, Client>,
    /// What recorded tasks and digests are called here.
    names: BTreeMap<String, String>,
    exchanges: usize,
    differ: BTreeMap<String, Vec<String>>,
    logs: usize,
    logs_differ: BTreeMap<String, String>,
    root: Option<Client>,
    /// The task that was started last.
    last: String,
}

impl Replay {
    async fn new() -> Self {
        let world = World::start(Scenario::Virgin, SPEED).await;
        let mut replay = Self {
            world,
            clients: BTreeMap::new(),
            names: BTreeMap::new(),
            exchanges: 0,
            differ: BTreeMap::new(),
            logs: 0,
            logs_differ: BTreeMap::new(),
            root: None,
            last: String::new(),
        };
        replay.control("pbs-node", json!({ "name": "vm" })).await;
        for (user, token) in [(USER, "n100"), ("oadmin@pbs", "adm"), ("nopriv@pbs", "t")] {
            let order = json!({
                "userid": user, "password": "felhom-test-pw-1", "tokens": { token: null },
            });
            let made = replay.control("pbs-user", order).await;
            let id = format!("{user}!{token}");
            let secret = made["tokens"][&id].as_str().unwrap().to_owned();
            let known = client(&replay.world, &id, &secret);
            replay.clients.insert(format!("token:{id}"), known);
        }
        for user in ["oadmin@pbs", "oadmin@pbs!adm"] {
            replay.grant("/", user, "Admin").await;
        }
        replay
            .control("pbs-datastore", json!({ "name": "felhom-spike" }))
            .await;
        let root = login(&replay.world, "root@pam").await;
        replay.root = Some(root);
        replay
    }

    async fn control(&self, name: &str, order: Value) -> Value {
        self.world.running.control(name, order).await.unwrap()
    }

    async fn grant(&self, path: &str, auth: &str, role: &str) {
        let order = json!({ "path": path, "auth": auth, "role": role });
        self.control("pbs-acl", order).await;
    }

    async fn admin(&self, store: &str, users: &[&str]) {
        for user in users {
            self.grant(&format!("/datastore/{store}"), user, "DatastoreAdmin")
                .await;
        }
    }

    /// What was done between the recordings.
    async fn before(&mut self, file: &str) {
        match file {
            "01-grant-token-only" => self.admin("felhom-spike", &[TOKEN]).await,
            "01-grant-user-only" => {
                let order = json!({
                    "path": "/datastore/felhom-spike", "auth": TOKEN, "role": "DatastoreAdmin", "delete": true,
                });
                self.control("pbs-acl", order).await;
                self.admin("felhom-spike", &[USER]).await;
            }
            "01-grant-both" => self.admin("felhom-spike", &[USER, TOKEN]).await,
            "02-read" => self.fill().await,
            "04-verify-corrupt" => self.damage().await,
            "06-mutations" => {
                for time in [1_795_391_373, 1_795_391_375, 1_795_391_376] {
                    self.snapshot("felhom-spike", "", "9010", time, "encrypt")
                        .await;
                }
                // The client's benchmark left a group without a snapshot.
                let group = json!({
                    "store": "felhom-spike", "type": "host", "id": "benchmark", "owner": TOKEN, "time": 1,
                });
                self.control("pbs-begin", group.clone()).await;
                self.control("pbs-end", group).await;
            }
            _ => {}
        }
    }

    async fn snapshot(&self, store: &str, ns: &str, id: &str, time: i64, mode: &str) {
        // The last two of the first guest held the same data.
        let seed = if (id, time) == ("9001", 1_795_390_567) {
            time - 1
        } else {
            time
        };
        let order = json!({
            "store": store, "ns": ns, "type": "ct", "id": id, "time": time, "owner": TOKEN,
            "files": { "pct.conf.blob": "arch: amd64\nhostname: felhom-ct\n" },
            "tree": {
                "etc/hostname": "felhom-ct\n", "etc/opt/x": "x", "etc/systemd/y": "y",
                "root/SENTINEL.txt": format!("FELHOM-SENTINEL {mode}\n"),
            },
            "noise": 700_000, "seed": seed,
            "key": (mode != "none").then_some(KEY), "sign_only": mode == "sign-only",
        });
        self.control("pbs-snapshot", order).await;
    }

    async fn fill(&self) {
        for store in ["felhom-corrupt", "felhom-sample", "felhom-noperm"] {
            self.control("pbs-datastore", json!({ "name": store }))
                .await;
        }
        self.admin("felhom-corrupt", &[USER, TOKEN]).await;
        self.admin("felhom-sample", &[USER, TOKEN]).await;
        for store in ["felhom-spike", "felhom-corrupt"] {
            self.snapshot(store, "", "9001", 1_795_390_562, "none")
                .await;
            self.snapshot(store, "", "9001", 1_795_390_564, "encrypt")
                .await;
            self.snapshot(store, "", "9001", 1_795_390_566, "encrypt")
                .await;
            self.snapshot(store, "felhomns", "9001", 1_795_390_567, "encrypt")
                .await;
            self.snapshot(store, "", "9002", 1_795_390_567, "sign-only")
                .await;
        }
        self.snapshot("felhom-corrupt", "", "9003", 1_795_391_026, "encrypt")
            .await;
        self.snapshot("felhom-corrupt", "", "9004", 1_795_391_026, "none")
            .await;
        // Tasks of the recorded client, of which lists tell.
        for id in ["9001", "9002"] {
            let order = json!({
                "store": "felhom-spike", "type": "ct", "id": format!("1{id}"), "owner": TOKEN, "time": 1,
            });
            let upid = self.control("pbs-begin", order.clone()).await["upid"].clone();
            let mut end = order;
            end["upid"] = upid;
            self.control("pbs-end", end).await;
        }
        for id in ["19001", "19002"] {
            let query = format!("backup-type=ct&backup-id={id}");
            let root = self.root.as_ref().unwrap();
            root.delete(&format!("/admin/datastore/felhom-spike/groups?{query}"))
                .await
                .ok();
        }
    }

    async fn damage(&self) {
        let corrupt = async |id: &str, time: i64, chunk: usize, how: &str| {
            let order = json!({
                "store": "felhom-corrupt", "type": "ct", "id": id, "time": time,
                "archive": "root.pxar.didx", "chunk": chunk, "how": how,
            });
            self.control("pbs-corrupt", order).await;
        };
        corrupt("9001", 1_795_390_562, 1, "flip").await;
        corrupt("9001", 1_795_390_564, 1, "flip").await;
        corrupt("9001", 1_795_390_566, 1, "remove").await;
        corrupt("9003", 1_795_391_026, 0, "resum").await;
        corrupt("9004", 1_795_391_026, 0, "replace").await;
        let order = json!({
            "store": "felhom-corrupt", "type": "ct", "id": "9002", "time": 1_795_390_567,
            "archive": "pct.conf.blob", "how": "flip",
        });
        self.control("pbs-corrupt", order).await;
    }

    fn here(&self, text: &str) -> String {
        let named = |text: String, (there, here): (&String, &String)| text.replace(there, here);
        self.names.iter().fold(text.to_owned(), named)
    }

    async fn ask(&self, exchange: &Value) -> Option<Answer> {
        let nobody = || Client {
            headers: Vec::new(),
            ..self.clients["token:felhom@pbs!n100"].clone()
        };
        let client = exchange["auth"]
            .as_str()
            .and_then(|auth| self.clients.get(auth));
        let mut client = client.cloned().unwrap_or_else(nobody);
        if exchange["name"] == "version:header-space" {
            let own = &self.clients["token:felhom@pbs!n100"].headers;
            client.headers = own
                .iter()
                .map(|(name, value)| (*name, value.replacen('=', " ", 1)))
                .collect();
        }
        let path = self.here(exchange["path"].as_str().unwrap());
        let params = exchange["params"].as_object();
        let pairs: Vec<(String, String)> = params
            .into_iter()
            .flatten()
            .map(|(key, value)| {
                (
                    key.clone(),
                    value
                        .as_str()
                        .map_or_else(|| value.to_string(), str::to_owned),
                )
            })
            .collect();
        let pairs: Vec<(&str, &str)> = pairs
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        let method = exchange["method"].as_str().unwrap();
        let (uri, kind, body) = match exchange["encoding"].as_str() {
            Some("json") => (path, "application/json", exchange["params"].to_string()),
            Some("form") => (path, "application/x-www-form-urlencoded", form(&pairs)),
            _ if pairs.is_empty() => (path, "", String::new()),
            _ => (format!("{path}?{}", form(&pairs)), "", String::new()),
        };
        client.try_send(method, &uri, kind, &body).await.ok()
    }

    async fn replay(&mut self, file: &str, line: usize, exchange: &Value) {
        let name = exchange["name"].as_str().unwrap();
        let place = format!("{file}:{line} {name}");
        self.exchanges += 1;
        let next_is_running = name == "verify:all";
        if next_is_running {
            let fault = Fault::task("pbs:verify", FaultKind::TaskHold);
            self.world.running.inject(fault);
        }
        let answer = self.ask(exchange).await;
        if name == "task-status:immediately" {
            self.world.running.release();
            let upid = self.last.clone();
            self.end(&upid).await;
        }
        let mut problems = Vec::new();
        match (&answer, exchange["status"].as_u64()) {
            (None, None) => {}
            (None, Some(status)) => problems.push(format!("no answer, recorded {status}")),
            (Some(answer), None) => problems.push(format!("{}, recorded no answer", answer.status)),
            (Some(answer), Some(_)) => problems = differs(exchange, answer),
        }
        let data = answer
            .as_ref()
            .map(|answer| answer.json()["data"].clone())
            .unwrap_or_default();
        if let (Some(there), Some(here)) = (exchange["body"]["data"].as_str(), data.as_str())
            && here.starts_with("UPID:")
        {
            let escape = |text: &str| form(&[("", text)]).trim_start_matches('=').to_owned();
            here.clone_into(&mut self.last);
            self.names.insert(there.to_owned(), here.to_owned());
            self.names.insert(escaped(there), escape(here));
            if !next_is_running {
                self.end(here).await;
            }
        }
        if let (Some(lines), Some(here)) = (exchange["body"]["data"].as_array(), data.as_array())
            && lines.first().is_some_and(|line| line["t"].is_string())
        {
            self.compare_logs(&place, lines, here);
        }
        if !problems.is_empty() {
            self.differ.insert(place, problems);
        }
    }

    async fn end(&self, upid: &str) {
        let root = self.root.as_ref().unwrap();
        let path = format!(
            "/nodes/localhost/tasks/{}/status",
            form(&[("", upid)]).trim_start_matches('=')
        );
        for _ in 0..2000 {
            if root.get(&path).await.data()["status"] == "stopped" {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        panic!("{upid} does not end");
    }

    fn compare_logs(&mut self, place: &str, recorded: &[Value], here: &[Value]) {
        // Damaged chunks have other names here, archives other sizes.
        let strip = |line: &Value| {
            let text = line["t"]
                .as_str()
                .unwrap()
                .split_once(": ")
                .map_or("", |(_, text)| text)
                .to_owned();
            let text: Vec<String> = text.split(['\'', '/', '"', ' ']).map(hidden).collect();
            plain(&text.join(" "))
        };
        let counted = |line: &String| {
            ![
                "processed #% (# chunks)",
                "marked #%",
                "Average",
                "Deduplication",
            ]
            .iter()
            .any(|start| line.starts_with(start))
        };
        let wanted: Vec<String> = recorded.iter().map(strip).filter(counted).collect();
        let seen: Vec<String> = here.iter().map(strip).filter(counted).collect();
        self.logs += 1;
        if wanted != seen {
            self.logs_differ.insert(
                place.to_owned(),
                format!("log {seen:#?}, recorded {wanted:#?}"),
            );
        }
    }
}

/// Status, type, text and shape of an answer.
fn differs(exchange: &Value, answer: &Answer) -> Vec<String> {
    let mut problems = Vec::new();
    let status = exchange["status"].as_u64().unwrap();
    if u64::from(answer.status) != status {
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        return vec![format!(
            "{} {text:.200}, recorded {status} {}",
            answer.status, exchange["body"]
        )];
    }
    let kind = answer
        .headers
        .get("content-type")
        .and_then(|kind| kind.to_str().ok());
    if kind != exchange["content_type"].as_str() {
        problems.push(format!(
            "type {kind:?}, recorded {}",
            exchange["content_type"]
        ));
    }
    let recorded = &exchange["body"];
    match exchange["body_type"].as_str() {
        Some("json") if kind != Some("application/octet-stream") => {
            problems.extend(shape_differs(recorded, &answer.json()));
        }
        Some("text") if status != 200 => {
            let text = String::from_utf8_lossy(&answer.body);
            if recorded.as_str() != Some(&*text) {
                problems.push(format!("{text:?}, recorded {recorded}"));
            }
        }
        _ => {}
    }
    problems
}

/// A digest says nothing.
fn hidden(word: &str) -> String {
    let digits = |word: &str| word.len() >= 4 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let (head, end) = word
        .split_once('.')
        .map_or((word, String::new()), |(head, end)| {
            (head, format!(".{end}"))
        });
    if digits(head) {
        format!("#{end}")
    } else {
        word.to_owned()
    }
}

/// As the recorder escaped what stands in a path.
fn escaped(text: &str) -> String {
    text.replace(':', "%3A")
        .replace('\\', "%5C")
        .replace('@', "%40")
        .replace('!', "%21")
}

fn complaints(found: &BTreeMap<String, String>, expected: &[(&str, &str)]) -> Vec<String> {
    let known = |name: &str| expected.iter().any(|(one, _)| *one == name);
    let unexpected = found.iter().filter(|(name, _)| !known(name));
    let mut all: Vec<String> = unexpected
        .map(|(name, text)| format!("{name}: {text}"))
        .collect();
    let needless = expected
        .iter()
        .filter(|(name, _)| !found.contains_key(*name));
    all.extend(needless.map(|(name, reason)| format!("{name}: answered alike, although {reason}")));
    all
}

#[tokio::test]
async fn a_replay_of_the_backup_servers_recordings_is_answered_alike() {
    let Some(folder) = folder("pbs") else {
        println!(
            "skipped: a_replay_of_the_backup_servers_recordings_is_answered_alike: FELHOM_FACTS names no folder with recordings"
        );
        return;
    };
    let mut replay = Replay::new().await;
    for (file, exchanges) in in_order(&folder) {
        replay.before(&file).await;
        for (line, exchange) in exchanges.iter().enumerate() {
            replay.replay(&file, line + 1, exchange).await;
        }
    }
    let agree = replay.exchanges - replay.differ.len();
    println!(
        "recordings of the backup server: {} exchanges, {agree} agree",
        replay.exchanges
    );
    println!(
        "logs of tasks: {}, {} differ",
        replay.logs,
        replay.logs_differ.len()
    );
    let differ = replay.differ.iter();
    let differ = differ
        .map(|(name, problems)| (name.clone(), problems.join("; ")))
        .collect();
    let mut found = complaints(&differ, EXCEPT);
    found.extend(complaints(&replay.logs_differ, LOGS_EXCEPT));
    assert!(found.is_empty(), "{}", found.join("\n"));
    let part = f64::from(u32::try_from(agree).unwrap())
        / f64::from(u32::try_from(replay.exchanges).unwrap());
    assert!(part >= WANTED, "{:.1} % agree", part * 100.0);
}
