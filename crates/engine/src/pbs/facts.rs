//! What is seen of a Proxmox Backup Server, in the engine's words.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use felhom_ids::{
    BackupGroup, BackupSnapshot, DatastoreName, KeyFingerprint, Namespace, StorageId, Upid,
};
use serde::{Deserialize, Serialize};

use crate::principal::Remote;
use crate::time::Timestamp;

/// The manifest; never encrypted, so that a server can read it.
pub(super) const MANIFEST: &str = "index.json.blob";
/// What the client said while it ran. It is in no manifest, and lists give it no `crypt-mode`.
pub(super) const CLIENT_LOG: &str = "client.log.blob";
/// The escrow copy: the key, encrypted to the master key.
pub(super) const ESCROW: &str = "rsa-encrypted.key.blob";

/// Where a storage of PVE leads. The storage's id names the remote, since a box may have several.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Target {
    /// The id under which PVE has it, and our configuration the token (`[pbs.<storage>]`).
    pub storage: StorageId,
    /// The datastore on the server.
    pub datastore: DatastoreName,
    /// The namespace in it.
    #[serde(default)]
    pub namespace: Namespace,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}", self.storage, self.datastore)?;
        if !self.namespace.is_root() {
            write!(f, "/{}", self.namespace)?;
        }
        f.write_str(")")
    }
}

impl Target {
    /// The server that it is on.
    pub fn remote(&self) -> Remote {
        Remote::Pbs(self.storage.clone())
    }

    /// The id of the task that verifies a snapshot, its escapes undone (`Upid::subject`). Seen on 3.2.4 for the root
    /// namespace; of others the server writes the path form `ns/a/ns/b` (proxmox-backup `src/api2/admin/datastore.rs`).
    pub(crate) fn verify_id(&self, snapshot: &BackupSnapshot) -> String {
        let namespace: Vec<String> = self
            .namespace
            .parts()
            .map(|part| format!("ns/{part}"))
            .collect();
        format!(
            "{}:{}/{}/{:08X}",
            self.datastore,
            namespace.join("/"),
            snapshot.group(),
            snapshot.time()
        )
    }
}

/// How one file of a snapshot is protected, as the manifest says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CryptMode {
    /// Not at all.
    None,
    /// Its checksum is signed; whoever has the server reads it.
    SignOnly,
    /// It is encrypted.
    Encrypt,
}

/// A file of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotFile {
    /// Its name: `root.pxar.didx`.
    pub name: String,
    /// Its bytes, where the manifest could be read.
    pub size: Option<u64>,
    /// How it is protected; `None` when the list does not say.
    pub crypt_mode: Option<CryptMode>,
}

impl SnapshotFile {
    /// Whether the guest's data is in it: it is neither manifest, nor log, nor escrow copy.
    pub fn is_data(&self) -> bool {
        ![MANIFEST, CLIENT_LOG, ESCROW].contains(&self.name.as_str())
    }
}

/// What the `crypt-mode` of all data files comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encryption {
    /// `encrypt`, of each.
    Encrypted,
    /// `sign-only`, of each.
    SignOnly,
    /// `none`, of each.
    Plain,
    /// Not the same of each.
    Mixed,
    /// There are no data files, or of one nobody said.
    Unknown,
}

impl Encryption {
    /// Of all files of a snapshot. Manifest, log and escrow copy are no data, and are left to the audit.
    pub fn of(files: &[SnapshotFile]) -> Self {
        let modes: BTreeSet<Option<CryptMode>> = files
            .iter()
            .filter(|file| file.is_data())
            .map(|file| file.crypt_mode)
            .collect();
        let known: BTreeSet<CryptMode> = modes.iter().copied().flatten().collect();
        let mut known = known.into_iter();
        match (known.next(), known.next(), modes.contains(&None)) {
            // Two that differ stay different, whatever a third one is.
            (_, Some(_), _) => Self::Mixed,
            (None, None, _) | (_, _, true) => Self::Unknown,
            (Some(CryptMode::Encrypt), None, false) => Self::Encrypted,
            (Some(CryptMode::SignOnly), None, false) => Self::SignOnly,
            (Some(CryptMode::None), None, false) => Self::Plain,
        }
    }
}

impl fmt::Display for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Encrypted => "encrypted",
            Self::SignOnly => "sign-only",
            Self::Plain => "plain",
            Self::Mixed => "mixed",
            Self::Unknown => "unknown",
        })
    }
}

/// What a verify wrote into a snapshot's manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VerifyState {
    /// It found nothing wrong.
    Ok,
    /// It found damage.
    Failed,
}

/// The last verify of a snapshot, as the list has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// What it found.
    pub state: VerifyState,
    /// The task.
    pub upid: Upid,
}

