//! What we believe is there: facts in the engine's own words, each read by the agent right before it is handed over.

mod archive;

pub use archive::{
    ArchiveContent, ArchivedVolume, DEFAULT_DATA_ROOT, MountTally, OddNames, SampledFile,
    VolumeRoot, WantedContent,
};

use std::collections::BTreeSet;

use felhom_ids::{
    BridgeName, ByteSize, GuestKind, PoolId, SnapshotName, StorageId, Upid, Vmid, VolumeId,
};
use serde::{Deserialize, Serialize};

use crate::outcome::RemoteError;

/// Where the bytes of a mount point live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MountSource {
    /// A volume of a storage.
    Volume(VolumeId),
    /// A directory of the host.
    Bind(String),
    /// A device of the host.
    Device(String),
}

/// One `rootfs` or `mpN` of a container, or a drive of a virtual machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// `rootfs`, `mpN`, or a drive's key such as `scsi0`.
    pub key: String,
    /// Where it is mounted inside the guest; `/` for the rootfs. Of a drive, which is mounted nowhere: what is behind it.
    pub path: String,
    /// What is mounted.
    pub source: MountSource,
    /// Whether the configuration asks for it to be in backups. A volume `mpN` that says nothing is not, a drive is.
    pub backup: bool,
    /// The size that the configuration names.
    pub size: Option<ByteSize>,
}

/// The interfaces of a virtual machine's drives.
const DRIVES: [&str; 6] = ["ide", "scsi", "virtio", "sata", "efidisk", "tpmstate"];

/// Whether a key is that of a virtual machine's drive.
pub fn is_drive(key: &str) -> bool {
    let stem = key.trim_end_matches(|c: char| c.is_ascii_digit());
    stem.len() < key.len() && DRIVES.contains(&stem)
}

/// One `netN` of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nic {
    /// The N of `netN`.
    pub index: u32,
    /// The interface's name inside the guest; of a virtual machine's device, its model.
    pub name: String,
    /// The bridge it is attached to; `None` is an unattached veth.
    pub bridge: Option<String>,
    /// Its MAC address as the configuration writes it.
    pub hwaddr: Option<String>,
    /// `ip=`.
    pub ip: Option<String>,
    /// `link_down=1`.
    pub link_down: bool,
}

/// A guest's configuration, of the live guest or of an archive.
#[expect(
    clippy::struct_excessive_bools,
    reason = "these are PVE's own flags, one key each"
)]
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct GuestConfig {
    /// What it is.
    #[serde(default)]
    pub kind: GuestKind,
    /// Host name; of a virtual machine, its name.
    pub hostname: Option<String>,
    /// `unprivileged: 1`.
    pub unprivileged: bool,
    /// `features`, as stored.
    pub features: Option<String>,
    /// Memory in MiB.
    pub memory_mib: Option<u64>,
    /// The lock that stands in the configuration.
    pub lock: Option<String>,
    /// Description without its trailing newline.
    pub description: Option<String>,
    /// `onboot: 1`.
    pub onboot: bool,
    /// `protection: 1`.
    pub protection: bool,
    /// `template: 1`.
    pub template: bool,
    /// `hookscript`, which would run as root on the host.
    pub hookscript: Option<String>,
    /// Keys that reach devices of the host: `devN`; of a virtual machine `hostpciN`, `usbN` and their like.
    pub devices: Vec<String>,
    /// Raw `lxc.*` keys; of a virtual machine `args`, which go to QEMU as they are.
    pub raw_lxc: Vec<String>,
    /// Network interfaces by index.
    pub nics: Vec<Nic>,
    /// `rootfs` first, then `mpN` by index; or the drives in PVE's order, CD drives left out.
    pub mounts: Vec<Mount>,
    /// When it was created, in seconds: `meta` of a virtual machine; PVE notes it of no container.
    #[serde(default)]
    pub created_s: Option<i64>,
    /// Every key that stands in the configuration, `digest` left out.
    pub keys: BTreeSet<String>,
}

impl GuestConfig {
    /// Whether this is the stub that PVE writes before a restore and replaces at its end: nothing but `lock: create`.
    pub fn is_create_stub(&self) -> bool {
        self.lock.as_deref() == Some("create") && self.keys.iter().all(|key| key == "lock")
    }

    /// Whether this is what a restore of a virtual machine leaves until its very end, and for good when it fails: nothing, or
    /// `memory: 128` (qemu-server QemuServer.pm `restore_vma_archive`).
    pub fn is_restore_stub(&self) -> bool {
        let bare = self.keys.iter().all(|key| key == "memory");
        let memory = self.keys.is_empty() || self.memory_mib == Some(128);
        self.kind == GuestKind::Qemu && bare && memory
    }

