//! `/access/users`, `/access/groups` and `/access/password`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::access::{Group, Principal, User};
use crate::api::access::{check_groups, check_user_exists, is_user_id, split_list, tokens};
use crate::call::{Answer, ApiError, Call, Params, Reply, object};
use crate::route::{Kind, Param, Route, Rule, may, need};
use crate::words;
use crate::world::World;

const USER: Kind = Kind::Format(is_user_id);

pub(crate) const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "/access/users",
        rule: Rule::User,
        params: &[may("enabled", Kind::Bool), may("full", Kind::Bool)],
        handler: list,
    },
    Route {
        method: "POST",
        path: "/access/users",
        rule: Rule::By(may_create),
        params: &[
            need("userid", USER),
            may("password", Kind::Short(64)),
            may("groups", Kind::List),
            may("enable", Kind::Bool),
            may("expire", Kind::Int(0, i64::MAX)),
            may("comment", Kind::Short(2048)),
            may("email", Kind::Short(254)),
            may("firstname", Kind::Short(1024)),
            may("lastname", Kind::Short(1024)),
            may("keys", Kind::Pattern(words::factor_keys)),
        ],
        handler: create,
    },
    Route {
        method: "GET",
        path: "/access/users/{userid}",
        rule: Rule::By(may_read),
        params: &[],
        handler: one,
    },
    Route {
        method: "PUT",
        path: "/access/users/{userid}",
        rule: Rule::By(may_modify),
        params: &[
            may("groups", Kind::List),
            Param {
                requires: Some("groups"),
                ..may("append", Kind::Bool)
            },
            may("enable", Kind::Bool),
            may("expire", Kind::Int(0, i64::MAX)),
            may("comment", Kind::Short(2048)),
            may("email", Kind::Short(254)),
            may("firstname", Kind::Short(1024)),
            may("lastname", Kind::Short(1024)),
            may("keys", Kind::Pattern(words::factor_keys)),
        ],
        handler: update,
    },
    Route {
        method: "DELETE",
        path: "/access/users/{userid}",
        rule: Rule::By(may_create),
        params: &[],
        handler: delete,
    },
    Route {
        method: "GET",
        path: "/access/groups",
        rule: Rule::User,
        params: &[],
        handler: groups,
    },
    Route {
        method: "POST",
        path: "/access/groups",
        rule: Rule::All("/access/groups", &["Group.Allocate"]),
        params: &[
            need("groupid", Kind::Format(words::group_id)),
            may("comment", Kind::Text),
        ],
        handler: create_group,
    },
    Route {
        method: "DELETE",
        path: "/access/groups/{groupid}",
        rule: Rule::All("/access/groups", &["Group.Allocate"]),
        params: &[],
        handler: delete_group,
    },
    Route {
        method: "PUT",
        path: "/access/password",
        rule: Rule::By(may_set_password),
        params: &[
            need("userid", USER),
            need("password", Kind::Short(64)),
            may("confirmation-password", Kind::Short(64)),
        ],
        handler: set_password,
    },
];

type Raw = BTreeMap<String, Value>;

fn raw_text<'a>(raw: &'a Raw, key: &str) -> &'a str {
    raw.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn realm(user: &str) -> &str {
    user.rsplit_once('@').map_or("", |(_, realm)| realm)
}

fn may_create(world: &World, who: &Principal, raw: &Raw) -> Result<(), ApiError> {
    let user = raw_text(raw, "userid");
    world.check(
        who,
        &format!("/access/realm/{}", realm(user)),
        &["Realm.AllocateUser"],
    )?;
    let given: Vec<&str> = split_list(raw_text(raw, "groups")).collect();
    if given.is_empty() {
        return check_groups(world, who, user, &["User.Modify"]);
    }
    given.iter().try_for_each(|group| {
        world.check(who, &format!("/access/groups/{group}"), &["User.Modify"])
    })
}

fn may_read(world: &World, who: &Principal, raw: &Raw) -> Result<(), ApiError> {
    check_groups(
        world,
        who,
        raw_text(raw, "userid"),
        &["User.Modify", "Sys.Audit"],
    )
}

