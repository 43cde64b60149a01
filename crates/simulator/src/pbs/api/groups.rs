//! Groups: lists, removal, pruning, owners.

use serde_json::{Map, Value, json};

use crate::pbs::access::{AUDIT, BACKUP, MODIFY, PRUNE, check_owner, space};
use crate::pbs::http::{Call, Error, Reply, Route, Rule, data};
use crate::pbs::params::{AUTH, DEPTH, ID, KEEP, Kind, NS, Param, STORE, TYPE, may, need};
use crate::pbs::prune::{self, Keep, Mark, Sweep};
use crate::pbs::state::{Group, SnapshotId};
use crate::pbs::store;

const GROUP: [Param; 4] = [
    need("store", STORE),
    may("ns", NS),
    need("backup-type", TYPE),
    need("backup-id", ID),
];

pub(super) const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "/admin/datastore/{store}/groups",
        rule: Rule::User,
        params: &[need("store", STORE), may("ns", NS)],
        handler: list,
    },
    Route {
        method: "DELETE",
        path: "/admin/datastore/{store}/groups",
        rule: Rule::User,
        params: &GROUP,
        handler: remove,
    },
    Route {
        method: "POST",
        path: "/admin/datastore/{store}/prune",
        rule: Rule::User,
        params: &[
            need("store", STORE),
            may("ns", NS),
            need("backup-type", TYPE),
            need("backup-id", ID),
            may("dry-run", Kind::Bool),
            may("use-task", Kind::Bool),
            may("keep-last", KEEP),
            may("keep-hourly", KEEP),
            may("keep-daily", KEEP),
            may("keep-weekly", KEEP),
            may("keep-monthly", KEEP),
            may("keep-yearly", KEEP),
        ],
        handler: prune_group,
    },
    Route {
        method: "POST",
        path: "/admin/datastore/{store}/prune-datastore",
        rule: Rule::User,
        params: &[
            need("store", STORE),
            may("ns", NS),
            may("max-depth", DEPTH),
            may("dry-run", Kind::Bool),
            may("keep-last", KEEP),
            may("keep-hourly", KEEP),
            may("keep-daily", KEEP),
            may("keep-weekly", KEEP),
            may("keep-monthly", KEEP),
            may("keep-yearly", KEEP),
        ],
        handler: prune_store,
    },
    Route {
        method: "POST",
        path: "/admin/datastore/{store}/change-owner",
        rule: Rule::User,
        params: &[
            need("store", STORE),
            may("ns", NS),
            need("backup-type", TYPE),
            need("backup-id", ID),
            need("new-owner", AUTH),
        ],
        handler: change_owner,
    },
];

fn item(key: &str, group: &Group) -> Option<Value> {
    let (kind, id) = key.split_once('/')?;
    let (last, newest) = group.snapshots.last_key_value()?;
    let mut item = Map::new();
    item.insert("backup-type".into(), json!(kind));
    item.insert("backup-id".into(), json!(id));
    item.insert("backup-count".into(), json!(group.snapshots.len()));
    item.insert("last-backup".into(), json!(last));
    item.insert("files".into(), json!(newest.names()));
    item.insert("owner".into(), json!(group.owner));
    if let Some(notes) = &group.notes {
        item.insert(
            "comment".into(),
            json!(notes.lines().next().unwrap_or_default()),
        );
    }
    Some(Value::Object(item))
}

fn list(call: &Call<'_>) -> Reply {
    let world = call.sim.lock();
    let (name, ns) = (call.need("store"), call.ns());
    let limited = super::check_space(&world, call.auth, (name, ns), AUDIT, BACKUP)?;
    let store = super::store(&world, name, false)?;
    let groups = &store.spaces.get(ns).ok_or_else(Error::missing)?.groups;
    let groups = groups
        .iter()
        .filter(|(_, group)| !limited || check_owner(&group.owner, call.auth).is_ok());
    let mut items: Vec<Value> = groups.filter_map(|(key, group)| item(key, group)).collect();
    call.sim.pbs.shuffle(&mut items);
    data(json!(items))
}

fn remove(call: &Call<'_>) -> Reply {
    let mut world = call.sim.lock();
    let id = call.snapshot();
    let known = super::allowed(&world, call, &id, (MODIFY, PRUNE), true)?;
    let path = super::group_path(known, &id);
    let Some(group) = known.group(&id.ns, &id.group()) else {
        let text = "for locking - ENOENT: No such file or directory";
        return Err(Error::plain(format!(
            "unable to open backup group directory \"{path}\" {text}"
        )));
    };
    if group.snapshots.values().any(|snapshot| snapshot.unfinished) {
        let text = "possibly running backup - EWOULDBLOCK: Operation would block";
        return Err(Error::plain(format!(
            "unable to acquire lock on backup group directory \"{path}\" - {text}"
        )));
    }
    let free = group
        .snapshots
        .iter()
        .filter(|(_, snapshot)| !snapshot.protected);
    let times: Vec<i64> = free.map(|(time, _)| *time).collect();
    let whole = times.len() == group.snapshots.len();
    for time in times {
        let id = SnapshotId { time, ..id.clone() };
        store::remove_snapshot(&call.sim.state_dir, &mut world.pbs, &id);
    }
    if !whole {
        return Err(Error::plain(
            "group only partially deleted due to protected snapshots",
        ));
    }
    let space = world
        .pbs
        .stores
        .get_mut(&id.store)
        .and_then(|store| store.spaces.get_mut(&id.ns));
    if let Some(space) = space {
        space.groups.remove(&id.group());
    }
    let root = store::root(&call.sim.state_dir, &id.store);
    let ns = crate::pbs::state::space_path(&id.ns);
    store::remove_dir(&root.join(format!("{ns}{}", id.group())));
    data(Value::Null)
}

