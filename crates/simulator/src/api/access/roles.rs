//! `/access/roles`: bundles of privileges.

use serde_json::{Map, Value, json};

use crate::access::{PREDEFINED, Privileges, predefined};
use crate::api::access::split_list;
use crate::call::{Answer, ApiError, Call, Params, Reply};
use crate::route::{Kind, Param, Route, Rule, may, need};

const MODIFY: Rule = Rule::All("/access", &["Sys.Modify"]);

pub(crate) const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "/access/roles",
        rule: Rule::User,
        params: &[],
        handler: list,
    },
    Route {
        method: "POST",
        path: "/access/roles",
        rule: MODIFY,
        params: &[
            need("roleid", Kind::Format(is_role_id)),
            may("privs", Kind::Format(are_privileges)),
        ],
        handler: create,
    },
    Route {
        method: "GET",
        path: "/access/roles/{roleid}",
        rule: Rule::User,
        params: &[],
        handler: one,
    },
    Route {
        method: "PUT",
        path: "/access/roles/{roleid}",
        rule: MODIFY,
        params: &[
            may("privs", Kind::Format(are_privileges)),
            Param {
                requires: Some("privs"),
                ..may("append", Kind::Bool)
            },
        ],
        handler: update,
    },
    Route {
        method: "DELETE",
        path: "/access/roles/{roleid}",
        rule: MODIFY,
        params: &[],
        handler: delete,
    },
];

fn is_role_id(text: &str) -> Result<(), String> {
    let sound = !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
    if sound {
        Ok(())
    } else {
        Err(format!("role name '{text}' contains invalid characters"))
    }
}

fn are_privileges(text: &str) -> Result<(), String> {
    Privileges::parse(split_list(text))
        .map(|_| ())
        .map_err(|name| format!("invalid privilege '{name}'"))
}

fn given(params: &Params) -> Privileges {
    Privileges::parse(split_list(&params.text("privs").unwrap_or_default())).unwrap_or_default()
}

fn row(id: &str, privileges: Privileges, is_special: bool) -> Value {
    let names: Vec<&str> = privileges.names().collect();
    json!({ "roleid": id, "privs": names.join(","), "special": i32::from(is_special) })
}

fn list(call: &Call<'_>) -> Reply {
    let world = call.sim.lock();
    let special = PREDEFINED
        .into_iter()
        .map(|id| row(id, predefined(id).unwrap_or_default(), true));
    let own = world
        .access
        .roles
        .iter()
        .map(|(id, privileges)| row(id, *privileges, false));
    Ok(Answer::Data(special.chain(own).collect()))
}

fn one(call: &Call<'_>) -> Reply {
    let id = call.params.need("roleid");
    let role = call.sim.lock().access.role(&id);
    let role = role.ok_or_else(|| ApiError::die(format!("role '{id}' does not exist")))?;
    let privileges: Map<String, Value> = role
        .names()
        .map(|name| (name.to_owned(), json!(1)))
        .collect();
    Ok(Answer::Data(Value::Object(privileges)))
}

fn create(call: &Call<'_>) -> Reply {
    let id = call.params.need("roleid");
    if id
        .get(..3)
        .is_some_and(|start| start.eq_ignore_ascii_case("PVE"))
    {
        let text = "cannot use role ID starting with the (case-insensitive) 'PVE' namespace";
        return Err(ApiError::param("roleid", text));
    }
    let mut world = call.sim.lock();
    if world.access.role(&id).is_some() {
        return Err(ApiError::die(format!(
            "create role failed: role '{id}' already exists"
        )));
    }
    world.access.roles.insert(id, given(call.params));
    Ok(Answer::Data(Value::Null))
}

fn update(call: &Call<'_>) -> Reply {
    let id = call.params.need("roleid");
    if predefined(&id).is_some() {
        return Err(ApiError::die(format!(
            "update role failed: auto-generated role '{id}' cannot be modified"
        )));
    }
    let mut world = call.sim.lock();
    let Some(role) = world.access.roles.get_mut(&id) else {
        return Err(ApiError::die(format!(
            "update role failed: role '{id}' does not exist"
        )));
    };
    let privileges = given(call.params);
    *role = if call.params.flag("append") {
        role.union(privileges)
    } else {
        privileges
    };
    Ok(Answer::Data(Value::Null))
}

/// ACL entries that name the role stay and grant nothing.
fn delete(call: &Call<'_>) -> Reply {
    let id = call.params.need("roleid");
    if predefined(&id).is_some() {
        return Err(ApiError::die(format!(
            "delete role failed: auto-generated role '{id}' cannot be deleted"
        )));
    }
    if call.sim.lock().access.roles.remove(&id).is_none() {
        return Err(ApiError::die(format!(
            "delete role failed: role '{id}' does not exist"
        )));
    }
    Ok(Answer::Data(Value::Null))
}
