//! `snapshot guard VMID begin | confirm | abort`.

use std::collections::BTreeSet;
use std::time::Duration;

use felhom_engine::{
    GuardEnd, GuardJob, GuardPhase, GuardPolicy, GuardReport, InstallationId, Job, JobId, JobKind,
    Mark, OnExpiry, OpenGuard, Principal, Reading,
};
use felhom_ids::{SnapshotName, Vmid};
use serde_json::json;

use super::{BeginArgs, GuardAction, GuardArgs, busy, due, guard_of, text};
use crate::cli::context::{Context, parse, require_container};
use crate::cli::jobs::{self, AskedBy};
use crate::cli::text::plan_text;
use crate::config::Span;
use crate::exit::{Exit, Failure};
use crate::journal::Journal;
use crate::perform::Performer;

pub(super) async fn run(context: &Context, args: &GuardArgs) -> Result<Exit, Failure> {
    let vmid: Vmid = parse("VMID", &args.vmid)?;
    match &args.action {
        GuardAction::Begin(begin) => self::begin(context, vmid, begin).await,
        GuardAction::Confirm { dry_run } => end(context, vmid, GuardJob::confirm, *dry_run).await,
        GuardAction::Abort { dry_run } => end(context, vmid, GuardJob::abort, *dry_run).await,
    }
}

async fn begin(context: &Context, vmid: Vmid, args: &BeginArgs) -> Result<Exit, Failure> {
    let performer = context.performer()?;
    let config = performer.config();
    let (within, on_expiry) = asked(args, &config.guard)?;
    require_container(performer.remotes().of(Principal::Agent), vmid).await?;
    let id = jobs::new_job_id()?;
    if args.dry_run {
        let journal = context.read_journal(config).await?;
        let mut installation = jobs::no_installation();
        if let Some(journal) = &journal {
            installation = journal.installation().clone();
            none_open(guard_of(journal, vmid).await?)?;
        }
        let draft = draft(vmid, &id, installation, within, on_expiry)?;
        let job = super::job(id, GuardJob::begin(draft, config.guard.clone()));
        return rehearse(context, &performer, job).await;
    }
    let purpose = format!("snapshot guard of guest {vmid}");
    let journal = context.open_journal(config, &purpose).await?;
    before(context, &journal, &performer, vmid).await?;
    nothing_waits(&journal, vmid).await?;
    none_open(guard_of(&journal, vmid).await?)?;
    let draft = draft(vmid, &id, journal.installation().clone(), within, on_expiry)?;
    let job = super::job(id, GuardJob::begin(draft, config.guard.clone()));
    let job = jobs::perform(context, &journal, &performer, job).await?;
    Ok(told(context, &job))
}

/// What is settled first: all but the guard of this guest, about which the command itself decides.
async fn before(
    context: &Context,
    journal: &Journal,
    performer: &Performer,
    vmid: Vmid,
) -> Result<(), Failure> {
    jobs::resume_interrupted(context, journal, performer, AskedBy::Person).await?;
    due(context, journal, performer, Some(vmid)).await
}

/// How long, and what then.
fn asked(args: &BeginArgs, policy: &GuardPolicy) -> Result<(Duration, OnExpiry), Failure> {
    let within: Span = parse("--confirm-within", &args.confirm_within)?;
    let within = within.get();
    let usage = |text: String| Failure::new(Exit::Usage, "usage", text);
    if within.is_zero() {
        let text = "--confirm-within: no time at all is left to confirm anything";
        return Err(usage(text.to_owned()));
    }
    if within > policy.max_age {
        let most = Span::new(policy.max_age);
        let text = format!(
            "--confirm-within: a snapshot lives for at most {most} (`snapshot-guard.max_age`)"
        );
        return Err(usage(text));
    }
    let on_expiry = match &args.on_expiry {
        Some(text) => parse("--on-expiry", text)?,
        None => policy.on_expiry,
    };
    Ok((within, on_expiry))
}

fn draft(
    vmid: Vmid,
    id: &JobId,
    installation: InstallationId,
    confirm_within: Duration,
    on_expiry: OnExpiry,
) -> Result<OpenGuard, Failure> {
    let snapshot: SnapshotName = parse("snapshot name", &format!("felhom-guard-{id}"))?;
    Ok(OpenGuard {
        mark: Mark {
            installation,
            job: id.clone(),
            vmid,
        },
        snapshot,
        made_by: None,
        begun: Reading::default(),
        confirm_within,
        on_expiry,
        ran: false,
        volumes: BTreeSet::new(),
        beyond_backup: Vec::new(),
        rollbacks: BTreeSet::new(),
        phase: GuardPhase::Open,
    })
}