fn may_modify(world: &World, who: &Principal, raw: &Raw) -> Result<(), ApiError> {
    check_groups(world, who, raw_text(raw, "userid"), &["User.Modify"])
}

fn may_set_password(world: &World, who: &Principal, raw: &Raw) -> Result<(), ApiError> {
    let user = raw_text(raw, "userid");
    let of_others = world
        .check(
            who,
            &format!("/access/realm/{}", realm(user)),
            &["Realm.AllocateUser"],
        )
        .and_then(|()| check_groups(world, who, user, &["User.Modify"]));
    if user == who.as_str() || of_others.is_ok() {
        Ok(())
    } else {
        Err(ApiError::forbidden(""))
    }
}

fn described(id: &str, user: &User) -> Map<String, Value> {
    let mut row = object(json!({
        "userid": id, "enable": i32::from(user.enable), "expire": user.expire, "realm-type": realm(id),
    }));
    for (key, value) in details(user) {
        row.insert(key.into(), value.into());
    }
    row
}

fn details(user: &User) -> impl Iterator<Item = (&'static str, &str)> {
    let all = [
        ("comment", &user.comment),
        ("email", &user.email),
        ("firstname", &user.firstname),
        ("lastname", &user.lastname),
    ];
    all.into_iter()
        .filter_map(|(key, value)| Some((key, value.as_deref()?)))
}

fn list(call: &Call<'_>) -> Reply {
    let world = call.sim.lock();
    let may_see = |id: &str| {
        id == call.auth.as_str()
            || check_groups(&world, call.auth, id, &["User.Modify", "Sys.Audit"]).is_ok()
    };
    let wanted = call.params.int("enabled");
    let users = world.access.users.iter().filter(|(id, user)| {
        may_see(id) && wanted.is_none_or(|wanted| wanted == i64::from(user.enable))
    });
    let row = |(id, user): (&String, &User)| {
        let mut row = described(id, user);
        if call.params.flag("full") {
            let groups: Vec<&str> = user.groups.iter().map(String::as_str).collect();
            row.insert("groups".into(), groups.join(",").into());
            let tokens = user
                .tokens
                .iter()
                .map(|(name, token)| tokens::described(name, token));
            row.insert("tokens".into(), tokens.collect());
        }
        Value::Object(row)
    };
    Ok(Answer::Data(users.map(row).collect()))
}

fn one(call: &Call<'_>) -> Reply {
    let world = call.sim.lock();
    let id = call.params.need("userid");
    check_user_exists(&world, &id)?;
    let user = world.access.users.get(&id).cloned().unwrap_or_default();
    let mut row = object(
        json!({ "enable": i32::from(user.enable), "expire": user.expire, "groups": user.groups }),
    );
    for (key, value) in details(&user) {
        row.insert(key.into(), value.into());
    }
    if !user.tokens.is_empty() {
        let tokens = user
            .tokens
            .iter()
            .map(|(name, token)| (name.clone(), tokens::info(token).into()));
        row.insert("tokens".into(), Value::Object(tokens.collect()));
    }
    Ok(Answer::Data(Value::Object(row)))
}

fn apply(user: &mut User, params: &Params) {
    let texts = [
        ("comment", &mut user.comment),
        ("email", &mut user.email),
        ("firstname", &mut user.firstname),
        ("lastname", &mut user.lastname),
    ];
    for (key, field) in texts {
        if let Some(text) = params.text(key) {
            *field = (!text.is_empty()).then_some(text);
        }
    }
    if params.has("enable") {
        user.enable = params.flag("enable");
    }
    if let Some(expire) = params.int("expire") {
        user.expire = expire;
    }
}

fn given_groups(world: &World, params: &Params) -> Result<BTreeSet<String>, String> {
    let groups: BTreeSet<String> = split_list(&params.text("groups").unwrap_or_default())
        .map(str::to_owned)
        .collect();
    match groups
        .iter()
        .find(|group| !world.access.groups.contains_key(*group))
    {
        Some(unknown) => Err(format!("no such group '{unknown}'")),
        None => Ok(groups),
    }
}

