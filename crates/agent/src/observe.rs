//! Proxmox's answers in the engine's words. Translation only: no decision is taken here.

mod backup;
mod config;
mod evidence;
mod guard;
pub mod host;
mod pbs;
mod restore;
mod retention;
mod scratch;
pub(crate) mod storages;
mod subject;

use felhom_engine::{
    ArchiveFacts, ErrorClass, NodeFacts, RemoteError, Retention, Selectable, Selection,
    StorageFacts, ThinPool,
};
use felhom_ids::{GuestKind, StorageId, Upid, Vmid};
use felhom_proxmox::property::InvalidProperty;
use felhom_proxmox::pve::guests::GuestStatus;
use felhom_proxmox::pve::storage::{StorageConfig, StorageStatus, StoredVolume};
use felhom_proxmox::pve::tasks::{ListTasks, TaskSource};
use felhom_proxmox::{Delivery, Error, Pve};

pub(crate) use backup::{
    archive, archive_kind, archived_config, backup_result, backup_subject, either_config,
};
pub(crate) use config::{guest_config, machine_config};
pub(crate) use evidence::{Probe, evidence};
pub(crate) use guard::{clocks, guard_subject};
pub(crate) use pbs::{
    audit_subject, key_of, maintenance, snapshot_record, snapshots as pbs_snapshots, target,
};
pub(crate) use restore::{archived_vmid_is_free, restore_subject, restored};
pub(crate) use retention::guest_archives;
pub(crate) use scratch::{scratch, snapshots};
pub(crate) use subject::test_subject;

/// An error of the client in the engine's words: its class, and the whole chain of causes.
pub fn remote_error(error: &Error) -> RemoteError {
    let class = class(error);
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    RemoteError { class, text }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "how far a request got decides about every other error, also of later kinds"
)]
fn class(error: &Error) -> ErrorClass {
    match error {
        Error::PinMismatch { .. } | Error::Tls { .. } | Error::Trust { .. } => {
            ErrorClass::Untrusted
        }
        Error::Unauthorized { .. } => ErrorClass::Unauthorized,
        Error::Forbidden { .. } => ErrorClass::Forbidden,
        Error::NotFound { .. } => ErrorClass::NotFound,
        Error::Locked { .. } => ErrorClass::Locked,
        Error::Decode { .. } | Error::NoTask { .. } => ErrorClass::Garbage,
        Error::Parameter { .. } => ErrorClass::Refused,
        other => match other.delivery() {
            // A file lock that somebody held for too long, a worker that could not be forked in time.
            Delivery::Answered if other.is_transient() => ErrorClass::Locked,
            Delivery::Answered => ErrorClass::Refused,
            Delivery::NotSent | Delivery::Unknown => ErrorClass::Unreachable,
        },
    }
}

/// A look that failed.
#[derive(Debug)]
pub(crate) struct Trouble(pub(crate) RemoteError);

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self(remote_error(&error))
    }
}

impl From<InvalidProperty> for Trouble {
    /// A configuration whose property strings cannot be read is as good as an answer that makes no sense.
    fn from(error: InvalidProperty) -> Self {
        Self(RemoteError {
            class: ErrorClass::Garbage,
            text: format!("the configuration makes no sense: {error}"),
        })
    }
}

/// The node: how much there is left of it, and whether a vzdump runs.
pub(crate) async fn node(pve: &Pve) -> Result<NodeFacts, Trouble> {
    let nodes = pve.nodes().await?;
    let status = pve.node_status().await?;
    Ok(NodeFacts {
        cluster_nodes: nodes.len(),
        memory_available: status.memory.available.unwrap_or(status.memory.free),
        root_avail: status.rootfs.avail,
        root_total: status.rootfs.total,
        vzdump_running: running_backups(pve).await?.next(),
        now_s: pve.node_time().await.ok().map(|time| time.time),
        uptime_s: u64::try_from(status.uptime).ok(),
    })
}

/// The backups that run on the node, whoever asked for them.
async fn running_backups(pve: &Pve) -> Result<impl Iterator<Item = Upid> + use<>, Trouble> {
    let active = ListTasks {
        source: TaskSource::Active,
        kind: Some("vzdump".into()),
        ..ListTasks::default()
    };
    let tasks = pve.tasks(&active).await?.into_iter();
    Ok(tasks
        .filter(|task| task.outcome().is_none())
        .map(|task| task.upid))
}

/// A storage; `None` when the node does not list it for this token.
pub(crate) async fn storage(pve: &Pve, id: &StorageId) -> Result<Option<StorageFacts>, Trouble> {
    let listed = pve.storages().await?;
    let Some(status) = listed
        .into_iter()
        .find(|status| status.storage.as_ref() == Some(id))
    else {
        return Ok(None);
    };
    let config = pve
        .storage_configs()
        .await?
        .into_iter()
        .find(|config| config.storage == *id);
    let thin_pool = match &config {
        Some(config) if status.kind == "lvmthin" => thin_pool(pve, config).await,
        _ => None,
    };
    Ok(Some(storage_facts(id, &status, config.as_ref(), thin_pool)))
}

