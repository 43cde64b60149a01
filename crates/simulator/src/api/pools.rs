//! `/pools`: resource pools and their members.

use serde_json::{Map, Value, json};

use crate::access::{Pool, Principal};
use crate::api::cluster;
use crate::call::{Answer, ApiError, Call, Params, Reply, object};
use crate::route::{Kind, Param, Route, Rule, may, need};
use crate::storage;
use crate::words;
use crate::world::World;

const TYPES: &[&str] = &["qemu", "lxc", "storage"];
const ALLOCATE: Rule = Rule::All("/pool/{poolid}", &["Pool.Allocate"]);
const ID: Kind = Kind::Format(words::pool_id);

const CHANGES: &[Param] = &[
    may("comment", Kind::Text),
    may("vms", Kind::VmidList),
    may("storage", Kind::List),
    may("allow-move", Kind::Bool),
    may("delete", Kind::Bool),
];
const CHANGES_BY_QUERY: &[Param] = &[
    need("poolid", ID),
    may("comment", Kind::Text),
    may("vms", Kind::VmidList),
    may("storage", Kind::List),
    may("allow-move", Kind::Bool),
    may("delete", Kind::Bool),
];

pub(crate) const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "/pools",
        rule: Rule::User,
        params: &[
            may("poolid", ID),
            Param {
                requires: Some("poolid"),
                ..may("type", Kind::Enum(TYPES))
            },
        ],
        handler: list,
    },
    Route {
        method: "POST",
        path: "/pools",
        rule: ALLOCATE,
        params: &[need("poolid", ID), may("comment", Kind::Text)],
        handler: create,
    },
    Route {
        method: "PUT",
        path: "/pools",
        rule: ALLOCATE,
        params: CHANGES_BY_QUERY,
        handler: update,
    },
    Route {
        method: "DELETE",
        path: "/pools",
        rule: ALLOCATE,
        params: &[need("poolid", ID)],
        handler: delete,
    },
    Route {
        method: "GET",
        path: "/pools/{poolid}",
        rule: Rule::All("/pool/{poolid}", &["Pool.Audit"]),
        params: &[may("type", Kind::Enum(TYPES))],
        handler: one,
    },
    Route {
        method: "PUT",
        path: "/pools/{poolid}",
        rule: ALLOCATE,
        params: CHANGES,
        handler: update,
    },
    Route {
        method: "DELETE",
        path: "/pools/{poolid}",
        rule: ALLOCATE,
        params: &[],
        handler: delete,
    },
];

fn list(call: &Call<'_>) -> Reply {
    let world = call.sim.lock();
    let wanted = call.params.text("poolid");
    if let Some(id) = &wanted {
        // Pool.Audit is asked for and the answer thrown away: any user reads a pool that it can name
        // (pve-manager API2/Pool.pm index, 9.2).
        found(&world, id)?;
    }
    let pools = world.pools.iter().filter(|(id, _)| match &wanted {
        Some(wanted) => wanted == *id,
        None => world.has(call.auth, &format!("/pool/{id}"), "Pool.Audit"),
    });
    let row = |(id, pool): (&String, &Pool)| {
        let mut row = object(json!({ "poolid": id }));
        if let Some(comment) = &pool.comment {
            row.insert("comment".into(), comment.clone().into());
        }
        if wanted.is_some() {
            row.insert("members".into(), members(call, &world, pool));
        }
        Value::Object(row)
    };
    Ok(Answer::Data(pools.map(row).collect()))
}

fn one(call: &Call<'_>) -> Reply {
    let world = call.sim.lock();
    let pool = found(&world, &call.params.need("poolid"))?;
    let mut row = object(json!({ "members": members(call, &world, pool) }));
    if let Some(comment) = &pool.comment {
        row.insert("comment".into(), comment.clone().into());
    }
    Ok(Answer::Data(Value::Object(row)))
}

fn found<'a>(world: &'a World, id: &str) -> Result<&'a Pool, ApiError> {
    world
        .pools
        .get(id)
        .ok_or_else(|| ApiError::die(format!("pool '{id}' does not exist")))
}

fn members(call: &Call<'_>, world: &World, pool: &Pool) -> Value {
    let wanted = call.params.text("type");
    let guests = cluster::guests(world, call.sim.clock.now()).into_iter();
    let guests =
        guests.filter(|row| cluster::vmid(row).is_some_and(|vmid| pool.vms.contains(&vmid)));
    let storages = storage::rows(world).into_iter().filter(|row| {
        row.get("storage")
            .and_then(Value::as_str)
            .is_some_and(|id| pool.storages.contains(id))
    });
    let is_wanted = |row: &Map<String, Value>| {
        wanted
            .as_deref()
            .is_none_or(|wanted| row.get("type").is_some_and(|kind| kind == wanted))
    };
    guests
        .chain(storages)
        .filter(is_wanted)
        .map(Value::Object)
        .collect()
}

