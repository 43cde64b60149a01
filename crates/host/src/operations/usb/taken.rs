//! Whether a disk is somebody's who has neither mounted it nor built on it: a process that has it open, as a running virtual
//! machine has a disk that was passed to it, or a guest whose configuration names it.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::{Root, devices};
use crate::report::BlockDevice;

/// Longer is no guest's configuration.
const LONGEST: u64 = 1024 * 1024;

/// Who has a device, or another of the same disk; `None` when nobody is found.
pub(super) fn by(root: Root<'_>, all: &[BlockDevice], device: &BlockDevice) -> Option<String> {
    let same = all.iter().filter(|other| other.disk == device.disk);
    let names: Vec<&str> = same
        .map(|other| other.name.as_str())
        .chain([device.disk.as_str()])
        .filter(|name| devices::is_plain(name))
        .collect();
    by_process(&names).or_else(|| by_guest(root, &names))
}

/// A process that has one of them open. Only the names of links are read: nothing is touched that may hang.
fn by_process(names: &[&str]) -> Option<String> {
    let nodes: Vec<PathBuf> = names
        .iter()
        .map(|name| Path::new("/dev").join(name))
        .collect();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    for pid in pids.filter(|pid| *pid != std::process::id()) {
        let open = fs::read_dir(format!("/proc/{pid}/fd"))
            .into_iter()
            .flatten()
            .flatten();
        let mut links = open.filter_map(|entry| fs::read_link(entry.path()).ok());
        // udev looks at each disk that changes, for a moment.
        let name = || fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        if links.any(|link| nodes.contains(&link)) && !name().contains("udev") {
            let plain = |c: char| !c.is_control();
            let name: String = name().chars().filter(|c| plain(*c)).collect();
            return Some(format!("process {pid} ({name})"));
        }
    }
    None
}

/// A guest of this node whose configuration names one of them, under any of its names below `/dev`.
fn by_guest(root: Root<'_>, names: &[&str]) -> Option<String> {
    for folder in ["/etc/pve/local/qemu-server", "/etc/pve/local/lxc"] {
        let files = fs::read_dir(root.layout.path(folder))
            .into_iter()
            .flatten()
            .flatten();
        for file in files.filter(|file| file.metadata().is_ok_and(|found| found.len() <= LONGEST)) {
            let text = fs::read_to_string(file.path()).unwrap_or_default();
            let values = text
                .lines()
                .filter_map(|line| Some(line.split_once(": ")?.1));
            let paths = values.filter_map(|value| value.split(',').next());
            let mut paths = paths.filter(|path| path.starts_with("/dev/"));
            let is_one = |path: &str| {
                let real = fs::canonicalize(root.layout.path(path)).ok();
                let real = real.as_deref().unwrap_or(Path::new(path));
                let name = real.file_name().and_then(|name| name.to_str());
                name.is_some_and(|name| names.contains(&name))
            };
            if paths.any(is_one) {
                let guest = file.file_name().to_string_lossy().replace(".conf", "");
                return Some(format!("guest {guest}, whose configuration names it,"));
            }
        }
    }
    None
}
