//! What metrics tell of a report, and that the page about them is theirs.

use std::path::Path;

use felhom_agent::config;
use felhom_agent::exit::Exit;
use felhom_agent::metrics::{Format, Pass, Told, metrics_page, publish, render};
use felhom_protocol::host::HostReport;
use serde_json::{Value, json};

use super::grammar::{Read, read};
use crate::support::*;

/// A report in which everything has a value, and names are as odd as they can be.
pub(super) fn report() -> HostReport {
    let usage = json!({ "total": 100, "used": 40 });
    let guest = |vmid: u32, rest: Value| {
        let mut guest = json!({
            "vmid": vmid, "kind": "lxc", "name": format!("ct{vmid}"), "running": true, "selected": true, "posture": "attention",
        });
        guest
            .as_object_mut()
            .unwrap()
            .extend(rest.as_object().unwrap().clone());
        guest
    };
    let sensor = |celsius: f64| json!({ "chip": "nvme", "label": "Composite", "celsius": celsius, "critical": 84.85 });
    serde_json::from_value(json!({
        "installation": "1f0c5e3a9b7d42e68a1b2c3d4e5f6071", "sequence": 7, "taken_s": 1_795_000_000, "agent_version": "0.1.0",
        "node": {
            "name": "pve", "pve_version": "9.2.11", "kernel": "7.0.2-1-pve", "uptime_s": 86_400, "load": [0.1, 0.25, 1.5],
            "cpus": 4, "memory": usage, "swap": usage, "root": usage, "updates": { "packages": 3, "pve_manager": "9.2.12" },
        },
        "storages": [
            { "id": "local", "kind": "dir", "state": "attached", "usage": usage, "full_in_days": 30 },
            { "id": "nas", "kind": "cifs", "state": "detached" },
        ],
        "thin_pools": [{ "name": "pve/data", "data": usage, "metadata": { "total": 10, "used": 9 } }],
        "disks": [
            { "device": "/dev/sda", "model": "A \"disk\"\\\n# TYPE x gauge", "kind": "ssd", "size": 1000, "health": "passed",
              "worn_percent": 103, "celsius": 31 },
            { "device": "/dev/sdb", "size": 18_446_744_073_709_551_615_u64, "health": "failed" },
        ],
        "temperatures": [sensor(51.5), sensor(62.25), sensor(40.0)],
        "targets": [{ "name": "usb1", "state": "wrong", "last_there_s": 1_794_000_000 }],
        "servers": [
            { "storage": "pbs", "backups": 9, "verified": 8, "failed": 1, "newest_s": 1_794_900_000 },
            { "storage": "far", "error": "no answer" },
        ],
        "guests": [
            guest(101, json!({
                "posture": "protected", "newest_archive_s": 1_794_990_000,
                "last_backup": { "verdict": "good", "ended_s": 1_794_990_001, "size": 500, "volid": "local:backup/x" },
                "good_backup_s": 1_794_990_001,
                "last_proof": { "verdict": "passed", "evidence": "booted", "ended_s": 1_794_990_002, "rto_ms": 41_007, "volid": "x" },
            })),
            guest(102, json!({
                "last_backup": { "verdict": "failed", "ended_s": 1_794_990_100 }, "good_backup_s": 1_794_000_000,
                "last_proof": { "verdict": "failed", "ended_s": 1_794_000_002, "volid": "x" },
            })),
            guest(103, json!({ "selected": false, "running": false, "posture": "unprotected" })),
        ],
        "findings": [
            { "severity": "critical", "code": "thin-metadata", "subject": "storage local-lvm", "detail": "x" },
            { "severity": "warning", "code": "storage-away", "subject": "storage nas", "detail": "x" },
            { "severity": "warning", "code": "storage-away", "subject": "storage other", "detail": "x" },
        ],
        "suppressed": 2,
        "jobs": [
            { "job": "aa", "kind": "backup", "subject": "guest 101", "began_s": 1, "ended_s": 20, "verdict": "good" },
            { "job": "ab", "kind": "backup", "subject": "guest 102", "began_s": 1, "ended_s": 10, "verdict": "good" },
        ],
        "unknown": [{ "what": "storage nas", "why": "it does not answer" }],
    }))
    .unwrap()
}

