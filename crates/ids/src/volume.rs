//! Volume ids: which storage, and what the storage calls the thing.
//!
//! Only what a name itself says is read here; whether the volume exists, the API tells.

use std::fmt;
use std::str::FromStr;

use crate::storage::is_storage_id;
use crate::text::serde_as_text;
use crate::{GuestKind, InvalidName, StorageId, Vmid};

/// `storage:name`, such as `local-lvm:vm-9001-disk-0` or
/// `pbs:backup/ct/9001/2026-06-09T14:18:33Z`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VolumeId {
    storage: StorageId,
    name: String,
}

/// What the name of a backup volume says about the backup.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackupVolume {
    /// Container or virtual machine.
    pub kind: GuestKind,
    /// The guest it is a backup of.
    pub vmid: Vmid,
    /// When it was made, as written: `2026_11_23-00_19_43` in the *node's local time* on a
    /// directory, `2026-06-09T14:18:33Z` on a backup server.
    pub time: String,
    /// The format as the content list names it: `tar.zst`, `vma.zst`, …, `pbs-ct`, `pbs-vm`.
    pub format: String,
}

impl VolumeId {
    /// For names that are known to be clean.
    pub(crate) fn new(storage: &StorageId, name: String) -> Self {
        Self {
            storage: storage.clone(),
            name,
        }
    }

    /// The storage that holds the volume.
    pub fn storage(&self) -> &StorageId {
        &self.storage
    }

    /// What stands behind the colon.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the name says about the backup, when it is one under a name that PVE itself gives.
    pub fn backup(&self) -> Option<BackupVolume> {
        let name = self.name.strip_prefix("backup/")?;
        archive_file(name).or_else(|| backup_snapshot(name))
    }

    /// Whether it is a backup on a Proxmox Backup Server.
    pub fn is_on_backup_server(&self) -> bool {
        let backup = self.name.strip_prefix("backup/");
        backup.is_some_and(|name| backup_snapshot(name).is_some())
    }

    /// The guest that owns the volume: whose disk or whose backup it is. None for templates,
    /// images for installation and files that somebody named by hand.
    pub fn guest(&self) -> Option<Vmid> {
        if let Some(name) = self.name.strip_prefix("backup/") {
            // PVE reads the owner also from archives that were renamed behind the number.
            let renamed = |name: &str| {
                let (kind, rest) = name.strip_prefix("vzdump-")?.split_once('-')?;
                let (vmid, tail) = rest.split_once('-')?;
                let known = matches!(kind, "lxc" | "qemu" | "openvz") && !tail.is_empty();
                if known { vmid.parse().ok() } else { None }
            };
            return self
                .backup()
                .map(|backup| backup.vmid)
                .or_else(|| renamed(name));
        }
        let mut parts = self.name.split('/');
        if matches!(
            parts.clone().next(),
            Some("iso" | "vztmpl" | "snippets" | "import" | "rootdir")
        ) {
            return None;
        }
        // Of a linked clone (`100/base-100-disk-0.raw/101/vm-101-disk-0.raw`) the last part counts.
        let (prefix, rest) = parts.next_back()?.split_once('-')?;
        let (vmid, tail) = rest.split_once('-')?;
        let disk = matches!(prefix, "vm" | "base" | "subvol" | "basevol") && !tail.is_empty();
        if disk { vmid.parse().ok() } else { None }
    }
}

/// `vzdump-lxc-101-2026_08_01-12_00_00.tar.zst`
fn archive_file(name: &str) -> Option<BackupVolume> {
    let (kind, rest) = name.strip_prefix("vzdump-")?.split_once('-')?;
    let (vmid, rest) = rest.split_once('-')?;
    let (time, format) = rest.split_once('.')?;
    let base = format.split('.').next()?;
    let packing = format.strip_prefix(base)?;
    let known = matches!(base, "tar" | "vma")
        && matches!(packing, "" | ".gz" | ".lzo" | ".zst" | ".bz2")
        || format == "tgz";
    if !(known && is_shaped(time, "dddd_dd_dd-dd_dd_dd")) {
        return None;
    }
    Some(BackupVolume {
        kind: kind.parse().ok()?,
        vmid: vmid.parse().ok()?,
        time: time.to_owned(),
        format: format.to_owned(),
    })
}

/// `ct/9001/2026-06-09T14:18:33Z`
fn backup_snapshot(name: &str) -> Option<BackupVolume> {
    let mut parts = name.split('/');
    let kind = GuestKind::from_pbs_type(parts.next()?).ok()?;
    let vmid = parts.next()?.parse().ok()?;
    let time = parts
        .next()
        .filter(|time| is_shaped(time, "dddd-dd-ddTdd:dd:ddZ"))?;
    if parts.next().is_some() {
        return None;
    }
    let format = format!("pbs-{}", kind.pbs_type());
    Some(BackupVolume {
        kind,
        vmid,
        time: time.to_owned(),
        format,
    })
}

