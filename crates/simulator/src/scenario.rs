//! What a new world contains, and the commands of `/_sim/` that concern guests and storages.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::qemu::Qemu;
use crate::sim::Sim;
use crate::world::World;

mod built_in;
mod control;
mod files;
mod guest_files;
pub(crate) mod machines;
pub(crate) mod rebuilt;
mod storages;
mod virgin;

pub(crate) use control::control;
#[cfg(test)]
pub(crate) use files::noise;

/// What a new state directory is filled with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Scenario {
    /// Node, storages, guests and principals of the documentation.
    #[default]
    BuiltIn,
    /// A node as it comes from the installer.
    Virgin,
}

/// Fills a new world. Called once per state directory, before the first request.
pub(crate) fn build(sim: &Arc<Sim>, scenario: &Scenario) -> Result<(), String> {
    sim.lock().storage.state.clone_from(&sim.state_dir);
    let built = match scenario {
        Scenario::BuiltIn => built_in::build(sim),
        Scenario::Virgin => virgin::build(sim),
    };
    built.map_err(|error| error.to_string())
}

/// What `/_sim/state` says of virtual machines.
fn machines(world: &World) -> serde_json::Map<String, Value> {
    let seen = |(vmid, guest): (&u32, &Qemu)| {
        let seen = json!({
            "name": guest.name(*vmid),
            "status": if guest.run.is_some() { "running" } else { "stopped" },
            "lock": guest.config.lock(),
            "config": guest.config.print(),
        });
        (vmid.to_string(), seen)
    };
    world.qemu.iter().map(seen).collect()
}

/// What `/_sim/state` says of guests and storages.
pub(crate) fn state(sim: &Sim) -> Value {
    let now = sim.clock.now_f64();
    let mut world = sim.lock();
    world.settle(now);
    world.reap(now);
    let guests: serde_json::Map<String, Value> = world
        .guests
        .lxc
        .iter()
        .map(|(vmid, guest)| {
            let pools = world.pools.iter();
            let pool = pools
                .filter(|(_, pool)| pool.vms.contains(vmid))
                .map(|(id, _)| id)
                .next();
            let seen = json!({
                "name": guest.name(*vmid),
                "status": if guest.run.is_some() { "running" } else { "stopped" },
                "frozen": guest.frozen,
                "lock": guest.config.lock(),
                "config": guest.config.print(),
                "pool": pool,
            });
            (vmid.to_string(), seen)
        })
        .collect();
    let volumes: serde_json::Map<String, Value> = world
        .storage
        .volumes
        .iter()
        .map(|(id, volume)| {
            let snapshots: Vec<&String> = volume.snapshots.keys().collect();
            let seen = json!({
                "size": volume.size, "mapped": volume.mapped(), "owner": volume.owner, "snapshots": snapshots,
            });
            (id.clone(), seen)
        })
        .collect();
    let pool = &world.storage.pool;
    json!({
        "guests": guests,
        "machines": machines(&world),
        "volumes": volumes,
        "pool": {
            "size": pool.size,
            "data": world.pool_data(),
            "metadata_size": pool.metadata_size,
            "metadata": world.pool_metadata(),
            "foreign": pool.foreign,
            "growing": pool.growing,
        },
        "production_write_failures": pool.production_write_failures,
        "vzdump_lock": world.guests.vzdump_lock,
        "storages": world.storage.definitions.keys().collect::<Vec<_>>(),
    })
}
