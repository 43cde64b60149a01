//! What a verify job is asked for, and what it answers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use felhom_ids::{BackupGroup, BackupSnapshot};
use serde::{Deserialize, Serialize};

use super::facts::{Sight, Target};
use super::verdict::{SnapshotVerdict, VerifyVerdict};
use crate::finding::Finding;
use crate::outcome::ErrorClass;
use crate::time::Timestamp;

/// Which snapshots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wanted {
    /// These, in this order, whenever they were verified last.
    Named(Vec<BackupSnapshot>),
    /// All backups of one group, newest first.
    Group(BackupGroup),
    /// What is due by age.
    Due {
        /// After how long a state is no longer believed.
        outdated_after: Duration,
        /// How many at most.
        most: usize,
    },
}

/// When verifies may begin. One that has begun is left to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// From when on.
    pub opens: Timestamp,
    /// For how long.
    pub lasts: Duration,
}

impl Window {
    /// Whether one may begin now.
    pub fn is_open(&self, now: Timestamp) -> bool {
        now >= self.opens && now < self.opens.plus(self.lasts)
    }
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyRequest {
    /// Where the snapshots are.
    pub target: Target,
    /// Which.
    pub wanted: Wanted,
    /// When verifies may begin; `None` for at any time.
    pub window: Option<Window>,
    /// Chunks that earlier jobs found damaged, and the snapshots that needed them.
    pub known_damage: BTreeMap<String, BTreeSet<BackupSnapshot>>,
    /// How long a task may show neither a new log line nor an end. A server writes none while it reads one index, so this
    /// must be longer than reading the largest disk takes.
    pub no_progress: Duration,
    /// How long "there is no such task" must hold before it counts.
    pub settle: Duration,
}

/// The record of one job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyReport {
    /// Where the snapshots are.
    pub target: Target,
    /// The verdicts, in the order in which they were asked for.
    pub verdicts: Vec<SnapshotVerdict>,
    /// What was due and not begun.
    pub left: Vec<BackupSnapshot>,
    /// Why it ended early.
    pub reason: Option<String>,
    /// What kind of trouble the remote gave.
    pub trouble: Option<ErrorClass>,
    /// What the token sees of the list.
    pub sight: Sight,
    /// What a person should know.
    pub findings: Vec<Finding>,
}

impl VerifyReport {
    /// Whether everything that was to be verified passed. Nothing at all is not everything.
    pub fn passed(&self) -> bool {
        let verdicts = &self.verdicts;
        self.left.is_empty()
            && self.trouble.is_none()
            && !verdicts.is_empty()
            && verdicts
                .iter()
                .all(|one| one.verdict == VerifyVerdict::Passed)
    }

    /// How many have this verdict.
    pub fn count(&self, verdict: VerifyVerdict) -> usize {
        let verdicts = self.verdicts.iter();
        verdicts.filter(|one| one.verdict == verdict).count()
    }
}
