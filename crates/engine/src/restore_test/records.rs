//! What is asked of a restore test, and what is kept of it.

use felhom_ids::{Upid, Vmid, VolumeId};
use serde::{Deserialize, Serialize};

use crate::evidence::Evidence;
use crate::finding::Finding;
use crate::job::JobId;
use crate::judgement::Judgement;
use crate::mark::InstallationId;
use crate::outcome::ErrorClass;
use crate::policy::RestoreTestPolicy;
use crate::restore_test::plan::RestorePlan;
use crate::world::GuestFingerprint;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreTestRequest {
    /// The archive.
    pub volid: VolumeId,
    /// Whose journal this is in.
    pub installation: InstallationId,
    /// This job.
    pub job: JobId,
    /// Drawn by the agent; picks the addresses that only the guest's init can put on its interfaces.
    pub nonce: u64,
    /// How.
    pub policy: RestoreTestPolicy,
    /// Scratch VMIDs that other unfinished jobs hold.
    pub leased: Vec<Vmid>,
    /// Bytes that the archive unpacks to, where an earlier proof tells.
    pub content_bytes: Option<u64>,
}

/// The record of one restore test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreTestReport {
    /// The archive.
    pub volid: VolumeId,
    /// The guest it is of.
    pub source: Option<Vmid>,
    /// Who that guest was when the backup was made, by the configuration inside it: a guest that was given the same VMID
    /// later does not inherit the verdict.
    #[serde(default)]
    pub fingerprint: GuestFingerprint,
    /// Where it was restored to, if it came that far.
    pub scratch: Option<Vmid>,
    /// The verdict and why.
    pub judgement: Judgement,
    /// What kind of trouble a remote gave, when that decided it.
    pub trouble: Option<ErrorClass>,
    /// The plan.
    pub plan: Option<RestorePlan>,
    /// What the booted copy showed.
    pub evidence: Option<Evidence>,
    /// What was checked, one line each.
    pub checks: Vec<String>,
    /// From the restore request to the evidence, by a monotonic clock.
    pub rto_ms: Option<u64>,
    /// How long the restore task took.
    pub restore_ms: Option<u64>,
    /// How old the data was when the test began, in seconds.
    pub data_age_s: Option<i64>,
    /// The restore task.
    pub restore_upid: Option<Upid>,
    /// The start task.
    pub start_upid: Option<Upid>,
    /// The last task that was to destroy the copy.
    #[serde(default)]
    pub destroy_upid: Option<Upid>,
    /// Whether nothing of the copy is left.
    pub nothing_left: bool,
    /// Whether the verdict stands in the archive's notes.
    pub noted: bool,
    /// Whether the archive is protected because of this test or an earlier one of ours.
    #[serde(default)]
    pub protected: bool,
    /// Archives that earlier tests had protected and that may be deleted again.
    #[serde(default)]
    pub released: Vec<VolumeId>,
    /// What a person should know.
    pub findings: Vec<Finding>,
}
