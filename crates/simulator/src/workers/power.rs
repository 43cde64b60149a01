//! Start, stop, shutdown and reboot of containers.

use crate::guest::{Run, init};
use crate::tasks::Worker;
use crate::workers::lock_file::{self, Kind};
use crate::workers::{seconds, timing};
use crate::world::World;

/// Lets a shutdown request pass without effect when the guest's tree has this file.
const DEAF: &str = "etc/sim-ignores-shutdown";

/// The address that the network's DHCP server gives a guest; an island has no server.
fn lease(world: &World, vmid: u32, device: &str) -> Option<String> {
    let section = &world.guests.lxc.get(&vmid)?.config.current;
    let nets = section.nets();
    let net = nets
        .values()
        .find(|net| net.get("name").is_some_and(|name| name == device))?;
    let down = net.get("link_down").is_some_and(|down| down == "1");
    let bridge = world.bridges.get(net.get("bridge")?)?;
    (!down && !bridge.ports.is_empty()).then(|| format!("192.0.2.{}/24", 100 + vmid % 150))
}

/// Starts a container. `ignore_lock` as PVE's own workers do that hold the lock themselves.
pub(crate) async fn start(worker: &Worker, vmid: u32, ignore_lock: bool) -> Result<(), String> {
    let _lock = lock_file::take(worker, vmid, Kind::Config).await?;
    start_locked(worker, vmid, ignore_lock).await
}

async fn start_locked(worker: &Worker, vmid: u32, ignore_lock: bool) -> Result<(), String> {
    prepare(worker, vmid, ignore_lock)?;
    worker.point("vzstart:locked", &vmid.to_string()).await?;
    worker.sleep(seconds(timing::START)).await?;
    let now = worker.sim.clock.now_f64();
    let problem = {
        let mut world = worker.sim.lock();
        world.settle(now);
        launch(&mut world, vmid, now)
    };
    if let Err((lines, error)) = problem {
        super::log_all(worker, lines);
        return Err(error);
    }
    worker.sim.count("vzstart", &vmid.to_string());
    worker.point("vzstart:up", &vmid.to_string()).await
}

fn prepare(worker: &Worker, vmid: u32, ignore_lock: bool) -> Result<(), String> {
    let mut world = worker.sim.lock();
    let guest = world.lxc(vmid).map_err(|error| error.in_task())?;
    if guest.config.current.flag("template") {
        return Err("you can't start a CT if it's a template".into());
    }
    if !ignore_lock && guest.config.lock() != Some("mounted") {
        guest.check_lock()?;
    }
    if guest.run.is_some() {
        return Err(format!("CT {vmid} already running"));
    }
    world.apply_pending(vmid).map_err(|error| error.in_task())
}

/// Starts a container for a worker that cleans up: neither its lock nor a signal keeps it from coming back.
pub(crate) async fn start_regardless(worker: &Worker, vmid: u32) -> Result<(), String> {
    worker.sim.clock.sleep(seconds(timing::START)).await;
    let now = worker.sim.clock.now_f64();
    let mut world = worker.sim.lock();
    world.settle(now);
    let result = launch(&mut world, vmid, now);
    drop(world);
    result.map_err(|(lines, error)| {
        super::log_all(worker, lines);
        error
    })
}

type Trouble = (Vec<String>, String);

