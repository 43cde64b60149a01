//! The bare mount point: root's, mode 0500 and immutable, so that what is written while the disk is away fails at once and does
//! not fill the host's own disk.

use std::os::fd::{AsFd, OwnedFd};

use felhom_ids::TargetName;
use rustix::fs::{
    AtFlags, Dir, IFlags, Mode, OFlags, Stat, fchmod, fstat, ioctl_getflags, ioctl_setflags,
    mkdirat, openat2, unlinkat,
};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};

use super::super::Root;
use super::place::{self, INSIDE, failed};
use super::unit;
use crate::refusal::{Code, Refusal};

const CLOSED: u32 = 0o500;

/// Makes the mount point as it has to be. Nothing may be mounted there.
pub(super) fn raise(root: Root<'_>, name: &TargetName) -> Result<(), Refusal> {
    let point = unit::mount_point(&root.config.usb, name);
    let broken = |error: Errno| failed(&point, error);
    let above = place::make(root.layout, &above(root))?;
    match mkdirat(&above, name.as_str(), Mode::from_raw_mode(CLOSED)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(broken(error)),
    }
    let dir = bare(&above, name).map_err(broken)?;
    if is_closed(root, &dir) {
        return Ok(());
    }
    if !is_empty(&dir).map_err(broken)? {
        let text = format!("{point} is not empty; look what is in it, and move it away");
        return Err(Refusal::new(Code::Exists, text));
    }
    let found = fstat(&dir).map_err(broken)?;
    if found.st_uid != root.layout.owner() {
        return Err(failed(&point, "another user owns it; remove it"));
    }
    set_immutable(&dir, false);
    fchmod(&dir, Mode::from_raw_mode(CLOSED)).map_err(broken)?;
    set_immutable(&dir, true);
    rustix::fs::fsync(&above).map_err(broken)
}

/// Takes the mount point away. Nothing may be mounted there; what is in it stays, and the mount point with it.
pub(super) fn lower(root: Root<'_>, name: &TargetName) -> Result<(), Refusal> {
    let point = unit::mount_point(&root.config.usb, name);
    let broken = |error: Errno| failed(&point, error);
    let Some(above) = place::open(root.layout, &above(root))? else {
        return Ok(());
    };
    let dir = match bare(&above, name) {
        Ok(dir) => dir,
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(broken(error)),
    };
    if !is_empty(&dir).map_err(broken)? {
        let text = format!("{point} is not empty; look what is in it, and move it away");
        return Err(Refusal::new(Code::Exists, text));
    }
    set_immutable(&dir, false);
    unlinkat(&above, name.as_str(), AtFlags::REMOVEDIR).map_err(broken)?;
    rustix::fs::fsync(&above).map_err(broken)
}

/// Whether the mount point is as it has to be. Under a mount it is seen through a copy of the directory above that leaves out
/// what is mounted in it (`open_tree(2)`).
pub(super) fn stands(root: Root<'_>, name: &TargetName) -> bool {
    let Ok(Some(above)) = place::open(root.layout, &above(root)) else {
        return false;
    };
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    let above = open_tree(&above, "", flags).unwrap_or(above);
    bare(&above, name).is_ok_and(|dir| is_closed(root, &dir))
}

fn above(root: Root<'_>) -> String {
    root.config.usb.mount_dir.display().to_string()
}

/// The mount point itself. Something mounted there is an error.
fn bare(above: impl AsFd, name: &TargetName) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat2(above, name.as_str(), flags, Mode::empty(), INSIDE)
}

fn is_closed(root: Root<'_>, dir: &OwnedFd) -> bool {
    let is_right =
        |found: Stat| found.st_uid == root.layout.owner() && found.st_mode & 0o7777 == CLOSED;
    let is_immutable = match ioctl_getflags(dir) {
        Ok(flags) => flags.contains(IFlags::IMMUTABLE),
        // A file system without such flags.
        Err(_) => true,
    };
    fstat(dir).is_ok_and(is_right) && is_immutable
}

/// Not every file system can; the report says whether it came to be.
fn set_immutable(dir: &OwnedFd, to: bool) {
    if let Ok(mut flags) = ioctl_getflags(dir) {
        flags.set(IFlags::IMMUTABLE, to);
        let _cannot = ioctl_setflags(dir, flags);
    }
}

fn is_empty(dir: &OwnedFd) -> Result<bool, Errno> {
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            return Ok(false);
        }
    }
    Ok(true)
}
