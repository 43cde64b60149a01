//! `storage.cfg` through the API.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{hooks, options};
use crate::call::{Answer, ApiError, Call, Params, Reply};
use crate::guest::config::sha1;
use crate::storage::retention::Retention;
use crate::storage::{Definition, exports};
use crate::world::World;

/// Options that only say how a storage is made or reached.
const NOT_STORED: &[&str] = &["storage", "type", "node", "digest", "delete", "password"];
fn entry(world: &World, id: &str, definition: &Definition) -> Value {
    let mut row = Map::new();
    row.insert("storage".into(), json!(id));
    row.insert("type".into(), json!(definition.kind));
    row.insert("digest".into(), json!(sha1(&world.storage.config_text())));
    for (key, value) in &definition.options {
        let number = matches!(
            key.as_str(),
            "disable" | "shared" | "max-protected-backups" | "priority"
        );
        let number = number.then(|| value.parse::<i64>().ok()).flatten();
        row.insert(
            key.clone(),
            number.map_or_else(|| json!(value), |number| json!(number)),
        );
    }
    Value::Object(row)
}

/// `GET /storage`: those the caller may see.
#[expect(clippy::unnecessary_wraps, reason = "a handler")]
pub(super) fn index(call: &Call<'_>) -> Reply {
    let world = call.sim.lock();
    let kind = call.params.text("type");
    let look = &["Datastore.Audit", "Datastore.AllocateSpace"];
    let rows: Vec<Value> = world
        .storage
        .definitions
        .iter()
        .filter(|(id, _)| {
            world
                .check_any(call.auth, &format!("/storage/{id}"), look)
                .is_ok()
        })
        .filter(|(_, definition)| kind.as_ref().is_none_or(|kind| *kind == definition.kind))
        .map(|(id, definition)| entry(&world, id, definition))
        .collect();
    Ok(Answer::Data(Value::Array(rows)))
}

/// `GET /storage/S`
pub(super) fn get(call: &Call<'_>) -> Reply {
    let world = call.sim.lock();
    let id = call.params.need("storage");
    let definition = world.storage.definition(&id)?;
    Ok(Answer::Data(entry(&world, &id, definition)))
}

fn stored(params: &Params) -> BTreeMap<String, String> {
    params
        .0
        .keys()
        .filter(|key| !NOT_STORED.contains(&key.as_str()) && !hooks::is_secret(key))
        .filter_map(|key| Some((key.clone(), params.text(key)?)))
        .map(|(key, value)| {
            let normal = (key == "prune-backups")
                .then(|| Retention::parse(&value).ok())
                .flatten();
            (key, normal.map_or(value, |retention| retention.to_string()))
        })
        .collect()
}

/// The names of the options among the parameters.
fn given(params: &Params) -> Vec<String> {
    let about = ["storage", "type", "node", "digest", "delete"];
    let names = params.0.keys();
    names
        .filter(|key| !about.contains(&key.as_str()))
        .cloned()
        .collect()
}

/// What the activation of a new storage fails with, if it does.
fn activate(world: &World, id: &str, definition: &Definition) -> Result<(), String> {
    let option = |key: &str| definition.options.get(key).map_or("", String::as_str);
    match definition.kind.as_str() {
        "dir" => world.storage.check_mount(id, definition),
        "nfs" | "cifs" => world.mount(id, definition),
        "lvmthin" => {
            let pool = &world.storage.pool;
            if option("vgname") == pool.vg && option("thinpool") == pool.lv {
                Ok(())
            } else {
                Err(format!(
                    "no such logical volume {}/{}",
                    option("vgname"),
                    option("thinpool")
                ))
            }
        }
        kind => Err(format!(
            "storage '{id}' is not online: this node cannot mount {kind}"
        )),
    }
}

