//! `/nodes`: the node, its status, its clock.

use serde_json::{Map, Value, json};

use crate::access::Principal;
use crate::api::version::{REPOID, VERSION};
use crate::call::{Answer, Call, Reply};
use crate::clock::Clock;
use crate::guest;
use crate::route::{Kind, Route, Rule, may, need};
use crate::sim::Sim;
use crate::storage;
use crate::world::World;

const KERNEL: &str = "6.12.107+deb13-cloud-amd64";
const BUILD: &str = "#1 SMP PREEMPT_DYNAMIC Debian 6.12.107-1 (2026-08-29)";
const TIMEFRAMES: &[&str] = &["hour", "day", "week", "month", "year", "decade"];
/// One part in so many of a filesystem is kept for root alone.
const RESERVED_PART: u64 = 20;

pub(crate) const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "/nodes",
        rule: Rule::User,
        params: &[],
        handler: list,
    },
    Route {
        method: "GET",
        path: "/nodes/{node}",
        rule: Rule::User,
        params: &[],
        handler: index,
    },
    Route {
        method: "GET",
        path: "/nodes/{node}/status",
        rule: Rule::All("/nodes/{node}", &["Sys.Audit"]),
        params: &[],
        handler: status,
    },
    Route {
        method: "GET",
        path: "/nodes/{node}/time",
        rule: Rule::All("/nodes/{node}", &["Sys.Audit"]),
        params: &[],
        handler: time,
    },
    Route {
        method: "GET",
        path: "/nodes/{node}/rrddata",
        rule: Rule::All("/nodes/{node}", &["Sys.Audit"]),
        params: &[
            need("timeframe", Kind::Enum(TIMEFRAMES)),
            may("cf", Kind::Enum(&["AVERAGE", "MAX"])),
        ],
        handler: rrddata,
    },
];

fn list(call: &Call<'_>) -> Reply {
    let mut row = row(call.sim, &call.sim.lock(), call.auth);
    row.insert(
        "ssl_fingerprint".into(),
        call.sim.fingerprint.clone().into(),
    );
    Ok(Answer::Data(json!([row])))
}

fn index(_: &Call<'_>) -> Reply {
    let names = [
        "disks", "lxc", "network", "qemu", "rrddata", "status", "storage", "tasks", "time",
        "version", "vzdump",
    ];
    Ok(Answer::Data(
        names
            .into_iter()
            .map(|name| json!({ "name": name }))
            .collect(),
    ))
}

/// The node as `/nodes` and `/cluster/resources` show it; figures only to those who may audit it.
pub(crate) fn row(sim: &Sim, world: &World, who: &Principal) -> Map<String, Value> {
    let node = &world.node;
    let mut row = Map::new();
    row.insert("id".into(), format!("node/{}", node.name).into());
    row.insert("node".into(), node.name.clone().into());
    row.insert("type".into(), "node".into());
    row.insert("status".into(), "online".into());
    row.insert("level".into(), "".into());
    if world.has(who, &format!("/nodes/{}", node.name), "Sys.Audit") {
        let memory = memory_used(world, sim.clock.now());
        row.insert("cpu".into(), 0.015_625.into());
        row.insert("maxcpu".into(), node.cpus.into());
        row.insert("mem".into(), memory.into());
        row.insert("maxmem".into(), node.memory_total.into());
        row.insert("disk".into(), rootfs_used(world).into());
        row.insert("maxdisk".into(), node.rootfs_total.into());
        row.insert("uptime".into(), uptime(world, &sim.clock).into());
    }
    row
}

fn uptime(world: &World, clock: &Clock) -> i64 {
    clock.now() - world.node.boot
}

/// What node and running guests use together.
fn memory_used(world: &World, now: i64) -> u64 {
    let guests = guest::rows(world, now);
    let used: u64 = guests
        .iter()
        .filter_map(|row| row.get("mem").and_then(Value::as_u64))
        .sum();
    world.node.memory_base + used
}

/// The root filesystem holds `local` and therefore the archives there.
fn rootfs_used(world: &World) -> u64 {
    let rows = storage::rows(world);
    let local = rows
        .iter()
        .find(|row| row.get("storage").is_some_and(|id| id == "local"));
    local
        .and_then(|row| row.get("disk").and_then(Value::as_u64))
        .unwrap_or(world.node.rootfs_used)
}

fn status(call: &Call<'_>) -> Reply {
    let world = call.sim.lock();
    let node = &world.node;
    let memory = memory_used(&world, call.sim.clock.now()).min(node.memory_total);
    let used = rootfs_used(&world).min(node.rootfs_total);
    let free = node.rootfs_total - used;
    let kernel =
        json!({ "sysname": "Linux", "release": KERNEL, "version": BUILD, "machine": "x86_64" });
    let cpu = json!({
        "cpus": node.cpus, "cores": node.cpus, "sockets": 1, "user_hz": 100, "model": "Intel(R) N100",
        "mhz": "2596.125", "hvm": "1", "flags": "fpu de pse tsc msr pae sse sse2 lm nx vmx aes avx2",
        "vendor": "GenuineIntel", "family": "6",
    });
    Ok(Answer::Data(json!({
        "uptime": uptime(&world, &call.sim.clock),
        "idle": 0,
        "wait": 0,
        "cpu": 0,
        "loadavg": ["0.12", "0.10", "0.08"],
        "kversion": format!("Linux {KERNEL} {BUILD}"),
        "current-kernel": kernel,
        "boot-info": { "mode": "efi", "secureboot": 0 },
        "cpuinfo": cpu,
        "ksm": { "shared": 0 },
        "memory": {
            "total": node.memory_total,
            "used": memory,
            "free": node.memory_total - memory,
            "available": node.memory_total - memory,
        },
        "swap": { "total": node.swap_total, "used": 0, "free": node.swap_total },
        "rootfs": {
            "total": node.rootfs_total,
            "used": used,
            "free": free,
            "avail": free.saturating_sub(node.rootfs_total / RESERVED_PART),
        },
        "pveversion": format!("pve-manager/{VERSION}/{REPOID}"),
    })))
}

fn time(call: &Call<'_>) -> Reply {
    let now = call.sim.clock.now();
    let timezone = call.sim.lock().node.timezone.clone();
    let offset = jiff::tz::TimeZone::get(&timezone)
        .and_then(|zone| Ok(zone.to_offset(jiff::Timestamp::from_second(now)?).seconds()))
        .unwrap_or_default();
    Ok(Answer::Data(
        json!({ "timezone": timezone, "time": now, "localtime": now + i64::from(offset) }),
    ))
}

/// Rows without figures, as a node answers whose statistics daemon has not collected any.
fn rrddata(call: &Call<'_>) -> Reply {
    let step = match call.params.need("timeframe").as_str() {
        "hour" => 60,
        "day" => 60 * 30,
        "week" => 60 * 180,
        "month" => 60 * 720,
        "year" => 60 * 10_080,
        _ => 60 * 10_080 * 10,
    };
    let last = call.sim.clock.now() / step;
    Ok(Answer::Data(
        (last - 70..last)
            .map(|tick| json!({ "time": tick * step }))
            .collect(),
    ))
}
