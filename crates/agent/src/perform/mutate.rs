//! Mutations become requests, and answers become what may have happened.

use felhom_engine::{BackupMode, ErrorClass, Mutation, RemoteError, Sent};
use felhom_ids::{GuestKind, SnapshotName, Vmid, VolumeId};
use felhom_proxmox::pve::backup::{BackupMode as PveMode, Vzdump};
use felhom_proxmox::pve::guests::{CreateSnapshot, DestroyLxc, DestroyQemu, RollbackSnapshot};
use felhom_proxmox::pve::storage::SetVolumeAttributes;
use felhom_proxmox::{Delivery, Error, Pve, TaskHandle};

use super::pbs::elsewhere;
use super::restore::{restore, restore_for_good};
use crate::observe::remote_error;
use crate::remote::Remotes;

/// Sends one mutation, once.
pub(super) async fn send(remotes: &Remotes, mutation: &Mutation) -> Sent {
    let pve = remotes.of(mutation.principal());
    match mutation {
        Mutation::Backup { .. } => backup(pve, mutation).await,
        Mutation::Restore(plan) => restore(pve, plan).await,
        Mutation::RestoreGuest(plan) => restore_for_good(pve, plan).await,
        Mutation::StartMachine(vmid) | Mutation::StartRestoredMachine(vmid) => {
            started(pve.start_guest(GuestKind::Qemu, *vmid).await)
        }
        Mutation::StopMachine(vmid) => started(pve.stop_guest(GuestKind::Qemu, *vmid).await),
        Mutation::DestroyMachine(vmid) | Mutation::DestroyRestoredMachine(vmid) => {
            started(pve.destroy_qemu(&destroy_machine(*vmid)).await)
        }
        Mutation::Start(vmid) | Mutation::StartRestored(vmid) => {
            started(pve.start_guest(GuestKind::Lxc, *vmid).await)
        }
        Mutation::Stop(vmid) => started(pve.stop_guest(GuestKind::Lxc, *vmid).await),
        Mutation::Destroy(vmid) | Mutation::DestroyRestored(vmid) => {
            started(pve.destroy_lxc(&destroy(*vmid)).await)
        }
        Mutation::Snapshot {
            vmid,
            name,
            description,
        } => started(
            pve.create_snapshot(&snapshot(*vmid, name, description))
                .await,
        ),
        Mutation::DeleteSnapshot { vmid, name } => started(pve.delete_snapshot(*vmid, name).await),
        Mutation::Rollback { vmid, name, start } => {
            started(pve.rollback_snapshot(&rollback(*vmid, name, *start)).await)
        }
        Mutation::StopTask { upid, .. } => done(pve.stop_task(upid).await),
        Mutation::SetNotes { volid, notes } => set(pve, attributes(volid, Some(notes), None)).await,
        Mutation::SetProtected { volid, protected } => {
            set(pve, attributes(volid, None, Some(*protected))).await
        }
        Mutation::DeleteBackup { volid } => started(pve.delete_volume(volid).await),
        Mutation::DestroyStub { kind, vmid } => destroy_stub(pve, *kind, *vmid).await,
        Mutation::Verify { target, .. } => Sent::Refused(elsewhere(&target.storage)),
        Mutation::ReleaseUnfinished { .. } | Mutation::CreateGolden { .. } => {
            local("only the root helper does that".to_owned())
        }
    }
}

/// One guest, and nothing of PVE's own retention.
async fn backup(pve: &Pve, mutation: &Mutation) -> Sent {
    let Mutation::Backup {
        vmid,
        storage,
        mode,
        protected,
        notes,
        lockwait_min,
        known: _,
    } = mutation
    else {
        return local(format!("`{}` is no backup", mutation.name()));
    };
    let backup = Vzdump {
        mode: pve_mode(*mode),
        protected: protected.then_some(true),
        notes: Some(notes.clone()),
        lockwait: Some(*lockwait_min),
        ..Vzdump::new(*vmid, storage.clone())
    };
    started(pve.vzdump(&backup).await)
}

fn snapshot(vmid: Vmid, name: &SnapshotName, description: &str) -> CreateSnapshot {
    CreateSnapshot {
        vmid,
        name: name.clone(),
        description: Some(description.to_owned()),
    }
}

fn rollback(vmid: Vmid, name: &SnapshotName, start: bool) -> RollbackSnapshot {
    RollbackSnapshot {
        vmid,
        name: name.clone(),
        start,
    }
}

/// What cannot be written as a request was never sent.
pub(super) fn local(text: String) -> Sent {
    Sent::Refused(RemoteError {
        class: ErrorClass::Local,
        text,
    })
}

/// As for containers.
fn destroy_machine(vmid: Vmid) -> DestroyQemu {
    DestroyQemu {
        vmid,
        unreferenced_disks: false,
    }
}

async fn set(pve: &Pve, change: SetVolumeAttributes) -> Sent {
    done(pve.set_volume_attributes(&change).await)
}

fn attributes(
    volid: &VolumeId,
    notes: Option<&String>,
    protected: Option<bool>,
) -> SetVolumeAttributes {
    SetVolumeAttributes {
        volume: volid.clone(),
        notes: notes.cloned(),
        protected,
    }
}

fn destroy(vmid: Vmid) -> DestroyLxc {
    DestroyLxc {
        vmid,
        // Whatever else bears this number, on any storage, was there before us and may be all that is left of somebody's guest.
        unreferenced_disks: false,
    }
}

/// With every volume that bears its number: in the scratch range nobody else has any.
async fn destroy_stub(pve: &Pve, kind: GuestKind, vmid: Vmid) -> Sent {
    let unreferenced_disks = true;
    match kind {
        GuestKind::Lxc => {
            let request = DestroyLxc {
                vmid,
                unreferenced_disks,
            };
            started(pve.destroy_lxc(&request).await)
        }
        GuestKind::Qemu => {
            let request = DestroyQemu {
                vmid,
                unreferenced_disks,
            };
            started(pve.destroy_qemu(&request).await)
        }
    }
}

fn pve_mode(mode: BackupMode) -> PveMode {
    match mode {
        BackupMode::Snapshot => PveMode::Snapshot,
        BackupMode::Suspend => PveMode::Suspend,
        BackupMode::Stop => PveMode::Stop,
    }
}

pub(super) fn started(answer: Result<TaskHandle, Error>) -> Sent {
    match answer {
        Ok(handle) => Sent::Started(handle.into_upid()),
        Err(error) => failed(&error),
    }
}

pub(super) fn done(answer: Result<(), Error>) -> Sent {
    match answer {
        Ok(()) => Sent::Done,
        Err(error) => failed(&error),
    }
}

/// A 200 that makes no sense is no refusal: the mutation may well have happened.
fn failed(error: &Error) -> Sent {
    let told = remote_error(error);
    match (error, error.delivery()) {
        (Error::Decode { .. }, _) | (_, Delivery::Unknown) => Sent::Lost(told),
        (_, Delivery::NotSent) => Sent::NotSent(told),
        (_, Delivery::Answered) => Sent::Refused(told),
    }
}
