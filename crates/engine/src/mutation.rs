//! What the agent changes in the world: one value a request, with who sends it and which task it starts.

use std::collections::BTreeSet;

use felhom_ids::{BackupSnapshot, GuestKind, SnapshotName, StorageId, Upid, Vmid, VolumeId};
use serde::{Deserialize, Serialize};

use crate::pbs::Target;
use crate::policy::BackupMode;
use crate::principal::{Principal, Remote};
use crate::restore_run::RestoreRunPlan;
use crate::restore_test::plan::RestorePlan;

/// One request that changes the world.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mutation {
    /// Back one guest up.
    Backup {
        /// The guest.
        vmid: Vmid,
        /// Where to.
        storage: StorageId,
        /// How.
        mode: BackupMode,
        /// Set `protected`, because the storage's own retention would count the archive.
        protected: bool,
        /// The notes, our mark among them.
        notes: String,
        /// Minutes to wait for the node's vzdump lock.
        lockwait_min: u32,
        /// The guest's backups before, by which the effect is known.
        known: BTreeSet<VolumeId>,
    },
    /// Restore a copy into the scratch range.
    Restore(Box<RestorePlan>),
    /// Restore a guest for real, under a VMID that is free.
    RestoreGuest(Box<RestoreRunPlan>),
    /// Start a guest that a restore brought back.
    StartRestored(Vmid),
    /// Destroy what a failed restore made. Never with `purge`, never with `force`.
    DestroyRestored(Vmid),
    /// Start a virtual machine that a restore brought back.
    StartRestoredMachine(Vmid),
    /// Destroy what a failed restore of a virtual machine made. Never with `purge`.
    DestroyRestoredMachine(Vmid),
    /// Start a scratch guest.
    Start(Vmid),
    /// Stop a scratch guest.
    Stop(Vmid),
    /// Destroy a scratch guest. Never with `purge`, never with `force`.
    Destroy(Vmid),
    /// Start a scratch virtual machine.
    StartMachine(Vmid),
    /// Stop a scratch virtual machine.
    StopMachine(Vmid),
    /// Destroy a scratch virtual machine. Never with `purge`.
    DestroyMachine(Vmid),
    /// Have the root helper release what a task of ours left in the scratch range that was cut off. It proves that by itself,
    /// and does nothing to what was released before: asking twice is asking once.
    ReleaseUnfinished {
        /// The guest.
        vmid: Vmid,
        /// The task that was cut off.
        upid: Upid,
    },
    /// Have the root helper make the container that a golden archive is taken of. It makes none where an earlier request for the
    /// same one did, and says so: asking twice is asking once.
    CreateGolden {
        /// Its number.
        vmid: Vmid,
        /// The template that it is made from.
        template: VolumeId,
    },
    /// Destroy the empty stub that was released, and with it every volume that bears its number: nothing mentions those that
    /// the task had made, and in the scratch range they are nobody else's. Never with `purge`, never with `force`.
    DestroyStub {
        /// What it is.
        kind: GuestKind,
        /// The guest.
        vmid: Vmid,
    },
    /// Snapshot a guest.
    Snapshot {
        /// The guest.
        vmid: Vmid,
        /// The snapshot's name.
        name: SnapshotName,
        /// Its description, our mark in it.
        description: String,
    },
    /// Remove a snapshot of ours.
    DeleteSnapshot {
        /// The guest.
        vmid: Vmid,
        /// The snapshot's name.
        name: SnapshotName,
    },
    /// Roll a guest back to a snapshot of ours. What came after the snapshot is lost, so this is never repeated blindly.
    Rollback {
        /// The guest.
        vmid: Vmid,
        /// The snapshot's name.
        name: SnapshotName,
        /// Start it afterwards.
        start: bool,
    },
    /// Stop a task of our own.
    StopTask {
        /// Whose task it is.
        principal: Principal,
        /// The task.
        upid: Upid,
        /// Where it runs.
        #[serde(default, skip_serializing_if = "Remote::is_node")]
        remote: Remote,
    },
    /// Replace an archive's notes.
    SetNotes {
        /// The archive.
        volid: VolumeId,
        /// The whole text.
        notes: String,
    },
    /// Protect an archive from every deletion, or allow it again.
    SetProtected {
        /// The archive.
        volid: VolumeId,
        /// Which of the two.
        protected: bool,
    },
    /// Delete an archive of ours.
    DeleteBackup {
        /// The archive.
        volid: VolumeId,
    },
    /// Have a Proxmox Backup Server verify one snapshot, whatever it knows of an earlier verify (`ignore-verified=false`).
    Verify {
        /// Which server, datastore and namespace.
        target: Box<Target>,
        /// The snapshot.
        snapshot: BackupSnapshot,
    },
}

