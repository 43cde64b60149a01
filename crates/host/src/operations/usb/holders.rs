//! Who holds a mount: open files, working directories, roots and mapped files of processes, by `/proc`. Nothing on the mount is
//! touched for it, as its disk may be gone.

use std::fs;
use std::path::{Path, PathBuf};

use super::mounted::{Mounted, lines, mount_id_of};
use crate::report::Holder;

/// More are not told.
const MOST: usize = 20;

/// What a mount is known by after it is let go.
#[derive(Debug)]
pub(super) struct Held {
    id: u64,
    system: (u32, u32),
    place: PathBuf,
}

impl Held {
    /// A mount at a place.
    pub(super) fn new(mounted: &Mounted, place: PathBuf) -> Self {
        let place = fs::canonicalize(&place).unwrap_or(place);
        Self {
            id: mounted.id,
            system: mounted.system,
            place,
        }
    }

    /// The processes that hold it in this namespace of mounts.
    pub(super) fn by(&self) -> Vec<Holder> {
        let own = std::process::id();
        let pids = processes().filter(|pid| *pid != own && self.is_held_by(*pid));
        pids.take(MOST).map(holder).collect()
    }

    /// Processes that have the file system mounted in a namespace of their own, one of each.
    pub(super) fn elsewhere(&self) -> Vec<Holder> {
        let mut seen = vec![namespace(Path::new("/proc/thread-self"))];
        let mut found = Vec::new();
        for pid in processes() {
            let process = PathBuf::from(format!("/proc/{pid}"));
            let namespace = namespace(&process);
            if namespace.is_none() || seen.contains(&namespace) {
                continue;
            }
            seen.push(namespace);
            let table = fs::read_to_string(process.join("mountinfo")).unwrap_or_default();
            if lines(&table).any(|line| line.system == self.system) && found.len() < MOST {
                found.push(holder(pid));
            }
        }
        found
    }

    fn is_held_by(&self, pid: u32) -> bool {
        let process = PathBuf::from(format!("/proc/{pid}"));
        let is_below = |link: &str| {
            fs::read_link(process.join(link)).is_ok_and(|target| target.starts_with(&self.place))
        };
        is_below("cwd") || is_below("root") || self.has_open(&process) || self.has_mapped(&process)
    }

    fn has_open(&self, process: &Path) -> bool {
        let Ok(files) = fs::read_dir(process.join("fdinfo")) else {
            return false;
        };
        let texts = files
            .flatten()
            .filter_map(|file| fs::read_to_string(file.path()).ok());
        let mut ids = texts.filter_map(|text| mount_id_of(&text));
        ids.any(|id| id == self.id)
    }

    fn has_mapped(&self, process: &Path) -> bool {
        let maps = fs::read_to_string(process.join("maps")).unwrap_or_default();
        maps.lines().any(|line| {
            let path = line.splitn(6, ' ').nth(5).map(str::trim);
            path.is_some_and(|path| Path::new(path).starts_with(&self.place))
        })
    }
}

/// `12 (tar), 34 (bash)`.
pub(super) fn told(holders: &[Holder]) -> String {
    let each = holders
        .iter()
        .map(|holder| format!("{} ({})", holder.pid, holder.name));
    each.collect::<Vec<_>>().join(", ")
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn namespace(process: &Path) -> Option<PathBuf> {
    fs::read_link(process.join("ns/mnt")).ok()
}

fn holder(pid: u32) -> Holder {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let plain = |c: char| if c.is_control() { '?' } else { c };
    let name = name.trim_end_matches('\n').chars().map(plain).collect();
    Holder { pid, name }
}
