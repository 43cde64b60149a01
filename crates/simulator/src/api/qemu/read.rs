//! Reading machines: list, status, and whether the guest agent answers.

use serde_json::{Value, json};

use crate::call::{Answer, ApiError, Call, Reply};

/// `GET /nodes/N/qemu`: those the caller may see.
#[expect(clippy::unnecessary_wraps, reason = "a handler")]
pub(super) fn list(call: &Call<'_>) -> Reply {
    let now = call.sim.clock.now_f64();
    let mut world = call.sim.lock();
    world.reap(now);
    let seen = |id: &&u32| world.has(call.auth, &format!("/vms/{id}"), "VM.Audit");
    let rows: Vec<Value> = world
        .qemu
        .keys()
        .filter(seen)
        .map(|&id| Value::Object(world.machine_status(id, now)))
        .collect();
    Ok(Answer::Data(Value::Array(rows)))
}

/// `GET …/status/current`
pub(super) fn current(call: &Call<'_>) -> Reply {
    let now = call.sim.clock.now_f64();
    let mut world = call.sim.lock();
    world.reap(now);
    let vmid = call.params.vmid();
    world.machine(vmid)?;
    Ok(Answer::Data(Value::Object(
        world.machine_current(vmid, now),
    )))
}

/// `POST …/agent/ping` (QemuServer/Agent.pm `assert_agent_available`): asked in this order.
pub(super) fn ping(call: &Call<'_>) -> Reply {
    let now = call.sim.clock.now_f64();
    let mut world = call.sim.lock();
    world.reap(now);
    let vmid = call.params.vmid();
    let guest = world.machine(vmid)?;
    if guest.config.current.get("agent").is_none() {
        return Err(ApiError::die("No QEMU guest agent configured"));
    }
    if guest.run.is_none() {
        return Err(ApiError::die(format!("VM {vmid} is not running")));
    }
    if !guest.agent_answers(now) {
        return Err(ApiError::die("QEMU guest agent is not running"));
    }
    Ok(Answer::Data(json!({ "result": {} })))
}