impl Mutation {
    /// Starts a scratch guest of this kind.
    pub fn start(kind: GuestKind, vmid: Vmid) -> Self {
        match kind {
            GuestKind::Lxc => Self::Start(vmid),
            GuestKind::Qemu => Self::StartMachine(vmid),
        }
    }

    /// Stops a scratch guest of this kind.
    pub fn stop(kind: GuestKind, vmid: Vmid) -> Self {
        match kind {
            GuestKind::Lxc => Self::Stop(vmid),
            GuestKind::Qemu => Self::StopMachine(vmid),
        }
    }

    /// Destroys a scratch guest of this kind.
    pub fn destroy(kind: GuestKind, vmid: Vmid) -> Self {
        match kind {
            GuestKind::Lxc => Self::Destroy(vmid),
            GuestKind::Qemu => Self::DestroyMachine(vmid),
        }
    }

    /// Starts a restored guest of this kind.
    pub fn start_restored(kind: GuestKind, vmid: Vmid) -> Self {
        match kind {
            GuestKind::Lxc => Self::StartRestored(vmid),
            GuestKind::Qemu => Self::StartRestoredMachine(vmid),
        }
    }

    /// Destroys what a failed restore of a guest of this kind made.
    pub fn destroy_restored(kind: GuestKind, vmid: Vmid) -> Self {
        match kind {
            GuestKind::Lxc => Self::DestroyRestored(vmid),
            GuestKind::Qemu => Self::DestroyRestoredMachine(vmid),
        }
    }

    /// The names of all mutations there are, for tests that must not leave one out.
    pub const NAMES: [&str; 19] = [
        "backup",
        "restore",
        "restore-guest",
        "start-restored",
        "destroy-restored",
        "start",
        "stop",
        "destroy",
        "release-unfinished",
        "create-golden",
        "destroy-stub",
        "snapshot",
        "delete-snapshot",
        "rollback",
        "stop-task",
        "set-notes",
        "set-protected",
        "delete-backup",
        "verify",
    ];

    /// Who sends it.
    pub fn principal(&self) -> Principal {
        match self {
            Self::Backup { .. }
            | Self::SetNotes { .. }
            | Self::SetProtected { .. }
            | Self::DeleteBackup { .. }
            | Self::Snapshot { .. }
            | Self::DeleteSnapshot { .. }
            | Self::Rollback { .. }
            | Self::CreateGolden { .. }
            | Self::Verify { .. } => Principal::Agent,
            Self::Restore(_)
            | Self::Start(_)
            | Self::Stop(_)
            | Self::Destroy(_)
            | Self::StartMachine(_)
            | Self::StopMachine(_)
            | Self::DestroyMachine(_)
            | Self::ReleaseUnfinished { .. }
            | Self::DestroyStub { .. } => Principal::RestoreTest,
            Self::RestoreGuest(_)
            | Self::StartRestored(_)
            | Self::DestroyRestored(_)
            | Self::StartRestoredMachine(_)
            | Self::DestroyRestoredMachine(_) => Principal::Restore,
            Self::StopTask { principal, .. } => *principal,
        }
    }

    /// The server that it is sent to.
    pub fn remote(&self) -> Remote {
        match self {
            Self::Verify { target, .. } => target.remote(),
            Self::StopTask { remote, .. } => remote.clone(),
            Self::ReleaseUnfinished { .. } | Self::CreateGolden { .. } => Remote::Host,
            Self::Backup { .. }
            | Self::Restore(_)
            | Self::RestoreGuest(_)
            | Self::StartRestored(_)
            | Self::DestroyRestored(_)
            | Self::StartRestoredMachine(_)
            | Self::DestroyRestoredMachine(_)
            | Self::Start(_)
            | Self::Stop(_)
            | Self::Destroy(_)
            | Self::StartMachine(_)
            | Self::StopMachine(_)
            | Self::DestroyMachine(_)
            | Self::DestroyStub { .. }
            | Self::Snapshot { .. }
            | Self::DeleteSnapshot { .. }
            | Self::Rollback { .. }
            | Self::SetNotes { .. }
            | Self::SetProtected { .. }
            | Self::DeleteBackup { .. } => Remote::Node,
        }
    }

