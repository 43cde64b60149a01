//! Work on single volumes: resizing, deleting contents of a storage, pruning archives.

use std::fs;
use std::io;

use crate::guest::formats;
use crate::guest::props;
use crate::pbs::SnapshotId;
use crate::storage::retention::{Mark, Retention};
use crate::storage::{access, backups};
use crate::tasks::Worker;
use crate::workers::{log_all, seconds, timing};
use crate::world::World;

/// `imgdel`. An archive that is not there is deleted already (seen on PVE 9.2).
pub(crate) async fn delete(worker: Worker, volid: String) -> Result<(), String> {
    worker.sleep(seconds(timing::REMOVE)).await?;
    let volume = access::parse(&worker.sim.lock(), &volid).map_err(|error| error.in_task())?;
    if volume.kind == "backup" {
        let mut world = worker.sim.lock();
        if world.backup(&volid).is_some_and(|backup| backup.protected) {
            return Err(format!(
                "cannot remove protected volume '{}' on '{}'",
                volume.name, volume.storage
            ));
        }
        world
            .remove_backup(&volid)
            .map_err(|error| error.to_string())?;
    } else if volume.kind == "images" {
        let mut lines = Vec::new();
        let result = worker.sim.lock().free_volume(&volid, &mut lines);
        log_all(&worker, lines);
        result?;
    } else {
        let (path, _) = super::restore::locate(&worker, &volid)?;
        fs::remove_file(path).map_err(|error| error.to_string())?;
    }
    worker.log(format!("Removed volume '{volid}'"));
    worker.sim.count("imgdel", &volid);
    Ok(())
}

