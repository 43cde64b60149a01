//! Disks that are carried about, and the targets that root took some of them for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::{Deserialize, Serialize};

use crate::guest::tree;
use crate::storage::Space;

/// The directory below which targets are mounted.
pub(crate) const MOUNT_DIR: &str = "/mnt/felhom";
/// The file on a disk by which it is known again.
const CANARY: &str = ".felhom-target";

/// What the node has of disks that come and go, and of what root knows about them.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Removable {
    /// Disks by the name of their folder.
    pub(crate) disks: BTreeMap<String, Disk>,
    /// Root's records and units, by the target's name.
    pub(crate) targets: BTreeMap<String, Target>,
    /// Who has files open on a target: process ids with their names.
    #[serde(skip)]
    pub(crate) holders: BTreeMap<String, BTreeSet<(u32, String)>>,
}

/// One disk with one file system over all of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Disk {
    pub(crate) uuid: String,
    pub(crate) serial: String,
    pub(crate) model: String,
    pub(crate) size: u64,
    pub(crate) fstype: String,
    pub(crate) label: String,
    /// `usb`, or whatever else it hangs on.
    pub(crate) transport: String,
    pub(crate) attached: bool,
    pub(crate) read_only: bool,
    /// Bytes of it that are not in its folder.
    pub(crate) foreign: u64,
}

impl Default for Disk {
    fn default() -> Self {
        Self {
            uuid: String::new(),
            serial: String::new(),
            model: "Portable SSD".into(),
            size: 1 << 40,
            fstype: "ext4".into(),
            label: String::new(),
            transport: "usb".into(),
            attached: false,
            read_only: false,
            foreign: 0,
        }
    }
}

/// Root's record of a target; its unit and its mount point are there as long as the record is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Target {
    pub(crate) uuid: String,
    pub(crate) serial: String,
    pub(crate) fstype: String,
    pub(crate) size: u64,
    /// What stands in the canary, besides what is drawn anew each time.
    pub(crate) id: String,
    /// What was drawn last; none before the first write.
    pub(crate) nonce: Option<String>,
    pub(crate) mount: Option<Mount>,
}

/// A mount; it does not survive a boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mount {
    /// The folder of the disk.
    pub(crate) disk: String,
    /// The disk was pulled: everything fails there, until nobody has a file open any more.
    pub(crate) dead: bool,
}

/// Where a target is mounted.
pub(crate) fn mount_point(name: &str) -> String {
    format!("{MOUNT_DIR}/{name}")
}

/// Where an attached disk's files are.
pub(crate) fn folder(state: &Path, disk: &str) -> PathBuf {
    state.join("disks").join(disk)
}

/// Where they are while it is not attached: nobody finds them there.
fn drawer(state: &Path, disk: &str) -> PathBuf {
    state.join("unplugged").join(disk)
}

/// The place below the state directory that stands for a path of the host.
pub(crate) fn on_host(state: &Path, path: &str) -> PathBuf {
    state.join("host").join(path.trim_start_matches('/'))
}

impl Removable {
    /// The target that a path of the host lies at or below.
    pub(crate) fn target_at(&self, path: &str) -> Option<(&str, &Target)> {
        let rest = path.strip_prefix(MOUNT_DIR)?.strip_prefix('/')?;
        let name = rest.split('/').next().unwrap_or_default();
        let (name, target) = self.targets.get_key_value(name)?;
        Some((name, target))
    }

    /// The disk below a path of the host, while it is mounted there and answers.
    pub(crate) fn disk_at(&self, path: &str) -> Option<(&str, &Disk)> {
        let mount = self.target_at(path)?.1.mount.as_ref()?;
        let (id, disk) = self.disks.get_key_value(&mount.disk)?;
        (!mount.dead && disk.attached).then_some((id.as_str(), disk))
    }

    /// What is attached.
    pub(crate) fn attached(&self) -> impl Iterator<Item = (&String, &Disk)> {
        self.disks.iter().filter(|(_, disk)| disk.attached)
    }

    /// A disk is plugged in.
    pub(crate) fn attach(&mut self, state: &Path, id: &str) -> io::Result<()> {
        let Some(disk) = self.disks.get_mut(id) else {
            return Ok(());
        };
        disk.attached = true;
        let (there, away) = (folder(state, id), drawer(state, id));
        if there.is_dir() {
            return Ok(());
        }
        fs::create_dir_all(state.join("disks"))?;
        if away.is_dir() {
            fs::rename(away, there)
        } else {
            fs::create_dir_all(there)
        }
    }

