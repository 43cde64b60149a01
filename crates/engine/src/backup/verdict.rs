//! What a backup's task, its effect and its archive add up to.

use felhom_ids::{GuestKind, Vmid};

use crate::backup::{BackupReport, BackupRequest, BackupVerdict, Consistency, Prepared};
use crate::backup::{forecast, volumes};
use crate::finding::{Finding, codes};
use crate::inclusion::prove_inclusion;
use crate::mutating::Ended;
use crate::outcome::{RemoteError, TaskVerdict};
use crate::vzdump_log::VzdumpLog;
use crate::world::{ArchiveContent, BackupResult, GuestState};

pub(super) fn empty(request: &BackupRequest, verdict: BackupVerdict) -> BackupReport {
    BackupReport {
        vmid: request.vmid,
        name: None,
        verdict,
        refusal: None,
        reasons: Vec::new(),
        volid: None,
        size: None,
        ctime: None,
        upid: None,
        task_ms: 0,
        requested_mode: request.policy.mode,
        actual_mode: None,
        consistency: None,
        freeze: None,
        inclusion: Vec::new(),
        volumes: Vec::new(),
        unproven: None,
        content: None,
        docker_volumes: Vec::new(),
        fingerprint: crate::world::GuestFingerprint::default(),
        findings: Vec::new(),
    }
}

pub(super) fn report(
    request: &BackupRequest,
    prepared: &Prepared,
    ended: &Ended,
    result: Option<&BackupResult>,
    content: Option<Result<&ArchiveContent, &RemoteError>>,
    findings: &[Finding],
) -> BackupReport {
    let mut report = empty(request, BackupVerdict::Good);
    report.name.clone_from(&prepared.name);
    report.fingerprint = prepared.fingerprint.clone();
    report.findings = findings.to_vec();
    let log = take_task(&mut report, ended);
    if let Some(result) = result {
        take_result(&mut report, result, prepared);
    }
    if let Some(log) = &log {
        take_log(&mut report, request, prepared, log, content);
    }
    report
}

impl BackupReport {
    pub(super) fn worsen(&mut self, verdict: BackupVerdict, reason: impl Into<String>) {
        // `Failed` is certain and outweighs `Undetermined`.
        if self.verdict != BackupVerdict::Failed {
            self.verdict = verdict;
        }
        self.reasons.push(reason.into());
    }

    pub(super) fn find(&mut self, code: crate::finding::Code, detail: impl Into<String>) {
        let subject = format!("guest {}", self.vmid);
        self.findings.push(Finding::new(code, subject, detail));
    }
}

/// Takes up the task; returns its log as evidence when it ran to an end.
fn take_task(report: &mut BackupReport, ended: &Ended) -> Option<VzdumpLog> {
    let (upid, verdict, log) = match ended {
        Ended::Task {
            upid,
            verdict,
            log,
            elapsed_ms,
        } => {
            report.task_ms = *elapsed_ms;
            (upid.clone(), verdict, log)
        }
        Ended::Stopped {
            upid,
            reason,
            verdict,
            log,
            ..
        } => {
            report.worsen(
                BackupVerdict::Failed,
                format!("the task was stopped: {reason}"),
            );
            (Some(upid.clone()), verdict, log)
        }
        Ended::Refused(error) => {
            report.worsen(BackupVerdict::Refused, error.text.clone());
            return None;
        }
        Ended::EffectOnly => {
            report.worsen(
                BackupVerdict::Undetermined,
                "an archive appeared, but its task cannot be found, so nothing vouches for it",
            );
            return None;
        }
        Ended::Undetermined(text) => {
            report.worsen(BackupVerdict::Undetermined, text.clone());
            return None;
        }
    };
    report.upid = upid;
    let parsed = VzdumpLog::parse(log.iter().map(String::as_str));
    take_verdict(report, verdict, &parsed);
    Some(parsed)
}

/// One vzdump runs at a time on a node. One that waits for its turn in vain exits without a last line (pve-manager VZDump.pm
/// `getlock`), so that its task ends as `unexpected status`; its log is sure all the same that nothing was begun.
fn waited_in_vain(parsed: &VzdumpLog) -> Option<&String> {
    let began = parsed.mode.is_some() || !parsed.mounts.is_empty();
    let mut errors = parsed.errors.iter().filter(|_| !began);
    errors.find(|error| error.starts_with("can't acquire lock '/var/run/vzdump.lock'"))
}

