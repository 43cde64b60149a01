//! What is looked at right before something happens to a scratch guest.

use felhom_engine::{Existence, GuestState, ScratchFacts, SnapshotFacts, TaskFacts};
use felhom_ids::{StorageId, Vmid, VolumeId};
use felhom_proxmox::Pve;
use felhom_proxmox::pve::guests::Snapshot;
use felhom_proxmox::pve::tasks::{ListTasks, TaskEntry};

use super::{Trouble, missing_privileges};
use crate::observe::backup::{either_config, guest_state};

/// Everything that belongs to a scratch VMID. The configuration is read last: it decides, and nothing slow comes between it
/// and what is done by it.
pub(crate) async fn scratch(
    pve: &Pve,
    vmid: Vmid,
    storage: &StorageId,
) -> Result<ScratchFacts, Trouble> {
    let volumes = volumes(pve, vmid, storage).await?;
    let listed = ListTasks {
        vmid: Some(vmid),
        ..ListTasks::default()
    };
    let tasks = by_start(pve.tasks(&listed).await?);
    // Whether the VMID is taken is asked in a way that permissions do not shorten; only then what has it.
    let (existence, state) = if pve.is_free(vmid).await? {
        (Existence::Absent, None)
    } else {
        container(pve, vmid).await?
    };
    Ok(ScratchFacts {
        existence,
        state,
        volumes,
        tasks,
    })
}

async fn container(pve: &Pve, vmid: Vmid) -> Result<(Existence, Option<GuestState>), Trouble> {
    // A stub has no state worth asking for, and answers with an error.
    let state = guest_state(pve, vmid).await;
    match either_config(pve, vmid).await {
        Ok(Ok(config))
            if config.is_create_stub()
                || config.is_destroyed_stub()
                || config.is_bare_container() =>
        {
            Ok((Existence::Guest(Box::new(config)), None))
        }
        Ok(Ok(config)) => Ok((Existence::Guest(Box::new(config)), Some(state?))),
        Ok(Err(error)) => Ok((Existence::Unreadable(error.to_string()), None)),
        Err(error) if error.is_transient() => Err(error.into()),
        Err(error) => Ok((Existence::Unreadable(error.to_string()), None)),
    }
}

/// Volumes of a VMID. Those of a guest that is gone are listed only with VM.Config.Disk on the VMID and Datastore.Audit on the
/// storage (pve-storage Storage.pm `check_volume_access`): without them an empty list says nothing.
pub(super) async fn volumes(
    pve: &Pve,
    vmid: Vmid,
    storage: &StorageId,
) -> Result<Option<Vec<VolumeId>>, Trouble> {
    let wanted: [(String, &[&str]); 2] = [
        (format!("/vms/{vmid}"), &["VM.Config.Disk"]),
        (format!("/storage/{storage}"), &["Datastore.Audit"]),
    ];
    if !missing_privileges(pve, &wanted).await?.is_empty() {
        return Ok(None);
    }
    let listed = pve.storage_content(storage).await?;
    let of_guest = listed.into_iter().filter(|volume| {
        volume.content.as_deref() != Some("backup") && volume.volid.guest() == Some(vmid)
    });
    Ok(Some(of_guest.map(|volume| volume.volid).collect()))
}

/// In the order in which the tasks started, by the node's clock; a running one counts as later than one of the same second that
/// has ended.
pub(super) fn by_start(mut tasks: Vec<TaskEntry>) -> Vec<TaskFacts> {
    tasks.sort_by_key(|task| (task.starttime, task.upid.pstart(), task.outcome().is_none()));
    let facts = tasks.into_iter().map(|task| TaskFacts {
        running: task.outcome().is_none(),
        upid: task.upid,
        status: task.status,
    });
    facts.collect()
}

pub(crate) async fn snapshots(pve: &Pve, vmid: Vmid) -> Result<Vec<SnapshotFacts>, Trouble> {
    let snapshots = pve.lxc_snapshots(vmid).await?;
    Ok(snapshots.list.into_iter().map(snapshot_facts).collect())
}

pub(super) fn snapshot_facts(snapshot: Snapshot) -> SnapshotFacts {
    SnapshotFacts {
        name: snapshot.name,
        description: snapshot.description.map(|text| text.trim_end().to_owned()),
        taken_s: snapshot.time,
        parent: snapshot.parent,
        state: snapshot.state,
    }
}
