//! `/access/ticket`: login by password.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::access::Principal;
use crate::call::{Answer, ApiError, Call, Reply};
use crate::route::{Kind, Param, Route, Rule, may, need};
use crate::world::World;

pub(crate) const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "/access/ticket",
        rule: Rule::World,
        params: &[],
        handler: form,
    },
    Route {
        method: "POST",
        path: "/access/ticket",
        rule: Rule::World,
        params: &[
            need("username", Kind::Short(64)),
            need("password", Kind::Text),
            may("realm", Kind::Short(32)),
            may("otp", Kind::Text),
            may("new-format", Kind::Bool),
            may("tfa-challenge", Kind::Text),
            Param {
                requires: Some("privs"),
                ..may("path", Kind::Short(64))
            },
            Param {
                requires: Some("path"),
                ..may("privs", Kind::List)
            },
        ],
        handler: login,
    },
];

/// Answered for the sake of very old clients.
fn form(_: &Call<'_>) -> Reply {
    Ok(Answer::Data(Value::Null))
}

fn login(call: &Call<'_>) -> Reply {
    let refused = || ApiError {
        status: 401,
        message: "authentication failure".into(),
        errors: BTreeMap::new(),
    };
    let mut user = call.params.need("username");
    if let Some(realm) = call.params.text("realm")
        && !user.contains('@')
    {
        user = format!("{user}@{realm}");
    }
    let password = call.params.need("password");
    let now = call.sim.clock.shown();
    let world = call.sim.lock();
    let access = &world.access;
    // A ticket that is still good renews itself.
    let by_ticket = access
        .user_of_ticket(&password, now)
        .is_some_and(|owner| owner == user);
    let known = access
        .users
        .get(&user)
        .and_then(|user| user.password.as_ref());
    let by_password =
        access.is_enabled(&user, now) && known.is_some_and(|known| *known == password);
    if !by_ticket && !by_password {
        return Err(refused());
    }
    Ok(Answer::Data(json!({
        "username": user,
        "ticket": access.ticket(&user, now),
        "CSRFPreventionToken": access.csrf(&user, now),
        "cap": capabilities(&world, &Principal::new(user)),
    })))
}

/// What the web interface asks to know which buttons to show.
fn capabilities(world: &World, who: &Principal) -> Value {
    let areas: [(&str, &str, &[&str]); 7] = [
        (
            "access",
            "/access",
            &["User.", "Group.", "Permissions.Modify"],
        ),
        ("dc", "/", &["Sys.Audit", "Sys.Modify", "SDN."]),
        ("mapping", "/mapping", &["Mapping.", "Permissions.Modify"]),
        ("nodes", "/nodes", &["Sys.", "Permissions.Modify"]),
        ("sdn", "/sdn", &["SDN.", "Permissions.Modify"]),
        ("storage", "/storage", &["Datastore.", "Permissions.Modify"]),
        ("vms", "/vms", &["VM.", "Permissions.Modify"]),
    ];
    let area = |(name, path, wanted): (&str, &str, &[&str])| {
        let granted = world.granted(who, path).all;
        let held = granted
            .names()
            .filter(|privilege| wanted.iter().any(|prefix| privilege.starts_with(prefix)));
        let held: Map<String, Value> = held
            .map(|privilege| (privilege.to_owned(), json!(1)))
            .collect();
        (name.to_owned(), Value::Object(held))
    };
    Value::Object(areas.into_iter().map(area).collect())
}
