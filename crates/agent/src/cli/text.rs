//! Words that more than one command has for the same: what was found, what would be done.

use felhom_engine::Finding;

/// What would be done, then what was found on the way.
pub(super) fn plan_text(plan: &[String], findings: &[Finding]) -> String {
    let mut lines = plan.to_vec();
    lines.extend(findings_text(findings));
    lines.join("\n")
}

/// A line each, and what to do about it.
pub(super) fn findings_text(findings: &[Finding]) -> Vec<String> {
    let mut lines = Vec::new();
    for finding in findings {
        lines.push(format!(
            "{}: {}: {} [{}]",
            finding.severity, finding.subject, finding.detail, finding.code
        ));
        if let Some(hint) = &finding.hint {
            lines.push(format!("  hint: {hint}"));
        }
    }
    lines
}
