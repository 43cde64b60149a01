//! What real servers answered must be readable: every recorded body for which we have a type.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use felhom_proxmox::pve::{
    access, backup, cluster, disks, guests, network, nodes, packages, pools, storage, tasks,
    version,
};
use felhom_proxmox::task::Started;
use felhom_proxmox::{Delivery, Endpoint, Error, LogLine, Method, Outcome, Request};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::scripted::{Reply, Scripted, json};

type Check = fn(&Value) -> Result<(), String>;

fn reads<T: DeserializeOwned>(data: &Value) -> Result<(), String> {
    // Through text, as it comes from a server.
    serde_json::from_str::<T>(&data.to_string())
        .map(drop)
        .map_err(|error| error.to_string())
}

fn answers<E: Endpoint>(data: &Value) -> Result<(), String> {
    reads::<E::Response>(data)
}

/// A configuration also has readable interfaces, mount points and features.
fn config(data: &Value) -> Result<(), String> {
    let config: guests::LxcConfig =
        serde_json::from_value(data.clone()).map_err(|error| error.to_string())?;
    views(&config)
}

fn views(config: &guests::LxcConfig) -> Result<(), String> {
    for (_, net) in config.nets().map_err(|error| error.to_string())? {
        let again = net
            .to_string()
            .parse()
            .map_err(|error| format!("{error}"))?;
        if !net.same(&again) {
            return Err(format!("{net} changes when written"));
        }
    }
    for (number, mount) in config.mounts().map_err(|error| error.to_string())? {
        let stored = config.get(&format!("mp{number}")).unwrap_or_default();
        if mount.to_string() != stored {
            return Err(format!("{stored} is printed as {mount}"));
        }
    }
    config.features().map_err(|error| error.to_string())?;
    config.rootfs().map_err(|error| error.to_string()).map(drop)
}

fn extracted(data: &Value) -> Result<(), String> {
    views(&guests::LxcConfig::from_text(
        data.as_str().ok_or("no text")?,
    ))
}

