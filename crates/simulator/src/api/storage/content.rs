//! The content of storages: listed, annotated, protected, deleted, pruned.

use std::fs;
use std::io;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::reach;
use crate::call::{Answer, ApiError, Call, Reply};
use crate::guest::props;
use crate::storage::access::{self, VolumeName};
use crate::storage::backups;
use crate::storage::retention::{Mark, Retention};
use crate::words;
use crate::workers::{disk, seconds};
use crate::world::World;

/// The volume of the path: `local:backup/…`, or without its storage in front.
fn volid(call: &Call<'_>) -> Result<String, ApiError> {
    let (volume, storage) = (call.params.need("volume"), call.params.need("storage"));
    let Some((named, _)) = volume.split_once(':') else {
        return Ok(format!("{storage}:{volume}"));
    };
    let problem = match words::volume_id(&volume) {
        Err(problem) => problem,
        Ok(()) if named != storage => format!("storage ID mismatch ({named} != {storage})"),
        Ok(()) => return Ok(volume),
    };
    Err(ApiError::param("volume", format!("{problem}\n")))
}

fn vmid(call: &Call<'_>) -> Option<u32> {
    call.params
        .int("vmid")
        .and_then(|id| u32::try_from(id).ok())
}

/// `GET …/content`. Activates this storage and no other (pve-storage `Storage.pm` `volume_list`).
pub(super) fn list(call: &Call<'_>) -> Reply {
    let storage = call.params.need("storage");
    let (content, vmid) = (call.params.text("content"), vmid(call));
    let (sim, auth, named) = (Arc::clone(call.sim), call.auth.clone(), storage.clone());
    reach::after(
        call.sim,
        |id, _| id == named,
        move || {
            let mut world = sim.lock();
            world.settle(sim.clock.now_f64());
            let rows = world.content_list(&auth, &storage, content.as_deref(), vmid)?;
            Ok(Answer::Data(Value::Array(rows)))
        },
    )
}

/// `POST …/content`
pub(super) fn allocate(call: &Call<'_>) -> Reply {
    let (storage, name) = (call.params.need("storage"), call.params.need("filename"));
    let owner = call.params.vmid();
    let text = call.params.need("size");
    // A size without unit is in KiB here.
    let size = match text.parse::<u64>() {
        Ok(number) => Some(number << 10),
        Err(_) => props::parse_size(&text),
    };
    let size =
        size.ok_or_else(|| ApiError::param("size", "value does not match the regex pattern"))?;
    let mut world = call.sim.lock();
    world.settle(call.sim.clock.now_f64());
    let thin = world.storage.usable(&storage)?.kind == "lvmthin";
    check_format(call, &name, thin)?;
    let file = name.rsplit('/').next().unwrap_or_default();
    if !file.starts_with(&format!("vm-{owner}-")) {
        return Err(ApiError::die(format!(
            "illegal name '{name}' - should be 'vm-{owner}-*'"
        )));
    }
    let name = if thin {
        name.clone()
    } else {
        format!("{owner}/{file}")
    };
    if world
        .storage
        .volumes
        .contains_key(&format!("{storage}:{name}"))
    {
        let text = format!(
            "lvcreate 'pve/{name}' error:   Logical Volume \"{name}\" already exists in volume group \"pve\""
        );
        return Err(ApiError::die(text));
    }
    let now = call.sim.clock.now();
    let made = world.allocate(&storage, owner, Some(&name), size, now, &mut Vec::new());
    made.map(|volid| Answer::Data(json!(volid)))
        .map_err(ApiError::die)
}

/// The format named by the file's extension and the one that was asked for must be one, and one of the storage's.
fn check_format(call: &Call<'_>, name: &str, thin: bool) -> Result<(), ApiError> {
    let named = ["raw", "qcow2", "vmdk"]
        .into_iter()
        .find(|format| name.ends_with(&format!(".{format}")));
    let asked = call.params.text("format");
    if let (Some(named), Some(asked)) = (named, &asked)
        && named != asked
    {
        let text = format!("different storage formats ({asked} != {named})");
        return Err(ApiError::param("format", text));
    }
    match named.map(str::to_owned).or(asked) {
        Some(format) if thin && format != "raw" => Err(ApiError::die(format!(
            "unsupported format '{format}' at /usr/share/perl5/PVE/Storage/LvmThinPlugin.pm line 102."
        ))),
        _ => Ok(()),
    }
}

