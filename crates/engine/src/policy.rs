//! What was asked for: where backups go, where copies may be restored to, and what must never be used up.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use felhom_ids::{BridgeName, PoolId, StorageId, Vmid};
use serde::{Deserialize, Serialize};

use crate::evidence::EvidenceLevel;
use crate::headroom::Floors;

/// vzdump's modes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackupMode {
    /// From a storage snapshot; the guest runs on.
    Snapshot,
    /// Two syncs of the live guest, frozen for the second.
    Suspend,
    /// The guest is stopped for the whole backup.
    Stop,
}

impl fmt::Display for BackupMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Snapshot => "snapshot",
            Self::Suspend => "suspend",
            Self::Stop => "stop",
        })
    }
}

/// The text is no vzdump mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no backup mode; expected `snapshot`, `suspend` or `stop`")]
pub struct ParseBackupModeError(String);

impl FromStr for BackupMode {
    type Err = ParseBackupModeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "snapshot" => Ok(Self::Snapshot),
            "suspend" => Ok(Self::Suspend),
            "stop" => Ok(Self::Stop),
            other => Err(ParseBackupModeError(other.to_owned())),
        }
    }
}

/// How backups are made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupPolicy {
    /// Where they go.
    pub storage: StorageId,
    /// The mode that is asked for; PVE may use another one.
    pub mode: BackupMode,
    /// How long to wait for a lock or another vzdump before giving up.
    pub wait_limit: Duration,
    /// vzdump's `lockwait` in minutes: small, because a waiting task looks like a running one.
    pub lockwait_min: u32,
    /// How long a task may show neither a new log line nor an end.
    pub no_progress: Duration,
    /// How long "there is no such task" must hold before it counts; longer than PVE's own locks.
    pub settle: Duration,
    /// Free bytes that the storage must keep.
    pub storage_floor: u64,
}

/// How restore tests are made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreTestPolicy {
    /// Lowest scratch VMID.
    pub first_vmid: Vmid,
    /// Highest scratch VMID.
    pub last_vmid: Vmid,
    /// The pool that gives the restore-test principal its rights.
    pub pool: PoolId,
    /// A bridge without ports and without an address.
    pub bridge: BridgeName,
    /// Where copies are restored to.
    pub target: StorageId,
    /// The most memory a copy gets, in MiB; the archived value when that is less.
    pub memory_mib: u64,
    /// The most cores a copy gets.
    pub cores: u32,
    /// What `passed` needs.
    pub evidence: EvidenceLevel,
    /// How long the copy must stay up.
    pub stable_for: Duration,
    /// How long to wait for the evidence.
    pub evidence_timeout: Duration,
    /// What must stay free.
    pub floors: Floors,
    /// How long to wait for another vzdump before giving up.
    pub wait_limit: Duration,
    /// How long a task may show neither a new log line nor an end.
    pub no_progress: Duration,
    /// How long "there is no such task" must hold before it counts.
    pub settle: Duration,
}

impl RestoreTestPolicy {
    /// The scratch range.
    pub fn range(&self) -> RangeInclusive<Vmid> {
        self.first_vmid..=self.last_vmid
    }
}
