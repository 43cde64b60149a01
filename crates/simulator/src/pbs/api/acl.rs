//! `/access/acl`, `/access/permissions`, `/access/roles`.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::pbs::access::{PERMISSIONS, ROLES, SYS_AUDIT, names};
use crate::pbs::http::{Call, Error, Reply, Route, Rule, data, with_digest};
use crate::pbs::params::{ACL_PATH, AUTH, Kind, may, need};

/// Where rights are always told, whether or not there are grants.
const ALWAYS: [&str; 5] = ["/", "/access", "/datastore", "/remote", "/system"];

pub(super) const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "/access/roles",
        rule: Rule::User,
        params: &[],
        handler: |call| {
            let mut roles = ROLES.to_vec();
            call.sim.pbs.shuffle(&mut roles);
            let roles = roles.into_iter();
            let roles = roles.map(
                |(id, comment, privs)| json!({ "roleid": id, "comment": comment, "privs": privs }),
            );
            data(roles.collect())
        },
    },
    Route {
        method: "GET",
        path: "/access/permissions",
        rule: Rule::User,
        params: &[may("auth-id", AUTH), may("path", ACL_PATH)],
        handler: permissions,
    },
    Route {
        method: "GET",
        path: "/access/acl",
        rule: Rule::User,
        params: &[may("path", ACL_PATH), may("exact", Kind::Bool)],
        handler: list,
    },
    Route {
        method: "PUT",
        path: "/access/acl",
        rule: Rule::User,
        params: &[
            need("path", ACL_PATH),
            need("role", Kind::Text),
            may("auth-id", AUTH),
            may("group", Kind::Text),
            may("propagate", Kind::Bool),
            may("delete", Kind::Bool),
            may("digest", Kind::Text),
        ],
        handler: change,
    },
];

fn permissions(call: &Call<'_>) -> Reply {
    let world = call.sim.lock();
    let access = &world.pbs.access;
    let wanted = call.text("auth-id").unwrap_or(call.auth);
    let own_token = wanted
        .split_once('!')
        .is_some_and(|(user, _)| user == call.auth);
    if wanted != call.auth && !own_token && !access.has(call.auth, "/access", SYS_AUDIT) {
        return Err(Error::plain(format!(
            "not allowed to list permissions of {wanted}"
        )));
    }
    let paths: BTreeSet<&str> = match call.text("path") {
        Some(path) => BTreeSet::from([path]),
        None => access
            .acl
            .keys()
            .map(String::as_str)
            .chain(ALWAYS)
            .collect(),
    };
    let mut map = Map::new();
    for path in paths {
        let (rights, propagated) = access.lookup(wanted, path);
        if rights != 0 {
            let below = names(propagated);
            let rights = names(rights)
                .into_iter()
                .map(|name| (name.to_owned(), json!(below.contains(&name))));
            map.insert(path.to_owned(), Value::Object(rights.collect()));
        }
    }
    data(Value::Object(map))
}

fn list(call: &Call<'_>) -> Reply {
    let world = call.sim.lock();
    let access = &world.pbs.access;
    let all = access.has(call.auth, "/access/acl", SYS_AUDIT);
    let tokens = format!("{}!", call.auth);
    let (path, exact) = (call.text("path"), call.flag("exact") == Some(true));
    let mut items = Vec::new();
    for (known, entries) in &access.acl {
        let inside = path.is_none_or(|path| {
            known == path
                || (!exact && known.starts_with(&format!("{}/", path.trim_end_matches('/'))))
        });
        for (ugid, roles) in entries
            .iter()
            .filter(|(ugid, _)| inside && (all || ugid.starts_with(&tokens)))
        {
            items.extend(roles.iter().map(|(role, propagate)| {
                json!({
                    "path": known, "propagate": propagate, "roleid": role, "ugid": ugid, "ugid_type": "user",
                })
            }));
        }
    }
    with_digest(json!(items), &json!(access.acl).to_string())
}

fn change(call: &Call<'_>) -> Reply {
    let now = call.sim.pbs_now();
    let mut world = call.sim.lock();
    let access = &mut world.pbs.access;
    let role = call.need("role");
    if !ROLES.iter().any(|(known, _, _)| *known == role) {
        return Err(Error::param(
            "role",
            &format!("value '{role}' is not defined in the enumeration."),
        ));
    }
    let Some(whom) = call.text("auth-id") else {
        return Err(Error::plain("missing 'userid' or 'group' parameter."));
    };
    if !access.has(call.auth, "/access/acl", PERMISSIONS) {
        if call.auth.contains('!') {
            return Err(Error::plain("Unprivileged API token can't set ACL items."));
        }
        if !whom.starts_with(&format!("{}!", call.auth)) {
            let text = "Unprivileged users can only set ACL items for their own API tokens.";
            return Err(Error::plain(text));
        }
    }
    let delete = call.flag("delete") == Some(true);
    if !delete && !access.is_alive(whom, now) {
        let what = if whom.contains('!') {
            "API token"
        } else {
            "user"
        };
        return Err(Error::plain(format!("no such {what}.")));
    }
    let propagate = call.flag("propagate").unwrap_or(true);
    access.grant(call.need("path"), whom, role, propagate, delete);
    data(Value::Null)
}
