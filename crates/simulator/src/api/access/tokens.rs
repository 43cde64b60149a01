//! `/access/users/{userid}/token`: API tokens, whose secrets are shown once.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::access::{Principal, Token, random_uuid};
use crate::api::access::{
    check_groups, check_token_exists, check_user_exists, is_name, split_list,
};
use crate::call::{Answer, ApiError, Call, Params, Reply, object};
use crate::route::{Kind, Route, Rule, may};
use crate::world::World;

const OWN: Rule = Rule::By(may_manage);

pub(crate) const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "/access/users/{userid}/token",
        rule: OWN,
        params: &[],
        handler: list,
    },
    Route {
        method: "GET",
        path: "/access/users/{userid}/token/{tokenid}",
        rule: OWN,
        params: &[],
        handler: one,
    },
    Route {
        method: "POST",
        path: "/access/users/{userid}/token/{tokenid}",
        rule: OWN,
        params: &[
            may("privsep", Kind::Bool),
            may("expire", Kind::Int(0, i64::MAX)),
            may("comment", Kind::Text),
        ],
        handler: create,
    },
    Route {
        method: "PUT",
        path: "/access/users/{userid}/token/{tokenid}",
        rule: OWN,
        params: &[
            may("privsep", Kind::Bool),
            may("expire", Kind::Int(0, i64::MAX)),
            may("comment", Kind::Text),
            may("regenerate", Kind::Bool),
            may("delete", Kind::List),
        ],
        handler: update,
    },
    Route {
        method: "DELETE",
        path: "/access/users/{userid}/token/{tokenid}",
        rule: OWN,
        params: &[],
        handler: delete,
    },
];

/// The user itself, which its tokens are not, or who manages its groups.
fn may_manage(
    world: &World,
    who: &Principal,
    raw: &BTreeMap<String, Value>,
) -> Result<(), ApiError> {
    let user = raw
        .get("userid")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if user == who.as_str() || check_groups(world, who, user, &["User.Modify"]).is_ok() {
        return Ok(());
    }
    Err(ApiError::forbidden(""))
}

/// A token without its name.
pub(crate) fn info(token: &Token) -> Map<String, Value> {
    let mut info = object(json!({ "privsep": i32::from(token.privsep), "expire": token.expire }));
    if let Some(comment) = &token.comment {
        info.insert("comment".into(), comment.clone().into());
    }
    info
}

pub(crate) fn described(name: &str, token: &Token) -> Value {
    let mut row = info(token);
    row.insert("tokenid".into(), name.into());
    Value::Object(row)
}

fn list(call: &Call<'_>) -> Reply {
    let world = call.sim.lock();
    let user = call.params.need("userid");
    check_user_exists(&world, &user)?;
    let tokens = world
        .access
        .users
        .get(&user)
        .map(|user| &user.tokens)
        .into_iter()
        .flatten();
    Ok(Answer::Data(
        tokens.map(|(name, token)| described(name, token)).collect(),
    ))
}

fn one(call: &Call<'_>) -> Reply {
    let world = call.sim.lock();
    let (user, name) = (call.params.need("userid"), call.params.need("tokenid"));
    check_token_exists(&world, &user, &name)?;
    let token = world
        .access
        .users
        .get(&user)
        .and_then(|user| user.tokens.get(&name));
    Ok(Answer::Data(token.map(info).unwrap_or_default().into()))
}

/// What was given, as it was given: numbers of the request come back as texts.
fn echoed(params: &Params) -> Value {
    let mut info = Map::new();
    for key in ["privsep", "expire", "comment"] {
        if let Some(text) = params.text(key) {
            info.insert(key.into(), text.into());
        }
    }
    if !params.has("privsep") {
        info.insert("privsep".into(), 1.into());
    }
    Value::Object(info)
}

fn create(call: &Call<'_>) -> Reply {
    let mut world = call.sim.lock();
    let (user, name) = (call.params.need("userid"), call.params.need("tokenid"));
    if !is_name(&name) {
        return Err(ApiError::param(
            "tokenid",
            "value does not match the regex pattern",
        ));
    }
    check_user_exists(&world, &user)?;
    let Some(entry) = world.access.users.get_mut(&user) else {
        return Ok(Answer::Data(Value::Null));
    };
    if entry.tokens.contains_key(&name) {
        return Err(ApiError::param("tokenid", "Token already exists."));
    }
    let token = Token {
        secret: random_uuid(),
        privsep: call.params.int("privsep") != Some(0),
        expire: call.params.int("expire").unwrap_or(entry.expire),
        comment: call.params.text("comment"),
    };
    let answer = json!({
        "info": echoed(call.params), "value": token.secret, "full-tokenid": format!("{user}!{name}"),
    });
    entry.tokens.insert(name, token);
    Ok(Answer::Data(answer))
}

fn update(call: &Call<'_>) -> Reply {
    let mut world = call.sim.lock();
    let (user, name) = (call.params.need("userid"), call.params.need("tokenid"));
    check_token_exists(&world, &user, &name)?;
    let token = world
        .access
        .users
        .get_mut(&user)
        .and_then(|user| user.tokens.get_mut(&name));
    let Some(token) = token else {
        return Ok(Answer::Data(Value::Null));
    };
    if call.params.has("privsep") {
        token.privsep = call.params.flag("privsep");
    }
    if let Some(expire) = call.params.int("expire") {
        token.expire = expire;
    }
    if let Some(comment) = call.params.text("comment") {
        token.comment = Some(comment);
    }
    if split_list(&call.params.text("delete").unwrap_or_default()).any(|key| key == "comment") {
        token.comment = None;
    }
    let mut answer = info(token);
    if call.params.flag("regenerate") {
        token.secret = random_uuid();
        answer.insert("value".into(), token.secret.clone().into());
        answer.insert("full-tokenid".into(), format!("{user}!{name}").into());
    }
    Ok(Answer::Data(Value::Object(answer)))
}

fn delete(call: &Call<'_>) -> Reply {
    let mut world = call.sim.lock();
    let (user, name) = (call.params.need("userid"), call.params.need("tokenid"));
    check_token_exists(&world, &user, &name)?;
    if let Some(user) = world.access.users.get_mut(&user) {
        user.tokens.remove(&name);
    }
    world.access.tidy();
    Ok(Answer::Data(Value::Null))
}