/// Compares with a pattern in which `d` stands for a digit and all else for itself.
pub(crate) fn is_shaped(text: &str, pattern: &str) -> bool {
    text.len() == pattern.len()
        && text
            .bytes()
            .zip(pattern.bytes())
            .all(|(byte, want)| match want {
                b'd' => byte.is_ascii_digit(),
                _ => byte == want,
            })
}

impl FromStr for VolumeId {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let refuse = || {
            InvalidName::new(
                "volume id",
                "`storage:name` (as in `local-lvm:vm-100-disk-0`)",
                text,
            )
        };
        let (storage, name) = text.split_once(':').ok_or_else(refuse)?;
        // Names may hold blanks and commas (an uploaded image), but never climb out of their storage.
        let clean = !name.is_empty()
            && name == name.trim()
            && !name.chars().any(char::is_control)
            && !name.split('/').any(|part| part == "..");
        if !(clean && is_storage_id(storage)) {
            return Err(refuse());
        }
        Ok(Self {
            storage: storage.parse()?,
            name: name.to_owned(),
        })
    }
}

impl fmt::Display for VolumeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.storage, self.name)
    }
}

serde_as_text!(VolumeId, "a volume id `storage:name`");

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(text: &str) -> VolumeId {
        text.parse().unwrap()
    }

    #[test]
    fn an_archive_on_a_directory_says_whose_it_is() {
        let archive = volume("local:backup/vzdump-lxc-9010-2026_11_23-00_19_43.tar.zst");
        let backup = archive.backup().unwrap();
        assert_eq!((backup.kind, backup.vmid.get()), (GuestKind::Lxc, 9010));
        assert_eq!(
            (backup.time.as_str(), backup.format.as_str()),
            ("2026_11_23-00_19_43", "tar.zst")
        );
        assert_eq!(archive.guest().unwrap().get(), 9010);
        assert_eq!(archive.storage().as_str(), "local");
    }

    #[test]
    fn a_snapshot_on_a_backup_server_says_whose_it_is() {
        let snapshot = volume("store:backup/ct/9001/2026-06-09T14:18:33Z");
        let backup = snapshot.backup().unwrap();
        assert_eq!((backup.kind, backup.vmid.get()), (GuestKind::Lxc, 9001));
        assert_eq!(
            (backup.time.as_str(), backup.format.as_str()),
            ("2026-06-09T14:18:33Z", "pbs-ct")
        );
        assert_eq!(snapshot.name(), "backup/ct/9001/2026-06-09T14:18:33Z");
    }

    #[test]
    fn other_names_are_no_backups() {
        for odd in [
            "local:backup/vzdump-lxc-9010-2026_11_23-00_19_43.tar.dat",
            "local:backup/vzdump-openvz-9010-2026_11_23-00_19_43.tar",
            "local:backup/vzdump-lxc-9010-mine.tar.zst",
            "local:backup/vzdump-lxc-9010-2026_11_23-00_19_43.log",
            "pbs:backup/host/box/2026-06-09T14:18:33Z",
            "pbs:backup/ct/box/2026-06-09T14:18:33Z",
            "pbs:backup/ct/9001/2026-06-09T14:18:33Z/x",
            "local-lvm:vm-9001-disk-0",
        ] {
            assert_eq!(volume(odd).backup(), None, "{odd}");
        }
    }

    #[test]
    fn owners_are_read_from_disks_of_all_storages() {
        for (text, owner) in [
            ("local-lvm:vm-9001-disk-0", Some(9001)),
            ("local-lvm:base-9001-disk-0", Some(9001)),
            ("local:9001/vm-9001-disk-0.qcow2", Some(9001)),
            (
                "local:100/base-100-disk-0.raw/101/vm-101-disk-0.qcow2",
                Some(101),
            ),
            ("zfs:basevol-100-disk-0/subvol-101-disk-0", Some(101)),
            ("local:backup/vzdump-lxc-9010-mine.tar.zst", Some(9010)),
            ("local:backup/mine.tar.zst", None),
            ("local:iso/vm-101-x.iso", None),
            ("local:vztmpl/debian-13-mini_13.1-1_amd64.tar.zst", None),
            ("local-lvm:vm-9001", None),
            ("local-lvm:vm-01-disk-0", None),
        ] {
            assert_eq!(volume(text).guest().map(Vmid::get), owner, "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_volume() {
        for odd in [
            "",
            "local",
            "local:",
            ":x",
            "/srv/media",
            "l:x",
            "local: a",
            "local:a\n",
            "local:../x",
        ] {
            assert!(odd.parse::<VolumeId>().is_err(), "{odd:?}");
        }
    }
}
