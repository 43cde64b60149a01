//! Snapshots: lists, files, removal, verification.

use serde::Serialize;
use serde_json::{Value, json};

use crate::pbs::access::{AUDIT, BACKUP, MODIFY, PRUNE, READ, VERIFY, check_owner};
use crate::pbs::http::{Answer, Call, Error, Reply, Route, Rule, data};
use crate::pbs::params::{DEPTH, ID, Kind, NS, Param, STORE, TIME, TYPE, may, need};
use crate::pbs::state::{Group, Listed, Snapshot, SnapshotId, Space};
use crate::pbs::store;
use crate::pbs::verify::{self, Filter, Scope};

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
        path: "/admin/datastore/{store}/snapshots",
        rule: Rule::User,
        params: &[
            need("store", STORE),
            may("ns", NS),
            may("backup-type", TYPE),
            may("backup-id", ID),
        ],
        handler: list,
    },
    Route {
        method: "DELETE",
        path: "/admin/datastore/{store}/snapshots",
        rule: Rule::User,
        params: &SNAPSHOT,
        handler: remove,
    },
    Route {
        method: "GET",
        path: "/admin/datastore/{store}/files",
        rule: Rule::User,
        params: &SNAPSHOT,
        handler: |call| {
            let world = call.sim.lock();
            let id = call.snapshot();
            let store = super::allowed(&world, call, &id, (AUDIT | READ, BACKUP), false)?;
            let snapshot = store.snapshot(&id).ok_or_else(Error::missing)?;
            if snapshot.unfinished {
                return Err(Error::plain(store::unreadable(store, &id)));
            }
            data(json!(snapshot.contents()))
        },
    },
    Route {
        method: "POST",
        path: "/admin/datastore/{store}/verify",
        rule: Rule::User,
        params: &[
            need("store", STORE),
            may("ns", NS),
            may("backup-type", TYPE),
            may("backup-id", ID),
            may("backup-time", TIME),
            may("ignore-verified", Kind::Bool),
            may("outdated-after", Kind::Int(0, i64::MAX)),
            may("max-depth", DEPTH),
        ],
        handler: start_verify,
    },
];

/// A line of the list. It is long: a hundred thousand of them are written without a detour.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Item<'a> {
    backup_type: &'a str,
    backup_id: &'a str,
    backup_time: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verification: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fingerprint: Option<&'a str>,
    files: Vec<Listed<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    owner: &'a str,
    protected: bool,
}

fn item<'a>(key: &'a str, time: i64, group: &'a Group, snapshot: &'a Snapshot) -> Item<'a> {
    let (backup_type, backup_id) = key.split_once('/').unwrap_or_default();
    let notes = snapshot.unprotected.get("notes").and_then(Value::as_str);
    Item {
        backup_type,
        backup_id,
        backup_time: time,
        comment: notes.and_then(|notes| notes.lines().next()),
        verification: snapshot.unprotected.get("verify_state"),
        fingerprint: snapshot.fingerprint(),
        files: snapshot.contents(),
        size: (!snapshot.unfinished).then(|| snapshot.size()),
        owner: &group.owner,
        protected: snapshot.protected,
    }
}

/// The groups that type and id select. A type without a directory fails, a group without one does not.
fn selected<'a>(
    space: &'a Space,
    kind: Option<&str>,
    id: Option<&str>,
) -> Result<Vec<(&'a String, &'a Group)>, Error> {
    if let (Some(kind), None) = (kind, id)
        && !space.types.contains(kind)
    {
        return Err(Error::missing());
    }
    let fits = |key: &str| {
        let (one, other) = key.split_once('/').unwrap_or_default();
        kind.is_none_or(|kind| kind == one) && id.is_none_or(|id| id == other)
    };
    Ok(space.groups.iter().filter(|(key, _)| fits(key)).collect())
}

