//! Commands of `/_sim/` about guests and storages: what other people, hardware and time do to them.

use std::fs;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{guest_files, storages};
use crate::access::Principal;
use crate::guest::change::Request;
use crate::guest::init;
use crate::guest::tree;
use crate::sim::Sim;
use crate::world::Disk;

/// Commands of `/_sim/NAME` that concern guests and storages; none for a name that is not known here.
pub(crate) fn control(sim: &Arc<Sim>, name: &str, body: &Value) -> Option<Result<Value, String>> {
    match name {
        "drain-pool" => Some(Ok(drain_pool(sim))),
        "fill-pool" => Some(read(body).map(|order| fill_pool(sim, &order))),
        "corrupt-archive" => Some(read(body).and_then(|order| corrupt_archive(sim, &order))),
        "guest-files" => Some(read(body).and_then(|order| guest_files::change(sim, &order))),
        "pct-set" => Some(read(body).and_then(|order| pct_set(sim, order))),
        "poke-guest" => Some(read(body).and_then(|order| poke_guest(sim, order))),
        "protect-archive" => Some(read(body).and_then(|order| protect_archive(sim, &order))),
        "put-disk" => Some(read(body).map(|order| put_disk(sim, order))),
        "put-update" => Some(read(body).map(|order| put_update(sim, order))),
        "put-export" => Some(read(body).and_then(|order| storages::put_export(sim, order))),
        "put-mount" => Some(read(body).map(|order| storages::put_mount(sim, order))),
        "remove-export" => Some(read(body).map(|order| storages::remove_export(sim, &order))),
        "storage-state" => Some(read(body).and_then(|order| storages::storage_state(sim, &order))),
        "vzdump-conf" => Some(read(body).map(|order| vzdump_conf(sim, order))),
        "vzdump-omits" => Some(read(body).map(|order| vzdump_omits(sim, order))),
        _ => None,
    }
}

fn read<T: for<'de> Deserialize<'de>>(body: &Value) -> Result<T, String> {
    T::deserialize(body).map_err(|error| error.to_string())
}

/// A disk is put in, or another in the place of one.
#[derive(Debug, Deserialize)]
struct PutDisk {
    device: String,
    #[serde(flatten)]
    disk: Disk,
}

fn put_disk(sim: &Sim, order: PutDisk) -> Value {
    sim.lock().node.disks.insert(order.device, order.disk);
    json!({})
}

/// The node hears of a newer package.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PutUpdate {
    package: String,
    version: String,
}

fn put_update(sim: &Sim, order: PutUpdate) -> Value {
    sim.lock().node.updates.insert(order.package, order.version);
    json!({})
}

/// Somebody else's volume grows in the pool.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FillPool {
    /// Bytes of data still to come.
    #[serde(default)]
    bytes: u64,
    /// Bytes of metadata still to come.
    #[serde(default)]
    metadata: u64,
    /// Bytes a simulated second; everything at once where it is missing.
    rate: Option<u64>,
}

fn fill_pool(sim: &Sim, order: &FillPool) -> Value {
    let now = sim.clock.now_f64();
    let mut world = sim.lock();
    world.settle(now);
    let (data, metadata) = (world.pool_data(), world.pool_metadata());
    let pool = &mut world.storage.pool;
    if let Some(rate) = order.rate {
        pool.growing += order.bytes;
        pool.growing_metadata += order.metadata;
        pool.growth_rate = rate;
    } else {
        pool.foreign += order.bytes.min(pool.size - data);
        pool.foreign_metadata += order.metadata.min(pool.metadata_size - metadata);
    }
    json!({ "data": world.pool_data(), "metadata": world.pool_metadata() })
}

/// Somebody removes that volume.
fn drain_pool(sim: &Sim) -> Value {
    let now = sim.clock.now_f64();
    let mut world = sim.lock();
    world.settle(now);
    let pool = &mut world.storage.pool;
    (pool.foreign, pool.growing) = (0, 0);
    (pool.foreign_metadata, pool.growing_metadata) = (0, 0);
    json!({ "data": world.pool_data(), "metadata": world.pool_metadata() })
}

/// Damage to an archive.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CorruptArchive {
    volid: String,
    /// Cut the file off there instead of flipping bits in its middle.
    #[serde(default)]
    truncate: bool,
}

