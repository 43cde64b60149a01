//! Snapshots of containers: taken, removed, rolled back to; the configuration says at each moment how far it got.

use crate::guest::config::Section;
use crate::guest::formats::{self, Source};
use crate::guest::tree;
use crate::storage::volumes;
use crate::tasks::Worker;
use crate::workers::lock_file::{self, Kind};
use crate::workers::{blocking, log_all, power, seconds, timing};
use crate::world::World;

/// Keys that belong to a snapshot or a moment, not to the guest.
const MOMENTARY: &[&str] = &["lock", "snaptime", "snapstate", "digest"];

fn in_task<T>(result: Result<T, crate::call::ApiError>) -> Result<T, String> {
    result.map_err(|error| error.in_task())
}

impl World {
    /// Whether a container's every mount point can be snapshotted.
    pub(crate) fn snapshot_capable(&self, vmid: u32) -> bool {
        self.guests.lxc.get(&vmid).is_some_and(|guest| {
            let mounts = guest.config.current.mounts();
            mounts
                .iter()
                .all(|mount| mount.source() == Source::Volume && self.can_snapshot(mount.volume()))
        })
    }

    fn set_lock(&mut self, vmid: u32, lock: Option<&str>) {
        if let Some(guest) = self.guests.lxc.get_mut(&vmid) {
            let values = &mut guest.config.current.values;
            match lock {
                Some(lock) => values.insert("lock".into(), lock.to_owned()),
                None => values.remove("lock"),
            };
        }
    }

    /// Puts the lock of an operation into the configuration.
    pub(crate) fn lock_guest(&mut self, vmid: u32, lock: &str) {
        self.set_lock(vmid, Some(lock));
    }

    /// Takes it out.
    pub(crate) fn unlock_guest(&mut self, vmid: u32) {
        self.set_lock(vmid, None);
    }

    fn begin_snapshot(
        &mut self,
        vmid: u32,
        name: &str,
        text: &str,
        now: i64,
    ) -> Result<(), String> {
        let capable = name == "vzdump" || self.snapshot_capable(vmid);
        let guest = in_task(self.lxc_mut(vmid))?;
        if guest.config.current.flag("template") {
            return Err("you can't take a snapshot if it's a template".into());
        }
        if name != "vzdump" {
            guest.check_lock()?;
        }
        if guest.config.snapshots.contains_key(name) {
            return Err(format!("snapshot name '{name}' already used"));
        }
        if !capable {
            return Err("snapshot feature is not available".into());
        }
        let mut section = guest.config.current.clone();
        section.values.retain(|key, _| {
            !MOMENTARY.contains(&key.as_str())
                && key != "description"
                && !matches!(formats::index(key), Some(("unused", _)))
        });
        section.values.insert("snaptime".into(), now.to_string());
        section.values.insert("snapstate".into(), "prepare".into());
        if !text.is_empty() {
            section.values.insert("description".into(), text.to_owned());
        }
        guest.config.snapshots.insert(name.to_owned(), section);
        self.lock_guest(vmid, "snapshot");
        Ok(())
    }

    fn commit_snapshot(&mut self, vmid: u32, name: &str) {
        if let Some(guest) = self.guests.lxc.get_mut(&vmid) {
            if let Some(section) = guest.config.snapshots.get_mut(name) {
                section.values.remove("snapstate");
            }
            guest
                .config
                .current
                .values
                .insert("parent".into(), name.to_owned());
        }
    }

    /// Takes a snapshot's section out and links those who descended from it to its own parent.
    fn forget_snapshot(&mut self, vmid: u32, name: &str) {
        let Some(guest) = self.guests.lxc.get_mut(&vmid) else {
            return;
        };
        let gone = guest.config.snapshots.remove(name).unwrap_or_default();
        let parent = gone.get("parent").map(ToOwned::to_owned);
        let sections = guest
            .config
            .snapshots
            .values_mut()
            .chain(std::iter::once(&mut guest.config.current));
        for section in sections.filter(|section| section.get("parent") == Some(name)) {
            match &parent {
                Some(parent) => section.values.insert("parent".into(), parent.clone()),
                None => section.values.remove("parent"),
            };
        }
    }
}

/// Takes a snapshot of these volumes for vzdump; the lock stays. What fails takes its traces back (pve-guest-common
/// `AbstractConfig::snapshot_create`); an interrupted one leaves them.
pub(crate) async fn make(
    worker: &Worker,
    vmid: u32,
    name: &str,
    text: &str,
    volumes: &[String],
) -> Result<(), String> {
    let sim = &worker.sim;
    sim.lock()
        .begin_snapshot(vmid, name, text, sim.clock.shown())?;
    let result = fill(worker, vmid, name, volumes).await;
    if result.is_err() && !worker.is_dying() {
        worker.log("snapshot create failed: starting cleanup");
        drop_snapshot(worker, vmid, name, true).await?;
        sim.lock().unlock_guest(vmid);
    }
    result
}

