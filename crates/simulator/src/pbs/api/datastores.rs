//! `/admin/datastore` and `/status/datastore-usage`: which datastores there are, and how full they are.

use serde_json::{Map, Value, json};

use crate::pbs::access::{AUDIT, BACKUP, MODIFY, READ, SEES_NAMESPACE, check_owner, space};
use crate::pbs::gc;
use crate::pbs::http::{Call, Error, Reply, Route, Rule, data};
use crate::pbs::params::{Kind, STORE, may, need};
use crate::pbs::state::{Gc, Store};
use crate::world::World;

const SUBDIRS: [&str; 20] = [
    "active-operations",
    "catalog",
    "change-owner",
    "download",
    "download-decoded",
    "files",
    "gc",
    "group-notes",
    "groups",
    "namespace",
    "notes",
    "protected",
    "prune",
    "prune-datastore",
    "pxar-file-download",
    "rrd",
    "snapshots",
    "status",
    "upload-backup-log",
    "verify",
];
const OWN: &str = "/datastore/{store}";

pub(super) const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "/admin/datastore",
        rule: Rule::User,
        params: &[],
        handler: list,
    },
    Route {
        method: "GET",
        path: "/admin/datastore/{store}",
        rule: Rule::User,
        params: &[need("store", STORE)],
        handler: |_| data(json!(SUBDIRS.map(|name| json!({ "subdir": name })))),
    },
    Route {
        method: "GET",
        path: "/admin/datastore/{store}/status",
        rule: Rule::User,
        params: &[need("store", STORE), may("verbose", Kind::Bool)],
        handler: status,
    },
    Route {
        method: "GET",
        path: "/status/datastore-usage",
        rule: Rule::User,
        params: &[],
        handler: usage,
    },
    Route {
        method: "GET",
        path: "/admin/datastore/{store}/active-operations",
        rule: Rule::Rights(OWN, AUDIT, true),
        params: &[need("store", STORE)],
        handler: |_| data(json!({ "read": 0, "write": 0 })),
    },
    Route {
        method: "GET",
        path: "/admin/datastore/{store}/rrd",
        rule: Rule::Rights(OWN, AUDIT | BACKUP, true),
        params: &[
            need("store", STORE),
            need(
                "timeframe",
                Kind::Enum(&["hour", "day", "week", "month", "year", "decade"]),
            ),
            need("cf", Kind::Enum(&["MAX", "AVERAGE"])),
        ],
        handler: rrd,
    },
    Route {
        method: "GET",
        path: "/admin/datastore/{store}/gc",
        rule: Rule::Rights(OWN, AUDIT, false),
        params: &[need("store", STORE)],
        handler: |call| {
            let world = call.sim.lock();
            let name = call.need("store");
            data(gc_item(name, super::store(&world, name, false)?))
        },
    },
    Route {
        method: "POST",
        path: "/admin/datastore/{store}/gc",
        rule: Rule::Rights(OWN, MODIFY, false),
        params: &[need("store", STORE)],
        handler: collect,
    },
    Route {
        method: "GET",
        path: "/admin/gc",
        rule: Rule::User,
        params: &[may("store", STORE)],
        handler: |call| {
            let world = call.sim.lock();
            let stores = world.pbs.stores.iter();
            let items = stores
                .filter(|(name, _)| call.text("store").is_none_or(|wanted| wanted == *name))
                .filter(|(name, _)| {
                    world
                        .pbs
                        .access
                        .has(call.auth, &space(name, ""), AUDIT | MODIFY)
                })
                .map(|(name, store)| gc_item(name, store));
            data(items.collect())
        },
    },
];

fn list(call: &Call<'_>) -> Reply {
    let world = call.sim.lock();
    let access = &world.pbs.access;
    let mut items = Vec::new();
    for (name, store) in &world.pbs.stores {
        let path = space(name, "");
        let sees = access.has(call.auth, &path, AUDIT | BACKUP);
        if sees || access.has_below(call.auth, &path, SEES_NAMESPACE) {
            let comment = store.comment.as_ref().filter(|_| sees);
            let mut item = json!({ "store": name, "comment": comment });
            if let (Some(mode), Some(fields)) = (&store.maintenance, item.as_object_mut()) {
                fields.insert("maintenance".into(), json!(mode));
            }
            items.push(item);
        }
    }
    call.sim.pbs.shuffle(&mut items);
    data(json!(items))
}

/// The last collection of garbage, without whose it was.
pub(super) fn gc_status(gc: &Gc) -> Value {
    json!(gc)
}