fn take_verdict(report: &mut BackupReport, verdict: &TaskVerdict, parsed: &VzdumpLog) {
    if let Some(error) = waited_in_vain(parsed) {
        let reason = format!("another backup of the node did not end in time: {error}");
        report.worsen(BackupVerdict::Failed, reason);
        return;
    }
    match verdict {
        TaskVerdict::Succeeded => {}
        TaskVerdict::Warnings(count) => {
            let detail = format!(
                "vzdump ended with {count} warning(s): {}",
                parsed.warnings.join("; ")
            );
            report.find(codes::TASK_WARNINGS, detail);
        }
        TaskVerdict::Failed(text) => {
            report.worsen(BackupVerdict::Failed, format!("vzdump failed: {text}"));
            report.reasons.extend(parsed.errors.iter().cloned());
        }
        TaskVerdict::Undetermined(text) => {
            report.worsen(
                BackupVerdict::Undetermined,
                format!("vzdump's task ended without a verdict: {text}"),
            );
        }
    }
}

/// What vzdump's log says it writes, as volume ids name it behind `backup/`.
pub(super) fn archive_file(log: &[String]) -> Option<String> {
    let path = VzdumpLog::parse(log.iter().map(String::as_str)).archive?;
    // On a backup server it is no path, but the whole name: `ct/101/2026-11-23T01:00:00Z`.
    let file = path
        .strip_prefix('/')
        .and_then(|rest| rest.rsplit('/').next());
    Some(file.map_or_else(|| path.clone(), str::to_owned))
}

fn take_result(report: &mut BackupReport, result: &BackupResult, prepared: &Prepared) {
    match result.new_archives.as_slice() {
        [archive] => {
            report.volid = Some(archive.volid.clone());
            report.size = Some(archive.size);
            report.ctime = Some(archive.ctime);
            if archive.size == 0 {
                report.worsen(BackupVerdict::Failed, "the archive is empty");
            }
        }
        [] if report.verdict == BackupVerdict::Good => {
            report.worsen(
                BackupVerdict::Failed,
                "the task was OK, but the storage lists no new archive",
            );
        }
        [] => {}
        several => {
            let reason = format!(
                "{} new archives appeared; which is ours cannot be told",
                several.len()
            );
            report.worsen(BackupVerdict::Undetermined, reason);
        }
    }
    if let Some(upid) = &result.other_backup {
        let detail =
            format!("another backup works on it (`{upid}`), so how ours left it cannot be told");
        report.find(codes::OTHER_BACKUP_AT_WORK, detail.clone());
        // A task of several guests need not be at this one.
        if upid.id().is_empty() && report.verdict == BackupVerdict::Good {
            report.worsen(BackupVerdict::Undetermined, detail);
        }
    }
    for (change, mend) in changes(report.vmid, prepared, result) {
        let subject = format!("guest {}", report.vmid);
        let finding = Finding::new(codes::GUEST_CHANGED_BY_BACKUP, subject, change.clone());
        report.findings.push(finding.hint(mend));
        // A task without a verdict stays without one, whatever the guest looks like.
        let verdict = if report.verdict == BackupVerdict::Good {
            BackupVerdict::Failed
        } else {
            report.verdict
        };
        report.worsen(verdict, change);
    }
}

/// What the backup did to the guest, and what mends it.
fn changes(vmid: Vmid, prepared: &Prepared, result: &BackupResult) -> Vec<(String, String)> {
    let after = &result.state;
    let before = &prepared.before;
    let tool = match prepared.kind {
        GuestKind::Lxc => "pct",
        GuestKind::Qemu => "qm",
    };
    let mut changes = Vec::new();
    if before.running && !after.running {
        let text = "the guest ran before the backup and does not run now".to_owned();
        changes.push((text, format!("{tool} start {vmid}")));
    }
    // Whose they are cannot be told while another backup is at work.
    if result.other_backup.is_some() {
        return changes;
    }
    if let Some(lock) = &after.lock {
        let text = format!("the guest is still locked ({lock})");
        let mend = format!(
            "when no task of the guest runs any more, as root on the node: {tool} unlock {vmid}"
        );
        changes.push((text, mend));
    }
    let has_vzdump = |state: &GuestState| state.snapshots.iter().any(|name| name == "vzdump");
    if has_vzdump(after) && !has_vzdump(before) {
        let text = "the snapshot `vzdump` was left behind".to_owned();
        let mend = format!("the next backup removes it, or: pct delsnapshot {vmid} vzdump");
        changes.push((text, mend));
    }
    changes
}

