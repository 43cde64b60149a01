//! Removing a container with its volumes, its ACLs and its pool membership; and removing single volumes.

use crate::guest::config::{Config, Section};
use crate::tasks::Worker;
use crate::workers::lock_file::{self, Kind};
use crate::workers::{log_all, power, seconds, timing};
use crate::world::World;

/// What a caller asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Order {
    pub(crate) vmid: u32,
    pub(crate) force: bool,
    pub(crate) purge: bool,
    pub(crate) unreferenced: bool,
}

/// A configuration that holds nothing but a lock.
pub(crate) fn stub(lock: &str) -> Config {
    let mut section = Section::default();
    section.values.insert("lock".into(), lock.to_owned());
    Config {
        current: section,
        ..Config::default()
    }
}

/// What forbids the removal; asked before the task and again inside it.
pub(crate) fn refusal(world: &World, order: Order) -> Result<(), crate::call::ApiError> {
    let die = crate::call::ApiError::die;
    let guest = world.lxc(order.vmid)?;
    if guest.config.current.flag("protection") {
        return Err(die(format!(
            "can't remove CT {} - protection mode enabled",
            order.vmid
        )));
    }
    guest.check_lock().map_err(die)?;
    if guest.run.is_some() && !order.force {
        return Err(die(format!(
            "unable to destroy CT {} - container is running",
            order.vmid
        )));
    }
    Ok(())
}

/// `vzdestroy`
pub(crate) async fn run(worker: Worker, order: Order) -> Result<(), String> {
    let vmid = order.vmid;
    let _lock = lock_file::take(&worker, vmid, Kind::Config).await?;
    let running = {
        let world = worker.sim.lock();
        refusal(&world, order).map_err(|error| error.in_task())?;
        world
            .lxc(vmid)
            .map_err(|error| error.in_task())?
            .run
            .is_some()
    };
    if running {
        worker.log(format!("forced to stop CT {vmid} before destroying!"));
        worker.sleep(seconds(timing::STOP)).await?;
        power::halt(&worker, vmid);
    }
    worker.sleep(seconds(timing::PREPARE)).await?;
    worker.point("vzdestroy:volumes", &vmid.to_string()).await?;
    let doomed = volumes(&worker.sim.lock(), order);
    for volid in doomed {
        worker.sleep(seconds(timing::REMOVE)).await?;
        let mut lines = Vec::new();
        let result = worker.sim.lock().free_owned(vmid, &volid, &mut lines);
        log_all(&worker, lines);
        result?;
    }
    if let Some(guest) = worker.sim.lock().guests.lxc.get_mut(&vmid) {
        guest.config = stub("destroyed");
    }
    worker.point("vzdestroy:config", &vmid.to_string()).await?;
    if order.purge {
        worker.log(format!("purging CT {vmid} from related configurations.."));
    }
    let mut world = worker.sim.lock();
    world.guest_destroyed(vmid);
    world.guests.lxc.remove(&vmid);
    drop(world);
    worker.sim.count("vzdestroy", &vmid.to_string());
    Ok(())
}

fn volumes(world: &World, order: Order) -> Vec<String> {
    let config = world.guests.lxc.get(&order.vmid).map(|guest| &guest.config);
    let mut found = config.map(Config::volumes).unwrap_or_default();
    if order.unreferenced {
        let own = world
            .storage
            .volumes
            .iter()
            .filter(|(_, volume)| volume.owner == order.vmid);
        let more: Vec<String> = own
            .map(|(id, _)| id.clone())
            .filter(|id| !found.contains(id))
            .collect();
        found.extend(more);
    }
    found
}

impl World {
    /// Frees a volume of a guest; another guest's is only mentioned, one that is gone is passed over.
    pub(crate) fn free_owned(
        &mut self,
        vmid: u32,
        volid: &str,
        log: &mut Vec<String>,
    ) -> Result<(), String> {
        match self.storage.volumes.get(volid) {
            Some(volume) if volume.owner == vmid => self.free_volume(volid, log),
            Some(_) => {
                log.push(format!(
                    "ignore deletion of '{volid}', CT {vmid} isn't the owner!"
                ));
                Ok(())
            }
            None => Ok(()),
        }
    }
}
