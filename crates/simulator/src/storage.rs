//! Storages: their definitions, the volumes on them, and where all that lies below the state directory.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::call::ApiError;
use crate::hostd::{Removable, on_host};
use crate::pool::ThinPool;
use crate::world::World;

pub(crate) mod access;
pub(crate) mod backups;
pub(crate) mod content;
pub(crate) mod exports;
mod mounted;
pub(crate) mod retention;
#[cfg(test)]
mod tests;
pub(crate) mod volumes;

/// The storages of the node.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Storages {
    pub(crate) definitions: BTreeMap<String, Definition>,
    /// What lies in `/etc/pve/priv/storage`, by storage.
    pub(crate) secrets: BTreeMap<String, Secret>,
    /// What other machines export to the node.
    pub(crate) exports: Vec<exports::Export>,
    /// File systems with a mount unit below `/mnt/pve`: the UUID of each by the name of its directory.
    pub(crate) mounts: BTreeMap<String, String>,
    /// Disks that come and go, and the targets on them.
    pub(crate) removable: Removable,
    /// Storages that do not behave as they should.
    pub(crate) reach: BTreeMap<String, exports::Reach>,
    /// Guests' volumes on all storages by their volume id.
    pub(crate) volumes: BTreeMap<String, Volume>,
    /// Which folder below `storage/` stands for a path of the node: definitions come and go, data stays.
    pub(crate) folders: BTreeMap<String, String>,
    pub(crate) pool: ThinPool,
    /// The state directory.
    pub(crate) state: PathBuf,
}

/// The secrets of a backup server's storage: files that only root reads.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Secret {
    /// `ID.pw`
    pub(crate) password: Option<String>,
    /// `ID.enc`, the key file as it stands there.
    pub(crate) key: Option<String>,
    /// `ID.master.pem`
    pub(crate) master: Option<String>,
}

/// One entry of `storage.cfg`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Definition {
    /// `dir`, `lvmthin`, `nfs`, `pbs`, …
    pub(crate) kind: String,
    pub(crate) options: BTreeMap<String, String>,
}

impl Definition {
    pub(crate) fn content(&self) -> Vec<&str> {
        let list = self
            .options
            .get("content")
            .map_or("images,rootdir", String::as_str);
        list.split(',')
            .map(str::trim)
            .filter(|kind| !kind.is_empty())
            .collect()
    }

    pub(crate) fn holds(&self, kind: &str) -> bool {
        self.content().contains(&kind)
    }

    pub(crate) fn is_shared(&self) -> bool {
        self.kind == "pbs" || self.options.get("shared").is_some_and(|value| value == "1")
    }

    pub(crate) fn enabled(&self) -> bool {
        self.options.get("disable").is_none_or(|value| value != "1")
    }

    pub(crate) fn path(&self) -> Option<&str> {
        self.options.get("path").map(String::as_str)
    }
}

/// A guest's volume.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Volume {
    pub(crate) owner: u32,
    pub(crate) size: u64,
    pub(crate) ctime: i64,
    /// On the thin pool (else a raw file of a directory storage).
    pub(crate) thin: bool,
    /// File system's own blocks.
    pub(crate) overhead: u64,
    /// Bytes of files that were put there.
    pub(crate) content: u64,
    /// Blocks that a living guest wrote since.
    pub(crate) churn: u64,
    /// Snapshots by name with the bytes that only they hold.
    pub(crate) snapshots: BTreeMap<String, u64>,
}

impl Volume {
    /// Bytes that the volume and its snapshots occupy.
    pub(crate) fn mapped(&self) -> u64 {
        (self.overhead + self.content + self.churn).min(self.size)
            + self.snapshots.values().sum::<u64>()
    }

    /// Bytes that could still be written to it for the first time.
    pub(crate) fn room(&self) -> u64 {
        self.size
            .saturating_sub(self.overhead + self.content + self.churn)
    }
}

impl Storages {
    /// Volumes that take their blocks from the pool.
    pub(crate) fn thin_volumes(&self) -> impl Iterator<Item = &Volume> {
        self.volumes.values().filter(|volume| volume.thin)
    }

    pub(crate) fn definition(&self, id: &str) -> Result<&Definition, ApiError> {
        self.definitions
            .get(id)
            .ok_or_else(|| ApiError::die(format!("storage '{id}' does not exist")))
    }

    /// The definition, when it may be used now.
    pub(crate) fn usable(&self, id: &str) -> Result<&Definition, ApiError> {
        let definition = self.definition(id)?;
        if !definition.enabled() {
            return Err(ApiError::die(format!("storage '{id}' is disabled")));
        }
        match self.reach.get(id) {
            None | Some(exports::Reach::Online) => {}
            Some(_) => return Err(ApiError::die(exports::refusal(id, definition))),
        }
        let there = self.check_mount(id, definition);
        there.map(|()| definition).map_err(ApiError::die)
    }

    /// The folder of the state directory that stands for a directory storage's path.
    pub(crate) fn folder(&self, id: &str) -> Option<PathBuf> {
        let path = self.definitions.get(id)?.path()?;
        if self.removable.target_at(path).is_some() {
            return Some(on_host(&self.state, path));
        }
        Some(self.state.join("storage").join(self.folders.get(path)?))
    }

    /// Gives a path of the node its folder; a path that had one keeps it, and its data.
    pub(crate) fn adopt_folder(&mut self, path: &str, id: &str) {
        let taken: Vec<&String> = self.folders.values().collect();
        let mut name = id.to_owned();
        while taken.contains(&&name) {
            name.push('_');
        }
        self.folders.entry(path.to_owned()).or_insert(name);
    }

