//! What was read of the box, before anything is decided about it.

use std::collections::BTreeMap;

use felhom_engine::Timestamp;
use felhom_ids::{GuestKind, VolumeId};
use felhom_proxmox::pve::guests::{LxcConfig, QemuConfig};
use felhom_proxmox::pve::written::Written;

/// What was read, or why not.
pub type Told<T> = Result<T, String>;

/// What was read of the box.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The installation; none while there is no journal.
    pub installation: Option<String>,
    /// When it was read.
    pub made: Timestamp,
    /// The program's version.
    pub agent_version: String,
    /// The node's name.
    pub node: String,
    /// The version of Proxmox VE.
    pub pve_version: Told<String>,
    /// SHA-256 of the certificate that the node shows.
    pub fingerprint: Told<String>,
    /// The storages, as `storage.cfg` has them.
    pub storages: Told<Vec<Written>>,
    /// The host's interfaces.
    pub interfaces: Told<Vec<Written>>,
    /// Disks that are mounted by their UUID: targets on removable disks, and mount units that PVE made.
    pub disks: Told<Vec<DiskFact>>,
    /// Who said when that the key of a storage is stored off the box, by the storage; for the keys of now.
    pub keys: BTreeMap<String, String>,
    /// The guests, scratch guests left out.
    pub guests: Told<Vec<GuestFact>>,
    /// What else could not be read, one sentence each.
    pub unread: Vec<String>,
}

/// A file system on a disk of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskFact {
    /// The UUID of its file system.
    pub uuid: String,
    /// Where it is mounted.
    pub path: String,
    /// The serial number of the disk, where it is known.
    pub serial: Option<String>,
    /// Whether it is carried away, so that it outlives the box.
    pub removable: bool,
}

/// A guest.
#[derive(Debug, Clone)]
pub struct GuestFact {
    /// Its VMID.
    pub vmid: u32,
    /// What it is.
    pub kind: GuestKind,
    /// Its name.
    pub name: String,
    /// Whether it runs.
    pub running: bool,
    /// Whether the schedule has it backed up.
    pub selected: bool,
    /// Its pool.
    pub pool: Option<String>,
    /// Its configuration of now.
    pub config: Told<Config>,
    /// Its archives on all storages that answered.
    pub archives: Vec<ArchiveFact>,
    /// The configuration inside the archive that the kit restores.
    pub archived: Option<Told<Config>>,
}

/// An archive of a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveFact {
    /// Its volume id.
    pub volid: VolumeId,
    /// Bytes.
    pub size: u64,
    /// When it was made, in seconds since 1970.
    pub made_s: i64,
    /// When it last passed a restore test, in seconds since 1970.
    pub proven_s: Option<i64>,
}

/// A configuration of either kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Config {
    /// A container's.
    Lxc(LxcConfig),
    /// A virtual machine's.
    Qemu(QemuConfig),
}

impl Config {
    /// Every key as PVE prints it.
    pub fn raw(&self) -> &BTreeMap<String, String> {
        match self {
            Self::Lxc(config) => &config.raw,
            Self::Qemu(config) => &config.raw,
        }
    }

    /// One key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.raw().get(key).map(String::as_str)
    }

    /// A switch; off when it is not there.
    pub fn is_on(&self, key: &str) -> bool {
        match self {
            Self::Lxc(config) => config.is_on(key),
            Self::Qemu(config) => config.is_on(key),
        }
    }

    /// The bridges that it is plugged into.
    pub fn bridges(&self) -> Vec<String> {
        self.nets()
            .filter_map(|net| field(net, "bridge"))
            .map(str::to_owned)
            .collect()
    }

    /// The addresses that stand in it.
    pub fn addresses(&self) -> Vec<String> {
        // A machine's stand beside its interfaces, for cloud-init.
        self.nets()
            .chain(self.numbered("ipconfig"))
            .flat_map(|net| [field(net, "ip"), field(net, "ip6")])
            .flatten()
            .filter_map(|text| text.split_once('/'))
            .map(|(address, _)| address.to_owned())
            .collect()
    }

    fn nets(&self) -> impl Iterator<Item = &str> {
        self.numbered("net")
    }

    fn numbered(&self, prefix: &'static str) -> impl Iterator<Item = &str> {
        let numbered = move |key: &str| {
            let number = key.strip_prefix(prefix);
            number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
        };
        let all = self.raw().iter();
        all.filter(move |(key, _)| numbered(key))
            .map(|(_, value)| value.as_str())
    }
}

/// One field of a property string.
fn field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.split(',')
        .filter_map(|part| part.split_once('='))
        .find(|(name, _)| *name == key)
        .map(|(_, value)| value)
}
