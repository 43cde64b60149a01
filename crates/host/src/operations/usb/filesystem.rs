//! The file systems that a target may have.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A file system that the kernel of a Proxmox host mounts without help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum FileSystem {
    Ext4,
    Ext3,
    Xfs,
    Btrfs,
    Exfat,
    Vfat,
}

impl FileSystem {
    const ALL: [Self; 6] = [
        Self::Ext4,
        Self::Ext3,
        Self::Xfs,
        Self::Btrfs,
        Self::Exfat,
        Self::Vfat,
    ];

    /// Its name, for the kernel and for `lsblk`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Ext3 => "ext3",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
            Self::Exfat => "exfat",
            Self::Vfat => "vfat",
        }
    }

    /// All names, for messages.
    pub(super) fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }

    /// The options of the mount unit. An ext file system that finds a fault becomes read-only instead of worse; a FAT knows no
    /// owners: what is on it is shown as root's and readable, as vzdump leaves archives elsewhere, so that the agent reads them.
    pub(super) fn options(self) -> &'static str {
        match self {
            Self::Ext4 | Self::Ext3 => "nofail,nodev,nosuid,noexec,noatime,errors=remount-ro",
            Self::Xfs | Self::Btrfs => "nofail,nodev,nosuid,noexec,noatime",
            Self::Exfat | Self::Vfat => "nofail,nodev,nosuid,noexec,noatime,umask=0022",
        }
    }

    /// How to mount it, besides read-only, so that nothing is written to the disk, its journal neither: each until one works.
    /// btrfs has its option by this name since Linux 5.9, and had the other before.
    pub(super) fn quiet_options(self) -> &'static [Option<(&'static str, Option<&'static str>)>] {
        match self {
            Self::Ext4 | Self::Ext3 => &[Some(("noload", None))],
            Self::Xfs => &[Some(("norecovery", None))],
            Self::Btrfs => &[
                Some(("rescue", Some("nologreplay"))),
                Some(("nologreplay", None)),
            ],
            Self::Exfat | Self::Vfat => &[None],
        }
    }

    /// Whether it is one of the ext family.
    pub(super) fn is_ext(self) -> bool {
        matches!(self, Self::Ext4 | Self::Ext3)
    }

    /// Whether the kernel gives its mounts a device number that is no device's.
    pub(super) fn hides_its_device(self) -> bool {
        self == Self::Btrfs
    }
}

impl fmt::Display for FileSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for FileSystem {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|known| known.name() == text);
        known.ok_or_else(|| format!("`{text}` is none of {}", Self::names()))
    }
}
