//! Commands of `/_sim/` about the root helper and the disks that are carried about.

use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::disks::{Disk, MOUNT_DIR, Mount, Removable, Target, folder};
use super::listen;
use super::rules::Rules;
use crate::guest::tree;
use crate::sim::Sim;
use crate::storage::volumes::uuid;

/// Commands of `/_sim/NAME` that concern the helper and disks.
pub(crate) async fn control(sim: &Arc<Sim>, name: &str, body: &Value) -> Result<Value, String> {
    let done = match name {
        "host-off" => listen::stop(sim).await.map_err(|error| error.to_string()),
        "host-on" => listen::start(sim).map_err(|error| error.to_string()),
        "host-config" => read(body).map(|rules: Rules| sim.lock().rules = rules),
        "disk-attach" => read(body).and_then(|order| attach(sim, &order)),
        "disk-detach" => read(body).and_then(|order: Named| detach(sim, &order.id)),
        "disk-swap" => read(body).and_then(|order| swap(sim, &order)),
        "disk-clone" => read(body).and_then(|order| clone(sim, &order)),
        "disk-read-only" => read(body).and_then(|order| read_only(sim, &order)),
        "disk-fill" => read(body).and_then(|order| fill(sim, &order)),
        "disk-mount" => read(body).and_then(|order| mount(sim, &order)),
        "disk-format" => read(body).and_then(|order| format(sim, &order)),
        other => Err(format!("no command `{other}`")),
    };
    done.map(|()| state(sim))
}

fn read<T: for<'de> Deserialize<'de>>(body: &Value) -> Result<T, String> {
    T::deserialize(body).map_err(|error| error.to_string())
}

/// What there is to see of the helper's part of the world.
pub(crate) fn state(sim: &Sim) -> Value {
    let world = sim.lock();
    let disks = &world.storage.removable;
    json!({ "disks": disks.disks, "targets": disks.targets, "rules": world.rules })
}

/// What is known of a disk that is plugged in; what is not said stays as it was, or is made up.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Facts {
    id: String,
    uuid: Option<String>,
    serial: Option<String>,
    model: Option<String>,
    size: Option<u64>,
    fstype: Option<String>,
    label: Option<String>,
    transport: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    id: String,
}

/// Nothing that leaves the folder of disks.
fn check(id: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if id.is_empty() || !id.chars().all(plain) {
        return Err(format!("`{id}` is no name of a disk"));
    }
    Ok(())
}

fn known<'a>(disks: &'a mut Removable, id: &str) -> Result<&'a mut Disk, String> {
    let unknown = || format!("there is no disk `{id}`");
    disks.disks.get_mut(id).ok_or_else(unknown)
}

fn put(disks: &mut Removable, facts: &Facts) -> Result<(), String> {
    check(&facts.id)?;
    let count = disks.disks.len() + 1;
    let disk = disks.disks.entry(facts.id.clone()).or_insert_with(|| Disk {
        uuid: uuid(),
        serial: format!("SIM-USB-{count:04}"),
        ..Disk::default()
    });
    let set = |field: &mut String, said: &Option<String>| {
        if let Some(said) = said {
            field.clone_from(said);
        }
    };
    set(&mut disk.uuid, &facts.uuid);
    set(&mut disk.serial, &facts.serial);
    set(&mut disk.model, &facts.model);
    set(&mut disk.fstype, &facts.fstype);
    set(&mut disk.label, &facts.label);
    set(&mut disk.transport, &facts.transport);
    disk.size = facts.size.unwrap_or(disk.size);
    Ok(())
}

/// A disk is plugged in: a new one, or one that was there before.
fn attach(sim: &Sim, facts: &Facts) -> Result<(), String> {
    let mut world = sim.lock();
    let disks = &mut world.storage.removable;
    put(disks, facts)?;
    let done = disks.attach(&sim.state_dir, &facts.id);
    done.map_err(|error| error.to_string())
}

/// A disk is pulled, whoever works with it.
fn detach(sim: &Sim, id: &str) -> Result<(), String> {
    let mut world = sim.lock();
    let disks = &mut world.storage.removable;
    known(disks, id)?;
    let done = disks.detach(&sim.state_dir, id);
    done.map_err(|error| error.to_string())
}

/// A disk is pulled, and another plugged in that says it has the same file system.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Swap {
    id: String,
    /// The other; what is not said of it is made up, except for the UUID, which is the same.
    with: Facts,
}