    /// Whether this is what is left of a container's stub when its lock is taken away: nothing at all.
    pub fn is_bare_container(&self) -> bool {
        self.kind == GuestKind::Lxc && self.keys.is_empty()
    }

    /// Whether this is the stub that PVE leaves of a guest whose destruction broke off after its volumes were gone.
    pub fn is_destroyed_stub(&self) -> bool {
        self.lock.as_deref() == Some("destroyed") && self.keys.iter().all(|key| key == "lock")
    }

    /// Who this guest is: a reused VMID has another fingerprint.
    pub fn fingerprint(&self) -> GuestFingerprint {
        // A virtual machine has no root file system that PVE knows of: its first drive stands for it.
        let is_first = |mount: &&Mount| mount.key == "rootfs" || is_drive(&mount.key);
        let rootfs = self.mounts.iter().find(is_first);
        GuestFingerprint {
            rootfs: rootfs.and_then(|mount| match &mount.source {
                MountSource::Volume(volume) => Some(volume.to_string()),
                MountSource::Bind(_) | MountSource::Device(_) => None,
            }),
            macs: self
                .nics
                .iter()
                .filter_map(|nic| nic.hwaddr.clone())
                .collect(),
            created_s: self.created_s,
        }
    }
}

/// Tells a guest from another one that was given the same VMID later.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct GuestFingerprint {
    /// The volume id of the rootfs; of a virtual machine, of its first drive.
    pub rootfs: Option<String>,
    /// MAC addresses by interface index.
    pub macs: Vec<String>,
    /// When a virtual machine was created: one that was made anew can have the same volumes and addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_s: Option<i64>,
}

impl GuestFingerprint {
    /// Whether both are one guest, which may have been changed meanwhile: it was given another interface, or its volumes were
    /// moved. PVE gives volumes the same names again, but addresses by chance; so a name alone tells nobody apart. Another time of
    /// creation does; the same one tells nothing, since a clone keeps that of its template (qemu-server API2/Qemu.pm `clone_vm`).
    pub fn is_of_same_guest(&self, other: &Self) -> bool {
        if let (Some(one), Some(another)) = (self.created_s, other.created_s)
            && one != another
        {
            return false;
        }
        if self.macs.is_empty() && other.macs.is_empty() {
            return self.rootfs == other.rootfs;
        }
        let known = |mac: &String| other.macs.iter().any(|one| one.eq_ignore_ascii_case(mac));
        self.macs.iter().any(known)
    }
}

/// How a guest runs right now.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct GuestState {
    /// Whether it runs.
    pub running: bool,
    /// Its init's pid on the host.
    pub pid: Option<u64>,
    /// Seconds since it started.
    pub uptime_s: u64,
    /// The lock, as the status tells it.
    pub lock: Option<String>,
    /// Names of its snapshots, the pseudo entry `current` left out.
    pub snapshots: Vec<String>,
}

/// What a storage keeps by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Retention {
    /// `keep-all=1`, or nothing configured.
    KeepAll,
    /// Some `keep-*`: unprotected backups count against them.
    Limited,
    /// The token may not read the storage's definition.
    Unknown,
}

/// A storage, as seen from the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageFacts {
    /// Its id.
    pub id: StorageId,
    /// `dir`, `lvmthin`, `pbs`, …
    pub kind: String,
    /// Whether PVE could activate it.
    pub active: bool,
    /// Content types it takes.
    pub content: BTreeSet<String>,
    /// Size in bytes.
    pub total: u64,
    /// Free bytes.
    pub avail: u64,
    /// Its own retention.
    pub retention: Retention,
    /// `max-protected-backups`, where one is set; PVE's default for callers without `Datastore.Allocate` is 5.
    pub max_protected: Option<i64>,
    /// The thin pool behind an `lvmthin` storage.
    pub thin_pool: Option<ThinPool>,
    /// Whether a `zfspool` storage makes volumes of virtual machines that reserve nothing.
    #[serde(default)]
    pub sparse: bool,
    /// Whether a storage of files writes whole volumes at once (`preallocation`).
    #[serde(default)]
    pub preallocates: bool,
}

impl StorageFacts {
    /// Whether it takes volumes of guests.
    pub fn is_for_disks(&self) -> bool {
        self.content.contains("rootdir") || self.content.contains("images")
    }

