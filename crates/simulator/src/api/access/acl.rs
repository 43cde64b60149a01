//! `/access/acl`: who holds which role where.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::access::{Granted, Principal, Privileges, Subject, is_acl_path, normalized};
use crate::api::access::{check_token_exists, split_list};
use crate::call::{Answer, ApiError, Call, Reply};
use crate::route::{Kind, Route, Rule, may, need};
use crate::world::World;

pub(crate) const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "/access/acl",
        rule: Rule::User,
        params: &[],
        handler: list,
    },
    Route {
        method: "PUT",
        path: "/access/acl",
        rule: Rule::By(may_set),
        params: &[
            need("path", Kind::Text),
            need("roles", Kind::List),
            may("users", Kind::List),
            may("groups", Kind::List),
            may("tokens", Kind::List),
            may("propagate", Kind::Bool),
            may("delete", Kind::Bool),
        ],
        handler: set,
    },
];

/// The right to change permissions on a path: directly, or by the right to allocate what lies there.
fn may_modify(world: &World, who: &Principal, path: &str) -> Result<(), ApiError> {
    let allocate = [
        ("/storage/", "Datastore.Allocate"),
        ("/vms/", "VM.Allocate"),
        ("/pool/", "Pool.Allocate"),
    ];
    let mut privileges = vec!["Permissions.Modify"];
    privileges.extend(
        allocate
            .iter()
            .filter(|(prefix, _)| path.starts_with(prefix))
            .map(|(_, one)| one),
    );
    world.check_any(who, path, &privileges)
}

fn may_set(world: &World, who: &Principal, raw: &BTreeMap<String, Value>) -> Result<(), ApiError> {
    let path = raw.get("path").and_then(Value::as_str).unwrap_or_default();
    may_modify(
        world,
        who,
        &normalized(path).unwrap_or_else(|| path.to_owned()),
    )
}

fn list(call: &Call<'_>) -> Reply {
    let world = call.sim.lock();
    let sees_all = world.has(call.auth, "/access", "Sys.Audit");
    let mut rows = Vec::new();
    for (path, acl) in &world.access.acl {
        if !sees_all && may_modify(&world, call.auth, path).is_err() {
            continue;
        }
        for kind in Subject::ALL {
            for (id, roles) in acl.of(kind) {
                rows.extend(roles.iter().map(|(role, propagate)| {
                    json!({
                        "path": path, "type": kind.word(), "ugid": id, "roleid": role,
                        "propagate": i32::from(*propagate),
                    })
                }));
            }
        }
    }
    Ok(Answer::Data(rows.into()))
}

fn set(call: &Call<'_>) -> Reply {
    let params = call.params;
    let given = params.need("path");
    let path = normalized(&given).filter(|path| is_acl_path(path));
    let path =
        path.ok_or_else(|| ApiError::param("path", format!("invalid ACL path '{given}'")))?;
    let kinds = [
        ("users", Subject::User),
        ("groups", Subject::Group),
        ("tokens", Subject::Token),
    ];
    if kinds.iter().all(|(key, _)| !params.has(key)) {
        let text = "either 'users', 'groups' or 'tokens' is required.";
        let errors = kinds
            .iter()
            .map(|(key, _)| ((*key).to_owned(), text.to_owned()))
            .collect();
        return Err(ApiError {
            status: 400,
            message: "Parameter verification failed.".into(),
            errors,
        });
    }
    let mut world = call.sim.lock();
    let change = Change {
        propagate: params.int("propagate") != Some(0),
        is_removal: params.flag("delete"),
        holds: (!world.has(call.auth, &path, "Permissions.Modify"))
            .then(|| world.granted(call.auth, &path)),
        path,
    };
    let failed = |error: ApiError| ApiError::die(format!("ACL update failed: {}", error.in_task()));
    let roles = params.need("roles");
    for role in split_list(&roles) {
        change.check_role(&world, role).map_err(failed)?;
        for (key, kind) in kinds {
            for id in split_list(&params.text(key).unwrap_or_default()) {
                check_subject(&world, kind, id).map_err(failed)?;
                change.apply(&mut world, kind, id, role);
            }
        }
    }
    Ok(Answer::Data(Value::Null))
}

fn check_subject(world: &World, kind: Subject, id: &str) -> Result<(), ApiError> {
    let access = &world.access;
    match kind {
        Subject::User if !access.users.contains_key(id) => {
            Err(ApiError::die(format!("user '{id}' does not exist")))
        }
        Subject::Group if !access.groups.contains_key(id) => {
            Err(ApiError::die(format!("group '{id}' does not exist")))
        }
        Subject::Token => {
            let (user, token) = id.split_once('!').unwrap_or((id, ""));
            check_token_exists(world, user, token)
        }
        Subject::User | Subject::Group => Ok(()),
    }
}

struct Change {
    path: String,
    propagate: bool,
    is_removal: bool,
    /// What a caller holds that may not change permissions as such: it may hand on that and no more.
    holds: Option<Granted>,
}

impl Change {
    fn check_role(&self, world: &World, role: &str) -> Result<(), ApiError> {
        let privileges = world.access.role(role);
        let privileges =
            privileges.ok_or_else(|| ApiError::die(format!("role '{role}' does not exist")))?;
        let Some(holds) = self.holds else {
            return Ok(());
        };
        let lent: Privileges = if self.propagate {
            holds.propagated
        } else {
            holds.all
        };
        if lent.covers(privileges) {
            return Ok(());
        }
        let verb = if self.is_removal { "remove" } else { "add" };
        let detail = format!(
            "role: Cannot {verb} role '{role}' - requires 'Permissions.Modify' or superset of privileges."
        );
        Err(ApiError {
            status: 400,
            message: format!("Parameter verification failed.\n{detail}"),
            errors: BTreeMap::new(),
        })
    }

    fn apply(&self, world: &mut World, kind: Subject, id: &str, role: &str) {
        if !self.is_removal {
            world.grant(&self.path, kind, id, role, self.propagate);
            return;
        }
        if let Some(entry) = world
            .access
            .acl
            .get_mut(&self.path)
            .map(|acl| acl.of_mut(kind))
        {
            if let Some(roles) = entry.get_mut(id) {
                roles.remove(role);
            }
            entry.retain(|_, roles| !roles.is_empty());
        }
        world.access.tidy();
    }
}
