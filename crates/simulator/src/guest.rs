//! LXC guests: configuration, file trees, what their init does, and what the API shows of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::call::ApiError;
use crate::storage::volumes;
use crate::workers::lock_file;
use crate::world::World;

pub(crate) mod change;
pub(crate) mod config;
pub(crate) mod formats;
pub(crate) mod init;
pub(crate) mod permissions;
pub(crate) mod props;
pub(crate) mod schema;
mod status;
#[cfg(test)]
mod tests;
pub(crate) mod tree;

use config::Config;
use formats::{Mount, Source};
pub(crate) use status::rows;

/// The guests of the node.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Guests {
    pub(crate) lxc: BTreeMap<u32, Lxc>,
    /// Holder of `/var/run/vzdump.lock`: dies with the process that holds it.
    #[serde(skip)]
    pub(crate) vzdump_lock: Option<String>,
    /// What the next archive lacks, though its log says nothing of it.
    #[serde(skip)]
    pub(crate) vzdump_omits: Vec<String>,
    /// `exclude-path` of `/etc/vzdump.conf`.
    pub(crate) vzdump_excludes: Vec<String>,
    /// Lock files of guests that somebody holds.
    #[serde(skip)]
    pub(crate) lock_files: BTreeSet<(u32, lock_file::Kind)>,
}

/// One container.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Lxc {
    pub(crate) config: Config,
    pub(crate) run: Option<Run>,
    /// Stopped by the freezer: processes stand still, memory stays.
    pub(crate) frozen: bool,
    /// `/etc/pve/firewall/ID.fw`
    pub(crate) firewall: String,
    /// Bytes a second that it writes while it runs; such a guest notices a full pool.
    pub(crate) writes: u64,
}

/// A running container.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Run {
    pub(crate) pid: u32,
    /// Simulated time of its start.
    pub(crate) since: f64,
    /// When it will die by itself.
    pub(crate) dies_at: Option<f64>,
    /// What its init will have done to the network.
    pub(crate) network: init::Network,
}

impl Guests {
    /// The volumes that running production guests write to, with bytes a second.
    pub(crate) fn production_writes(&self) -> Vec<(String, u64)> {
        self.lxc
            .values()
            .filter(|guest| guest.writes > 0 && guest.run.is_some() && !guest.frozen)
            .filter_map(|guest| {
                let mounts = guest.config.current.mounts();
                Some((mounts.first()?.volume().to_owned(), guest.writes))
            })
            .collect()
    }
}

impl Lxc {
    /// The name PVE shows.
    pub(crate) fn name(&self, vmid: u32) -> String {
        self.config
            .current
            .get("hostname")
            .map_or_else(|| format!("CT{vmid}"), ToOwned::to_owned)
    }

    /// Refuses when a lock stands in the config.
    pub(crate) fn check_lock(&self) -> Result<(), String> {
        match self.config.lock() {
            Some(lock) => Err(format!("CT is locked ({lock})")),
            None => Ok(()),
        }
    }

    /// Mount points that are volumes, with their places.
    pub(crate) fn volumes(&self) -> Vec<Mount> {
        let mut mounts = self.config.current.mounts();
        mounts.retain(|mount| mount.source() == Source::Volume);
        mounts
    }
}

impl World {
    /// Lets guests die that were to die by now.
    pub(crate) fn reap(&mut self, now: f64) {
        for guest in self.guests.lxc.values_mut() {
            if guest
                .run
                .as_ref()
                .and_then(|run| run.dies_at)
                .is_some_and(|time| time <= now)
            {
                guest.run = None;
                guest.frozen = false;
            }
        }
        self.reap_machines(now);
    }

    /// A container, or PVE's error about its missing config file.
    pub(crate) fn lxc(&self, vmid: u32) -> Result<&Lxc, ApiError> {
        self.guests
            .lxc
            .get(&vmid)
            .ok_or_else(|| self.no_config(vmid))
    }

    /// A container to change.
    pub(crate) fn lxc_mut(&mut self, vmid: u32) -> Result<&mut Lxc, ApiError> {
        let error = self.no_config(vmid);
        self.guests.lxc.get_mut(&vmid).ok_or(error)
    }

    fn no_config(&self, vmid: u32) -> ApiError {
        let node = &self.node.name;
        ApiError::die(format!(
            "Configuration file 'nodes/{node}/lxc/{vmid}.conf' does not exist"
        ))
    }

    /// What exists under a VMID: `CT` or `VM`.
    pub(crate) fn vmid_taken(&self, vmid: u32) -> Option<&'static str> {
        if self.guests.lxc.contains_key(&vmid) {
            Some("CT")
        } else {
            self.qemu.contains_key(&vmid).then_some("VM")
        }
    }

    /// The folder of a mount point's files: a volume's tree, or a path of the host below `host/`.
    pub(crate) fn mount_root(&self, mount: &Mount) -> PathBuf {
        source_root(&self.storage.state, mount.volume())
    }

    /// The folder of a container's root file system.
    pub(crate) fn rootfs(&self, vmid: u32) -> Option<PathBuf> {
        let mounts = self.guests.lxc.get(&vmid)?.config.current.mounts();
        mounts
            .first()
            .filter(|mount| mount.key == "rootfs")
            .map(|mount| self.mount_root(mount))
    }
}

/// The folder for a volume id or a host path.
pub(crate) fn source_root(state: &Path, volume: &str) -> PathBuf {
    if volume.starts_with('/') {
        state.join("host").join(volume.trim_start_matches('/'))
    } else {
        volumes::tree_path(state, volume)
    }
}

/// Whole seconds of a span.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "uptimes fit by far"
)]
pub(crate) fn whole(seconds: f64) -> i64 {
    seconds as i64
}
