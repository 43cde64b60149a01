//! Guests' volumes: made, removed, snapshotted and rolled back, in the accounting and as trees of files.

use std::path::{Path, PathBuf};

use super::Volume;
use crate::call::ApiError;
use crate::guest::tree;
use crate::world::World;

/// What `mke2fs` leaves on a fresh file system of this size.
fn overhead(size: u64) -> u64 {
    ((18 << 20) + size / 32).min(size / 2)
}

/// The folder of a volume's tree.
pub(crate) fn tree_path(state: &Path, volid: &str) -> PathBuf {
    let (storage, name) = volid.split_once(':').unwrap_or(("", volid));
    let name = name.rsplit('/').next().unwrap_or(name);
    let folder = if storage == "local-lvm" {
        name.to_owned()
    } else {
        format!("{storage}--{name}")
    };
    state.join("volumes").join(folder)
}

/// The folder of a snapshot of a volume.
pub(crate) fn snapshot_path(state: &Path, volid: &str, snapshot: &str) -> PathBuf {
    let tree = tree_path(state, volid);
    let name = tree
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    tree.with_file_name(format!("snap_{name}_{snapshot}"))
}

/// GiB with two decimals as LVM rounds them, `<` where it rounded up.
fn gib(bytes: u64) -> String {
    let hundredths = (u128::from(bytes) * 100 + (1 << 29)) >> 30;
    let below = hundredths << 30 > u128::from(bytes) * 100;
    format!(
        "{}{}.{:02}",
        if below { "<" } else { "" },
        hundredths / 100,
        hundredths % 100
    )
}

/// The block numbers where `mke2fs` keeps copies of the superblock (4 KiB blocks).
fn superblocks(blocks: u64) -> String {
    let mut groups = vec![1_u64];
    for base in [3_u64, 5, 7] {
        let mut group = base;
        while group < blocks {
            groups.push(group);
            group *= base;
        }
    }
    groups.sort_unstable();
    let list: Vec<String> = groups
        .into_iter()
        .map(|group| group * 32_768)
        .filter(|&b| b < blocks)
        .map(|b| b.to_string())
        .collect();
    list.join(", ")
}

/// A random UUID (version 4).
pub(crate) fn uuid() -> String {
    let mut raw = [0_u8; 16];
    // Without entropy the id is all zeroes, which harms nobody here.
    let filled = aws_lc_rs::rand::fill(&mut raw);
    let number = filled.map_or(0, |()| u128::from_be_bytes(raw));
    let number = number & !(0xf << 76) & !(0x3 << 62) | (4 << 76) | (2 << 62);
    let hex = format!("{number:032x}");
    let part = |from, to| hex.get(from..to).unwrap_or_default();
    [
        part(0, 8),
        part(8, 12),
        part(12, 16),
        part(16, 20),
        part(20, 32),
    ]
    .join("-")
}

impl World {
    /// The lowest free `vm-ID-disk-N` of a storage.
    fn next_name(&self, storage: &str, vmid: u32, thin: bool) -> String {
        let full = |number: u32| {
            if thin {
                format!("{storage}:vm-{vmid}-disk-{number}")
            } else {
                format!("{storage}:{vmid}/vm-{vmid}-disk-{number}.raw")
            }
        };
        let mut number = 0;
        while self.storage.volumes.contains_key(&full(number)) {
            number += 1;
        }
        full(number)
    }

    /// Allocates a volume with a file system; answers its id. The lines are those of the tools.
    pub(crate) fn make_volume(
        &mut self,
        storage: &str,
        vmid: u32,
        size: u64,
        now: i64,
        log: &mut Vec<String>,
    ) -> Result<String, String> {
        let volid = self.allocate(storage, vmid, None, size, now, log)?;
        self.format_volume(&volid, 0);
        let blocks = size / 4096;
        log.push(format!(
            "Creating filesystem with {blocks} 4k blocks and {} inodes",
            (blocks / 4).max(16)
        ));
        log.push(format!("Filesystem UUID: {}", uuid()));
        log.push("Superblock backups stored on blocks: ".into());
        log.push(format!("\t{}", superblocks(blocks)));
        tree::remove(&tree_path(&self.storage.state, &volid))
            .and_then(|()| std::fs::create_dir_all(tree_path(&self.storage.state, &volid)))
            .map_err(|error| error.to_string())?;
        Ok(volid)
    }

    /// Notes a file system on a volume, with so many bytes of files.
    pub(crate) fn format_volume(&mut self, volid: &str, content: u64) {
        if let Some(volume) = self.storage.volumes.get_mut(volid) {
            volume.overhead = overhead(volume.size);
            volume.content = content;
        }
    }

    /// Allocates a bare volume, under a given name or the next free one.
    pub(crate) fn allocate(
        &mut self,
        storage: &str,
        vmid: u32,
        name: Option<&str>,
        size: u64,
        now: i64,
        log: &mut Vec<String>,
    ) -> Result<String, String> {
        let definition = self
            .storage
            .usable(storage)
            .map_err(|error| error.message)?;
        let thin = definition.kind == "lvmthin";
        let base = definition.path().unwrap_or_default().to_owned();
        let volid = name.map_or_else(
            || self.next_name(storage, vmid, thin),
            |n| format!("{storage}:{n}"),
        );
        let file = volid
            .split_once(':')
            .map_or("", |(_, file)| file)
            .to_owned();
        if thin {
            self.lvcreate(&file, size, log)?;
        } else {
            log.push(format!(
                "Formatting '{base}/images/{file}', fmt=raw size={size} preallocation=off"
            ));
        }
        let volume = Volume {
            owner: vmid,
            size,
            ctime: now,
            thin,
            ..Volume::default()
        };
        self.storage.volumes.insert(volid.clone(), volume);
        Ok(volid)
    }

