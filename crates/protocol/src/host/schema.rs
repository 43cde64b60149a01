//! The report's JSON schema, derived from its types and committed for whoever reads it with something else; and what it promises.

use schemars::JsonSchema;
use serde_json::{Value, json};

use super::HostReport;
use crate::document::{DocumentError, read, write};

/// A host report in its envelope.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "it is there for its schema")]
#[schemars(title = "felhom.host-report, version 1")]
struct Envelope {
    /// Which document this is.
    #[schemars(extend("const" = "felhom.host-report"))]
    schema: String,
    /// Of which version. Within a version fields are added, and none is changed or taken away.
    #[schemars(extend("const" = 1))]
    version: u64,
    /// The report.
    data: HostReport,
}

const COMMITTED: &str = include_str!("../../../../docs/reference/host-report.schema.json");

fn committed() -> Value {
    serde_json::from_str(COMMITTED).unwrap()
}

/// A report in which every field has a value.
fn sample() -> Value {
    let usage = json!({ "total": 100, "used": 40 });
    json!({ "schema": "felhom.host-report", "version": 1, "data": {
        "installation": "1f0c5e3a9b7d42e68a1b2c3d4e5f6071", "sequence": 7, "taken_s": 1_795_000_000, "agent_version": "0.1.0",
        "node": {
            "name": "pve", "pve_version": "9.2.11", "kernel": "7.0.2-1-pve", "uptime_s": 86_400, "load": [0.1, 0.25, 1.5],
            "cpus": 4, "memory": usage, "swap": usage, "root": usage, 
            "updates": { "packages": 3, "pve_manager": "9.2.12", "read_s": 1_794_999_000 },
        },
        "storages": [{ "id": "local", "kind": "dir", "state": "attached", "usage": usage, "full_in_days": 30 }],
        "thin_pools": [{ "name": "pve/data", "data": usage, "metadata": usage }],
        "disks": [{
            "device": "/dev/sda", "model": "A disk", "kind": "ssd", "size": 1000, "health": "passed", "worn_percent": 3, "celsius": 31,
            "read_s": 1_794_999_000,
        }],
        "temperatures": [{ "chip": "coretemp", "label": "Package", "celsius": 51.5, "high": 80.0, "critical": 100.0 }],
        "targets": [{ "name": "usb1", "state": "wrong", "why": "another disk", "last_there_s": 1_794_000_000 }],
        "servers": [{
            "storage": "pbs", "error": "asked too late", "backups": 9, "verified": 8, "failed": 1, "newest_s": 1_794_900_000,
        }],
        "guests": [{
            "vmid": 101, "kind": "lxc", "name": "web", "running": true, "selected": true, "posture": "protected", "reasons": ["none"],
            "newest_archive_s": 1_794_990_000,
            "last_backup": { "verdict": "good", "ended_s": 1_794_990_001, "size": 500, "volid": "local:backup/x" },
            "good_backup_s": 1_794_990_001,
            "last_proof": {
                "verdict": "passed", "evidence": "booted", "ended_s": 1_794_990_002, "rto_ms": 41_000, "volid": "local:backup/x",
            },
        }],
        "findings": [{
            "severity": "critical", "code": "too-hot", "subject": "node", "detail": "101 °C", "remedy": "let it cool",
        }],
        "suppressed": 1,
        "jobs": [{
            "job": "00000000000000aa", "kind": "backup", "subject": "guest 101", "began_s": 1_794_989_000, "ended_s": 1_794_990_001,
            "verdict": "good",
        }],
        "unknown": [{ "what": "storage nas", "why": "it does not answer" }],
    } })
}

fn report(document: &Value) -> Result<HostReport, DocumentError> {
    read(document.to_string().as_bytes())
}

/// What the committed schema says against a document.
fn complaint(document: &Value) -> Option<String> {
    let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
    compiler.add_resource("report.json", committed()).unwrap();
    let index = compiler.compile("report.json", &mut schemas).unwrap();
    let judged = schemas.validate(document, index);
    judged.err().map(|error| error.to_string())
}

#[test]
fn the_committed_schema_is_that_of_the_types() {
    let schema = schemars::schema_for!(Envelope).to_value();
    let text = format!("{}\n", serde_json::to_string_pretty(&schema).unwrap());
    assert!(
        COMMITTED == text,
        "docs/reference/host-report.schema.json is to hold:\n{text}"
    );
}

#[test]
fn a_full_report_passes_and_every_field_of_it_is_in_the_schema() {
    let full = sample();
    assert_eq!(complaint(&full), None);
    let read_back = report(&full).unwrap();
    let written: Value = serde_json::from_str(&write(&read_back)).unwrap();
    assert_eq!(written, full, "nothing is lost on the way");
    assert_eq!(complaint(&written), None);
    // A field that the sample lacks would be a field that nobody tested.
    let defined = committed();
    let data = full["data"].as_object().unwrap();
    let known = defined["$defs"]["HostReport"]["properties"]
        .as_object()
        .unwrap();
    assert_eq!(
        data.keys().collect::<Vec<_>>(),
        known.keys().collect::<Vec<_>>()
    );
    for (name, list) in [
        ("Disk", "disks"),
        ("Guest", "guests"),
        ("Server", "servers"),
        ("Finding", "findings"),
    ] {
        let fields = data[list][0].as_object().unwrap();
        let known = defined["$defs"][name]["properties"].as_object().unwrap();
        assert_eq!(
            fields.keys().collect::<Vec<_>>(),
            known.keys().collect::<Vec<_>>()
        );
    }
}

#[test]
fn what_is_wrong_is_told_by_the_schema() {
    let broken = |pointer: &str, value: Value| {
        let mut document = sample();
        *document.pointer_mut(pointer).unwrap() = value;
        complaint(&document).is_some()
    };
    assert!(broken("/version", json!(2)));
    assert!(broken("/schema", json!("felhom.volume-report")));
    assert!(broken("/data/guests/0/posture", json!("fine")));
    assert!(broken("/data/guests/0/vmid", json!("101")));
    assert!(broken("/data/node", json!(null)));
    assert!(broken("/data/sequence", json!(-1)));
}

#[test]
fn an_older_reader_ignores_what_was_added_and_does_without_what_is_optional() {
    let mut newer = sample();
    newer["data"]["added_later"] = json!({ "anything": [1] });
    newer["data"]["guests"][0]["added_later"] = json!(true);
    newer["data"]["node"]["added_later"] = json!("x");
    assert_eq!(report(&newer).unwrap(), report(&sample()).unwrap());
    assert_eq!(complaint(&newer), None);
    let least = json!({ "schema": "felhom.host-report", "version": 1, "data": {
        "installation": "x", "sequence": 1, "taken_s": 0, "agent_version": "0.1.0", "node": { "name": "pve" },
    } });
    assert_eq!(complaint(&least), None);
    assert!(report(&least).unwrap().guests.is_empty());
}

#[test]
fn a_newer_version_is_refused() {
    let mut newer = sample();
    newer["version"] = json!(2);
    let error = report(&newer).unwrap_err();
    assert!(matches!(error, DocumentError::Newer { .. }), "{error}");
    assert!(error.to_string().contains("update it"));
}

#[test]
fn a_report_without_measure_is_refused() {
    let mut endless = sample();
    let one = endless["data"]["unknown"][0].clone();
    endless["data"]["unknown"] = json!(vec![one; 10_001]);
    let error = report(&endless).unwrap_err();
    assert!(matches!(error, DocumentError::TooMuch { .. }), "{error}");
}