fn create(call: &Call<'_>) -> Reply {
    let mut world = call.sim.lock();
    let id = call.params.need("poolid");
    if world.pools.contains_key(&id) {
        return Err(ApiError::die(format!(
            "create pool failed: pool '{id}' already exists"
        )));
    }
    if let Some((parent, _)) = id.rsplit_once('/')
        && !world.pools.contains_key(parent)
    {
        return Err(ApiError::die(format!(
            "create pool failed: parent '{parent}' of pool '{id}' does not exist"
        )));
    }
    let pool = Pool {
        comment: call.params.text("comment"),
        ..Pool::default()
    };
    world.pools.insert(id, pool);
    Ok(Answer::Data(Value::Null))
}

fn delete(call: &Call<'_>) -> Reply {
    let mut world = call.sim.lock();
    let id = call.params.need("poolid");
    let failed = |text: String| ApiError::die(format!("delete pool failed: {text}"));
    let pool = world
        .pools
        .get(&id)
        .ok_or_else(|| failed(format!("pool '{id}' does not exist")))?;
    if let Some(vmid) = pool.vms.first() {
        return Err(failed(format!(
            "pool '{id}' is not empty (contains VM {vmid})"
        )));
    }
    if let Some(storage) = pool.storages.first() {
        return Err(failed(format!(
            "pool '{id}' is not empty (contains storage '{storage}')"
        )));
    }
    world.pools.remove(&id);
    world.access.acl.remove(&format!("/pool/{id}"));
    Ok(Answer::Data(Value::Null))
}

fn update(call: &Call<'_>) -> Reply {
    let mut world = call.sim.lock();
    change(&mut world, call.auth, call.params)
        .map_err(|error| ApiError::die(format!("update pools failed: {}", error.in_task())))?;
    Ok(Answer::Data(Value::Null))
}

fn change(world: &mut World, who: &Principal, params: &Params) -> Result<(), ApiError> {
    let id = params.need("poolid");
    found(world, &id)?;
    let listed = |key: &str| -> Vec<String> {
        let text = params.text(key).unwrap_or_default();
        text.split([',', ';', ' '])
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect()
    };
    for vmid in listed("vms").iter().filter_map(|vmid| vmid.parse().ok()) {
        may_move(world, who, &format!("/vms/{vmid}"), "VM.Allocate")?;
        change_guest(world, &id, vmid, params)?;
    }
    for storage in listed("storage") {
        may_move(
            world,
            who,
            &format!("/storage/{storage}"),
            "Datastore.Allocate",
        )?;
        let pool = world.pools.entry(id.clone()).or_default();
        match (params.flag("delete"), pool.storages.contains(&storage)) {
            (true, false) => {
                return Err(ApiError::die(format!(
                    "Storage '{storage}' is not a pool member"
                )));
            }
            (false, true) => {
                return Err(ApiError::die(format!(
                    "Storage '{storage}' is already a pool member"
                )));
            }
            (true, true) => pool.storages.remove(&storage),
            (false, false) => pool.storages.insert(storage),
        };
    }
    if let Some(comment) = params.text("comment") {
        world.pools.entry(id).or_default().comment = (!comment.is_empty()).then_some(comment);
    }
    Ok(())
}

fn may_move(world: &World, who: &Principal, path: &str, allocate: &str) -> Result<(), ApiError> {
    world.check_any(who, path, &["Permissions.Modify", allocate])
}

fn change_guest(world: &mut World, id: &str, vmid: u32, params: &Params) -> Result<(), ApiError> {
    let current = world.pool_of(vmid).map(str::to_owned);
    if params.flag("delete") {
        if current.as_deref() != Some(id) {
            return Err(ApiError::die(format!("VM {vmid} is not a pool member")));
        }
    } else {
        match current.as_deref() {
            Some(here) if here == id => {
                return Err(ApiError::die(format!("VM {vmid} is already a pool member")));
            }
            Some(other) if !params.flag("allow-move") => {
                let text = format!(
                    "VM {vmid} belongs already to pool '{other}' and 'allow-move' is not set"
                );
                return Err(ApiError::die(text));
            }
            _ => {}
        }
    }
    for pool in world.pools.values_mut() {
        pool.vms.remove(&vmid);
    }
    if !params.flag("delete") {
        world
            .pools
            .entry(id.to_owned())
            .or_default()
            .vms
            .insert(vmid);
    }
    Ok(())
}
