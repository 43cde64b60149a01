//! Creating, restoring and removing containers: everything that is refused before a task starts, in PVE's order.

use std::collections::BTreeMap;

use serde_json::json;

use crate::call::{Answer, ApiError, Call, Reply};
use crate::guest::formats::{self, Source};
use crate::guest::permissions::Change;
use crate::guest::{Lxc, props, schema};
use crate::route::{Kind, Param};
use crate::workers::create::Order;
use crate::workers::{create as make, destroy as remove, restore};
use crate::world::World;

/// `unique` only makes sense for a restore.
pub(super) const UNIQUE: Param = Param {
    name: "unique",
    kind: Kind::Bool,
    optional: true,
    requires: Some("restore"),
};

/// A request on its way through the checks.
struct Wish {
    restore: bool,
    force: bool,
    /// The archive replaces an existing container.
    overwrite: bool,
    order: Order,
}

/// `POST /nodes/N/lxc`
pub(super) fn create(call: &Call<'_>) -> Reply {
    let wish = {
        let now = call.sim.clock.now_f64();
        let mut world = call.sim.lock();
        world.settle(now);
        world.reap(now);
        let mut wish = read(call)?;
        check_privileged(&world, call, &wish)?;
        check_vmid(&world, &mut wish)?;
        check_allocate(&world, call, &mut wish)?;
        check_options(&world, call, &wish)?;
        check_source(&world, call, &wish)?;
        complete_mounts(&mut wish)?;
        check_storages(&world, call, &wish)?;
        take_lock(&mut world, &wish)?;
        wish
    };
    let id = wish.order.vmid.to_string();
    let order = wish.order;
    let upid = if wish.restore {
        call.sim
            .start_task(call.auth, "vzrestore", &id, move |worker| {
                restore::run(worker, order)
            })
    } else {
        call.sim
            .start_task(call.auth, "vzcreate", &id, move |worker| {
                make::run(worker, order)
            })
    };
    Ok(Answer::Data(json!(upid)))
}

fn is_mount(key: &str) -> bool {
    key == "rootfs" || matches!(formats::index(key), Some(("mp", _)))
}

fn read(call: &Call<'_>) -> Result<Wish, ApiError> {
    let mut given = schema::values(call.params);
    given.retain(|key, _| !matches!(formats::index(key), Some(("unused", _))));
    let unprivileged = given.remove("unprivileged").map(|value| value == "1");
    let (mounts, given): (BTreeMap<_, _>, BTreeMap<_, _>) =
        given.into_iter().partition(|(key, _)| is_mount(key));
    let restore = call.params.flag("restore");
    let order = Order {
        vmid: call.params.vmid(),
        source: call.params.need("ostemplate"),
        storage: call
            .params
            .text("storage")
            .unwrap_or_else(|| "local".into()),
        pool: call.params.text("pool").filter(|pool| !pool.is_empty()),
        given,
        mounts,
        unprivileged: if restore {
            unprivileged
        } else {
            Some(unprivileged.unwrap_or(true))
        },
        unique: call.params.flag("unique"),
        start: call.params.flag("start"),
        ignore_errors: call.params.flag("ignore-unpack-errors"),
        overwrite: false,
        skip_firewall: false,
    };
    Ok(Wish {
        restore,
        force: call.params.flag("force"),
        overwrite: false,
        order,
    })
}

fn check_privileged(world: &World, call: &Call<'_>, wish: &Wish) -> Result<(), ApiError> {
    if !wish.restore && wish.order.unprivileged == Some(false) {
        world.check(call.auth, "/", &["Sys.Modify"])?;
    }
    if call.params.flag("ha-managed") {
        world.check(call.auth, "/", &["Sys.Console"])?;
    }
    Ok(())
}

fn check_vmid(world: &World, wish: &mut Wish) -> Result<(), ApiError> {
    let vmid = wish.order.vmid;
    let Some(kind) = world.vmid_taken(vmid) else {
        return Ok(());
    };
    let node = &world.node.name;
    let guest = world
        .guests
        .lxc
        .get(&vmid)
        .filter(|_| wish.restore && wish.force);
    let Some(guest) = guest else {
        return Err(ApiError::die(format!(
            "{kind} {vmid} already exists on node '{node}'"
        )));
    };
    if guest.run.is_some() {
        return Err(ApiError::die("can't overwrite running container"));
    }
    if guest.config.current.flag("protection") {
        return Err(ApiError::die(format!(
            "unable to restore CT {vmid} - protection mode enabled"
        )));
    }
    wish.overwrite = true;
    wish.order.overwrite = true;
    Ok(())
}

fn check_allocate(world: &World, call: &Call<'_>, wish: &mut Wish) -> Result<(), ApiError> {
    let vmid = wish.order.vmid;
    if let Some(pool) = &wish.order.pool {
        world.check_pool_exists(pool)?;
        if world.has(call.auth, &format!("/pool/{pool}"), "VM.Allocate") {
            return Ok(());
        }
    }
    let path = format!("/vms/{vmid}");
    if world.has(call.auth, &path, "VM.Allocate") {
        return Ok(());
    }
    if wish.overwrite && world.has(call.auth, &path, "VM.Backup") {
        wish.order.skip_firewall = true;
        return Ok(());
    }
    Err(ApiError::forbidden(""))
}

