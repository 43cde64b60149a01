//! `snapshot guard`, `snapshot list`, `snapshot settle`.

mod guard;
mod list;
mod settle;
mod text;

use std::collections::BTreeSet;

use clap::{Args, Subcommand};
use felhom_engine::{GuardJob, Job, JobId, JobKind, OpenGuard, Reading};
use felhom_ids::Vmid;

use super::context::{Context, journal_failure};
use super::jobs;
use crate::exit::{Exit, Failure};
use crate::journal::Journal;

pub(super) use list::{lines, view};
pub(super) use settle::due;

#[derive(Debug, Subcommand)]
pub(super) enum SnapshotCommand {
    /// Snapshot a guest before a change; confirm the change, or roll it back.
    Guard(GuardArgs),
    /// Guards that are still open, and how long each has left.
    List,
    /// Do what is due: roll back or remove what nobody confirmed in time, as each guard was begun. For a timer.
    Settle {
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, Args)]
pub(super) struct GuardArgs {
    /// The guest.
    vmid: String,
    #[command(subcommand)]
    action: GuardAction,
}

#[derive(Debug, Subcommand)]
enum GuardAction {
    /// Snapshot the guest; refused when that is not possible.
    Begin(BeginArgs),
    /// The change is good: remove the snapshot.
    Confirm {
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
    },
    /// The change is bad: roll the guest back, then remove the snapshot.
    Abort {
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, Args)]
struct BeginArgs {
    /// How long the change may take, such as `15m`.
    #[arg(long, value_name = "TIME")]
    confirm_within: String,
    /// `rollback` or `keep`, instead of `snapshot-guard.on_expiry`.
    #[arg(long, value_name = "WHAT")]
    on_expiry: Option<String>,
    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(context: &Context, command: SnapshotCommand) -> Result<Exit, Failure> {
    match command {
        SnapshotCommand::Guard(args) => guard::run(context, &args).await,
        SnapshotCommand::List => list::list(context).await,
        SnapshotCommand::Settle { dry_run } => settle::settle(context, dry_run).await,
    }
}

fn job(id: JobId, guard: GuardJob) -> Job {
    Job {
        id,
        created: jobs::now(),
        kind: JobKind::Guard(Box::new(guard)),
    }
}

async fn guards(journal: &Journal) -> Result<Vec<OpenGuard>, Failure> {
    journal
        .guards()
        .await
        .map_err(|error| journal_failure(&error))
}

async fn guard_of(journal: &Journal, vmid: Vmid) -> Result<Option<OpenGuard>, Failure> {
    let all = guards(journal).await?;
    Ok(all.into_iter().find(|guard| guard.vmid() == vmid))
}

/// The guests of guards that an interrupted job still works on: nobody else decides about them.
async fn busy(journal: &Journal) -> Result<BTreeSet<Vmid>, Failure> {
    let unfinished = journal
        .unfinished()
        .await
        .map_err(|error| journal_failure(&error))?;
    let own = unfinished.into_iter().filter_map(|one| match one.job.kind {
        JobKind::Guard(guard) => Some(guard.vmid()),
        JobKind::RestoreRun(_)
        | JobKind::Backup(_)
        | JobKind::RestoreTest(_)
        | JobKind::Reap(_)
        | JobKind::Exercise(_)
        | JobKind::Prune(_)
        | JobKind::Verify(_)
        | JobKind::Golden(_) => None,
    });
    Ok(own.collect())
}

/// For where the server does not say what time it is.
fn ours_only() -> Reading {
    Reading {
        ours: jobs::now(),
        ..Reading::default()
    }
}
