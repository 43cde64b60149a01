//! LXC guests: configuration, file trees, what their init does, and what the API shows of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::call::ApiError;
use crate::storage::volumes;
use crate::world::World;

pub(crate) mod change;
pub(crate) mod config;
pub(crate) mod formats;
pub(crate) mod init;
pub(crate) mod permissions;
pub(crate) mod props;
pub(crate) mod schema;
#[cfg(test)]
mod tests;
pub(crate) mod tree;

use config::Config;
use formats::{Mount, Source};

/// The guests of the node.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Guests {
    pub(crate) lxc: BTreeMap<u32, Lxc>,
    /// Holder of `/var/run/vzdump.lock`: dies with the process that holds it.
    #[serde(skip)]
    pub(crate) vzdump_lock: Option<String>,
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

    fn number(&self, key: &str, default: u64) -> u64 {
        self.config
            .current
            .get(key)
            .and_then(|value| value.parse().ok())
            .unwrap_or(default)
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

    /// The row of `GET /nodes/N/lxc` and of `status/current`.
    pub(crate) fn lxc_status(&self, vmid: u32, now: f64) -> Map<String, Value> {
        let mut row = Map::new();
        let Some(guest) = self.guests.lxc.get(&vmid) else {
            return row;
        };
        let running = guest.run.as_ref();
        let root = guest.volumes().into_iter().next();
        let size = root.as_ref().and_then(Mount::size).unwrap_or(4 << 30);
        let volume = root.and_then(|mount| self.storage.volumes.get(mount.volume()));
        let text = |row: &mut Map<String, Value>, key: &str, value: Value| {
            row.insert(key.into(), value);
        };
        text(&mut row, "vmid", json!(vmid));
        text(&mut row, "type", json!("lxc"));
        text(&mut row, "name", json!(guest.name(vmid)));
        text(
            &mut row,
            "status",
            json!(if running.is_some() {
                "running"
            } else {
                "stopped"
            }),
        );
        text(
            &mut row,
            "cpus",
            json!(guest.number("cores", u64::from(self.node.cpus))),
        );
        text(&mut row, "maxmem", json!(guest.number("memory", 512) << 20));
        text(&mut row, "maxswap", json!(guest.number("swap", 512) << 20));
        text(
            &mut row,
            "maxdisk",
            json!(if running.is_some() {
                usable(size)
            } else {
                size
            }),
        );
        for key in [
            "cpu",
            "mem",
            "swap",
            "disk",
            "diskread",
            "diskwrite",
            "netin",
            "netout",
            "uptime",
        ] {
            text(&mut row, key, json!(0));
        }
        if let Some(run) = running {
            text(&mut row, "pid", json!(run.pid));
            text(&mut row, "uptime", json!(whole(now - run.since)));
            text(
                &mut row,
                "cpu",
                json!(if guest.frozen { 0.0 } else { 0.0012 }),
            );
            text(&mut row, "mem", json!(48_u64 << 20));
            text(&mut row, "diskread", json!(7_553_024));
            text(
                &mut row,
                "disk",
                json!(volume.map_or(0, |volume| volume.content + volume.churn)),
            );
            for kind in ["cpu", "io", "memory"] {
                text(&mut row, &format!("pressure{kind}some"), json!("0.00"));
                text(&mut row, &format!("pressure{kind}full"), json!("0.00"));
            }
        }
        for key in ["lock", "tags"] {
            if let Some(value) = guest.config.current.get(key) {
                text(&mut row, key, json!(value));
            }
        }
        if guest.config.current.flag("template") {
            text(&mut row, "template", json!(1));
        }
        row
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

/// What `statfs` says of an ext4 file system on a device of this size.
fn usable(size: u64) -> u64 {
    size.saturating_sub((34_082_816 + size / 1000 * 17).min(size / 2))
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

/// Called by `/cluster/resources` and others: one complete row a guest as that call answers it (`vmid`, `type`, `id`,
/// `name`, `status`, `mem` …); permissions are the caller's business.
pub(crate) fn rows(world: &World, now: i64) -> Vec<Map<String, Value>> {
    #[expect(
        clippy::as_conversions,
        clippy::cast_precision_loss,
        reason = "seconds since the epoch fit"
    )]
    let time = now as f64;
    let row = |&vmid: &u32| {
        let mut row = world.lxc_status(vmid, time);
        row.retain(|key, _| !key.starts_with("pressure") && key != "pid" && !key.contains("swap"));
        if let Some(cpus) = row.remove("cpus") {
            row.insert("maxcpu".into(), cpus);
        }
        row.insert("id".into(), json!(format!("lxc/{vmid}")));
        row.insert("node".into(), json!(world.node.name));
        row.insert("memhost".into(), json!(0));
        row.entry("template").or_insert(json!(0));
        row
    };
    world.guests.lxc.keys().map(row).collect()
}
