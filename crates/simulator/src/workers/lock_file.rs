//! The two lock files of a guest: whoever changes it holds them, waiting ten seconds for them at most.

use std::sync::Arc;

use crate::sim::Sim;
use crate::tasks::Worker;
use crate::workers::seconds;

/// Tenths of a second that a worker waits.
const PATIENCE: u32 = 100;

/// Which of a guest's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// `/run/lock/lxc/pve-config-ID.lock`
    Config,
    /// `/var/lock/qemu-server/lock-ID.conf`
    Machine,
    /// The one that keeps replication and migration away while snapshots change.
    Migration,
}

/// A held lock file: the system releases it however its holder ends.
pub(crate) struct Held {
    sim: Arc<Sim>,
    file: (u32, Kind),
}

impl Drop for Held {
    fn drop(&mut self) {
        self.sim.lock().guests.lock_files.remove(&self.file);
    }
}

/// Takes one.
pub(crate) async fn take(worker: &Worker, vmid: u32, kind: Kind) -> Result<Held, String> {
    let file = (vmid, kind);
    let take = || worker.sim.lock().guests.lock_files.insert(file);
    let held = || Held {
        sim: Arc::clone(&worker.sim),
        file,
    };
    if take() {
        return Ok(held());
    }
    for _ in 0..PATIENCE {
        worker.sleep(seconds(0.1)).await?;
        if take() {
            worker.log("trying to acquire lock... OK");
            return Ok(held());
        }
    }
    worker.log("trying to acquire lock...");
    Err(match kind {
        Kind::Config => {
            format!("can't lock file '/run/lock/lxc/pve-config-{vmid}.lock' - got timeout")
        }
        Kind::Machine => {
            format!("can't lock file '/var/lock/qemu-server/lock-{vmid}.conf' - got timeout")
        }
        Kind::Migration => {
            "Failed to obtain guest migration lock - replication running?".to_owned()
        }
    })
}
