//! What is due though nobody asks: guards whose time is over, and snapshots whose guard has ended.

use felhom_engine::{
    GuardDue, GuardJob, GuardPolicy, GuardReport, GuardStanding, JobKind, OpenGuard, Principal,
};
use felhom_ids::Vmid;
use serde_json::json;

use super::{busy, guards, list, text};
use crate::cli::context::{Context, engine_failure, journal_failure};
use crate::cli::jobs::{self, AskedBy};
use crate::cli::text::findings_text;
use crate::exit::{Exit, Failure};
use crate::journal::Journal;
use crate::observe::{self, Trouble};
use crate::perform::Performer;

pub(super) async fn settle(context: &Context, dry_run: bool) -> Result<Exit, Failure> {
    let config = context.config()?;
    let nothing = match context.read_journal(&config).await? {
        Some(journal) => has_nothing(&journal).await?,
        // Without a journal there is no guard, and none is made of it.
        None => true,
    };
    if nothing && !dry_run {
        // The timer asks every five minutes: where nothing stands, nobody is disturbed, neither the node nor a pass.
        say(context, &[], &[]);
        return Ok(Exit::Done);
    }
    let performer = context.performer()?;
    let pve = performer.remotes().of(Principal::Agent);
    if dry_run {
        let standing = match context.read_journal(&config).await? {
            Some(journal) => list::open(&journal, pve, &config.guard).await?,
            None => Vec::new(),
        };
        let plan: Vec<String> = standing.iter().filter_map(planned).collect();
        let data = json!({ "dry_run": true, "plan": plan });
        context.printer.document("felhom.plan", &data, || {
            if plan.is_empty() {
                "nothing is due".to_owned()
            } else {
                plan.join("\n")
            }
        });
        return Ok(Exit::Done);
    }
    jobs::single_node(&performer).await?;
    let journal = context.open_journal(&config, "settling guards").await?;
    jobs::resume_interrupted(context, &journal, &performer, AskedBy::Timer).await?;
    let settled = all(context, &journal, &performer, None).await?;
    let open = list::open(&journal, pve, &config.guard).await?;
    say(context, &settled, &open);
    let found = settled
        .iter()
        .any(|one| !one.findings.is_empty() || one.stays)
        || open
            .iter()
            .any(|(_, standing)| !standing.findings.is_empty());
    Ok(if found { Exit::Findings } else { Exit::Done })
}

/// Whether no guard is open, and no job waits to be gone on with.
async fn has_nothing(journal: &Journal) -> Result<bool, Failure> {
    let unfinished = journal.unfinished().await;
    let unfinished = unfinished.map_err(|error| journal_failure(&error))?;
    Ok(unfinished.is_empty() && guards(journal).await?.is_empty())
}

fn say(context: &Context, settled: &[GuardReport], open: &[(OpenGuard, GuardStanding)]) {
    let data = json!({
        "settled": settled.iter().map(text::view).collect::<Vec<_>>(),
        "guards": list::view(open),
    });
    context
        .printer
        .document("felhom.snapshot-settle", &data, || told(settled, open));
}

fn told(settled: &[GuardReport], open: &[(OpenGuard, GuardStanding)]) -> String {
    let mut lines: Vec<String> = settled.iter().map(text::text).collect();
    lines.extend(list::lines(open));
    for (_, standing) in open {
        lines.extend(findings_text(&standing.findings));
    }
    if lines.is_empty() {
        lines.push("nothing is due".to_owned());
    }
    lines.join("\n")
}

fn planned((guard, standing): &(OpenGuard, GuardStanding)) -> Option<String> {
    let (vmid, name) = (guard.vmid(), &guard.snapshot);
    match standing.due {
        GuardDue::Nothing => None,
        GuardDue::Rollback => Some(format!(
            "roll guest {vmid} back to snapshot `{name}`, which nobody confirmed in time, and remove the snapshot"
        )),
        GuardDue::Remove(_) => Some(format!(
            "remove snapshot `{name}` of guest {vmid}, whose guard has ended"
        )),
    }
}

/// The same before any command that changes something; what cannot be settled now stands in nobody's way.
pub(in crate::cli) async fn due(
    context: &Context,
    journal: &Journal,
    performer: &Performer,
    but: Option<Vmid>,
) -> Result<(), Failure> {
    match all(context, journal, performer, but).await {
        Ok(settled) => {
            for report in &settled {
                context.printer.narrate(&text::text(report));
            }
            Ok(())
        }
        Err(failure) if failure.exit == Exit::Unexpected => Err(failure),
        Err(failure) => {
            context
                .printer
                .narrate(&format!("guards: {}", failure.message));
            Ok(())
        }
    }
}

async fn all(
    context: &Context,
    journal: &Journal,
    performer: &Performer,
    but: Option<Vmid>,
) -> Result<Vec<GuardReport>, Failure> {
    let mut open = guards(journal).await?;
    open.retain(|guard| Some(guard.vmid()) != but);
    if open.is_empty() {
        return Ok(Vec::new());
    }
    let busy = busy(journal).await?;
    open.retain(|guard| !busy.contains(&guard.vmid()));
    let policy = &performer.config().guard;
    let now = observe::clocks(performer.remotes().of(Principal::Agent))
        .await
        .map_err(|Trouble(error)| engine_failure(&error))?;
    let mut reports = Vec::new();
    for (guard, standing) in list::judged(open, policy, &now) {
        let Some(job) = due_job(guard, standing.due, policy) else {
            continue;
        };
        context
            .printer
            .narrate(&format!("settle the guard of guest {}", job.vmid()));
        let job = super::job(jobs::new_job_id()?, job);
        let job = jobs::perform(context, journal, performer, job).await?;
        if let JobKind::Guard(guard) = &job.kind {
            reports.extend(guard.report().cloned());
        }
    }
    Ok(reports)
}

fn due_job(guard: OpenGuard, due: GuardDue, policy: &GuardPolicy) -> Option<GuardJob> {
    match due {
        GuardDue::Nothing => None,
        GuardDue::Rollback => Some(GuardJob::expire(guard, policy.clone())),
        GuardDue::Remove(end) => Some(GuardJob::remove(guard, end, policy.clone())),
    }
}
