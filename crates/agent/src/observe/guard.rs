//! What is looked at around a guard: the guest, its snapshots, where its volumes lie, and every clock.

use std::collections::BTreeSet;

use felhom_engine::{GuardSubject, GuestConfig, MountSource, NodeFacts, Reading, StorageFacts};
use felhom_ids::{StorageId, Vmid};
use felhom_proxmox::pve::tasks::ListTasks;
use felhom_proxmox::{Error, Pve};

use super::backup::guest_state;
use super::scratch::snapshot_facts;
use super::{Trouble, guest_config, storage};
use crate::clock;

/// All of it. What decides right before a request is read last.
pub(crate) async fn guard_subject(pve: &Pve, vmid: Vmid) -> Result<GuardSubject, Trouble> {
    let config = guest_config(&pve.lxc_config(vmid).await?)?;
    let storages = storages(pve, &config).await?;
    let path = format!("/vms/{vmid}");
    let held = pve.permissions_at(&path).await?;
    let capable = pve.can_snapshot(vmid).await?;
    let node = node(pve).await?;
    let listed = ListTasks {
        vmid: Some(vmid),
        ..ListTasks::default()
    };
    let tasks = pve.tasks(&listed).await?;
    let state = guest_state(pve, vmid).await?;
    let snapshots = pve.lxc_snapshots(vmid).await?;
    let config = guest_config(&pve.lxc_config(vmid).await?)?;
    let may_snapshot = held.has(&path, "VM.Snapshot");
    Ok(GuardSubject {
        config,
        state,
        node,
        capable,
        storages,
        parent: snapshots.parent,
        snapshots: snapshots.list.into_iter().map(snapshot_facts).collect(),
        tasks: tasks.into_iter().map(|task| task.upid).collect(),
        may_snapshot,
        may_roll_back: may_snapshot || held.has(&path, "VM.Snapshot.Rollback"),
    })
}

/// The storages of a guest's volumes, without those that the node hides from this token.
async fn storages(pve: &Pve, config: &GuestConfig) -> Result<Vec<StorageFacts>, Trouble> {
    let ids: BTreeSet<StorageId> = config
        .mounts
        .iter()
        .filter_map(|mount| match &mount.source {
            MountSource::Volume(volume) => Some(volume.storage().clone()),
            MountSource::Bind(_) | MountSource::Device(_) => None,
        })
        .collect();
    let mut found = Vec::new();
    for id in &ids {
        found.extend(storage(pve, id).await?);
    }
    Ok(found)
}

/// The way back must not be barred because the node does not tell its time: what is forbidden is unknown.
async fn node(pve: &Pve) -> Result<NodeFacts, Trouble> {
    let nodes = pve.nodes().await?;
    let status = allowed(pve.node_status().await)?;
    let time = allowed(pve.node_time().await)?;
    Ok(NodeFacts {
        cluster_nodes: nodes.len(),
        now_s: time.map(|time| time.time),
        uptime_s: status.and_then(|status| u64::try_from(status.uptime).ok()),
        ..NodeFacts::default()
    })
}

fn allowed<T>(answer: Result<T, Error>) -> Result<Option<T>, Error> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(Error::Forbidden { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What every clock shows now.
pub(crate) async fn clocks(pve: &Pve) -> Result<Reading, Trouble> {
    let node = node(pve).await?;
    Ok(Reading::of(clock::now(), &node))
}