fn results(id: &SnapshotId, marks: &[(i64, Mark)], keep: &Keep) -> Value {
    let results = marks.iter().map(|(time, mark)| {
        let mut item = Map::new();
        item.insert("backup-type".into(), json!(id.kind));
        item.insert("backup-id".into(), json!(id.id));
        item.insert("backup-time".into(), json!(time));
        item.insert(
            "keep".into(),
            json!(keep.keeps_all() || *mark != Mark::Remove),
        );
        item.insert("protected".into(), json!(*mark == Mark::Protected));
        if !id.ns.is_empty() {
            item.insert("ns".into(), json!(id.ns));
        }
        Value::Object(item)
    });
    results.collect()
}

fn prune_group(call: &Call<'_>) -> Reply {
    let (id, keep) = (call.snapshot(), Keep::of(call.params));
    {
        let world = call.sim.lock();
        let store = super::allowed(&world, call, &id, (MODIFY, PRUNE), true)?;
        let group = super::group(store, &id)?;
        if call.flag("dry-run") == Some(true) {
            let mut marks = prune::marks(group, &keep);
            marks.reverse();
            return data(results(&id, &marks, &keep));
        }
    }
    if call.flag("use-task") == Some(true) {
        let (auth, name) = (
            call.auth.to_owned(),
            format!("{}:{}:{}", id.store, id.ns, id.group()),
        );
        let upid = call
            .sim
            .pbs_task(call.auth, "prune", &name, move |worker| async move {
                let _marks = prune::group(&worker.sim, &auth, &id, &keep);
                Ok(())
            });
        return data(json!(upid));
    }
    let marks = prune::group(call.sim, call.auth, &id, &keep);
    data(results(&id, &marks, &keep))
}

fn prune_store(call: &Call<'_>) -> Reply {
    let (name, ns) = (call.need("store"), call.ns());
    {
        let world = call.sim.lock();
        world
            .pbs
            .access
            .require(call.auth, &space(name, ns), MODIFY | PRUNE, true)?;
        super::store(&world, name, true)?;
    }
    let sweep = Sweep {
        store: name.to_owned(),
        ns: ns.to_owned(),
        depth: call
            .int("max-depth")
            .and_then(|depth| usize::try_from(depth).ok()),
        keep: Keep::of(call.params),
        dry: call.flag("dry-run") == Some(true),
        auth: call.auth.to_owned(),
    };
    let upid = call.sim.pbs_task(
        call.auth,
        "prune",
        &format!("{name}:{ns}"),
        move |worker| async move { prune::sweep(&worker, &sweep).await },
    );
    data(json!(upid))
}

/// Whether somebody without rights on the whole may hand a group on: from a user to their token, and back.
fn may_hand_on(owner: &str, new: &str, auth: &str) -> bool {
    let user = |id: &str| id.split('!').next().unwrap_or_default().to_owned();
    match (owner.contains('!'), new.contains('!')) {
        (true, true) => user(owner) == user(new) && user(owner) == auth,
        (true, false) => user(owner) == auth && new == auth,
        (false, true) => owner == auth && user(new) == auth,
        (false, false) => false,
    }
}

fn change_owner(call: &Call<'_>) -> Reply {
    let now = call.sim.pbs_now();
    let mut world = call.sim.lock();
    let (id, new) = (call.snapshot(), call.need("new-owner"));
    let limited = super::check_space(&world, call.auth, (&id.store, &id.ns), MODIFY, BACKUP)?;
    let owner = super::group(super::store(&world, &id.store, true)?, &id)?
        .owner
        .clone();
    if limited && !may_hand_on(&owner, new, call.auth) {
        let text = "does not have permission to change owner of backup group";
        return Err(Error::new(
            401,
            format!("{} {text} '{}' to {new}", call.auth, id.group()),
        ));
    }
    if !world.pbs.access.is_alive(new, now) {
        let what = if new.contains('!') {
            "API token"
        } else {
            "user"
        };
        return Err(Error::plain(format!(
            "{what} '{new}' is inactive or non-existent"
        )));
    }
    let store = world.pbs.stores.get_mut(&id.store);
    if let Some(group) = store.and_then(|store| store.group_mut(&id.ns, &id.group())) {
        new.clone_into(&mut group.owner);
    }
    data(Value::Null)
}
