//! `/access`: who there is and who may what.

pub(crate) mod acl;
pub(crate) mod roles;
pub(crate) mod ticket;
pub(crate) mod tokens;
pub(crate) mod users;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::access::{Granted, Principal};
use crate::call::{Answer, ApiError, Call, Reply};
use crate::route::{Kind, Route, Rule, may};
use crate::world::World;

/// Paths that are always looked at.
const TOP: [&str; 8] = [
    "/",
    "/access",
    "/access/groups",
    "/nodes",
    "/pool",
    "/sdn",
    "/storage",
    "/vms",
];

pub(crate) const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "/access",
        rule: Rule::User,
        params: &[],
        handler: index,
    },
    Route {
        method: "GET",
        path: "/access/domains",
        rule: Rule::World,
        params: &[],
        handler: domains,
    },
    Route {
        method: "GET",
        path: "/access/permissions",
        rule: Rule::User,
        params: &[
            may("userid", Kind::Pattern(is_auth_id)),
            may("path", Kind::Text),
        ],
        handler: permissions,
    },
];

fn index(_: &Call<'_>) -> Reply {
    let names = [
        "users",
        "groups",
        "roles",
        "acl",
        "domains",
        "ticket",
        "permissions",
    ];
    Ok(Answer::Data(
        names
            .into_iter()
            .map(|name| json!({ "subdir": name }))
            .collect(),
    ))
}

fn domains(_: &Call<'_>) -> Reply {
    Ok(Answer::Data(json!([
        { "realm": "pam", "type": "pam", "comment": "Linux PAM standard authentication" },
        { "realm": "pve", "type": "pve", "comment": "Proxmox VE authentication server" },
    ])))
}

/// The form of user ids: `NAME@REALM`, neither colon nor slash nor space.
pub(crate) fn is_user_id(text: &str) -> Result<(), String> {
    let refused = || format!("value '{text}' does not look like a valid user name");
    let (name, realm) = text.rsplit_once('@').ok_or_else(refused)?;
    let sound = !name.is_empty()
        && text.len() <= 64
        && !name.contains(|letter: char| letter.is_whitespace() || ":/!".contains(letter))
        && is_name(realm);
    if sound { Ok(()) } else { Err(refused()) }
}

/// A user or one of its tokens.
fn is_auth_id(text: &str) -> bool {
    match text.split_once('!') {
        Some((user, token)) => is_name(token) && is_user_id(user).is_ok(),
        None => is_user_id(text).is_ok(),
    }
}

/// The form of realms and token ids.
pub(crate) fn is_name(text: &str) -> bool {
    text.len() >= 2
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
}

/// The parts of a list parameter.
pub(crate) fn split_list(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| ",;".contains(letter) || letter.is_whitespace())
        .filter(|part| !part.is_empty())
}

/// A privilege on the groups of a user, or on all groups.
pub(crate) fn check_groups(
    world: &World,
    who: &Principal,
    user: &str,
    privileges: &[&str],
) -> Result<(), ApiError> {
    let general = world.check_any(who, "/access/groups", privileges);
    if general.is_ok() {
        return Ok(());
    }
    let groups = world
        .access
        .users
        .get(user)
        .map(|user| &user.groups)
        .into_iter()
        .flatten();
    for group in groups {
        if world
            .check_any(who, &format!("/access/groups/{group}"), privileges)
            .is_ok()
        {
            return Ok(());
        }
    }
    general
}

pub(crate) fn check_user_exists(world: &World, user: &str) -> Result<(), ApiError> {
    if world.access.users.contains_key(user) {
        return Ok(());
    }
    Err(ApiError::die(format!("no such user ('{user}')")))
}

pub(crate) fn check_token_exists(world: &World, user: &str, token: &str) -> Result<(), ApiError> {
    check_user_exists(world, user)?;
    if world
        .access
        .users
        .get(user)
        .is_some_and(|user| user.tokens.contains_key(token))
    {
        return Ok(());
    }
    Err(ApiError::die(format!(
        "no such token '{token}' for user '{user}'"
    )))
}

fn permissions(call: &Call<'_>) -> Reply {
    let world = call.sim.lock();
    let subject = Principal::new(
        call.params
            .text("userid")
            .unwrap_or_else(|| call.auth.as_str().to_owned()),
    );
    // A user may look at its tokens; a token neither at its user nor at its siblings.
    if subject != *call.auth && subject.owner() != call.auth.as_str() {
        world.check(call.auth, "/access", &["Sys.Audit"])?;
    }
    match subject.token() {
        Some(token) => check_token_exists(&world, subject.owner(), token)?,
        None => check_user_exists(&world, subject.as_str())?,
    }
    if let Some(path) = call.params.text("path") {
        let granted = shown(world.granted(&subject, &path));
        return Ok(Answer::Data(json!({ path: granted })));
    }
    let mut paths: BTreeSet<String> = TOP.iter().map(|path| (*path).to_owned()).collect();
    paths.extend(world.access.acl.keys().cloned());
    for pool in world.pools.values() {
        paths.extend(pool.vms.iter().map(|vmid| format!("/vms/{vmid}")));
        paths.extend(
            pool.storages
                .iter()
                .map(|storage| format!("/storage/{storage}")),
        );
    }
    let all = paths.into_iter().filter_map(|path| {
        let granted = world.granted(&subject, &path);
        (!granted.all.is_empty()).then(|| (path, shown(granted)))
    });
    Ok(Answer::Data(Value::Object(all.collect())))
}

/// Privileges with 1 where they propagate.
fn shown(granted: Granted) -> Value {
    let propagated: BTreeSet<&str> = granted.propagated.names().collect();
    let all: BTreeMap<&str, u8> = granted
        .all
        .names()
        .map(|name| (name, u8::from(propagated.contains(name))))
        .collect();
    json!(all)
}
