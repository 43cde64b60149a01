//! A container's options: shown, changed, resized.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::call::{Answer, ApiError, Call, Reply};
use crate::guest::change::Request;
use crate::guest::config::{Section, typed};
use crate::guest::permissions::Change;
use crate::guest::schema;
use crate::workers::disk;
use crate::world::World;

/// Splits a list parameter.
fn list(text: &str) -> Vec<String> {
    let parts = text.split(|c: char| c == ',' || c == ';' || c == '\0' || c.is_whitespace());
    parts
        .filter(|part| !part.is_empty())
        .map(ToOwned::to_owned)
        .collect()
}

/// Secrets of a container's environment are for those who may change options.
fn hide_env(world: &World, call: &Call<'_>, section: &mut Section) {
    if !world.has(
        call.auth,
        &format!("/vms/{}", call.params.vmid()),
        "VM.Config.Options",
    ) {
        section.values.remove("env");
    }
}

/// `GET …/config`
pub(super) fn get(call: &Call<'_>) -> Reply {
    let world = call.sim.lock();
    let config = &world.lxc(call.params.vmid())?.config;
    let mut section = match call.params.text("snapshot") {
        Some(name) => {
            let found = config.snapshots.get(&name).cloned();
            found.ok_or_else(|| ApiError::die(format!("snapshot '{name}' does not exist")))?
        }
        None if call.params.flag("current") => config.current.clone(),
        None => config.merged(),
    };
    hide_env(&world, call, &mut section);
    let mut row = section.json();
    row.insert("digest".into(), json!(config.digest()));
    Ok(Answer::Data(Value::Object(row)))
}

/// `GET …/pending`
pub(super) fn pending(call: &Call<'_>) -> Reply {
    let world = call.sim.lock();
    let config = &world.lxc(call.params.vmid())?.config;
    let mut current = config.current.clone();
    hide_env(&world, call, &mut current);
    let deletes = config.pending_deletes();
    let mut rows = vec![json!({ "key": "digest", "value": config.digest() })];
    for (key, value) in &current.values {
        let value = typed(key, value);
        rows.push(match config.pending.get(key) {
            Some(next) => json!({ "key": key, "value": value, "pending": typed(key, next) }),
            None if deletes.contains(key) => json!({ "key": key, "value": value, "delete": 1 }),
            None => json!({ "key": key, "value": value }),
        });
    }
    for (key, value) in &config.pending {
        if key != "delete" && !current.values.contains_key(key) {
            rows.push(json!({ "key": key, "pending": typed(key, value) }));
        }
    }
    Ok(Answer::Data(Value::Array(rows)))
}

/// `PUT …/config`
pub(super) fn put(call: &Call<'_>) -> Reply {
    let set = schema::values(call.params);
    let request = Request {
        vmid: call.params.vmid(),
        set,
        delete: list(&call.params.text("delete").unwrap_or_default()),
        digest: call
            .params
            .text("digest")
            .filter(|digest| !digest.is_empty()),
    };
    let now = call.sim.clock.now_f64();
    let mut world = call.sim.lock();
    world.settle(now);
    world.reap(now);
    if let Some(keys) = call.params.text("revert") {
        let config = &mut world.lxc_mut(request.vmid)?.config;
        for key in list(&keys) {
            config.pending.remove(&key);
        }
    }
    world.change_config(call.auth, &request, call.sim.clock.now())?;
    Ok(Answer::Data(Value::Null))
}

/// `PUT …/resize`: judged as a change of an option named `disk`, which falls to VM.Config.Options.
pub(super) fn resize(call: &Call<'_>) -> Reply {
    let vmid = call.params.vmid();
    let (disk, text) = (call.params.need("disk"), call.params.need("size"));
    let size = {
        let world = call.sim.lock();
        let guest = world.lxc(vmid)?;
        let set = BTreeMap::from([("disk".to_owned(), disk.clone())]);
        let section = &guest.config.current;
        let unprivileged = section.flag("unprivileged");
        let change = Change {
            vmid,
            pool: None,
            old: Some(section),
            set: &set,
            delete: &[],
            unprivileged,
        };
        world.check_change(call.auth, &change)?;
        guest.check_lock().map_err(ApiError::die)?;
        if call
            .params
            .text("digest")
            .is_some_and(|digest| digest != guest.config.digest())
        {
            return Err(ApiError::die(
                "detected modified configuration - file changed by other user? Try again.",
            ));
        }
        let mount = guest.volumes().into_iter().find(|mount| mount.key == disk);
        let mount = mount.ok_or_else(|| ApiError::die(format!("no such volume '{disk}'")))?;
        let storage = mount
            .volume()
            .split(':')
            .next()
            .unwrap_or_default()
            .to_owned();
        world.check(
            call.auth,
            &format!("/storage/{storage}"),
            &["Datastore.AllocateSpace"],
        )?;
        let old = world.volume(mount.volume())?.size;
        let size = disk::new_size(&text, old)
            .ok_or_else(|| ApiError::param("size", "value does not match the regex pattern"))?;
        if size < old {
            return Err(ApiError::die("unable to shrink disk size"));
        }
        if size == old {
            return Err(ApiError::die("disk is already at specified size"));
        }
        // LVM rounds up to whole extents of 4 MiB.
        size.div_ceil(4 << 20) * (4 << 20)
    };
    let upid = call
        .sim
        .start_task(call.auth, "resize", &vmid.to_string(), move |worker| {
            disk::resize(worker, vmid, disk, size)
        });
    Ok(Answer::Data(json!(upid)))
}