fn list(call: &Call<'_>) -> Reply {
    let world = call.sim.lock();
    let (name, ns) = (call.need("store"), call.ns());
    let limited = super::check_space(&world, call.auth, (name, ns), AUDIT, BACKUP)?;
    let store = super::store(&world, name, false)?;
    let (kind, id) = (call.text("backup-type"), call.text("backup-id"));
    let Some(space) = store.spaces.get(ns) else {
        // A group by its whole name is not looked for below a directory that would have to be there.
        return if kind.is_some() && id.is_some() {
            data(json!([]))
        } else {
            Err(Error::missing())
        };
    };
    let mut items = Vec::new();
    let mut groups = selected(space, kind, id)?;
    call.sim.pbs.shuffle(&mut groups);
    for (key, group) in groups {
        if limited && check_owner(&group.owner, call.auth).is_err() {
            continue;
        }
        let mut snapshots: Vec<(&i64, &Snapshot)> = group.snapshots.iter().collect();
        call.sim.pbs.shuffle(&mut snapshots);
        items.extend(
            snapshots
                .into_iter()
                .map(|(time, one)| item(key, *time, group, one)),
        );
    }
    let text = serde_json::to_string(&items).map_err(|error| Error::plain(error.to_string()))?;
    Ok(Answer::Text(text))
}

fn remove(call: &Call<'_>) -> Reply {
    let mut world = call.sim.lock();
    let id = call.snapshot();
    let known = super::allowed(&world, call, &id, (MODIFY, PRUNE), true)?;
    let path = format!("{}/{}", known.path, id.relative());
    let Some(snapshot) = known.snapshot(&id) else {
        let text = "for locking - ENOENT: No such file or directory";
        return Err(Error::plain(format!(
            "unable to open snapshot directory \"{path}\" {text}"
        )));
    };
    if snapshot.unfinished || snapshot.held.is_some() {
        return Err(Error::plain(in_use(&path)));
    }
    if snapshot.protected {
        return Err(Error::plain("cannot remove protected snapshot"));
    }
    store::remove_snapshot(&call.sim.state_dir, &mut world.pbs, &id);
    data(Value::Null)
}

/// Somebody has the snapshot locked.
pub(super) fn in_use(path: &str) -> String {
    let text = "possibly running or in use - EWOULDBLOCK: Operation would block";
    format!("unable to acquire lock on snapshot directory \"{path}\" - {text}")
}

/// What is to be verified: type and id of the task, and the scope.
fn scope(
    call: &Call<'_>,
    id: SnapshotId,
    limited: bool,
) -> Result<(&'static str, String, Scope), Error> {
    let space = crate::pbs::state::space_path(&id.ns);
    let (place, space) = (
        format!("{}:", id.store),
        space.trim_end_matches('/').to_owned(),
    );
    let given = (
        call.text("backup-type"),
        call.text("backup-id"),
        call.int("backup-time"),
    );
    match given {
        (Some(_), Some(_), Some(time)) => {
            let name = format!("{place}{space}/{}/{time:08X}", id.group());
            Ok(("verify_snapshot", name, Scope::Snapshot(id)))
        }
        (Some(_), Some(_), None) => {
            let name = format!("{place}{space}/{}", id.group());
            Ok(("verify_group", name, Scope::Group(id)))
        }
        (None, None, None) => {
            let depth = call
                .int("max-depth")
                .and_then(|depth| usize::try_from(depth).ok());
            let name = if id.ns.is_empty() {
                id.store.clone()
            } else {
                format!("{place}{space}")
            };
            let scope = Scope::Store {
                store: id.store,
                ns: id.ns,
                depth: depth.unwrap_or(7),
                owner: limited.then(|| call.auth.to_owned()),
            };
            Ok(("verify", name, scope))
        }
        _ => Err(Error::plain(
            "parameters do not specify a backup group or snapshot",
        )),
    }
}

fn start_verify(call: &Call<'_>) -> Reply {
    let id = call.snapshot();
    let (worker, worker_id, scope) = {
        let world = call.sim.lock();
        let limited = super::check_space(&world, call.auth, (&id.store, &id.ns), VERIFY, BACKUP)?;
        let store = super::store(&world, &id.store, false)?;
        let named = call.text("backup-type").is_some() && call.text("backup-id").is_some();
        if limited && named {
            check_owner(super::owner(store, &id)?, call.auth)?;
        }
        scope(call, id, limited)?
    };
    let filter = Filter {
        ignore_verified: call.flag("ignore-verified").unwrap_or(true),
        outdated_after: call.int("outdated-after"),
    };
    let upid = call
        .sim
        .pbs_task(call.auth, worker, &worker_id, move |worker| async move {
            verify::run(&worker, scope, filter).await
        });
    data(json!(upid))
}
