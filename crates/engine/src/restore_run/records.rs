//! What is asked of a restore, and what is kept of it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use felhom_ids::{GuestKind, StorageId, Upid, Vmid, VolumeId};
use serde::{Deserialize, Serialize};

use crate::finding::Finding;
use crate::headroom::Floors;
use crate::job::JobId;
use crate::mark::InstallationId;
use crate::outcome::ErrorClass;
use crate::policy::RestoreTestPolicy;
use crate::restore_run::plan::{Lacking, RestoreRunPlan};

/// Who the restored guest is to the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Identity {
    /// Somebody else than the original: new MAC addresses, another host name, no start with the node.
    Fresh,
    /// The original itself.
    Keep,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fresh => "fresh",
            Self::Keep => "keep",
        })
    }
}

/// The text is no identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no identity; expected `fresh` or `keep`")]
pub struct ParseIdentityError(String);

impl FromStr for Identity {
    type Err = ParseIdentityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "fresh" => Ok(Self::Fresh),
            "keep" => Ok(Self::Keep),
            other => Err(ParseIdentityError(other.to_owned())),
        }
    }
}

/// How restores are made: what must stay free, and how long what is waited for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreRunPolicy {
    /// Lowest VMID of the scratch range, in which no guest is restored for real.
    pub first_scratch: Vmid,
    /// Highest VMID of it.
    pub last_scratch: Vmid,
    /// What must stay free.
    pub floors: Floors,
    /// How long a task may show neither a new log line nor an end.
    pub no_progress: Duration,
    /// How long "there is no such task" must hold before it counts.
    pub settle: Duration,
}

impl From<&RestoreTestPolicy> for RestoreRunPolicy {
    fn from(policy: &RestoreTestPolicy) -> Self {
        Self {
            first_scratch: policy.first_vmid,
            last_scratch: policy.last_vmid,
            floors: policy.floors.clone(),
            no_progress: policy.no_progress,
            settle: policy.settle,
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "choices of the command line, each by itself"
)]
pub struct RestoreRunRequest {
    /// The archive.
    pub volid: VolumeId,
    /// The VMID that the guest gets; it must be free.
    pub to: Vmid,
    /// Who the guest will be.
    pub identity: Identity,
    /// Its host name, with a fresh identity; the old one with `-restored` where nobody says.
    pub hostname: Option<String>,
    /// Where its volumes go; each where it was before when nobody says.
    pub storage: Option<StorageId>,
    /// Leave volumes out that would be made anew and empty.
    pub without_empty: bool,
    /// Put the link of every interface down.
    pub link_down: bool,
    /// Start it when it is as planned.
    pub start: bool,
    /// Whose journal this is in.
    pub installation: InstallationId,
    /// This job.
    pub job: JobId,
    /// How.
    pub policy: RestoreRunPolicy,
    /// Bytes that the archive unpacks to, where an earlier proof tells.
    pub content_bytes: Option<u64>,
    /// Whether the archive has to be a golden one, and the guest able to run Docker.
    #[serde(default)]
    pub golden: bool,
}

impl RestoreRunRequest {
    /// What the archive is of.
    pub fn kind(&self) -> GuestKind {
        self.volid
            .backup()
            .map_or_else(GuestKind::default, |backup| backup.kind)
    }
}

/// How a restore ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestoreEnd {
    /// The guest is there, as planned.
    Restored,
    /// The guest is there, and not as planned. It was not started.
    Differs,
    /// Nothing was begun.
    Refused,
    /// It was begun and did not come to its end.
    Failed,
}

impl RestoreEnd {
    /// The word that journals and tables use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Restored => "restored",
            Self::Differs => "differs",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for RestoreEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The record of one restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreRunReport {
    /// The archive.
    pub volid: VolumeId,
    /// The guest it is of.
    pub source: Option<Vmid>,
    /// The VMID that was asked for.
    pub to: Vmid,
    /// Who the guest was to be.
    pub identity: Identity,
    /// How it ended.
    pub end: RestoreEnd,
    /// Why, when it is not simply there.
    pub reasons: Vec<String>,
    /// What can be done about the reasons.
    pub hints: Vec<String>,
    /// Rights that the principal lacks, as far as that could be told.
    pub lacking: Vec<Lacking>,
    /// What kind of trouble a remote gave, when that decided it.
    pub trouble: Option<ErrorClass>,
    /// The plan.
    pub plan: Option<RestoreRunPlan>,
    /// What was compared after the restore, one line each.
    pub checks: Vec<String>,
    /// Whether the guest was started.
    pub started: bool,
    /// How long the restore task took.
    pub restore_ms: Option<u64>,
    /// How old the data was when the restore began, in seconds.
    pub data_age_s: Option<i64>,
    /// The restore task.
    pub restore_upid: Option<Upid>,
    /// The start task.
    pub start_upid: Option<Upid>,
    /// The task that destroyed what a failed restore had made.
    pub destroy_upid: Option<Upid>,
    /// Whether nothing of a restore that failed is left.
    pub nothing_left: bool,
    /// What a person should know.
    pub findings: Vec<Finding>,
}

impl RestoreRunReport {
    pub(super) fn new(request: &RestoreRunRequest) -> Self {
        Self {
            volid: request.volid.clone(),
            source: request.volid.guest(),
            to: request.to,
            identity: request.identity,
            end: RestoreEnd::Refused,
            reasons: Vec::new(),
            hints: Vec::new(),
            lacking: Vec::new(),
            trouble: None,
            plan: None,
            checks: Vec::new(),
            started: false,
            restore_ms: None,
            data_age_s: None,
            restore_upid: None,
            start_upid: None,
            destroy_upid: None,
            nothing_left: true,
            findings: Vec::new(),
        }
    }
}
