//! Where an archive lies, and opening it without being led elsewhere.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use felhom_engine::VzdumpLog;
use felhom_ids::VolumeId;
use rustix::fs::{Mode, OFlags};

use super::ArchiveError;
use crate::config::ArchiveDirectory;

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

/// The most that is read of a log file: one of a large guest has some thousand lines.
const LONGEST_LOG: u64 = 4 << 20;

/// What vzdump wrote beside an archive, `vzdump-….log` for `vzdump-….tar.zst`; `None` when there is no such file, or none that
/// says anything (a `prune` of the storage leaves some behind, and an admin may remove them).
pub(crate) fn log_beside(archive: &Path) -> Option<VzdumpLog> {
    let name = archive.file_name()?.to_str()?;
    let stem = name
        .split_once(".tar")
        .or_else(|| name.split_once(".vma"))?
        .0;
    let (file, _) = open(&archive.with_file_name(format!("{stem}.log"))).ok()?;
    let mut text = Vec::new();
    file.take(LONGEST_LOG).read_to_end(&mut text).ok()?;
    let log = VzdumpLog::parse_file(String::from_utf8_lossy(&text).lines());
    (!log.is_silent()).then_some(log)
}

/// Opens a regular file, and answers its length. A link is not followed, since it may lead out of the directory; opening
/// a pipe does not wait for somebody to write into it.
pub(super) fn open(path: &Path) -> Result<(File, u64), ArchiveError> {
    let trouble = |source| ArchiveError::Open {
        path: path.to_owned(),
        source,
    };
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        // What O_NOFOLLOW says to a link, and what a socket says to everybody.
        Err(rustix::io::Errno::LOOP | rustix::io::Errno::NXIO) => {
            return Err(ArchiveError::NoFile {
                path: path.to_owned(),
            });
        }
        Err(error) => return Err(trouble(error.into())),
    };
    let facts = file.metadata().map_err(trouble)?;
    if !facts.is_file() {
        return Err(ArchiveError::NoFile {
            path: path.to_owned(),
        });
    }
    Ok((file, facts.len()))
}