impl World {
    /// Removes an archive with its sidecar files.
    pub(crate) fn remove_backup(&mut self, volid: &str) -> io::Result<()> {
        let storage = volid.split(':').next().unwrap_or_default();
        if self.is_pbs(storage) {
            let remote = self.pbs_remote(storage).map_err(io::Error::other)?;
            let id = remote
                .snapshot(volid)
                .ok_or_else(|| io::Error::other("no such snapshot"))?;
            return self.pbs_forget(&remote, &id).map_err(io::Error::other);
        }
        let Some(backup) = self.backup(volid) else {
            return Ok(());
        };
        for sidecar in [
            backups::notes_path(&backup.path),
            backups::log_path(&backup.path),
        ] {
            match fs::remove_file(sidecar) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::remove_file(&backup.path)
    }
}

/// Removes what a retention setting no longer keeps; answers how many. `say` gets the lines.
pub(crate) fn prune_now(
    worker: &Worker,
    storage: &str,
    retention: &Retention,
    vmid: Option<u32>,
    kind: Option<&str>,
    say: impl Fn(String),
) -> Result<u32, String> {
    let plan = worker.sim.lock().prune_plan(storage, retention, vmid, kind);
    let on_server = worker.sim.lock().is_pbs(storage);
    if on_server {
        ask_to_prune(worker, storage, &plan, &say)?;
    }
    let mut count = 0;
    for (backup, _) in plan.iter().filter(|(_, mark)| *mark == Mark::Remove) {
        if !on_server {
            say(format!("removing backup '{}'", backup.volid));
        }
        worker
            .sim
            .lock()
            .remove_backup(&backup.volid)
            .map_err(|error| error.to_string())?;
        worker.sim.count("prune", &backup.volid);
        count += 1;
    }
    Ok(count)
}

/// A backup server prunes group by group, with the rights of the storage's token.
fn ask_to_prune(
    worker: &Worker,
    storage: &str,
    plan: &[(backups::Backup, Mark)],
    say: &impl Fn(String),
) -> Result<(), String> {
    let remote = worker.sim.lock().pbs_remote(storage)?;
    let ids = plan
        .iter()
        .filter_map(|(backup, _)| remote.snapshot(&backup.volid));
    let groups: std::collections::BTreeMap<String, SnapshotId> =
        ids.map(|id| (id.group(), id)).collect();
    let mut failed = false;
    for (name, id) in groups {
        say(format!(
            "running 'proxmox-backup-client prune' for '{name}'"
        ));
        let allowed = worker.sim.lock().pbs_may_prune(&remote, &id);
        if let Err(text) = allowed {
            worker.log(format!("ERROR: prune '{name}': {text}"));
            failed = true;
        }
    }
    if failed {
        return Err("error pruning backups - check log".into());
    }
    Ok(())
}

/// `prunebackups`
pub(crate) async fn prune(
    worker: Worker,
    storage: String,
    retention: Retention,
    vmid: Option<u32>,
    kind: Option<String>,
) -> Result<(), String> {
    worker.sleep(seconds(timing::REMOVE)).await?;
    prune_now(
        &worker,
        &storage,
        &retention,
        vmid,
        kind.as_deref(),
        |line| worker.log(line),
    )
    .map(drop)
}

/// `resize`: the logical volume first, then the file system on it.
pub(crate) async fn resize(
    worker: Worker,
    vmid: u32,
    disk: String,
    size: u64,
) -> Result<(), String> {
    worker.sleep(seconds(timing::MKFS)).await?;
    let mut world = worker.sim.lock();
    let guest = world.lxc_mut(vmid).map_err(|error| error.in_task())?;
    guest.check_lock()?;
    let running = guest.run.is_some();
    let mut mount = guest
        .volumes()
        .into_iter()
        .find(|mount| mount.key == disk)
        .ok_or_else(|| format!("no such volume '{disk}'"))?;
    mount.props.insert("size".into(), props::print_size(size));
    guest.config.current.values.insert(disk, mount.print());
    let device = world.device_path(mount.volume());
    let lv = device.trim_start_matches("/dev/").to_owned();
    let volume = world.storage.volumes.get_mut(mount.volume());
    let old = volume.map_or(size, |volume| std::mem::replace(&mut volume.size, size));
    drop(world);
    let extents = |bytes: u64| format!("{} ({} extents)", two(bytes), bytes >> 22);
    worker.log(format!(
        "  Size of logical volume {lv} changed from {} to {}.",
        extents(old),
        extents(size)
    ));
    worker.log(format!("  Logical volume {lv} successfully resized."));
    let blocks = size / 4096;
    if running {
        worker.log("resize2fs 1.47.2 (1-Jan-2025)");
        worker.log(format!(
            "Filesystem at {device} is mounted on /tmp; on-line resizing required"
        ));
        worker.log("old_desc_blocks = 1, new_desc_blocks = 1");
    } else {
        for line in check_lines(&device, old / 4096) {
            worker.log(line);
        }
        worker.log("resize2fs 1.47.2 (1-Jan-2025)");
        worker.log(format!(
            "Resizing the filesystem on {device} to {blocks} (4k) blocks."
        ));
    }
    worker.log(format!(
        "The filesystem on {device} is now {blocks} (4k) blocks long."
    ));
    worker.log("");
    worker.sim.count("resize", &vmid.to_string());
    Ok(())
}

fn check_lines(device: &str, blocks: u64) -> Vec<String> {
    let passes = [
        "Checking inodes, blocks, and sizes",
        "Checking directory structure",
        "Checking directory connectivity",
        "Checking reference counts",
        "Checking group summary information",
    ];
    let mut lines = vec!["e2fsck 1.47.2 (1-Jan-2025)".to_owned()];
    lines.extend(
        passes
            .iter()
            .enumerate()
            .map(|(place, text)| format!("Pass {}: {text}", place + 1)),
    );
    let inodes = blocks / 4;
    lines.push(format!(
        "{device}: 74/{inodes} files (0.0% non-contiguous), 13548/{blocks} blocks"
    ));
    lines
}

/// `1.25 GiB`
fn two(bytes: u64) -> String {
    let hundredths = (u128::from(bytes) * 100) >> 30;
    format!("{}.{:02} GiB", hundredths / 100, hundredths % 100)
}

/// The new size that a request names: absolute, or `+` on top of the old one.
pub(crate) fn new_size(text: &str, old: u64) -> Option<u64> {
    let (plus, text) = text
        .strip_prefix('+')
        .map_or((false, text), |rest| (true, rest));
    let size = formats::size_of(text)?;
    Some(if plus { old.checked_add(size)? } else { size })
}
