//! `/access`: login, users and their tokens.

use serde_json::{Map, Value, json};

use crate::access::random_uuid;
use crate::pbs::access::{PERMISSIONS, SYS_AUDIT, Token, User};
use crate::pbs::http::{Answer, Call, Error, Reply, Route, Rule, data, with_digest};
use crate::pbs::params::{Kind, TOKEN, USER, may, need};
use crate::world::World;

const USERS: &str = "/access/users";
const TOKEN_FIELDS: [crate::pbs::params::Param; 6] = [
    need("userid", USER),
    need("token-name", TOKEN),
    may("comment", Kind::Text),
    may("digest", Kind::Text),
    may("enable", Kind::Bool),
    may("expire", Kind::Int(0, i64::MAX)),
];

pub(super) const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "/access",
        rule: Rule::User,
        params: &[],
        handler: |_| {
            data(json!(
                [
                    "acl",
                    "password",
                    "permissions",
                    "ticket",
                    "openid",
                    "domains",
                    "roles",
                    "users",
                    "tfa"
                ]
                .map(|name| json!({ "subdir": name }))
            ))
        },
    },
    Route {
        method: "POST",
        path: "/access/ticket",
        rule: Rule::World,
        params: &[
            need("username", USER),
            need("password", Kind::Text),
            may("path", Kind::Text),
            may("privs", Kind::Text),
            may("port", Kind::Int(1, 65535)),
            may("tfa-challenge", Kind::Text),
        ],
        handler: login,
    },
    Route {
        method: "GET",
        path: USERS,
        rule: Rule::User,
        params: &[may("include_tokens", Kind::Bool)],
        handler: list_users,
    },
    Route {
        method: "POST",
        path: USERS,
        rule: Rule::Rights(USERS, PERMISSIONS, false),
        params: &[
            need("userid", USER),
            may("password", Kind::Match(5, 64, |_| true)),
            may("comment", Kind::Text),
            may("email", Kind::Text),
            may("enable", Kind::Bool),
            may("expire", Kind::Int(0, i64::MAX)),
            may("firstname", Kind::Text),
            may("lastname", Kind::Text),
        ],
        handler: add_user,
    },
    Route {
        method: "GET",
        path: "/access/users/{userid}",
        rule: Rule::Self_(USERS, SYS_AUDIT),
        params: &[need("userid", USER)],
        handler: |call| {
            let world = call.sim.lock();
            let user = user(&world, call)?;
            with_digest(user_item(call.need("userid"), user), &config(&world))
        },
    },
    Route {
        method: "DELETE",
        path: "/access/users/{userid}",
        rule: Rule::Self_(USERS, PERMISSIONS),
        params: &[need("userid", USER), may("digest", Kind::Text)],
        handler: |call| {
            let mut world = call.sim.lock();
            user(&world, call)?;
            world.pbs.access.users.remove(call.need("userid"));
            world.pbs.access.forget(call.need("userid"));
            data(Value::Null)
        },
    },
    Route {
        method: "GET",
        path: "/access/users/{userid}/token",
        rule: Rule::Self_(USERS, SYS_AUDIT),
        params: &[need("userid", USER)],
        handler: |call| {
            let world = call.sim.lock();
            let userid = call.need("userid");
            let tokens = user(&world, call)?.tokens.iter();
            let list: Vec<Value> = tokens
                .map(|(name, token)| token_item(userid, name, token))
                .collect();
            with_digest(json!(list), &config(&world))
        },
    },
    Route {
        method: "GET",
        path: "/access/users/{userid}/token/{token-name}",
        rule: Rule::Self_(USERS, SYS_AUDIT),
        params: &[need("userid", USER), need("token-name", TOKEN)],
        handler: |call| {
            let world = call.sim.lock();
            let name = call.need("token-name");
            let token = user(&world, call)?
                .tokens
                .get(name)
                .ok_or_else(|| no_token(call))?;
            with_digest(
                token_item(call.need("userid"), name, token),
                &config(&world),
            )
        },
    },
    Route {
        method: "POST",
        path: "/access/users/{userid}/token/{token-name}",
        rule: Rule::Self_(USERS, PERMISSIONS),
        params: &TOKEN_FIELDS,
        handler: add_token,
    },
    Route {
        method: "PUT",
        path: "/access/users/{userid}/token/{token-name}",
        rule: Rule::Self_(USERS, PERMISSIONS),
        params: &TOKEN_FIELDS,
        handler: change_token,
    },
    Route {
        method: "DELETE",
        path: "/access/users/{userid}/token/{token-name}",
        rule: Rule::Self_(USERS, PERMISSIONS),
        params: &[
            need("userid", USER),
            need("token-name", TOKEN),
            may("digest", Kind::Text),
        ],
        handler: |call| {
            let mut world = call.sim.lock();
            user(&world, call)?;
            let users = &mut world.pbs.access.users;
            let found = users
                .get_mut(call.need("userid"))
                .and_then(|user| user.tokens.remove(call.need("token-name")));
            found.ok_or_else(|| no_token(call))?;
            world.pbs.access.forget(&token_id(call));
            data(Value::Null)
        },
    },
];

