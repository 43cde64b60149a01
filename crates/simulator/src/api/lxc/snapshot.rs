//! Snapshots of containers.

use serde_json::{Map, Value, json};

use crate::call::{Answer, ApiError, Call, Reply};
use crate::guest::config::typed;
use crate::workers::snapshot;

/// `GET …/snapshot`, with the pseudo entry `current`.
pub(super) fn list(call: &Call<'_>) -> Reply {
    let now = call.sim.clock.now_f64();
    let mut world = call.sim.lock();
    world.reap(now);
    let guest = world.lxc(call.params.vmid())?;
    let mut rows = Vec::new();
    for (name, section) in &guest.config.snapshots {
        let time = section
            .get("snaptime")
            .and_then(|time| time.parse::<i64>().ok());
        let mut row = Map::new();
        row.insert("name".into(), json!(name));
        row.insert(
            "description".into(),
            typed(
                "description",
                section.get("description").unwrap_or_default(),
            ),
        );
        row.insert("snaptime".into(), json!(time.unwrap_or_default()));
        for key in ["parent", "snapstate"] {
            row.extend(section.get(key).map(|value| (key.to_owned(), json!(value))));
        }
        rows.push(Value::Object(row));
    }
    let mut current = Map::new();
    current.insert("name".into(), json!("current"));
    current.insert("description".into(), json!("You are here!"));
    current.insert("digest".into(), json!(guest.config.digest()));
    current.insert("running".into(), json!(u8::from(guest.run.is_some())));
    let parent = guest.config.current.get("parent");
    current.extend(parent.map(|parent| ("parent".to_owned(), json!(parent))));
    rows.push(Value::Object(current));
    Ok(Answer::Data(Value::Array(rows)))
}

fn name(call: &Call<'_>) -> Result<String, ApiError> {
    let name = call.params.need("snapname");
    if name.len() > 40 {
        return Err(ApiError::param(
            "snapname",
            "value may only be 40 characters long",
        ));
    }
    Ok(name)
}

/// `POST …/snapshot`
pub(super) fn create(call: &Call<'_>) -> Reply {
    let (vmid, name) = (call.params.vmid(), name(call)?);
    match name.as_str() {
        "current" => {
            return Err(ApiError::die(
                "unable to use snapshot name 'current' (reserved name)",
            ));
        }
        "vzdump" => {
            return Err(ApiError::die(
                "unable to use snapshot name 'vzdump' (reserved name)",
            ));
        }
        _ => {}
    }
    let text = call.params.text("description").unwrap_or_default();
    let upid = call
        .sim
        .start_task(call.auth, "vzsnapshot", &vmid.to_string(), move |worker| {
            snapshot::take(worker, vmid, name, text)
        });
    Ok(Answer::Data(json!(upid)))
}

/// `DELETE …/snapshot/NAME`
pub(super) fn delete(call: &Call<'_>) -> Reply {
    let (vmid, name, force) = (call.params.vmid(), name(call)?, call.params.flag("force"));
    let upid = call.sim.start_task(
        call.auth,
        "vzdelsnapshot",
        &vmid.to_string(),
        move |worker| snapshot::delete(worker, vmid, name, force),
    );
    Ok(Answer::Data(json!(upid)))
}

/// `POST …/snapshot/NAME/rollback`
pub(super) fn rollback(call: &Call<'_>) -> Reply {
    let (vmid, name, start) = (call.params.vmid(), name(call)?, call.params.flag("start"));
    let upid = call
        .sim
        .start_task(call.auth, "vzrollback", &vmid.to_string(), move |worker| {
            snapshot::rollback(worker, vmid, name, start)
        });
    Ok(Answer::Data(json!(upid)))
}

fn missing(name: &str) -> ApiError {
    ApiError::die(format!("snapshot '{name}' does not exist"))
}

/// `GET …/snapshot/NAME/config`
pub(super) fn config(call: &Call<'_>) -> Reply {
    let name = name(call)?;
    let world = call.sim.lock();
    let section = world.lxc(call.params.vmid())?.config.snapshots.get(&name);
    let section = section.ok_or_else(|| missing(&name))?;
    Ok(Answer::Data(Value::Object(section.json())))
}

/// `PUT …/snapshot/NAME/config`
pub(super) fn describe(call: &Call<'_>) -> Reply {
    let name = name(call)?;
    let mut world = call.sim.lock();
    let guest = world.lxc_mut(call.params.vmid())?;
    guest.check_lock().map_err(ApiError::die)?;
    let section = guest
        .config
        .snapshots
        .get_mut(&name)
        .ok_or_else(|| missing(&name))?;
    if let Some(text) = call.params.text("description") {
        section
            .values
            .insert("description".into(), text.trim_end_matches('\n').to_owned());
    }
    Ok(Answer::Data(Value::Null))
}
