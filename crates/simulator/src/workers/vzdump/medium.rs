//! The disk that an archive is written to, when it is one that can be pulled, take no data, or be full.

use std::sync::Arc;
use std::time::Duration;

use crate::sim::Sim;
use crate::storage::Definition;
use crate::tasks::{Upid, Worker};

/// In so many steps a transfer looks whether its disk is still there.
const STEPS: u32 = 16;

/// Files that a job has open on a target: it cannot be unmounted as long.
pub(super) struct Open {
    sim: Arc<Sim>,
    target: String,
    holder: (u32, String),
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut world = self.sim.lock();
        let disks = &mut world.storage.removable;
        if let Some(all) = disks.holders.get_mut(&self.target) {
            all.remove(&self.holder);
        }
        if let Err(error) = disks.drop_dead(&self.sim.state_dir) {
            tracing::warn!(%error, "a mount point of the simulated host could not be put in order");
        }
    }
}

/// Opens what a job works with; nothing where its storage lies on no target.
pub(super) fn open(worker: &Worker, storage: &str) -> Option<Open> {
    let mut world = worker.sim.lock();
    let path = world.storage.definitions.get(storage);
    let path = path.and_then(Definition::path)?.to_owned();
    let disks = &mut world.storage.removable;
    let target = disks.target_at(&path)?.0.to_owned();
    let pid = Upid::parse(&worker.upid).map_or(1, |upid| upid.pid);
    let holder = (pid, "zstd".to_owned());
    let all = disks.holders.entry(target.clone()).or_default();
    all.insert(holder.clone());
    let sim = Arc::clone(&worker.sim);
    Some(Open {
        sim,
        target,
        holder,
    })
}

/// Lets the time of a transfer pass, and answers what the kernel says when the disk takes no more of it.
pub(super) async fn transfer(
    worker: &Worker,
    storage: &str,
    span: Duration,
) -> Result<Option<&'static str>, String> {
    let failed = || worker.sim.lock().storage.takes_data(storage).err();
    let on_target = {
        let world = worker.sim.lock();
        let path = world.storage.definitions.get(storage);
        let path = path.and_then(Definition::path).unwrap_or_default();
        world.storage.removable.target_at(path).is_some()
    };
    if !on_target {
        worker.sleep(span).await?;
        return Ok(None);
    }
    for _ in 0..STEPS {
        if let Some(reason) = failed() {
            return Ok(Some(reason));
        }
        worker.sleep(span / STEPS).await?;
    }
    Ok(failed())
}

/// The compressor's last words.
pub(super) fn last_words(reason: &str) -> String {
    format!("zstd: error 70 : Write error : cannot write block : {reason}")
}
