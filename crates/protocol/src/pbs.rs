//! The record of one backup snapshot on a Proxmox Backup Server, as the agent keeps and tells it.

use felhom_ids::{BackupGroup, BackupSnapshot, BackupType, KeyFingerprint, Namespace, Upid};
use serde::{Deserialize, Serialize};

use crate::document::{Document, DocumentError};

/// Bytes of the longest owner that a server writes: a user id of 64 and a token's name of as many.
const LONGEST_OWNER: usize = 160;

/// One backup snapshot, as a look at its server showed it.
///
/// Nothing in it is a promise of the server's that was not held against the list: see [`Self::is_backup`] before counting
/// it, and the age of `verified_at` before believing `verify_state`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotRecord {
    /// The namespace; the root is the empty text.
    #[serde(default)]
    pub namespace: Namespace,
    /// What sort of thing it is of.
    pub backup_type: BackupType,
    /// Which one: a VMID, or the name of a host.
    pub backup_id: String,
    /// When it was begun, in seconds since 1970 by the clock of the box; a part of its name.
    pub backup_time: i64,
    /// Bytes of what was backed up, before the server takes out what it has already; `None` while it is in progress, and
    /// when its manifest cannot be read.
    #[serde(default)]
    pub size_bytes: Option<u64>,
    /// Whose it is: a token's id as a rule.
    #[serde(default)]
    pub owner: Option<String>,
    /// Whether the server refuses to delete it.
    #[serde(default)]
    pub protected: bool,
    /// Files beyond the manifest.
    #[serde(default)]
    pub data_files: u64,
    /// Derived from the `crypt-mode` of every data file.
    pub encrypted: Encryption,
    /// The key it was made with, as the manifest names it.
    #[serde(default)]
    pub key_fingerprint: Option<KeyFingerprint>,
    /// What the server's last verify of it said.
    pub verify_state: VerifyState,
    /// When that verify was begun, in seconds since 1970 by the clock of the server.
    #[serde(default)]
    pub verified_at: Option<i64>,
    /// The task that verified it.
    #[serde(default)]
    pub verify_upid: Option<Upid>,
    /// Whether it has no manifest yet: somebody writes it, or stopped half-way.
    #[serde(default)]
    pub in_progress: bool,
}

/// What the `crypt-mode` of all data files comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encryption {
    /// `encrypt`, of each.
    Encrypted,
    /// `sign-only`, of each: whoever has the server reads them.
    SignOnly,
    /// `none`, of each: whoever has the server reads and changes them.
    Plain,
    /// Not the same of each.
    Mixed,
    /// There are no data files, or nobody said.
    Unknown,
}

/// What the server's list says of the last verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VerifyState {
    /// It found nothing wrong.
    Ok,
    /// It found damage.
    Failed,
    /// There was none.
    None,
}

impl SnapshotRecord {
    /// Whether it counts as a backup: it is finished and there is something in it.
    pub fn is_backup(&self) -> bool {
        !self.in_progress && self.data_files > 0
    }

    /// Its name within the namespace; `None` when the record was not checked.
    pub fn snapshot(&self) -> Option<BackupSnapshot> {
        let group = BackupGroup::new(self.backup_type, &self.backup_id).ok()?;
        BackupSnapshot::new(group, self.backup_time).ok()
    }

    /// A name for messages.
    fn told(&self) -> String {
        self.snapshot()
            .map_or_else(|| "snapshot".to_owned(), |name| name.to_string())
    }
}

impl Document for SnapshotRecord {
    const SCHEMA: &'static str = "felhom.pbs-snapshot";
    const VERSION: u64 = 1;

    fn checked(self) -> Result<Self, DocumentError> {
        let malformed = |why: &str| DocumentError::Malformed {
            schema: Self::SCHEMA,
            why: format!("{}: {why}", self.told()),
        };
        if self.snapshot().is_none() {
            return Err(malformed("`backup_id` or `backup_time` is none"));
        }
        if let Some(owner) = self.owner.as_ref().filter(|o| o.len() > LONGEST_OWNER) {
            return Err(DocumentError::TooMuch {
                what: format!("{}: its owner", self.told()),
                found: owner.len(),
                unit: "bytes",
                limit: LONGEST_OWNER,
            });
        }
        if (self.verify_state == VerifyState::None) != self.verify_upid.is_none()
            || self.verify_upid.is_none() && self.verified_at.is_some()
        {
            return Err(malformed(
                "a state of a verify names its task, and no state names none",
            ));
        }
        if self.in_progress && self.verify_state == VerifyState::Ok {
            return Err(malformed("what is in progress is not verified"));
        }
        if self.data_files == 0 && self.encrypted != Encryption::Unknown {
            return Err(malformed("without data files nothing is encrypted or not"));
        }
        Ok(self)
    }
}
