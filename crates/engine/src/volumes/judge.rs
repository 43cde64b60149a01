//! Every volume of a guest: where it is, what it should be, and what is wrong about that.

use std::collections::{BTreeMap, BTreeSet};

use felhom_ids::{StorageId, Vmid};
use serde::{Deserialize, Serialize};

use super::class::{Classed, VolumeClass};
use super::classify::{Subject, VolumePolicy, class};
use super::inventory::{Container, DockerVolume, Inventory, Mounted};
use super::place::{Place, below, clean};
use crate::world::GuestConfig;

/// What kind of thing is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VolumeKind {
    /// A volume that was given a name.
    Named,
    /// A volume whose name Docker chose.
    Anonymous,
    /// A path of the guest that containers mount.
    Bind,
}

/// A container's use of a volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeUse {
    /// The container.
    pub container: String,
    /// Its image, as it was asked for.
    pub image: String,
    /// Its compose project.
    pub project: Option<String>,
    /// Where it has the volume.
    pub destination: String,
    /// Whether it may not write.
    pub read_only: bool,
    /// Whether it runs.
    pub running: bool,
}

/// One volume, judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JudgedVolume {
    /// Its name; the path for a bind mount.
    pub name: String,
    /// What kind of thing it is.
    pub kind: VolumeKind,
    /// Where its bytes live.
    pub place: Place,
    /// Whether the next backup holds it.
    pub included: bool,
    /// Why, or why not.
    pub why: String,
    /// What it should be.
    pub classed: Classed,
    /// Docker's own directory of it, where that is not where the bytes live.
    pub mountpoint: Option<String>,
    /// Its bytes, where they were counted.
    pub size: Option<u64>,
    /// The compose project that its labels name.
    pub project: Option<String>,
    /// Who mounts it.
    pub uses: Vec<VolumeUse>,
}

impl JudgedVolume {
    /// Its class, where somebody said one.
    pub fn class(&self) -> Option<VolumeClass> {
        self.classed.class()
    }

    /// Whether it holds data at all: what lies in memory is gone at the next stop anyway.
    pub fn holds_data(&self) -> bool {
        !matches!(self.place, Place::Memory { .. })
    }

    /// Whether it can be said where it is.
    pub fn is_placed(&self) -> bool {
        self.holds_data() && self.place != Place::Unknown
    }
}

/// The volumes of a guest, judged by its configuration, its Docker engine's report and the policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JudgedVolumes {
    /// The guest.
    pub vmid: Vmid,
    /// Where Docker keeps its own things.
    pub data_root: Place,
    /// Volumes first, then bind mounts, each in the order of their names.
    pub volumes: Vec<JudgedVolume>,
}

impl JudgedVolumes {
    /// Judges.
    pub fn judge(
        vmid: Vmid,
        config: &GuestConfig,
        inventory: &Inventory,
        policy: &VolumePolicy,
    ) -> Self {
        let docker = inventory
            .volumes
            .iter()
            .map(|volume| judge_volume(vmid, config, inventory, policy, volume));
        let binds = bind_sources(inventory)
            .into_iter()
            .map(|path| judge_bind(vmid, config, inventory, policy, &path));
        Self {
            vmid,
            data_root: Place::of_path(config, inventory, &inventory.data_root),
            volumes: docker.chain(binds).collect(),
        }
    }

    /// Whether all that is known to lie on a mount point is bulk, and so is meant to be in no backup.
    pub fn holds_only_bulk(&self, key: &str) -> bool {
        let volumes = self.volumes.iter();
        let mut here = volumes
            .filter(|volume| volume.place.key() == Some(key))
            .peekable();
        here.peek().is_some() && here.all(|volume| volume.class() == Some(VolumeClass::Bulk))
    }

    /// Hot volumes that the next backup will not hold.
    pub fn hot_outside(&self) -> usize {
        let lost = |volume: &&JudgedVolume| {
            volume.is_placed() && !volume.included && volume.class() == Some(VolumeClass::Hot)
        };
        self.volumes.iter().filter(lost).count()
    }

    /// Bulk volumes of which nobody says what protects them.
    pub fn bulk_uncovered(&self) -> usize {
        let bare = |volume: &&JudgedVolume| {
            volume.is_placed()
                && volume.class() == Some(VolumeClass::Bulk)
                && volume.classed.cover().is_none()
        };
        self.volumes.iter().filter(bare).count()
    }

    /// The volume of that name.
    pub fn find(&self, name: &str) -> Option<&JudgedVolume> {
        self.volumes.iter().find(|volume| volume.name == name)
    }
}

/// Storage kinds by id, as far as they are known.
pub type StorageKinds = BTreeMap<StorageId, String>;