fn gc_item(name: &str, store: &Store) -> Value {
    let mut item = gc_status(&store.gc);
    if let Some(fields) = item.as_object_mut() {
        fields.insert("store".into(), json!(name));
        if let Some(schedule) = &store.gc_schedule {
            fields.insert("schedule".into(), json!(schedule));
        }
    }
    item
}

/// How many groups and snapshots of each type somebody may see.
fn counts(world: &World, auth: &str, name: &str, store: &Store, all: bool) -> Value {
    let mut counts = Map::new();
    for kind in ["ct", "host", "vm"] {
        let (mut groups, mut snapshots) = (0_usize, 0_usize);
        for (ns, known) in &store.spaces {
            let sees = all || world.pbs.access.has(auth, &space(name, ns), AUDIT | READ);
            let of_kind = known
                .groups
                .iter()
                .filter(|(key, _)| key.split('/').next() == Some(kind));
            for (_, group) in of_kind {
                let counts = !group.snapshots.is_empty()
                    && (sees || check_owner(&group.owner, auth).is_ok());
                groups += usize::from(counts);
                snapshots += if counts { group.snapshots.len() } else { 0 };
            }
        }
        let count = json!({ "groups": groups, "snapshots": snapshots });
        counts.insert(kind.into(), if groups > 0 { count } else { Value::Null });
    }
    counts.insert("other".into(), Value::Null);
    Value::Object(counts)
}

fn status(call: &Call<'_>) -> Reply {
    let world = call.sim.lock();
    let (name, access) = (call.need("store"), &world.pbs.access);
    let path = space(name, "");
    let full = access.has(call.auth, &path, AUDIT | BACKUP);
    let sees = full
        || access.has(call.auth, &path, READ)
        || access.has_below(call.auth, &path, SEES_NAMESPACE);
    if !sees {
        return Err(Error::new(403, "permission check failed"));
    }
    let store = super::store(&world, name, false)?;
    let mut item = if full {
        let used = store.used();
        json!({ "total": store.total, "used": used, "avail": store.total.saturating_sub(used) })
    } else {
        json!({ "total": 0, "used": 0, "avail": 0 })
    };
    if let (Some(true), Some(fields)) = (call.flag("verbose"), item.as_object_mut()) {
        let all = access.has(call.auth, &path, AUDIT);
        fields.insert("counts".into(), counts(&world, call.auth, name, store, all));
        if full {
            fields.insert("gc-status".into(), gc_status(&store.gc));
        }
    }
    data(item)
}

fn usage(call: &Call<'_>) -> Reply {
    let now = call.sim.pbs_now();
    let world = call.sim.lock();
    let access = &world.pbs.access;
    let mut items = Vec::new();
    for (name, store) in &world.pbs.stores {
        let path = space(name, "");
        if !access.has(call.auth, &path, AUDIT | BACKUP) {
            if access.has_below(call.auth, &path, SEES_NAMESPACE) {
                items.push(json!({ "store": name }));
            }
            continue;
        }
        if let Err(text) = store.available(name, false) {
            items.push(json!({ "store": name, "error": text }));
            continue;
        }
        let used = store.used();
        items.push(json!({
            "store": name, "total": store.total, "used": used, "avail": store.total.saturating_sub(used),
            "gc-status": gc_status(&store.gc), "history": vec![Value::Null; 1440],
            "history-start": now - 1440 * 1800, "history-delta": 1800,
        }));
    }
    call.sim.pbs.shuffle(&mut items);
    data(json!(items))
}

fn rrd(call: &Call<'_>) -> Reply {
    let now = call.sim.pbs_now();
    let world = call.sim.lock();
    let store = super::store(&world, call.need("store"), false)?;
    let used = store.used();
    let steps = (0..=60_i64).map(|step| {
        let time = now - (60 - step) * 60;
        if step < 50 {
            return json!({ "time": time });
        }
        json!({
            "time": time, "total": store.total, "used": used, "available": store.total.saturating_sub(used),
            "io_ticks": 0.1, "read_bytes": 1e6, "read_ios": 10.0, "write_bytes": 1e6, "write_ios": 10.0,
        })
    });
    data(steps.collect())
}

fn collect(call: &Call<'_>) -> Reply {
    let name = call.need("store").to_owned();
    {
        let world = call.sim.lock();
        super::store(&world, &name, true)?;
        let mut tasks = world.pbs.tasks.iter();
        if tasks.any(|task| task.running && task.kind == "garbage_collection" && task.id == name) {
            return Err(Error::plain("garbage collection already running"));
        }
    }
    let store = name.clone();
    let upid = call.sim.pbs_task(
        call.auth,
        "garbage_collection",
        &name,
        move |worker| async move { gc::run(&worker, &store).await },
    );
    data(json!(upid))
}
