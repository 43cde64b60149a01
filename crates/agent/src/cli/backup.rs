//! `backup run`, `backup list`, `backup proof`.

use felhom_engine::{
    BackupJob, BackupReport, BackupRequest, BackupVerdict, Finding, Job, JobKind, Mark, Principal,
};
use felhom_ids::{Vmid, VolumeId};
use serde::Serialize;
use serde_json::json;

use super::context::{Context, engine_failure, journal_failure, node_now, parse, pve_failure};
use super::{BackupRunArgs, jobs};
use crate::archive;
use crate::clock;
use crate::exit::{Exit, Failure};
use crate::journal::Journal;
use crate::observe;
use crate::output::{seconds, size, table};

pub(super) async fn run(context: &Context, args: &BackupRunArgs) -> Result<Exit, Failure> {
    let vmid: Vmid = parse("VMID", &args.vmid)?;
    let performer = context.performer()?;
    let config = performer.config();
    let mut policy = config.backup.clone();
    if let Some(storage) = &args.storage {
        policy.storage = parse("--storage", storage)?;
    }
    if let Some(mode) = &args.mode {
        policy.mode = parse("--mode", mode)?;
    }
    let id = jobs::new_job_id()?;
    let make = |installation, forecast_bytes| {
        let mark = Mark { installation, job: id.clone(), vmid };
        let request = BackupRequest { vmid, mark, policy, forecast_bytes };
        Job { id: id.clone(), created: jobs::now(), kind: JobKind::Backup(Box::new(BackupJob::new(request))) }
    };
    if args.dry_run {
        let journal = context.read_journal(config).await?;
        let (installation, forecast) = match &journal {
            Some(journal) => (journal.installation().clone(), forecast(journal, vmid).await?),
            None => (jobs::no_installation(), None),
        };
        let job = jobs::rehearse(context, &performer, make(installation, forecast)).await?;
        return rehearsed(context, &job);
    }
    let mut journal = context.open_journal(config, &format!("backup of guest {vmid}")).await?;
    jobs::resume_all(context, &journal, &performer).await?;
    journal.say(&format!("backup of guest {vmid}, job {id}"));
    let forecast = forecast(&journal, vmid).await?;
    let job = make(journal.installation().clone(), forecast);
    let job = jobs::perform(context, &journal, &performer, job).await?;
    let JobKind::Backup(backup) = &job.kind else { return Ok(Exit::Unexpected) };
    let Some(report) = backup.report() else { return Ok(Exit::Unexpected) };
    context.printer.document("felhom.backup", &BackupView::new(&job, report), || text(report));
    Ok(exit(report))
}

/// Bytes of the guest's last good backup.
async fn forecast(journal: &Journal, vmid: Vmid) -> Result<Option<u64>, Failure> {
    let rows = journal.backups(Some(vmid)).await.map_err(|error| journal_failure(&error))?;
    let good = rows.iter().find(|row| row.report.verdict == BackupVerdict::Good);
    Ok(good.and_then(|row| row.report.content.as_ref()).map(|content| content.bytes))
}

pub(super) fn rehearsed(context: &Context, job: &Job) -> Result<Exit, Failure> {
    if let JobKind::Backup(backup) = &job.kind
        && let Some(report) = backup.report()
    {
        return Err(refusal(report));
    }
    let data = json!({ "dry_run": true, "plan": job.planning(), "findings": job.findings() });
    context.printer.document("felhom.plan", &data, || plan_text(job.planning(), job.findings()));
    Ok(Exit::Done)
}

pub(super) fn plan_text(plan: &[String], findings: &[Finding]) -> String {
    let mut lines = plan.to_vec();
    lines.extend(findings_text(findings));
    lines.join("\n")
}

fn refusal(report: &BackupReport) -> Failure {
    let first = report.reasons.first().cloned().unwrap_or_default();
    let mut failure = match report.refusal {
        Some(class) => engine_failure(&felhom_engine::RemoteError { class, text: first }),
        None => Failure::new(Exit::Refused, "refused", first),
    };
    failure.causes = report.reasons.iter().skip(1).cloned().collect();
    failure
}

