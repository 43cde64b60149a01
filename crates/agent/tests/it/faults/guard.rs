//! Which ends are due for guards, and what must be true of their snapshots.

use felhom_agent::progress::Silent;
use felhom_agent::runner::Runner;
use felhom_engine::*;

use super::oracle::End;
use super::trouble::Trouble;
use crate::support::*;

/// A rollback that did not end well is never said to have ended well, and a confirmed guard is confirmed whatever its snapshot
/// does.
pub(super) fn due(trouble: Trouble, step: &str) -> &'static [End] {
    use End::{CouldNot, Right, Undetermined};
    match trouble {
        // A guard is not rolled back by itself while the clocks differ.
        Trouble::ClockBack if step == "observe-guard-subject" => &[Right, CouldNot],
        Trouble::TaskKilled
        | Trouble::UnexpectedStatus
        | Trouble::UnexpectedStatusAfterwards
        | Trouble::Reboot
        | Trouble::StaleLock => match step {
            "rollback" => &[CouldNot, Undetermined],
            "delete-snapshot" => &[Right],
            _ => &[CouldNot],
        },
        other => super::oracle::due(other, step),
    }
}

/// A snapshot of a guard that is left stands in the journal, and a confirmation ends it.
pub(super) async fn told_and_ended(job: &Job, bench: &Bench) -> Result<(), String> {
    let JobKind::Guard(guard) = &job.kind else {
        return Ok(());
    };
    let journal = bench.journal().await;
    let open = journal.guards().await.map_err(|error| error.to_string())?;
    let snapshots = guard_snapshots(bench, guard.vmid().get());
    // Whether a snapshot is gone cannot be seen while nobody answers: then the journal keeps its name.
    let unseen = open
        .iter()
        .all(|one| matches!(one.phase, GuardPhase::Removing(_)));
    if open.len() < snapshots || (open.len() > snapshots && !unseen) {
        return Err(format!(
            "{snapshots} snapshots, and the journal knows {open:?}"
        ));
    }
    let Some(one) = open.into_iter().next() else {
        return Ok(());
    };
    settled(bench).await;
    let performer = bench.performer();
    let runner = Runner {
        journal: &journal,
        performer: &performer,
        progress: &Silent,
    };
    let confirm = Job {
        id: JobId::from_bits(7),
        ..guard_job(bench, one, GuardJob::confirm)
    };
    let ended = runner
        .start(confirm)
        .await
        .map_err(|error| error.to_string())?;
    if guard_snapshots(bench, guard.vmid().get()) == 0 {
        return Ok(());
    }
    Err(format!(
        "a confirmation leaves the snapshot: {:?}",
        ended.kind
    ))
}
