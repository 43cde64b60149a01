//! Start, stop, shutdown, reboot; what this node cannot do with a container it refuses in so many words.

use serde_json::json;

use crate::call::{Answer, ApiError, Call, Reply};
use crate::workers::{power, seconds};

/// Only the user named root@pam may pass over locks.
fn no_skiplock(call: &Call<'_>) -> Result<(), ApiError> {
    if call.params.flag("skiplock") && !call.auth.is_root() {
        return Err(ApiError::param(
            "skiplock",
            "Only root may use this option.",
        ));
    }
    Ok(())
}

/// Asks the kernel and not the configuration: a guest that does not exist does not run (pve-container LXC.pm
/// `check_running`).
fn running(call: &Call<'_>) -> bool {
    let now = call.sim.clock.now_f64();
    let mut world = call.sim.lock();
    world.reap(now);
    let guest = world.guests.lxc.get(&call.params.vmid());
    guest.is_some_and(|guest| guest.run.is_some())
}

fn must_run(call: &Call<'_>) -> Result<(), ApiError> {
    if running(call) {
        return Ok(());
    }
    Err(ApiError::die(format!(
        "CT {} not running",
        call.params.vmid()
    )))
}

/// `POST …/status/start`
pub(super) fn start(call: &Call<'_>) -> Reply {
    let vmid = call.params.vmid();
    no_skiplock(call)?;
    if running(call) {
        return Err(ApiError::die(format!("CT {vmid} already running")));
    }
    let skip = call.params.flag("skiplock");
    let upid = call.sim.start_task(
        call.auth,
        "vzstart",
        &vmid.to_string(),
        move |worker| async move { power::start(&worker, vmid, skip).await },
    );
    Ok(Answer::Data(json!(upid)))
}

/// `POST …/status/stop`
pub(super) fn stop(call: &Call<'_>) -> Reply {
    let vmid = call.params.vmid();
    no_skiplock(call)?;
    must_run(call)?;
    let skip = call.params.flag("skiplock");
    let upid = call.sim.start_task(
        call.auth,
        "vzstop",
        &vmid.to_string(),
        move |worker| async move { power::stop(&worker, vmid, skip).await },
    );
    Ok(Answer::Data(json!(upid)))
}

/// A time-out parameter in seconds.
fn timeout(call: &Call<'_>) -> f64 {
    let given = call
        .params
        .int("timeout")
        .and_then(|seconds| u32::try_from(seconds).ok());
    f64::from(given.unwrap_or(60))
}

/// `POST …/status/shutdown`
pub(super) fn shutdown(call: &Call<'_>) -> Reply {
    let vmid = call.params.vmid();
    must_run(call)?;
    let (timeout, force) = (timeout(call), call.params.flag("forceStop"));
    let upid = call.sim.start_task(
        call.auth,
        "vzshutdown",
        &vmid.to_string(),
        move |worker| async move { power::shutdown(&worker, vmid, timeout, force).await },
    );
    Ok(Answer::Data(json!(upid)))
}

/// `POST …/status/reboot`
pub(super) fn reboot(call: &Call<'_>) -> Reply {
    let vmid = call.params.vmid();
    if !running(call) {
        return Err(ApiError::die(format!("VM {vmid} not running")));
    }
    let upid = call.sim.start_task(
        call.auth,
        "vzreboot",
        &vmid.to_string(),
        move |worker| async move { power::reboot(&worker, vmid).await },
    );
    Ok(Answer::Data(json!(upid)))
}

/// `POST …/migrate`: a lone node has no other.
pub(super) fn migrate(call: &Call<'_>) -> Reply {
    let world = call.sim.lock();
    world.lxc(call.params.vmid())?;
    let target = call.params.need("target");
    if target == world.node.name {
        return Err(ApiError::param("target", "target is local node."));
    }
    Err(ApiError::die(format!("no such cluster node '{target}'")))
}

/// `POST …/vncproxy`: the task is there, nobody ever connects to it.
pub(super) fn vncproxy(call: &Call<'_>) -> Reply {
    let vmid = call.params.vmid();
    call.sim.lock().lxc(vmid)?;
    let upid = call.sim.start_task(
        call.auth,
        "vncproxy",
        &vmid.to_string(),
        |worker| async move {
            worker.log("starting lxc termproxy");
            worker.sleep(seconds(10.0)).await?;
            Err("connection timed out".to_owned())
        },
    );
    let user = call.auth.as_str();
    Ok(Answer::Data(
        json!({ "port": "5900", "ticket": "", "upid": upid, "user": user, "cert": "" }),
    ))
}
