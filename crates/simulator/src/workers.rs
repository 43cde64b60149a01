//! What the tasks do. Each worker takes the world's lock for moments only and sleeps in simulated time between
//! them; a worker that is killed leaves the world as it stands at that moment, which is what a power cut does too.

use std::sync::Arc;
use std::time::Duration;

use crate::sim::Sim;
use crate::tasks::Worker;
use crate::world::World;

pub(crate) mod create;
pub(crate) mod destroy;
pub(crate) mod disk;
pub(crate) mod fetch;
pub(crate) mod lock_file;
pub(crate) mod merge;
pub(crate) mod power;
pub(crate) mod qemu;
pub(crate) mod restore;
pub(crate) mod snapshot;
pub(crate) mod timing;
pub(crate) mod unpack;
pub(crate) mod vzdump;

/// Called when the power went, after every worker and connection died: leaves guests as PVE finds them at the next
/// boot. Locks, stubs, snapshots and half-written archives stay where they were.
pub(crate) fn power_cut(world: &mut World) {
    world.guests.vzdump_lock = None;
    world.guests.lock_files.clear();
    let state = world.storage.state.clone();
    if let Err(error) = world.storage.removable.power_cut(&state) {
        tracing::warn!(%error, "the mount points of the simulated host could not be emptied");
    }
    for guest in world.guests.lxc.values_mut() {
        guest.run = None;
        guest.frozen = false;
    }
    for machine in world.qemu.values_mut() {
        machine.run = None;
    }
}

/// Called when the node has booted: left-over backup locks go, then the guests with `onboot` start.
pub(crate) fn boot(sim: &Arc<Sim>) {
    let state = sim.state_dir.clone();
    let (wanted, locked): (Vec<u32>, Vec<u32>) = {
        let mut world = sim.lock();
        world.storage.state = state;
        let guests = &mut world.guests.lxc;
        let held = guests
            .iter()
            .filter(|(_, guest)| guest.config.lock() == Some("backup"));
        let held: Vec<u32> = held.map(|(id, _)| *id).collect();
        for id in &held {
            if let Some(guest) = guests.get_mut(id) {
                guest.config.current.values.remove("lock");
            }
        }
        let autostart = guests
            .iter()
            .filter(|(_, guest)| guest.config.current.flag("onboot") && guest.run.is_none());
        (autostart.map(|(id, _)| *id).collect(), held)
    };
    let (machines, freed) = boot_machines(sim);
    let locked = [locked, freed].concat();
    if wanted.is_empty() && machines.is_empty() && locked.is_empty() {
        return;
    }
    let root = crate::access::Principal::new("root@pam");
    let _upid = sim.start_task(&root, "startall", "", move |worker| async move {
        for id in locked {
            worker.log(format!("removed left over backup lock from '{id}'!"));
        }
        for id in wanted {
            worker.log(format!("Starting CT {id}"));
            if let Err(error) = power::start(&worker, id, false).await {
                worker.log(format!("Starting CT {id} failed: {error}"));
            }
        }
        for id in machines {
            worker.log(format!("Starting VM {id}"));
            if let Err(error) = qemu::power::start(&worker, id, false).await {
                worker.log(format!("Starting VM {id} failed: {error}"));
            }
        }
        Ok(())
    });
}

/// The machines to start, and those whose left-over backup lock went.
fn boot_machines(sim: &Arc<Sim>) -> (Vec<u32>, Vec<u32>) {
    let mut world = sim.lock();
    let (mut wanted, mut freed) = (Vec::new(), Vec::new());
    for (id, guest) in &mut world.qemu {
        if guest.config.lock() == Some("backup") {
            guest.config.current.values.remove("lock");
            freed.push(*id);
        }
        if guest.config.current.flag("onboot") && guest.run.is_none() {
            wanted.push(*id);
        }
    }
    (wanted, freed)
}

/// Runs file work beside the runtime's threads.
pub(crate) async fn blocking<T, F>(work: F) -> Result<T, String>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| error.to_string())
}

/// Writes lines that a tool printed.
pub(crate) fn log_all(worker: &Worker, lines: Vec<String>) {
    for line in lines {
        worker.log(line);
    }
}

/// A span of simulated time.
pub(crate) fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

/// GNU tar's totals: rounded up, one decimal below ten.
#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "a figure for a log line"
)]
pub(crate) fn human(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    if unit == "B" {
        format!("{bytes}B")
    } else if value < 9.95 {
        format!("{:.1}{unit}", (value * 10.0).ceil() / 10.0)
    } else {
        format!("{:.0}{unit}", value.ceil())
    }
}

/// `2140160 (2.1MiB, 8.0MiB/s)`
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a figure for a log line"
)]
pub(crate) fn totals(bytes: u64, took: f64) -> String {
    let rate = (bytes as f64 / took.max(0.001)) as u64;
    format!("{bytes} ({}, {}/s)", human(bytes), human(rate))
}
