//! Task logs: what vzdump's says of a backup, and what the last line of any says of its end.

use felhom_engine::{Inclusion, VzdumpLog, prove_inclusion};
use felhom_proxmox::error::Denied;
use felhom_proxmox::{Credentials, LogLine, Method, Outcome, Request, decode};
use serde_json::{Value, json};

use crate::claims::text;

/// No error or warning of a log is lost, what it says of a mount point is held against the plan, and no line but that of
/// a good end is a good end.
pub fn task_log(data: &[u8]) {
    let text = text(data);
    let lines: Vec<&str> = text.lines().collect();
    let log = VzdumpLog::parse(lines.iter().copied());
    said(&lines, "ERROR:", &log.errors);
    said(&lines, "WARN:", &log.warnings);
    if log.is_silent() {
        let speaks = |line: &&str| {
            line.starts_with("ERROR:") || line.trim_end().starts_with("INFO: backup mode: ")
        };
        assert!(!lines.iter().any(speaks));
    }
    let json = serde_json::to_string(&log).unwrap();
    assert_eq!(serde_json::from_str::<VzdumpLog>(&json).unwrap(), log);
    proved(&log);
    travels(&lines);
    for line in lines {
        ending(line);
    }
}

/// Every line of this kind is kept, in order.
fn said(lines: &[&str], kind: &str, kept: &[String]) {
    let of_kind = lines.iter().filter(|line| line.starts_with(kind));
    let of_kind: Vec<_> = of_kind.collect();
    assert_eq!(of_kind.len(), kept.len(), "{of_kind:?}");
    for (line, text) in of_kind.into_iter().zip(kept) {
        assert!(line.trim_end().ends_with(text.as_str()), "{line:?}");
        assert!(text.len() + kind.len() + 1 >= line.trim_end().len());
    }
}

/// The log agrees with a plan that says the same, and contradicts one that says the opposite.
fn proved(log: &VzdumpLog) {
    let plan = |flip: bool| -> Vec<Inclusion> {
        let planned = log.mounts.iter().map(|(key, (included, _))| Inclusion {
            key: key.clone(),
            path: "/x".to_owned(),
            included: included ^ flip,
            why: String::new(),
        });
        planned.collect()
    };
    let proofs = prove_inclusion(&plan(false), Some(log), None);
    assert!(proofs.iter().all(|proof| proof.difference.is_none()));
    let proofs = prove_inclusion(&plan(true), Some(log), None);
    assert!(proofs.iter().all(|proof| proof.difference.is_some()));
}

/// As PVE's API hands a log out.
fn travels(lines: &[&str]) {
    let numbered = lines.iter().zip(1_u64..);
    let data: Vec<Value> = numbered
        .map(|(line, n)| json!({ "n": n, "t": line }))
        .collect();
    let body = json!({ "data": data, "total": lines.len() }).to_string();
    let request = Request::new(Method::Get, &[&"log"]);
    let read: Vec<LogLine> =
        decode::data(&request, body.as_bytes(), &Credentials::Anonymous).unwrap();
    assert!(
        read.iter()
            .map(|line| line.text.as_str())
            .eq(lines.iter().copied())
    );
}

fn ending(line: &str) {
    let status = line.trim();
    let count = status.strip_prefix("WARNINGS: ");
    let counted = |count: &str| !count.is_empty() && count.bytes().all(|b| b.is_ascii_digit());
    let good = status == "OK" || count.is_some_and(counted);
    let outcome = Outcome::parse(line);
    assert!(good || !outcome.is_good(), "{line:?}: {outcome}");
    assert!(!(outcome.is_good() && outcome.is_undetermined()));
    match &outcome {
        Outcome::Failed(text) | Outcome::Undetermined(text) => assert_eq!(text, status),
        Outcome::Succeeded => assert_eq!(status, "OK"),
        Outcome::Warnings(count) => assert!(status.ends_with(&count.to_string())),
    }
    let last = Outcome::parse_last_line(line);
    if last.as_ref().is_some_and(Outcome::is_good) {
        let said = line.trim_end().strip_prefix("TASK ").unwrap();
        assert!(said == "OK" || said.starts_with("WARNINGS: "), "{line:?}");
    }
    if line.starts_with("TASK ERROR: ") {
        assert!(!last.is_some_and(|last| last.is_good()), "{line:?}");
    }
    if let Some(denied) = Denied::find_in(line) {
        assert!(denied.path.starts_with('/') && line.contains(&denied.path));
        assert!(!denied.privileges.is_empty());
        let named = |name: &String| name.contains('.') && line.contains(name.as_str());
        assert!(denied.privileges.iter().all(named), "{denied}");
    }
}
