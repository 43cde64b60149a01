//! Reading a vzdump archive: what is really in it, member by member, without unpacking anything.

mod vma;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use felhom_engine::{ArchiveContent, ArchivedVolume, MountTally, WantedContent};
use felhom_ids::VolumeId;

use crate::config::ArchiveDirectory;

/// The archive cannot be looked at (which says nothing about it).
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The configuration names no directory for its storage.
    #[error("no directory is configured for the archives of storage `{storage}`")]
    NoDirectory {
        /// The storage.
        storage: String,
    },
    /// The file cannot be opened.
    #[error("the archive file `{}` cannot be opened", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is compressed in a way we do not read.
    #[error(
        "archives named `{name}` are not read; only `.tar` and `.vma` are, as they are or with `.zst`"
    )]
    Format {
        /// The file name.
        name: String,
    },
}

/// Where the archive of this volume id lies, below a configured directory.
///
/// # Errors
/// When its storage has no configured directory, or its name is none of a backup archive.
pub fn locate(volid: &VolumeId, directories: &[ArchiveDirectory]) -> Result<PathBuf, ArchiveError> {
    let directory = directories
        .iter()
        .find(|directory| directory.storage == *volid.storage())
        .ok_or_else(|| ArchiveError::NoDirectory {
            storage: volid.storage().to_string(),
        })?;
    // `backup/FILE`: one component, so that nothing outside the directory can be named.
    let name = volid.name().strip_prefix("backup/").unwrap_or_default();
    if name.is_empty() || name.contains('/') || name.starts_with('.') {
        return Err(ArchiveError::Format {
            name: volid.name().to_owned(),
        });
    }
    Ok(directory.path.join(name))
}

/// Reads the whole archive and tallies its members by mount point. Blocking: minutes for a large archive.
///
/// An archive that breaks off is no error but content
/// that is not `complete`.
///
/// # Errors
/// When the file cannot be opened, or is compressed in a way we do not read.
pub fn read(
    path: &Path,
    wanted: &WantedContent,
    progress: &mut dyn FnMut(u64),
) -> Result<ArchiveContent, ArchiveError> {
    let open = |source| ArchiveError::Open {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(open)?;
    let length = file.metadata().map_err(open)?.len();
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let started = tokio::time::Instant::now();
    let counted = BufReader::with_capacity(
        1 << 18,
        Counted {
            inner: file,
            read: 0,
            progress,
        },
    );
    // PVE itself knows its archives by these very endings.
    if let Some((_, packing @ ("" | ".zst"))) = name.split_once(".vma") {
        let mut content = if packing.is_empty() {
            vma::tally(counted)
        } else {
            vma::tally(zstd::stream::read::Decoder::with_buffer(counted).map_err(open)?)
        };
        content.compressed_bytes = length;
        content.elapsed_ms = millis(started.elapsed());
        return Ok(content);
    }
    let packing = name.split_once(".tar").map(|(_, packing)| packing);
    let mut content = if packing == Some(".zst") {
        let decoder = zstd::stream::read::Decoder::with_buffer(counted).map_err(open)?;
        tally(decoder, &wanted.mounts)
    } else if packing == Some("") {
        tally(counted, &wanted.mounts)
    } else {
        return Err(ArchiveError::Format { name });
    };
    content.compressed_bytes = length;
    content.elapsed_ms = millis(started.elapsed());
    Ok(content)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

struct Counted<'a> {
    inner: File,
    read: u64,
    progress: &'a mut dyn FnMut(u64),
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.read = self.read.saturating_add(u64::try_from(count).unwrap_or(0));
        (self.progress)(self.read);
        Ok(count)
    }
}

const DOCKER_VOLUMES: &str = "var/lib/docker/volumes/";