fn both(told: &Told<'_>) -> Read {
    let text = read(&render(told, Format::Text), false);
    let open = read(&render(told, Format::OpenMetrics), true);
    assert_eq!(text.series, open.series, "the formats tell the same");
    text
}

#[test]
#[expect(
    clippy::too_many_lines,
    clippy::type_complexity,
    reason = "one table of all metrics"
)]
fn everything_of_a_report_is_told_in_both_formats() {
    let report = report();
    let told = Told {
        report: Some(&report),
        pass: Some(Pass {
            ended_s: 1_795_000_100,
            exit: 3,
        }),
        open_incidents: Some(4),
        ..Told::default()
    };
    let read = both(&told);
    let expected: &[(&str, &[(&str, &str)], f64)] = &[
        ("felhom_report_sequence", &[], 7.0),
        ("felhom_report_timestamp_seconds", &[], 1_795_000_000.0),
        ("felhom_report_unknown_parts", &[], 1.0),
        ("felhom_pass_timestamp_seconds", &[], 1_795_000_100.0),
        ("felhom_pass_exit_code", &[], 3.0),
        ("felhom_incidents_open", &[], 4.0),
        (
            "felhom_job_timestamp_seconds",
            &[("kind", "backup"), ("verdict", "good")],
            20.0,
        ),
        (
            "felhom_guest_posture",
            &[("vmid", "101"), ("state", "protected")],
            1.0,
        ),
        (
            "felhom_guest_posture",
            &[("vmid", "101"), ("state", "attention")],
            0.0,
        ),
        (
            "felhom_guest_posture",
            &[("vmid", "103"), ("state", "unprotected")],
            1.0,
        ),
        (
            "felhom_guest_good_backup_timestamp_seconds",
            &[("vmid", "101")],
            1_794_990_001.0,
        ),
        // The last one failed: what counts is the one before.
        (
            "felhom_guest_good_backup_timestamp_seconds",
            &[("vmid", "102")],
            1_794_000_000.0,
        ),
        (
            "felhom_guest_backup_timestamp_seconds",
            &[("vmid", "102")],
            1_794_990_100.0,
        ),
        (
            "felhom_guest_backup_verdict",
            &[("vmid", "102"), ("state", "failed")],
            1.0,
        ),
        (
            "felhom_guest_backup_verdict",
            &[("vmid", "102"), ("state", "good")],
            0.0,
        ),
        (
            "felhom_guest_proof_timestamp_seconds",
            &[("vmid", "101")],
            1_794_990_002.0,
        ),
        (
            "felhom_guest_proof_verdict",
            &[("vmid", "101"), ("state", "passed")],
            1.0,
        ),
        (
            "felhom_guest_proof_verdict",
            &[("vmid", "102"), ("state", "failed")],
            1.0,
        ),
        (
            "felhom_guest_proof_verdict",
            &[("vmid", "103"), ("state", "never")],
            1.0,
        ),
        ("felhom_guest_rto_seconds", &[("vmid", "101")], 41.007),
        ("felhom_guest_selected", &[("vmid", "103")], 0.0),
        ("felhom_backup_limit_seconds", &[], 194_400.0),
        ("felhom_proof_limit_seconds", &[], 691_200.0),
        ("felhom_findings", &[("severity", "notice")], 0.0),
        ("felhom_findings", &[("severity", "warning")], 2.0),
        (
            "felhom_findings_by_code",
            &[("severity", "warning"), ("code", "storage-away")],
            2.0,
        ),
        ("felhom_findings_suppressed", &[], 2.0),
        (
            "felhom_storage_state",
            &[("storage", "nas"), ("state", "detached")],
            1.0,
        ),
        ("felhom_storage_used_bytes", &[("storage", "local")], 40.0),
        (
            "felhom_storage_until_full_seconds",
            &[("storage", "local")],
            2_592_000.0,
        ),
        (
            "felhom_thin_pool_metadata_used_bytes",
            &[("pool", "pve/data")],
            9.0,
        ),
        (
            "felhom_target_state",
            &[("target", "usb1"), ("state", "wrong")],
            1.0,
        ),
        ("felhom_server_up", &[("storage", "far")], 0.0),
        ("felhom_server_backups_damaged", &[("storage", "pbs")], 1.0),
        ("felhom_node_boot_timestamp_seconds", &[], 1_794_913_600.0),
        ("felhom_node_load", &[("minutes", "15")], 1.5),
        ("felhom_node_updates_pending", &[], 3.0),
        (
            "felhom_disk_health",
            &[("device", "/dev/sdb"), ("state", "failed")],
            1.0,
        ),
        ("felhom_disk_worn_ratio", &[("device", "/dev/sda")], 1.03),
        (
            "felhom_disk_temperature_celsius",
            &[("device", "/dev/sda")],
            31.0,
        ),
        // Three of one name: the warmest.
        (
            "felhom_temperature_celsius",
            &[("chip", "nvme"), ("sensor", "Composite")],
            62.25,
        ),
    ];
    for (name, labels, value) in expected {
        assert_eq!(read.value(name, labels), Some(*value), "{name} {labels:?}");
    }
    // What nobody knows is absent, and not 0.
    for (name, labels) in [
        ("felhom_storage_used_bytes", [("storage", "nas")]),
        (
            "felhom_guest_good_backup_timestamp_seconds",
            [("vmid", "103")],
        ),
        ("felhom_disk_worn_ratio", [("device", "/dev/sdb")]),
        ("felhom_server_backups", [("storage", "far")]),
    ] {
        assert_eq!(read.value(name, &labels), None, "{name}");
    }
    let odd = [
        ("device", "/dev/sda"),
        ("model", "A \"disk\"\\\n# TYPE x gauge"),
        ("kind", "ssd"),
    ];
    assert_eq!(read.value("felhom_disk_info", &odd), Some(1.0));
    // Every metric of the page is told of a full report, and no other.
    let page = metrics_page();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let named: Vec<&str> = rows.map(|row| row.split('`').next().unwrap()).collect();
    assert!(named.len() > 50);
    assert_eq!(read.names(), named.into_iter().collect());
}

