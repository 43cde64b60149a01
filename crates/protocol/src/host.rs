//! The host report: how a box and everything on it stands, as one document.
//!
//! It is gathered once, and everything that is told comes from it: the page of `status`, the metrics, the notifications, and
//! what is sent off the box. It holds counts, sizes, names of guests and storages, and verdicts; never a file's name and never
//! a secret.
//!
//! What could not be looked at is `None` and stands under `unknown` with the reason: empty is not absent.

#[cfg(test)]
mod schema;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::document::{Document, DocumentError};

/// Entries of the longest list in an honest report.
const MOST_ENTRIES: usize = 10_000;

/// How a box stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct HostReport {
    /// The installation that made it.
    pub installation: String,
    /// One more than that of the report before; a gap is a report that was lost.
    pub sequence: u64,
    /// When it was made, in seconds since 1970 by the clock of the box.
    pub taken_s: i64,
    /// The program's version.
    pub agent_version: String,
    /// The node.
    pub node: Node,
    /// The node's storages.
    #[serde(default)]
    pub storages: Vec<Storage>,
    /// LVM thin pools, whose metadata can run full by itself.
    #[serde(default)]
    pub thin_pools: Vec<ThinPool>,
    /// Physical disks.
    #[serde(default)]
    pub disks: Vec<Disk>,
    /// What sensors show.
    #[serde(default)]
    pub temperatures: Vec<Temperature>,
    /// Targets on removable disks.
    #[serde(default)]
    pub targets: Vec<Target>,
    /// Backup servers.
    #[serde(default)]
    pub servers: Vec<Server>,
    /// The guests, scratch guests excepted.
    #[serde(default)]
    pub guests: Vec<Guest>,
    /// What a person should know, the gravest first; without what somebody has accepted for a while.
    #[serde(default)]
    pub findings: Vec<Finding>,
    /// How many findings somebody has accepted for a while.
    #[serde(default)]
    pub suppressed: u64,
    /// The jobs that ended last, newest first, at most fifty.
    #[serde(default)]
    pub jobs: Vec<JobEnd>,
    /// What could not be looked at.
    #[serde(default)]
    pub unknown: Vec<Unknown>,
}

/// How the node is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Such as `9.2.11`.
    #[serde(default)]
    pub pve_version: Option<String>,
    /// The kernel's release.
    #[serde(default)]
    pub kernel: Option<String>,
    /// Seconds since boot.
    #[serde(default)]
    pub uptime_s: Option<i64>,
    /// Load averages over 1, 5 and 15 minutes.
    #[serde(default)]
    pub load: Vec<f64>,
    /// Logical processors.
    #[serde(default)]
    pub cpus: Option<u32>,
    /// Main memory.
    #[serde(default)]
    pub memory: Option<Usage>,
    /// Swap.
    #[serde(default)]
    pub swap: Option<Usage>,
    /// The root file system.
    #[serde(default)]
    pub root: Option<Usage>,
    /// Packages that an update would renew, as the node last heard.
    #[serde(default)]
    pub updates: Option<Updates>,
}

/// How much of something is used, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Usage {
    /// All of it.
    pub total: u64,
    /// What is used.
    pub used: u64,
}

/// Pending updates of the packages that Proxmox VE counts as its own. The list of all others wants a right to change the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Updates {
    /// How many packages.
    pub packages: u64,
    /// The version of `pve-manager` among them.
    #[serde(default)]
    pub pve_manager: Option<String>,
    /// When the node was asked, in seconds since 1970: a pass takes over what was asked for less than six hours ago.
    #[serde(default)]
    pub read_s: Option<i64>,
}

/// A storage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Storage {
    /// Its id.
    pub id: String,
    /// PVE's word for its kind: `dir`, `lvmthin`, `pbs`.
    pub kind: String,
    /// Whether it is there.
    pub state: Attachment,
    /// How full it is; `None` while it does not answer.
    #[serde(default)]
    pub usage: Option<Usage>,
    /// Days until it is full as it grows now.
    #[serde(default)]
    pub full_in_days: Option<u64>,
}

/// Whether a storage or a target is there, and the right one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Attachment {
    /// It is there.
    Attached,
    /// It is away.
    Detached,
    /// Another one stands in its place.
    Wrong,
    /// Nobody can say.
    Unknown,
}

/// An LVM thin pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ThinPool {
    /// `VG/LV`.
    pub name: String,
    /// Data, in bytes.
    pub data: Usage,
    /// Metadata, in bytes.
    pub metadata: Usage,
}

/// A physical disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Disk {
    /// `/dev/sda`.
    pub device: String,
    /// Its model, as it names itself.
    #[serde(default)]
    pub model: Option<String>,
    /// `hdd`, `ssd`, `nvme`, `usb`.
    #[serde(default)]
    pub kind: Option<String>,
    /// Bytes.
    pub size: u64,
    /// What its SMART data says.
    pub health: DiskHealth,
    /// How much of its life is used up, in percent, where it tells.
    #[serde(default)]
    pub worn_percent: Option<u8>,
    /// Its temperature in degrees Celsius, where it tells.
    #[serde(default)]
    pub celsius: Option<i32>,
    /// When it was asked, in seconds since 1970: a pass takes over what was told less than six hours ago, since a disk that
    /// sleeps is woken by the question.
    #[serde(default)]
    pub read_s: Option<i64>,
}

