//! The record of one backup.

use felhom_ids::{Upid, Vmid, VolumeId};
use serde::{Deserialize, Serialize};

use crate::finding::Finding;
use crate::inclusion::MountProof;
use crate::outcome::ErrorClass;
use crate::policy::BackupMode;
use crate::volumes::VolumeProof;
use crate::vzdump_log::Freeze;
use crate::world::{ArchiveContent, ArchivedVolume, GuestFingerprint};

/// How a backup ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackupVerdict {
    /// Done, and what is in it is what should be.
    Good,
    /// Not done, or not what it should be.
    Failed,
    /// Not begun, for a reason of ours or of the server's.
    Refused,
    /// Nobody can say.
    Undetermined,
}

impl BackupVerdict {
    /// The word that journals and tables use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Undetermined => "undetermined",
        }
    }
}

/// What state the data was in when it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Consistency {
    /// As after a power cut: a container cannot freeze its file systems for its applications, and a virtual machine's agent
    /// freezes file systems, not applications.
    Crash,
    /// The guest was stopped.
    Stopped,
    /// The applications were quiesced.
    Application,
}

/// The record of one backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupReport {
    /// The guest.
    pub vmid: Vmid,
    /// Its name.
    pub name: Option<String>,
    /// How it ended.
    pub verdict: BackupVerdict,
    /// What kind of refusal, when it was refused by a remote.
    pub refusal: Option<ErrorClass>,
    /// Why it is not good, most important first.
    pub reasons: Vec<String>,
    /// The archive.
    pub volid: Option<VolumeId>,
    /// Its bytes on the storage.
    pub size: Option<u64>,
    /// Seconds since the epoch, as PVE reads them from the archive's name.
    pub ctime: Option<i64>,
    /// The vzdump task.
    pub upid: Option<Upid>,
    /// How long the task took, by a monotonic clock.
    pub task_ms: u64,
    /// The mode that was asked for.
    pub requested_mode: BackupMode,
    /// The mode that vzdump used.
    pub actual_mode: Option<String>,
    /// What state the data was in.
    pub consistency: Option<Consistency>,
    /// What became of holding a virtual machine's file systems still. It does not make `consistency` any better: nobody tells
    /// whether its applications took part.
    #[serde(default)]
    pub freeze: Option<Freeze>,
    /// The three witnesses, by mount point.
    pub inclusion: Vec<MountProof>,
    /// The three witnesses, by Docker volume; empty when nobody told of any.
    #[serde(default)]
    pub volumes: Vec<VolumeProof>,
    /// Why the archive itself is no witness; `None` when it was read to its end.
    #[serde(default)]
    pub unproven: Option<String>,
    /// What was read from the archive itself.
    pub content: Option<ArchiveContent>,
    /// Docker volumes as they lie in the archive.
    pub docker_volumes: Vec<ArchivedVolume>,
    /// Who the guest is.
    pub fingerprint: GuestFingerprint,
    /// What a person should know.
    pub findings: Vec<Finding>,
}
