//! What is mounted below the directory in which PVE puts a container together.

use std::path::{Path, PathBuf};

use felhom_ids::Vmid;
use rustix::mount::{UnmountFlags, unmount};

use super::files;
use crate::layout::Layout;
use crate::refusal::{Code, Refusal};

const LONGEST: u64 = 16 * 1024 * 1024;

/// The mounts as this process has them, and as the host has them, which is another list when this process has a mount
/// namespace of its own.
const OWN: &str = "/proc/self/mountinfo";
const HOST: &str = "/proc/1/mountinfo";

/// The mount points below a container's rootfs, the deepest first. PVE mounts there what it fills (pve-container `LXC.pm`
/// `mount_all`: `/var/lib/lxc/VMID/rootfs`).
fn of_container(layout: &Layout, list: &str, vmid: Vmid) -> Result<Vec<PathBuf>, Refusal> {
    let text = files::of_kernel(&layout.path(list), LONGEST).map_err(|error| {
        Refusal::new(Code::NotProven, format!("{list} cannot be read: {error}"))
    })?;
    let rootfs = layout.path(&format!("/var/lib/lxc/{vmid}/rootfs"));
    Ok(below(&text, &rootfs))
}

/// Unmounts whatever is below a container's rootfs, and looks whether the host has nothing there any more. Answers what was
/// unmounted.
pub(crate) fn clear(layout: &Layout, vmid: Vmid) -> Result<Vec<String>, Refusal> {
    let done = unmount_all(&of_container(layout, OWN, vmid)?)?;
    if let Some(left) = of_container(layout, HOST, vmid)?.first() {
        let left = left.display();
        let text = format!("{left} is still mounted for the host; umount {left}, and ask again");
        return Err(Refusal::new(Code::Failed, text));
    }
    Ok(done)
}

fn below(mountinfo: &[u8], directory: &Path) -> Vec<PathBuf> {
    let lines = mountinfo.split(|byte| *byte == b'\n');
    let points = lines.filter_map(|line| line.split(|byte| *byte == b' ').nth(4));
    let mut points: Vec<_> = points
        .map(unescaped)
        .filter(|point| point.starts_with(directory))
        .collect();
    // What was mounted later lies above what is mounted at the same place.
    points.reverse();
    points.sort_by_key(|point| std::cmp::Reverse(point.components().count()));
    points
}

/// Undoes the `\040` with which the kernel writes spaces, tabs, line ends and backslashes.
fn unescaped(field: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|_| *first == b'\\');
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(byte.unwrap_or(*first));
        let length = if byte.is_some() { 3 } else { 0 };
        rest = after.get(length..).unwrap_or_default();
    }
    PathBuf::from(std::ffi::OsString::from_vec(bytes))
}

/// Unmounts these in their order; never lazily, and never through a link.
fn unmount_all(points: &[PathBuf]) -> Result<Vec<String>, Refusal> {
    let mut done = Vec::with_capacity(points.len());
    for point in points {
        if let Err(error) = unmount(point, UnmountFlags::NOFOLLOW) {
            let code = match error {
                rustix::io::Errno::BUSY if done.is_empty() => Code::InUse,
                _ => Code::Failed,
            };
            let shown = point.display();
            let text = format!(
                "{shown} cannot be unmounted: {error}; `fuser -vm {shown}` says who holds it"
            );
            return Err(Refusal::new(code, text));
        }
        done.push(point.display().to_string());
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deepest_comes_first_and_nothing_from_beside() {
        let text = "\
22 1 0:20 / / rw - ext4 /dev/a rw
30 22 0:21 / /var/lib/lxc/9100/rootfs rw - ext4 /dev/b rw
31 30 0:22 / /var/lib/lxc/9100/rootfs/mnt/a\\040b rw - ext4 /dev/c rw
32 30 0:23 / /var/lib/lxc/9100/rootfs/mnt/a\\040b/deep rw - ext4 /dev/d rw
33 22 0:24 / /var/lib/lxc/91000/rootfs rw - ext4 /dev/e rw
34 22 0:25 / /var/lib/lxc/9100/rootfs2 rw - ext4 /dev/f rw
35 30 0:26 / /var/lib/lxc/9100/rootfs rw - ext4 /dev/g rw
short line
";
        let found = below(text.as_bytes(), Path::new("/var/lib/lxc/9100/rootfs"));
        let found: Vec<_> = found.iter().map(|path| path.to_str().unwrap()).collect();
        assert_eq!(
            found,
            [
                "/var/lib/lxc/9100/rootfs/mnt/a b/deep",
                "/var/lib/lxc/9100/rootfs/mnt/a b",
                "/var/lib/lxc/9100/rootfs",
                "/var/lib/lxc/9100/rootfs",
            ]
        );
    }
}
