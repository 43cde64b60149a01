//! `backup prune`: what the configured rules no longer keep, of our own archives; the same after each good backup.

use std::collections::BTreeSet;

use felhom_engine::{
    ArchiveRecord, BackupReport, Decision, InstallationId, Job, JobKind, PruneJob, PruneReport,
    PruneRequest,
};
use felhom_ids::{StorageId, Vmid};
use serde_json::json;

use crate::cli::context::{Context, journal_failure, parse};
use crate::cli::targets::{Door, Use};
use crate::cli::text::findings_text;
use crate::cli::{arrears, jobs};
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::journal::Journal;
use crate::perform::Performer;

/// One guest on one storage.
type Target = (Vmid, StorageId);

pub(in crate::cli) async fn prune(
    context: &Context,
    vmid: Option<&str>,
    dry_run: bool,
) -> Result<Exit, Failure> {
    let vmid: Option<Vmid> = vmid.map(|text| parse("VMID", text)).transpose()?;
    let performer = context.performer()?;
    let config = performer.config();
    if config.keep.keeps_all() {
        context
            .printer
            .narrate("everything is kept: the configuration has no `keep_*` under [backup]");
    }
    if dry_run {
        let read = context.read_journal(config).await?;
        let mut jobs = Vec::new();
        if let Some(journal) = &read {
            for target in targets(journal, vmid).await? {
                let job = make(config, journal, &target).await?;
                jobs.push(jobs::rehearse(context, &performer, job).await?);
            }
        }
        return rehearsed(context, &jobs);
    }
    jobs::single_node(&performer).await?;
    let journal = context.open_journal(config, "pruning of backups").await?;
    arrears::settle(context, &journal, &performer).await?;
    let (reports, passed_over) = apply_all(context, &journal, &performer, vmid).await?;
    context
        .printer
        .document("felhom.prune", &json!({ "guests": reports }), || {
            let all: Vec<_> = reports.iter().flat_map(lines).collect();
            if all.is_empty() {
                "the journal knows no backup of ours".to_owned()
            } else {
                all.join("\n")
            }
        });
    let exits = reports.iter().map(exit).chain(passed_over);
    Ok(exits.max_by_key(|exit| exit.code()).unwrap_or(Exit::Done))
}

/// After a good backup: the rules are applied to its guest on its storage. A trouble is told and does not make the backup bad.
pub(super) async fn after(
    context: &Context,
    journal: &Journal,
    performer: &Performer,
    backup: &BackupReport,
) -> Option<PruneReport> {
    let volid = backup.volid.as_ref()?;
    if performer.config().keep.keeps_all() || volid.is_on_backup_server() {
        return None;
    }
    let target = (backup.vmid, volid.storage().clone());
    match apply(context, journal, performer, &target).await {
        Ok(report) => report,
        Err(failure) => {
            let why = failure.message;
            context
                .printer
                .narrate(&format!("older backups were not pruned: {why}"));
            None
        }
    }
}

/// Prunes each, and says why some were passed over; fails when nothing but that came of it.
async fn apply_all(
    context: &Context,
    journal: &Journal,
    performer: &Performer,
    vmid: Option<Vmid>,
) -> Result<(Vec<PruneReport>, Vec<Exit>), Failure> {
    let door = Door {
        context,
        performer,
        journal: Some(journal),
        dry_run: false,
    };
    let (mut reports, mut passed_over) = (Vec::new(), Vec::new());
    for target in targets(journal, vmid).await? {
        match door.admit(&target.1, Use::Change).await {
            Ok(()) => reports.extend(apply(context, journal, performer, &target).await?),
            // A disk that is not here now keeps nobody from the others.
            Err(failure) => passed_over.push(failure),
        }
    }
    if reports.is_empty()
        && let Some(failure) = passed_over.pop()
    {
        return Err(failure);
    }
    for failure in &passed_over {
        context.printer.narrate(&failure.message);
    }
    let exits = passed_over.iter().map(|failure| failure.exit).collect();
    Ok((reports, exits))
}

