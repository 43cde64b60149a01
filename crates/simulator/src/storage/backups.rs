//! Backup archives of directory storages: what lies in the folder is the truth, with its sidecar files.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use serde_json::{Map, Value};

use crate::call::ApiError;
use crate::world::World;

/// One archive.
#[derive(Debug, Clone)]
pub(crate) struct Backup {
    pub(crate) volid: String,
    pub(crate) path: PathBuf,
    /// None for a file that does not bear vzdump's name.
    pub(crate) vmid: Option<u32>,
    /// `lxc`, `qemu`, `openvz` or `unknown`.
    pub(crate) subtype: &'static str,
    pub(crate) ctime: i64,
    pub(crate) size: u64,
    /// `tar.zst`
    pub(crate) format: String,
    pub(crate) notes: Option<String>,
    pub(crate) protected: bool,
    /// What only lists of a backup server show.
    pub(crate) extra: Map<String, Value>,
}

/// vzdump's name taken apart: type, guest, time (the node's clock is UTC).
pub(crate) fn parse_name(file: &str) -> Option<(&'static str, u32, i64)> {
    let rest = file.strip_prefix("vzdump-")?;
    let (kind, rest) = rest.split_once('-')?;
    let kind = ["lxc", "qemu", "openvz"]
        .into_iter()
        .find(|known| *known == kind)?;
    let (vmid, rest) = rest.split_once('-')?;
    let stamp = rest.get(..19)?;
    rest.get(19..)?.strip_prefix('.')?;
    let time = DateTime::strptime("%Y_%m_%d-%H_%M_%S", stamp).ok()?;
    let time = time.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second();
    Some((kind, vmid.parse().ok()?, time))
}

/// The guest that an archive's name names.
pub(crate) fn owner(file: &str) -> Option<u32> {
    parse_name(file).map(|(_, vmid, _)| vmid)
}

/// `2026_11_23-00_12_24`
pub(crate) fn stamp(now: i64) -> String {
    format_time(now, "%Y_%m_%d-%H_%M_%S")
}

/// `2026-11-23 00:12:24`
pub(crate) fn log_time(now: i64) -> String {
    format_time(now, "%Y-%m-%d %H:%M:%S")
}

fn format_time(now: i64, format: &str) -> String {
    Timestamp::from_second(now)
        .map(|time| time.strftime(format).to_string())
        .unwrap_or_default()
}

/// The sidecar with the notes.
pub(crate) fn notes_path(archive: &Path) -> PathBuf {
    beside(archive, ".notes")
}

/// The sidecar whose existence protects.
pub(crate) fn protected_path(archive: &Path) -> PathBuf {
    beside(archive, ".protected")
}

/// The sidecar with the guest's part of the log: without the archive's extension.
pub(crate) fn log_path(archive: &Path) -> PathBuf {
    let name = archive
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let cut = super::access::archive_extension(&name).map_or(0, |ext| ext.len() + 1);
    let stem = name.get(..name.len() - cut).unwrap_or_default().to_owned();
    archive.with_file_name(format!("{stem}.log"))
}