/// Two guards of one guest would leave open which snapshot to go back to.
fn none_open(guard: Option<OpenGuard>) -> Result<(), Failure> {
    let Some(guard) = guard else {
        return Ok(());
    };
    let vmid = guard.vmid();
    let text = format!(
        "a guard of guest {vmid} stands already (snapshot `{}`)",
        guard.snapshot
    );
    let hint = format!(
        "`felhom-agent snapshot guard {vmid} confirm` or `felhom-agent snapshot guard {vmid} abort` ends it"
    );
    Err(Failure::new(Exit::Refused, "guard-open", text).hint(hint))
}

/// A job that was interrupted and could not go on yet may still change what stands.
async fn nothing_waits(journal: &Journal, vmid: Vmid) -> Result<(), Failure> {
    if !busy(journal).await?.contains(&vmid) {
        return Ok(());
    }
    let text = format!("an interrupted job of the guard of guest {vmid} waits for the server");
    Err(Failure::new(Exit::Busy, "busy", text).hint("try again when the server answers"))
}

fn no_guard(vmid: Vmid) -> Failure {
    let text = format!("no guard of guest {vmid} is open");
    Failure::new(Exit::NoSuchThing, "no-guard", text)
        .hint("`felhom-agent snapshot list` shows those that are")
}

async fn end(
    context: &Context,
    vmid: Vmid,
    make: fn(OpenGuard, GuardPolicy) -> GuardJob,
    dry_run: bool,
) -> Result<Exit, Failure> {
    let performer = context.performer()?;
    let config = performer.config();
    let id = jobs::new_job_id()?;
    if dry_run {
        let guard = match context.read_journal(config).await? {
            Some(journal) => guard_of(&journal, vmid).await?,
            None => None,
        };
        let guard = guard.ok_or_else(|| no_guard(vmid))?;
        let job = super::job(id, make(guard, config.guard.clone()));
        return rehearse(context, &performer, job).await;
    }
    let purpose = format!("snapshot guard of guest {vmid}");
    let journal = context.open_journal(config, &purpose).await?;
    // A person's word comes before what is due for this guest.
    before(context, &journal, &performer, vmid).await?;
    nothing_waits(&journal, vmid).await?;
    let guard = guard_of(&journal, vmid)
        .await?
        .ok_or_else(|| no_guard(vmid))?;
    let job = super::job(id, make(guard, config.guard.clone()));
    let job = jobs::perform(context, &journal, &performer, job).await?;
    Ok(told(context, &job))
}

/// What would be done, or why not.
async fn rehearse(context: &Context, performer: &Performer, job: Job) -> Result<Exit, Failure> {
    let job = jobs::rehearse(context, performer, job).await?;
    if let JobKind::Guard(guard) = &job.kind
        && let Some(report) = guard.report()
    {
        return Err(refusal(report));
    }
    let mut plan = job.planning().to_vec();
    if plan.is_empty()
        && let JobKind::Guard(guard) = &job.kind
    {
        plan.push(format!(
            "remove snapshot `{}` of guest {}",
            guard.guard().snapshot,
            guard.vmid()
        ));
    }
    let data = json!({ "dry_run": true, "plan": plan, "findings": job.findings() });
    context
        .printer
        .document("felhom.plan", &data, || plan_text(&plan, job.findings()));
    Ok(Exit::Done)
}

fn refusal(report: &GuardReport) -> Failure {
    let mut reasons = report.reasons.clone().into_iter();
    let first = reasons
        .next()
        .unwrap_or_else(|| "there is nothing to do".to_owned());
    let mut failure = Failure::new(exit(report), "refused", first);
    failure.causes = reasons.collect();
    failure.hint = text::hint(report);
    failure
}

/// Prints what became of it.
fn told(context: &Context, job: &Job) -> Exit {
    let JobKind::Guard(guard) = &job.kind else {
        return Exit::Unexpected;
    };
    let Some(report) = guard.report() else {
        return Exit::Unexpected;
    };
    let data = text::view(report);
    context
        .printer
        .document("felhom.snapshot-guard", &data, || text::text(report));
    exit(report)
}

/// How a command ends that asked for this.
pub(super) fn exit(report: &GuardReport) -> Exit {
    match report.end {
        GuardEnd::Opened | GuardEnd::Confirmed | GuardEnd::RolledBack | GuardEnd::Outlived => {
            if report.findings.is_empty() {
                Exit::Done
            } else {
                Exit::Findings
            }
        }
        GuardEnd::Gone => Exit::NoSuchThing,
        GuardEnd::Undetermined => Exit::Undetermined,
        GuardEnd::Refused | GuardEnd::Failed | GuardEnd::Unchanged => match report.trouble {
            Some(class) => Exit::of(class),
            None if report.task_failed => Exit::TaskFailed,
            None if report.end == GuardEnd::Failed => Exit::Undetermined,
            None => Exit::Refused,
        },
    }
}