/// Applies the rules to one guest's archives on one storage.
pub(in crate::cli) async fn apply(
    context: &Context,
    journal: &Journal,
    performer: &Performer,
    target: &Target,
) -> Result<Option<PruneReport>, Failure> {
    let job = make(performer.config(), journal, target).await?;
    let job = jobs::perform(context, journal, performer, job).await?;
    Ok(match &job.kind {
        JobKind::Prune(prune) => prune.report().cloned(),
        JobKind::Backup(_)
        | JobKind::RestoreTest(_)
        | JobKind::RestoreRun(_)
        | JobKind::Reap(_)
        | JobKind::Exercise(_)
        | JobKind::Guard(_)
        | JobKind::Verify(_)
        | JobKind::Golden(_) => None,
    })
}

/// Where the journal knows archives of ours. What lies on a backup server is that server's to prune, by a prune job: the token
/// that writes it can remove nothing, so that whoever takes the box over cannot either.
async fn targets(journal: &Journal, vmid: Option<Vmid>) -> Result<BTreeSet<Target>, Failure> {
    let rows = journal
        .backups(vmid)
        .await
        .map_err(|error| journal_failure(&error))?;
    let target = |report: BackupReport| {
        let volid = report.volid.filter(|volid| !volid.is_on_backup_server())?;
        Some((report.vmid, volid.storage().clone()))
    };
    Ok(rows
        .into_iter()
        .filter_map(|row| target(row.report))
        .collect())
}

async fn make(config: &Config, journal: &Journal, target: &Target) -> Result<Job, Failure> {
    let (vmid, storage) = target;
    let records = journal
        .archive_records(*vmid, storage)
        .await
        .map_err(|error| journal_failure(&error))?;
    let id = jobs::new_job_id()?;
    let kind = JobKind::Prune(Box::new(PruneJob::new(request(
        config,
        journal.installation(),
        target,
        records,
    ))));
    Ok(Job {
        id,
        created: jobs::now(),
        kind,
    })
}

fn request(
    config: &Config,
    installation: &InstallationId,
    (vmid, storage): &Target,
    records: Vec<ArchiveRecord>,
) -> PruneRequest {
    PruneRequest {
        vmid: *vmid,
        storage: storage.clone(),
        installation: installation.clone(),
        policy: config.keep.clone(),
        records,
        no_progress: config.backup.no_progress,
        settle: config.backup.settle,
    }
}

fn rehearsed(context: &Context, jobs: &[Job]) -> Result<Exit, Failure> {
    let mut decisions: Vec<&Decision> = Vec::new();
    for job in jobs {
        let JobKind::Prune(prune) = &job.kind else {
            continue;
        };
        if let Some(report) = prune.report()
            && let (Some(class), Some(reason)) = (report.trouble, &report.reason)
        {
            return Err(Failure::new(Exit::of(class), "prune", reason.clone()));
        }
        decisions.extend(prune.decisions());
    }
    let plan: Vec<_> = jobs.iter().flat_map(Job::planning).collect();
    let data = json!({ "dry_run": true, "plan": plan, "decisions": decisions });
    context.printer.document("felhom.plan", &data, || {
        if plan.is_empty() {
            return "the journal knows no backup of ours".to_owned();
        }
        let lines: Vec<_> = plan.iter().map(|line| line.as_str()).collect();
        lines.join("\n")
    });
    Ok(Exit::Done)
}

/// A pruning in words.
pub(super) fn lines(report: &PruneReport) -> Vec<String> {
    let (vmid, storage) = (report.vmid, &report.storage);
    let mut lines = vec![format!(
        "guest {vmid} on `{storage}`: {} removed, {} kept",
        report.deleted.len(),
        report.decisions.len().saturating_sub(report.deleted.len())
    )];
    for decision in &report.decisions {
        let volid = &decision.volid;
        let verb = if report.deleted.contains(volid) {
            "removed"
        } else if decision.delete {
            "NOT removed"
        } else {
            "kept"
        };
        lines.push(format!("  {verb} {volid}: {}", decision.reason));
    }
    lines.extend(report.reason.iter().map(|reason| format!("  {reason}")));
    lines.extend(findings_text(&report.findings));
    lines
}

pub(in crate::cli) fn exit(report: &PruneReport) -> Exit {
    match report.trouble {
        Some(class) => Exit::of(class),
        None if report.left.is_empty() => Exit::Done,
        None => Exit::TaskFailed,
    }
}
