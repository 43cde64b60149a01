//! Mutations become requests, and answers become what may have happened.

use std::collections::BTreeMap;

use felhom_engine::{
    BackupMode, ErrorClass, Mutation, RemoteError, RestorePlan, RestoreRunPlan, Sent,
};
use felhom_ids::{GuestKind, SnapshotName, Vmid, VolumeId};
use felhom_proxmox::property::{
    InvalidProperty, Ipv4Setting, MachineNic, MountPoint, MountSource, NetworkInterface,
    PropertyValue, RootFs,
};
use felhom_proxmox::pve::backup::{BackupMode as PveMode, Vzdump};
use felhom_proxmox::pve::guests::{
    CreateSnapshot, DestroyLxc, DestroyQemu, LxcSettings, QemuSettings, RestoreLxc, RestoreQemu,
    RollbackSnapshot,
};
use felhom_proxmox::pve::storage::SetVolumeAttributes;
use felhom_proxmox::{Delivery, Error, Pve, TaskHandle};

use crate::observe::remote_error;
use crate::remote::Remotes;

/// Sends one mutation, once.
pub(super) async fn send(remotes: &Remotes, mutation: &Mutation) -> Sent {
    let pve = remotes.of(mutation.principal());
    match mutation {
        Mutation::Backup {
            vmid,
            storage,
            mode,
            protected,
            notes,
            lockwait_min,
            known: _,
        } => {
            let backup = Vzdump {
                mode: pve_mode(*mode),
                protected: protected.then_some(true),
                notes: Some(notes.clone()),
                lockwait: Some(*lockwait_min),
                ..Vzdump::new(*vmid, storage.clone())
            };
            started(pve.vzdump(&backup).await)
        }
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
        Mutation::Verify { target, .. } => local(format!(
            "the node is not the backup server of storage `{}`",
            target.storage
        )),
    }
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

/// Into the scratch range.
async fn restore(pve: &Pve, plan: &RestorePlan) -> Sent {
    match plan.kind {
        GuestKind::Lxc => match restore_container(plan) {
            Ok(request) => started(pve.restore_lxc(&request).await),
            Err(error) => local(error.to_string()),
        },
        GuestKind::Qemu => match restore_machine(plan) {
            Ok(request) => started(pve.restore_qemu(&request).await),
            Err(error) => local(error.to_string()),
        },
    }
}

/// Under the VMID that was asked for.
async fn restore_for_good(pve: &Pve, plan: &RestoreRunPlan) -> Sent {
    match plan.kind {
        GuestKind::Lxc => match restore_guest(plan) {
            Ok(request) => started(pve.restore_lxc(&request).await),
            Err(text) => local(text),
        },
        GuestKind::Qemu => match restore_whole_machine(plan) {
            Ok(request) => started(pve.restore_qemu(&request).await),
            Err(text) => local(text),
        },
    }
}

/// What cannot be written as a request was never sent.
fn local(text: String) -> Sent {
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

fn pve_mode(mode: BackupMode) -> PveMode {
    match mode {
        BackupMode::Snapshot => PveMode::Snapshot,
        BackupMode::Suspend => PveMode::Suspend,
        BackupMode::Stop => PveMode::Stop,
    }
}

fn started(answer: Result<TaskHandle, Error>) -> Sent {
    match answer {
        Ok(handle) => Sent::Started(handle.into_upid()),
        Err(error) => failed(&error),
    }
}

fn done(answer: Result<(), Error>) -> Sent {
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

/// The same for a virtual machine. The description replaces the lines that PVE makes of drives without a backup, and new
/// addresses and ids keep the copy from being taken for the guest.
fn restore_machine(plan: &RestorePlan) -> Result<RestoreQemu, InvalidProperty> {
    let mut nets = BTreeMap::new();
    for nic in &plan.nics {
        let model = nic.name.parse::<PropertyValue>();
        let mut net = MachineNic::new(model?);
        net.bridge = Some(plan.bridge.clone());
        net.link_down = Some(true);
        nets.insert(u16::try_from(nic.index).unwrap_or(u16::MAX), net);
    }
    Ok(RestoreQemu {
        vmid: plan.vmid,
        archive: plan.volid.clone(),
        storage: Some(plan.storage.clone()),
        pool: Some(plan.pool.clone()),
        unique: true,
        settings: QemuSettings {
            name: None,
            description: Some(described(plan)),
            memory: Some(plan.memory_mib),
            balloon: Some(0),
            cores: Some(plan.cores),
            sockets: Some(1),
            onboot: Some(false),
            protection: Some(false),
            nets,
        },
        bwlimit: None,
    })
}

fn described(plan: &RestorePlan) -> String {
    format!(
        "scratch guest of a restore test by felhom-agent, removed when the test ends\n{}",
        plan.mark
    )
}

/// The one request that carries everything that keeps a copy from the world.
fn restore_container(plan: &RestorePlan) -> Result<RestoreLxc, InvalidProperty> {
    let mut settings = LxcSettings {
        pool: Some(plan.pool.clone()),
        description: Some(described(plan)),
        memory: Some(plan.memory_mib),
        swap: Some(0),
        cores: Some(plan.cores),
        onboot: Some(false),
        protection: Some(false),
        ..LxcSettings::default()
    };
    for mount in &plan.mounts {
        match mount
            .key
            .strip_prefix("mp")
            .and_then(|number| number.parse().ok())
        {
            Some(number) => {
                let mut point =
                    MountPoint::new(plan.storage.clone(), mount.size, mount.path.parse()?);
                point.backup = Some(true);
                settings.mounts.insert(number, point);
            }
            None => settings.rootfs = Some(RootFs::new(plan.storage.clone(), mount.size)),
        }
    }
    settings.nets = nets(plan)?;
    Ok(RestoreLxc {
        vmid: plan.vmid,
        archive: plan.volid.clone(),
        storage: Some(plan.storage.clone()),
        settings,
        bwlimit: None,
    })
}

/// The one request of a restore that stays: every volume and every key that the plan sets, and neither `force` nor `unique`.
fn restore_guest(plan: &RestoreRunPlan) -> Result<RestoreLxc, String> {
    let told = |error: InvalidProperty| error.to_string();
    let mut settings = LxcSettings::default();
    for (key, value) in &plan.set {
        match key.as_str() {
            "hostname" => settings.hostname = Some(value.clone()),
            "description" => settings.description = Some(value.clone()),
            "onboot" => settings.onboot = Some(value == "1"),
            "protection" => settings.protection = Some(value == "1"),
            _ => {
                let number = net_number(key)?;
                settings.nets.insert(number, value.parse().map_err(told)?);
            }
        }
    }
    for volume in &plan.volumes {
        // Read with a volume of no consequence, which the new one takes the place of.
        let text = format!("{}:1,{}", volume.storage, volume.options);
        let (storage, size) = (volume.storage.clone(), volume.size);
        let source = MountSource::New { storage, size };
        if let Some(number) = volume.key.strip_prefix("mp") {
            let number = number.parse().map_err(|_| unplanned(&volume.key))?;
            let mut point: MountPoint = text.parse().map_err(told)?;
            point.source = source;
            settings.mounts.insert(number, point);
        } else {
            let mut rootfs: RootFs = text.parse().map_err(told)?;
            rootfs.source = source;
            settings.rootfs = Some(rootfs);
        }
    }
    Ok(RestoreLxc {
        vmid: plan.vmid,
        archive: plan.volid.clone(),
        storage: plan.storages().into_iter().next(),
        settings,
        bwlimit: None,
    })
}

fn unplanned(key: &str) -> String {
    format!("no request sets `{key}`")
}

fn net_number(key: &str) -> Result<u16, String> {
    let number = key.strip_prefix("net").and_then(|n| n.parse().ok());
    number.ok_or_else(|| unplanned(key))
}

/// The same of a virtual machine, whose drives no request can name. `unique` gives it a UUID of its own, and leaves the
/// interfaces alone that are named: all are.
fn restore_whole_machine(plan: &RestoreRunPlan) -> Result<RestoreQemu, String> {
    let mut settings = QemuSettings::default();
    for (key, value) in &plan.set {
        match key.as_str() {
            "name" => settings.name = Some(value.clone()),
            "description" => settings.description = Some(value.clone()),
            "onboot" => settings.onboot = Some(value == "1"),
            "protection" => settings.protection = Some(value == "1"),
            _ => {
                let net: Result<MachineNic, InvalidProperty> = value.parse();
                let net = net.map_err(|error| error.to_string())?;
                settings.nets.insert(net_number(key)?, net);
            }
        }
    }
    Ok(RestoreQemu {
        vmid: plan.vmid,
        archive: plan.volid.clone(),
        storage: plan.storage.clone(),
        pool: None,
        unique: plan.unique,
        settings,
        bwlimit: None,
    })
}

fn nets(plan: &RestorePlan) -> Result<BTreeMap<u16, NetworkInterface>, InvalidProperty> {
    plan.nics
        .iter()
        .map(|nic| {
            let mut net = NetworkInterface::new(nic.name.parse()?);
            net.bridge = Some(plan.bridge.clone());
            net.link_down = Some(true);
            net.ip = Some(Ipv4Setting::Static {
                address: nic.address,
                prefix: 32,
            });
            Ok((u16::try_from(nic.index).unwrap_or(u16::MAX), net))
        })
        .collect()
}