    fn lvcreate(&self, name: &str, size: u64, log: &mut Vec<String>) -> Result<(), String> {
        let pool = &self.storage.pool;
        let lv = format!("{}/{name}", pool.vg);
        let path = format!("{}/{}", pool.vg, pool.lv);
        if self.pool_data() >= pool.size || self.pool_metadata() >= pool.metadata_size {
            return Err(format!(
                "lvcreate '{lv}' error:   Cannot create new thin volume, free space in thin pool {path} reached threshold."
            ));
        }
        let sum = self
            .storage
            .thin_volumes()
            .map(|volume| volume.size)
            .sum::<u64>()
            + size;
        let over = sum > pool.size;
        if over {
            log.push("  WARNING: You have not turned on protection against thin pools running out of space.".into());
            log.push("  WARNING: Set activation/thin_pool_autoextend_threshold below 100 to trigger automatic extension of thin pools before they get full.".into());
        }
        log.push(format!("  Logical volume \"{name}\" created."));
        if over {
            let beyond = if sum > pool.vg_size {
                format!("the size of whole volume group ({} GiB)", gib(pool.vg_size))
            } else {
                format!(
                    "the amount of free space in volume group ({} GiB)",
                    gib(pool.vg_free)
                )
            };
            log.push(format!(
                "  WARNING: Sum of all thin volume sizes ({} GiB) exceeds the size of thin pool {path} and {beyond}.",
                gib(sum)
            ));
        }
        log.push(format!("  Logical volume {lv} changed."));
        Ok(())
    }

    /// Removes a volume with its tree and its snapshots.
    pub(crate) fn free_volume(&mut self, volid: &str, log: &mut Vec<String>) -> Result<(), String> {
        let volume = self
            .storage
            .volumes
            .remove(volid)
            .ok_or_else(|| format!("volume '{volid}' does not exist"))?;
        let name = volid.split_once(':').map_or("", |(_, name)| name);
        for snapshot in volume.snapshots.keys() {
            log.push(format!(
                "  Logical volume \"snap_{name}_{snapshot}\" successfully removed."
            ));
            tree::remove(&snapshot_path(&self.storage.state, volid, snapshot))
                .map_err(|e| e.to_string())?;
        }
        if volume.thin {
            log.push(format!("  Logical volume \"{name}\" successfully removed."));
        }
        tree::remove(&tree_path(&self.storage.state, volid)).map_err(|error| error.to_string())
    }

    /// Whether a volume can be snapshotted: raw files on a directory cannot.
    pub(crate) fn can_snapshot(&self, volid: &str) -> bool {
        self.storage
            .volumes
            .get(volid)
            .is_some_and(|volume| volume.thin)
    }

    /// Notes a snapshot of a volume in the accounting; the caller copies the tree.
    pub(crate) fn add_snapshot(&mut self, volid: &str, snapshot: &str, log: &mut Vec<String>) {
        let name = volid.split_once(':').map_or("", |(_, name)| name);
        if let Some(volume) = self.storage.volumes.get_mut(volid) {
            volume.snapshots.insert(snapshot.to_owned(), 0);
            log.push(format!(
                "  Logical volume \"snap_{name}_{snapshot}\" created."
            ));
        }
    }

    /// Drops a snapshot of a volume; one that is not there is an error of the tool.
    pub(crate) fn drop_snapshot(
        &mut self,
        volid: &str,
        snapshot: &str,
        log: &mut Vec<String>,
    ) -> Result<(), String> {
        let name = volid
            .split_once(':')
            .map_or("", |(_, name)| name)
            .to_owned();
        let volume = self
            .storage
            .volumes
            .get_mut(volid)
            .ok_or_else(|| format!("volume '{volid}' does not exist"))?;
        if volume.snapshots.remove(snapshot).is_none() {
            return Err(format!(
                "lvremove snapshot '{}/snap_{name}_{snapshot}' error:   Failed to find logical volume \"{}/snap_{name}_{snapshot}\"",
                self.storage.pool.vg, self.storage.pool.vg
            ));
        }
        log.push(format!(
            "  Logical volume \"snap_{name}_{snapshot}\" successfully removed."
        ));
        tree::remove(&snapshot_path(&self.storage.state, volid, snapshot))
            .map_err(|e| e.to_string())
    }

    /// Files were put on a volume: counts them, if the pool still takes them.
    pub(crate) fn write_volume(&mut self, volid: &str, bytes: u64) -> Result<(), String> {
        let thin = self
            .storage
            .volumes
            .get(volid)
            .is_some_and(|volume| volume.thin);
        if thin && !self.pool_fits(bytes) {
            return Err("Input/output error".into());
        }
        let Some(volume) = self.storage.volumes.get_mut(volid) else {
            return Err(format!("volume '{volid}' does not exist"));
        };
        if volume.room() < bytes {
            return Err("No space left on device".into());
        }
        volume.content += bytes;
        Ok(())
    }

    /// The real path of a container's device, as messages name it.
    pub(crate) fn device_path(&self, volid: &str) -> String {
        let name = volid.split_once(':').map_or("", |(_, name)| name);
        format!("/dev/{}/{name}", self.storage.pool.vg)
    }

    /// A volume, or the error of something that needs it.
    pub(crate) fn volume(&self, volid: &str) -> Result<&Volume, ApiError> {
        self.storage.volumes.get(volid).ok_or_else(|| {
            ApiError::die(format!(
                "no such logical volume {}",
                volid.replacen(':', "/", 1)
            ))
        })
    }
}
