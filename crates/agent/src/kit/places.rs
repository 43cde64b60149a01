//! Where a storage lies when the box is gone.

use felhom_proxmox::pve::written::Written;

use super::facts::{DiskFact, Facts, GuestFact};

/// Types of storages that other machines have.
const NETWORK: [&str; 9] = [
    "cephfs",
    "cifs",
    "esxi",
    "iscsi",
    "iscsidirect",
    "nfs",
    "pbs",
    "rbd",
    "zfs",
];

/// Where a storage lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place<'a> {
    /// On another machine.
    OffBox,
    /// On a disk that is carried away.
    Removable(&'a DiskFact),
    /// On a disk of its own in the box.
    OwnDisk(&'a DiskFact),
    /// On the box, or on one of its guests.
    Box,
}

impl Place<'_> {
    /// Whether it is there when the box is not.
    pub(super) fn is_off_box(self) -> bool {
        matches!(self, Self::OffBox | Self::Removable(_))
    }
}

impl Facts {
    pub(super) fn all_storages(&self) -> &[Written] {
        self.storages.as_deref().unwrap_or_default()
    }

    pub(super) fn all_guests(&self) -> &[GuestFact] {
        self.guests.as_deref().unwrap_or_default()
    }

    /// The definition of a storage.
    pub(super) fn storage(&self, id: &str) -> Option<&Written> {
        self.all_storages()
            .iter()
            .find(|one| one.get("storage") == Some(id))
    }

    /// Where a storage lies.
    pub(super) fn place(&self, id: &str) -> Place<'_> {
        let Some(storage) = self.storage(id) else {
            return Place::Box;
        };
        let kind = storage.get("type").unwrap_or_default();
        if NETWORK.contains(&kind) {
            let server = storage.get("server").unwrap_or_default();
            let is_own = self.is_own(server) || self.server_guest(storage).is_some();
            return if is_own { Place::Box } else { Place::OffBox };
        }
        match storage.get("path").and_then(|path| self.disk(path)) {
            Some(disk) if disk.removable => Place::Removable(disk),
            Some(disk) => Place::OwnDisk(disk),
            None => Place::Box,
        }
    }

    /// The disk that a path lies on.
    pub(super) fn disk(&self, path: &str) -> Option<&DiskFact> {
        let disks = self.disks.as_deref().unwrap_or_default();
        disks.iter().find(|disk| is_below(path, &disk.path))
    }

    /// The guest of this box that serves a storage.
    pub(super) fn server_guest(&self, storage: &Written) -> Option<u32> {
        let server = storage.get("server")?;
        let is_it = |guest: &&GuestFact| {
            let addresses = guest.config.as_ref().map(super::facts::Config::addresses);
            let named = server.split('.').next() == Some(guest.name.as_str());
            named || addresses.is_ok_and(|all| all.iter().any(|one| one == server))
        };
        self.all_guests().iter().find(is_it).map(|one| one.vmid)
    }

    /// Whether an address is the box's own.
    fn is_own(&self, server: &str) -> bool {
        let interfaces = self.interfaces.as_deref().unwrap_or_default();
        let mut addresses = interfaces
            .iter()
            .flat_map(|one| [one.get("address"), one.get("address6")])
            .flatten();
        server == self.node
            || server == "localhost"
            || server == "::1"
            || server.starts_with("127.")
            || addresses.any(|address| address.split('/').next() == Some(server))
    }
}

/// Whether a path is a directory, or lies below it.
pub(super) fn is_below(path: &str, directory: &str) -> bool {
    let directory = directory.trim_end_matches('/');
    path.strip_prefix(directory)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