fn beside(archive: &Path, suffix: &str) -> PathBuf {
    let mut name = archive.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn read(storage: &str, path: PathBuf) -> Option<Backup> {
    let file = path.file_name()?.to_str()?.to_owned();
    let format = super::access::archive_extension(&file)?.to_owned();
    let meta = fs::metadata(&path).ok()?;
    let (subtype, vmid, ctime) = match parse_name(&file) {
        Some((kind, vmid, ctime)) => (kind, Some(vmid), ctime),
        None => (
            "unknown",
            None,
            std::os::unix::fs::MetadataExt::ctime(&meta),
        ),
    };
    Some(Backup {
        volid: format!("{storage}:backup/{file}"),
        vmid,
        subtype,
        ctime,
        size: meta.len(),
        format,
        notes: fs::read_to_string(notes_path(&path))
            .ok()
            .filter(|notes| !notes.is_empty()),
        protected: protected_path(&path).exists(),
        path,
        extra: Map::new(),
    })
}

impl World {
    /// Where a directory storage keeps archives.
    pub(crate) fn dump_dir(&self, storage: &str) -> Option<PathBuf> {
        Some(self.storage.folder(storage)?.join("dump"))
    }

    /// The path of an archive as PVE's messages name it.
    pub(crate) fn dump_path_shown(&self, storage: &str, file: &str) -> String {
        let base = self
            .storage
            .definitions
            .get(storage)
            .and_then(|d| d.path())
            .unwrap_or_default();
        format!("{}/dump/{file}", base.trim_end_matches('/'))
    }

    /// All archives of a storage, by volume id.
    pub(crate) fn backups(&self, storage: &str) -> Vec<Backup> {
        if self.is_pbs(storage) {
            return self.pbs_backups(storage).unwrap_or_default();
        }
        let Some(dir) = self.dump_dir(storage) else {
            return Vec::new();
        };
        let Ok(entries) = fs::read_dir(dir) else {
            return Vec::new();
        };
        let mut found: Vec<Backup> = entries
            .filter_map(|entry| read(storage, entry.ok()?.path()))
            .collect();
        found.sort_by(|one, other| one.volid.cmp(&other.volid));
        found
    }

    /// One archive by its volume id.
    pub(crate) fn backup(&self, volid: &str) -> Option<Backup> {
        let (storage, name) = volid.split_once(':')?;
        if self.is_pbs(storage) {
            let list = self.backups(storage).into_iter();
            return list.into_iter().find(|backup| backup.volid == volid);
        }
        let file = name.strip_prefix("backup/")?;
        read(storage, self.dump_dir(storage)?.join(file))
    }

    /// Where an archive lies or would lie.
    pub(crate) fn archive_path(&self, volid: &str) -> Option<PathBuf> {
        let (storage, name) = volid.split_once(':')?;
        Some(self.dump_dir(storage)?.join(name.strip_prefix("backup/")?))
    }

    /// Sets or clears the protection of an archive; `limit_free` tells that the caller has no quota.
    pub(crate) fn protect(
        &mut self,
        volid: &str,
        on: bool,
        limit_free: bool,
    ) -> Result<(), ApiError> {
        let backup = self
            .backup(volid)
            .ok_or_else(|| ApiError::die(format!("volume '{volid}' does not exist")))?;
        if backup.protected == on {
            return Ok(());
        }
        let storage = volid.split(':').next().unwrap_or_default();
        if self.is_pbs(storage) {
            if on {
                self.check_protected_limit(storage, backup.vmid, limit_free)?;
            }
            return self.mark_pbs(volid, None, Some(on)).map_err(ApiError::die);
        }
        let sidecar = protected_path(&backup.path);
        let result = if on {
            self.check_protected_limit(storage, backup.vmid, limit_free)?;
            fs::write(sidecar, b"")
        } else {
            fs::remove_file(sidecar)
        };
        result.map_err(|error| ApiError::die(format!("unable to set protected flag - {error}")))
    }

    /// Writes notes or protection to a backup server, with the storage's own token.
    pub(crate) fn mark_pbs(
        &mut self,
        volid: &str,
        notes: Option<&str>,
        protected: Option<bool>,
    ) -> Result<(), String> {
        let storage = volid.split(':').next().unwrap_or_default();
        let remote = self.pbs_remote(storage)?;
        let id = remote
            .snapshot(volid)
            .ok_or("unable to parse PBS volume name")?;
        self.pbs_mark(&remote, &id, notes, protected)
    }

    /// Refuses one more protected archive of a guest beyond the storage's limit.
    pub(crate) fn check_protected_limit(
        &self,
        storage: &str,
        vmid: Option<u32>,
        limit_free: bool,
    ) -> Result<(), ApiError> {
        let configured = self
            .storage
            .definitions
            .get(storage)
            .and_then(|definition| definition.options.get("max-protected-backups"))
            .and_then(|value| value.parse::<i64>().ok());
        let limit = configured.unwrap_or(if limit_free { -1 } else { 5 });
        let have = self
            .backups(storage)
            .iter()
            .filter(|b| b.vmid == vmid && b.protected)
            .count();
        if limit >= 0 && i64::try_from(have).unwrap_or(i64::MAX) >= limit {
            return Err(ApiError::die(format!(
                "The number of protected backups per guest is limited to {limit} on storage '{storage}'"
            )));
        }
        Ok(())
    }
}
