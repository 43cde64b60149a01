//! What a real node answered, asked again: the recorded exchanges are replayed in their order against a node fresh
//! from the installer, and each answer must have the recorded status, text and shape, each task its exit status and
//! its log.

#![expect(
    clippy::print_stdout,
    reason = "the counts are for whoever reads the test's output"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use felhom_simulator::{Fault, FaultKind, Scenario};
use serde_json::{Value, json};

use crate::alike::{plain, shape_differs};
use crate::client::{Answer, Client, SPEED, World, form};
use crate::story;

/// Exchanges that this world answers otherwise, by file and line, and why.
const EXCEPT: &[(&str, &str)] = &[
    (
        "03-phase1-selfbackup:36 tasks",
        "the recorded token had a history of which no record was kept: without tasks there is no `total`",
    ),
    (
        "03-phase1-selfbackup:70 volume-attrs",
        "the recorded node had a stand-in where qemu-img belongs",
    ),
    (
        "04-phase3-agent:114 storage-add-pbs",
        "the recorded node had a stand-in for the client of the backup server",
    ),
];

/// Tasks whose logs differ, and why.
const LOGS_EXCEPT: &[(&str, &str)] = &[(
    "01-start:2 start-9001",
    "LXC's complaint about its monitor is not printed before the failure",
)];

/// The recorded machine was slow: twice a guest was still being started while it was asked for other things. Before
/// which exchange a start is held up at which point, and before which one it goes on.
const HOLD: &[(&str, &str)] = &[
    ("create-start", "vzstart:locked"),
    ("rollback-start1", "vzstart:locked"),
    ("rollback-start1", "vzstart:up"),
];
const GO_ON: &[&str] = &["config-read", "delsnapshot", "vzdump-stop-9010-running"];

/// Part of the exchanges that must agree.
const WANTED: f64 = 0.97;

/// The folder of recordings. `FELHOM_FACTS` names the one above; without it `shared/facts` of a folder above this crate.
pub(crate) fn folder(of: &str) -> Option<PathBuf> {
    let named = std::env::var_os("FELHOM_FACTS").map(PathBuf::from);
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    named
        .into_iter()
        .chain(above.map(|above| above.join("shared/facts")))
        .map(|facts| facts.join("traces").join(of))
        .find(|path| path.is_dir())
}

/// All recordings with their names, in order.
pub(crate) fn recordings(folder: &Path) -> Vec<(String, Vec<Value>)> {
    let files = std::fs::read_dir(folder).unwrap();
    let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|kind| kind == "jsonl"));
    files.sort();
    let read = |file: PathBuf| {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(file).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        (name, lines.collect())
    };
    files.into_iter().map(read).collect()
}

/// The replay of one recording after the other.
struct Replay {
    world: World,
    clients: BTreeMap<String, Client>,
    /// What recorded names are called here: archives carry the time they were made, tasks the moment they began.
    names: BTreeMap<String, String>,
    exchanges: usize,
    agree: usize,
    not_served: Vec<String>,
    /// What differs in each exchange.
    differ: Differences,
    logs: usize,
    logs_differ: Differences,
}

impl Replay {
    async fn new() -> Self {
        let world = World::start(Scenario::Virgin, SPEED).await;
        let clients = BTreeMap::from([("root@pam(ticket)".to_owned(), world.root().await)]);
        // The recorded node had the configuration of a QEMU guest laid down by hand.
        let config = json!({
            "name": "demo-vm", "memory": "2048", "cores": "2", "ostype": "l26",
            "boot": "order=scsi0", "scsihw": "virtio-scsi-single",
            "net0": "virtio=BC:24:11:00:90:00,bridge=vmbr0",
        });
        let order = json!({ "vmid": 9000, "config": config });
        world.running.control("put-qemu", order).await.unwrap();
        Self {
            world,
            clients,
            names: BTreeMap::new(),
            exchanges: 0,
            agree: 0,
            not_served: Vec::new(),
            differ: BTreeMap::new(),
            logs: 0,
            logs_differ: BTreeMap::new(),
        }
    }