    /// A disk is pulled. What is mounted is unmounted by systemd, unless somebody has a file open there: then it stays, dead.
    pub(crate) fn detach(&mut self, state: &Path, id: &str) -> io::Result<()> {
        let Some(disk) = self.disks.get_mut(id) else {
            return Ok(());
        };
        disk.attached = false;
        for target in self.targets.values_mut() {
            if let Some(mount) = target.mount.as_mut().filter(|mount| mount.disk == id) {
                mount.dead = true;
            }
        }
        fs::create_dir_all(state.join("unplugged"))?;
        if folder(state, id).is_dir() {
            fs::rename(folder(state, id), drawer(state, id))?;
        }
        self.drop_dead(state)
    }

    /// Unmounts what is dead and held by nobody.
    pub(crate) fn drop_dead(&mut self, state: &Path) -> io::Result<()> {
        for (name, target) in &mut self.targets {
            let held = self.holders.get(name).is_some_and(|all| !all.is_empty());
            if !held && target.mount.as_ref().is_some_and(|mount| mount.dead) {
                target.mount = None;
            }
        }
        self.place(state)
    }

    /// The power went: nothing is mounted at boot.
    pub(crate) fn power_cut(&mut self, state: &Path) -> io::Result<()> {
        self.holders.clear();
        for target in self.targets.values_mut() {
            target.mount = None;
        }
        self.place(state)
    }

    /// Brings the mount points in line: a link to the disk's folder where one is mounted, else a bare directory.
    pub(crate) fn place(&self, state: &Path) -> io::Result<()> {
        use std::os::unix::fs::{DirBuilderExt, symlink};
        for (name, target) in &self.targets {
            let point = on_host(state, &mount_point(name));
            let wanted = target.mount.as_ref().map(|mount| {
                let disk = if mount.dead { ".gone" } else { &mount.disk };
                Path::new("../../../disks").join(disk)
            });
            let found = fs::read_link(&point).ok();
            if found == wanted && (found.is_some() || point.is_dir()) {
                continue;
            }
            clear(&point)?;
            fs::create_dir_all(on_host(state, MOUNT_DIR))?;
            match wanted {
                Some(wanted) => symlink(wanted, &point)?,
                None => fs::DirBuilder::new().mode(0o500).create(&point)?,
            }
        }
        Ok(())
    }

    /// A target is forgotten, and its mount point goes.
    pub(crate) fn forget(&mut self, state: &Path, name: &str) -> io::Result<()> {
        self.targets.remove(name);
        self.holders.remove(name);
        clear(&on_host(state, &mount_point(name)))
    }

    /// How full a disk is.
    pub(crate) fn space(&self, state: &Path, id: &str) -> Space {
        let Some(disk) = self.disks.get(id) else {
            return Space::default();
        };
        let ours = tree::size(&folder(state, id));
        let used = disk.foreign.saturating_add(ours).min(disk.size);
        Space {
            total: disk.size,
            used,
            avail: disk.size - used,
        }
    }

    /// What stands in the canary of an attached disk.
    pub(crate) fn canary(state: &Path, id: &str) -> Option<String> {
        fs::read_to_string(folder(state, id).join(CANARY)).ok()
    }

    /// Draws a new nonce for a target, and writes it to its disk and into the record.
    pub(crate) fn renew_canary(&mut self, state: &Path, name: &str, id: &str) -> io::Result<()> {
        let Some(target) = self.targets.get_mut(name) else {
            return Ok(());
        };
        let nonce = crate::storage::volumes::uuid();
        fs::write(folder(state, id).join(CANARY), canary(&target.id, &nonce).1)?;
        target.nonce = Some(nonce);
        Ok(())
    }
}

/// The canary's first line, which says whose it is, and the whole of it.
pub(crate) fn canary(target: &str, nonce: &str) -> (String, String) {
    let of = format!("target = \"{target}\"\n");
    let whole = format!("{of}nonce = \"{nonce}\"\n");
    (of, whole)
}

/// Removes a link or an empty directory.
fn clear(point: &Path) -> io::Result<()> {
    let Ok(found) = fs::symlink_metadata(point) else {
        return Ok(());
    };
    if found.is_dir() {
        fs::remove_dir(point)
    } else {
        fs::remove_file(point)
    }
}