    /// Whether a volume takes its whole size at once: on plain LVM, where files are preallocated, and on ZFS a virtual machine's,
    /// whose reservation is left out only with `sparse` (pve-storage ZFSPoolPlugin.pm `zfs_create_zvol`, Plugin.pm
    /// `raw_preallocation`). A container's ZFS file system grows.
    pub fn is_thick(&self, kind: GuestKind) -> bool {
        match self.kind.as_str() {
            "lvm" => true,
            "zfspool" => kind == GuestKind::Qemu && !self.sparse,
            _ => self.preallocates,
        }
    }
}

/// An LVM thin pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThinPool {
    /// Volume group.
    pub vg: String,
    /// Name of the pool.
    pub lv: String,
    /// Bytes of metadata space; zero when the server did not tell.
    pub metadata_size: u64,
    /// Bytes of it in use.
    pub metadata_used: u64,
}

/// The node.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NodeFacts {
    /// Nodes in the cluster; anything but 1 is unsupported.
    pub cluster_nodes: usize,
    /// Bytes of memory that can be given away.
    pub memory_available: u64,
    /// Free bytes of the root file system.
    pub root_avail: u64,
    /// Size of the root file system.
    pub root_total: u64,
    /// A vzdump task that runs now, whoever started it.
    pub vzdump_running: Option<Upid>,
    /// The node's own clock, in seconds since the epoch; ages of what it dated are told by it.
    pub now_s: Option<i64>,
    /// For how long it has been up, in seconds.
    #[serde(default)]
    pub uptime_s: Option<u64>,
}

/// A bridge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BridgeFacts {
    /// Its name.
    pub name: BridgeName,
    /// Physical ports.
    pub ports: Vec<String>,
    /// Addresses of the host on it.
    pub addresses: Vec<String>,
}

/// All that a backup's preflight looks at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupSubject {
    /// The guest's configuration.
    pub config: GuestConfig,
    /// How it runs.
    pub state: GuestState,
    /// The node.
    pub node: NodeFacts,
    /// Where the backup shall go; `None` when the node has no such storage or hides it.
    pub storage: Option<StorageFacts>,
    /// Volume ids of the guest's backups on that storage before the request.
    pub known_backups: BTreeSet<VolumeId>,
    /// How many of them are protected.
    pub protected_backups: usize,
    /// Every vzdump task of that guest that the server lists.
    pub tasks: BTreeSet<Upid>,
    /// Privileges the principal lacks: `(path, privilege)`; empty when all are there.
    pub missing_privileges: Vec<(String, String)>,
    /// Patterns that the node's own configuration leaves out of every container's archive, or why that cannot be told.
    pub excludes: Result<Vec<String>, RemoteError>,
}

/// A backup archive as the storage lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveFacts {
    /// Its volume id.
    pub volid: VolumeId,
    /// The guest it is of, as PVE reads it from the name.
    pub vmid: Option<Vmid>,
    /// Bytes on the storage.
    pub size: u64,
    /// Seconds since the epoch, read by PVE from the name in the node's local time.
    pub ctime: i64,
    /// Notes, whole where they were asked for, else the first line.
    pub notes: Option<String>,
    /// Whether it is protected.
    pub protected: bool,
    /// A PBS storage's key fingerprint (or `1`) for encrypted snapshots.
    pub encrypted: Option<String>,
}

/// What a backup left in the world.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupResult {
    /// Archives of the guest that were not there before.
    pub new_archives: Vec<ArchiveFacts>,
    /// The guest afterwards.
    pub state: GuestState,
    /// The configuration inside the new archive, where there is exactly one and it could be read.
    pub archived_config: Option<GuestConfig>,
    /// Somebody else's backup that may be working on the guest right now.
    #[serde(default)]
    pub other_backup: Option<Upid>,
}

/// All that a restore test's preflight looks at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestSubject {
    /// The archive, with its whole notes; `None` when the storage does not list it.
    pub archive: Option<ArchiveFacts>,
    /// The configuration inside it.
    pub archived: GuestConfig,
    /// Why the configuration inside it could not be read; then `archived` is empty.
    pub config_error: Option<RemoteError>,
    /// The node.
    pub node: NodeFacts,
    /// The storage that the copy goes to.
    pub target: Option<StorageFacts>,
    /// The isolated bridge; `None` when the node has none of that name, or hides it.
    pub bridge: Option<BridgeFacts>,
    /// Whether the scratch pool can be seen.
    pub pool: Option<PoolId>,
    /// Free VMIDs of the scratch range, lowest first, at most a handful.
    pub free_vmids: Vec<Vmid>,
    /// Privileges the restore-test principal lacks: `(path, privilege)`.
    pub missing_privileges: Vec<(String, String)>,
}

