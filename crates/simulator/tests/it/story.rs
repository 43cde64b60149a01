//! Helpers of the tests about guests: run a task to its end, look into an archive.

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use felhom_simulator::Scenario;
use serde_json::Value;

use crate::client::{Answer, Client, SPEED, World};

pub(crate) const NODE: &str = "/nodes/demo-felhom";
pub(crate) const AGENT: &str = "felhom-agent@pve!agent";
pub(crate) const TEST: &str = "felhom-test@pve!restore-test";
pub(crate) const CTL: &str = "felhom-ctl@pve!ctl";
pub(crate) const ROOT_TOKEN: &str = "root@pam!root";

/// A task that has ended.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) exit: String,
    pub(crate) log: Vec<String>,
}

impl Task {
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.exit, "OK", "{:#?}", self.log);
        self
    }

    pub(crate) fn has(&self, line: &str) -> bool {
        self.log.iter().any(|have| have == line)
    }
}

pub(crate) async fn built_in() -> World {
    World::start(Scenario::BuiltIn, SPEED).await
}

pub(crate) fn upid(answer: &Answer) -> String {
    answer
        .data()
        .as_str()
        .unwrap_or_else(|| panic!("no UPID: {:?}", answer.body))
        .to_owned()
}

fn escaped(upid: &str) -> String {
    upid.replace(':', "%3A")
        .replace('!', "%21")
        .replace('@', "%40")
}

/// Waits for the end of a task.
pub(crate) async fn end(client: &Client, upid: &str) -> Task {
    assert!(upid.starts_with("UPID:"), "{upid}");
    let path = format!("{NODE}/tasks/{}", escaped(upid));
    for _ in 0..1000 {
        let status = client.get(&format!("{path}/status")).await.data();
        if status["status"] == "stopped" {
            let log = client.get(&format!("{path}/log?limit=0")).await.data();
            let line = |row: &Value| row["t"].as_str().unwrap().to_owned();
            let log = log.as_array().unwrap().iter().map(line).collect();
            return Task {
                exit: status["exitstatus"].as_str().unwrap().to_owned(),
                log,
            };
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{upid} does not end");
}

/// Posts and waits.
pub(crate) async fn post(client: &Client, path: &str, params: &[(&str, &str)]) -> Task {
    let answer = client.post(&format!("{NODE}{path}"), params).await;
    end(client, &upid(&answer)).await
}

/// Deletes and waits.
pub(crate) async fn delete(client: &Client, path: &str) -> Task {
    let answer = client.delete(&format!("{NODE}{path}")).await;
    end(client, &upid(&answer)).await
}

/// Backs a guest up to `local` with these options more; answers the volume id.
pub(crate) async fn backup(client: &Client, vmid: u32, more: &[(&str, &str)]) -> String {
    let id = vmid.to_string();
    let mut params = vec![
        ("vmid", id.as_str()),
        ("storage", "local"),
        ("compress", "zstd"),
    ];
    params.extend(more);
    post(client, "/vzdump", &params).await.ok();
    newest(client, vmid).await
}

/// The newest archive of a guest.
pub(crate) async fn newest(client: &Client, vmid: u32) -> String {
    let list = client
        .get(&format!(
            "{NODE}/storage/local/content?content=backup&vmid={vmid}"
        ))
        .await
        .data();
    list.as_array().unwrap().last().unwrap()["volid"]
        .as_str()
        .unwrap()
        .to_owned()
}

pub(crate) async fn config(client: &Client, vmid: u32) -> Value {
    client
        .get(&format!("{NODE}/lxc/{vmid}/config"))
        .await
        .data()
}

/// The members of an archive, read by the same tools' formats that the world outside uses.
pub(crate) fn members(dir: &Path, volid: &str) -> Vec<String> {
    let file = volid.split('/').next_back().unwrap();
    let file = std::fs::File::open(dir.join("storage/local/dump").join(file)).unwrap();
    let reader: Box<dyn Read> = if Path::new(volid).extension().is_some_and(|ext| ext == "zst") {
        Box::new(zstd::Decoder::new(file).unwrap())
    } else {
        Box::new(file)
    };
    let mut archive = tar::Archive::new(reader);
    let name = |entry: std::io::Result<tar::Entry<'_, Box<dyn Read>>>| {
        String::from_utf8(entry.unwrap().path_bytes().into_owned()).unwrap()
    };
    archive.entries().unwrap().map(name).collect()
}