/// `GET …/content/VOLUME`
pub(super) fn get(call: &Call<'_>) -> Reply {
    let volid = volid(call)?;
    let world = call.sim.lock();
    world.check_volume_access(call.auth, None, &volid, None)?;
    world.volume_attributes(&volid).map(Answer::Data)
}

/// Whether a caller has no quota of protected archives.
pub(super) fn limit_free(world: &World, call: &Call<'_>, storage: &str) -> bool {
    world.has(
        call.auth,
        &format!("/storage/{storage}"),
        "Datastore.Allocate",
    )
}

/// `PUT …/content/VOLUME`
pub(super) fn update(call: &Call<'_>) -> Reply {
    let volid = volid(call)?;
    let mut world = call.sim.lock();
    world.check_volume_access(call.auth, None, &volid, None)?;
    let volume = access::parse(&world, &volid)?;
    check_attributes(&world, call, &volume)?;
    let on_server = world.is_pbs(&volume.storage);
    if let Some(notes) = call.params.text("notes").filter(|_| on_server) {
        world
            .mark_pbs(&volid, Some(&notes), None)
            .map_err(ApiError::die)?;
    } else if let Some(notes) = call.params.text("notes") {
        // A file beside the archive, whether or not there is one.
        let Some(archive) = world.archive_path(&volid) else {
            return Ok(Answer::Data(Value::Null));
        };
        let path = backups::notes_path(&archive);
        let done = if notes.is_empty() {
            remove_quietly(&path)
        } else {
            fs::write(&path, notes)
        };
        done.map_err(|error| ApiError::die(format!("unable to write notes - {error}")))?;
    }
    if call.params.has("protected") {
        let free = limit_free(&world, call, &volume.storage);
        world.protect(&volid, call.params.flag("protected"), free)?;
    }
    Ok(Answer::Data(Value::Null))
}

/// Only backups on directories have attributes.
fn check_attributes(world: &World, call: &Call<'_>, volume: &VolumeName) -> Result<(), ApiError> {
    if volume.kind == "backup" {
        return Ok(());
    }
    let kind = &world.storage.definition(&volume.storage)?.kind;
    if call.params.has("notes") {
        return Err(ApiError::die(match kind.as_str() {
            "dir" => "only backups can have notes",
            _ => {
                "volume notes are not supported for PVE::Storage::LvmThinPlugin at \
                 /usr/share/perl5/PVE/Storage/Plugin.pm line 1300."
            }
        }));
    }
    if call.params.has("protected") {
        return Err(ApiError::die(match kind.as_str() {
            "dir" => "only backups support attribute 'protected'".to_owned(),
            _ => format!("attribute 'protected' is not supported for storage type '{kind}'"),
        }));
    }
    Ok(())
}

