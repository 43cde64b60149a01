//! `backup run`, `backup list`, `backup proof`, `backup prune`.

mod list;
mod proof;
mod prune;
mod text;
mod witnesses;

use felhom_engine::storages::Attachment;
use felhom_engine::{
    BackupJob, BackupPolicy, BackupReport, BackupRequest, BackupVerdict, FormerBackup,
    InstallationId, Job, JobId, JobKind, KnownVolumes, Mark, Principal, PruneReport,
};
use felhom_ids::Vmid;
use serde::Serialize;
use serde_json::json;

use super::context::{Context, engine_failure, journal_failure, parse, require_guest};
use super::findings::{self, Suppressed};
use super::targets::{Door, Use, Vanished, vanished};
use super::text::plan_text;
use super::{BackupRunArgs, arrears, jobs};
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::journal::Journal;
use crate::perform::Performer;
use crate::volumes::inventory;

pub(super) use list::list;
pub(super) use proof::proof;
pub(super) use prune::{apply as apply_retention, exit as retention_exit, prune};
pub(super) use text::text;

pub(super) async fn run(context: &Context, args: &BackupRunArgs) -> Result<Exit, Failure> {
    let vmid: Vmid = parse("VMID", &args.vmid)?;
    let performer = context.performer()?;
    let config = performer.config();
    let policy = policy(args, &config.backup)?;
    require_guest(performer.remotes().of(Principal::Agent), vmid).await?;
    if args.dry_run {
        return rehearse(context, &performer, vmid, policy).await;
    }
    let mut journal = context
        .open_journal(config, &format!("backup of guest {vmid}"))
        .await?;
    arrears::settle(context, &journal, &performer).await?;
    let job = perform(context, &mut journal, &performer, vmid, policy.clone()).await?;
    let Some(report) = report(&job) else {
        return Ok(Exit::Unexpected);
    };
    match report.verdict {
        // Nothing is pruned in a run that did not produce a good backup.
        BackupVerdict::Good => {
            let pruned = prune::after(context, &journal, &performer, report).await;
            tell(context, &journal, &job, report, pruned, None).await
        }
        BackupVerdict::Failed | BackupVerdict::Refused | BackupVerdict::Undetermined => {
            let gone = vanished(&performer, &journal, &policy.storage).await;
            tell(context, &journal, &job, report, None, gone).await
        }
    }
}

/// Backs a guest up, with whatever must be so before; what is pruned after it is for the caller to say.
pub(super) async fn perform(
    context: &Context,
    journal: &mut Journal,
    performer: &Performer,
    vmid: Vmid,
    policy: BackupPolicy,
) -> Result<Job, Failure> {
    let door = Door {
        context,
        performer,
        journal: Some(journal),
        dry_run: false,
    };
    door.admit(&policy.storage, Use::Backup).await?;
    let id = jobs::new_job_id()?;
    journal.say(&format!("backup of guest {vmid}, job {id}"));
    let known = known(journal, performer.config(), vmid).await?;
    let job = make(vmid, policy, id, journal.installation().clone(), known);
    jobs::perform(context, journal, performer, job).await
}

/// What a backup that ended says of itself.
pub(super) fn report(job: &Job) -> Option<&BackupReport> {
    let JobKind::Backup(backup) = &job.kind else {
        return None;
    };
    backup.report()
}

async fn tell(
    context: &Context,
    journal: &Journal,
    job: &Job,
    report: &BackupReport,
    pruned: Option<PruneReport>,
    gone: Option<Vanished>,
) -> Result<Exit, Failure> {
    let (report, suppressed) = &heard(journal, report).await?;
    let view = BackupView {
        pruned: pruned.as_ref(),
        suppressed,
        target: gone.as_ref().map(|gone| gone.standing),
        ..BackupView::new(job, report)
    };
    context.printer.document("felhom.backup", &view, || {
        let mut lines = vec![text(report)];
        lines.extend(findings::suppressed_lines(suppressed));
        lines.extend(pruned.iter().flat_map(prune::lines));
        lines.extend(gone.iter().map(|gone| gone.line.clone()));
        lines.join("\n")
    });
    let unpruned = pruned.is_some_and(|pruned| !pruned.findings.is_empty());
    let exit = gone.as_ref().map_or_else(|| exit(report), |gone| gone.exit);
    Ok(if exit == Exit::Done && unpruned {
        Exit::Findings
    } else {
        exit
    })
}

/// Backs a golden container up; no retention removes the archive.
pub(super) async fn image(
    context: &Context,
    journal: &Journal,
    performer: &Performer,
    vmid: Vmid,
) -> Result<Job, Failure> {
    let config = performer.config();
    let door = Door {
        context,
        performer,
        journal: Some(journal),
        dry_run: false,
    };
    door.admit(&config.backup.storage, Use::Backup).await?;
    let id = jobs::new_job_id()?;
    let known = known(journal, config, vmid).await?;
    let installation = journal.installation().clone();
    let mut job = make(vmid, config.backup.clone(), id, installation, known);
    if let JobKind::Backup(backup) = job.kind {
        job.kind = JobKind::Backup(Box::new(backup.protecting()));
    }
    jobs::perform(context, journal, performer, job).await
}

