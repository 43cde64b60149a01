//! Removing a virtual machine with its volumes, its ACLs and its pool membership.

use crate::call::ApiError;
use crate::qemu::drives;
use crate::tasks::Worker;
use crate::workers::destroy::stub;
use crate::workers::lock_file::{self, Kind};
use crate::workers::{log_all, seconds, timing};
use crate::world::World;

/// What a caller asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Order {
    pub(crate) vmid: u32,
    pub(crate) purge: bool,
    pub(crate) unreferenced: bool,
    pub(crate) skip_lock: bool,
}

/// What forbids the removal; asked before the task and again inside it. A lock is asked for inside only.
pub(crate) fn refusal(world: &World, vmid: u32) -> Result<(), ApiError> {
    let guest = world.machine(vmid)?;
    if guest.config.current.flag("protection") {
        let text = format!("can't remove VM {vmid} - protection mode enabled");
        return Err(ApiError::die(text));
    }
    if guest.run.is_some() {
        return Err(ApiError::die(format!(
            "VM {vmid} is running - destroy failed"
        )));
    }
    Ok(())
}

/// `qmdestroy`
pub(crate) async fn run(worker: Worker, order: Order) -> Result<(), String> {
    let vmid = order.vmid;
    let _lock = lock_file::take(&worker, vmid, Kind::Machine).await?;
    {
        let world = worker.sim.lock();
        refusal(&world, vmid).map_err(|error| error.in_task())?;
        let guest = world.machine(vmid).map_err(|error| error.in_task())?;
        if !order.skip_lock {
            guest.check_lock()?;
        }
    }
    worker.sleep(seconds(timing::PREPARE)).await?;
    worker.point("qmdestroy:volumes", &vmid.to_string()).await?;
    let doomed = volumes(&worker.sim.lock(), order);
    for volid in doomed {
        worker.sleep(seconds(timing::REMOVE)).await?;
        let mut lines = Vec::new();
        let result = free(&mut worker.sim.lock(), vmid, &volid, &mut lines);
        log_all(&worker, lines);
        if let Err(error) = result {
            worker.warn(format!(
                "Could not remove disk '{volid}', check manually: {error}"
            ));
        }
    }
    if let Some(guest) = worker.sim.lock().qemu.get_mut(&vmid) {
        guest.config = stub("destroyed");
    }
    worker.point("qmdestroy:config", &vmid.to_string()).await?;
    if order.purge {
        worker.log(format!("purging VM {vmid} from related configurations.."));
    }
    let mut world = worker.sim.lock();
    world.guest_destroyed(vmid);
    world.qemu.remove(&vmid);
    drop(world);
    worker.sim.count("qmdestroy", &vmid.to_string());
    Ok(())
}

/// Another guest's volume is passed over in silence.
fn free(world: &mut World, vmid: u32, volid: &str, lines: &mut Vec<String>) -> Result<(), String> {
    let own = world
        .storage
        .volumes
        .get(volid)
        .is_some_and(|volume| volume.owner == vmid);
    if own {
        world.free_volume(volid, lines)
    } else {
        Ok(())
    }
}

fn volumes(world: &World, order: Order) -> Vec<String> {
    let config = world.qemu.get(&order.vmid).map(|guest| &guest.config);
    let mut found = config
        .map(|config| drives::volumes(&config.current))
        .unwrap_or_default();
    if order.unreferenced {
        let own = world.storage.volumes.iter();
        let own = own.filter(|(_, volume)| volume.owner == order.vmid);
        let more: Vec<String> = own
            .map(|(id, _)| id.clone())
            .filter(|id| !found.contains(id))
            .collect();
        found.extend(more);
    }
    found
}