fn create(call: &Call<'_>) -> Reply {
    let mut world = call.sim.lock();
    let failed = |text: String| ApiError::die(format!("create user failed: {text}"));
    let id = call.params.need("userid");
    let known = ["pam", "pve"].contains(&realm(&id));
    if !known {
        return Err(failed(format!("domain '{}' does not exist", realm(&id))));
    }
    if world.access.users.contains_key(&id) {
        return Err(failed(format!("user '{id}' already exists")));
    }
    let password = call.params.text("password");
    if password.as_ref().is_some_and(|password| password.len() < 8) {
        return Err(ApiError::param(
            "password",
            "value must be at least 8 characters long",
        ));
    }
    let groups = given_groups(&world, call.params).map_err(failed)?;
    let mut user = User {
        groups,
        password,
        ..User::default()
    };
    apply(&mut user, call.params);
    world.access.users.insert(id, user);
    Ok(Answer::Data(Value::Null))
}

fn update(call: &Call<'_>) -> Reply {
    let mut world = call.sim.lock();
    let id = call.params.need("userid");
    check_user_exists(&world, &id)?;
    let groups = given_groups(&world, call.params).map_err(ApiError::die)?;
    if let Some(user) = world.access.users.get_mut(&id) {
        apply(user, call.params);
        if call.params.has("groups") {
            if !call.params.flag("append") {
                user.groups.clear();
            }
            user.groups.extend(groups);
        }
    }
    Ok(Answer::Data(Value::Null))
}

fn delete(call: &Call<'_>) -> Reply {
    let mut world = call.sim.lock();
    let id = call.params.need("userid");
    if world.access.users.remove(&id).is_none() {
        return Err(ApiError::die(format!("user '{id}' does not exist")));
    }
    world.access.tidy();
    Ok(Answer::Data(Value::Null))
}

fn groups(call: &Call<'_>) -> Reply {
    let world = call.sim.lock();
    let may_see = |id: &str| {
        let path = format!("/access/groups/{id}");
        world
            .check_any(
                call.auth,
                &path,
                &["User.Modify", "Sys.Audit", "Group.Allocate"],
            )
            .is_ok()
    };
    let row = |(id, group): (&String, &Group)| {
        let members = world
            .access
            .users
            .iter()
            .filter(|(_, user)| user.groups.contains(id));
        let members: Vec<&str> = members.map(|(user, _)| user.as_str()).collect();
        let mut row = object(json!({ "groupid": id, "users": members.join(",") }));
        if let Some(comment) = &group.comment {
            row.insert("comment".into(), comment.clone().into());
        }
        Value::Object(row)
    };
    let seen = world.access.groups.iter().filter(|(id, _)| may_see(id));
    Ok(Answer::Data(seen.map(row).collect()))
}

fn create_group(call: &Call<'_>) -> Reply {
    let mut world = call.sim.lock();
    let id = call.params.need("groupid");
    if world.access.groups.contains_key(&id) {
        return Err(ApiError::die(format!(
            "create group failed: group '{id}' already exists"
        )));
    }
    world.access.groups.insert(
        id,
        Group {
            comment: call.params.text("comment"),
        },
    );
    Ok(Answer::Data(Value::Null))
}

fn delete_group(call: &Call<'_>) -> Reply {
    let mut world = call.sim.lock();
    let id = call.params.need("groupid");
    if world.access.groups.remove(&id).is_none() {
        return Err(ApiError::die(format!(
            "delete group failed: group '{id}' does not exist"
        )));
    }
    for user in world.access.users.values_mut() {
        user.groups.remove(&id);
    }
    world.access.tidy();
    Ok(Answer::Data(Value::Null))
}

fn set_password(call: &Call<'_>) -> Reply {
    let mut world = call.sim.lock();
    let id = call.params.need("userid");
    check_user_exists(&world, &id)?;
    if call.params.need("password").len() < 8 {
        return Err(ApiError::param(
            "password",
            "value must be at least 8 characters long",
        ));
    }
    if let Some(user) = world.access.users.get_mut(&id) {
        user.password = call.params.text("password");
    }
    Ok(Answer::Data(Value::Null))
}
