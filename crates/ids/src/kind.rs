//! The two sorts of guests, and their various spellings.

use std::fmt;
use std::str::FromStr;

use crate::InvalidName;
use crate::text::serde_as_text;

/// A container or a virtual machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum GuestKind {
    /// A container.
    #[default]
    Lxc,
    /// A virtual machine.
    Qemu,
}

impl GuestKind {
    /// The word used in API paths, in `type` fields and in archive names.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lxc => "lxc",
            Self::Qemu => "qemu",
        }
    }

    /// The command on the node that handles such guests.
    pub fn tool(self) -> &'static str {
        match self {
            Self::Lxc => "pct",
            Self::Qemu => "qm",
        }
    }

    /// The word that Proxmox Backup Server uses.
    pub fn pbs_type(self) -> &'static str {
        match self {
            Self::Lxc => "ct",
            Self::Qemu => "vm",
        }
    }

    /// Reads the word that Proxmox Backup Server uses; `host` is no guest.
    pub fn from_pbs_type(text: &str) -> Result<Self, InvalidName> {
        match text {
            "ct" => Ok(Self::Lxc),
            "vm" => Ok(Self::Qemu),
            _ => Err(InvalidName::new("PBS guest type", "`ct` or `vm`", text)),
        }
    }
}

impl FromStr for GuestKind {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        match text {
            "lxc" => Ok(Self::Lxc),
            "qemu" => Ok(Self::Qemu),
            _ => Err(InvalidName::new("guest kind", "`lxc` or `qemu`", text)),
        }
    }
}

impl fmt::Display for GuestKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

serde_as_text!(GuestKind, "`lxc` or `qemu`");