/// What programs get of a backup.
#[derive(Serialize)]
pub(super) struct BackupView<'a> {
    job: &'a str,
    vmid: u32,
    verdict: BackupVerdict,
    #[serde(flatten)]
    report: &'a BackupReport,
}

impl<'a> BackupView<'a> {
    pub(super) fn new(job: &'a Job, report: &'a BackupReport) -> Self {
        Self { job: job.id.as_str(), vmid: report.vmid.get(), verdict: report.verdict, report }
    }
}

fn exit(report: &BackupReport) -> Exit {
    match report.verdict {
        BackupVerdict::Good if report.findings.is_empty() => Exit::Done,
        BackupVerdict::Good => Exit::Findings,
        BackupVerdict::Failed => Exit::TaskFailed,
        BackupVerdict::Refused => report.refusal.map_or(Exit::Refused, Exit::of),
        BackupVerdict::Undetermined => Exit::Undetermined,
    }
}

fn text(report: &BackupReport) -> String {
    let name = report.name.as_deref().unwrap_or("guest");
    let mut lines = vec![match report.verdict {
        BackupVerdict::Good => format!("{name} ({}) is backed up, and the archive holds what it should", report.vmid),
        BackupVerdict::Failed => format!("the backup of {name} ({}) failed", report.vmid),
        BackupVerdict::Refused => format!("the backup of {name} ({}) was not begun", report.vmid),
        BackupVerdict::Undetermined => format!("nobody can say whether {name} ({}) was backed up", report.vmid),
    }];
    lines.extend(report.reasons.iter().map(|reason| format!("  {reason}")));
    if let Some(volid) = &report.volid {
        let mode = report.actual_mode.as_deref().unwrap_or("unknown");
        let bytes = report.size.map(size).unwrap_or_default();
        lines.push(format!("  {volid}, {bytes}, mode {mode}, {}", seconds(report.task_ms)));
    }
    lines.extend(proof_lines(report));
    lines.extend(findings_text(&report.findings));
    lines.join("\n")
}

/// The three witnesses, a line a mount point, and the named Docker volumes.
pub(super) fn proof_lines(report: &BackupReport) -> Vec<String> {
    let mut lines = Vec::new();
    for proof in &report.inclusion {
        let place = if proof.planned.included { "in " } else { "out" };
        let seen = match (proof.archived, &proof.difference) {
            (_, Some(difference)) => format!("CONTRADICTION: {difference}"),
            (Some(tally), None) => format!("{} members, {} in the archive", tally.members, size(tally.bytes)),
            (None, None) => "by vzdump's log only".to_owned(),
        };
        lines.push(format!("  {place} {} ({}): {}; {seen}", proof.planned.key, proof.planned.path, proof.planned.why));
    }
    for volume in &report.docker_volumes {
        lines.push(format!(
            "  in  Docker volume `{}`: {} members, {} (a named volume lies in the rootfs, so it is always in)",
            volume.name,
            volume.tally.members,
            size(volume.tally.bytes)
        ));
    }
    lines
}

pub(super) fn findings_text(findings: &[Finding]) -> Vec<String> {
    let mut lines = Vec::new();
    for finding in findings {
        lines.push(format!("{}: {}: {} [{}]", finding.severity, finding.subject, finding.detail, finding.code));
        if let Some(hint) = &finding.hint {
            lines.push(format!("  hint: {hint}"));
        }
    }
    lines
}

