//! Start, stop and shutdown of virtual machines.

use crate::qemu::options::net_key;
use crate::qemu::{Boot, Process, image};
use crate::tasks::Worker;
use crate::workers::lock_file::{self, Kind};
use crate::workers::{log_all, seconds, timing};
use crate::world::World;

/// How a QEMU process begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begin {
    Running,
    /// With the processors stopped, as a backup starts a machine that is down.
    Prelaunch,
}

/// Starts a machine. `ignore_lock` as root alone may ask for.
pub(crate) async fn start(worker: &Worker, vmid: u32, ignore_lock: bool) -> Result<(), String> {
    let _lock = lock_file::take(worker, vmid, Kind::Machine).await?;
    {
        let mut world = worker.sim.lock();
        let guest = world.machine(vmid).map_err(|error| error.in_task())?;
        if guest.config.current.flag("template") {
            return Err("you can't start a vm if it's a template".into());
        }
        if !ignore_lock {
            guest.check_lock()?;
        }
        if guest.run.is_some() {
            return Err(format!("VM {vmid} already running"));
        }
        apply_pending(&mut world, vmid);
    }
    worker.point("qmstart:locked", &vmid.to_string()).await?;
    worker.sleep(seconds(timing::START)).await?;
    launch(worker, vmid, Begin::Running)?;
    worker.sim.count("qmstart", &vmid.to_string());
    worker.point("qmstart:up", &vmid.to_string()).await
}

/// What waited for the next start becomes current.
fn apply_pending(world: &mut World, vmid: u32) {
    if let Some(guest) = world.qemu.get_mut(&vmid) {
        guest.config.current = guest.config.merged();
        guest.config.pending.clear();
    }
}

/// QEMU is there from this moment, or says why not.
pub(crate) fn launch(worker: &Worker, vmid: u32, begin: Begin) -> Result<(), String> {
    let now = worker.sim.clock.now_f64();
    let mut lines = Vec::new();
    let result = try_launch(&mut worker.sim.lock(), vmid, begin, now, &mut lines);
    log_all(worker, lines);
    result
}

fn try_launch(
    world: &mut World,
    vmid: u32,
    begin: Begin,
    now: f64,
    lines: &mut Vec<String>,
) -> Result<(), String> {
    let guest = world.machine(vmid).map_err(|error| error.in_task())?;
    for drive in guest.drives().iter().filter(|drive| drive.is_disk()) {
        let volid = drive.volume().unwrap_or_default();
        world.volume(volid).map_err(|error| error.in_task())?;
    }
    let nets = guest.config.current.values.iter();
    for (key, value) in nets.filter(|(key, _)| key.starts_with("net")) {
        let bridge = net_key(value, "bridge").unwrap_or("vmbr0");
        if !world.bridges.contains_key(bridge) {
            let device = key.trim_start_matches("net");
            lines.push(format!("bridge '{bridge}' does not exist"));
            lines.push(format!(
                "kvm: -netdev type=tap,id={key},ifname=tap{vmid}i{device},script=/usr/libexec/qemu-server/pve-bridge,downscript=/usr/libexec/qemu-server/pve-bridgedown: network script /usr/libexec/qemu-server/pve-bridge failed with status 6400"
            ));
            return Err("start failed: QEMU exited with code 1".into());
        }
    }
    let boot = guest
        .boot_drive()
        .and_then(|drive| Some(Boot::read(&image(&world.storage.state, drive.volume()?))));
    let state = match begin {
        Begin::Running => "running",
        Begin::Prelaunch => "prelaunch",
    };
    let run = Process {
        pid: next_pid(world),
        since: now,
        state: state.into(),
        boot: boot.unwrap_or_default(),
    };
    if let Some(guest) = world.qemu.get_mut(&vmid) {
        guest.run = Some(run);
    }
    Ok(())
}

/// A process id that no other guest has.
fn next_pid(world: &World) -> u32 {
    let machines = world.qemu.values().filter_map(|guest| guest.run.as_ref());
    let containers = world
        .guests
        .lxc
        .values()
        .filter_map(|guest| guest.run.as_ref());
    let used = machines
        .map(|run| run.pid)
        .chain(containers.map(|run| run.pid));
    used.max().unwrap_or(3300) + 104
}

/// Ends the process. A machine that is down already is no error (QemuServer.pm `_do_vm_stop`).
pub(crate) async fn stop(worker: &Worker, vmid: u32, ignore_lock: bool) -> Result<(), String> {
    let _lock = lock_file::take(worker, vmid, Kind::Machine).await?;
    if !may_stop(worker, vmid, ignore_lock)? {
        return Ok(());
    }
    worker.sleep(seconds(timing::STOP)).await?;
    halt(worker, vmid);
    worker.sim.count("qmstop", &vmid.to_string());
    Ok(())
}

/// Whether there is a process to end; refuses where a lock stands.
fn may_stop(worker: &Worker, vmid: u32, ignore_lock: bool) -> Result<bool, String> {
    let world = worker.sim.lock();
    let Some(guest) = world.qemu.get(&vmid).filter(|guest| guest.run.is_some()) else {
        return Ok(false);
    };
    if !ignore_lock {
        guest.check_lock()?;
    }
    Ok(true)
}

/// The process is gone from this moment.
pub(crate) fn halt(worker: &Worker, vmid: u32) {
    if let Some(guest) = worker.sim.lock().qemu.get_mut(&vmid) {
        guest.run = None;
    }
}

/// Asks a machine to go down by itself: through the agent, else by the power button.
pub(crate) async fn shutdown(
    worker: &Worker,
    vmid: u32,
    timeout: f64,
    force: bool,
    ignore_lock: bool,
) -> Result<(), String> {
    let _lock = lock_file::take(worker, vmid, Kind::Machine).await?;
    if !may_stop(worker, vmid, ignore_lock)? {
        return Ok(());
    }
    let deaf = {
        let world = worker.sim.lock();
        let run = world.qemu.get(&vmid).and_then(|guest| guest.run.as_ref());
        run.is_none_or(|run| run.boot.deaf || run.state != "running")
    };
    if deaf || timeout < timing::SHUTDOWN {
        worker.sleep(seconds(timeout)).await?;
        if !force {
            return Err("VM quit/powerdown failed - got timeout".into());
        }
        worker.log("VM still running - terminating now with SIGTERM");
    } else {
        worker.sleep(seconds(timing::SHUTDOWN)).await?;
    }
    halt(worker, vmid);
    worker.sim.count("qmshutdown", &vmid.to_string());
    Ok(())
}

/// What QMP says of the processors.
pub(crate) fn set_state(worker: &Worker, vmid: u32, state: &str) {
    let mut world = worker.sim.lock();
    let run = world
        .qemu
        .get_mut(&vmid)
        .and_then(|guest| guest.run.as_mut());
    if let Some(run) = run {
        state.clone_into(&mut run.state);
    }
}
