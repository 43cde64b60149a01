//! What people put on snapshots and groups: notes and protection.

use serde_json::{Value, json};

use crate::pbs::access::{AUDIT, BACKUP, MODIFY};
use crate::pbs::http::{Call, Error, Reply, Route, Rule, data};
use crate::pbs::params::{ID, Kind, NS, Param, STORE, TIME, TYPE, may, need};
use crate::pbs::store;

const SNAPSHOT: [Param; 5] = [
    need("store", STORE),
    may("ns", NS),
    need("backup-type", TYPE),
    need("backup-id", ID),
    need("backup-time", TIME),
];

pub(super) const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "/admin/datastore/{store}/notes",
        rule: Rule::User,
        params: &SNAPSHOT,
        handler: notes,
    },
    Route {
        method: "PUT",
        path: "/admin/datastore/{store}/notes",
        rule: Rule::User,
        params: &[
            need("store", STORE),
            may("ns", NS),
            need("backup-type", TYPE),
            need("backup-id", ID),
            need("backup-time", TIME),
            need("notes", Kind::Text),
        ],
        handler: set_notes,
    },
    Route {
        method: "GET",
        path: "/admin/datastore/{store}/protected",
        rule: Rule::User,
        params: &SNAPSHOT,
        handler: |call| {
            let world = call.sim.lock();
            let id = call.snapshot();
            let store = super::allowed(&world, call, &id, (AUDIT, BACKUP), false)?;
            data(json!(
                store
                    .snapshot(&id)
                    .is_some_and(|snapshot| snapshot.protected)
            ))
        },
    },
    Route {
        method: "PUT",
        path: "/admin/datastore/{store}/protected",
        rule: Rule::User,
        params: &[
            need("store", STORE),
            may("ns", NS),
            need("backup-type", TYPE),
            need("backup-id", ID),
            need("backup-time", TIME),
            need("protected", Kind::Bool),
        ],
        handler: protect,
    },
    Route {
        method: "GET",
        path: "/admin/datastore/{store}/group-notes",
        rule: Rule::User,
        params: &[
            need("store", STORE),
            may("ns", NS),
            need("backup-type", TYPE),
            need("backup-id", ID),
        ],
        handler: |call| {
            let world = call.sim.lock();
            let id = call.snapshot();
            let store = super::allowed(&world, call, &id, (AUDIT, BACKUP), false)?;
            let notes = store
                .group(&id.ns, &id.group())
                .and_then(|group| group.notes.clone());
            data(json!(notes.unwrap_or_default()))
        },
    },
    Route {
        method: "PUT",
        path: "/admin/datastore/{store}/group-notes",
        rule: Rule::User,
        params: &[
            need("store", STORE),
            may("ns", NS),
            need("backup-type", TYPE),
            need("backup-id", ID),
            need("notes", Kind::Text),
        ],
        handler: set_group_notes,
    },
];

fn notes(call: &Call<'_>) -> Reply {
    let world = call.sim.lock();
    let id = call.snapshot();
    let known = super::allowed(&world, call, &id, (AUDIT, BACKUP), false)?;
    let snapshot = known.snapshot(&id).filter(|snapshot| !snapshot.unfinished);
    let snapshot = snapshot.ok_or_else(|| Error::plain(store::unreadable(known, &id)))?;
    let notes = snapshot.unprotected.get("notes").and_then(Value::as_str);
    data(json!(notes.unwrap_or_default()))
}

fn set_notes(call: &Call<'_>) -> Reply {
    let mut world = call.sim.lock();
    let (id, text) = (call.snapshot(), json!(call.need("notes")));
    super::allowed(&world, call, &id, (MODIFY, BACKUP), true)?;
    store::update_manifest(&call.sim.state_dir, &mut world.pbs, &id, |snapshot| {
        snapshot.unprotected.insert("notes".into(), text);
    })?;
    data(Value::Null)
}

fn protect(call: &Call<'_>) -> Reply {
    let mut world = call.sim.lock();
    let id = call.snapshot();
    let known = super::allowed(&world, call, &id, (MODIFY, BACKUP), true)?;
    let path = format!("{}/{}", known.path, id.relative());
    let store = world.pbs.stores.get_mut(&id.store);
    let snapshot = store.and_then(|store| store.snapshot_mut(&id));
    let snapshot =
        snapshot.ok_or_else(|| Error::plain(format!("snapshot {} does not exist!", id.dir())))?;
    if snapshot.unfinished || snapshot.held.is_some() {
        return Err(Error::plain(super::snapshots::in_use(&path)));
    }
    snapshot.protected = call.flag("protected") == Some(true);
    data(Value::Null)
}

fn set_group_notes(call: &Call<'_>) -> Reply {
    let mut world = call.sim.lock();
    let id = call.snapshot();
    super::allowed(&world, call, &id, (MODIFY, BACKUP), true)?;
    let store = world.pbs.stores.get_mut(&id.store);
    let group = store
        .and_then(|store| store.group_mut(&id.ns, &id.group()))
        .ok_or_else(Error::missing)?;
    group.notes = Some(call.need("notes").to_owned());
    data(Value::Null)
}