pub(super) async fn list(context: &Context, vmid: Option<&str>) -> Result<Exit, Failure> {
    let vmid: Option<Vmid> = vmid.map(|text| parse("VMID", text)).transpose()?;
    let performer = context.performer()?;
    let config = performer.config();
    let journal = context.read_journal(config).await?;
    let pve = performer.remotes().of(Principal::Agent);
    let now = node_now(pve).await;
    let mut rows = Vec::new();
    let mut data = Vec::new();
    for status in pve.storages().await.map_err(|error| pve_failure(&error))? {
        let Some(storage) = status.storage.filter(|_| status.active) else { continue };
        if !status.content.iter().any(|content| content == "backup") {
            continue;
        }
        for volume in pve.backups(&storage, vmid).await.map_err(|error| pve_failure(&error))? {
            let archive = observe::archive_facts(&volume);
            let row = match &journal {
                Some(journal) => journal.backup_of(&archive.volid).await.map_err(|error| journal_failure(&error))?,
                None => None,
            };
            let proven = row.map_or("not ours", |row| match row.report.verdict {
                BackupVerdict::Good => "proven",
                BackupVerdict::Failed => "failed",
                BackupVerdict::Refused | BackupVerdict::Undetermined => "undetermined",
            });
            let age = now.saturating_sub(archive.ctime);
            data.push(json!({
                "volid": archive.volid, "vmid": archive.vmid.map(Vmid::get), "size": archive.size,
                "ctime": archive.ctime, "protected": archive.protected, "notes": archive.notes, "content": proven,
            }));
            rows.push(vec![
                archive.vmid.map(|vmid| vmid.to_string()).unwrap_or_default(),
                archive.volid.to_string(),
                clock::age(age),
                size(archive.size),
                proven.to_owned(),
                archive.notes.unwrap_or_default(),
            ]);
        }
    }
    context.printer.document("felhom.backups", &data, || {
        if rows.is_empty() {
            "no backup can be seen (a token sees only backups of guests it has VM.Backup on)".to_owned()
        } else {
            table(&["VMID", "VOLID", "AGE", "SIZE", "CONTENT", "NOTES"], &rows)
        }
    });
    Ok(Exit::Done)
}

pub(super) async fn proof(context: &Context, volid: &str) -> Result<Exit, Failure> {
    let volid: VolumeId = parse("VOLID", volid)?;
    let performer = context.performer()?;
    let pve = performer.remotes().of(Principal::Agent);
    let archived = pve.extract_lxc_config(&volid).await.map_err(|error| pve_failure(&error))?;
    let archived = observe::guest_config(&archived)
        .map_err(|error| Failure::new(Exit::Remote, "garbage", format!("the archived configuration: {error}")))?;
    let mounts: Vec<_> = archived.mounts.iter().map(|mount| (mount.key.clone(), mount.path.clone())).collect();
    let path = archive::locate(&volid, &performer.config().archives).map_err(|error| {
        Failure::new(Exit::Configuration, "archive", error.to_string())
            .hint("name the directory in the configuration: [[archives]] storage = …, path = …")
    })?;
    let content = archive::read(&path, &mounts, &mut |_| {}).map_err(|error| {
        let failure = Failure::new(Exit::NoSuchThing, "archive", error.to_string());
        match std::error::Error::source(&error) {
            Some(source) => failure.caused_by(source),
            None => failure,
        }
    })?;
    let planned = felhom_engine::planned_inclusion(&archived);
    let data = json!({ "volid": volid, "planned": planned, "content": content });
    context.printer.document("felhom.proof", &data, || {
        let mut lines = vec![format!("{volid}: {} members, {} unpacked", content.members, size(content.bytes))];
        for mount in &planned {
            let tally = content.mounts.get(&mount.key).copied().unwrap_or_default();
            let place = if mount.included { "in " } else { "out" };
            lines.push(format!(
                "  {place} {} ({}): {}; {} members, {}",
                mount.key, mount.path, mount.why, tally.members, size(tally.bytes)
            ));
        }
        for volume in &content.docker_volumes {
            let tally = volume.tally;
            lines.push(format!("  in  Docker volume `{}`: {} members, {}", volume.name, tally.members, size(tally.bytes)));
        }
        if let Some(error) = &content.error {
            lines.push(format!("  the archive breaks off: {error}"));
        }
        lines.join("\n")
    });
    Ok(if content.complete { Exit::Done } else { Exit::VerdictFailed })
}