#[test]
fn without_a_report_only_the_program_is_told_of() {
    let read = both(&Told::default());
    let names: Vec<&str> = read.names().into_iter().collect();
    assert_eq!(
        names,
        [
            "felhom_backup_limit_seconds",
            "felhom_build_info",
            "felhom_proof_limit_seconds"
        ]
    );
}

#[test]
fn the_same_report_is_the_same_text() {
    let report = report();
    let mut shuffled = report.clone();
    shuffled.guests.reverse();
    shuffled.disks.reverse();
    shuffled.findings.reverse();
    shuffled.temperatures.rotate_left(1);
    let text = |report| {
        let told = Told {
            report: Some(report),
            ..Told::default()
        };
        render(&told, Format::OpenMetrics)
    };
    assert_eq!(text(&report), text(&shuffled));
}

#[test]
fn the_page_of_metrics_is_what_the_program_has() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/metrics.md");
    if std::env::var_os("FELHOM_BLESS").is_some() {
        std::fs::write(&path, metrics_page()).unwrap();
    }
    assert_eq!(
        std::fs::read_to_string(path).unwrap_or_default(),
        metrics_page(),
        "FELHOM_BLESS=1 cargo test -p felhom-agent --test it page_of_metrics writes the page anew"
    );
}

#[test]
fn the_example_rules_ask_for_metrics_that_there_are() {
    let page = metrics_page();
    let (table, rules) = page.split_once("## Example rules").unwrap();
    let words = rules.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let asked: Vec<&str> = words.filter(|word| word.starts_with("felhom_")).collect();
    assert!(asked.len() >= 6);
    for name in asked {
        assert!(table.contains(&format!("| `{name}` |")), "{name}");
    }
    assert_eq!(rules.matches("- alert:").count(), 3);
}

