//! Commands of `/_sim/` about storages: what other machines export, and what does not answer.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::sim::Sim;
use crate::storage::exports::{self, Export, Reach};

/// An export is there, or has another size.
pub(super) fn put_export(sim: &Sim, export: Export) -> Result<Value, String> {
    if !exports::is_network(&export.kind) {
        return Err(format!("`{}` is neither `nfs` nor `cifs`", export.kind));
    }
    let mut world = sim.lock();
    let all = &mut world.storage.exports;
    let same = |one: &Export| {
        (&one.kind, &one.server, &one.name) == (&export.kind, &export.server, &export.name)
    };
    all.retain(|one| !same(one));
    all.push(export);
    Ok(json!({ "exports": all }))
}

/// An export is gone.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RemoveExport {
    server: String,
    name: String,
}

pub(super) fn remove_export(sim: &Sim, order: &RemoveExport) -> Value {
    let mut world = sim.lock();
    let all = &mut world.storage.exports;
    all.retain(|one| one.server != order.server || one.name != order.name);
    json!({ "exports": all })
}

/// How a storage behaves from now on: `online`, `offline`, `silent`, `hang`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StorageState {
    storage: String,
    state: Reach,
}

pub(super) fn storage_state(sim: &Sim, order: &StorageState) -> Result<Value, String> {
    let mut world = sim.lock();
    let id = &order.storage;
    let known = world.storage.definition(id);
    known.map_err(|error| error.message)?;
    world.storage.reach.insert(id.clone(), order.state);
    Ok(json!({ "reach": world.storage.reach }))
}

/// The node mounts this file system below `/mnt/pve`, whenever its disk is there.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PutMount {
    name: String,
    uuid: String,
}

pub(super) fn put_mount(sim: &Sim, order: PutMount) -> Value {
    let mut world = sim.lock();
    world.storage.mounts.insert(order.name, order.uuid);
    json!({ "mounts": world.storage.mounts })
}
