//! Removing what an earlier job left, by the same proof as the job itself.

use felhom_ids::{Upid, Vmid};
use serde::{Deserialize, Serialize};

use crate::finding::Finding;
use crate::job::Next;
use crate::mark::Mark;
use crate::outcome::Outcome;
use crate::policy::RestoreTestPolicy;
use crate::scratch::{CleanUp, CleanUpEnd};
use crate::time::Timestamp;

/// How a reap ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReapReport {
    /// The scratch VMID.
    pub vmid: Vmid,
    /// Whether nothing is left of it.
    pub gone: bool,
    /// What is left, and what to do about it.
    pub findings: Vec<Finding>,
}

/// The clean-up of one scratch VMID as a job of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReapJob {
    mark: Mark,
    restore: Option<Upid>,
    clean_up: CleanUp,
    findings: Vec<Finding>,
}

impl ReapJob {
    /// Reaps what the job of this mark made, by the restore task where it is known.
    pub fn new(policy: &RestoreTestPolicy, mark: Mark, restore: Option<Upid>) -> Self {
        let clean_up = CleanUp::new(policy, mark.clone(), restore.clone());
        Self {
            mark,
            restore,
            clean_up,
            findings: Vec::new(),
        }
    }

    /// The scratch VMID.
    pub fn vmid(&self) -> Vmid {
        self.mark.vmid
    }

    /// The mark of the job whose remains are removed.
    pub fn mark(&self) -> &Mark {
        &self.mark
    }

    /// The restore task that made it, where it is known.
    pub fn restore(&self) -> Option<&Upid> {
        self.restore.as_ref()
    }

    pub(crate) fn next(&self, now: Timestamp) -> Next {
        self.clean_up.next(now)
    }

    pub(crate) fn record(&mut self, now: Timestamp, outcome: Outcome) {
        self.clean_up.record(now, outcome);
        if let Some(CleanUpEnd::LeftBehind(finding)) = self.clean_up.ended() {
            self.findings = vec![finding.clone()];
        }
    }

    pub(crate) fn resume(&mut self) {
        self.clean_up.resume();
    }

    pub(crate) fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// How it ended, when it has.
    pub fn report(&self) -> Option<ReapReport> {
        let end = self.clean_up.ended()?;
        Some(ReapReport {
            vmid: self.mark.vmid,
            gone: matches!(end, CleanUpEnd::Gone),
            findings: self.findings.clone(),
        })
    }
}
