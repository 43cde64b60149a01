//! A look at a disk that is not mounted, without a byte written to it: mounted read-only, its journal left alone, and at no
//! place at all. The kernel takes such a mount back when its descriptor is closed, so nothing is left of it after a crash,
//! and no other process sees it (`fsopen(2)`, `fsmount(2)`; Linux 5.2).

use std::io;
use std::os::fd::OwnedFd;

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

/// The canary on a device.
pub(super) fn at_canary(
    root: Root<'_>,
    device: &BlockDevice,
    fstype: FileSystem,
) -> Result<Option<Canary>, Refusal> {
    let name = format!("/dev/{}", device.name);
    let node = root.layout.path(&name);
    let numbers = devices::numbers(root, &device.name);
    let found = stat(&node).map_err(|error| failed(&name, error))?;
    if numbers != Some((major(found.st_rdev), minor(found.st_rdev))) {
        return Err(failed(&name, "it is not the device of that name any more"));
    }
    let mut last = Errno::INVAL;
    for option in fstype.quiet_options() {
        match mount(&node, fstype, *option) {
            Ok(dir) => {
                let read = canary::read(&dir);
                return read.map_err(|error| unreadable(&name, fstype, &error));
            }
            Err(Errno::INVAL) => {}
            Err(error) => {
                last = error;
                break;
            }
        }
    }
    Err(unreadable(&name, fstype, &last.into()))
}

fn mount(
    node: &std::path::Path,
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
        Some(Errno::BUSY) => {
            let text = format!("{name} is in use elsewhere, perhaps mounted in a container");
            Refusal::new(Code::InUse, text)
        }
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
