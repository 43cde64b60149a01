//! Whom each member belongs to, and what they come to.
//!
//! A member belongs to the mount point with the longest path above it, and to the volume with the longest path above it.
//! Tallies are of members: a name that stands there twice counts twice, as it does in what tar lists. A hard link counts as
//! a member without bytes; the bytes are those of the name that tar met first.

use std::collections::{HashMap, HashSet};

use felhom_engine::{ArchiveContent, ArchivedVolume, MountTally, SampledFile, WantedContent};

use super::members::{Kind, Member};
use super::roots::{Roots, is_below, parent};
use super::sample::{Room, Samples, hash};

/// How many volumes that nobody asked for are told by name.
const MOST_FOUND: usize = 4096;
/// The longest name of a file on any of Linux's file systems for data.
const LONGEST_VOLUME_NAME: usize = 255;

pub(super) struct Counter<'a> {
    wanted: &'a WantedContent,
    mounts: Roots,
    mount_tallies: Vec<Option<MountTally>>,
    /// Which of them have their own directory in the archive.
    mount_roots: Vec<bool>,
    asked: Roots,
    asked_names: HashSet<&'a str>,
    /// Those asked for in the order of `asked`, then those found.
    volumes: Vec<Volume>,
    data_root: Option<DataRoot>,
    above: Above,
    room: Room,
}

/// A volume as far as it was read.
#[derive(Debug, Default)]
struct Volume {
    /// Of a found one, its name.
    name: String,
    /// How long its root's path is.
    root: usize,
    root_present: bool,
    root_is_other: bool,
    tally: MountTally,
    files: u64,
    newest_mtime_s: Option<i64>,
    samples: Samples,
}

/// The directory of the member before, and what it lies in: most members lie where the one before did.
#[derive(Debug, Default)]
struct Above {
    known: bool,
    path: Vec<u8>,
    mount: Option<usize>,
    volume: Option<usize>,
}

/// Docker's own place for volumes.
#[derive(Debug)]
struct DataRoot {
    /// `var/lib/docker/volumes/`.
    volumes: Vec<u8>,
    found: HashMap<Vec<u8>, usize>,
    /// Volumes that are not told by name, and the last one of them.
    beyond: u64,
    last_beyond: Vec<u8>,
}

/// A file that is to be sampled: the volume, and its path below the volume's root.
#[derive(Debug)]
pub(super) struct Sampled {
    volume: usize,
    path: Vec<u8>,
}

impl<'a> Counter<'a> {
    pub(super) fn new(wanted: &'a WantedContent) -> Self {
        let mounts = Roots::new(wanted.mounts.iter().map(|(_, path)| path.as_str()));
        let asked = Roots::new(wanted.volumes.iter().map(|volume| volume.path.as_str()));
        let mut volumes: Vec<Volume> = Vec::new();
        volumes.resize_with(asked.len(), Volume::default);
        for root in &wanted.volumes {
            let at = asked.exact_text(&root.path);
            if let Some(volume) = at.and_then(|at| volumes.get_mut(at)) {
                volume.root = root.path.trim_matches('/').len();
            }
        }
        Self {
            wanted,
            mount_tallies: vec![None; mounts.len()],
            mount_roots: vec![false; mounts.len()],
            mounts,
            asked,
            asked_names: wanted
                .volumes
                .iter()
                .map(|root| root.name.as_str())
                .collect(),
            volumes,
            data_root: DataRoot::below(&wanted.data_root),
            above: Above::default(),
            room: Room::new(),
        }
    }