/// The running container stands still while its volumes are copied.
async fn fill(worker: &Worker, vmid: u32, name: &str, volumes: &[String]) -> Result<(), String> {
    freeze(worker, vmid, true);
    let met = worker.point("snapshot:frozen", &vmid.to_string()).await;
    let result = match met {
        Ok(()) => copy_volumes(worker, volumes, name).await,
        Err(error) => Err(error),
    };
    freeze(worker, vmid, false);
    result?;
    worker.sim.lock().commit_snapshot(vmid, name);
    Ok(())
}

async fn copy_volumes(worker: &Worker, volumes: &[String], name: &str) -> Result<(), String> {
    for volid in volumes {
        worker.sleep(seconds(timing::SNAPSHOT)).await?;
        let from = volumes::tree_path(&worker.sim.state_dir, volid);
        let to = volumes::snapshot_path(&worker.sim.state_dir, volid, name);
        blocking(move || tree::remove(&to).and_then(|()| tree::copy(&from, &to)))
            .await?
            .map_err(|error| error.to_string())?;
        let mut lines = Vec::new();
        worker.sim.lock().add_snapshot(volid, name, &mut lines);
        log_all(worker, lines);
    }
    Ok(())
}

/// The freezer of a running container.
pub(crate) fn freeze(worker: &Worker, vmid: u32, on: bool) {
    let now = worker.sim.clock.now_f64();
    let mut world = worker.sim.lock();
    world.settle(now);
    if let Some(guest) = world.guests.lxc.get_mut(&vmid) {
        guest.frozen = on && guest.run.is_some();
    }
}

/// `vzsnapshot`
pub(crate) async fn take(
    worker: Worker,
    vmid: u32,
    name: String,
    text: String,
) -> Result<(), String> {
    let sim = &worker.sim;
    let volumes: Vec<String> = {
        let _file = lock_file::take(&worker, vmid, Kind::Config).await?;
        let mut world = sim.lock();
        world.begin_snapshot(vmid, &name, &text, sim.clock.shown())?;
        in_task(world.lxc(vmid))?
            .volumes()
            .iter()
            .map(|mount| mount.volume().to_owned())
            .collect()
    };
    if let Err(error) = fill(&worker, vmid, &name, &volumes).await {
        worker.log("snapshot create failed: starting cleanup");
        drop_snapshot(&worker, vmid, &name, true).await?;
        sim.lock().unlock_guest(vmid);
        return Err(error);
    }
    sim.lock().unlock_guest(vmid);
    sim.count("vzsnapshot", &vmid.to_string());
    Ok(())
}

/// Removes a snapshot under a lock that the caller has put or will remove.
pub(crate) async fn drop_snapshot(
    worker: &Worker,
    vmid: u32,
    name: &str,
    force: bool,
) -> Result<(), String> {
    let sim = &worker.sim;
    let held: Vec<String> = {
        let world = sim.lock();
        let config = &in_task(world.lxc(vmid))?.config;
        let section = config
            .snapshots
            .get(name)
            .ok_or_else(|| format!("snapshot '{name}' does not exist"))?;
        let mounts = section.mounts();
        let volumes = mounts
            .iter()
            .filter(|mount| mount.source() == Source::Volume);
        let has = |volid: &str| {
            world
                .storage
                .volumes
                .get(volid)
                .is_some_and(|volume| volume.snapshots.contains_key(name))
        };
        volumes
            .map(|mount| mount.volume().to_owned())
            .filter(|volid| force || has(volid))
            .collect()
    };
    {
        let mut world = sim.lock();
        world.lock_guest(vmid, "snapshot-delete");
        let guest = in_task(world.lxc_mut(vmid))?;
        if let Some(section) = guest.config.snapshots.get_mut(name) {
            section.values.insert("snapstate".into(), "delete".into());
        }
    }
    for volid in held {
        worker.sim.clock.sleep(seconds(timing::SNAPSHOT)).await;
        let mut lines = Vec::new();
        let result = sim.lock().drop_snapshot(&volid, name, &mut lines);
        log_all(worker, lines);
        if !force {
            result?;
        }
    }
    sim.lock().forget_snapshot(vmid, name);
    Ok(())
}