    /// Type and id of the task it starts, the id as `Upid::subject` gives it; `None` for a request that is answered when it is done.
    pub fn task(&self) -> Option<(&'static str, String)> {
        match self {
            Self::Backup { vmid, .. } => Some(("vzdump", vmid.to_string())),
            Self::Restore(plan) => Some((restore_task(plan.kind), plan.vmid.to_string())),
            Self::RestoreGuest(plan) => Some((restore_task(plan.kind), plan.vmid.to_string())),
            Self::StartMachine(vmid) | Self::StartRestoredMachine(vmid) => {
                Some(("qmstart", vmid.to_string()))
            }
            Self::StopMachine(vmid) => Some(("qmstop", vmid.to_string())),
            Self::DestroyMachine(vmid)
            | Self::DestroyRestoredMachine(vmid)
            | Self::DestroyStub {
                kind: GuestKind::Qemu,
                vmid,
            } => Some(("qmdestroy", vmid.to_string())),
            Self::Start(vmid) | Self::StartRestored(vmid) => Some(("vzstart", vmid.to_string())),
            Self::Stop(vmid) => Some(("vzstop", vmid.to_string())),
            Self::Destroy(vmid)
            | Self::DestroyRestored(vmid)
            | Self::DestroyStub {
                kind: GuestKind::Lxc,
                vmid,
            } => Some(("vzdestroy", vmid.to_string())),
            Self::Snapshot { vmid, .. } => Some(("vzsnapshot", vmid.to_string())),
            Self::DeleteSnapshot { vmid, .. } => Some(("vzdelsnapshot", vmid.to_string())),
            Self::Rollback { vmid, .. } => Some(("vzrollback", vmid.to_string())),
            // By guest and storage (pve-storage API2/Storage/Content.pm); the task list finds it by no VMID.
            Self::DeleteBackup { volid } => Some((
                "imgdel",
                match volid.guest() {
                    Some(vmid) => format!("{vmid}@{}", volid.storage()),
                    None => volid.storage().to_string(),
                },
            )),
            Self::Verify { target, snapshot } => {
                Some(("verify_snapshot", target.verify_id(snapshot)))
            }
            Self::StopTask { .. }
            | Self::ReleaseUnfinished { .. }
            | Self::CreateGolden { .. }
            | Self::SetNotes { .. }
            | Self::SetProtected { .. } => None,
        }
    }

    /// The storage that its task writes to.
    pub(crate) fn fills(&self) -> Option<StorageId> {
        match self {
            Self::Backup { storage, .. } => Some(storage.clone()),
            Self::Restore(plan) => Some(plan.storage.clone()),
            Self::RestoreGuest(plan) => plan.storages().into_iter().next(),
            Self::StartRestored(_)
            | Self::DestroyRestored(_)
            | Self::StartRestoredMachine(_)
            | Self::DestroyRestoredMachine(_)
            | Self::Start(_)
            | Self::Stop(_)
            | Self::Destroy(_)
            | Self::StartMachine(_)
            | Self::StopMachine(_)
            | Self::DestroyMachine(_)
            | Self::ReleaseUnfinished { .. }
            | Self::CreateGolden { .. }
            | Self::DestroyStub { .. }
            | Self::Snapshot { .. }
            | Self::DeleteSnapshot { .. }
            | Self::Rollback { .. }
            | Self::StopTask { .. }
            | Self::SetNotes { .. }
            | Self::SetProtected { .. }
            | Self::DeleteBackup { .. }
            | Self::Verify { .. } => None,
        }
    }

    /// A short stable name for logs and the journal.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Backup { .. } => "backup",
            Self::Restore(_) => "restore",
            Self::RestoreGuest(_) => "restore-guest",
            Self::StartRestored(_) | Self::StartRestoredMachine(_) => "start-restored",
            Self::DestroyRestored(_) | Self::DestroyRestoredMachine(_) => "destroy-restored",
            Self::Start(_) | Self::StartMachine(_) => "start",
            Self::Stop(_) | Self::StopMachine(_) => "stop",
            Self::Destroy(_) | Self::DestroyMachine(_) => "destroy",
            Self::ReleaseUnfinished { .. } => "release-unfinished",
            Self::CreateGolden { .. } => "create-golden",
            Self::DestroyStub { .. } => "destroy-stub",
            Self::Snapshot { .. } => "snapshot",
            Self::DeleteSnapshot { .. } => "delete-snapshot",
            Self::Rollback { .. } => "rollback",
            Self::StopTask { .. } => "stop-task",
            Self::SetNotes { .. } => "set-notes",
            Self::SetProtected { .. } => "set-protected",
            Self::DeleteBackup { .. } => "delete-backup",
            Self::Verify { .. } => "verify",
        }
    }
}

/// The type of the task that restores a guest of this kind.
pub(crate) fn restore_task(kind: GuestKind) -> &'static str {
    match kind {
        GuestKind::Lxc => "vzrestore",
        GuestKind::Qemu => "qmrestore",
    }
}