    /// Counts a member with this path inside the guest; answers whether its content is to be sampled.
    pub(super) fn count(&mut self, path: &[u8], member: &Member) -> Option<Sampled> {
        // What vzdump itself puts in is no member of the guest.
        if path.is_empty() || path.starts_with(b"etc/vzdump/") {
            return None;
        }
        self.look_above(parent(path));
        let mut is_mount = false;
        // A mount point's own directory lies on the file system above it, and is in the archive once for each of them.
        if let Some(at) = self.mounts.exact(path) {
            if let Some(seen) = self.mount_roots.get_mut(at) {
                *seen = true;
            }
            is_mount = true;
        } else {
            let tally = self
                .above
                .mount
                .and_then(|at| self.mount_tallies.get_mut(at));
            if let Some(tally) = tally {
                add(tally.get_or_insert_default(), member);
            }
        }
        if member.kind == Kind::Other {
            // What lies behind a link on the way to a volume is archived where the link leads, if at all.
            for at in self.asked.below(path) {
                if let Some(volume) = self.volumes.get_mut(at) {
                    volume.root_is_other = true;
                }
            }
        }
        let asked = self.asked.exact(path);
        let root = asked.or_else(|| self.found_root(path));
        if let Some(root) = root {
            let volume = self.volumes.get_mut(root)?;
            // A bind mount may be of a single file; behind a link the bytes lie elsewhere.
            let holds = matches!(member.kind, Kind::Directory | Kind::File);
            volume.root_present |= holds;
            volume.root_is_other |= !holds;
            return None;
        }
        if is_mount {
            return None;
        }
        let at = self.above.volume?;
        let volume = self.volumes.get_mut(at)?;
        add(&mut volume.tally, member);
        if member.kind != Kind::File {
            return None;
        }
        volume.files = volume.files.saturating_add(1);
        volume.newest_mtime_s = volume.newest_mtime_s.max(Some(member.mtime_s));
        let below = path.get(volume.root..).unwrap_or_default();
        let below = below.strip_prefix(b"/").unwrap_or(below);
        volume.samples.wants(below, &self.room).then(|| Sampled {
            volume: at,
            path: below.to_vec(),
        })
    }

    pub(super) fn take_sample(&mut self, sampled: &Sampled, member: &Member, sha256: String) {
        if let Some(volume) = self.volumes.get_mut(sampled.volume) {
            let file = SampledFile {
                path: String::from_utf8_lossy(&sampled.path).into_owned(),
                rank: hash(&sampled.path),
                size: member.size,
                mtime_s: member.mtime_s,
                sha256,
            };
            volume.samples.take(&sampled.path, file, &mut self.room);
        }
    }

    fn look_above(&mut self, directory: &[u8]) {
        if self.above.known && self.above.path == directory {
            return;
        }
        self.above.known = true;
        self.above.path.clear();
        self.above.path.extend_from_slice(directory);
        self.above.mount = self.mounts.innermost(directory).map(|(at, _)| at);
        self.above.volume = match (self.asked.innermost(directory), self.found(directory)) {
            (Some((asked, length)), Some(found)) => {
                let deeper = self
                    .volumes
                    .get(found)
                    .is_some_and(|found| found.root > length);
                Some(if deeper { found } else { asked })
            }
            (Some((asked, _)), None) => Some(asked),
            (None, found) => found,
        };
    }

    /// The volume whose root this is, of those that nobody asked for.
    fn found_root(&mut self, path: &[u8]) -> Option<usize> {
        let at = path.ends_with(b"/_data").then(|| self.found(path))??;
        (self.volumes.get(at)?.root == path.len()).then_some(at)
    }

    /// The volume below the data root that this directory is or lies in, of those that nobody asked for.
    fn found(&mut self, directory: &[u8]) -> Option<usize> {
        let data_root = self.data_root.as_mut()?;
        let name = data_root.volume(directory)?;
        if let Some(known) = data_root.found.get(name) {
            return Some(*known);
        }
        let length = data_root.volumes.len() + name.len() + "/_data".len();
        // One that was asked for is counted where it was said to be, here or elsewhere.
        let here = directory.get(..length)?;
        let text = std::str::from_utf8(name)
            .ok()
            .filter(|name| is_volume_name(name));
        let elsewhere = text.is_some_and(|name| self.asked_names.contains(name));
        if elsewhere || self.asked.exact(here).is_some() {
            return None;
        }
        let (Some(text), true) = (text, data_root.found.len() < MOST_FOUND) else {
            data_root.count_beyond(name);
            return None;
        };
        let at = self.volumes.len();
        self.volumes.push(Volume {
            name: text.to_owned(),
            root: length,
            ..Volume::default()
        });
        data_root.found.insert(name.to_vec(), at);
        Some(at)
    }

