//! Directories that a plan makes: where new mount points are mounted, and where old copies are set aside.

use super::tree::{is_dockers_own, known_paths};
use super::{MOUNT_POINTS, parent};
use crate::volumes::inventory::Inventory;
use crate::volumes::judge::{JudgedVolume, VolumeKind};
use crate::volumes::place::{MOUNTED_BELOW, Place, below, clean};
use crate::world::GuestConfig;

/// Where old copies are set aside when they come from the same mount.
const SET_ASIDE: &str = "/var/lib/felhom/set-aside";

/// What is taken already, by the guest's configuration, by its containers, and by earlier moves of the plan.
pub(super) struct Room<'a> {
    config: &'a GuestConfig,
    inventory: &'a Inventory,
    keys: Vec<String>,
    /// Where something is mounted, and will be.
    mounts: Vec<String>,
    /// Where volumes and containers have their data.
    data: Vec<String>,
}

impl<'a> Room<'a> {
    pub(super) fn new(config: &'a GuestConfig, inventory: &'a Inventory) -> Self {
        let mounts = config.mounts.iter().filter(|mount| mount.key != "rootfs");
        let mounts = mounts.map(|mount| clean(&mount.path)).collect();
        Self {
            config,
            inventory,
            keys: config.keys.iter().cloned().collect(),
            mounts,
            data: known_paths(config, inventory),
        }
    }

    /// A mount point that the guest does not have yet.
    pub(super) fn key(&mut self) -> Option<String> {
        let mut all = (0..MOUNT_POINTS).map(|number| format!("mp{number}"));
        let key = all.find(|key| !self.keys.contains(key))?;
        self.keys.push(key.clone());
        Some(key)
    }

    /// A path at which a mount hides nothing, and is hidden by nothing.
    pub(super) fn mount_path(&mut self, volume: &JudgedVolume, from: &str) -> Option<String> {
        let name = short_name(volume);
        let mut candidates = MOUNTED_BELOW.iter().flat_map(|base| {
            (1..=MOUNT_POINTS).map({
                let name = &name;
                move |number| match number {
                    1 => format!("{base}/{name}"),
                    number => format!("{base}/{name}-{number}"),
                }
            })
        });
        let apart = |path: &String| are_apart(path, &self.mounts) && are_apart(path, &self.data);
        let path = candidates.find(|path| apart(path) && below(path, from).is_none())?;
        self.mounts.push(path.clone());
        Some(path)
    }

    /// Where the old copy is moved by a rename: on the same mount, and where neither Docker nor a container looks.
    pub(super) fn aside(&self, volume: &JudgedVolume, from: &str) -> Aside {
        if !is_dockers_own(volume) {
            return Aside::NotNeeded;
        }
        let volumes = parent(parent(from));
        let key = volume.place.key();
        let mount = self.config.mounts.iter();
        let mount = mount.filter(|mount| Some(mount.key.as_str()) == key);
        let top = mount.map(|mount| join(&clean(&mount.path), ".felhom/set-aside"));
        let beside = join(parent(volumes), "felhom-set-aside");
        let mut candidates = [SET_ASIDE.to_owned(), beside].into_iter().chain(top);
        let fits = |directory: &String| {
            let path = join(directory, &volume.name);
            Place::of_path(self.config, self.inventory, &path).key() == key
                && below(directory, volumes).is_none()
                && are_apart(directory, &self.data)
        };
        match candidates.find(fits) {
            Some(directory) => Aside::To(join(&directory, &volume.name)),
            None => Aside::Nowhere,
        }
    }
}

/// Where the old copy goes before Docker's directory of the volume is removed.
pub(super) enum Aside {
    /// It stays: the directory is not Docker's.
    NotNeeded,
    /// There.
    To(String),
    /// There is no directory for it on the same mount.
    Nowhere,
}

/// Whether a path lies neither at, above nor below any of the others.
fn are_apart(path: &str, others: &[String]) -> bool {
    let apart = |other: &String| below(path, other).is_none() && below(other, path).is_none();
    others.iter().all(apart)
}

fn join(directory: &str, name: &str) -> String {
    clean(&format!("{directory}/{name}"))
}

/// A name for a directory: Docker's names are safe as they are, a path's last part need not be.
fn short_name(volume: &JudgedVolume) -> String {
    let last = volume.name.rsplit('/').next().unwrap_or_default();
    let safe = |sign: char| {
        if sign.is_ascii_alphanumeric() || "._-".contains(sign) {
            sign
        } else {
            '_'
        }
    };
    let safe: String = last.chars().map(safe).take(48).collect();
    match volume.kind {
        VolumeKind::Named | VolumeKind::Anonymous => volume.name.clone(),
        VolumeKind::Bind => format!("bind-{safe}"),
    }
}
