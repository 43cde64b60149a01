//! What a Proxmox Backup Server calls the backups of one thing, and one of them.

use std::fmt;
use std::str::FromStr;

use crate::datastore::is_safe_id;
use crate::text::serde_as_text;
use crate::{GuestKind, InvalidName, StorageId, Vmid, VolumeId};

/// What sort of thing a backup is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BackupType {
    /// A virtual machine.
    Vm,
    /// A container.
    Ct,
    /// A host, or anything else that a person gave a name.
    Host,
}

impl BackupType {
    /// The word of the API and of paths.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vm => "vm",
            Self::Ct => "ct",
            Self::Host => "host",
        }
    }

    /// The kind of guest; a host is none.
    pub fn guest_kind(self) -> Option<GuestKind> {
        match self {
            Self::Vm => Some(GuestKind::Qemu),
            Self::Ct => Some(GuestKind::Lxc),
            Self::Host => None,
        }
    }
}

impl From<GuestKind> for BackupType {
    fn from(kind: GuestKind) -> Self {
        match kind {
            GuestKind::Qemu => Self::Vm,
            GuestKind::Lxc => Self::Ct,
        }
    }
}

impl FromStr for BackupType {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        match text {
            "vm" => Ok(Self::Vm),
            "ct" => Ok(Self::Ct),
            "host" => Ok(Self::Host),
            _ => Err(InvalidName::new(
                "backup type",
                "`vm`, `ct` or `host`",
                text,
            )),
        }
    }
}

impl fmt::Display for BackupType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

serde_as_text!(BackupType, "`vm`, `ct` or `host`");

/// All backups of one thing in one namespace: `ct/9001`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackupGroup {
    kind: BackupType,
    id: String,
}

/// Bytes of the longest id: it is the name of a directory.
const LONGEST_ID: usize = 255;

impl BackupGroup {
    /// From the two parts in which the API has it.
    pub fn new(kind: BackupType, id: &str) -> Result<Self, InvalidName> {
        if is_safe_id(id) && id.len() <= LONGEST_ID {
            Ok(Self {
                kind,
                id: id.to_owned(),
            })
        } else {
            Err(InvalidName::new(
                "backup id",
                "letters, digits, `_`, `.`, `-`, not beginning with `.` or `-` (as in `9001`)",
                id,
            ))
        }
    }

    /// The group in which PVE puts the backups of a guest.
    pub fn of_guest(kind: GuestKind, vmid: Vmid) -> Self {
        Self {
            kind: kind.into(),
            id: vmid.to_string(),
        }
    }

    /// What sort of thing it is of.
    pub fn kind(&self) -> BackupType {
        self.kind
    }

    /// Which one: a VMID, or the name of a host.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The guest that it is named after. Names alone: another cluster may have used the same VMID.
    pub fn guest(&self) -> Option<(GuestKind, Vmid)> {
        Some((self.kind.guest_kind()?, self.id.parse().ok()?))
    }
}

impl FromStr for BackupGroup {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let parse = || {
            let (kind, id) = text.split_once('/')?;
            Self::new(kind.parse().ok()?, id).ok()
        };
        parse().ok_or_else(|| InvalidName::new("backup group", "`type/id` (as in `ct/9001`)", text))
    }
}

impl fmt::Display for BackupGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.id)
    }
}

serde_as_text!(BackupGroup, "a backup group `type/id`");

/// One backup: `ct/9001/2026-06-09T14:18:33Z`. Its time is its name: two backups of a group never
/// have the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackupSnapshot {
    group: BackupGroup,
    time: i64,
}

/// The shape of a time in a path. Neither fractions nor other zones are ever written.
const TIME: &str = "dddd-dd-ddTdd:dd:ddZ";

impl BackupSnapshot {
    /// From its group and its time in seconds since 1970, UTC. Times before 1970-01-01T00:00:01Z
    /// and after the year 9999 are refused, as the server does.
    pub fn new(group: BackupGroup, time: i64) -> Result<Self, InvalidName> {
        match written(time) {
            Some(text) if time >= 1 && text.len() == TIME.len() => Ok(Self { group, time }),
            Some(_) | None => Err(InvalidName::new(
                "backup time",
                "seconds since 1970, from 1 to the year 9999",
                &time.to_string(),
            )),
        }
    }

    /// The group that it belongs to.
    pub fn group(&self) -> &BackupGroup {
        &self.group
    }

    /// When it was begun, in seconds since 1970 by the clock of the client that made it.
    pub fn time(&self) -> i64 {
        self.time
    }

    /// When it was begun, as paths have it: `2026-06-09T14:18:33Z`.
    pub fn time_text(&self) -> String {
        written(self.time).unwrap_or_default()
    }

    /// The volume that PVE shows it as, on the storage through which PVE knows the datastore and
    /// the namespace.
    pub fn volume(&self, storage: &StorageId) -> VolumeId {
        VolumeId::new(storage, format!("backup/{self}"))
    }

    /// The backup that PVE shows as this volume, if the volume is one on a backup server.
    pub fn from_volume(volume: &VolumeId) -> Option<Self> {
        volume.name().strip_prefix("backup/")?.parse().ok()
    }
}

fn written(time: i64) -> Option<String> {
    let time = jiff::Timestamp::from_second(time).ok()?;
    Some(time.to_string())
}

