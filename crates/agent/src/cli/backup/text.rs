//! A backup in words: the verdict, the three witnesses, what to do about what was found.

use felhom_engine::{BackupReport, BackupVerdict, Freeze};

use super::is_proven;
use super::witnesses::{listed_line, untold_lines, witness_table};
use crate::cli::text::findings_text;
use crate::output::{seconds, size};

pub(in crate::cli) fn text(report: &BackupReport) -> String {
    let name = report.name.as_deref().unwrap_or("guest");
    let mut lines = vec![match report.verdict {
        BackupVerdict::Good if is_proven(report) => format!(
            "{name} ({}) is backed up, and the archive holds what it should",
            report.vmid
        ),
        BackupVerdict::Good if report.content.is_some() => format!(
            "{name} ({}) is backed up, and a part of it is not proven to be in the archive",
            report.vmid
        ),
        BackupVerdict::Good => format!(
            "{name} ({}) is backed up; what is in the archive was not read",
            report.vmid
        ),
        BackupVerdict::Failed => format!("the backup of {name} ({}) failed", report.vmid),
        BackupVerdict::Refused => format!("the backup of {name} ({}) was not begun", report.vmid),
        BackupVerdict::Undetermined => format!(
            "nobody can say whether {name} ({}) was backed up",
            report.vmid
        ),
    }];
    lines.extend(report.reasons.iter().map(|reason| format!("  {reason}")));
    if let Some(volid) = &report.volid {
        let mode = report.actual_mode.as_deref().unwrap_or("unknown");
        let bytes = report.size.map(size).unwrap_or_default();
        lines.push(format!(
            "  {volid}, {bytes}, mode {mode}, {}",
            seconds(report.task_ms)
        ));
    }
    lines.extend(freeze_line(report));
    lines.extend(proof_lines(report));
    lines.extend(findings_text(&report.findings));
    lines.join("\n")
}

/// What became of holding a virtual machine's file systems still.
fn freeze_line(report: &BackupReport) -> Option<String> {
    let text = match report.freeze.as_ref()? {
        Freeze::Done => {
            "the guest agent held the file systems still; applications are as after a power cut"
                .into()
        }
        Freeze::Failed(error) => format!(
            "the guest agent could not hold the file systems still ({error}): as after a power cut"
        ),
        Freeze::Skipped(reason) => {
            format!("file systems were not held still ({reason}): as after a power cut")
        }
    };
    Some(format!("  {text}"))
}

/// The three witnesses, as far as they were heard.
fn proof_lines(report: &BackupReport) -> Vec<String> {
    let mut lines = Vec::new();
    if !report.inclusion.is_empty() {
        lines.push(witness_table(&report.inclusion, &report.volumes));
    }
    lines.extend(listed_line(report.content.as_ref()));
    lines.extend(untold_lines(&report.docker_volumes, &report.volumes));
    if let Some(why) = &report.unproven {
        lines.push(format!("  unproven by the archive itself: {why}"));
    }
    lines
}