/// Path with its variable parts as `*`, method → how its answer is read.
fn table() -> BTreeMap<(&'static str, &'static str), Check> {
    let (first, started): (Check, Check) = (answers::<version::GetVersion>, reads::<Started>);
    BTreeMap::from([
        (("GET", "/version"), first),
        (("GET", "/nodes"), answers::<nodes::ListNodes>),
        (("GET", "/nodes/*/status"), answers::<nodes::GetNodeStatus>),
        (("GET", "/nodes/*/time"), answers::<nodes::GetNodeTime>),
        (
            ("GET", "/nodes/*/network"),
            answers::<network::ListInterfaces>,
        ),
        (
            ("GET", "/nodes/*/disks/lvmthin"),
            answers::<disks::ListThinPools>,
        ),
        (("GET", "/nodes/*/disks/list"), answers::<disks::ListDisks>),
        (("GET", "/nodes/*/disks/smart"), answers::<disks::GetSmart>),
        (
            ("GET", "/nodes/*/apt/versions"),
            answers::<packages::ListPackages>,
        ),
        (("GET", "/pools"), answers::<pools::GetPool>),
        (
            ("GET", "/cluster/resources"),
            answers::<cluster::ListResources>,
        ),
        (
            ("GET", "/cluster/status"),
            answers::<cluster::GetClusterStatus>,
        ),
        (("GET", "/cluster/nextid"), answers::<cluster::NextId>),
        (
            ("GET", "/access/permissions"),
            answers::<access::GetPermissions>,
        ),
        (("GET", "/nodes/*/lxc"), answers::<guests::ListLxc>),
        (
            ("GET", "/nodes/*/lxc/*/status/current"),
            answers::<guests::GetLxcStatus>,
        ),
        (("GET", "/nodes/*/lxc/*/config"), config),
        (("GET", "/nodes/*/lxc/*/snapshot/*/config"), config),
        (
            ("GET", "/nodes/*/lxc/*/interfaces"),
            answers::<guests::GetLxcInterfaces>,
        ),
        (
            ("GET", "/nodes/*/lxc/*/snapshot"),
            answers::<guests::ListSnapshots>,
        ),
        (
            ("GET", "/nodes/*/storage"),
            answers::<storage::ListStorages>,
        ),
        (
            ("GET", "/nodes/*/storage/*/status"),
            answers::<storage::GetStorageStatus>,
        ),
        (
            ("GET", "/nodes/*/storage/*/content"),
            answers::<storage::ListContent>,
        ),
        (
            ("GET", "/nodes/*/storage/*/content/*"),
            answers::<storage::GetVolume>,
        ),
        (("GET", "/storage"), answers::<storage::ListStorageConfigs>),
        (("GET", "/storage/*"), reads::<storage::StorageConfig>),
        (("GET", "/nodes/*/tasks"), answers::<tasks::ListTasks>),
        (
            ("GET", "/nodes/*/tasks/*/status"),
            answers::<tasks::TaskStatusOf>,
        ),
        (("GET", "/nodes/*/tasks/*/log"), reads::<Vec<LogLine>>),
        (("GET", "/nodes/*/vzdump/extractconfig"), extracted),
        (("POST", "/nodes/*/vzdump"), answers::<backup::Vzdump>),
        (("POST", "/nodes/*/lxc"), started),
        (("POST", "/nodes/*/lxc/*/snapshot"), started),
        (("POST", "/nodes/*/lxc/*/snapshot/*/rollback"), started),
        (("POST", "/nodes/*/lxc/*/status/*"), started),
        (("DELETE", "/nodes/*/lxc/*"), started),
        (("DELETE", "/nodes/*/lxc/*/snapshot/*"), started),
        (("DELETE", "/nodes/*/storage/*/content/*"), started),
        (
            ("PUT", "/nodes/*/lxc/*/config"),
            answers::<guests::SetLxcConfig>,
        ),
        (
            ("PUT", "/nodes/*/storage/*/content/*"),
            answers::<storage::SetVolumeAttributes>,
        ),
        (
            ("POST", "/nodes/*/storage/*/content"),
            answers::<storage::Allocate>,
        ),
    ])
}

/// The folder of recordings. `FELHOM_FACTS` names the one above; without it `shared/facts` of a folder above this crate.
fn folder() -> Option<PathBuf> {
    let named = std::env::var_os("FELHOM_FACTS").map(PathBuf::from);
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    named
        .into_iter()
        .chain(above.map(|above| above.join("shared/facts")))
        .map(|facts| facts.join("traces/pve"))
        .find(|path| path.is_dir())
}

fn matches(pattern: &str, path: &str) -> bool {
    let (pattern, path): (Vec<_>, Vec<_>) =
        (pattern.split('/').collect(), path.split('/').collect());
    pattern.len() == path.len()
        && pattern
            .iter()
            .zip(&path)
            .all(|(want, part)| *want == "*" || want == part)
}

fn check_task(task: &Value) -> Result<(), String> {
    for poll in task["status_sequence"].as_array().into_iter().flatten() {
        if poll["status"] == 200 {
            reads::<tasks::TaskStatus>(&poll["body"]["data"])?;
        }
    }
    if let Some(lines) = task["log"].get("data") {
        let lines: Vec<LogLine> =
            serde_json::from_value(lines.clone()).map_err(|error| error.to_string())?;
        let status = task["exitstatus"].as_str().unwrap_or_default();
        let last = lines
            .last()
            .and_then(|line| Outcome::parse_last_line(&line.text));
        // A log without such a line belongs to a worker that did not get to write it.
        let agree = last.is_none_or(|outcome| outcome == Outcome::parse(status));
        if !agree {
            return Err(format!(
                "exit status `{status}`, but last line {:?}",
                lines.last()
            ));
        }
    }
    Ok(())
}

