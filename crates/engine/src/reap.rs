//! Removing what an earlier job left, by the same proof as the job itself.

use felhom_ids::{Upid, Vmid};
use serde::{Deserialize, Serialize};

use crate::finding::Finding;
use crate::job::Next;
use crate::mark::Mark;
use crate::outcome::Outcome;
use crate::policy::RestoreTestPolicy;
use crate::scratch::{CleanUp, CleanUpEnd, Earlier};
use crate::time::Timestamp;

/// What is known of a scratch guest that a job may have left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leftover {
    /// What its description carries.
    pub mark: Mark,
    /// The task that restored it, where it is known.
    pub restore: Option<Upid>,
    /// The last task that was to destroy it, where there was one.
    pub destroy: Option<Upid>,
    /// The tasks of the VMID that were there before these.
    #[serde(default)]
    pub earlier: Earlier,
}

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
    leftover: Leftover,
    clean_up: CleanUp,
    findings: Vec<Finding>,
}

impl ReapJob {
    /// Reaps what a job may have left.
    pub fn new(policy: &RestoreTestPolicy, leftover: Leftover) -> Self {
        let clean_up = CleanUp::new(policy, leftover.mark.clone(), leftover.restore.clone())
            .after_destroy(leftover.destroy.clone())
            .later_than(leftover.earlier.clone());
        Self {
            leftover,
            clean_up,
            findings: Vec::new(),
        }
    }

    /// The scratch VMID.
    pub fn vmid(&self) -> Vmid {
        self.leftover.mark.vmid
    }

    /// What is still to be known, when something is left.
    pub fn leftover(&self) -> Leftover {
        Leftover {
            destroy: self.clean_up.destroy_task().cloned(),
            earlier: self.clean_up.earlier().clone(),
            ..self.leftover.clone()
        }
    }

    pub(crate) fn next(&self, now: Timestamp) -> Next {
        self.clean_up.next(now)
    }

    pub(crate) fn record(&mut self, now: Timestamp, outcome: Outcome) {
        self.clean_up.record(now, outcome);
        if let Some(CleanUpEnd::LeftBehind(finding) | CleanUpEnd::GoneUnseen(finding)) =
            self.clean_up.ended()
        {
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
            vmid: self.leftover.mark.vmid,
            gone: matches!(end, CleanUpEnd::Gone | CleanUpEnd::GoneUnseen(_)),
            findings: self.findings.clone(),
        })
    }
}