fn check_options(world: &World, call: &Call<'_>, wish: &Wish) -> Result<(), ApiError> {
    let order = &wish.order;
    let mut set = order.given.clone();
    set.extend(order.mounts.clone());
    let change = Change {
        vmid: order.vmid,
        pool: order.pool.as_deref(),
        old: None,
        set: &set,
        delete: &[],
        unprivileged: order.unprivileged.unwrap_or(false),
    };
    world.check_change(call.auth, &change)
}

fn check_source(world: &World, call: &Call<'_>, wish: &Wish) -> Result<(), ApiError> {
    let wanted = if wish.restore { "backup" } else { "vztmpl" };
    world.check_volume_access(
        call.auth,
        Some(wish.order.vmid),
        &wish.order.source,
        Some(wanted),
    )
}

/// A plain number of GiB means the default storage; mount points want a root file system beside them.
fn complete_mounts(wish: &mut Wish) -> Result<(), ApiError> {
    let order = &mut wish.order;
    for text in order.mounts.values_mut() {
        let (first, rest) = text
            .split_once(',')
            .map_or((text.as_str(), None), |(a, b)| (a, Some(b)));
        let number = first.strip_prefix("volume=").unwrap_or(first);
        if !number.is_empty() && number.chars().all(|c| c.is_ascii_digit() || c == '.') {
            let rest = rest.map(|rest| format!(",{rest}")).unwrap_or_default();
            *text = format!("{}:{number}{rest}", order.storage);
        }
    }
    if !order.mounts.is_empty() && !order.mounts.contains_key("rootfs") {
        return Err(ApiError::die(
            "mount points configured, but 'rootfs' not set - aborting",
        ));
    }
    Ok(())
}

fn check_storages(world: &World, call: &Call<'_>, wish: &Wish) -> Result<(), ApiError> {
    let order = &wish.order;
    let mut storages: Vec<String> = Vec::new();
    for (key, text) in &order.mounts {
        let format = if key == "rootfs" {
            &formats::ROOTFS
        } else {
            &formats::MP
        };
        let Ok(props) = props::parse(format, key, text) else {
            continue;
        };
        let volume = props.get("volume").map_or("", String::as_str);
        if formats::source(volume) == Source::Volume {
            storages.push(volume.split(':').next().unwrap_or_default().to_owned());
        } else if !call.auth.is_root() {
            return Err(ApiError::die(
                "Only root can pass arbitrary filesystem paths.",
            ));
        }
    }
    if order.mounts.is_empty() {
        storages.push(order.storage.clone());
    }
    for id in storages {
        if !world.storage.usable(&id)?.holds("rootdir") {
            let text = format!("storage '{id}' does not support container directories");
            return Err(ApiError::param("storage", text));
        }
        world.check(
            call.auth,
            &format!("/storage/{id}"),
            &["Datastore.AllocateSpace"],
        )?;
    }
    Ok(())
}

/// The configuration that says from now on that somebody works here.
fn take_lock(world: &mut World, wish: &Wish) -> Result<(), ApiError> {
    let vmid = wish.order.vmid;
    if wish.overwrite {
        let guest = world.lxc(vmid)?;
        guest
            .check_lock()
            .map_err(|error| ApiError::die(format!("unable to restore CT {vmid} - {error}")))?;
        world.lock_guest(vmid, "create");
    } else {
        let guest = Lxc {
            config: remove::stub("create"),
            ..Lxc::default()
        };
        world.guests.lxc.insert(vmid, guest);
    }
    Ok(())
}

/// `DELETE /nodes/N/lxc/ID`
pub(super) fn destroy(call: &Call<'_>) -> Reply {
    let order = remove::Order {
        vmid: call.params.vmid(),
        force: call.params.flag("force"),
        purge: call.params.flag("purge"),
        unreferenced: call.params.flag("destroy-unreferenced-disks"),
    };
    {
        let now = call.sim.clock.now_f64();
        let mut world = call.sim.lock();
        world.reap(now);
        remove::refusal(&world, order)?;
    }
    let upid = call.sim.start_task(
        call.auth,
        "vzdestroy",
        &order.vmid.to_string(),
        move |worker| remove::run(worker, order),
    );
    Ok(Answer::Data(json!(upid)))
}

/// `POST …/clone`: permissions and the refusals that come before any copying; copying itself is not built.
pub(super) fn clone(call: &Call<'_>) -> Reply {
    let world = call.sim.lock();
    let target = call
        .params
        .int("newid")
        .and_then(|id| u32::try_from(id).ok())
        .unwrap_or_default();
    let pool = call.params.text("pool");
    world
        .check_vm(call.auth, target, pool.as_deref(), &["VM.Allocate"])
        .map_err(|_| ApiError::forbidden(""))?;
    let guest = world.lxc(call.params.vmid())?;
    if let Some(kind) = world.vmid_taken(target) {
        let node = &world.node.name;
        return Err(ApiError::die(format!(
            "{kind} {target} already exists on node '{node}'"
        )));
    }
    guest.check_lock().map_err(ApiError::die)?;
    for mount in guest.config.current.mounts() {
        if mount.source() != Source::Volume {
            let (key, kind) = (&mount.key, mount.source().word());
            return Err(ApiError::die(format!(
                "unable to clone mountpoint '{key}' (type {kind})"
            )));
        }
    }
    if guest.run.is_some() && call.params.text("snapname").is_none() {
        return Err(ApiError::die(
            "Full clone of a running container is only possible from a snapshot",
        ));
    }
    Err(ApiError::die("this node cannot copy containers"))
}