/// A configuration with a file for the metrics.
fn with_textfile(path: &str) -> Result<config::Config, config::ConfigError> {
    let text = format!(
        "node = \"pve\"\npve = {{ url = \"https://127.0.0.1:8006\", insecure = true }}\n\
         [principals.agent]\ntoken = \"agent@pve!agent\"\nsecret_file = \"secret\"\n[metrics]\ntextfile = \"{path}\"\n"
    );
    config::parse(Path::new("/etc/felhom/agent.toml"), &text)
}

#[test]
fn the_textfile_is_what_node_exporter_reads() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("felhom.prom");
    let config = with_textfile(path.to_str().unwrap()).unwrap();
    publish(&config, &report()).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(read(&text, false).series.len() > 60);
    // What cannot be written is told with the path, and leaves what was there.
    let missing = with_textfile("/nowhere/at/all/felhom.prom").unwrap();
    let error = publish(&missing, &report()).unwrap_err().to_string();
    assert!(error.contains("/nowhere/at/all/felhom.prom"), "{error}");
    for odd in ["relative.prom", "/var/lib/felhom.txt"] {
        let refused = with_textfile(odd).unwrap_err().to_string();
        assert!(refused.contains("metrics.textfile"), "{refused}");
    }
}

#[test]
fn prometheus_own_parser_reads_both_formats() {
    let script = "import sys\n\
        try:\n\
        \x20 from prometheus_client.parser import text_string_to_metric_families as text\n\
        \x20 from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_\n\
        except ImportError:\n\
        \x20 print('absent'); sys.exit(0)\n\
        for parse, path in ((text, sys.argv[1]), (open_, sys.argv[2])):\n\
        \x20 found = sum(len(f.samples) for f in parse(open(path, encoding='utf-8').read()))\n\
        \x20 print(found)\n";
    let directory = tempfile::tempdir().unwrap();
    let report = report();
    let told = Told {
        report: Some(&report),
        ..Told::default()
    };
    let files = [
        ("text", render(&told, Format::Text)),
        ("open", render(&told, Format::OpenMetrics)),
    ];
    let mut args = vec!["-c".to_owned(), script.to_owned()];
    for (name, text) in &files {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        args.push(path.to_str().unwrap().to_owned());
    }
    let ran = python(&args);
    let said = match &ran {
        Some(said) if !said.starts_with("absent") => said,
        _ => {
            return skipped(
                "prometheus_own_parser_reads_both_formats",
                "no python3 with prometheus_client",
            );
        }
    };
    let series = read(&files[0].1, false).series.len();
    assert_eq!(*said, format!("{series}\n{series}\n"));
}

#[expect(clippy::disallowed_types, reason = "a test may start a program")]
fn python(args: &[String]) -> Option<String> {
    let ran = std::process::Command::new("python3")
        .args(args)
        .output()
        .ok()?;
    let errors = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{errors}");
    Some(String::from_utf8(ran.stdout).unwrap())
}

#[expect(clippy::print_stdout, reason = "for whoever reads the test's output")]
fn skipped(test: &str, why: &str) {
    println!("skipped: {test}: {why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn print_tells_the_last_report_and_where_there_is_none_what_to_do() {
    let bench = Bench::new().await;
    let none = bench.run(&["metrics", "print"]).await;
    assert_eq!(none.exit, Exit::NoSuchThing);
    let mut report = report();
    bench
        .journal()
        .await
        .keep_report(&mut report)
        .await
        .unwrap();
    let ran = bench.run(&["metrics", "print"]).await;
    assert_eq!(ran.exit, Exit::Done);
    let text = ran.data()["text"].as_str().unwrap().to_owned();
    assert_eq!(
        read(&text, false).value("felhom_report_sequence", &[]),
        Some(1.0)
    );
    let ran = bench.run(&["metrics", "print", "--openmetrics"]).await;
    let text = ran.data()["text"].as_str().unwrap().to_owned();
    assert_eq!(
        read(&text, true).value("felhom_guest_rto_seconds", &[("vmid", "101")]),
        Some(41.007)
    );
    // A program reads the very bytes.
    let printed = bench
        .program(&["metrics", "print", "--openmetrics"], "")
        .await;
    assert_eq!(printed.stdout, text);
}