impl Verification {
    /// When it was begun, by the clock of the server: the list has no other time of it.
    pub fn at(&self) -> Timestamp {
        Timestamp::from_secs(i64::from(self.upid.starttime()))
    }
}

/// What may be believed of a snapshot's verify state now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VerifyStanding {
    /// Verified within the time that it is believed.
    Ok,
    /// The last verify failed. Damage does not heal by getting old, so this never becomes unknown.
    Failed,
    /// Never verified.
    Never,
    /// Verified too long ago, or by a clock that was wrong.
    Unknown,
}

/// A state dated further ahead than this was written by a clock that is wrong.
const FUTURE: Duration = Duration::from_hours(6);

/// One snapshot in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its name.
    pub name: BackupSnapshot,
    /// Bytes, where the manifest could be read.
    pub size: Option<u64>,
    /// Whose it is.
    pub owner: Option<String>,
    /// Whether the server refuses to delete it.
    pub protected: bool,
    /// Its files; none as long as it is written (seen on 3.2.4).
    pub files: Vec<SnapshotFile>,
    /// The key it was made with.
    pub key: Option<KeyFingerprint>,
    /// The last verify.
    pub verification: Option<Verification>,
}

impl Snapshot {
    /// Whether it has no manifest: somebody writes it, or stopped half-way.
    pub fn is_in_progress(&self) -> bool {
        !self.files.iter().any(|file| file.name == MANIFEST)
    }

    /// Whether it counts as a backup: it is finished, and there is data in it.
    pub fn is_backup(&self) -> bool {
        !self.is_in_progress() && self.files.iter().any(SnapshotFile::is_data)
    }

    /// What its `crypt-mode`s come to.
    pub fn encryption(&self) -> Encryption {
        Encryption::of(&self.files)
    }

    /// What may be believed of its verify state at `now`, which is the server's time where that is known.
    pub fn standing(&self, now: Timestamp, ttl: Duration) -> VerifyStanding {
        match &self.verification {
            None => VerifyStanding::Never,
            Some(last) if last.state == VerifyState::Failed => VerifyStanding::Failed,
            Some(last) if last.at().since(now) > FUTURE => VerifyStanding::Unknown,
            Some(last) if now.since(last.at()) > ttl => VerifyStanding::Unknown,
            Some(_) => VerifyStanding::Ok,
        }
    }

    /// How old it is at `now`; nothing when its clock was ahead.
    pub(super) fn age(&self, now: Timestamp) -> Duration {
        now.since(Timestamp::from_secs(self.name.time()))
    }
}

/// What a token sees of a namespace's snapshots. A list is answered with 200 however little that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sight {
    /// All of them.
    Whole,
    /// Only those that it owns.
    Own,
    /// None: user and token do not both hold a privilege there.
    Nothing,
    /// Nobody asked which privileges it holds.
    Unknown,
}

impl Sight {
    /// By the privileges that `/access/permissions` names for the datastore's or the namespace's path. `Datastore.Audit`
    /// shows all, `Datastore.Backup` alone what one owns (proxmox-backup `src/api2/admin/datastore.rs`; seen on 3.2.4).
    pub fn of(privileges: &BTreeSet<String>) -> Self {
        if privileges.contains("Datastore.Audit") {
            Self::Whole
        } else if privileges.contains("Datastore.Backup") {
            Self::Own
        } else {
            Self::Nothing
        }
    }

    /// Why a list may lack something; `None` when it cannot.
    pub fn shortened(self) -> Option<&'static str> {
        match self {
            Self::Whole => None,
            Self::Own => Some("the token sees its own snapshots only"),
            Self::Nothing => {
                Some("the token sees nothing here: user and token need a role, each of them")
            }
            Self::Unknown => Some("it is not known what the token may see"),
        }
    }
}

/// The snapshots of a namespace, or of one group in it. Servers list in no order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// The snapshots.
    pub snapshots: Vec<Snapshot>,
    /// Whether these are all.
    pub sight: Sight,
    /// The server's clock when it answered, in seconds since 1970 (the `Date` of its answer).
    pub server_now_s: Option<i64>,
}

impl Listing {
    /// The server's time, or ours where it did not tell.
    pub fn now(&self, ours: Timestamp) -> Timestamp {
        self.server_now_s.map_or(ours, Timestamp::from_secs)
    }

    /// One snapshot.
    pub fn get(&self, name: &BackupSnapshot) -> Option<&Snapshot> {
        self.snapshots
            .iter()
            .find(|snapshot| snapshot.name == *name)
    }

    /// The snapshots of one group, newest first.
    pub fn group(&self, group: &BackupGroup) -> Vec<&Snapshot> {
        let all = self.snapshots.iter();
        let mut of: Vec<&Snapshot> = all.filter(|one| one.name.group() == group).collect();
        of.sort_by_key(|one| std::cmp::Reverse(one.name.time()));
        of
    }
}
