//! Reading containers: list, status, interfaces, features.

use serde_json::{Map, Value, json};

use crate::call::{Answer, Call, Reply};
use crate::guest::{init, whole};

/// `GET /nodes/N/lxc`: those the caller may see.
#[expect(clippy::unnecessary_wraps, reason = "a handler")]
pub(super) fn list(call: &Call<'_>) -> Reply {
    let now = call.sim.clock.now_f64();
    let mut world = call.sim.lock();
    world.settle(now);
    world.reap(now);
    let seen = |id: &&u32| world.has(call.auth, &format!("/vms/{id}"), "VM.Audit");
    let rows: Vec<Value> = world
        .guests
        .lxc
        .keys()
        .filter(seen)
        .map(|&id| Value::Object(world.lxc_status(id, now)))
        .collect();
    Ok(Answer::Data(Value::Array(rows)))
}

/// `GET …/status/current`
pub(super) fn current(call: &Call<'_>) -> Reply {
    let now = call.sim.clock.now_f64();
    let mut world = call.sim.lock();
    world.settle(now);
    world.reap(now);
    let vmid = call.params.vmid();
    world.lxc(vmid)?;
    let mut row = world.lxc_status(vmid, now);
    row.insert("ha".into(), json!({ "managed": 0 }));
    Ok(Answer::Data(Value::Object(row)))
}

/// `GET …/interfaces`: nothing for a stopped container, nor for one that does not exist.
#[expect(clippy::unnecessary_wraps, reason = "a handler")]
pub(super) fn interfaces(call: &Call<'_>) -> Reply {
    let now = call.sim.clock.now_f64();
    let mut world = call.sim.lock();
    world.reap(now);
    let Some(guest) = world.guests.lxc.get(&call.params.vmid()) else {
        return Ok(Answer::Data(Value::Null));
    };
    let Some(run) = &guest.run else {
        return Ok(Answer::Data(Value::Null));
    };
    Ok(Answer::Data(init::interfaces(
        &guest.config.current,
        &run.network,
        now - run.since,
    )))
}

/// `GET …/feature`
pub(super) fn feature(call: &Call<'_>) -> Reply {
    let world = call.sim.lock();
    let vmid = call.params.vmid();
    let guest = world.lxc(vmid)?;
    let has = match call.params.need("feature").as_str() {
        "snapshot" => world.snapshot_capable(vmid),
        // A linked clone wants a template, a full one of a running container a snapshot.
        "clone" => guest.config.current.flag("template"),
        _ => world.snapshot_capable(vmid) || guest.run.is_none(),
    };
    Ok(Answer::Data(json!({ "hasFeature": u8::from(has) })))
}

/// What the statistics daemon keeps of a status row.
const STATISTICS: &[&str] = &[
    "cpu",
    "mem",
    "maxmem",
    "disk",
    "maxdisk",
    "diskread",
    "diskwrite",
    "netin",
    "netout",
];

/// `GET …/rrddata`: values for the time that the guest has run.
pub(super) fn rrd(call: &Call<'_>) -> Reply {
    let vmid = call.params.vmid();
    let world = call.sim.lock();
    let since = world.lxc(vmid)?.run.as_ref().map(|run| whole(run.since));
    let status = world.lxc_status(vmid, call.sim.clock.now_f64());
    let step = match call.params.need("timeframe").as_str() {
        "hour" => 60,
        "day" => 1800,
        "week" => 10_800,
        "month" => 43_200,
        _ => 604_800,
    };
    let last = call.sim.clock.now() / step * step;
    let row = |back: i64| {
        let time = last - back * step;
        let mut row = Map::from_iter([("time".to_owned(), json!(time))]);
        if since.is_some_and(|since| time + step >= since) {
            row.insert(
                "maxcpu".into(),
                status.get("cpus").cloned().unwrap_or_default(),
            );
            let copied = STATISTICS
                .iter()
                .filter_map(|key| Some(((*key).to_owned(), status.get(*key)?.clone())));
            row.extend(copied);
            for kind in ["cpu", "io", "memory"] {
                row.insert(format!("pressure{kind}some"), json!(0));
                row.insert(format!("pressure{kind}full"), json!(0));
            }
        }
        Value::Object(row)
    };
    Ok(Answer::Data((0..60).rev().map(row).collect()))
}

/// `GET /nodes/N/lxc/ID`: what there is below.
pub(super) fn index(call: &Call<'_>) -> Reply {
    call.sim.lock().lxc(call.params.vmid())?;
    let names = [
        "config",
        "pending",
        "status",
        "snapshot",
        "feature",
        "interfaces",
        "resize",
        "clone",
        "migrate",
    ];
    let rows: Vec<Value> = names.iter().map(|name| json!({ "subdir": name })).collect();
    Ok(Answer::Data(Value::Array(rows)))
}
