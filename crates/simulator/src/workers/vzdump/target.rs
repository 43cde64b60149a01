//! Where a guest's backup goes: names, quotas, notes, protection, retention.

use std::fs;
use std::path::PathBuf;

use super::Job;
use crate::pbs::{Remote, SnapshotId};
use crate::storage::backups::{self, stamp};
use crate::storage::retention::Retention;
use crate::tasks::Worker;
use crate::workers::{disk, fetch};

/// The archive of one guest while it is made.
pub(crate) struct Target {
    pub(crate) vmid: u32,
    /// `lxc` or `qemu`
    pub(crate) kind: &'static str,
    pub(crate) volid: String,
    pub(crate) path: PathBuf,
    /// The path as messages name it.
    pub(crate) shown: String,
    /// The snapshot on a backup server that it is instead.
    pub(crate) remote: Option<(Remote, SnapshotId)>,
}

impl Target {
    /// Chooses the name by the time of day.
    pub(crate) fn new(worker: &Worker, job: &Job, vmid: u32, now: i64) -> Result<Self, String> {
        let extension = match job.compress.as_str() {
            "zstd" => ".zst",
            "gzip" => ".gz",
            "1" | "lzo" => ".lzo",
            _ => "",
        };
        let world = worker.sim.lock();
        let (kind, format) = if world.qemu.contains_key(&vmid) {
            ("qemu", "vma")
        } else {
            ("lxc", "tar")
        };
        if world.is_pbs(&job.storage) {
            let remote = world.pbs_remote(&job.storage)?;
            drop(world);
            return Self::remote(worker, remote, vmid, kind, now);
        }
        let file = format!("vzdump-{kind}-{vmid}-{}.{format}{extension}", stamp(now));
        let folder = world
            .dump_dir(&job.storage)
            .ok_or_else(|| format!("storage '{}' does not exist", job.storage))?;
        let shown = world.dump_path_shown(&job.storage, &file);
        let full = "No space left on device";
        let takes = world.storage.takes_data(&job.storage);
        // What vzdump copies to first is made beside the archive (pve-manager `VZDump.pm`, `exec_backup_task`).
        if takes.is_err_and(|reason| reason != full) || fs::create_dir_all(&folder).is_err() {
            let beside = shown.replace(&format!(".{format}{extension}"), ".tmp");
            return Err(format!(
                "unable to create temporary directory '{beside}' at /usr/share/perl5/PVE/VZDump.pm line 1048."
            ));
        }
        Ok(Self {
            vmid,
            kind,
            volid: format!("{}:backup/{file}", job.storage),
            path: folder.join(file),
            shown,
            remote: None,
        })
    }

    /// A snapshot, named by the node's clock in UTC.
    fn remote(
        worker: &Worker,
        remote: Remote,
        vmid: u32,
        kind: &'static str,
        now: i64,
    ) -> Result<Self, String> {
        let word = if kind == "qemu" { "vm" } else { "ct" };
        let id = remote.id(word, &vmid.to_string(), now);
        Ok(Self {
            vmid,
            kind,
            volid: remote.volid(&id),
            path: fetch::temporary(worker, "tar")?,
            shown: id.dir(),
            remote: Some((remote, id)),
        })
    }

    /// The file's name while it is written: `….tar.zst` grows as `….tar.dat`, `….vma` as `….dat`.
    pub(crate) fn unfinished(&self) -> PathBuf {
        if self.kind == "qemu" {
            return self.path.with_extension("dat");
        }
        let text = self.path.to_string_lossy();
        let stem = text.split_once(".tar").map_or(&*text, |(stem, _)| stem);
        PathBuf::from(format!("{stem}.tar.dat"))
    }

    /// The path that a compressor writes to, as messages name it.
    pub(crate) fn shown_unfinished(&self) -> String {
        let stem = self
            .shown
            .split_once(".tar")
            .map_or(self.shown.as_str(), |(stem, _)| stem);
        format!("{stem}.tar.dat")
    }

    /// The folder that a suspend-mode backup copies to first.
    pub(crate) fn shown_temporary(&self) -> String {
        let stem = self
            .shown
            .split_once(".tar")
            .map_or(self.shown.as_str(), |(stem, _)| stem);
        format!("{stem}.tmp")
    }
}

