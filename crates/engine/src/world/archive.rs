//! What is looked for in an archive, and what is in it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::GuestConfig;

/// Members and bytes below one mount point, in the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MountTally {
    /// Files, directories, links; the mount point's own directory is not counted.
    pub members: u64,
    /// Bytes of regular files.
    pub bytes: u64,
}

/// What is looked for in an archive.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WantedContent {
    /// Mount key and path inside the guest, of every mount point of the archived configuration.
    pub mounts: Vec<(String, String)>,
    /// Directories that are counted apart, by name: the Docker volumes that are known.
    pub volumes: Vec<VolumeRoot>,
    /// Where Docker keeps its own things inside the guest: what lies in `volumes/NAME/_data` below it is a volume of that
    /// name, also when nobody told of it.
    pub data_root: String,
}

/// Where Docker keeps its own things unless it was told otherwise.
pub const DEFAULT_DATA_ROOT: &str = "/var/lib/docker";

impl WantedContent {
    /// The mount points of this configuration, and volumes at Docker's usual place.
    pub fn of(config: &GuestConfig) -> Self {
        Self {
            mounts: config
                .mounts
                .iter()
                .map(|mount| (mount.key.clone(), mount.path.clone()))
                .collect(),
            volumes: Vec::new(),
            data_root: DEFAULT_DATA_ROOT.to_owned(),
        }
    }
}

/// Where a volume's content begins, inside the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeRoot {
    /// The volume.
    pub name: String,
    /// Absolute path of the directory.
    pub path: String,
}

/// A Docker volume, as it lies in the archive.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ArchivedVolume {
    /// Its name.
    pub name: String,
    /// Where its content begins, inside the guest.
    #[serde(default)]
    pub path: String,
    /// Whether that directory itself is a member.
    #[serde(default)]
    pub root_present: bool,
    /// Whether something else stands in its place or on the way to it: a link, a device, a pipe.
    #[serde(default)]
    pub root_is_other: bool,
    /// What of it is in the archive; its own directory is not counted.
    pub tally: MountTally,
    /// How many of the members are regular files.
    #[serde(default)]
    pub files: u64,
    /// The newest modification time of a regular file, in seconds since the epoch.
    #[serde(default)]
    pub newest_mtime_s: Option<i64>,
    /// Some of its files with the digests of their content: those whose names hash lowest, so that the same ones are taken
    /// from backup to backup for as long as they exist. In the order of their paths.
    #[serde(default)]
    pub samples: Vec<SampledFile>,
}

/// A regular file of a volume, sampled from an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampledFile {
    /// Path below the volume's directory.
    pub path: String,
    /// By what it was chosen: a hash of its path. The lowest are sampled.
    #[serde(default)]
    pub rank: u64,
    /// Bytes.
    pub size: u64,
    /// Modification time in seconds since the epoch.
    pub mtime_s: i64,
    /// SHA-256 of the content, in hexadecimal digits; of its first bytes where a file is longer than the reader's limit.
    pub sha256: String,
}

/// Members whose names cannot be believed: absolute ones, those with `..`, with an empty part, with a NUL, or without end.
/// None of them is counted for a mount point or a volume.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OddNames {
    /// How many there are.
    pub count: u64,
    /// The first few of them, cut, and shown as well as text can.
    pub first: Vec<String>,
}

/// What is really in an archive, read from the archive itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ArchiveContent {
    /// Whether the archive was read to its end without an error.
    pub complete: bool,
    /// Why not, when not.
    pub error: Option<String>,
    /// Whether `./etc/vzdump/pct.conf` is the first member.
    pub config_first: bool,
    /// All members.
    pub members: u64,
    /// Bytes of all regular files.
    pub bytes: u64,
    /// Bytes of the archive file that were read.
    pub compressed_bytes: u64,
    /// By mount key.
    pub mounts: BTreeMap<String, MountTally>,
    /// The keys of mount points whose own directory is a member.
    #[serde(default)]
    pub mount_roots: BTreeSet<String>,
    /// Docker volumes: those asked for, and those found below the data root, by name.
    pub docker_volumes: Vec<ArchivedVolume>,
    /// Volumes below the data root beyond the number that is told by name.
    #[serde(default)]
    pub docker_volumes_beyond: u64,
    /// Whether only directories were listed, and nothing was read: then a tally counts what lies directly in a directory, there
    /// are no samples, and nothing of it can be held against what was read.
    #[serde(default)]
    pub listed_only: bool,
    /// Members with names that vzdump does not write.
    #[serde(default)]
    pub odd_names: OddNames,
    /// How long reading took, in milliseconds.
    pub elapsed_ms: u64,
}
