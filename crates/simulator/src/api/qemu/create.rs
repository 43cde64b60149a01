//! Creating, restoring and removing machines: what is refused before a task starts, in PVE's order.

use serde_json::json;

use super::config::given;
use super::power::skip_lock;
use crate::call::{Answer, ApiError, Call, Reply};
use crate::guest::config::Config;
use crate::qemu::permissions::Change;
use crate::qemu::{Qemu, drives};
use crate::workers::qemu::{create as make, destroy as remove, restore};
use crate::world::World;

/// `POST /nodes/N/qemu`
pub(super) fn create(call: &Call<'_>) -> Reply {
    let now = call.sim.clock.now_f64();
    let vmid = call.params.vmid();
    let archive = call
        .params
        .text("archive")
        .filter(|archive| !archive.is_empty());
    let pool = call.params.text("pool").filter(|pool| !pool.is_empty());
    let set = given(call.params);
    {
        let mut world = call.sim.lock();
        world.settle(now);
        world.reap(now);
        check_caller(&world, call, pool.as_deref(), archive.is_some())?;
        if let Some(archive) = &archive {
            if let Some(key) = set.keys().find(|key| drives::is_drive(key)) {
                return Err(ApiError::param(
                    key,
                    "option conflicts with option 'archive'",
                ));
            }
            world.check_volume_access(call.auth, Some(vmid), archive, Some("backup"))?;
        }
        let change = Change {
            who: call.auth,
            vmid,
            pool: pool.as_deref(),
        };
        world.check_machine_drives(change, &set)?;
        world.check_machine_options(change, &set)?;
        take_lock(&mut world, call, archive.is_some())?;
    }
    let start = call.params.flag("start");
    let upid = if let Some(archive) = archive {
        let order = restore::Order {
            vmid,
            archive,
            storage: call.params.text("storage"),
            pool,
            given: set,
            unique: call.params.flag("unique"),
            start,
        };
        begin_restore(call, order)
    } else {
        let order = make::Order {
            vmid,
            pool,
            given: set,
            start,
        };
        let id = vmid.to_string();
        call.sim
            .start_task(call.auth, "qmcreate", &id, move |worker| {
                make::run(worker, order)
            })
    };
    Ok(Answer::Data(json!(upid)))
}

fn begin_restore(call: &Call<'_>, order: restore::Order) -> String {
    let id = order.vmid.to_string();
    call.sim
        .start_task(call.auth, "qmrestore", &id, move |worker| {
            restore::run(worker, order)
        })
}

fn check_caller(
    world: &World,
    call: &Call<'_>,
    pool: Option<&str>,
    restores: bool,
) -> Result<(), ApiError> {
    let vmid = call.params.vmid();
    if let Some(pool) = pool {
        world.check_pool_exists(pool)?;
    }
    if let Some(storage) = call.params.text("storage") {
        let path = format!("/storage/{storage}");
        world.check(call.auth, &path, &["Datastore.AllocateSpace"])?;
    }
    if call.params.flag("start") {
        world.check_vm(call.auth, vmid, pool, &["VM.PowerMgmt"])?;
    }
    let path = format!("/vms/{vmid}");
    let overwrites = restores && call.params.flag("force") && world.qemu.contains_key(&vmid);
    let may = world.has(call.auth, &path, "VM.Allocate")
        || pool.is_some_and(|pool| world.has(call.auth, &format!("/pool/{pool}"), "VM.Allocate"))
        || overwrites && world.has(call.auth, &path, "VM.Backup");
    if may {
        Ok(())
    } else {
        Err(ApiError::forbidden(""))
    }
}

/// The configuration that says from now on that somebody works here (`create_and_lock_config`).
fn take_lock(world: &mut World, call: &Call<'_>, restores: bool) -> Result<(), ApiError> {
    let vmid = call.params.vmid();
    let verb = if restores { "restore" } else { "create" };
    let refuse = |reason: String| ApiError::die(format!("unable to {verb} VM {vmid} - {reason}"));
    if let Some(kind) = world.vmid_taken(vmid)
        && (kind == "CT" || !call.params.flag("force"))
    {
        let node = &world.node.name;
        return Err(refuse(format!(
            "{kind} {vmid} already exists on node '{node}'"
        )));
    }
    if let Some(guest) = world.qemu.get(&vmid) {
        guest.check_lock().map_err(refuse)?;
        world.lock_machine(vmid, "create");
        return Ok(());
    }
    let guest = Qemu {
        config: Config::parse("lock: create\n"),
        ..Qemu::default()
    };
    world.qemu.insert(vmid, guest);
    Ok(())
}

/// `DELETE /nodes/N/qemu/ID`
pub(super) fn destroy(call: &Call<'_>) -> Reply {
    let order = remove::Order {
        vmid: call.params.vmid(),
        purge: call.params.flag("purge"),
        unreferenced: call.params.flag("destroy-unreferenced-disks"),
        skip_lock: skip_lock(call)?,
    };
    {
        let mut world = call.sim.lock();
        world.reap(call.sim.clock.now_f64());
        remove::refusal(&world, order.vmid)?;
    }
    let id = order.vmid.to_string();
    let upid = call
        .sim
        .start_task(call.auth, "qmdestroy", &id, move |worker| {
            remove::run(worker, order)
        });
    Ok(Answer::Data(json!(upid)))
}
