//! Start, stop, shutdown. Unlike for containers, everything but the permission is looked at in the task.

use serde_json::json;

use crate::call::{Answer, ApiError, Call, Reply};
use crate::workers::qemu::power;

/// Only the user named root@pam may pass over locks.
pub(super) fn skip_lock(call: &Call<'_>) -> Result<bool, ApiError> {
    let skip = call.params.flag("skiplock");
    if skip && !call.auth.is_root() {
        return Err(ApiError::param(
            "skiplock",
            "Only root may use this option.",
        ));
    }
    Ok(skip)
}

/// `POST …/status/start`
pub(super) fn start(call: &Call<'_>) -> Reply {
    let (vmid, skip) = (call.params.vmid(), skip_lock(call)?);
    let upid = call.sim.start_task(
        call.auth,
        "qmstart",
        &vmid.to_string(),
        move |worker| async move { power::start(&worker, vmid, skip).await },
    );
    Ok(Answer::Data(json!(upid)))
}

/// `POST …/status/stop`
pub(super) fn stop(call: &Call<'_>) -> Reply {
    let (vmid, skip) = (call.params.vmid(), skip_lock(call)?);
    let upid = call.sim.start_task(
        call.auth,
        "qmstop",
        &vmid.to_string(),
        move |worker| async move { power::stop(&worker, vmid, skip).await },
    );
    Ok(Answer::Data(json!(upid)))
}

/// `POST …/status/shutdown`
pub(super) fn shutdown(call: &Call<'_>) -> Reply {
    let (vmid, skip) = (call.params.vmid(), skip_lock(call)?);
    let given = call.params.int("timeout");
    let timeout = given
        .and_then(|seconds| u32::try_from(seconds).ok())
        .unwrap_or(60);
    let force = call.params.flag("forceStop");
    let paused = {
        let world = call.sim.lock();
        let run = world.qemu.get(&vmid).and_then(|guest| guest.run.as_ref());
        run.is_some_and(|run| run.state == "paused")
    };
    if paused && !force {
        return Err(ApiError::die("VM is paused - cannot shutdown"));
    }
    let upid = call.sim.start_task(
        call.auth,
        "qmshutdown",
        &vmid.to_string(),
        move |worker| async move {
            power::shutdown(&worker, vmid, f64::from(timeout), force, skip).await
        },
    );
    Ok(Answer::Data(json!(upid)))
}