fn tally(reader: impl Read, mounts: &[(String, String)]) -> ArchiveContent {
    let mut content = ArchiveContent::default();
    let mut counter = Counter::new(mounts);
    let mut archive = tar::Archive::new(reader);
    match walk(&mut archive, &mut counter, &mut content) {
        // The tar's end marker is not the end of the stream: only reading on proves the checksum behind it.
        Ok(()) => match std::io::copy(&mut archive.into_inner(), &mut std::io::sink()) {
            Ok(_) => content.complete = true,
            Err(error) => content.error = Some(error.to_string()),
        },
        Err(error) => content.error = Some(error.to_string()),
    }
    counter.finish(&mut content);
    content
}

fn walk<R: Read>(
    archive: &mut tar::Archive<R>,
    counter: &mut Counter<'_>,
    content: &mut ArchiveContent,
) -> std::io::Result<()> {
    for entry in archive.entries()? {
        let entry = entry?;
        let bytes = entry.size();
        let path = entry.path_bytes();
        let path = path.strip_prefix(b"./").unwrap_or(&path);
        let path = path.strip_suffix(b"/").unwrap_or(path);
        if content.members == 0 {
            content.config_first = path == b"etc/vzdump/pct.conf";
        }
        content.members = content.members.saturating_add(1);
        content.bytes = content.bytes.saturating_add(bytes);
        counter.count(path, bytes);
    }
    if content.members == 0 {
        return Err(std::io::Error::other("the archive is empty"));
    }
    Ok(())
}

/// Tallies by mount point: a member belongs to the mount with the longest path above it.
struct Counter<'a> {
    /// Longest path first; key, path without slashes at its ends.
    mounts: Vec<(&'a str, &'a [u8])>,
    tallies: BTreeMap<&'a str, MountTally>,
    docker: BTreeMap<String, MountTally>,
}

impl<'a> Counter<'a> {
    fn new(mounts: &'a [(String, String)]) -> Self {
        let mut sorted: Vec<(&str, &[u8])> = mounts
            .iter()
            .map(|(key, path)| (key.as_str(), path.trim_matches('/').as_bytes()))
            .collect();
        sorted.sort_by_key(|(_, path)| std::cmp::Reverse(path.len()));
        Self {
            mounts: sorted,
            tallies: BTreeMap::new(),
            docker: BTreeMap::new(),
        }
    }

    fn count(&mut self, path: &[u8], bytes: u64) {
        // What vzdump itself puts in is no member of the guest.
        if path.starts_with(b"etc/vzdump/") || path.is_empty() || path == b"." {
            return;
        }
        let owner = self
            .mounts
            .iter()
            .find(|(_, mount)| is_below(path, mount))
            .copied();
        if let Some((key, mount)) = owner {
            // The mount point's own directory lies on the file system above it.
            if path != mount {
                self.tallies.entry(key).or_default().add(bytes);
            }
        }
        if let Some(name) = docker_volume(path) {
            self.docker.entry(name).or_default().add(bytes);
        }
    }

    fn finish(self, content: &mut ArchiveContent) {
        content.mounts = self
            .tallies
            .into_iter()
            .map(|(key, tally)| (key.to_owned(), tally))
            .collect();
        content.docker_volumes = self
            .docker
            .into_iter()
            .map(|(name, tally)| ArchivedVolume {
                name,
                tally,
                ..ArchivedVolume::default()
            })
            .collect();
    }
}

trait Add {
    fn add(&mut self, bytes: u64);
}

impl Add for MountTally {
    fn add(&mut self, bytes: u64) {
        self.members = self.members.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

fn is_below(path: &[u8], mount: &[u8]) -> bool {
    mount.is_empty()
        || path
            .strip_prefix(mount)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// The name of the Docker volume that a member's content belongs to: `var/lib/docker/volumes/NAME/_data/…`.
fn docker_volume(path: &[u8]) -> Option<String> {
    let rest = path.strip_prefix(DOCKER_VOLUMES.as_bytes())?;
    let end = rest.iter().position(|byte| *byte == b'/')?;
    let (name, inside) = rest.split_at(end);
    inside
        .starts_with(b"/_data/")
        .then(|| String::from_utf8_lossy(name).into_owned())
}