    pub(super) fn finish(self, content: &mut ArchiveContent) {
        for (key, path) in &self.wanted.mounts {
            let at = self.mounts.exact_text(path);
            let tally = at.and_then(|at| self.mount_tallies.get(at).copied());
            if let Some(tally) = tally.flatten() {
                content.mounts.insert(key.clone(), tally);
            }
            if at.and_then(|at| self.mount_roots.get(at)) == Some(&true) {
                content.mount_roots.insert(key.clone());
            }
        }
        for root in &self.wanted.volumes {
            let at = self.asked.exact_text(&root.path);
            if let Some(volume) = at.and_then(|at| self.volumes.get(at)) {
                let told = volume.told(&root.name, root.path.clone());
                content.docker_volumes.push(told);
            }
        }
        for found in self.volumes.iter().skip(self.asked.len()) {
            let root = self.wanted.data_root.trim_end_matches('/');
            let path = format!("{root}/volumes/{}/_data", found.name);
            content.docker_volumes.push(found.told(&found.name, path));
        }
        content
            .docker_volumes
            .sort_by(|one, other| (&one.name, &one.path).cmp(&(&other.name, &other.path)));
        content.docker_volumes_beyond = self.data_root.map_or(0, |data_root| data_root.beyond);
    }
}

impl Volume {
    fn told(&self, name: &str, path: String) -> ArchivedVolume {
        ArchivedVolume {
            name: name.to_owned(),
            path,
            root_present: self.root_present,
            root_is_other: self.root_is_other,
            tally: self.tally,
            files: self.files,
            newest_mtime_s: self.newest_mtime_s,
            samples: self.samples.files(),
        }
    }
}

impl DataRoot {
    fn below(data_root: &str) -> Option<Self> {
        let inside = data_root.trim_matches('/');
        let volumes = match (data_root, inside) {
            ("", _) => return None,
            (_, "") => "volumes/".to_owned(),
            (_, inside) => format!("{inside}/volumes/"),
        };
        Some(Self {
            volumes: volumes.into_bytes(),
            found: HashMap::new(),
            beyond: 0,
            last_beyond: Vec::new(),
        })
    }

    /// The NAME of `volumes/NAME/_data`, for that directory and all below it.
    fn volume<'p>(&self, directory: &'p [u8]) -> Option<&'p [u8]> {
        let rest = directory.strip_prefix(self.volumes.as_slice())?;
        let end = rest.iter().position(|byte| *byte == b'/')?;
        let (name, inside) = rest.split_at_checked(end)?;
        is_below(inside, b"/_data").then_some(name)
    }

    /// Counts a volume each time that another one begins, which is right for as long as a volume's members stand together, as
    /// tar writes them.
    fn count_beyond(&mut self, name: &[u8]) {
        let name = name.get(..LONGEST_VOLUME_NAME + 1).unwrap_or(name);
        if self.last_beyond != name {
            self.beyond = self.beyond.saturating_add(1);
            self.last_beyond.clear();
            self.last_beyond.extend_from_slice(name);
        }
    }
}

/// What Docker takes for a volume's name (moby, `daemon/names`): letters, digits, `_`, `.` and `-`, not in the first place.
fn is_volume_name(name: &str) -> bool {
    name.len() <= LONGEST_VOLUME_NAME
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
}

fn add(tally: &mut MountTally, member: &Member) {
    tally.members = tally.members.saturating_add(1);
    tally.bytes = tally.bytes.saturating_add(member.size);
}