/// What a disk says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum DiskHealth {
    /// It calls itself well.
    Passed,
    /// It calls itself failing.
    Failed,
    /// It says nothing, or nobody could ask.
    Unknown,
}

/// What one sensor shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Temperature {
    /// The chip: `coretemp`, `nvme`.
    pub chip: String,
    /// The sensor's label, or its number.
    pub label: String,
    /// Degrees Celsius.
    pub celsius: f64,
    /// Above this it is hot, by its own word.
    #[serde(default)]
    pub high: Option<f64>,
    /// Above this the box protects itself.
    #[serde(default)]
    pub critical: Option<f64>,
}

/// A target on a removable disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Target {
    /// Its name.
    pub name: String,
    /// Whether it is there.
    pub state: Attachment,
    /// Why it is not, or takes no data.
    #[serde(default)]
    pub why: Option<String>,
    /// When it was last there, in seconds since 1970.
    #[serde(default)]
    pub last_there_s: Option<i64>,
}

/// A backup server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Server {
    /// The storage that it stands behind.
    pub storage: String,
    /// Why it could not be asked.
    #[serde(default)]
    pub error: Option<String>,
    /// Backups on it.
    #[serde(default)]
    pub backups: Option<u64>,
    /// Backups whose last verify is good, and lately enough.
    #[serde(default)]
    pub verified: Option<u64>,
    /// Backups whose last verify found damage.
    #[serde(default)]
    pub failed: Option<u64>,
    /// When the newest was begun, in seconds since 1970.
    #[serde(default)]
    pub newest_s: Option<i64>,
}

/// A guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Guest {
    /// Its VMID.
    pub vmid: u32,
    /// `lxc` or `qemu`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Whether it runs.
    pub running: bool,
    /// Whether the policy has it backed up.
    pub selected: bool,
    /// Whether its data would come back today.
    pub posture: Posture,
    /// Why.
    #[serde(default)]
    pub reasons: Vec<String>,
    /// The newest archive that any storage lists, in seconds since 1970.
    #[serde(default)]
    pub newest_archive_s: Option<i64>,
    /// Our last backup of it.
    #[serde(default)]
    pub last_backup: Option<Backup>,
    /// When our last good backup of it ended, in seconds since 1970.
    #[serde(default)]
    pub good_backup_s: Option<i64>,
    /// The last proof of one of its archives.
    #[serde(default)]
    pub last_proof: Option<Proof>,
}

/// Whether a guest's data would come back today.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Posture {
    /// A good, proven, recent backup exists.
    Protected,
    /// A backup exists, and something about it should be mended.
    Attention,
    /// There is no backup that could be trusted.
    Unprotected,
    /// It cannot be told.
    Unknown,
}

/// A backup of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Backup {
    /// `good`, `failed`, `refused`, `undetermined`.
    pub verdict: String,
    /// When it ended, in seconds since 1970.
    pub ended_s: i64,
    /// Bytes of the archive.
    #[serde(default)]
    pub size: Option<u64>,
    /// Where the archive is.
    #[serde(default)]
    pub volid: Option<String>,
}

/// A restore test that came to a verdict about the backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Proof {
    /// `passed` or `failed`.
    pub verdict: String,
    /// `started`, `booted`, `answered`: how far it came.
    #[serde(default)]
    pub evidence: Option<String>,
    /// When it ended, in seconds since 1970.
    pub ended_s: i64,
    /// How long it took until the copy was up, in milliseconds.
    #[serde(default)]
    pub rto_ms: Option<u64>,
    /// The archive that was tested.
    pub volid: String,
}

/// Something a person should know.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// A code of the reference.
    pub code: String,
    /// What it is about: `guest 101`, `storage local`.
    pub subject: String,
    /// What was seen.
    pub detail: String,
    /// What to do.
    #[serde(default)]
    pub remedy: Option<String>,
}

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Notice,
    /// Should be mended; nothing is lost yet.
    Warning,
    /// Data or the box is at risk, or a promise is broken.
    Critical,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Critical => "critical",
        })
    }
}

/// A job that came to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct JobEnd {
    /// Its id.
    pub job: String,
    /// `backup`, `restore test`, `pruning`, …
    pub kind: String,
    /// What it was about.
    pub subject: String,
    /// When it was begun, in seconds since 1970.
    pub began_s: i64,
    /// When it ended, in seconds since 1970.
    pub ended_s: i64,
    /// How it ended, in one word.
    pub verdict: String,
}

/// Something that could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Unknown {
    /// What: `disks`, `temperatures`, `storage nas`.
    pub what: String,
    /// Why.
    pub why: String,
}

impl Document for HostReport {
    const SCHEMA: &'static str = "felhom.host-report";
    const VERSION: u64 = 1;

    fn checked(self) -> Result<Self, DocumentError> {
        let lists = [
            ("storages", self.storages.len()),
            ("thin_pools", self.thin_pools.len()),
            ("disks", self.disks.len()),
            ("temperatures", self.temperatures.len()),
            ("targets", self.targets.len()),
            ("servers", self.servers.len()),
            ("guests", self.guests.len()),
            ("findings", self.findings.len()),
            ("jobs", self.jobs.len()),
            ("unknown", self.unknown.len()),
        ];
        match lists.into_iter().find(|(_, found)| *found > MOST_ENTRIES) {
            None => Ok(self),
            Some((what, found)) => Err(DocumentError::TooMuch {
                what: format!("`{what}`"),
                found,
                unit: "entries",
                limit: MOST_ENTRIES,
            }),
        }
    }
}