fn remove_quietly(path: &std::path::Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn check_delete(world: &World, call: &Call<'_>, volume: &VolumeName) -> Result<(), ApiError> {
    let path = format!("/storage/{}", volume.storage);
    match volume.owner {
        Some(owner) if volume.kind == "backup" => {
            world.check(call.auth, &path, &["Datastore.AllocateSpace"])?;
            world.check(call.auth, &format!("/vms/{owner}"), &["VM.Backup"])
        }
        _ => world.check(call.auth, &path, &["Datastore.Allocate"]),
    }
}

/// `DELETE …/content/VOLUME`
pub(super) fn delete(call: &Call<'_>) -> Reply {
    let volid = volid(call)?;
    let volume = {
        let world = call.sim.lock();
        let volume = access::parse(&world, &volid)?;
        check_delete(&world, call, &volume)?;
        volume
    };
    let id = match volume.owner {
        Some(owner) => format!("{owner}@{}", volume.storage),
        None => volume.storage.clone(),
    };
    let upid = call
        .sim
        .start_task(call.auth, "imgdel", &id, move |worker| {
            disk::delete(worker, volid)
        });
    let Some(delay) = call
        .params
        .int("delay")
        .and_then(|delay| u32::try_from(delay).ok())
    else {
        return Ok(Answer::Data(json!(upid)));
    };
    let sim = Arc::clone(call.sim);
    Ok(Answer::Later(Box::pin(async move {
        let Some(parsed) = crate::tasks::Upid::parse(&upid) else {
            return Ok(Answer::Data(json!(upid)));
        };
        for _ in 0..delay * 5 {
            sim.clock.sleep(seconds(0.2)).await;
            if sim.tasks.is_running(&parsed) {
                continue;
            }
            return match sim.tasks.exit_status(&parsed) {
                Some(status) if status == "OK" => Ok(Answer::Data(Value::Null)),
                Some(status) => Err(ApiError::die(status)),
                None => Ok(Answer::Data(json!(upid))),
            };
        }
        Ok(Answer::Data(json!(upid)))
    })))
}

/// What to keep, once the storage is found to hold backups at all.
fn retention(world: &World, given: Option<&str>, storage: &str) -> Result<Retention, ApiError> {
    if !world.storage.definition(storage)?.holds("backup") {
        let text = format!("storage '{storage}' does not support backups");
        return Err(ApiError::die(text));
    }
    let retention = match given {
        Some(text) => Retention::parse(text).ok(),
        None => world.storage_retention(storage),
    };
    let retention = retention.ok_or_else(|| {
        ApiError::die(format!(
            "no prune-backups options configured for storage '{storage}'"
        ))
    })?;
    world.storage.usable(storage)?;
    Ok(retention)
}

/// `GET …/prunebackups`
pub(super) fn prune_plan(call: &Call<'_>) -> Reply {
    let world = call.sim.lock();
    let storage = call.params.need("storage");
    let given = call.params.text("prune-backups");
    let retention = retention(&world, given.as_deref(), &storage)?;
    let plan = world.prune_plan(
        &storage,
        &retention,
        vmid(call),
        call.params.text("type").as_deref(),
    );
    let row = |(backup, mark): &(backups::Backup, Mark)| {
        let pairs = [
            ("volid", json!(backup.volid)),
            ("ctime", json!(backup.ctime)),
            ("mark", json!(mark.word())),
            ("type", json!(backup.subtype)),
        ];
        let vmid = backup.vmid.map(|vmid| ("vmid", json!(vmid)));
        let row: Map<String, Value> = pairs
            .into_iter()
            .chain(vmid)
            .map(|(key, value)| (key.to_owned(), value))
            .collect();
        Value::Object(row)
    };
    Ok(Answer::Data(plan.iter().map(row).collect()))
}

/// `DELETE …/prunebackups`
pub(super) fn prune(call: &Call<'_>) -> Reply {
    let storage = call.params.need("storage");
    let (vmid, kind) = (vmid(call), call.params.text("type"));
    let given = call.params.text("prune-backups");
    {
        let world = call.sim.lock();
        let path = format!("/storage/{storage}");
        match vmid {
            Some(id) => {
                world.check(call.auth, &path, &["Datastore.AllocateSpace"])?;
                world.check(call.auth, &format!("/vms/{id}"), &["VM.Backup"])?;
            }
            None => world.check(call.auth, &path, &["Datastore.Allocate"])?,
        }
    }
    let id = vmid.map_or_else(|| storage.clone(), |vmid| format!("{vmid}@{storage}"));
    let upid = call
        .sim
        .start_task(call.auth, "prunebackups", &id, move |worker| async move {
            let retention = {
                let world = worker.sim.lock();
                retention(&world, given.as_deref(), &storage).map_err(|error| error.in_task())?
            };
            disk::prune(worker, storage, retention, vmid, kind).await
        });
    Ok(Answer::Data(json!(upid)))
}

/// `POST …/download-url`: this node reaches no other host.
pub(super) fn download(call: &Call<'_>) -> Reply {
    call.sim
        .lock()
        .storage
        .usable(&call.params.need("storage"))?;
    let url = call.params.need("url");
    let upid = call.sim.start_task(
        call.auth,
        "download",
        &call.params.need("filename"),
        |worker| async move {
            worker.log(format!("downloading {url}"));
            worker.sleep(seconds(1.0)).await?;
            Err(format!(
                "download failed - wget: unable to connect to {url}"
            ))
        },
    );
    Ok(Answer::Data(json!(upid)))
}