/// `POST /storage`
pub(super) fn create(call: &Call<'_>) -> Reply {
    let (id, kind) = (call.params.need("storage"), call.params.need("type"));
    let mut definition = Definition {
        kind: kind.clone(),
        options: stored(call.params),
    };
    options::check_new(&definition, &given(call.params))?;
    options::settle_content(&mut definition)?;
    exports::settle(&mut definition, &id);
    let mut world = call.sim.lock();
    let failed = |text: String| ApiError::die(format!("create storage failed: {text}"));
    if world.storage.definitions.contains_key(&id) {
        return Err(failed(format!("storage ID '{id}' already defined")));
    }
    let mut answer = json!({ "storage": id, "type": kind });
    if kind == "pbs" {
        let now = call.sim.clock.shown();
        let told =
            hooks::add(&mut world, &id, &mut definition, call.params, now).map_err(failed)?;
        set_config(&mut answer, told);
    } else {
        activate(&world, &id, &definition).map_err(failed)?;
    }
    if let Some(path) = definition.path() {
        world.storage.adopt_folder(path, &id);
    }
    world.storage.definitions.insert(id.clone(), definition);
    Ok(Answer::Data(answer))
}

/// What the plugin made up, which is told this once.
fn set_config(answer: &mut Value, told: Map<String, Value>) {
    if let Some(fields) = answer.as_object_mut() {
        fields.insert("config".into(), Value::Object(told));
    }
}

/// `PUT /storage/S`
pub(super) fn update(call: &Call<'_>) -> Reply {
    let id = call.params.need("storage");
    let mut world = call.sim.lock();
    let now = call.sim.clock.shown();
    let (kind, told) = change(&mut world, &id, call.params, now)
        .map_err(|error| ApiError::die(format!("update storage failed: {}", error.message)))?;
    let mut answer = json!({ "storage": id, "type": kind });
    if kind == "pbs" {
        set_config(&mut answer, told);
    }
    Ok(Answer::Data(answer))
}

fn change(
    world: &mut World,
    id: &str,
    params: &Params,
    now: i64,
) -> Result<(String, Map<String, Value>), ApiError> {
    let digest = sha1(&world.storage.config_text());
    if params.text("digest").is_some_and(|given| given != digest) {
        return Err(ApiError::die(
            "detected modified configuration - file changed by other user? Try again.",
        ));
    }
    let mut definition = world.storage.definition(id)?.clone();
    let delete = params.text("delete").unwrap_or_default();
    let delete: Vec<&str> = delete
        .split([',', ' ', ';'])
        .filter(|key| !key.is_empty())
        .collect();
    options::check_change(&definition.kind, &given(params), &delete)?;
    // Only the storage that PVE assumes where nothing is configured shows its place in the order.
    definition.options.remove("priority");
    let mut told = Map::new();
    if definition.kind == "pbs" {
        let mut secret = world.storage.secrets.get(id).cloned().unwrap_or_default();
        let done = hooks::apply(&mut secret, &mut definition, params, &delete, now);
        told = done.map_err(ApiError::die)?;
        world.storage.secrets.insert(id.to_owned(), secret);
    }
    for key in delete {
        definition.options.remove(key);
    }
    definition.options.extend(stored(params));
    options::settle_content(&mut definition)?;
    let kind = definition.kind.clone();
    world.storage.definitions.insert(id.to_owned(), definition);
    Ok((kind, told))
}

/// `DELETE /storage/S`: the definition goes, the data stays.
pub(super) fn delete(call: &Call<'_>) -> Reply {
    let id = call.params.need("storage");
    let mut world = call.sim.lock();
    if world.storage.definitions.remove(&id).is_none() {
        return Err(ApiError::die(format!(
            "delete storage failed: storage '{id}' does not exist"
        )));
    }
    // The key goes with the definition: whoever kept no copy has lost what it encrypted.
    world.storage.secrets.remove(&id);
    world.storage_removed(&id);
    Ok(Answer::Data(Value::Null))
}
