//! `/admin/datastore/{store}/namespace`

use serde_json::{Value, json};

use crate::pbs::access::{MODIFY, SEES_NAMESPACE, space};
use crate::pbs::http::{Call, Error, Reply, Route, Rule, data};
use crate::pbs::params::{DEPTH, Kind, NAME, NS, STORE, may, need};
use crate::pbs::{prune, store};

const PATH: &str = "/admin/datastore/{store}/namespace";

pub(super) const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: PATH,
        rule: Rule::User,
        params: &[
            need("store", STORE),
            may("parent", NS),
            may("max-depth", DEPTH),
        ],
        handler: list,
    },
    Route {
        method: "POST",
        path: PATH,
        rule: Rule::User,
        params: &[need("store", STORE), need("name", NAME), may("parent", NS)],
        handler: create,
    },
    Route {
        method: "DELETE",
        path: PATH,
        rule: Rule::User,
        params: &[
            need("store", STORE),
            need("ns", NS),
            may("delete-groups", Kind::Bool),
        ],
        handler: remove,
    },
];

fn list(call: &Call<'_>) -> Reply {
    let world = call.sim.lock();
    let (name, parent) = (call.need("store"), call.text("parent").unwrap_or_default());
    let access = &world.pbs.access;
    let sees_parent = access.has(call.auth, &space(name, parent), SEES_NAMESPACE);
    let hidden = || Error::new(403, "permission check failed");
    let known = super::store(&world, name, false);
    let store = if sees_parent || access.has_below(call.auth, &space(name, ""), SEES_NAMESPACE) {
        known?
    } else {
        known.map_err(|_| hidden())?
    };
    if !store.spaces.contains_key(parent) {
        return Err(if sees_parent {
            Error::missing()
        } else {
            hidden()
        });
    }
    let depth = call
        .int("max-depth")
        .and_then(|depth| usize::try_from(depth).ok());
    let found = store.below(parent, depth.unwrap_or(7)).into_iter();
    let found = found.filter(|ns| access.has(call.auth, &space(name, ns), SEES_NAMESPACE));
    let items: Vec<Value> = found.map(|ns| json!({ "ns": ns })).collect();
    if items.is_empty() && !sees_parent {
        return Err(hidden());
    }
    data(json!(items))
}

/// Who makes or removes a namespace must be allowed to change the one above it.
fn check(world: &crate::world::World, call: &Call<'_>, ns: &str) -> Result<(), Error> {
    if ns.is_empty() {
        return Err(Error::plain("Cannot create/delete root namespace!"));
    }
    let parent = ns.rsplit_once('/').map_or("", |(parent, _)| parent);
    super::check_space(world, call.auth, (call.need("store"), parent), MODIFY, 0)?;
    super::store(world, call.need("store"), true)?;
    Ok(())
}

fn create(call: &Call<'_>) -> Reply {
    let mut world = call.sim.lock();
    let (name, parent) = (call.need("store"), call.text("parent").unwrap_or_default());
    let ns = format!("{parent}/{}", call.need("name"));
    let ns = ns.trim_start_matches('/');
    check(&world, call, ns)?;
    let root = store::root(&call.sim.state_dir, name);
    if let Some(known) = world.pbs.stores.get_mut(name) {
        if !known.spaces.contains_key(parent) {
            let text =
                format!("cannot create new namespace, parent {parent} doesn't already exists");
            return Err(Error::plain(text));
        }
        store::make_space(known, &root, ns);
    }
    data(json!(ns))
}

fn remove(call: &Call<'_>) -> Reply {
    let mut world = call.sim.lock();
    let (name, ns) = (call.need("store"), call.ns());
    check(&world, call, ns)?;
    let Some(known) = world.pbs.stores.get_mut(name) else {
        return Err(Error::missing());
    };
    let with_groups = call.flag("delete-groups") == Some(true);
    if with_groups {
        for id in prune::groups(name, known, ns, 7, |_| true) {
            if let Some(group) = known.group_mut(&id.ns, &id.group()) {
                group.snapshots.retain(|_, snapshot| snapshot.protected);
            }
        }
        for space in known
            .spaces
            .iter_mut()
            .filter(|(one, _)| *one == ns || one.starts_with(&format!("{ns}/")))
        {
            space
                .1
                .groups
                .retain(|_, group| !group.snapshots.is_empty());
        }
    }
    let mut whole = true;
    for one in known.below(ns, 7).into_iter().rev() {
        let below = format!("{one}/");
        let empty = known
            .spaces
            .get(&one)
            .is_some_and(|space| space.groups.is_empty());
        if empty && !known.spaces.keys().any(|other| other.starts_with(&below)) {
            known.spaces.remove(&one);
        } else {
            whole = false;
        }
    }
    if whole {
        let root = store::root(&call.sim.state_dir, name);
        store::remove_dir(&root.join(crate::pbs::state::space_path(ns)));
        return data(Value::Null);
    }
    Err(Error::plain(if with_groups {
        "group only partially deleted due to protected snapshots"
    } else {
        "only partially deleted due to existing groups but `delete-groups` not true "
    }))
}
