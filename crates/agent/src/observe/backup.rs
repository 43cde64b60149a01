//! What a backup's preflight and read-back look at.

use std::collections::BTreeSet;

use felhom_engine::{
    ArchiveFacts, BackupResult, BackupSubject, ErrorClass, GuestConfig, GuestState, RemoteError,
    StorageFacts,
};
use felhom_ids::{GuestKind, StorageId, Upid, Vmid, VolumeId};
use felhom_proxmox::property::InvalidProperty;
use felhom_proxmox::pve::guests::GuestStatus;
use felhom_proxmox::pve::tasks::ListTasks;
use felhom_proxmox::{Error, Pve};

use super::config::machine_config;
use super::{
    Trouble, archive_facts, guest_config, missing_privileges, node, running_backups, storage,
};

pub(crate) async fn backup_subject(
    pve: &Pve,
    vmid: Vmid,
    id: &StorageId,
) -> Result<BackupSubject, Trouble> {
    let config = either_config(pve, vmid).await??;
    let state = guest_state(pve, vmid).await?;
    let node = node(pve).await?;
    let storage = storage(pve, id).await?;
    let wanted: [(String, &[&str]); 2] = [
        (format!("/vms/{vmid}"), &["VM.Backup", "VM.Audit"]),
        (format!("/storage/{id}"), &["Datastore.AllocateSpace"]),
    ];
    let missing_privileges = missing_privileges(pve, &wanted).await?;
    let listed = match &storage {
        Some(storage) if storage.active => pve.backups(id, Some(vmid)).await?,
        _ => Vec::new(),
    };
    let tasks = ListTasks {
        kind: Some("vzdump".into()),
        vmid: Some(vmid),
        ..ListTasks::default()
    };
    let takes_backups =
        |storage: &StorageFacts| storage.active && storage.content.contains("backup");
    // Virtual machines are archived by drives, and know no paths.
    let asked = config.kind == GuestKind::Lxc && storage.as_ref().is_some_and(takes_backups);
    let excludes = if asked && missing_privileges.is_empty() {
        excludes(pve, id).await?
    } else {
        Ok(Vec::new())
    };
    Ok(BackupSubject {
        excludes,
        config,
        state,
        node,
        storage,
        known_backups: listed.iter().map(|volume| volume.volid.clone()).collect(),
        protected_backups: listed.iter().filter(|volume| volume.protected).count(),
        tasks: pve
            .tasks(&tasks)
            .await?
            .into_iter()
            .map(|task| task.upid)
            .collect(),
        missing_privileges,
    })
}

pub(crate) async fn backup_result(
    pve: &Pve,
    (vmid, storage): (Vmid, &StorageId),
    known: &BTreeSet<VolumeId>,
    file: Option<&str>,
    task: Option<&Upid>,
) -> Result<BackupResult, Trouble> {
    let listed = pve.backups(storage, Some(vmid)).await?;
    let new_archives = listed
        .iter()
        .filter(|volume| !known.contains(&volume.volid))
        .map(archive_facts)
        .collect();
    let new_archives = ours(new_archives, file);
    let archived_config = match new_archives.as_slice() {
        [archive] => readable_config(pve, &archive.volid).await?,
        _ => None,
    };
    let state = guest_state(pve, vmid).await?;
    // Only then the guest is not as it was for a reason that may be none of ours.
    let at_work = state.lock.is_some() || state.snapshots.iter().any(|name| name == "vzdump");
    let other_backup = if at_work {
        let mut others = running_backups(pve)
            .await?
            .filter(|upid| Some(upid) != task);
        others.find(|upid| may_be_of(upid, vmid))
    } else {
        None
    };
    Ok(BackupResult {
        new_archives,
        state,
        archived_config,
        other_backup,
    })
}

/// Of several, the one that the task said it writes; all of them where none of them is that.
fn ours(mut archives: Vec<ArchiveFacts>, file: Option<&str>) -> Vec<ArchiveFacts> {
    let is_named = |one: &ArchiveFacts| {
        let name = one.volid.name();
        file.is_some() && name.strip_prefix("backup/") == file
    };
    if archives.len() > 1 && archives.iter().any(is_named) {
        archives.retain(is_named);
    }
    archives
}

/// What the node leaves out of every archive. That it cannot be told is no reason to make no backup; an error only when this
/// moment is to blame.
async fn excludes(
    pve: &Pve,
    storage: &StorageId,
) -> Result<Result<Vec<String>, RemoteError>, Trouble> {
    match pve.vzdump_defaults(storage).await {
        Ok(defaults) => Ok(Ok(defaults.exclude_paths())),
        Err(error) => {
            let Trouble(error) = error.into();
            if error.class.is_transient() {
                Err(Trouble(error))
            } else {
                Ok(Err(error))
            }
        }
    }
}

/// `None` when the archive holds none that can be read; an error when only this moment is to blame.
async fn readable_config(pve: &Pve, volid: &VolumeId) -> Result<Option<GuestConfig>, Trouble> {
    match archived_config(pve, volid).await {
        Ok(config) => Ok(config.ok()),
        Err(error) => {
            let Trouble(error) = error.into();
            if error.class.is_transient() {
                Err(Trouble(error))
            } else {
                Ok(None)
            }
        }
    }
}

