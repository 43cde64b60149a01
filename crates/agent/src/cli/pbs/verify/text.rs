//! A verify for people: the verdicts, why, and what verified well before.

use felhom_engine::pbs::{SnapshotVerdict, VerifyReport, VerifyVerdict};
use felhom_engine::{ErrorClass, Timestamp};

use crate::cli::text::findings_text;
use crate::output::seconds;

/// Names of a long list that are told one by one.
const TOLD: usize = 5;

pub(super) fn report(report: &VerifyReport) -> String {
    let mut lines = vec![headline(report)];
    for one in &report.verdicts {
        lines.extend(verdict(one));
    }
    if !report.left.is_empty() {
        let first = report.left.iter().take(TOLD).map(ToString::to_string);
        let named: Vec<String> = first.collect();
        let rest = report.left.len().saturating_sub(named.len());
        let more = if rest > 0 {
            format!(" and {rest} more")
        } else {
            String::new()
        };
        lines.push(format!("  not begun: {}{more}", named.join(", ")));
    }
    if let Some(why) = &report.reason {
        lines.push(format!("  ended early: {why}"));
    }
    lines.extend(hint(report));
    lines.extend(findings_text(&report.findings));
    lines.join("\n")
}

/// What to do when what was named is not there.
pub(super) fn hint(report: &VerifyReport) -> Option<String> {
    let storage = &report.target.storage;
    (report.trouble == Some(ErrorClass::NotFound)).then(|| {
        format!("hint: felhom-agent pbs snapshots --storage {storage} lists what there is; felhom-agent doctor looks at the server")
    })
}

fn headline(report: &VerifyReport) -> String {
    let target = &report.target;
    if report.verdicts.is_empty() {
        return match report.sight.shortened() {
            _ if report.trouble.is_some() || !report.left.is_empty() => {
                format!("{target}: nothing was verified")
            }
            Some(why) => format!("{target}: nothing that is due can be seen: {why}"),
            None => format!("{target}: nothing is due"),
        };
    }
    let counts = [
        VerifyVerdict::Passed,
        VerifyVerdict::Failed,
        VerifyVerdict::Undetermined,
    ];
    let counts = counts
        .into_iter()
        .map(|verdict| (report.count(verdict), verdict));
    let told: Vec<String> = counts
        .filter(|(count, _)| *count > 0)
        .map(|(count, verdict)| format!("{count} {verdict}"))
        .collect();
    format!("{target}: {}", told.join(", "))
}

fn verdict(one: &SnapshotVerdict) -> Vec<String> {
    let took = one.elapsed_ms.map(seconds);
    let took = took.map_or_else(String::new, |took| format!(", in {took}"));
    let mut lines = vec![format!("  {}: {}{took}", one.snapshot, one.verdict)];
    lines.extend(one.reasons.iter().map(|why| format!("    {why}")));
    if !one.shared_with.is_empty() {
        let first = one.shared_with.iter().take(TOLD).map(ToString::to_string);
        let named: Vec<String> = first.collect();
        let rest = one.shared_with.len().saturating_sub(named.len());
        let more = if rest > 0 {
            format!(" and {rest} more")
        } else {
            String::new()
        };
        lines.push(format!(
            "    the same damage is in {}{more}",
            named.join(", ")
        ));
    }
    if one.verdict == VerifyVerdict::Failed && one.restorable.is_empty() {
        lines.push("    no earlier backup of the group verified well".to_owned());
    }
    for earlier in &one.restorable {
        let when = Timestamp::from_secs(earlier.verified_at_s).date();
        lines.push(format!(
            "    verified well before, on {when}: {}; it may need the same chunk: verify it first",
            earlier.snapshot
        ));
    }
    lines
}
