//! Collecting garbage (proxmox-backup, `datastore.rs`, `chunk_store.rs`): what no index names and nobody used for a day
//! and five minutes goes.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use super::state::{Gc, SnapshotId};
use super::store;
use super::tasks::Worker;
use crate::hex;

const GRACE: i64 = 24 * 3600 + 300;

/// `2.385 MiB`
fn human(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = float(bytes);
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    let text = format!("{value:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text} {}", units.get(unit).copied().unwrap_or("B"))
}

#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "a figure for a log line"
)]
fn float(bytes: u64) -> f64 {
    bytes as f64
}

/// The index files of a datastore.
fn indexes(worker: &Worker, name: &str) -> Vec<(SnapshotId, String)> {
    let world = worker.sim.lock();
    let Some(store) = world.pbs.stores.get(name) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for group in super::prune::groups(name, store, "", 7, |group| !group.light) {
        let known = store.group(&group.ns, &group.group());
        for (time, snapshot) in known.into_iter().flat_map(|group| &group.snapshots) {
            let archives = snapshot
                .files
                .iter()
                .filter(|file| !store::is(&file.filename, "blob"));
            let id = SnapshotId {
                time: *time,
                ..group.clone()
            };
            found.extend(archives.map(|file| (id.clone(), file.filename.clone())));
        }
    }
    found
}

/// Marks, then sweeps.
pub(crate) async fn run(worker: &Worker, name: &str) -> Result<(), String> {
    let root = store::root(&worker.sim.state_dir, name);
    worker.log(format!("starting garbage collection on store {name}"));
    worker.log("Start GC phase1 (mark used chunks)");
    let started = worker.sim.pbs_now();
    let indexes = indexes(worker, name);
    let mut status = Gc {
        upid: Some(worker.upid.clone()),
        ..Gc::default()
    };
    let mut missing = BTreeSet::new();
    for (place, (id, file)) in indexes.iter().enumerate() {
        worker.check_abort()?;
        let index = store::read_index(&root, id, file)?;
        status.index_file_count += 1;
        status.index_data_bytes += index.size;
        let mut world = worker.sim.lock();
        let Some(known) = world.pbs.stores.get_mut(name) else {
            return Err(format!("no such datastore '{name}'"));
        };
        for entry in index.entries {
            let digest = hex::lower(&entry.digest);
            match known.chunks.get_mut(&digest) {
                Some(chunk) if store::chunk_path(&root, &digest).is_file() => chunk.used = started,
                _ => {
                    missing.insert((digest, format!("{}/{}/{file}", known.path, id.relative())));
                }
            }
        }
        drop(world);
        let percent = (place + 1) * 100 / indexes.len();
        worker.log(format!(
            "marked {percent}% ({} of {} index files)",
            place + 1,
            indexes.len()
        ));
    }
    for (digest, path) in &missing {
        worker.log(format!(
            "WARN: warning: unable to access non-existent chunk {digest}, required by \"{path}\""
        ));
    }
    worker.log("Start GC phase2 (sweep unused chunks)");
    sweep(worker, name, started, &mut status).await?;
    report(worker, &status);
    let mut world = worker.sim.lock();
    if let Some(known) = world.pbs.stores.get_mut(name) {
        known.gc = status;
    }
    drop(world);
    if missing.is_empty() {
        return Ok(());
    }
    Err(format!("WARNINGS: {}", missing.len()))
}

async fn sweep(worker: &Worker, name: &str, started: i64, status: &mut Gc) -> Result<(), String> {
    let root = store::root(&worker.sim.state_dir, name);
    let chunks = {
        let world = worker.sim.lock();
        world
            .pbs
            .stores
            .get(name)
            .map(|known| known.chunks.clone())
            .unwrap_or_default()
    };
    for (place, (digest, chunk)) in chunks.iter().enumerate() {
        worker.check_abort()?;
        worker.point("pbs:garbage_collection:chunk").await?;
        let percent = (place + 1) * 99 / chunks.len();
        worker.log(format!("processed {percent}% ({place} chunks)"));
        worker.sleep(Duration::from_millis(5)).await?;
        let path = store::chunk_path(&root, digest);
        if !path.is_file() {
            continue;
        }
        if chunk.used < started - GRACE {
            let gone = fs::remove_file(path);
            gone.map_err(|error| {
                format!("unlinking chunk \"{digest}\" failed on store '{name}' - {error}")
            })?;
            status.removed_chunks += 1;
            status.removed_bytes += chunk.bytes;
            let mut world = worker.sim.lock();
            if let Some(known) = world.pbs.stores.get_mut(name) {
                known.chunks.remove(digest);
            }
        } else if chunk.used < started {
            status.pending_chunks += 1;
            status.pending_bytes += chunk.bytes;
        } else {
            status.disk_chunks += 1;
            status.disk_bytes += chunk.bytes;
        }
    }
    Ok(())
}

fn report(worker: &Worker, status: &Gc) {
    worker.log(format!("Removed garbage: {}", human(status.removed_bytes)));
    worker.log(format!("Removed chunks: {}", status.removed_chunks));
    if status.pending_bytes > 0 {
        let (bytes, chunks) = (human(status.pending_bytes), status.pending_chunks);
        worker.log(format!("Pending removals: {bytes} (in {chunks} chunks)"));
    }
    worker.log(format!(
        "Original data usage: {}",
        human(status.index_data_bytes)
    ));
    if status.index_data_bytes > 0 {
        let part = float(status.disk_bytes) * 100.0 / float(status.index_data_bytes);
        worker.log(format!(
            "On-Disk usage: {} ({part:.2}%)",
            human(status.disk_bytes)
        ));
    }
    worker.log(format!("On-Disk chunks: {}", status.disk_chunks));
    let factor = if status.disk_bytes > 0 {
        float(status.index_data_bytes) / float(status.disk_bytes)
    } else {
        1.0
    };
    worker.log(format!("Deduplication factor: {factor:.2}"));
    if let Some(average) = status.disk_bytes.checked_div(status.disk_chunks) {
        worker.log(format!("Average chunk size: {}", human(average)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_told_as_the_server_tells_them() {
        assert_eq!(human(0), "0 B");
        assert_eq!(human(2_500_648), "2.385 MiB");
        assert_eq!(human(1_043_215), "1018.765 KiB");
    }
}
