//! What root answers when it did what it was asked for.

use std::collections::BTreeMap;

use felhom_ids::{TargetName, Vmid};
use serde::{Deserialize, Serialize};

/// The answer to an operation that was carried out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "report", rename_all = "kebab-case")]
pub enum Report {
    /// Of `create-golden-container`.
    Golden(Golden),
    /// Of `list-block-devices`.
    BlockDevices {
        /// All devices that may hold a file system, partitions included.
        devices: Vec<BlockDevice>,
    },
    /// Of the operations on a target: how it stands afterwards.
    Target(Box<TargetReport>),
    /// Of `remove-usb-mount`.
    Removed {
        /// The target that is forgotten.
        name: TargetName,
    },
    /// Of `read-sensors`.
    Sensors(Sensors),
    /// Of `strip-scratch-guest`.
    Stripped {
        /// The guest.
        vmid: Vmid,
        /// The keys that were taken away, as they stood in the configuration; empty when there were none.
        keys: Vec<String>,
    },
    /// Of `release-unfinished-restore`.
    Released {
        /// The guest.
        vmid: Vmid,
        /// The lock that was taken away; `None` when somebody had done so before.
        lock: Option<String>,
        /// What was still mounted, and is not any more.
        unmounted: Vec<String>,
    },
}

/// A golden container that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Golden {
    /// Its number.
    pub vmid: Vmid,
    /// Whether it was there already, made by an earlier request for the same.
    pub existed: bool,
    /// Its features as PVE wrote them, such as `keyctl=1,nesting=1`.
    pub features: String,
}

/// A block device as `lsblk` tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockDevice {
    /// The kernel's name, such as `sdb1`.
    pub name: String,
    /// The disk that it is a part of, itself for a whole disk.
    pub disk: String,
    /// `disk`, `part`, `loop`, `lvm`, …
    pub kind: String,
    /// Its size in bytes.
    pub size: u64,
    /// The file system or what else was recognised (`ext4`, `LVM2_member`).
    pub fstype: Option<String>,
    /// The file system's label.
    pub label: Option<String>,
    /// The file system's UUID.
    pub uuid: Option<String>,
    /// The disk's serial number.
    pub serial: Option<String>,
    /// The disk's model.
    pub model: Option<String>,
    /// How it is attached: `usb`, `sata`, `nvme`.
    pub transport: Option<String>,
    /// Whether the kernel calls it removable, or it can be pulled out while it runs.
    pub removable: bool,
    /// Whether it takes no data.
    pub read_only: bool,
    /// Where it is mounted.
    pub mounts: Vec<String>,
    /// Whether something else is built on it: a volume group, a RAID, a partition that is in use.
    pub in_use: bool,
}

/// How a target stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Its disk is mounted, and the right one.
    Mounted,
    /// Its disk is there and looks right; it is not mounted.
    Present,
    /// Its disk is not there.
    Detached,
    /// Another disk is there in its place.
    Wrong,
}

/// What writing to a target came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Written {
    /// It was not asked for.
    Unasked,
    /// What was written came back from the disk.
    ReadBack,
    /// The file system is full.
    Full,
    /// The file system takes no data.
    ReadOnly,
}

/// A process that holds a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its process id.
    pub pid: u32,
    /// Its name, as the kernel has it.
    pub name: String,
}

/// How a target stands, as root sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetReport {
    /// Its name.
    pub name: TargetName,
    /// The file system that was taken for it.
    pub uuid: String,
    /// The serial number of its disk, when it has one.
    pub serial: Option<String>,
    /// The file system's type.
    pub fstype: String,
    /// Where it is mounted when it is.
    pub mount_point: String,
    /// The systemd unit.
    pub unit: String,
    /// How it stands.
    pub standing: Standing,
    /// Why, when it is detached or wrong, or what else somebody has to see to.
    pub reason: Option<String>,
    /// What writing came to.
    pub written: Written,
    /// Its size and the bytes that are free for root, when it is mounted.
    pub space: Option<(u64, u64)>,
    /// Whether the bare mount point takes no data from anybody: root's, mode 0500, and immutable where the file system can.
    pub fenced: bool,
}

/// The sensors of the host.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Sensors {
    /// Temperatures.
    pub temperatures: Vec<Temperature>,
    /// Fans.
    pub fans: Vec<FanReading>,
    /// How often the processor was throttled since the host started; `None` where the kernel does not tell.
    pub throttling: Option<Throttling>,
    /// Sensors that could not be read, with the reason.
    pub unread: BTreeMap<String, String>,
}

/// One temperature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Temperature {
    /// The chip, such as `coretemp` or `nvme`.
    pub chip: String,
    /// Which of the chip's sensors, such as `Package id 0`.
    pub label: String,
    /// Degrees Celsius.
    pub celsius: f64,
    /// Above this it is too warm.
    pub high: Option<f64>,
    /// Above this the hardware protects itself.
    pub critical: Option<f64>,
    /// Whether the chip itself raises an alarm.
    pub alarm: bool,
}

/// One fan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FanReading {
    /// The chip.
    pub chip: String,
    /// Which of the chip's fans.
    pub label: String,
    /// Turns a minute.
    pub rpm: u32,
}

/// How often the processor was throttled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Throttling {
    /// Times that a core was.
    pub core: u64,
    /// Times that the package was.
    pub package: u64,
}
