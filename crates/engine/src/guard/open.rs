//! A guard as the journal keeps it: an open promise, until it is confirmed, rolled back, or removed.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use felhom_ids::{SnapshotName, Upid, Vmid};
use serde::{Deserialize, Serialize};

use super::age::Reading;
use crate::mark::Mark;
use crate::world::SnapshotFacts;

/// What happens to a guard that nobody confirmed in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnExpiry {
    /// The guest is rolled back.
    Rollback,
    /// The snapshot stays, and a finding says so.
    Keep,
}

/// What happens to a kept snapshot that becomes too old.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnMaxAge {
    /// It is deleted: nothing of the present state is lost by that.
    Delete,
    /// A finding says so.
    Finding,
}

/// The text is none of the policies.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is neither {choices}")]
pub struct ParsePolicyError {
    text: String,
    choices: &'static str,
}

impl FromStr for OnExpiry {
    type Err = ParsePolicyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "rollback" => Ok(Self::Rollback),
            "keep" => Ok(Self::Keep),
            other => Err(ParsePolicyError {
                text: other.to_owned(),
                choices: "`rollback` nor `keep`",
            }),
        }
    }
}

impl FromStr for OnMaxAge {
    type Err = ParsePolicyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "delete" => Ok(Self::Delete),
            "finding" => Ok(Self::Finding),
            other => Err(ParsePolicyError {
                text: other.to_owned(),
                choices: "`delete` nor `finding`",
            }),
        }
    }
}

impl fmt::Display for OnExpiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rollback => "rollback",
            Self::Keep => "keep",
        })
    }
}

/// How guards are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardPolicy {
    /// What happens to a guard that nobody confirmed in time, unless its command says otherwise.
    pub on_expiry: OnExpiry,
    /// How old an unconfirmed snapshot may become.
    pub max_age: Duration,
    /// What happens then.
    pub on_max_age: OnMaxAge,
    /// Percent of a storage that must be free when a snapshot is made on it.
    pub storage_percent: u8,
    /// Percent of a thin pool's metadata that must be free.
    pub metadata_percent: u8,
    /// How long a task may show neither a new log line nor an end.
    pub no_progress: Duration,
    /// How long "there is no such task" must hold before it counts.
    pub settle: Duration,
}

/// How far a guard is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GuardPhase {
    /// It can be confirmed or rolled back to.
    Open,
    /// Nobody can say whether it was rolled back, or how far a rollback came: only a person goes on from here.
    Doubtful,
    /// It has ended; only its snapshot is still to be removed.
    Removing(GuardEnd),
}

/// How a guard's job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GuardEnd {
    /// The snapshot is there, the promise stands.
    Opened,
    /// Nothing was done.
    Refused,
    /// There is no snapshot to go back to, and none is left behind.
    Failed,
    /// A person is content.
    Confirmed,
    /// The guest is as it was when the snapshot was made.
    RolledBack,
    /// The snapshot became too old.
    Outlived,
    /// The snapshot is no longer there, or no longer ours: the promise cannot be kept.
    Gone,
    /// It could not be done; the guard stands as before.
    Unchanged,
    /// Nobody can say whether the guest was rolled back.
    Undetermined,
}

impl GuardEnd {
    /// The word that journals and tables use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Confirmed => "confirmed",
            Self::RolledBack => "rolled-back",
            Self::Outlived => "outlived",
            Self::Gone => "gone",
            Self::Unchanged => "unchanged",
            Self::Undetermined => "undetermined",
        }
    }
}

/// A guard that has not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenGuard {
    /// Who made it: the snapshot's description carries this.
    pub mark: Mark,
    /// The snapshot.
    pub snapshot: SnapshotName,
    /// The task that made the snapshot, where it is known: a list of tasks that still holds it holds every later one.
    pub made_by: Option<Upid>,
    /// When the promise was made.
    pub begun: Reading,
    /// How long it stands.
    pub confirm_within: Duration,
    /// What happens afterwards.
    pub on_expiry: OnExpiry,
    /// Whether the guest ran.
    pub ran: bool,
    /// The keys of its volumes.
    pub volumes: BTreeSet<String>,
    /// Volumes that a rollback takes back though no backup holds them: key and path.
    pub beyond_backup: Vec<String>,
    /// Rollbacks of the guest that are known, and did nothing to it since the snapshot.
    pub rollbacks: BTreeSet<Upid>,
    /// How far it is.
    pub phase: GuardPhase,
}

impl OpenGuard {
    /// The guest.
    pub fn vmid(&self) -> Vmid {
        self.mark.vmid
    }

    /// The snapshot of this name in a list.
    pub(super) fn find<'a>(&self, all: &'a [SnapshotFacts]) -> Option<&'a SnapshotFacts> {
        all.iter().find(|one| one.name == self.snapshot)
    }

    /// Whether a snapshot is the one that this guard made.
    pub(super) fn owns(&self, snapshot: &SnapshotFacts) -> bool {
        let found = snapshot.description.as_deref().and_then(Mark::find);
        snapshot.name == self.snapshot && found.as_ref() == Some(&self.mark)
    }
}
