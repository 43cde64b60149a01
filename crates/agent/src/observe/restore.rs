//! What a restore's preflight looks at, and the guest that it made.

use std::collections::{BTreeMap, BTreeSet};

use felhom_engine::{
    ErrorClass, Existence, GuestConfig, Original, Principal, RemoteError, RestoreSubject,
    RestoredFacts, ScratchFacts, StorageFacts, VolumesSeen, WrittenConfig, restore_paths,
};
use felhom_ids::{GuestKind, StorageId, Vmid, VolumeId};
use felhom_proxmox::pve::guests::{LxcConfig, QemuConfig};
use felhom_proxmox::pve::tasks::ListTasks;
use felhom_proxmox::{Error, Pve};

use super::backup::{archive_kind, guest_state};
use super::config::machine_config;
use super::scratch::{by_start, volumes};
use super::{Trouble, archive, guest_config, node, remote_error, storage_facts, thin_pool};
use crate::remote::Remotes;

/// The archive and the guest are looked at as the principal that restores; the box, as the one that always observes it.
pub(crate) async fn restore_subject(
    remotes: &Remotes,
    volid: &VolumeId,
    to: Vmid,
) -> Result<RestoreSubject, Trouble> {
    let agent = remotes.of(Principal::Agent);
    let restorer = remotes.of(Principal::Restore);
    let archive = archive(agent, volid).await?;
    let (archived, config_error) = match &archive {
        Some(_) => archived(restorer, volid).await?,
        None => (WrittenConfig::default(), None),
    };
    let storages = storages(agent).await?;
    let paths = restore_paths(volid, to, &archived, &storages);
    Ok(RestoreSubject {
        archive,
        config_error,
        node: node(agent).await?,
        bridges: bridges(agent).await?,
        original: match volid.guest() {
            Some(source) => original(agent, source).await?,
            None => Original::Gone,
        },
        taken: !agent.is_free(to).await?,
        volumes: volumes_of(remotes, &storages, to).await?,
        rights: rights(restorer, paths).await?,
        archived,
        storages,
    })
}

/// Whether no guest has the VMID of this archive.
pub(crate) async fn archived_vmid_is_free(pve: &Pve, volid: &VolumeId) -> Result<bool, Error> {
    match volid.guest() {
        Some(source) => pve.is_free(source).await,
        None => Ok(false),
    }
}

fn written(config: &LxcConfig) -> Result<WrittenConfig, Trouble> {
    Ok(WrittenConfig {
        config: guest_config(config)?,
        values: config.raw.clone(),
        raw_lxc: config.raw_lxc().to_vec(),
    })
}

fn written_machine(config: &QemuConfig) -> Result<WrittenConfig, Trouble> {
    Ok(WrittenConfig {
        config: machine_config(config)?,
        values: config.raw.clone(),
        raw_lxc: Vec::new(),
    })
}

async fn archived(
    restorer: &Pve,
    volid: &VolumeId,
) -> Result<(WrittenConfig, Option<RemoteError>), Trouble> {
    let read = match archive_kind(volid) {
        GuestKind::Lxc => restorer
            .extract_lxc_config(volid)
            .await
            .map(|config| written(&config)),
        GuestKind::Qemu => restorer
            .extract_qemu_config(volid)
            .await
            .map(|config| written_machine(&config)),
    };
    match read {
        Ok(Ok(config)) => Ok((config, None)),
        Ok(Err(Trouble(error))) => Ok((WrittenConfig::default(), Some(error))),
        Err(error) if error.is_transient() => Err(error.into()),
        Err(error) => Ok((WrittenConfig::default(), Some(remote_error(&error)))),
    }
}

/// All storages that the node lists for this token.
async fn storages(pve: &Pve) -> Result<Vec<StorageFacts>, Trouble> {
    let configs = pve.storage_configs().await?;
    let mut all = Vec::new();
    for status in pve.storages().await? {
        let Some(id) = status.storage.clone() else {
            continue;
        };
        let config = configs.iter().find(|config| config.storage == id);
        let pool = match config {
            Some(config) if status.kind == "lvmthin" => thin_pool(pve, config).await,
            _ => None,
        };
        all.push(storage_facts(&id, &status, config, pool));
    }
    Ok(all)
}

/// Bridges and virtual networks of the node, by name. Names that the list hides from the token look as if they were not there,
/// so a list without any bridge counts as unseen.
async fn bridges(pve: &Pve) -> Result<Option<BTreeSet<String>>, Trouble> {
    let interfaces = pve.host_interfaces().await?;
    let names: BTreeSet<String> = interfaces
        .into_iter()
        .filter(|interface| matches!(interface.kind.as_str(), "bridge" | "OVSBridge" | "vnet"))
        .map(|interface| interface.iface)
        .collect();
    Ok((!names.is_empty()).then_some(names))
}

