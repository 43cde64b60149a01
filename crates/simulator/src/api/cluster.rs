//! `/cluster`: resources of a cluster of one node.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::access::Principal;
use crate::api::nodes;
use crate::call::{Answer, ApiError, Call, Reply, object};
use crate::guest;
use crate::route::{Kind, Route, Rule, may};
use crate::storage;
use crate::world::World;

const AUDIT: Rule = Rule::All("/", &["Sys.Audit"]);
/// The datacenter's default range for new guests.
const FIRST_ID: u32 = 100;
const END_OF_IDS: u32 = 1_000_000;

pub(crate) const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "/cluster/resources",
        rule: Rule::User,
        params: &[may("type", Kind::Enum(&["vm", "storage", "node", "sdn"]))],
        handler: resources,
    },
    Route {
        method: "GET",
        path: "/cluster/status",
        rule: AUDIT,
        params: &[],
        handler: status,
    },
    Route {
        method: "GET",
        path: "/cluster/nextid",
        rule: Rule::User,
        params: &[may("vmid", Kind::Vmid)],
        handler: nextid,
    },
    Route {
        method: "GET",
        path: "/cluster/options",
        rule: Rule::User,
        params: &[],
        handler: options,
    },
    Route {
        method: "GET",
        path: "/cluster/ha/resources",
        rule: AUDIT,
        params: &[may("type", Kind::Enum(&["ct", "vm"]))],
        handler: ha_resources,
    },
    Route {
        method: "GET",
        path: "/cluster/backup-info",
        rule: Rule::RootOnly,
        params: &[],
        handler: backup_info,
    },
    Route {
        method: "GET",
        path: "/cluster/backup-info/not-backed-up",
        rule: AUDIT,
        params: &[],
        handler: not_backed_up,
    },
];

/// All guests, of both kinds, as `/cluster/resources` shows them.
pub(crate) fn guests(world: &World, now: i64) -> Vec<Map<String, Value>> {
    let mut rows = crate::qemu::rows(world, now);
    rows.extend(guest::rows(world, now));
    for row in &mut rows {
        let pool = vmid(row).and_then(|vmid| world.pool_of(vmid));
        if let Some(pool) = pool {
            row.insert("pool".into(), pool.into());
        }
    }
    rows
}

pub(crate) fn vmid(row: &Map<String, Value>) -> Option<u32> {
    row.get("vmid")
        .and_then(Value::as_u64)
        .and_then(|vmid| u32::try_from(vmid).ok())
}

fn resources(call: &Call<'_>) -> Reply {
    let mut world = call.sim.lock();
    let now = call.sim.clock.now_f64();
    world.settle(now);
    world.reap(now);
    let wanted = call.params.text("type");
    let wants = |kind: &str| wanted.as_deref().is_none_or(|wanted| wanted == kind);
    let mut rows = Vec::new();
    if wants("vm") {
        let may_see = |row: &Map<String, Value>| {
            vmid(row).is_some_and(|vmid| world.has(call.auth, &format!("/vms/{vmid}"), "VM.Audit"))
        };
        rows.extend(
            guests(&world, call.sim.clock.now())
                .into_iter()
                .filter(may_see),
        );
    }
    if wants("node") {
        let mut row = nodes::row(call.sim, &mut world, call.auth);
        row.insert("cgroup-mode".into(), 2.into());
        rows.push(row);
    }
    if wants("storage") {
        rows.extend(storage::rows(&world).into_iter().filter(|row| {
            let id = row
                .get("storage")
                .and_then(Value::as_str)
                .unwrap_or_default();
            world.has(call.auth, &format!("/storage/{id}"), "Datastore.Audit")
        }));
    }
    if wants("sdn") {
        rows.extend(zone(&world, call.auth));
    }
    if wanted.is_none() {
        let pools = world
            .pools
            .keys()
            .filter(|pool| world.has(call.auth, &format!("/pool/{pool}"), "Pool.Audit"));
        rows.extend(pools.map(|pool| {
            object(json!({ "id": format!("/pool/{pool}"), "pool": pool, "type": "pool" }))
        }));
    }
    Ok(Answer::Data(rows.into_iter().map(Value::Object).collect()))
}

/// The zone of the plain Linux bridges.
fn zone(world: &World, who: &Principal) -> Option<Map<String, Value>> {
    let node = &world.node.name;
    let row = object(json!({
        "id": format!("network/{node}/zone/localnetwork"), "type": "network", "network-type": "zone",
        "network": "localnetwork", "node": node, "status": "ok",
    }));
    world
        .has(who, "/sdn/zones/localnetwork", "SDN.Audit")
        .then_some(row)
}

fn status(call: &Call<'_>) -> Reply {
    let world = call.sim.lock();
    let node = &world.node;
    Ok(Answer::Data(json!([{
        "id": format!("node/{}", node.name), "type": "node", "name": node.name, "nodeid": 0, "ip": node.address,
        "local": 1, "online": 1, "level": "",
    }])))
}

fn taken(world: &World, now: i64) -> BTreeSet<u32> {
    guests(world, now).iter().filter_map(vmid).collect()
}

fn nextid(call: &Call<'_>) -> Reply {
    let taken = taken(&call.sim.lock(), call.sim.clock.now());
    let id = if call.params.has("vmid") {
        let wanted = call.params.vmid();
        if taken.contains(&wanted) {
            return Err(ApiError::param(
                "vmid",
                format!("VM {wanted} already exists"),
            ));
        }
        wanted
    } else {
        let free = (FIRST_ID..END_OF_IDS).find(|id| !taken.contains(id));
        free.ok_or_else(|| ApiError::die("unable to get any free VMID in range [100, 1000000]"))?
    };
    Ok(Answer::Data(id.to_string().into()))
}

fn options(call: &Call<'_>) -> Reply {
    let mut options = object(json!({ "allowed-tags": [] }));
    if call.sim.lock().has(call.auth, "/", "Sys.Audit") {
        options.insert("description".into(), "".into());
        options.insert("mac_prefix".into(), "BC:24:11".into());
    }
    Ok(Answer::Data(Value::Object(options)))
}

/// HA resources: this node has none.
fn ha_resources(_: &Call<'_>) -> Reply {
    Ok(Answer::Data(json!([])))
}

fn backup_info(_: &Call<'_>) -> Reply {
    Ok(Answer::Data(json!([{ "subdir": "not-backed-up" }])))
}

/// Guests that no enabled job names.
fn not_backed_up(call: &Call<'_>) -> Reply {
    let world = call.sim.lock();
    let is_named = |vmid: u32| {
        world
            .jobs
            .values()
            .filter(|job| job.get("enabled") != Some(&json!(0)))
            .any(|job| {
                let names = |key: &str| {
                    let list = job.get(key).and_then(Value::as_str).unwrap_or_default();
                    list.split(',').any(|id| id.trim().parse() == Ok(vmid))
                };
                let pool = job.get("pool").and_then(Value::as_str);
                let is_all = job.get("all") == Some(&json!(1)) && !names("exclude");
                is_all || names("vmid") || (pool.is_some() && pool == world.pool_of(vmid))
            })
    };
    let rows = guests(&world, call.sim.clock.now()).into_iter().filter_map(|row| {
        let is_covered = vmid(&row).is_some_and(is_named);
        (!is_covered).then_some(())?;
        Some(json!({ "vmid": row.get("vmid")?, "type": row.get("type")?, "name": row.get("name")? }))
    });
    Ok(Answer::Data(rows.collect()))
}