/// All recordings, or none with a word about why.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn recordings(test: &str) -> Vec<Value> {
    let Some(folder) = folder() else {
        eprintln!("skipped: {test}: FELHOM_FACTS names no folder with recordings");
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = folder
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let texts = files
        .iter()
        .filter(|path| path.extension().is_some_and(|ext| ext == "jsonl"))
        .map(|path| std::fs::read_to_string(path).unwrap());
    texts
        .flat_map(|text| {
            text.lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn every_recorded_answer_with_a_type_is_read() {
    let records = recordings("every_recorded_answer_with_a_type_is_read");
    let (table, mut read, mut wrong) = (table(), BTreeMap::new(), Vec::new());
    for record in &records {
        let name = &record["name"];
        if record["task"].is_object()
            && let Err(error) = check_task(&record["task"])
        {
            wrong.push(format!("task of {name}: {error}"));
        }
        let (method, path) = (
            record["method"].as_str().unwrap(),
            record["path"].as_str().unwrap(),
        );
        let path = path.split('?').next().unwrap();
        let known = table
            .iter()
            .find(|((verb, pattern), _)| *verb == method && matches(pattern, path));
        let (Some((key, check)), Some(data)) = (known, record["body"].get("data")) else {
            continue;
        };
        if record["status"] != 200 {
            continue;
        }
        match check(data) {
            Ok(()) => *read.entry(*key).or_insert(0) += 1,
            Err(error) => wrong.push(format!("{name} {path}: {error}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Guards against a table that matches nothing.
    assert!(records.is_empty() || read.len() > 25, "{read:#?}");
    assert!(
        records.is_empty() || read.values().sum::<usize>() > 150,
        "{read:#?}"
    );
}

/// The error that a recorded refusal must become.
fn is_right(record: &Value, error: &Error) -> bool {
    let (status, reason) = (
        record["status"].as_u64().unwrap(),
        record["reason"].as_str().unwrap(),
    );
    let privilege = reason.contains("(/");
    match error {
        Error::Unauthorized { text, .. } => status == 401 && text == reason,
        Error::Forbidden { denied, text, .. } => {
            status == 403 && text == reason && denied.is_some() == privilege
        }
        Error::Parameter { fields, .. } => {
            status == 400 && fields.len() == record["body"]["errors"].as_object().unwrap().len()
        }
        Error::NotFound { what, .. } => {
            status == 500 && what == reason && reason.ends_with("does not exist")
        }
        Error::Api { text, .. } => {
            status >= 500 && text.starts_with(reason) && !reason.ends_with("does not exist")
        }
        Error::Connect { .. }
        | Error::Tls { .. }
        | Error::PinMismatch { .. }
        | Error::Trust { .. }
        | Error::Timeout { .. }
        | Error::ConnectionLost { .. }
        | Error::Locked { .. }
        | Error::Proxy { .. }
        | Error::Decode { .. }
        | Error::TooLong { .. }
        | Error::NoTask { .. } => false,
    }
}

#[tokio::test]
async fn every_recorded_refusal_becomes_the_right_error() {
    let mut records = recordings("every_recorded_refusal_becomes_the_right_error");
    records.retain(|record| {
        record["status"]
            .as_u64()
            .is_some_and(|status| status >= 400)
    });
    let answers: Vec<Vec<u8>> = records
        .iter()
        .map(|record| {
            let body = if record["body"].is_object() {
                record["body"].to_string()
            } else {
                String::new()
            };
            let status = u16::try_from(record["status"].as_u64().unwrap()).unwrap();
            json(status, record["reason"].as_str().unwrap(), &body)
        })
        .collect();
    let server = Scripted::start(move |request| {
        let number = request.split(['/', ' ']).nth(4).unwrap();
        Reply::SendAndClose(answers[number.parse::<usize>().unwrap()].clone())
    })
    .await;
    let client = server.client();
    for (number, record) in records.iter().enumerate() {
        let error = client
            .exchange(&Request::new(Method::Get, &[&number]))
            .await
            .unwrap_err();
        assert!(is_right(record, &error), "{record}: {error:?}");
        assert_eq!(error.delivery(), Delivery::Answered);
    }
}