fn corrupt_archive(sim: &Sim, order: &CorruptArchive) -> Result<Value, String> {
    let backup = sim.lock().backup(&order.volid);
    let backup = backup.ok_or_else(|| format!("no archive `{}`", order.volid))?;
    let mut bytes = fs::read(&backup.path).map_err(|error| error.to_string())?;
    let middle = bytes.len() * 3 / 5;
    if order.truncate {
        bytes.truncate(middle);
    } else {
        for byte in bytes.iter_mut().skip(middle).take(64) {
            *byte ^= 0x55;
        }
    }
    fs::write(&backup.path, &bytes).map_err(|error| error.to_string())?;
    Ok(json!({ "size": bytes.len() }))
}

/// `pct set` in root's shell: options as the API takes them, volumes are made where they are asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PctSet {
    vmid: u32,
    #[serde(default)]
    set: std::collections::BTreeMap<String, String>,
    #[serde(default)]
    delete: Vec<String>,
}

fn pct_set(sim: &Sim, order: PctSet) -> Result<Value, String> {
    let (now, date) = (sim.clock.now_f64(), sim.clock.now());
    let mut world = sim.lock();
    world.settle(now);
    world.reap(now);
    let request = Request {
        vmid: order.vmid,
        set: order.set,
        delete: order.delete,
        digest: None,
    };
    let changed = world.change_config(&Principal::new("root@pam"), &request, date);
    changed.map_err(|error| error.message)?;
    let guest = world.lxc(order.vmid).map_err(|error| error.message)?;
    Ok(json!({ "config": guest.config.print() }))
}

/// An archive that root protects from removal.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProtectArchive {
    volid: String,
}

fn protect_archive(sim: &Sim, order: &ProtectArchive) -> Result<Value, String> {
    let protected = sim.lock().protect(&order.volid, true, true);
    protected.map_err(|error| error.message)?;
    Ok(json!({}))
}

/// The next archive lacks these paths of its guest, and the log does not say so.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct VzdumpOmits {
    paths: Vec<String>,
}

fn vzdump_omits(sim: &Sim, order: VzdumpOmits) -> Value {
    let paths = order.paths.into_iter();
    let paths = paths.map(|path| path.trim_start_matches('/').to_owned());
    sim.lock().guests.vzdump_omits = paths.collect();
    json!({})
}

/// Root writes `/etc/vzdump.conf`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct VzdumpConf {
    exclude_path: Vec<String>,
}

fn vzdump_conf(sim: &Sim, order: VzdumpConf) -> Value {
    sim.lock().guests.vzdump_excludes = order.exclude_path;
    json!({})
}

/// A change of a guest behind the API's back.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PokeGuest {
    vmid: u32,
    /// Options to write into the configuration.
    #[serde(default)]
    set: std::collections::BTreeMap<String, String>,
    /// Options to take out.
    #[serde(default)]
    delete: Vec<String>,
    /// Raw `lxc.*` lines.
    #[serde(default)]
    raw: Vec<(String, String)>,
    /// Files of its root file system by path; null removes one.
    #[serde(default)]
    files: std::collections::BTreeMap<String, Option<String>>,
    /// Whether it stands still.
    frozen: Option<bool>,
    /// Its processes are gone, or there again.
    running: Option<bool>,
    /// Bytes a second that it writes while it runs.
    writes: Option<u64>,
    /// Its firewall rules.
    firewall: Option<String>,
}

fn poke_guest(sim: &Sim, order: PokeGuest) -> Result<Value, String> {
    let now = sim.clock.now_f64();
    let mut world = sim.lock();
    world.settle(now);
    let root = world.rootfs(order.vmid);
    for (path, content) in &order.files {
        let root = root.as_ref().ok_or("the guest has no root file system")?;
        let done = match content {
            Some(content) => tree::put(root, path, content.as_bytes()),
            None => fs::remove_file(root.join(path.trim_start_matches('/'))),
        };
        done.map_err(|error| format!("{path}: {error}"))?;
    }
    let guest = world.lxc_mut(order.vmid).map_err(|error| error.message)?;
    let values = &mut guest.config.current.values;
    values.extend(order.set);
    order.delete.iter().for_each(|key| drop(values.remove(key)));
    guest.config.current.raw.extend(order.raw);
    if let Some(writes) = order.writes {
        guest.writes = writes;
    }
    if let Some(rules) = order.firewall {
        guest.firewall = rules;
    }
    match order.running {
        Some(true) if guest.run.is_none() => {
            let network = root
                .as_deref()
                .map(|root| init::boot(root, |_| None))
                .unwrap_or_default();
            guest.run = Some(crate::guest::Run {
                pid: 4242,
                since: now,
                dies_at: None,
                network,
            });
        }
        Some(false) => guest.run = None,
        _ => {}
    }
    if let Some(frozen) = order.frozen {
        guest.frozen = frozen;
    }
    Ok(json!({ "config": guest.config.print() }))
}
