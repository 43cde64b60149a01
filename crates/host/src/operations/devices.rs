//! The block devices of the host, as `lsblk` tells of them, and what the kernel has built on them.

mod lsblk;

use std::fs;

use super::Root;
use crate::argv::CommandLine;
use crate::refusal::{Code, Refusal};
use crate::report::{BlockDevice, Report};

pub(super) fn list(root: Root<'_>) -> Result<Report, Refusal> {
    let devices = survey(root)?;
    Ok(Report::BlockDevices { devices })
}

/// All block devices there are now. One of no size is an empty bay or a disk that is just going: it is told, and holds nothing.
pub(super) fn survey(root: Root<'_>) -> Result<Vec<BlockDevice>, Refusal> {
    let output = root.performer.run(&CommandLine::list_block_devices())?;
    let mut devices = lsblk::parse(&output.stdout).map_err(|error| {
        let text = format!("what lsblk printed cannot be used: {error}");
        Refusal::new(Code::Failed, text)
    })?;
    for device in &mut devices {
        device.in_use |= has_holders(root, &device.name);
    }
    Ok(devices)
}

/// Whether a name is one of the kernel's own, and no path.
pub(super) fn is_plain(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    (1..=64).contains(&name.len()) && name.chars().all(plain)
}

/// The kernel's numbers of a device: major and minor.
pub(super) fn numbers(root: Root<'_>, name: &str) -> Option<(u32, u32)> {
    if !is_plain(name) {
        return None;
    }
    let path = root.layout.path(&format!("/sys/class/block/{name}/dev"));
    let text = fs::read_to_string(path).ok()?;
    let (major, minor) = text.trim().split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Whether the kernel has built something on a device (`/sys/class/block/NAME/holders`: device mapper, md, bcache).
fn has_holders(root: Root<'_>, name: &str) -> bool {
    let path = root
        .layout
        .path(&format!("/sys/class/block/{name}/holders"));
    is_plain(name) && fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some())
}