fn swap(sim: &Sim, order: &Swap) -> Result<(), String> {
    {
        let mut world = sim.lock();
        let disks = &mut world.storage.removable;
        let old = known(disks, &order.id)?.clone();
        let is_new = !disks.disks.contains_key(&order.with.id);
        put(disks, &order.with)?;
        if is_new && order.with.uuid.is_none() {
            known(disks, &order.with.id)?.uuid = old.uuid;
        }
    }
    detach(sim, &order.id)?;
    let mut world = sim.lock();
    let done = world
        .storage
        .removable
        .attach(&sim.state_dir, &order.with.id);
    done.map_err(|error| error.to_string())
}

/// A disk is copied with `dd` to another, which is not plugged in yet: the same file system with everything on it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Duplicate {
    id: String,
    to: String,
    /// Of the other; the same where it is not said, as of an adapter that tells its own.
    serial: Option<String>,
}

fn clone(sim: &Sim, order: &Duplicate) -> Result<(), String> {
    check(&order.to)?;
    let mut world = sim.lock();
    let disks = &mut world.storage.removable;
    let mut copy = known(disks, &order.id)?.clone();
    if !copy.attached {
        return Err(format!("the disk `{}` is not attached", order.id));
    }
    if disks.disks.contains_key(&order.to) {
        return Err(format!("there is a disk `{}` already", order.to));
    }
    copy.attached = false;
    copy.serial = order.serial.clone().unwrap_or(copy.serial);
    disks.disks.insert(order.to.clone(), copy);
    let state = &sim.state_dir;
    let copied = copied(disks, state, &order.id, &order.to);
    copied.map_err(|error| error.to_string())
}

fn copied(disks: &mut Removable, state: &Path, from: &str, to: &str) -> std::io::Result<()> {
    disks.attach(state, to)?;
    tree::copy(&folder(state, from), &folder(state, to))?;
    disks.detach(state, to)
}

/// The switch of a disk, or its file system's errors.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadOnly {
    id: String,
    #[serde(default = "yes")]
    on: bool,
}

fn yes() -> bool {
    true
}

fn read_only(sim: &Sim, order: &ReadOnly) -> Result<(), String> {
    let mut world = sim.lock();
    known(&mut world.storage.removable, &order.id)?.read_only = order.on;
    Ok(())
}

/// Others use so many bytes of a disk; all that are left where it is not said.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fill {
    id: String,
    bytes: Option<u64>,
}

fn fill(sim: &Sim, order: &Fill) -> Result<(), String> {
    let mut world = sim.lock();
    let disk = known(&mut world.storage.removable, &order.id)?;
    disk.foreign = order.bytes.unwrap_or(disk.size);
    Ok(())
}

/// Somebody makes a new file system on an attached disk.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewFormat {
    id: String,
    uuid: Option<String>,
}

fn format(sim: &Sim, order: &NewFormat) -> Result<(), String> {
    let mut world = sim.lock();
    let disks = &mut world.storage.removable;
    let disk = known(disks, &order.id)?;
    disk.uuid = order.uuid.clone().unwrap_or_else(uuid);
    disk.foreign = 0;
    let there = folder(&sim.state_dir, &order.id);
    let done = tree::remove(&there).and_then(|()| std::fs::create_dir_all(&there));
    done.map_err(|error| error.to_string())
}

/// Root mounts an attached disk by its UUID, by hand or by a unit of root's own.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ByHand {
    uuid: String,
    path: String,
}

fn mount(sim: &Sim, order: &ByHand) -> Result<(), String> {
    let name = order.path.strip_prefix(MOUNT_DIR);
    let name = name.and_then(|rest| rest.strip_prefix('/'));
    let name = name.filter(|name| check(name).is_ok());
    let name = name.ok_or_else(|| format!("in this world disks are mounted below {MOUNT_DIR}"))?;
    if !super::on_host(&sim.state_dir, &order.path).is_dir() {
        return Err(format!(
            "mount: {}: mount point does not exist.",
            order.path
        ));
    }
    let mut world = sim.lock();
    let disks = &mut world.storage.removable;
    let found = disks
        .attached()
        .find(|(_, disk)| disk.uuid.eq_ignore_ascii_case(&order.uuid))
        .map(|(id, disk)| (id.clone(), disk.clone()));
    let (id, disk) = found.ok_or_else(|| format!("mount: can't find UUID={}.", order.uuid))?;
    let target = Target {
        uuid: disk.uuid,
        serial: disk.serial,
        fstype: disk.fstype,
        size: disk.size,
        mount: Some(Mount {
            disk: id,
            dead: false,
        }),
        ..Target::default()
    };
    disks.targets.insert(name.to_owned(), target);
    let done = disks.place(&sim.state_dir);
    done.map_err(|error| error.to_string())
}