async fn original(pve: &Pve, source: Vmid) -> Result<Original, Trouble> {
    if pve.is_free(source).await? {
        return Ok(Original::Gone);
    }
    let (kind, onboot) = match either(pve, source).await {
        Ok(either) => either.start_with_node(),
        Err(error) if error.is_transient() => return Err(error.into()),
        Err(error) => return Ok(Original::Unreadable(remote_error(&error).text)),
    };
    let running = match kind {
        GuestKind::Lxc => pve.lxc_status(source).await?.is_running(),
        GuestKind::Qemu => pve.qemu_status(source).await?.guest.is_running(),
    };
    Ok(Original::Guest {
        kind,
        running,
        onboot,
    })
}

/// The configuration of a guest, whatever it is.
enum Either {
    Container(LxcConfig),
    Machine(QemuConfig),
}

impl Either {
    fn start_with_node(&self) -> (GuestKind, bool) {
        match self {
            Self::Container(config) => (GuestKind::Lxc, config.is_on("onboot")),
            Self::Machine(config) => (GuestKind::Qemu, config.is_on("onboot")),
        }
    }

    fn written(&self) -> Result<WrittenConfig, Trouble> {
        match self {
            Self::Container(config) => written(config),
            Self::Machine(config) => written_machine(config),
        }
    }
}

/// A container is asked for first, and what is wrong is told of it when there is no machine either.
async fn either(pve: &Pve, vmid: Vmid) -> Result<Either, Error> {
    match pve.lxc_config(vmid).await {
        Ok(config) => Ok(Either::Container(config)),
        Err(error @ Error::NotFound { .. }) => match pve.qemu_config(vmid).await {
            Ok(config) => Ok(Either::Machine(config)),
            Err(Error::NotFound { .. }) => Err(error),
            Err(other) => Err(other),
        },
        Err(error) => Err(error),
    }
}

/// Volumes that bear the VMID, on every storage for disks. What is left of a guest that is gone is shown only to who may
/// configure its disks: mostly the principal that restores, whose list is empty otherwise whatever is there.
async fn volumes_of(
    remotes: &Remotes,
    storages: &[StorageFacts],
    vmid: Vmid,
) -> Result<VolumesSeen, Trouble> {
    let mut seen = VolumesSeen::new();
    for storage in storages.iter().filter(|storage| storage.is_for_disks()) {
        let mut here = None;
        for principal in [Principal::Restore, Principal::Agent] {
            if here.is_none() && storage.active {
                here = match volumes(remotes.of(principal), vmid, &storage.id).await {
                    // One storage that cannot be listed stands in the way of those restores only that go there.
                    Err(Trouble(error)) if !error.class.is_transient() => None,
                    listed => listed?,
                };
            }
        }
        let here = here.map(|volumes| volumes.into_iter().collect());
        seen.insert(storage.id.clone(), here);
    }
    Ok(seen)
}

async fn rights(
    pve: &Pve,
    paths: BTreeSet<String>,
) -> Result<BTreeMap<String, BTreeSet<String>>, Trouble> {
    let mut rights = BTreeMap::new();
    for path in paths {
        let held = pve.permissions_at(&path).await?.0.remove(&path);
        let names = held.unwrap_or_default().into_keys().collect();
        rights.insert(path, names);
    }
    Ok(rights)
}

/// A guest that a restore made, its configuration read last: it decides, and nothing slow comes between it and what is done
/// by it.
pub(crate) async fn restored(
    remotes: &Remotes,
    vmid: Vmid,
    on: &[StorageId],
) -> Result<RestoredFacts, Trouble> {
    let agent = remotes.of(Principal::Agent);
    let restorer = remotes.of(Principal::Restore);
    let mut seen = Some(Vec::new());
    for storage in on {
        let here = volumes(restorer, vmid, storage).await?;
        seen = seen.zip(here).map(|(mut all, here)| {
            all.extend(here);
            all
        });
    }
    // Tasks of others are shown to the one that always observes.
    let listed = ListTasks {
        vmid: Some(vmid),
        ..ListTasks::default()
    };
    let tasks = by_start(agent.tasks(&listed).await?);
    let (existence, state, written) = if agent.is_free(vmid).await? {
        (Existence::Absent, None, None)
    } else {
        guest(restorer, vmid).await?
    };
    Ok(RestoredFacts {
        guest: ScratchFacts {
            existence,
            state,
            volumes: seen,
            tasks,
        },
        written,
    })
}

type Seen = (
    Existence,
    Option<felhom_engine::GuestState>,
    Option<WrittenConfig>,
);

async fn guest(pve: &Pve, vmid: Vmid) -> Result<Seen, Trouble> {
    // A stub has no state worth asking for, and answers with an error.
    let state = guest_state(pve, vmid).await;
    let read = match either(pve, vmid).await {
        Ok(either) => either.written(),
        Err(error) if error.is_transient() => return Err(error.into()),
        Err(error) => Err(Trouble(remote_error(&error))),
    };
    let written = match read {
        Ok(written) => written,
        Err(Trouble(error)) if error.class == ErrorClass::Untrusted => return Err(Trouble(error)),
        Err(Trouble(error)) => return Ok((Existence::Unreadable(error.text), None, None)),
    };
    let config: &GuestConfig = &written.config;
    let existence = Existence::Guest(Box::new(config.clone()));
    if config.is_create_stub() || config.is_destroyed_stub() {
        return Ok((existence, None, Some(written)));
    }
    Ok((existence, Some(state?), Some(written)))
}
