//! A look at a disk that is not mounted, without a byte written to it: mounted read-only, its journal left alone, and at no
//! place at all. The kernel takes such a mount back when its descriptor is closed, so nothing is left of it after a crash,
//! and no other process sees it (`fsopen(2)`, `fsmount(2)`; Linux 5.2).

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{major, minor, stat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen,
};

use super::super::{Root, devices};
use super::canary::{self, Canary};
use super::filesystem::FileSystem;
use super::place::failed;
use crate::refusal::{Code, Refusal};
use crate::report::BlockDevice;

/// Where an ext file system's superblock begins, and in it the first file without a name, and the features (ext4's
/// documentation, `Documentation/filesystems/ext4/super.rst` of Linux).
const EXT_SUPERBLOCK: u64 = 1024;
const EXT_LAST_ORPHAN: usize = 0xe8;
const EXT_FEATURES_RO: usize = 0x64;
const EXT_ORPHAN_PRESENT: u32 = 0x1_0000;

/// What a look saw.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// The file system, with this canary.
    Canary(Option<Canary>),
    /// Nothing: whoever mounts this file system writes to it. ext4 clears away what was deleted while it was open, read-only
    /// mounts and `noload` notwithstanding (seen on Linux 6.18).
    Impossible,
    /// Nothing: somebody else has it, perhaps a container that has it mounted.
    Busy,
}

/// Looks for the canary on a device.
pub(super) fn at_canary(
    root: Root<'_>,
    device: &BlockDevice,
    fstype: FileSystem,
) -> Result<Look, Refusal> {
    let name = format!("/dev/{}", device.name);
    let node = root.layout.path(&name);
    let numbers = devices::numbers(root, &device.name);
    let found = stat(&node).map_err(|error| failed(&name, error))?;
    if numbers != Some((major(found.st_rdev), minor(found.st_rdev))) {
        return Err(failed(&name, "it is not the device of that name any more"));
    }
    if fstype.is_ext() && has_orphans(&node).map_err(|error| failed(&name, error))? {
        return Ok(Look::Impossible);
    }
    let mut last = Errno::INVAL;
    for option in fstype.quiet_options() {
        match mount(&node, fstype, *option) {
            Ok(dir) => {
                let read = canary::read(&dir).map(Look::Canary);
                return read.map_err(|error| unreadable(&name, fstype, &error));
            }
            Err(Errno::BUSY) => return Ok(Look::Busy),
            Err(Errno::INVAL) => {}
            Err(error) => {
                last = error;
                break;
            }
        }
    }
    Err(unreadable(&name, fstype, &last.into()))
}

/// Whether an ext file system has files to clear away.
fn has_orphans(node: &Path) -> io::Result<bool> {
    let mut block = [0; 1024];
    File::open(node)?.read_exact_at(&mut block, EXT_SUPERBLOCK)?;
    let word = |start: usize| {
        let bytes = block.get(start..start.saturating_add(4))?;
        bytes.try_into().ok().map(u32::from_le_bytes)
    };
    let features = word(EXT_FEATURES_RO).unwrap_or_default();
    Ok(word(EXT_LAST_ORPHAN) != Some(0) || features & EXT_ORPHAN_PRESENT != 0)
}

fn mount(
    node: &Path,
    fstype: FileSystem,
    option: Option<(&str, Option<&str>)>,
) -> Result<OwnedFd, Errno> {
    let context = fsopen(fstype.name(), FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "source", node)?;
    fsconfig_set_flag(&context, "ro")?;
    match option {
        Some((key, Some(value))) => fsconfig_set_string(&context, key, value)?,
        Some((key, None)) => fsconfig_set_flag(&context, key)?,
        None => {}
    }
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

fn unreadable(name: &str, fstype: FileSystem, error: &io::Error) -> Refusal {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NODEV) => {
            let text = format!("the kernel of this host mounts no {fstype}: modprobe {fstype}");
            Refusal::new(Code::Failed, text)
        }
        _ => failed(
            name,
            format!(
                "its {fstype} cannot be read ({error}); look at it with the file system's own check"
            ),
        ),
    }
}