    /// A recorded text with the names that things have here.
    fn here(&self, text: &str) -> String {
        let named = |text: String, (there, here): (&String, &String)| text.replace(there, here);
        self.names.iter().fold(text.to_owned(), named)
    }

    fn root(&self) -> Client {
        self.clients["root@pam(ticket)"].clone()
    }

    async fn ask(&self, exchange: &Value) -> Answer {
        let client = &self.clients[exchange["auth"].as_str().unwrap()];
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
                let mark = if params.is_empty() { "" } else { "?" };
                let uri = format!("/api2/json{path}{mark}{}", form(&params));
                client.send(other, &uri, "").await
            }
        }
    }

    /// `place` is file and line.
    async fn replay(&mut self, place: &str, exchange: &Value) {
        let name = format!("{place} {}", exchange["name"].as_str().unwrap());
        self.exchanges += 1;
        let answer = self.ask(exchange).await;
        if answer.status == 501 && answer.reason.ends_with("not implemented") {
            self.not_served.push(name);
            return;
        }
        let mut problems = self.answer_differs(exchange, &answer);
        let data = &answer.json()["data"];
        if let Some(upid) = data.as_str().filter(|text| text.starts_with("UPID:")) {
            problems.extend(self.task_differs(&name, exchange, upid).await);
        }
        if let (Some(id), Some(secret)) = (data["full-tokenid"].as_str(), data["value"].as_str()) {
            let client = self.world.token(id, secret);
            self.clients.insert(id.to_owned(), client);
        }
        if problems.is_empty() {
            self.agree += 1;
        } else {
            self.differ.entry(name).or_default().extend(problems);
        }
    }

    /// Status, text and shape of the answer itself.
    fn answer_differs(&self, exchange: &Value, answer: &Answer) -> Vec<String> {
        let mut problems = Vec::new();
        let status = exchange["status"].as_u64().unwrap();
        let expect = (status, self.here(exchange["reason"].as_str().unwrap()));
        let got = (u64::from(answer.status), answer.reason.clone());
        if got != expect {
            problems.push(format!("{got:?}, recorded {expect:?}"));
        }
        let (recorded, body) = (&exchange["body"], answer.json());
        if answer.status == 200 {
            problems.extend(shape_differs(recorded, &body));
            return problems;
        }
        for field in ["message", "errors"] {
            let wanted = self.here(&recorded[field].to_string());
            let got = body[field].to_string();
            if got != wanted {
                problems.push(format!("{field} {got}, recorded {wanted}"));
            }
        }
        problems
    }

    /// Exit status and shape of the status of the task; remembers what its things are called here.
    async fn task_differs(&mut self, name: &str, exchange: &Value, upid: &str) -> Vec<String> {
        let recorded = &exchange["task"];
        let Some(there) = recorded["upid"].as_str() else {
            return Vec::new();
        };
        self.names.insert(there.to_owned(), upid.to_owned());
        let root = self.root();
        let task = story::end(&root, upid).await;
        let expect = self.here(recorded["exitstatus"].as_str().unwrap());
        let mut problems = Vec::new();
        if task.exit != expect {
            let text = format!("task {:?}, recorded {expect:?}; {:#?}", task.exit, task.log);
            problems.push(text);
        }
        let path = format!("{}/tasks/{upid}/status", story::NODE);
        let last = recorded["status_sequence"].as_array().unwrap().last();
        let status = root.get(&path).await.json();
        problems.extend(shape_differs(&last.unwrap()["body"], &status));
        self.compare_logs(name, recorded, &task.log);
        self.learn(recorded, &task.log);
        problems
    }

    fn compare_logs(&mut self, name: &str, recorded: &Value, log: &[String]) {
        let lines = recorded["log"]["data"].as_array().into_iter().flatten();
        let lines = lines.map(|line| plain(line["t"].as_str().unwrap()));
        let wanted: Vec<String> = lines.collect();
        let seen: Vec<String> = log.iter().map(|line| plain(line)).collect();
        self.logs += 1;
        if wanted != seen {
            let text = format!("log {seen:#?}, recorded {wanted:#?}");
            self.logs_differ
                .entry(name.to_owned())
                .or_default()
                .push(text);
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

    fn print(&self) {
        let served = self.exchanges - self.not_served.len();
        println!(
            "recordings: {} exchanges, {} agree, {} differ, {} not served",
            self.exchanges,
            self.agree,
            served - self.agree,
            self.not_served.len()
        );
        print_list(&self.differ, EXCEPT);
        for name in &self.not_served {
            println!("  not served: {name}");
        }
        let differ = self.logs_differ.len();
        println!("logs of tasks: {}, {differ} differ", self.logs);
        print_list(&self.logs_differ, LOGS_EXCEPT);
    }
}

type Differences = BTreeMap<String, Vec<String>>;
type Expected = [(&'static str, &'static str)];

/// What cannot be excused: differences that nobody expects, and expected ones that are none.
fn complaints(found: &Differences, expected: &Expected) -> Vec<String> {
    let is_expected = |name: &str| expected.iter().any(|(one, _)| *one == name);
    let unexpected = found.iter().filter(|(name, _)| !is_expected(name));
    let mut complaints: Vec<String> = unexpected
        .map(|(name, problems)| format!("{name}: {}", problems.join("; ")))
        .collect();
    let needless = expected
        .iter()
        .filter(|(name, _)| !found.contains_key(*name));
    complaints.extend(
        needless.map(|(name, reason)| format!("{name}: answered alike, although {reason}")),
    );
    complaints
}

fn print_list(found: &Differences, expected: &Expected) {
    for (name, problems) in found {
        let known = expected.iter().find(|(one, _)| one == name);
        let reason = known.map_or("UNEXPECTED", |(_, reason)| reason);
        println!("  differs: {name} ({reason}): {}", problems.join("; "));
    }
}

#[tokio::test]
async fn a_replay_of_the_recordings_is_answered_alike() {
    let Some(folder) = folder("pve") else {
        println!(
            "skipped: a_replay_of_the_recordings_is_answered_alike: FELHOM_FACTS names no folder with recordings"
        );
        return;
    };
    let mut replay = Replay::new().await;
    for (file, exchanges) in recordings(&folder) {
        for (line, exchange) in exchanges.iter().enumerate() {
            let name = exchange["name"].as_str().unwrap();
            if (file.as_str(), name) == ("01-start", "start-9001") {
                // The slow machine gave up on a start that succeeded in the end; so does this one.
                let text = "unable to get PID for CT 9001 (not running?)".to_owned();
                let fault = Fault::task("vzstart:end", FaultKind::TaskFail { text });
                replay.world.running.inject(fault);
            }
            for (_, point) in HOLD.iter().filter(|(before, _)| *before == name) {
                let fault = Fault::task(point, FaultKind::TaskHold);
                replay.world.running.inject(fault);
            }
            if GO_ON.contains(&name) {
                replay.world.running.release();
            }
            replay
                .replay(&format!("{file}:{}", line + 1), exchange)
                .await;
        }
    }
    replay.print();
    let mut found = complaints(&replay.differ, EXCEPT);
    found.extend(complaints(&replay.logs_differ, LOGS_EXCEPT));
    assert!(found.is_empty(), "{}", found.join("\n"));
    let served = replay.exchanges - replay.not_served.len();
    let part =
        f64::from(u32::try_from(replay.agree).unwrap()) / f64::from(u32::try_from(served).unwrap());
    assert!(part >= WANTED, "{:.1} % agree", part * 100.0);
}