/// A task of one guest bears its number; one of several bears none.
fn may_be_of(upid: &Upid, vmid: Vmid) -> bool {
    upid.id().is_empty() || upid.id() == vmid.to_string()
}

/// One archive with its whole notes.
pub(crate) async fn archive(pve: &Pve, volid: &VolumeId) -> Result<Option<ArchiveFacts>, Trouble> {
    let listed = pve.backups(volid.storage(), volid.guest()).await?;
    let Some(volume) = listed.iter().find(|volume| volume.volid == *volid) else {
        return Ok(None);
    };
    let mut facts = archive_facts(volume);
    // The list shows the first line only.
    let whole = pve.volume(volid).await?;
    if facts.notes.is_some() && whole.notes.is_none() {
        let text = format!("the notes of `{volid}` could not be read whole");
        return Err(Trouble(RemoteError {
            class: ErrorClass::Garbage,
            text,
        }));
    }
    facts.notes = whole.notes;
    facts.protected = whole.protected;
    Ok(Some(facts))
}

/// The configuration of a guest of either kind. A container is asked for first, and what is wrong is told of it when there is no
/// machine either.
pub(crate) async fn either_config(
    pve: &Pve,
    vmid: Vmid,
) -> Result<Result<GuestConfig, InvalidProperty>, Error> {
    match pve.lxc_config(vmid).await {
        Ok(config) => Ok(guest_config(&config)),
        Err(error @ Error::NotFound { .. }) => match pve.qemu_config(vmid).await {
            Ok(config) => Ok(machine_config(&config)),
            Err(Error::NotFound { .. }) => Err(error),
            Err(other) => Err(other),
        },
        Err(error) => Err(error),
    }
}

/// What kind of guest an archive is of, by its name.
pub(crate) fn archive_kind(volid: &VolumeId) -> GuestKind {
    let name = volid.name();
    let machine = name.starts_with("backup/vzdump-qemu-") || name.starts_with("backup/vm/");
    if machine {
        GuestKind::Qemu
    } else {
        GuestKind::Lxc
    }
}

/// The configuration inside an archive of either kind.
pub(crate) async fn archived_config(
    pve: &Pve,
    volid: &VolumeId,
) -> Result<Result<GuestConfig, InvalidProperty>, Error> {
    Ok(match archive_kind(volid) {
        GuestKind::Lxc => guest_config(&pve.extract_lxc_config(volid).await?),
        GuestKind::Qemu => machine_config(&pve.extract_qemu_config(volid).await?),
    })
}

/// How a guest of either kind runs. Snapshots of a virtual machine are its own business: no backup of it makes one.
pub(crate) async fn guest_state(pve: &Pve, vmid: Vmid) -> Result<GuestState, Trouble> {
    let status = match pve.lxc_status(vmid).await {
        Err(error @ Error::NotFound { .. }) => match pve.qemu_status(vmid).await {
            Ok(status) => return Ok(state(status.guest, Vec::new())),
            Err(Error::NotFound { .. }) => return Err(error.into()),
            Err(other) => return Err(other.into()),
        },
        answer => answer?,
    };
    let snapshots = pve.lxc_snapshots(vmid).await?;
    let names = snapshots
        .list
        .iter()
        .map(|snapshot| snapshot.name.to_string())
        .collect();
    Ok(state(status, names))
}

fn state(status: GuestStatus, snapshots: Vec<String>) -> GuestState {
    GuestState {
        running: status.is_running(),
        pid: status.pid.map(u64::from),
        uptime_s: status
            .uptime
            .and_then(|seconds| u64::try_from(seconds).ok())
            .unwrap_or(0),
        lock: status.lock,
        snapshots,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_new_archives_the_one_that_the_log_names_is_ours() {
        let archive = |file: &str| ArchiveFacts {
            volid: format!("local:backup/{file}").parse().unwrap(),
            vmid: None,
            size: 1,
            ctime: 0,
            notes: None,
            protected: false,
            encrypted: None,
        };
        let (one, other) = (
            "vzdump-lxc-101-2026_11_23-01_00_00.tar.zst",
            "vzdump-lxc-101-2026_11_23-01_10_00.tar.zst",
        );
        let chosen = |files: &[&str], named: Option<&str>| -> Vec<String> {
            let archives = files.iter().map(|file| archive(file)).collect();
            let ours = ours(archives, named).into_iter();
            ours.map(|one| one.volid.name().replace("backup/", ""))
                .collect()
        };
        assert_eq!(chosen(&[one, other], Some(one)), [one]);
        assert_eq!(chosen(&[one, other], Some("else.tar.zst")), [one, other]);
        assert_eq!(chosen(&[one, other], None), [one, other]);
        assert_eq!(
            chosen(&[one], Some(other)),
            [one],
            "a name that PVE changed"
        );
    }
}
