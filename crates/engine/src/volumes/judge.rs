//! Every volume of a guest: where it is, what it should be, and what is wrong about that.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use felhom_ids::{StorageId, Vmid};
use serde::{Deserialize, Serialize};

use super::class::{Classed, VolumeClass};
use super::classify::{Subject, VolumePolicy, class};
use super::inventory::{Container, DockerVolume, Inventory, Mounted};
use super::place::{Place, below, clean, is_of_a_plan};
use crate::inclusion::{Inclusion, planned};
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
    /// The guest's mount points below its directory, which decide for themselves.
    #[serde(default)]
    pub parts: Vec<Inclusion>,
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

    /// The mount points below it that the next backup treats otherwise than the volume itself.
    pub fn parts_apart(&self) -> impl Iterator<Item = &Inclusion> {
        let parts = self.parts.iter();
        parts.filter(|part| part.included != self.included)
    }

    /// Whether the next backup lacks any of it.
    pub fn is_outside(&self) -> bool {
        !self.included || self.parts_apart().next().is_some()
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
    /// Mount points of the guest whose whole path a rule of the policy calls bulk.
    #[serde(default)]
    pub bulk_by_rule: BTreeSet<String>,
}

impl JudgedVolumes {
    /// Judges.
    pub fn judge(
        vmid: Vmid,
        config: &GuestConfig,
        inventory: &Inventory,
        policy: &VolumePolicy,
    ) -> Self {
        let judge = Judge {
            vmid,
            config,
            inventory,
            policy,
            uses: uses(inventory),
        };
        let docker = inventory.volumes.iter().map(|volume| judge.volume(volume));
        let binds = bind_sources(inventory);
        let binds = binds.iter().map(|path| judge.bind(path));
        let volumes: Vec<JudgedVolume> = docker.chain(binds).collect();
        let meant = config.mounts.iter();
        let meant = meant.filter(|mount| policy.says_bulk(vmid, &clean(&mount.path)));
        Self {
            vmid,
            data_root: Place::of_path(config, inventory, &inventory.data_root),
            volumes,
            bulk_by_rule: meant.map(|mount| mount.key.clone()).collect(),
        }
    }

    /// Whether a mount point is meant to be in no backup: a bulk volume fills it from its root, or a rule calls its path bulk,
    /// and nothing else is known to lie on it. Volumes in its corners say nothing of what lies beside them.
    pub fn is_meant_outside(&self, key: &str, path: &str) -> bool {
        let is_bulk = |volume: &JudgedVolume| volume.class() == Some(VolumeClass::Bulk);
        let volumes = self.volumes.iter();
        let here: Vec<_> = volumes
            .filter(|volume| volume.place.key() == Some(key))
            .collect();
        let root = clean(path);
        let fills = |volume: &&JudgedVolume| {
            volume.place.path() == Some(root.as_str()) || is_of_a_plan(&root)
        };
        here.iter().all(|volume| is_bulk(volume))
            && (self.bulk_by_rule.contains(key) || here.iter().any(fills))
    }

    /// Hot volumes that the next backup will not hold.
    pub fn hot_outside(&self) -> usize {
        let lost = |volume: &&JudgedVolume| {
            volume.is_placed() && volume.is_outside() && volume.class() == Some(VolumeClass::Hot)
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

/// What every volume is judged by.
struct Judge<'a> {
    vmid: Vmid,
    config: &'a GuestConfig,
    inventory: &'a Inventory,
    policy: &'a VolumePolicy,
    uses: HashMap<Mounted, Vec<VolumeUse>>,
}

impl Judge<'_> {
    fn volume(&self, volume: &DockerVolume) -> JudgedVolume {
        let place = Place::of_volume(self.config, self.inventory, volume);
        let uses = self.uses_of(&Mounted::Volume(volume.name.clone()));
        let label = |key: &str| volume.labels.get(key).map(String::as_str);
        let classed = self.classed(Some(&volume.name), &label, place.path(), &uses);
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
            parts: self.parts(&place),
            classed,
            mountpoint: own.filter(|path| place.path() != Some(path)),
            size: volume.size,
            project: volume.labels.get("com.docker.compose.project").cloned(),
            uses,
            place,
        }
    }

    fn bind(&self, path: &str) -> JudgedVolume {
        let place = Place::of_path(self.config, self.inventory, path);
        let uses = self.uses_of(&Mounted::Bind(path.to_owned()));
        let classed = self.classed(None, &|_| None, Some(path), &uses);
        JudgedVolume {
            name: path.to_owned(),
            kind: VolumeKind::Bind,
            included: place.is_backed_up(),
            why: place.why(),
            parts: self.parts(&place),
            classed,
            mountpoint: None,
            size: None,
            project: None,
            uses,
            place,
        }
    }

    fn uses_of(&self, source: &Mounted) -> Vec<VolumeUse> {
        self.uses.get(source).cloned().unwrap_or_default()
    }

    fn parts(&self, place: &Place) -> Vec<Inclusion> {
        place.mounts_below(self.config).map(planned).collect()
    }

    fn classed<'a>(
        &self,
        name: Option<&'a str>,
        label: &'a dyn Fn(&str) -> Option<&'a str>,
        path: Option<&'a str>,
        uses: &'a [VolumeUse],
    ) -> Classed {
        let subject = Subject {
            vmid: self.vmid,
            name,
            label,
            path,
            uses: uses
                .iter()
                .map(|one| (one.image.as_str(), one.destination.as_str()))
                .collect(),
        };
        class(&subject, self.policy)
    }
}

/// Who mounts what, bind sources by their clean paths. Looked up for every volume, of which a report may name thousands.
fn uses(inventory: &Inventory) -> HashMap<Mounted, Vec<VolumeUse>> {
    let mut all: HashMap<Mounted, Vec<VolumeUse>> = HashMap::new();
    for container in &inventory.containers {
        for mount in &container.mounts {
            let source = match &mount.source {
                Mounted::Bind(path) => Mounted::Bind(clean(path)),
                Mounted::Volume(_) | Mounted::Tmpfs | Mounted::Other(_) => mount.source.clone(),
            };
            all.entry(source).or_default().push(VolumeUse {
                container: container.name.clone(),
                image: container.image.clone(),
                project: container.project.clone(),
                destination: mount.destination.clone(),
                read_only: mount.read_only,
                running: container.running,
            });
        }
    }
    all
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

/// Docker's own directories below its data-root (moby, `daemon/` and `layer/`): volumes are told by name, and the rest is no
/// data. What people put beside them is.
const OF_DOCKER: [&str; 18] = [
    "aufs",
    "btrfs",
    "buildkit",
    "builder",
    "containerd",
    "containers",
    "devicemapper",
    "fuse-overlayfs",
    "image",
    "network",
    "overlay2",
    "plugins",
    "runtimes",
    "swarm",
    "tmp",
    "vfs",
    "volumes",
    "zfs",
];

/// Whether a path is Docker's data-root, lies around it, or in one of its own directories.
fn is_of_docker(path: &str, data_root: &str) -> bool {
    if below(data_root, path).is_some() {
        return true;
    }
    let inside = below(path, data_root).and_then(|rest| rest.split('/').next());
    inside.is_some_and(|first| OF_DOCKER.contains(&first))
}

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
                && !is_of_docker(path, &data_root)
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
