//! A guard's end in words, and as data.

use felhom_engine::{GuardEnd, GuardPurpose, GuardReport, OnExpiry};
use serde_json::{Value, json};

use crate::cli::text::findings_text;
use crate::config::Span;

pub(super) fn view(report: &GuardReport) -> Value {
    let guard = &report.guard;
    json!({
        "vmid": guard.vmid().get(),
        "snapshot": guard.snapshot,
        "purpose": report.purpose,
        "end": report.end,
        "open": report.stays,
        "reasons": report.reasons,
        "trouble": report.trouble,
        "confirm_within_s": guard.confirm_within.as_secs(),
        "on_expiry": guard.on_expiry,
        "beyond_backup": guard.beyond_backup,
        "upids": report.upids,
        "findings": report.findings,
        "hint": hint(report),
    })
}

/// What to do next, where that is not in a finding.
pub(super) fn hint(report: &GuardReport) -> Option<String> {
    let vmid = report.guard.vmid();
    match (report.end, report.purpose) {
        (GuardEnd::Refused | GuardEnd::Failed, GuardPurpose::Begin) => Some(format!(
            "without a snapshot there is no quick way back; `felhom-agent backup run {vmid}` makes a slow one"
        )),
        (GuardEnd::Unchanged, _) => Some(format!(
            "the guard stands; `felhom-agent snapshot guard {vmid} confirm` or `abort` ends it"
        )),
        _ => None,
    }
}

pub(super) fn text(report: &GuardReport) -> String {
    let guard = &report.guard;
    let (vmid, name) = (guard.vmid(), &guard.snapshot);
    let mut lines = match report.end {
        GuardEnd::Opened => opened(report),
        GuardEnd::Refused => vec![format!("guest {vmid} is not guarded: nothing was done")],
        GuardEnd::Failed => vec![format!(
            "guest {vmid} is not guarded: there is no snapshot to go back to"
        )],
        GuardEnd::Confirmed => vec![format!(
            "guest {vmid}: the change is confirmed, and the guard has ended"
        )],
        GuardEnd::RolledBack => vec![format!("guest {vmid} is rolled back to snapshot `{name}`")],
        GuardEnd::Outlived => vec![format!(
            "guest {vmid}: snapshot `{name}` became too old, and the guard has ended"
        )],
        GuardEnd::Gone => vec![format!(
            "guest {vmid} cannot be rolled back, and the guard has ended"
        )],
        GuardEnd::Unchanged => vec![format!(
            "guest {vmid} was not rolled back; the guard stands as before"
        )],
        GuardEnd::Undetermined => vec![format!(
            "nobody can say whether guest {vmid} was rolled back to `{name}`"
        )],
    };
    lines.extend(report.reasons.iter().map(|reason| format!("  {reason}")));
    lines.extend(report.upids.iter().map(|upid| format!("  {upid}")));
    lines.extend(findings_text(&report.findings));
    lines.extend(hint(report).map(|hint| format!("  hint: {hint}")));
    lines.join("\n")
}

fn opened(report: &GuardReport) -> Vec<String> {
    let guard = &report.guard;
    let vmid = guard.vmid();
    let within = Span::new(guard.confirm_within);
    let then = match guard.on_expiry {
        OnExpiry::Rollback => {
            "it is rolled back when the next command or timer of felhom-agent comes by"
        }
        OnExpiry::Keep => "the snapshot stays, and a finding says so",
    };
    vec![
        format!(
            "guest {vmid} is guarded by snapshot `{}` for {within}",
            guard.snapshot
        ),
        format!("  good: felhom-agent snapshot guard {vmid} confirm"),
        format!("  bad:  felhom-agent snapshot guard {vmid} abort"),
        format!("  neither within {within}: {then}"),
    ]
}