fn judge_volume(
    vmid: Vmid,
    config: &GuestConfig,
    inventory: &Inventory,
    policy: &VolumePolicy,
    volume: &DockerVolume,
) -> JudgedVolume {
    let place = Place::of_volume(config, inventory, volume);
    let uses = uses(inventory, &Mounted::Volume(volume.name.clone()));
    let classed = classed(
        vmid,
        Some(&volume.name),
        &|key| volume.labels.get(key).map(String::as_str),
        place.path(),
        &uses,
        policy,
    );
    let own = Some(clean(&volume.mountpoint)).filter(|_| !volume.mountpoint.is_empty());
    JudgedVolume {
        name: volume.name.clone(),
        kind: if volume.anonymous {
            VolumeKind::Anonymous
        } else {
            VolumeKind::Named
        },
        included: place.is_backed_up(),
        why: place.why(),
        classed,
        mountpoint: own.filter(|path| place.path() != Some(path)),
        size: volume.size,
        project: volume.labels.get("com.docker.compose.project").cloned(),
        uses,
        place,
    }
}

fn judge_bind(
    vmid: Vmid,
    config: &GuestConfig,
    inventory: &Inventory,
    policy: &VolumePolicy,
    path: &str,
) -> JudgedVolume {
    let place = Place::of_path(config, inventory, path);
    let uses = uses(inventory, &Mounted::Bind(path.to_owned()));
    let classed = classed(vmid, None, &|_| None, Some(path), &uses, policy);
    JudgedVolume {
        name: path.to_owned(),
        kind: VolumeKind::Bind,
        included: place.is_backed_up(),
        why: place.why(),
        classed,
        mountpoint: None,
        size: None,
        project: None,
        uses,
        place,
    }
}

fn classed<'a>(
    vmid: Vmid,
    name: Option<&'a str>,
    label: &'a dyn Fn(&str) -> Option<&'a str>,
    path: Option<&'a str>,
    uses: &'a [VolumeUse],
    policy: &VolumePolicy,
) -> Classed {
    let subject = Subject {
        vmid,
        name,
        label,
        path,
        uses: uses
            .iter()
            .map(|one| (one.image.as_str(), one.destination.as_str()))
            .collect(),
    };
    class(&subject, policy)
}

fn uses(inventory: &Inventory, wanted: &Mounted) -> Vec<VolumeUse> {
    let is_it = |source: &Mounted| match (source, wanted) {
        (Mounted::Bind(path), Mounted::Bind(wanted)) => clean(path) == *wanted,
        (source, wanted) => source == wanted,
    };
    let mounts = inventory.containers.iter().flat_map(|container| {
        let mounts = container.mounts.iter();
        mounts.map(move |mount| (container, mount))
    });
    mounts
        .filter(|(_, mount)| is_it(&mount.source))
        .map(|(container, mount)| VolumeUse {
            container: container.name.clone(),
            image: container.image.clone(),
            project: container.project.clone(),
            destination: mount.destination.clone(),
            read_only: mount.read_only,
            running: container.running,
        })
        .collect()
}

/// Paths that containers mount to see the machine, not to keep data: sockets, kernel files, the clock's settings, Docker's own
/// directory, everything at once.
const NO_DATA: [&str; 11] = [
    "/proc",
    "/sys",
    "/dev",
    "/run",
    "/var/run",
    "/boot",
    "/lib/modules",
    "/etc/localtime",
    "/etc/timezone",
    "/etc/machine-id",
    "/etc/os-release",
];

/// The paths of the guest that containers mount for their data.
fn bind_sources(inventory: &Inventory) -> BTreeSet<String> {
    let data_root = clean(&inventory.data_root);
    let of = |container: &Container| -> Vec<String> {
        let mounts = container.mounts.iter();
        mounts
            .filter_map(|mount| match &mount.source {
                Mounted::Bind(path) => Some(clean(path)),
                Mounted::Volume(_) | Mounted::Tmpfs | Mounted::Other(_) => None,
            })
            .collect()
    };
    let sources = inventory.containers.iter().flat_map(of);
    sources
        .filter(|path| {
            path != "/"
                && below(path, &data_root).is_none()
                && below(&data_root, path).is_none()
                && !NO_DATA.iter().any(|machine| below(path, machine).is_some())
        })
        .collect()
}

/// Whether Docker could have given this name: `[a-zA-Z0-9][a-zA-Z0-9_.-]*` (moby, `daemon/names`); compose's projects are a part of that.
pub(super) fn is_docker_name(name: &str) -> bool {
    let mut signs = name.chars();
    signs
        .next()
        .is_some_and(|sign| sign.is_ascii_alphanumeric())
        && signs.all(|sign| sign.is_ascii_alphanumeric() || "_.-".contains(sign))
}
