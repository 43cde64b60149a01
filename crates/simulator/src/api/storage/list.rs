//! The node's storages and their state.

use serde_json::{Value, json};

use crate::call::{Answer, ApiError, Call, Reply};

/// `GET /nodes/N/storage`
#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "a fraction for people"
)]
pub(super) fn list(call: &Call<'_>) -> Reply {
    let mut world = call.sim.lock();
    world.settle(call.sim.clock.now_f64());
    let wanted = call.params.text("storage");
    if wanted
        .as_ref()
        .is_some_and(|id| !world.storage.definitions.contains_key(id))
    {
        return Err(ApiError::param("storage", "No such storage."));
    }
    let kinds = call.params.text("content").unwrap_or_default();
    let kinds: Vec<&str> = kinds.split(',').filter(|kind| !kind.is_empty()).collect();
    let mut rows = Vec::new();
    for (id, definition) in &world.storage.definitions {
        let may = world
            .check_any(
                call.auth,
                &format!("/storage/{id}"),
                &["Datastore.Audit", "Datastore.AllocateSpace"],
            )
            .is_ok();
        let fits = kinds.is_empty() || kinds.iter().any(|kind| definition.holds(kind));
        let on = definition.enabled() || (kinds.is_empty() && !call.params.flag("enabled"));
        if !may || !fits || !on || wanted.as_ref().is_some_and(|name| name != id) {
            continue;
        }
        let mut row = world.storage_status(id);
        row.insert("storage".into(), json!(id));
        let (total, used) = (
            row.get("total").and_then(Value::as_u64),
            row.get("used").and_then(Value::as_u64),
        );
        if let (Some(total), Some(used)) = (total, used)
            && total > 0
        {
            row.insert("used_fraction".into(), json!(used as f64 / total as f64));
        }
        rows.push(Value::Object(row));
    }
    Ok(Answer::Data(Value::Array(rows)))
}

/// `GET …/storage/S/status`
pub(super) fn status(call: &Call<'_>) -> Reply {
    let mut world = call.sim.lock();
    world.settle(call.sim.clock.now_f64());
    let id = call.params.need("storage");
    if !world.storage.definitions.contains_key(&id) {
        return Err(ApiError::param("storage", "No such storage."));
    }
    Ok(Answer::Data(Value::Object(world.storage_status(&id))))
}

/// `GET …/storage/S`: what there is below.
pub(super) fn index(call: &Call<'_>) -> Reply {
    call.sim
        .lock()
        .storage
        .definition(&call.params.need("storage"))?;
    let names = ["content", "download-url", "prunebackups", "status"];
    Ok(Answer::Data(
        names.iter().map(|name| json!({ "subdir": name })).collect(),
    ))
}