fn read(text: &str) -> Option<i64> {
    if !crate::volume::is_shaped(text, TIME) {
        return None;
    }
    let time = text.parse::<jiff::Timestamp>().ok()?.as_second();
    // A leap second would be read as the one before it, and so name another backup.
    (written(time)? == text).then_some(time)
}

impl FromStr for BackupSnapshot {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let parse = || {
            let (group, time) = text.rsplit_once('/')?;
            Self::new(group.parse().ok()?, read(time)?).ok()
        };
        parse().ok_or_else(|| {
            InvalidName::new(
                "backup snapshot",
                "`type/id/time` (as in `ct/9001/2026-06-09T14:18:33Z`)",
                text,
            )
        })
    }
}

impl fmt::Display for BackupSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.group, self.time_text())
    }
}

serde_as_text!(BackupSnapshot, "a backup snapshot `type/id/time`");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_the_words_of_the_server() {
        for (kind, word) in [
            (BackupType::Vm, "vm"),
            (BackupType::Ct, "ct"),
            (BackupType::Host, "host"),
        ] {
            assert_eq!(word.parse::<BackupType>().unwrap(), kind);
            assert_eq!(kind.to_string(), word);
        }
        assert_eq!(BackupType::from(GuestKind::Lxc), BackupType::Ct);
        assert_eq!(BackupType::Ct.guest_kind(), Some(GuestKind::Lxc));
        assert_eq!(BackupType::Host.guest_kind(), None);
        assert!("lxc".parse::<BackupType>().is_err());
    }

    #[test]
    fn a_group_may_be_of_a_guest() {
        let group: BackupGroup = "ct/9001".parse().unwrap();
        let vmid = Vmid::new(9001).unwrap();
        assert_eq!(group.guest(), Some((GuestKind::Lxc, vmid)));
        assert_eq!(group, BackupGroup::of_guest(GuestKind::Lxc, vmid));
        assert_eq!((group.kind(), group.id()), (BackupType::Ct, "9001"));
        for other in ["host/box", "host/9001", "ct/09001", "vm/box"] {
            assert_eq!(other.parse::<BackupGroup>().unwrap().guest(), None);
        }
        for odd in [
            "", "ct", "ct/", "/9001", "ct/9001/", "ct/a b", "ct/..", "ct/-x", "lxc/9001",
        ] {
            assert!(odd.parse::<BackupGroup>().is_err(), "{odd:?}");
        }
        assert!(BackupGroup::new(BackupType::Ct, &"9".repeat(256)).is_err());
    }

    #[test]
    fn a_snapshot_has_one_time_and_one_text() {
        let text = "ct/9001/2026-06-09T14:18:33Z";
        let snapshot: BackupSnapshot = text.parse().unwrap();
        assert_eq!(snapshot.time(), 1_781_014_713);
        assert_eq!(snapshot.to_string(), text);
        assert_eq!(
            BackupSnapshot::new("ct/9001".parse().unwrap(), 1_781_014_713).unwrap(),
            snapshot
        );
        for odd in [
            "ct/9001",
            "ct/9001/",
            "ct/9001/1781014713",
            "ct/9001/2026-06-09T14:18:33",
            "ct/9001/2026-06-09T14:18:33+00:00",
            "ct/9001/2026-06-09T14:18:33.0Z",
            "ct/9001/2026-06-09 14:18:33Z",
            "ct/9001/2026-13-09T14:18:33Z",
            "ct/9001/2026-02-30T14:18:33Z",
            "ct/9001/2026-06-09T24:00:00Z",
            "ct/9001/2016-12-31T23:59:60Z",
            "ct/9001/1970-01-01T00:00:00Z",
            "ct/9001/x/2026-06-09T14:18:33Z",
            "xx/9001/2026-06-09T14:18:33Z",
        ] {
            assert!(odd.parse::<BackupSnapshot>().is_err(), "{odd:?}");
        }
    }

    #[test]
    fn times_out_of_all_bounds_are_refused() {
        let group: BackupGroup = "host/box".parse().unwrap();
        for odd in [i64::MIN, -1, 0, 253_402_300_800, i64::MAX] {
            let refused = BackupSnapshot::new(group.clone(), odd).unwrap_err();
            assert!(refused.to_string().contains(&odd.to_string()));
        }
        let last = BackupSnapshot::new(group, 253_402_207_200).unwrap();
        assert_eq!(last.to_string(), "host/box/9999-12-30T22:00:00Z");
    }

    #[test]
    fn a_volume_of_pve_names_the_same_snapshot() {
        let storage: StorageId = "pbs".parse().unwrap();
        let snapshot: BackupSnapshot = "vm/100/2026-06-09T14:18:33Z".parse().unwrap();
        let volume = snapshot.volume(&storage);
        assert_eq!(volume.to_string(), "pbs:backup/vm/100/2026-06-09T14:18:33Z");
        assert_eq!(volume.to_string().parse::<VolumeId>().unwrap(), volume);
        assert_eq!(BackupSnapshot::from_volume(&volume), Some(snapshot));
        let archive: VolumeId = "local:backup/vzdump-lxc-9010-2026_11_23-00_19_43.tar.zst"
            .parse()
            .unwrap();
        assert_eq!(BackupSnapshot::from_volume(&archive), None);
    }
}
