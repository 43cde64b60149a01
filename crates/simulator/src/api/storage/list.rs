//! The node's storages and their state.

use std::sync::Arc;

use serde_json::{Value, json};

use super::reach;
use crate::access::Principal;
use crate::call::{Answer, ApiError, Call, Reply};
use crate::sim::Sim;
use crate::storage::Definition;

/// `GET /nodes/N/storage`. Every enabled storage that holds the content is activated for it, also those that the
/// caller may not see (pve-storage `Storage.pm` `storage_info`).
pub(super) fn list(call: &Call<'_>) -> Reply {
    let content = call.params.text("content").unwrap_or_default();
    let wanted = call.params.text("storage");
    let enabled_only = call.params.flag("enabled");
    let kinds = content.clone();
    let touches = move |_: &str, definition: &Definition| {
        kinds.is_empty() || kinds.split(',').any(|kind| definition.holds(kind))
    };
    let (sim, auth) = (Arc::clone(call.sim), call.auth.clone());
    reach::after(call.sim, touches, move || {
        let asked = Asked {
            content: &content,
            wanted: wanted.as_deref(),
            enabled_only,
        };
        rows(&sim, &auth, &asked)
    })
}

/// What the caller of the list wants to see.
struct Asked<'a> {
    content: &'a str,
    wanted: Option<&'a str>,
    enabled_only: bool,
}

#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "a fraction for people"
)]
fn rows(sim: &Sim, auth: &Principal, asked: &Asked<'_>) -> Reply {
    let mut world = sim.lock();
    world.settle(sim.clock.now_f64());
    let wanted = asked.wanted;
    if wanted.is_some_and(|id| !world.storage.definitions.contains_key(id)) {
        return Err(ApiError::param("storage", "No such storage."));
    }
    let kinds = asked.content.split(',');
    let kinds: Vec<&str> = kinds.filter(|kind| !kind.is_empty()).collect();
    let mut rows = Vec::new();
    for (id, definition) in &world.storage.definitions {
        let may = world
            .check_any(
                auth,
                &format!("/storage/{id}"),
                &["Datastore.Audit", "Datastore.AllocateSpace"],
            )
            .is_ok();
        let fits = kinds.is_empty() || kinds.iter().any(|kind| definition.holds(kind));
        let on = definition.enabled() || (kinds.is_empty() && !asked.enabled_only);
        if !may || !fits || !on || wanted.is_some_and(|name| name != id) {
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

/// `GET …/storage/S/status`. For one storage all are activated (pve-storage `API2/Storage/Status.pm` `read_status`).
pub(super) fn status(call: &Call<'_>) -> Reply {
    let id = call.params.need("storage");
    let sim = Arc::clone(call.sim);
    reach::after(
        call.sim,
        |_, _| true,
        move || {
            let mut world = sim.lock();
            world.settle(sim.clock.now_f64());
            if !world.storage.definitions.contains_key(&id) {
                return Err(ApiError::param("storage", "No such storage."));
            }
            Ok(Answer::Data(Value::Object(world.storage_status(&id))))
        },
    )
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
