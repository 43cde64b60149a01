//! From task ends and evidence to a verdict. *Failed* is a statement about the backup; what the box did wrong is *error*.

use felhom_ids::VolumeId;

use crate::evidence::{Evidence, EvidenceLevel};
use crate::finding::{Finding, codes};
use crate::judgement::{Judgement, Verdict};
use crate::mutating::Ended;
use crate::outcome::TaskVerdict;

/// The judgement on a restore that did not bring a guest; `None` when it did.
pub(super) fn restore(ended: &Ended) -> Option<Judgement> {
    unless_done(ended, "restore", restore_failed)
}

/// The judgement on a start that did not happen; `None` when it did.
pub(super) fn start(ended: &Ended) -> Option<Judgement> {
    unless_done(ended, "start", start_failed)
}

/// `None` when the task did its work. Only a task that failed by itself can say something about the backup: `failed` decides.
fn unless_done(
    ended: &Ended,
    what: &str,
    failed: fn(&str, &[String]) -> Judgement,
) -> Option<Judgement> {
    let error = |text: String| Some(Judgement::error(text));
    match ended {
        Ended::EffectOnly => None,
        Ended::Task { verdict, log, .. } => match verdict {
            TaskVerdict::Succeeded | TaskVerdict::Warnings(_) => None,
            TaskVerdict::Failed(text) => Some(failed(text, log)),
            TaskVerdict::Undetermined(text) => {
                error(format!("the {what} ended without a verdict: {text}"))
            }
        },
        Ended::Stopped { reason, .. } => error(format!("the {what} was stopped: {reason}")),
        Ended::Refused(refusal) => error(format!("the {what} was refused: {}", refusal.text)),
        Ended::Undetermined(text) => error(text.clone()),
    }
}

/// Unpacking is a pipe of commands (pve-container LXC/Create.pm): only when that pipe failed, and not for want of space or
/// of a sound disk below it, the archive itself is to blame. Anything else is the box's trouble.
fn restore_failed(text: &str, log: &[String]) -> Judgement {
    let unpacking = text.contains("tar ")
        || text.contains("vma extract")
        || text.contains("zstd")
        || text.contains("unable to extract");
    let host = [
        "No space left",
        "Input/output error",
        "Read-only file system",
        "Cannot allocate memory",
        "not enough memory",
        "Disk quota exceeded",
        "Stale file handle",
        "got signal",
        "by signal",
        "received interrupt",
        "exit code 137",
        "exit code 143",
    ];
    let hosts_fault = host
        .iter()
        .find(|sign| text.contains(**sign) || log.iter().any(|line| line.contains(**sign)));
    match hosts_fault {
        None if unpacking => Judgement::failed(format!("the archive cannot be unpacked: {text}")),
        Some(sign) if unpacking => {
            Judgement::error(format!("unpacking failed on the host ({sign}): {text}"))
        }
        _ => Judgement::error(format!("the restore failed: {text}")),
    }
}

/// The judgement on an archive whose configuration the server could not read: only when `tar` found none in it is it the
/// archive's fault (pve-storage Storage.pm `extract_vzdump_config_tar`); a storage that is away says nothing about it.
pub(super) fn unreadable(text: &str) -> Judgement {
    let blamed = text.contains("archive contains no configuration file")
        || text.contains("Failed to extract config from VMA archive")
        || (text.contains("command 'tar") && text.contains("' failed: exit code"));
    if blamed {
        Judgement::failed(format!("its configuration cannot be read: {text}"))
    } else {
        Judgement::error(format!("its configuration cannot be read: {text}"))
    }
}

/// A finding for a restore that warned.
pub(super) fn warnings(ended: &Ended, volid: &VolumeId) -> Option<Finding> {
    let Ended::Task {
        verdict: TaskVerdict::Warnings(count),
        log,
        ..
    } = ended
    else {
        return None;
    };
    let warned: Vec<&str> = log
        .iter()
        .filter_map(|line| {
            line.strip_prefix("WARN: ")
                .or_else(|| line.strip_prefix("WARNING: "))
        })
        .collect();
    let detail = format!(
        "the restore ended with {count} warning(s): {}",
        warned.join("; ")
    );
    Some(Finding::new(
        codes::TASK_WARNINGS,
        volid.to_string(),
        detail,
    ))
}