/// Only as far as reading goes.
async fn rehearse(
    context: &Context,
    performer: &Performer,
    vmid: Vmid,
    policy: BackupPolicy,
) -> Result<Exit, Failure> {
    let config = performer.config();
    let journal = context.read_journal(config).await?;
    let door = Door {
        context,
        performer,
        journal: journal.as_ref(),
        dry_run: true,
    };
    door.admit(&policy.storage, Use::Backup).await?;
    let (installation, known) = match &journal {
        Some(journal) => (
            journal.installation().clone(),
            known(journal, config, vmid).await?,
        ),
        None => (jobs::no_installation(), Known::default()),
    };
    let job = make(vmid, policy, jobs::new_job_id()?, installation, known);
    let job = jobs::rehearse(context, performer, job).await?;
    rehearsed(context, &job)
}

/// The report with the findings that count, and those that somebody has accepted for a while.
async fn heard(
    journal: &Journal,
    report: &BackupReport,
) -> Result<(BackupReport, Vec<Suppressed>), Failure> {
    let heard = findings::heard(Some(journal), report.findings.clone()).await?;
    let report = BackupReport {
        findings: heard.loud,
        ..report.clone()
    };
    Ok((report, heard.quiet))
}

/// The configured policy with what the command line says differently.
fn policy(args: &BackupRunArgs, configured: &BackupPolicy) -> Result<BackupPolicy, Failure> {
    let mut policy = configured.clone();
    if let Some(storage) = &args.storage {
        policy.storage = parse("--storage", storage)?;
    }
    if let Some(mode) = &args.mode {
        policy.mode = parse("--mode", mode)?;
    }
    Ok(policy)
}

fn make(
    vmid: Vmid,
    policy: BackupPolicy,
    id: JobId,
    installation: InstallationId,
    known: Known,
) -> Job {
    let mark = Mark {
        installation,
        job: id.clone(),
        vmid,
    };
    let request = BackupRequest {
        vmid,
        mark,
        policy,
        volumes: known.volumes.map(Box::new),
        former: known.former.map(Box::new),
    };
    Job {
        id,
        created: jobs::now(),
        kind: JobKind::Backup(Box::new(BackupJob::new(request))),
    }
}

/// What the journal knows of the guest.
#[derive(Default)]
struct Known {
    /// Its last good backup.
    former: Option<FormerBackup>,
    /// What its Docker engine told.
    volumes: Option<KnownVolumes>,
}

async fn known(journal: &Journal, config: &Config, vmid: Vmid) -> Result<Known, Failure> {
    let failure = |error| journal_failure(&error);
    let rows = journal.backups(Some(vmid)).await.map_err(failure)?;
    let told = journal.volume_report(vmid).await.map_err(failure)?;
    Ok(Known {
        former: FormerBackup::among(rows.into_iter().map(|row| row.report)),
        volumes: told.map(|kept| KnownVolumes {
            inventory: inventory(&kept.report, kept.taken),
            of: kept.fingerprint,
            policy: config.volumes.clone(),
        }),
    })
}

pub(super) fn rehearsed(context: &Context, job: &Job) -> Result<Exit, Failure> {
    if let JobKind::Backup(backup) = &job.kind
        && let Some(report) = backup.report()
    {
        return Err(refusal(report));
    }
    let data = json!({ "dry_run": true, "plan": job.planning(), "findings": job.findings() });
    context.printer.document("felhom.plan", &data, || {
        plan_text(job.planning(), job.findings())
    });
    Ok(Exit::Done)
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
    /// What was removed after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pruned: Option<&'a PruneReport>,
    /// How the target stands that it was to be written to, when that is why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<Attachment>,
    /// What was found and does not count.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    suppressed: &'a [Suppressed],
    #[serde(flatten)]
    report: &'a BackupReport,
}

impl<'a> BackupView<'a> {
    pub(super) fn new(job: &'a Job, report: &'a BackupReport) -> Self {
        Self {
            job: job.id.as_str(),
            vmid: report.vmid.get(),
            verdict: report.verdict,
            pruned: None,
            target: None,
            suppressed: &[],
            report,
        }
    }
}

/// Whether the archive itself was a witness. A good backup whose archive nobody read rests on vzdump's word alone.
fn is_proven(report: &BackupReport) -> bool {
    let doubted = report.volumes.iter().any(|proof| proof.doubt.is_some());
    report.unproven.is_none()
        && !doubted
        && report
            .content
            .as_ref()
            .is_some_and(|content| content.complete)
}

pub(super) fn exit(report: &BackupReport) -> Exit {
    match report.verdict {
        BackupVerdict::Good if report.findings.is_empty() => Exit::Done,
        BackupVerdict::Good => Exit::Findings,
        BackupVerdict::Failed => Exit::TaskFailed,
        BackupVerdict::Refused => report.refusal.map_or(Exit::Refused, Exit::of),
        BackupVerdict::Undetermined => Exit::Undetermined,
    }
}