fn login(call: &Call<'_>) -> Reply {
    let now = call.sim.pbs_now();
    let world = call.sim.lock();
    let (user, access) = (call.need("username"), &world.pbs.access);
    if !access.is_alive(user, now) || !access.accepts_password(user, call.need("password")) {
        return Err(Error::new(401, "permission check failed."));
    }
    data(access.ticket(user, now))
}

fn config(world: &World) -> String {
    json!(world.pbs.access.users).to_string()
}

fn user<'a>(world: &'a World, call: &Call<'_>) -> Result<&'a User, Error> {
    let userid = call.need("userid");
    let found = world.pbs.access.users.get(userid);
    found.ok_or_else(|| Error::plain(format!("no such user '{userid}'")))
}

fn token_id(call: &Call<'_>) -> String {
    format!("{}!{}", call.need("userid"), call.need("token-name"))
}

fn no_token(call: &Call<'_>) -> Error {
    Error::plain(format!("no such token '{}'", token_id(call)))
}

fn options(item: &mut Map<String, Value>, fields: [(&str, Value); 3]) {
    for (name, value) in fields {
        if !value.is_null() {
            item.insert(name.to_owned(), value);
        }
    }
}

fn user_item(userid: &str, user: &User) -> Value {
    let mut item = Map::from_iter([("userid".to_owned(), json!(userid))]);
    let fields = [
        ("comment", json!(user.comment)),
        ("enable", json!(user.enable)),
        ("expire", json!(user.expire)),
    ];
    options(&mut item, fields);
    if let Some(email) = &user.email {
        item.insert("email".into(), json!(email));
    }
    Value::Object(item)
}

fn token_item(userid: &str, name: &str, token: &Token) -> Value {
    let mut item = Map::new();
    item.insert("token-name".into(), json!(name));
    item.insert("tokenid".into(), json!(format!("{userid}!{name}")));
    let fields = [
        ("comment", json!(token.comment)),
        ("enable", json!(token.enable)),
        ("expire", json!(token.expire)),
    ];
    options(&mut item, fields);
    Value::Object(item)
}

fn list_users(call: &Call<'_>) -> Reply {
    let world = call.sim.lock();
    let access = &world.pbs.access;
    let all = access.has(call.auth, USERS, SYS_AUDIT);
    let own = call.auth.split('!').next().unwrap_or_default();
    let users = access
        .users
        .iter()
        .filter(|(userid, _)| all || *userid == own);
    let list: Vec<Value> = users
        .map(|(userid, user)| {
            let mut item = user_item(userid, user);
            if call.flag("include_tokens") == Some(true)
                && let Some(fields) = item.as_object_mut()
            {
                let tokens = user.tokens.iter();
                let tokens: Vec<Value> = tokens
                    .map(|(name, token)| token_item(userid, name, token))
                    .collect();
                fields.insert("tokens".into(), json!(tokens));
            }
            item
        })
        .collect();
    with_digest(json!(list), &config(&world))
}

fn add_user(call: &Call<'_>) -> Reply {
    let mut world = call.sim.lock();
    let userid = call.need("userid");
    let users = &mut world.pbs.access.users;
    if users.contains_key(userid) {
        return Err(Error::plain(format!("user '{userid}' already exists.")));
    }
    let text = |name: &str| call.text(name).map(str::to_owned);
    let user = User {
        password: text("password"),
        enable: call.flag("enable"),
        expire: call.int("expire"),
        comment: text("comment"),
        email: text("email"),
        ..User::default()
    };
    users.insert(userid.to_owned(), user);
    data(Value::Null)
}

fn add_token(call: &Call<'_>) -> Reply {
    let mut world = call.sim.lock();
    user(&world, call)?;
    let (userid, name) = (call.need("userid"), call.need("token-name"));
    let Some(user) = world.pbs.access.users.get_mut(userid) else {
        return Err(no_token(call));
    };
    if user.tokens.contains_key(name) {
        return Err(Error::plain(format!(
            "token with name '{name}' for user '{userid}' already exists."
        )));
    }
    let secret = random_uuid();
    let token = Token {
        secret: secret.clone(),
        enable: call.flag("enable"),
        expire: call.int("expire"),
        comment: call.text("comment").map(str::to_owned),
    };
    user.tokens.insert(name.to_owned(), token);
    Ok(Answer::Data(
        json!({ "tokenid": token_id(call), "value": secret }),
    ))
}

fn change_token(call: &Call<'_>) -> Reply {
    let mut world = call.sim.lock();
    let user = world.pbs.access.users.get_mut(call.need("userid"));
    let token = user.and_then(|user| user.tokens.get_mut(call.need("token-name")));
    let token = token.ok_or_else(|| no_token(call))?;
    token.enable = call.flag("enable").or(token.enable);
    token.expire = call.int("expire").or(token.expire);
    if let Some(comment) = call.text("comment") {
        token.comment = Some(comment.to_owned());
    }
    data(Value::Null)
}
