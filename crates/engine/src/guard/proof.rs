//! Whether a rollback that did not end well did anything. A second one would destroy what was done since the first, so
//! "it did not happen" has to be proven.

use std::collections::BTreeSet;

use felhom_ids::Upid;
use serde::{Deserialize, Serialize};

use super::open::OpenGuard;
use crate::world::{GuardSubject, GuestState};

/// The guest right before the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Before {
    pub(super) state: GuestState,
    /// Rollbacks that were listed.
    pub(super) rollbacks: BTreeSet<Upid>,
}

/// How the attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Attempt {
    /// The answer was lost, and no task of ours was found.
    Lost(String),
    /// Its task failed, with PVE's words.
    Failed(String),
    /// Its task ended nobody knows how.
    Unknown(String),
}

impl Attempt {
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Lost(text) | Self::Failed(text) | Self::Unknown(text) => text,
        }
    }
}

/// The rollbacks among the tasks of the guest.
pub(super) fn rollbacks(tasks: &BTreeSet<Upid>) -> BTreeSet<Upid> {
    let own = tasks.iter().filter(|upid| upid.kind() == "vzrollback");
    own.cloned().collect()
}

/// Whether it is proven that the rollback changed nothing; otherwise why that cannot be said.
///
/// PVE stops a running container before it touches the first volume, and writes `lock: rollback` before that and removes it
/// with the last write (pve-guest-common AbstractConfig.pm `snapshot_rollback`).
pub(super) fn nothing_happened(
    guard: &OpenGuard,
    before: &Before,
    attempt: &Attempt,
    subject: &GuardSubject,
) -> Result<(), String> {
    if subject.config.lock.as_deref() == Some("rollback") {
        return Err("the guest is locked (rollback): a rollback was cut off".to_owned());
    }
    // The same init as before, for longer than before: it was never stopped.
    let same_pid = before.state.pid.is_some() && before.state.pid == subject.state.pid;
    if same_pid && subject.state.uptime_s >= before.state.uptime_s {
        return Ok(());
    }
    match attempt {
        Attempt::Failed(text) if !guard.ran || was_refused_early(text) => Ok(()),
        Attempt::Lost(_) => no_task(guard, before, subject),
        Attempt::Failed(_) | Attempt::Unknown(_) => {
            Err("the guest was stopped meanwhile".to_owned())
        }
    }
}

/// Whether the list of tasks reaches back to the one that made the snapshot. One that does not has forgotten tasks, and that a
/// rollback is not in it proves nothing.
pub(super) fn reaches_back(guard: &OpenGuard, subject: &GuardSubject) -> bool {
    let made_by = guard.made_by.as_ref();
    made_by.is_some_and(|upid| subject.tasks.contains(upid))
}

/// No rollback is listed that was not listed before, and the list reaches back to the task that made the snapshot.
fn no_task(guard: &OpenGuard, before: &Before, subject: &GuardSubject) -> Result<(), String> {
    if !reaches_back(guard, subject) {
        return Err("the server no longer lists tasks as old as the snapshot".to_owned());
    }
    match rollbacks(&subject.tasks)
        .difference(&before.rollbacks)
        .next()
    {
        Some(upid) => Err(format!("`{upid}` may be ours")),
        None => Ok(()),
    }
}

/// What `snapshot_rollback` says before it changes anything (pve-guest-common AbstractConfig.pm, pve-storage
/// `volume_rollback_is_possible`, pve-container API2/LXC/Snapshot.pm). A failure after that leaves the lock, or is one of
/// the start that follows.
fn was_refused_early(text: &str) -> bool {
    [
        "does not exist",
        "is not most recent snapshot",
        "incomplete snapshot",
        "Failed to obtain guest migration lock",
        "can't lock file",
        "if vm is a template",
    ]
    .iter()
    .any(|known| text.contains(known))
}
