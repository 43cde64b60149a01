//! Directory storages on disks that come and go: what PVE says when the disk is not there, takes no data or is full.

use super::{Definition, Storages};
use crate::hostd::{MOUNT_DIR, on_host};

/// Content types with the directory that PVE makes for each when it activates a storage, in its order (pve-storage
/// `Plugin.pm`, `activate_storage`).
const SUBDIRS: [(&str, &str); 6] = [
    ("backup", "dump"),
    ("import", "import"),
    ("iso", "template/iso"),
    ("rootdir", "private"),
    ("snippets", "snippets"),
    ("vztmpl", "template/cache"),
];

/// The path that has to be a mount point (pve-storage `DirPlugin.pm`, `parse_is_mountpoint`).
fn must_be_mounted(definition: &Definition) -> Option<&str> {
    let said = definition.options.get("is_mountpoint")?.as_str();
    match said.to_ascii_lowercase().as_str() {
        "1" | "on" | "yes" | "true" => definition.path(),
        "0" | "off" | "no" | "false" => None,
        _ => Some(said),
    }
}

fn makes_dirs(definition: &Definition) -> bool {
    ["mkdir", "create-subdirs"]
        .iter()
        .all(|key| definition.options.get(*key).is_none_or(|said| said != "0"))
}

fn no_dir(path: &str, definition: &Definition, reason: &str) -> String {
    let all = SUBDIRS.iter();
    let (kind, dir) = all
        .clone()
        .find(|(kind, _)| definition.holds(kind))
        .or_else(|| all.clone().next())
        .copied()
        .unwrap_or_default();
    format!("failed to create content directory '{path}/{dir}' for content '{kind}' - {reason}")
}

impl Storages {
    /// What the activation of a directory fails with, when it lies on a target whose disk is not there. Without
    /// `is_mountpoint` PVE makes its directories on whatever is below; a mount point that is immutable refuses even root.
    pub(crate) fn check_mount(&self, id: &str, definition: &Definition) -> Result<(), String> {
        let Some(path) = definition.path().filter(|_| definition.kind == "dir") else {
            return Ok(());
        };
        if let Some(point) = must_be_mounted(definition)
            && point.starts_with(&format!("{MOUNT_DIR}/"))
            && !self.is_mounted(point)
        {
            return Err(format!(
                "unable to activate storage '{id}' - directory is expected to be a mount point but is not mounted: '{point}'"
            ));
        }
        let Some((name, target)) = self.removable.target_at(path) else {
            return Ok(());
        };
        let below = path != crate::hostd::mount_point(name);
        let unreachable = || {
            format!(
                "unable to activate storage '{id}' - directory '{path}' does not exist or is unreachable"
            )
        };
        if target.mount.is_none() {
            if below || !makes_dirs(definition) {
                return if below { Err(unreachable()) } else { Ok(()) };
            }
            return Err(no_dir(path, definition, "Operation not permitted"));
        }
        let Some((_, disk)) = self.removable.disk_at(path) else {
            return Ok(());
        };
        let there = on_host(&self.state, path);
        if !disk.read_only || !makes_dirs(definition) || all_there(&there, definition) {
            return Ok(());
        }
        let reason =
            "Read-only file system - ensure that you have read and write access to your storage!";
        Err(no_dir(path, definition, reason))
    }

    /// Whether something is mounted at exactly this path below the targets' directory.
    fn is_mounted(&self, point: &str) -> bool {
        let target = self.removable.target_at(point);
        target.is_some_and(|(name, target)| {
            crate::hostd::mount_point(name) == point && target.mount.is_some()
        })
    }

    /// Why a file on a storage can not be written on, if so; in the kernel's words.
    pub(crate) fn takes_data(&self, id: &str) -> Result<(), &'static str> {
        let path = self.definitions.get(id).and_then(Definition::path);
        let Some(path) = path.filter(|path| self.removable.target_at(path).is_some()) else {
            return Ok(());
        };
        let Some((disk, facts)) = self.removable.disk_at(path) else {
            return Err("Input/output error");
        };
        if facts.read_only {
            return Err("Read-only file system");
        }
        let space = self.removable.space(&self.state, disk);
        if space.used >= space.total {
            return Err("No space left on device");
        }
        Ok(())
    }
}

fn all_there(base: &std::path::Path, definition: &Definition) -> bool {
    SUBDIRS
        .iter()
        .filter(|(kind, _)| definition.holds(kind))
        .all(|(_, dir)| base.join(dir).is_dir())
}
