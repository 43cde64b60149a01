//! What is mounted at a target's place, by the kernel's own account of mounts.

use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use felhom_ids::TargetName;
use rustix::fs::{FileType, Mode, OFlags, major, minor, openat2, stat};
use rustix::io::Errno;

use super::super::Root;
use super::filesystem::FileSystem;
use super::place::{self, STRAIGHT, failed};
use super::unit;
use crate::refusal::Refusal;

/// This thread's mounts. The daemon's threads share them; a test's may have some of its own.
const MOUNTS: &str = "/proc/thread-self/mountinfo";

/// A mount at a target's place.
#[derive(Debug)]
pub(super) struct Mounted {
    /// Its root, not opened for reading: that would touch the disk.
    root: OwnedFd,
    /// The kernel's number of the mount.
    pub(super) id: u64,
    /// The number of its file system, which is the device's except for btrfs.
    pub(super) system: (u32, u32),
    pub(super) of: Of,
    /// What was mounted, as `mount` was told.
    pub(super) source: String,
}

/// What is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// The whole file system of a device with these numbers.
    Device(u32, u32),
    /// That of a device whose node is gone.
    Gone,
    /// A directory, or a file system that is on no disk.
    NoDisk,
}

/// A line of `mountinfo` (proc(5)).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) id: u64,
    pub(super) system: (u32, u32),
    root: &'a str,
    fstype: &'a str,
    source: String,
}

impl Mounted {
    /// What is mounted at the place of a target; `None` when nothing is.
    pub(super) fn at(root: Root<'_>, name: &TargetName) -> Result<Option<Self>, Refusal> {
        let point = unit::mount_point(&root.config.usb, name);
        let broken = |error: Errno| failed(&point, error);
        let above = root.config.usb.mount_dir.display().to_string();
        let Some(above) = place::open(root.layout, &above)? else {
            return Ok(None);
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = match openat2(&above, name.as_str(), flags, Mode::empty(), STRAIGHT) {
            Ok(dir) => dir,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP | Errno::NOTDIR) => {
                return Err(failed(&point, "it is a link or a file; remove it"));
            }
            Err(error) => return Err(broken(error)),
        };
        let id = mount_id(&dir)?;
        if id == mount_id(&above)? {
            return Ok(None);
        }
        let table = fs::read_to_string(MOUNTS).map_err(|error| failed(MOUNTS, error))?;
        let line = lines(&table).find(|line| line.id == id);
        let line = line.ok_or_else(|| failed(&point, "its mount went away; ask again"))?;
        Ok(Some(Self {
            root: dir,
            id: line.id,
            system: line.system,
            of: what_of(&line),
            source: line.source,
        }))
    }

    /// Opens its root for work on what is in it.
    pub(super) fn open(&self) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat2(self.root.as_fd(), ".", flags, Mode::empty(), place::INSIDE)
    }
}

/// The mount that an open directory is on. It is asked of `/proc`, as a file system whose disk is gone may answer nothing,
/// `statx` neither (XFS after a shutdown).
fn mount_id(dir: &OwnedFd) -> Result<u64, Refusal> {
    let path = format!("/proc/self/fdinfo/{}", dir.as_raw_fd());
    let text = fs::read_to_string(&path).map_err(|error| failed(&path, error))?;
    mount_id_of(&text).ok_or_else(|| failed(&path, "it tells no mnt_id"))
}

/// The mount in the text of an `fdinfo` (proc(5)).
pub(super) fn mount_id_of(fdinfo: &str) -> Option<u64> {
    let id = fdinfo.lines().find_map(|line| line.strip_prefix("mnt_id:"));
    id?.trim().parse().ok()
}

/// The lines of a `mountinfo`; what is no line of one is left out.
pub(super) fn lines(table: &str) -> impl Iterator<Item = Line<'_>> {
    table.lines().filter_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let mut fields = before.split(' ');
        let id = fields.next()?.parse().ok()?;
        let (major, minor) = fields.nth(1)?.split_once(':')?;
        let root = fields.next()?;
        let mut fields = after.split(' ');
        let fstype = fields.next()?;
        let source = unescape(fields.next()?);
        let system = (major.parse().ok()?, minor.parse().ok()?);
        Some(Line {
            id,
            system,
            root,
            fstype,
            source,
        })
    })
}

/// What a mount is of. The kernel gives a name to no other disk while something of this one is mounted.
fn what_of(line: &Line<'_>) -> Of {
    let fstype: Option<FileSystem> = line.fstype.parse().ok();
    if fstype.is_some_and(FileSystem::hides_its_device) {
        return match stat(Path::new(&line.source)) {
            Ok(node) if FileType::from_raw_mode(node.st_mode).is_block_device() => {
                Of::Device(major(node.st_rdev), minor(node.st_rdev))
            }
            Ok(_) => Of::NoDisk,
            Err(_) => Of::Gone,
        };
    }
    match line.system {
        (major, minor) if major > 0 && line.root == "/" => Of::Device(major, minor),
        _ => Of::NoDisk,
    }
}

/// A field of `mountinfo`, in which space, tab, newline and backslash are three octal digits.
fn unescape(field: &str) -> String {
    let parts = field.split('\\').enumerate();
    let parts = parts.map(|(count, part)| {
        let code = part.get(..3).filter(|_| count > 0);
        let code = code.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match (code, part.get(3..)) {
            (Some(code), Some(rest)) => format!("{}{rest}", char::from(code)),
            _ => part.to_owned(),
        }
    });
    parts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_mounts_is_read() {
        let table = "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n\
                     27 1 254:0 / / rw,relatime - ext4 /dev/v\\040da\\134 rw\n\
                     no line\n12 1 x:0 / / rw - ext4 a b\n";
        let all: Vec<Line<'_>> = lines(table).collect();
        assert_eq!(all.len(), 2);
        assert_eq!(
            (all[0].id, all[0].system, all[0].root),
            (36, (98, 0), "/mnt1")
        );
        assert_eq!(all[0].fstype, "ext3");
        assert_eq!(what_of(&all[0]), Of::NoDisk);
        assert_eq!(all[1].source, "/dev/v da\\");
        assert_eq!(what_of(&all[1]), Of::Device(254, 0));
    }
}