    /// Paths of the node that lie on other machines.
    fn mounted_exports(&self) -> impl Iterator<Item = &str> {
        let network = self.definitions.values();
        network
            .filter(|definition| exports::is_network(&definition.kind))
            .filter_map(Definition::path)
    }

    /// `storage.cfg`, whose digest every entry carries.
    pub(crate) fn config_text(&self) -> String {
        let mut out = String::new();
        for (id, definition) in &self.definitions {
            out.push_str(&format_header(&definition.kind, id));
            for (key, value) in &definition.options {
                out.push_str(&["\t", key, " ", value, "\n"].concat());
            }
            out.push('\n');
        }
        out
    }
}

fn format_header(kind: &str, id: &str) -> String {
    format!("{kind}: {id}\n")
}

/// Total, used and available bytes of a storage.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Space {
    pub(crate) total: u64,
    pub(crate) used: u64,
    pub(crate) avail: u64,
}

impl World {
    /// Whether a storage is a backup server's.
    pub(crate) fn is_pbs(&self, id: &str) -> bool {
        let definition = self.storage.definitions.get(id);
        definition.is_some_and(|definition| definition.kind == "pbs")
    }

    /// What `df` or `lvs` would say of a storage. Call `settle` first.
    pub(crate) fn storage_space(&self, id: &str) -> Space {
        if self.is_pbs(id) {
            return self.pbs_space(id).unwrap_or_default();
        }
        let thin = self
            .storage
            .definitions
            .get(id)
            .is_some_and(|definition| definition.kind == "lvmthin");
        if thin {
            let (total, used) = (self.storage.pool.size, self.pool_data_seen());
            return Space {
                total,
                used,
                avail: total - used,
            };
        }
        if let Some(space) = self.export_space(id) {
            return space;
        }
        let path = self.storage.definitions.get(id).and_then(Definition::path);
        let target = path.and_then(|path| self.storage.removable.target_at(path));
        // A mount whose disk was pulled still answers with what it knew.
        if let Some(mount) = target.and_then(|(_, target)| target.mount.as_ref()) {
            let disks = &self.storage.removable;
            return disks.space(&self.storage.state, &mount.disk);
        }
        let elsewhere: Vec<&str> = self.storage.mounted_exports().collect();
        let folders: u64 = self
            .storage
            .folders
            .iter()
            .filter(|(path, _)| !elsewhere.contains(&path.as_str()))
            .map(|(_, name)| {
                crate::guest::tree::size(&self.storage.state.join("storage").join(name))
            })
            .sum();
        let raw: u64 = self
            .storage
            .volumes
            .values()
            .filter(|v| !v.thin)
            .map(Volume::mapped)
            .sum();
        let total = self.node.rootfs_total;
        let used = (self.node.rootfs_used + folders + raw).min(total);
        // ext4 keeps a reserve for root that nobody else may use.
        Space {
            total,
            used,
            avail: (total - used).saturating_sub(total / 20),
        }
    }

    /// Whether the node could use it now.
    fn is_active(&self, id: &str, definition: &Definition) -> bool {
        let answers = definition.kind != "pbs" || self.pbs_space(id).is_some();
        let mounted = self.storage.check_mount(id, definition).is_ok();
        definition.enabled() && self.reach(id) == exports::Reach::Online && answers && mounted
    }

    /// A storage's row as the node's list and its status answer it.
    pub(crate) fn storage_status(&self, id: &str) -> Map<String, Value> {
        let mut row = Map::new();
        let Some(definition) = self.storage.definitions.get(id) else {
            return row;
        };
        row.insert("type".into(), json!(definition.kind));
        row.insert("content".into(), json!(definition.content().join(",")));
        row.insert("shared".into(), json!(u8::from(definition.is_shared())));
        let enabled = definition.enabled();
        let active = self.is_active(id, definition);
        row.insert("enabled".into(), json!(u8::from(enabled)));
        row.insert("active".into(), json!(u8::from(active)));
        let space = if active {
            self.storage_space(id)
        } else {
            Space {
                total: 0,
                used: 0,
                avail: 0,
            }
        };
        row.insert("total".into(), json!(space.total));
        row.insert("used".into(), json!(space.used));
        row.insert("avail".into(), json!(space.avail));
        row
    }
}

/// Called by `/cluster/resources`: one complete row a storage; permissions are the caller's business.
pub(crate) fn rows(world: &World) -> Vec<Map<String, Value>> {
    world
        .storage
        .definitions
        .iter()
        .map(|(id, definition)| {
            // What was not active when the node's statistics were collected has none.
            let active = world.is_active(id, definition);
            let space = active.then(|| world.storage_space(id));
            let mut row = Map::new();
            row.insert(
                "id".into(),
                json!(format!("storage/{}/{id}", world.node.name)),
            );
            row.insert("type".into(), json!("storage"));
            row.insert("storage".into(), json!(id));
            row.insert("node".into(), json!(world.node.name));
            row.insert("plugintype".into(), json!(definition.kind));
            row.insert("content".into(), json!(definition.content().join(",")));
            let shared = definition.is_shared();
            row.insert("shared".into(), json!(u8::from(shared)));
            let status = if active { "available" } else { "unknown" };
            row.insert("status".into(), json!(status));
            if let Some(space) = space {
                row.insert("disk".into(), json!(space.used));
                row.insert("maxdisk".into(), json!(space.total));
            }
            row
        })
        .collect()
}