fn launch(world: &mut World, vmid: u32, now: f64) -> Result<(), Trouble> {
    let failed = |lines: Vec<String>| (lines, format!("startup for container '{vmid}' failed"));
    let root = world.rootfs(vmid).ok_or_else(|| failed(Vec::new()))?;
    let guest = world
        .lxc(vmid)
        .map_err(|error| (Vec::new(), error.in_task()))?;
    let section = guest.config.current.clone();
    let name = guest.name(vmid);
    for (key, value) in &section.values {
        if key.starts_with("net")
            && let Some(bridge) = world.missing_bridge(key, value)
        {
            return Err(failed(vec![
                format!("bridge '{bridge}' does not exist"),
                "run_buffer: 571 Script exited with status 2".into(),
                "lxc_create_network_priv: 3466 No such file or directory - Failed to create network device".into(),
                "lxc_spawn: 1852 Failed to create the network".into(),
                format!("__lxc_start: 2119 Failed to spawn container \"{vmid}\""),
            ]));
        }
    }
    if !init::bootable(&root) {
        return Err(failed(vec![
            "start: 2223 No such file or directory - Failed to exec \"/sbin/init\"".into(),
            "sync_wait: 34 An error occurred in another process (expected sequence number 7)"
                .into(),
            format!("__lxc_start: 2119 Failed to spawn container \"{vmid}\""),
        ]));
    }
    for mount in section.mounts() {
        let point = root.join(mount.path().trim_start_matches('/'));
        std::fs::create_dir_all(point).map_err(|error| failed(vec![error.to_string()]))?;
    }
    init::write_files(&root, &section, &name).map_err(|error| failed(vec![error.to_string()]))?;
    let network = init::boot(&root, |device| lease(world, vmid, device));
    let run = Run {
        pid: next_pid(world),
        since: now,
        dies_at: init::crash_after(&root).map(|after| now + after),
        network,
    };
    if let Some(guest) = world.guests.lxc.get_mut(&vmid) {
        guest.run = Some(run);
        guest.frozen = false;
    }
    Ok(())
}

/// A process id that no other guest has.
fn next_pid(world: &World) -> u32 {
    let used = world
        .guests
        .lxc
        .values()
        .filter_map(|guest| guest.run.as_ref())
        .map(|run| run.pid);
    used.max().unwrap_or(3300) + 104
}

/// Kills a container.
pub(crate) async fn stop(worker: &Worker, vmid: u32, ignore_lock: bool) -> Result<(), String> {
    let _lock = lock_file::take(worker, vmid, Kind::Config).await?;
    {
        let world = worker.sim.lock();
        let guest = world.lxc(vmid).map_err(|error| error.in_task())?;
        if !ignore_lock && guest.config.lock() != Some("mounted") {
            guest.check_lock()?;
        }
    }
    worker.sleep(seconds(timing::STOP)).await?;
    halt(worker, vmid);
    worker.sim.count("vzstop", &vmid.to_string());
    Ok(())
}

/// A container is down from this moment.
pub(crate) fn halt(worker: &Worker, vmid: u32) {
    let now = worker.sim.clock.now_f64();
    let mut world = worker.sim.lock();
    world.settle(now);
    if let Some(guest) = world.guests.lxc.get_mut(&vmid) {
        guest.run = None;
        guest.frozen = false;
    }
}

/// Asks a container to go down by itself.
pub(crate) async fn shutdown(
    worker: &Worker,
    vmid: u32,
    timeout: f64,
    force: bool,
) -> Result<(), String> {
    let _lock = lock_file::take(worker, vmid, Kind::Config).await?;
    {
        let world = worker.sim.lock();
        world
            .lxc(vmid)
            .map_err(|error| error.in_task())?
            .check_lock()?;
    }
    let deaf = worker
        .sim
        .lock()
        .rootfs(vmid)
        .is_some_and(|root| root.join(DEAF).exists());
    if deaf || timeout < timing::SHUTDOWN {
        worker.sleep(seconds(timeout)).await?;
        if !force {
            return Err("container did not stop".into());
        }
    } else {
        worker.sleep(seconds(timing::SHUTDOWN)).await?;
    }
    halt(worker, vmid);
    worker.sim.count("vzshutdown", &vmid.to_string());
    Ok(())
}

/// Down and up again; no lock is asked, and a guest that is down already stays down.
pub(crate) async fn reboot(worker: &Worker, vmid: u32) -> Result<(), String> {
    let _lock = lock_file::take(worker, vmid, Kind::Config).await?;
    worker.sleep(seconds(timing::SHUTDOWN)).await?;
    let running = worker
        .sim
        .lock()
        .guests
        .lxc
        .get(&vmid)
        .is_some_and(|guest| guest.run.is_some());
    if !running {
        return Ok(());
    }
    halt(worker, vmid);
    worker.sim.count("vzreboot", &vmid.to_string());
    start_locked(worker, vmid, true).await
}