fn take_log(
    report: &mut BackupReport,
    request: &BackupRequest,
    prepared: &Prepared,
    log: &VzdumpLog,
    content: Option<Result<&ArchiveContent, &RemoteError>>,
) {
    report.actual_mode.clone_from(&log.mode);
    report.freeze.clone_from(&log.freeze);
    report.consistency = log.mode.as_deref().map(|mode| {
        if mode == "stop" || log.was_stopped {
            Consistency::Stopped
        } else {
            Consistency::Crash
        }
    });
    let asked = request.policy.mode.to_string();
    if let Some(mode) = log
        .mode
        .as_deref()
        .filter(|mode| *mode != asked && !log.was_stopped)
    {
        let why = if log.fell_back {
            "a volume cannot be snapshotted"
        } else {
            "vzdump chose so"
        };
        report.find(
            codes::MODE_DEGRADED,
            format!("asked for mode {asked}, got {mode}: {why}"),
        );
    }
    if report.volid.is_none() {
        return;
    }
    let read = take_content(report, content);
    if log.is_silent() {
        let reason = "vzdump's log could not be read, so nothing says what it put in";
        return report.worsen(BackupVerdict::Undetermined, reason);
    }
    let proofs = prove_inclusion(&prepared.plan, Some(log), read.as_ref());
    for proof in &proofs {
        if let Some(difference) = &proof.difference {
            let text = format!(
                "{} ({}): {difference}",
                proof.planned.key, proof.planned.path
            );
            report.find(codes::INCLUSION_DIFFERS, text.clone());
            report.worsen(BackupVerdict::Failed, text);
        }
    }
    report.inclusion = proofs;
    volumes::prove(report, prepared, log, read.as_ref());
    if let Some(content) = &read {
        report
            .findings
            .extend(forecast::findings(request, prepared, content));
    }
}

/// An archive that cannot be looked at says nothing, neither good nor bad.
fn unread(report: &mut BackupReport, why: &str) -> Option<ArchiveContent> {
    report.find(codes::ARCHIVE_UNREAD, why);
    report.unproven = Some(why.to_owned());
    None
}

fn take_content(
    report: &mut BackupReport,
    content: Option<Result<&ArchiveContent, &RemoteError>>,
) -> Option<ArchiveContent> {
    let content = match content {
        Some(Ok(content)) => content,
        Some(Err(error)) => return unread(report, &error.text),
        None => return unread(report, "the archived configuration could not be read"),
    };
    report.content = Some(content.clone());
    report.docker_volumes.clone_from(&content.docker_volumes);
    if !content.complete {
        let why = content.error.as_deref().unwrap_or("it ends too early");
        report.worsen(
            BackupVerdict::Failed,
            format!("the archive cannot be read to its end: {why}"),
        );
        return None;
    }
    if !content.config_first {
        report.worsen(
            BackupVerdict::Failed,
            "the archive does not begin with the guest's configuration",
        );
    }
    let odd = &content.odd_names;
    if odd.count > 0 {
        let first = odd.first.first().map_or("", String::as_str);
        let detail = format!(
            "{} name(s), `{first}` the first; they count nowhere",
            odd.count
        );
        report.find(codes::ARCHIVE_ODD_NAMES, detail);
    }
    Some(content.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_told_by_the_log() {
        let file = |line: &str| archive_file(&[line.to_owned()]);
        let name = "vzdump-lxc-101-2026_11_23-01_00_00.tar.zst";
        let line = format!("INFO: creating vzdump archive '/var/lib/vz/dump/{name}'");
        assert_eq!(file(&line).as_deref(), Some(name));
        let snapshot = "ct/101/2026-11-23T01:00:00Z";
        let line = format!("INFO: creating Proxmox Backup Server archive '{snapshot}'");
        assert_eq!(file(&line).as_deref(), Some(snapshot));
        assert_eq!(file("INFO: starting new backup job"), None);
    }
}
