//! Findings, counted. What they are about, and what mends them, is in the report and in `status`.

use std::collections::BTreeMap;

use felhom_protocol::host::Severity;

use super::Told;
use super::text::{Family, Rows};

const SEVERITIES: [Severity; 3] = [Severity::Notice, Severity::Warning, Severity::Critical];

pub(super) const FINDINGS: &[Family] = &[
    Family::new(
        "felhom_findings",
        "Findings of a severity; 0 where there is none.",
        &["severity"],
        by_severity,
    ),
    Family::new(
        "felhom_findings_by_code",
        "Findings of a code, which `findings explain` explains; only those that there are.",
        &["severity", "code"],
        by_code,
    ),
    Family::new(
        "felhom_findings_suppressed",
        "Findings that somebody has accepted for a while; they are not counted above.",
        &[],
        |told, rows| rows.maybe(&[], told.report.map(|report| report.suppressed)),
    ),
    Family::new(
        "felhom_incidents_open",
        "Incidents of which somebody was notified, and that are not resolved.",
        &[],
        |told, rows| rows.maybe(&[], told.open_incidents),
    ),
];

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Notice => "notice",
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    }
}

fn by_severity(told: &Told<'_>, rows: &mut Rows) {
    let Some(report) = told.report else { return };
    for severity in SEVERITIES {
        let all = report.findings.iter();
        let count = all.filter(|one| one.severity == severity).count();
        rows.maybe(&[word(severity)], u64::try_from(count).ok());
    }
}

fn by_code(told: &Told<'_>, rows: &mut Rows) {
    let Some(report) = told.report else { return };
    let mut counts: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for one in &report.findings {
        let count = counts.entry((word(one.severity), &one.code)).or_default();
        *count = count.saturating_add(1);
    }
    for ((severity, code), count) in counts {
        rows.put(&[severity, code], count);
    }
}
