//! `/nodes`: the node, its status, its clock.

use serde_json::{Map, Value, json};

use crate::access::Principal;
use crate::api::version::{REPOID, VERSION};
use crate::call::{Answer, Call, Reply, object};
use crate::clock::Clock;
use crate::guest;
use crate::route::{Kind, Route, Rule, may, need};
use crate::sim::Sim;
use crate::world::{Statistics, World};

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
    let mut row = row(call.sim, &mut call.sim.lock(), call.auth);
    row.insert(
        "ssl_fingerprint".into(),
        call.sim.identity().fingerprint.into(),
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
pub(crate) fn row(sim: &Sim, world: &mut World, who: &Principal) -> Map<String, Value> {
    let name = world.node.name.clone();
    let mut row = Map::new();
    row.insert("id".into(), format!("node/{name}").into());
    row.insert("node".into(), name.clone().into());
    row.insert("type".into(), "node".into());
    row.insert("status".into(), "online".into());
    row.insert("level".into(), "".into());
    if world.has(who, &format!("/nodes/{name}"), "Sys.Audit") {
        let figures = statistics(world, sim.clock.now());
        row.insert("cpu".into(), 0.015_625.into());
        row.insert("maxcpu".into(), world.node.cpus.into());
        row.insert("mem".into(), figures.memory.into());
        row.insert("maxmem".into(), world.node.memory_total.into());
        row.insert("disk".into(), figures.rootfs.into());
        row.insert("maxdisk".into(), world.node.rootfs_total.into());
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
    world.storage_space("local").used
}

/// What lists show: no older than what the statistics daemon collects every ten seconds.
fn statistics(world: &mut World, now: i64) -> Statistics {
    let recent = world
        .statistics
        .filter(|figures| (0..10).contains(&(now - figures.at)));
    recent.unwrap_or_else(|| {
        let (memory, rootfs) = (memory_used(world, now), rootfs_used(world));
        let figures = Statistics {
            at: now,
            memory,
            rootfs,
        };
        world.statistics = Some(figures);
        figures
    })
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
        "boot-info": { "mode": "legacy-bios" },
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
    let now = call.sim.clock.shown();
    let timezone = call.sim.lock().node.timezone.clone();
    let offset = jiff::tz::TimeZone::get(&timezone)
        .and_then(|zone| Ok(zone.to_offset(jiff::Timestamp::from_second(now)?).seconds()))
        .unwrap_or_default();
    Ok(Answer::Data(
        json!({ "timezone": timezone, "time": now, "localtime": now + i64::from(offset) }),
    ))
}

/// Present figures for the time since the boot, none for the time before: the past is not kept.
fn rrddata(call: &Call<'_>) -> Reply {
    let step = match call.params.need("timeframe").as_str() {
        "hour" => 60,
        "day" => 60 * 30,
        "week" => 60 * 180,
        "month" => 60 * 720,
        "year" => 60 * 10_080,
        _ => 60 * 10_080 * 10,
    };
    let now = call.sim.clock.now();
    let mut world = call.sim.lock();
    let figures = statistics(&mut world, now);
    let node = &world.node;
    let present = object(json!({
        "cpu": 0.015_625, "maxcpu": node.cpus, "iowait": 0, "loadavg": 0.1, "netin": 0, "netout": 0, "arcsize": 0,
        "memtotal": node.memory_total, "memused": figures.memory,
        "memavailable": node.memory_total.saturating_sub(figures.memory),
        "swaptotal": node.swap_total, "swapused": 0, "roottotal": node.rootfs_total, "rootused": figures.rootfs,
        "pressurecpusome": 0, "pressureiosome": 0, "pressureiofull": 0, "pressurememorysome": 0,
        "pressurememoryfull": 0,
    }));
    let last = now / step;
    let rows = (last - 60..last).map(|tick| {
        let time = tick * step;
        let mut row = if time > node.boot {
            present.clone()
        } else {
            Map::new()
        };
        row.insert("time".into(), time.into());
        Value::Object(row)
    });
    Ok(Answer::Data(rows.collect()))
}