/// Whether a VMID is taken. Asked with `/cluster/nextid`, which permissions do not shorten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Existence {
    /// No guest has it.
    Absent,
    /// A guest of either kind has it, and we could read its configuration.
    Guest(Box<GuestConfig>),
    /// Some guest has it that we cannot read, with the reason.
    Unreadable(String),
}

/// A task of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskFacts {
    /// Its id.
    pub upid: Upid,
    /// Whether it still runs.
    pub running: bool,
    /// Its exit status, when it ended.
    pub status: Option<String>,
}

/// All that is looked at right before something happens to a scratch guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScratchFacts {
    /// Whether the VMID is taken, and by what.
    pub existence: Existence,
    /// How it runs, where it can be read.
    pub state: Option<GuestState>,
    /// Volumes on the target storage that belong to the VMID; `None` when the token may not see whether there are any.
    pub volumes: Option<Vec<VolumeId>>,
    /// Every task on that VMID that the server lists, whoever started it, in the order in which the node's clock says that they
    /// started.
    pub tasks: Vec<TaskFacts>,
}

impl ScratchFacts {
    /// The UPIDs of all that is listed.
    pub fn upids(&self) -> BTreeSet<Upid> {
        self.tasks.iter().map(|task| task.upid.clone()).collect()
    }
}

/// A snapshot of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotFacts {
    /// Its name.
    pub name: SnapshotName,
    /// Its description.
    pub description: Option<String>,
    /// When the node's clock says it was made, in seconds since the epoch.
    #[serde(default)]
    pub taken_s: Option<i64>,
    /// The snapshot before it.
    #[serde(default)]
    pub parent: Option<SnapshotName>,
    /// `prepare` or `delete` where making or deleting it was cut off.
    #[serde(default)]
    pub state: Option<String>,
}

/// All that is looked at before and after a guard's snapshot, its removal, and a rollback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardSubject {
    /// The guest's configuration.
    pub config: GuestConfig,
    /// How it runs.
    pub state: GuestState,
    /// The node, with its clocks.
    pub node: NodeFacts,
    /// Whether PVE says that a snapshot can be made.
    pub capable: bool,
    /// The storages of its volumes, as far as they can be seen.
    pub storages: Vec<StorageFacts>,
    /// Its snapshots.
    pub snapshots: Vec<SnapshotFacts>,
    /// The snapshot that the present state grew from.
    pub parent: Option<SnapshotName>,
    /// Every task on the guest that the server lists.
    pub tasks: BTreeSet<Upid>,
    /// Whether the token may make and remove snapshots of it.
    pub may_snapshot: bool,
    /// Whether the token may roll it back.
    pub may_roll_back: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(rootfs: &str, macs: &[&str], created_s: Option<i64>) -> GuestFingerprint {
        GuestFingerprint {
            rootfs: Some(rootfs.to_owned()),
            macs: macs.iter().map(|mac| (*mac).to_owned()).collect(),
            created_s,
        }
    }

    #[test]
    fn a_guest_stays_itself_when_it_is_changed_and_a_reused_vmid_is_another() {
        let guest = who("thin:vm-101-disk-0", &["BC:24:11:00:00:01"], None);
        let more = ["bc:24:11:00:00:01", "BC:24:11:00:00:02"];
        assert!(guest.is_of_same_guest(&who("thin:vm-101-disk-0", &more, None)));
        assert!(guest.is_of_same_guest(&who("nas:101/vm-101-disk-0.raw", &more, None)));
        let another = ["BC:24:11:00:00:09"];
        assert!(!guest.is_of_same_guest(&who("thin:vm-101-disk-0", &another, None)));
        assert!(!guest.is_of_same_guest(&who("thin:vm-101-disk-0", &[], None)));
        // A virtual machine says when it was made, or when its template was.
        let machine = who("thin:vm-102-disk-0", &more, Some(5));
        assert!(machine.is_of_same_guest(&who("nas:vm-102-disk-1", &more, Some(5))));
        assert!(!machine.is_of_same_guest(&who("thin:vm-102-disk-0", &another, Some(5))));
        assert!(!machine.is_of_same_guest(&who("thin:vm-102-disk-0", &more, Some(6))));
        // Without an address there is nothing but the name of its volume.
        let mute = who("thin:vm-103-disk-0", &[], None);
        assert!(mute.is_of_same_guest(&mute));
        assert!(!mute.is_of_same_guest(&who("nas:103/vm-103-disk-0.raw", &[], None)));
    }
}