/// Retention that this job applies to this storage.
fn retention(worker: &Worker, job: &Job) -> Retention {
    let own = worker.sim.lock().storage_retention(&job.storage);
    job.prune.clone().or(own).unwrap_or_default()
}

/// Refuses a backup that the storage's limits do not allow.
pub(crate) fn check_limits(worker: &Worker, job: &Job, vmid: u32) -> Result<(), String> {
    let retention = retention(worker, job);
    let world = worker.sim.lock();
    if job.protected {
        return world
            .check_protected_limit(&job.storage, Some(vmid), job.limit_free)
            .map_err(|error| error.message);
    }
    if job.remove || retention.keeps_all() {
        return Ok(());
    }
    let backups = world.backups(&job.storage);
    let have = backups
        .iter()
        .filter(|backup| backup.vmid == Some(vmid) && !backup.protected)
        .count();
    let limit = retention.most();
    if u64::try_from(have).unwrap_or(u64::MAX) < limit {
        return Ok(());
    }
    Err(format!(
        "There is a max backup limit of {limit} enforced by the target storage or the vzdump parameters. Either increase the limit or delete old backups."
    ))
}

/// Fills in a notes template: `\n`, `\\` and four variables.
pub(crate) fn notes(template: &str, guest: &str, vmid: u32, node: &str) -> String {
    let mut out = String::new();
    let mut chars = template.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('\\', Some('n')) => {
                chars.next();
                out.push('\n');
            }
            ('\\', Some('\\')) => {
                chars.next();
                out.push('\\');
            }
            _ => out.push(c),
        }
    }
    let vmid = vmid.to_string();
    [
        ("guestname", guest),
        ("vmid", &vmid),
        ("node", node),
        ("cluster", "standalone node"),
    ]
    .into_iter()
    .fold(out, |text, (name, value)| {
        text.replace(&format!("{{{{{name}}}}}"), value)
    })
}

/// Finds a variable that a notes template may not have; the answer is the text of the refusal.
pub(crate) fn unknown_variable(template: &str) -> Option<String> {
    let mut place = 0;
    let mut rest = template;
    while let Some(start) = rest.find("{{") {
        let inner = rest.get(start + 2..)?;
        let end = inner.find("}}")?;
        let name = inner.get(..end)?;
        if !["guestname", "vmid", "node", "cluster"].contains(&name) {
            return Some(format!(
                "found unknown: variable '{name}' at char {}",
                place + start + 2
            ));
        }
        let skip = start + 2 + end + 2;
        place += skip;
        rest = rest.get(skip..)?;
    }
    None
}

/// Notes, protection and retention, in this order, after the archive has its name.
pub(crate) async fn complete(
    worker: &Worker,
    job: &Job,
    target: &Target,
    guest: &str,
) -> Result<(), String> {
    if let Some(template) = &job.notes {
        worker.log("INFO: adding notes to backup");
        let node = worker.sim.lock().node.name.clone();
        let text = notes(template, guest, target.vmid, &node);
        worker
            .point("vzdump:notes", &target.vmid.to_string())
            .await?;
        let added = if target.remote.is_some() {
            worker.sim.lock().mark_pbs(&target.volid, Some(&text), None)
        } else {
            let path = backups::notes_path(&target.path);
            fs::write(path, text).map_err(|error| error.to_string())
        };
        if let Err(error) = added {
            worker.warn(format!("unable to add notes - {error}"));
        }
    }
    if job.protected {
        worker.log("INFO: marking backup as protected");
        let result = worker
            .sim
            .lock()
            .protect(&target.volid, true, job.limit_free);
        result.map_err(|error| format!("unable to set protected flag - {}", error.message))?;
    }
    let retention = retention(worker, job);
    if job.remove && !retention.keeps_all() {
        worker.log(format!(
            "INFO: prune older backups with retention: {retention}"
        ));
        let say = |line: String| worker.log(format!("INFO: {line}"));
        let count = disk::prune_now(
            worker,
            &job.storage,
            &retention,
            Some(target.vmid),
            Some(target.kind),
            say,
        )?;
        worker.log(format!(
            "INFO: pruned {count} backup(s) not covered by keep-retention policy"
        ));
    }
    Ok(())
}
