//! What may be done as root, and nothing else: one variant each, with the reason why no token can do it.

use std::fmt;

use felhom_ids::{FilesystemUuid, TargetName, Upid, Vmid};
use serde::{Deserialize, Serialize};

use crate::fields::TemplateVolume;

/// One thing that root does for the agent. Every field is a name that was parsed; storages, bridges, ranges and directories
/// come from root's own configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "operation", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Operation {
    /// Make the container from which the golden archive is taken: unprivileged, `nesting=1,keyctl=1`, from a template.
    ///
    /// `keyctl` on create or set is refused to every token, `root@pam!…` included (`changing feature flags (except nesting)
    /// is only allowed for root@pam`; PVE 9.2.11, PVE-FACTS K.1). A restore keeps it (K.2), so this is needed once per image.
    CreateGoldenContainer {
        /// Its number, in the range of the configuration.
        vmid: Vmid,
        /// The template, on a storage that the configuration names.
        template: TemplateVolume,
    },
    /// The block devices with their file systems, serial numbers and mounts.
    ///
    /// `disks/list` shows disks, but neither the file systems on them with their UUIDs nor where they are mounted
    /// (PVE 9.2, pve-storage `Diskmanage.pm`).
    ListBlockDevices {},
    /// Take a removable disk for a target: a record of it, its mount point, and a systemd mount unit.
    ///
    /// The API mounts only disks that it formats itself (`disks/directory`, which wipes them; PVE 9.2).
    InstallUsbMount {
        /// The target's name.
        name: TargetName,
        /// The file system on the disk.
        uuid: FilesystemUuid,
    },
    /// Mount a target, when the disk is the one that was taken for it.
    ///
    /// No call of the API mounts anything of the host (PVE 9.2).
    MountUsb {
        /// The target.
        name: TargetName,
    },
    /// Write everything out and unmount a target; never lazily, never by force.
    ///
    /// No call of the API unmounts anything of the host (PVE 9.2).
    UnmountUsb {
        /// The target.
        name: TargetName,
    },
    /// Forget a target: its unit, its mount point and its record. What is on the disk stays.
    ///
    /// It undoes [`Self::InstallUsbMount`].
    RemoveUsbMount {
        /// The target.
        name: TargetName,
    },
    /// Look whether a target's disk is there and the right one; with `write`, also whether what is written to it comes back.
    ///
    /// The API says whether a storage is active, not which disk that is, nor whether it takes data (PVE 9.2).
    ProbeUsb {
        /// The target.
        name: TargetName,
        /// Write to it, and read back from the disk.
        write: bool,
    },
    /// Temperatures, fans, and how often the processor was throttled.
    ///
    /// The API tells the temperature of disks only (`disks/smart`; PVE 9.2).
    ReadSensors {},
    /// Take from a stopped scratch guest what would act on the host: `hookscript`, `devN`, raw `lxc.*`.
    ///
    /// A restore brings them back, and only `root@pam` may set or delete them (`changing the hookscript is only allowed for
    /// root@pam`; PVE 9.2.11, PVE-FACTS D.3).
    StripScratchGuest {
        /// The guest, in the scratch range.
        vmid: Vmid,
    },
    /// Take the lock from what a task of the agent's left that was cut off, so that the agent can destroy it.
    ///
    /// The API cannot take a lock from a container, and destroys none that has one (`CT is locked (create)`; PVE 9.2.11).
    ReleaseUnfinishedRestore {
        /// The guest, in the scratch range.
        vmid: Vmid,
        /// The task that was cut off.
        upid: Upid,
    },
}

/// What the reference page says of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Why {
    /// What it does, in a sentence.
    pub does: &'static str,
    /// Why no token can do it, and on which version of PVE that was seen or read.
    pub no_token: &'static str,
    /// What root looks at by itself before it acts.
    pub checks: &'static str,
    /// What root does by itself besides starting programs.
    pub by_itself: &'static str,
}

impl Operation {
    /// The names of all operations there are, as they are written in a request.
    pub const NAMES: [&str; 10] = [
        "create-golden-container",
        "list-block-devices",
        "install-usb-mount",
        "mount-usb",
        "unmount-usb",
        "remove-usb-mount",
        "probe-usb",
        "read-sensors",
        "strip-scratch-guest",
        "release-unfinished-restore",
    ];

    /// Its name, as it is written in a request and in the audit line.
    pub fn name(&self) -> &'static str {
        match self {
            Self::CreateGoldenContainer { .. } => "create-golden-container",
            Self::ListBlockDevices {} => "list-block-devices",
            Self::InstallUsbMount { .. } => "install-usb-mount",
            Self::MountUsb { .. } => "mount-usb",
            Self::UnmountUsb { .. } => "unmount-usb",
            Self::RemoveUsbMount { .. } => "remove-usb-mount",
            Self::ProbeUsb { .. } => "probe-usb",
            Self::ReadSensors {} => "read-sensors",
            Self::StripScratchGuest { .. } => "strip-scratch-guest",
            Self::ReleaseUnfinishedRestore { .. } => "release-unfinished-restore",
        }
    }

    /// Whether it changes anything.
    pub fn changes(&self) -> bool {
        match self {
            Self::ListBlockDevices {} | Self::ReadSensors {} => false,
            Self::ProbeUsb { write, .. } => *write,
            Self::CreateGoldenContainer { .. }
            | Self::InstallUsbMount { .. }
            | Self::MountUsb { .. }
            | Self::UnmountUsb { .. }
            | Self::RemoveUsbMount { .. }
            | Self::StripScratchGuest { .. }
            | Self::ReleaseUnfinishedRestore { .. } => true,
        }
    }

    /// What it is about, for messages: `golden container 9900`, `target usb1`.
    pub fn subject(&self) -> String {
        match self {
            Self::CreateGoldenContainer { vmid, .. } => format!("golden container {vmid}"),
            Self::ListBlockDevices {} => "block devices".to_owned(),
            Self::InstallUsbMount { name, .. }
            | Self::MountUsb { name }
            | Self::UnmountUsb { name }
            | Self::RemoveUsbMount { name }
            | Self::ProbeUsb { name, .. } => format!("target {name}"),
            Self::ReadSensors {} => "sensors".to_owned(),
            Self::StripScratchGuest { vmid } | Self::ReleaseUnfinishedRestore { vmid, .. } => {
                format!("scratch guest {vmid}")
            }
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.name(), self.subject())
    }
}