/// `vzdelsnapshot`
pub(crate) async fn delete(
    worker: Worker,
    vmid: u32,
    name: String,
    force: bool,
) -> Result<(), String> {
    let _kept_away = if force {
        None
    } else {
        Some(lock_file::take(&worker, vmid, Kind::Migration).await?)
    };
    {
        let _file = lock_file::take(&worker, vmid, Kind::Config).await?;
        let world = worker.sim.lock();
        let guest = in_task(world.lxc(vmid))?;
        if !guest.config.snapshots.contains_key(&name) {
            return Err(format!("snapshot '{name}' does not exist"));
        }
        guest.check_lock()?;
    }
    worker.sleep(seconds(timing::PREPARE)).await?;
    drop_snapshot(&worker, vmid, &name, force).await?;
    worker.sim.lock().unlock_guest(vmid);
    worker.sim.count("vzdelsnapshot", &vmid.to_string());
    Ok(())
}

/// `vzrollback`
pub(crate) async fn rollback(
    worker: Worker,
    vmid: u32,
    name: String,
    start: bool,
) -> Result<(), String> {
    let sim = &worker.sim;
    let kept_away = lock_file::take(&worker, vmid, Kind::Migration).await?;
    let section = {
        let _file = lock_file::take(&worker, vmid, Kind::Config).await?;
        let mut world = sim.lock();
        let guest = in_task(world.lxc(vmid))?;
        if guest.config.current.flag("template") {
            return Err("you can't rollback if vm is a template".into());
        }
        let section = guest.config.snapshots.get(&name).cloned();
        let section = section.ok_or_else(|| format!("snapshot '{name}' does not exist"))?;
        if let Some(state) = section.get("snapstate") {
            return Err(format!(
                "unable to rollback to incomplete snapshot (snapstate = {state})"
            ));
        }
        guest.check_lock()?;
        world.lock_guest(vmid, "rollback");
        section
    };
    if sim
        .lock()
        .guests
        .lxc
        .get(&vmid)
        .is_some_and(|guest| guest.run.is_some())
    {
        worker.sleep(seconds(timing::STOP)).await?;
        power::halt(&worker, vmid);
    }
    for mount in section
        .mounts()
        .iter()
        .filter(|mount| mount.source() == Source::Volume)
    {
        worker.sleep(seconds(timing::SNAPSHOT)).await?;
        roll_volume(&worker, mount.volume(), &name).await?;
    }
    sim.lock().apply_snapshot(vmid, &name, &section)?;
    sim.count("vzrollback", &vmid.to_string());
    if start {
        // A task of its own, which inherits the lock file and so keeps it until the guest is up.
        let id = vmid.to_string();
        let _upid = sim.start_task(&worker.who, "vzstart", &id, move |worker| async move {
            let _inherited = kept_away;
            power::start(&worker, vmid, false).await
        });
    }
    Ok(())
}

async fn roll_volume(worker: &Worker, volid: &str, name: &str) -> Result<(), String> {
    let from = volumes::snapshot_path(&worker.sim.state_dir, volid, name);
    let to = volumes::tree_path(&worker.sim.state_dir, volid);
    blocking(move || tree::remove(&to).and_then(|()| tree::copy(&from, &to)))
        .await?
        .map_err(|error| error.to_string())?;
    let lv = volid.split_once(':').map_or("", |(_, lv)| lv);
    let vg = worker.sim.lock().storage.pool.vg.clone();
    worker.log(format!("  Logical volume \"{lv}\" successfully removed."));
    worker.log(format!("  Logical volume \"{lv}\" created."));
    worker.log(format!("  Logical volume {vg}/{lv} changed."));
    Ok(())
}

impl World {
    /// The configuration of a snapshot becomes current; description and unused volumes stay, volumes that came
    /// later become unused.
    fn apply_snapshot(&mut self, vmid: u32, name: &str, section: &Section) -> Result<(), String> {
        let guest = in_task(self.lxc_mut(vmid))?;
        let before: Vec<String> = guest
            .volumes()
            .iter()
            .map(|mount| mount.volume().to_owned())
            .collect();
        let mut values = section.values.clone();
        values.retain(|key, _| !MOMENTARY.contains(&key.as_str()) && key != "description");
        for (key, value) in &guest.config.current.values {
            if key == "description" || matches!(formats::index(key), Some(("unused", _))) {
                values.insert(key.clone(), value.clone());
            }
        }
        values.insert("parent".into(), name.to_owned());
        guest.config.current.values = values;
        guest.config.current.raw.clone_from(&section.raw);
        guest.config.pending.clear();
        let mounted = guest.volumes();
        let is_mounted = |volume: &str| mounted.iter().any(|mount| mount.volume() == volume);
        before
            .iter()
            .filter(|volume| !is_mounted(volume))
            .try_for_each(|volume| in_task(self.keep_unused(vmid, volume)))
    }
}
