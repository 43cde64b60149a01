//! The box is lost, and another stands in its place as it comes from the installer. What lay outside of it is still there: the
//! backup server, what other machines export, and the disks that are carried about.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::sync::Arc;

use serde_json::{Value, json};

use super::virgin;
use crate::access::random_hex;
use crate::guest::tree;
use crate::hostd::Removable;
use crate::sim::Sim;
use crate::storage::{Storages, exports};
use crate::world::{NodeState, World};

/// Puts a new box in the place of the old one. Its node has the same name, and a certificate and a password of its own.
pub(crate) async fn rebuild(sim: &Arc<Sim>) -> Result<Value, String> {
    sim.tasks.kill_all().await;
    let lost = replace(sim);
    clear(sim, &lost).map_err(|error| error.to_string())?;
    virgin::build(sim).map_err(|error| error.to_string())?;
    let fingerprint = sim.renew_certificate();
    let fingerprint = fingerprint.map_err(|error| error.to_string())?;
    Ok(json!({ "fingerprint": fingerprint }))
}

/// The new world; answers the folders of the old one's own directories.
fn replace(sim: &Sim) -> Vec<String> {
    let boot = sim.clock.now();
    let mut guard = sim.lock();
    let old = std::mem::take(&mut *guard);
    let shares: Vec<String> = old
        .storage
        .definitions
        .values()
        .filter(|one| exports::is_network(&one.kind))
        .filter_map(|one| one.path().map(str::to_owned))
        .collect();
    let (kept, lost): (BTreeMap<_, _>, BTreeMap<_, _>) = old
        .storage
        .folders
        .into_iter()
        .partition(|(path, _)| shares.contains(path));
    *guard = World {
        node: NodeState {
            name: old.node.name,
            boot,
            boots: 1,
            ..NodeState::default()
        },
        storage: Storages {
            exports: old.storage.exports,
            folders: kept,
            removable: Removable {
                disks: old.storage.removable.disks,
                ..Removable::default()
            },
            state: sim.state_dir.clone(),
            ..Storages::default()
        },
        pbs: old.pbs,
        ..World::default()
    };
    if let Some(root) = guard.access.users.get_mut("root@pam") {
        root.password = Some(random_hex(12));
    }
    lost.into_values().collect()
}

/// What lay on the old box's own disks is gone.
fn clear(sim: &Sim, folders: &[String]) -> io::Result<()> {
    let state = &sim.state_dir;
    let own = folders.iter().map(|name| state.join("storage").join(name));
    let rest = ["volumes", "host"].map(|name| state.join(name));
    for path in own.chain(rest) {
        tree::remove(&path)?;
    }
    fs::create_dir_all(state.join("host"))
}