fn start_failed(text: &str, log: &[String]) -> Judgement {
    let host = [
        "is locked",
        "got timeout",
        "Permission check failed",
        "does not exist",
        "Cannot allocate memory",
        "no quorum",
        "No space left",
        "Input/output error",
        "Read-only file system",
        "Too many open files",
        "got signal",
        "by signal",
        "received interrupt",
    ];
    let hosts_fault = host
        .iter()
        .any(|sign| text.contains(sign) || log.iter().any(|line| line.contains(sign)));
    if hosts_fault {
        Judgement::error(format!("the copy could not be started: {text}"))
    } else {
        Judgement::failed(format!("the copy does not start: {text}"))
    }
}

/// The judgement on a copy that ran; `None` when it did not stay up and somebody has to look why.
pub(super) fn evidence(evidence: &Evidence, wanted: EvidenceLevel) -> Option<Judgement> {
    let level = evidence.level()?;
    if level >= wanted {
        return Some(Judgement {
            verdict: Verdict::Passed,
            level: Some(level),
            reasons: Vec::new(),
        });
    }
    if let Some(why) = &evidence.unanswered {
        return Some(Judgement {
            verdict: Verdict::Error,
            level: Some(level),
            reasons: vec![format!(
                "evidence `{wanted}` was not reached in time: the copy runs, but no guest agent answered ({why}); \
                 without one a virtual machine can show no more than `started`"
            )],
        });
    }
    // An init that leaves the network alone says nothing about the backup.
    Some(Judgement {
        verdict: Verdict::Error,
        level: Some(level),
        reasons: vec![format!(
            "evidence `{wanted}` was not reached in time: the copy runs, but its init did not put our address on an interface"
        )],
    })
}

/// What was checked, in lines.
pub(super) fn evidence_checks(evidence: &Evidence, level: Option<EvidenceLevel>) -> Vec<String> {
    let mut checks = vec![format!(
        "pid and uptime stable, up {} s at the last look",
        evidence.uptime_s
    )];
    if let Some(nonce) = evidence.nonces_seen.first() {
        checks.push(format!("its own init put {nonce} on the interface"));
    }
    if evidence.answered {
        checks.push("its guest agent answered".to_owned());
    }
    if let Some(level) = level {
        checks.push(format!("evidence level `{level}`"));
    }
    checks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(text: &str, log: &[&str]) -> Verdict {
        restore_failed(
            text,
            &log.iter()
                .map(|line| (*line).to_owned())
                .collect::<Vec<_>>(),
        )
        .verdict
    }

    #[test]
    fn only_a_pipe_that_breaks_on_the_archive_is_a_failed_backup() {
        let pipe = "unable to restore CT 9100 - command 'lxc-usernsexec -- tar xpf - --zstd' failed: exit code 2";
        assert_eq!(failed(pipe, &[]), Verdict::Failed);
        assert_eq!(
            failed(pipe, &["tar: ./x: Cannot write: No space left on device"]),
            Verdict::Error
        );
        assert_eq!(
            failed("unable to restore CT 9100 - CT is locked (create)", &[]),
            Verdict::Error
        );
        assert_eq!(
            failed(
                "unable to restore CT 9100 - 403 Permission check failed (/, Sys.Modify)",
                &[]
            ),
            Verdict::Error
        );
    }

    #[test]
    fn a_copy_that_runs_without_our_address_is_no_statement_about_the_backup() {
        let running = Evidence {
            stable: true,
            ..Evidence::default()
        };
        assert_eq!(
            evidence(&running, EvidenceLevel::Booted).unwrap().verdict,
            Verdict::Error
        );
        assert_eq!(
            evidence(&running, EvidenceLevel::Started).unwrap().verdict,
            Verdict::Passed
        );
        assert_eq!(evidence(&Evidence::default(), EvidenceLevel::Started), None);
    }
}