pub(crate) fn storage_facts(
    id: &StorageId,
    status: &StorageStatus,
    config: Option<&StorageConfig>,
    thin_pool: Option<ThinPool>,
) -> StorageFacts {
    let retention = match config {
        Some(config) if config.keeps_all() => Retention::KeepAll,
        Some(_) => Retention::Limited,
        None => Retention::Unknown,
    };
    StorageFacts {
        id: id.clone(),
        kind: status.kind.clone(),
        active: status.active,
        content: status.content.iter().cloned().collect(),
        total: status.total.unwrap_or(0),
        avail: status.avail.unwrap_or(0),
        retention,
        max_protected: config.and_then(|config| config.max_protected_backups),
        thin_pool,
        sparse: config.is_some_and(|config| config.sparse),
        preallocates: config.is_some_and(StorageConfig::preallocates),
    }
}

/// The thin pool behind a storage. The list needs Sys.Audit on `/`: without it the metadata stays unknown.
async fn thin_pool(pve: &Pve, config: &StorageConfig) -> Option<ThinPool> {
    let (vg, lv) = (config.vgname.clone()?, config.thinpool.clone()?);
    let listed = pve
        .thin_pools()
        .await
        .inspect_err(|error| tracing::debug!(%error, "no thin-pool metadata"))
        .ok()?;
    let found = listed.iter().find(|pool| pool.vg == vg && pool.lv == lv)?;
    Some(ThinPool {
        vg,
        lv,
        metadata_size: found.metadata_size,
        metadata_used: found.metadata_used,
    })
}

/// The guests of both kinds that this token sees, by VMID.
pub(crate) async fn guests(pve: &Pve) -> Result<Vec<(GuestKind, GuestStatus)>, Error> {
    let containers = pve.lxc_list().await?.into_iter();
    let machines = pve.qemu_list().await?.into_iter();
    let mut all: Vec<_> = containers
        .map(|guest| (GuestKind::Lxc, guest))
        .chain(machines.map(|guest| (GuestKind::Qemu, guest)))
        .collect();
    all.sort_by_key(|(_, guest)| guest.vmid);
    Ok(all)
}

/// Whether a selection has a guest in.
pub(crate) fn is_selected(
    selection: &Selection,
    kind: GuestKind,
    status: &GuestStatus,
    pool: Option<&str>,
) -> bool {
    let tags = status.tags.as_deref().unwrap_or_default();
    let tags = tags.split([';', ',', ' ']).filter(|tag| !tag.is_empty());
    let tags: Vec<String> = tags.map(str::to_owned).collect();
    let guest = Selectable {
        vmid: status.vmid,
        kind,
        tags: &tags,
        pool,
    };
    selection.of(&guest).0
}

/// The backups on every storage that takes some, of one guest or of all. What this token may not see is left out silently.
pub(crate) async fn archives(pve: &Pve, vmid: Option<Vmid>) -> Result<Vec<ArchiveFacts>, Error> {
    let mut all = Vec::new();
    for storage in backup_storages(pve).await? {
        all.extend(pve.backups(&storage, vmid).await?.iter().map(archive_facts));
    }
    Ok(all)
}

/// The backups on this storage.
pub(crate) async fn archives_of(
    pve: &Pve,
    storage: &StorageId,
) -> Result<Vec<ArchiveFacts>, Error> {
    let listed = pve.backups(storage, None).await?;
    Ok(listed.iter().map(archive_facts).collect())
}

/// The active storages that take backups, as far as this token sees them.
pub(crate) async fn backup_storages(pve: &Pve) -> Result<Vec<StorageId>, Error> {
    let takes_backups = |status: &StorageStatus| {
        status.active && status.content.iter().any(|content| content == "backup")
    };
    let storages = pve.storages().await?.into_iter();
    Ok(storages
        .filter(takes_backups)
        .filter_map(|status| status.storage)
        .collect())
}

fn archive_facts(volume: &StoredVolume) -> ArchiveFacts {
    ArchiveFacts {
        volid: volume.volid.clone(),
        vmid: volume
            .vmid
            .and_then(|number| Vmid::new(number).ok())
            .or_else(|| volume.volid.guest()),
        size: volume.size.unwrap_or(0),
        ctime: volume.ctime.unwrap_or(0),
        notes: volume.notes.clone(),
        protected: volume.protected,
        encrypted: volume.encrypted.clone(),
    }
}

/// Privileges that the principal lacks: user and token taken together, on the path that matters.
pub(crate) async fn missing_privileges(
    pve: &Pve,
    wanted: &[(String, &[&str])],
) -> Result<Vec<(String, String)>, Trouble> {
    let mut missing = Vec::new();
    for (path, privileges) in wanted {
        let held = pve.permissions_at(path).await?;
        for privilege in *privileges {
            if !held.has(path, privilege) {
                missing.push((path.clone(), (*privilege).to_owned()));
            }
        }
    }
    Ok(missing)
}
