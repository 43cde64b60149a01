//! Taking the lock from what a cut-off task left.
//!
//! It is proven from PVE's own files that there is nothing in the guest yet, or nothing any more: its configuration is the
//! stub that such a task leaves, the task is the last one on it, and neither it nor the guest runs.

use felhom_ids::{GuestKind, PoolId, Upid, Vmid};

use super::Root;
use super::scratch::{check_range, is_ours, place, unproven};
use crate::argv::CommandLine;
use crate::pve::guest_config::{GuestConfig, Stub};
use crate::pve::guests::{Place, this_node};
use crate::pve::task_files::TasksOfGuest;
use crate::pve::{lock_file, mounts, pools, running};
use crate::refusal::{Code, Refusal};
use crate::report::Report;

/// A sort of task that leaves a stub when it is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Leaves {
    kind: GuestKind,
    /// The lock of the stub.
    lock: &'static str,
}

/// A restore begins with `lock: create` (pve-guest-common `AbstractConfig.pm` `create_and_lock_config`), a removal ends with
/// `lock: destroyed` (pve-container `API2/LXC.pm` and qemu-server `API2/Qemu.pm`, `destroy_vm`). What is made from a template
/// is `vzcreate` or `qmcreate`, and not the agent's.
fn leaves(task: &str) -> Option<Leaves> {
    let (kind, lock) = match task {
        "vzrestore" => (GuestKind::Lxc, "create"),
        "vzdestroy" => (GuestKind::Lxc, "destroyed"),
        "qmrestore" => (GuestKind::Qemu, "create"),
        "qmdestroy" => (GuestKind::Qemu, "destroyed"),
        _ => return None,
    };
    Some(Leaves { kind, lock })
}

pub(super) fn release(root: Root<'_>, vmid: Vmid, upid: &Upid) -> Result<Report, Refusal> {
    check_range(root, vmid)?;
    let leaves = check_task(root, vmid, upid)?;
    let place = place(root, leaves.kind, vmid)?;
    let lock = stub(root, &place, vmid, leaves)?;
    let is_outside = check_pool(root, vmid)?;
    let unmounted = {
        let _held = lock_file::take(root.layout, leaves.kind, vmid)?;
        // Nobody changes the guest from here on; what was seen before counts only when it still holds.
        check_last(root, vmid, upid)?;
        check_still(root, leaves.kind, vmid, upid)?;
        if stub(root, &place, vmid, leaves)? != lock {
            return Err(unproven(format!("somebody changes {vmid} meanwhile")));
        }
        match leaves.kind {
            GuestKind::Lxc => mounts::clear(root.layout, vmid)?,
            GuestKind::Qemu => Vec::new(),
        }
    };
    if lock.is_some() {
        // It takes PVE's lock itself.
        let run = root.performer.run(&CommandLine::unlock(leaves.kind, vmid));
        let left = stub(root, &place, vmid, leaves)?;
        if let Some(left) = left {
            let text = format!("{vmid} still has the lock `{left}`");
            return Err(run.err().unwrap_or(Refusal::new(Code::Failed, text)));
        }
    }
    if let Some(pool) = is_outside {
        put_into_pool(root, pool, vmid)?;
    }
    Ok(Report::Released {
        vmid,
        lock,
        unmounted,
    })
}

/// The configured pool, when the guest is in none: a restore puts its guest into the pool at its very end (pve-container
/// `API2/LXC.pm` `create_vm`, `add_vm_to_pool`), so what one leaves that was cut off is not in it.
fn check_pool(root: Root<'_>, vmid: Vmid) -> Result<Option<&PoolId>, Refusal> {
    let Some(pool) = &root.scratch()?.pool else {
        return Ok(None);
    };
    match pools::of(root.layout, vmid)? {
        None => Ok(Some(pool)),
        Some(other) if other == pool.to_string() => Ok(None),
        Some(other) => Err(unproven(format!(
            "{vmid} is in the pool {other}, where no task of the agent's puts it"
        ))),
    }
}

fn put_into_pool(root: Root<'_>, pool: &PoolId, vmid: Vmid) -> Result<(), Refusal> {
    let run = root.performer.run(&CommandLine::put_into_pool(pool, vmid));
    if pools::of(root.layout, vmid)?.as_deref() == Some(pool.as_str()) {
        return Ok(());
    }
    let text = format!("{vmid} is released, and not in the pool {pool}");
    Err(run.err().unwrap_or(Refusal::new(Code::Failed, text)))
}

/// Whether the UPID is that of a task which may be released at all.
fn check_task(root: Root<'_>, vmid: Vmid, upid: &Upid) -> Result<Leaves, Refusal> {
    let kind = upid.kind();
    let leaves = leaves(kind).ok_or_else(|| {
        unproven(format!(
            "a task `{kind}` leaves nothing that is released; only restores and removals do"
        ))
    })?;
    if upid.task_id().is_some() || upid.id() != vmid.to_string() {
        return Err(unproven(format!("the task is not one on {vmid}")));
    }
    if !is_ours(root, upid)? {
        let user = upid.user();
        let text = format!(
            "the task is of {user}, which is not in `scratch.tokens` of /etc/felhom/hostd.toml"
        );
        return Err(unproven(text));
    }
    let node = this_node(root.layout)?;
    if *upid.node() != node {
        let text = format!("the task ran on {}, and this is {node}", upid.node());
        return Err(unproven(text));
    }
    Ok(leaves)
}

/// The lock of the stub; `None` of one that has none any more.
fn stub(
    root: Root<'_>,
    place: &Place,
    vmid: Vmid,
    leaves: Leaves,
) -> Result<Option<String>, Refusal> {
    let path = GuestConfig::path(place, vmid);
    let config = GuestConfig::read(root.layout, place, vmid)?
        .ok_or_else(|| Refusal::new(Code::NotFound, format!("{path} is gone")))?;
    let wanted = leaves.lock;
    match config.stub(leaves.kind) {
        Some(Stub::Unlocked) => Ok(None),
        Some(Stub::Locked(lock)) if lock == wanted => Ok(Some(lock.to_owned())),
        Some(Stub::Locked(lock)) => Err(unproven(format!(
            "{path} has the lock `{lock}`, and such a task leaves `{wanted}`"
        ))),
        None => Err(unproven(format!(
            "{path} holds more than such a task leaves, which is `lock: {wanted}` alone"
        ))),
    }
}

/// Whether the task is the last one on the guest, and did not end well.
fn check_last(root: Root<'_>, vmid: Vmid, upid: &Upid) -> Result<(), Refusal> {
    let tasks = TasksOfGuest::read(root.layout, vmid)?;
    let last = tasks.last()?;
    if last.upid != *upid {
        let text = format!(
            "the last task on {vmid} is another one: {}",
            last.upid.as_str()
        );
        return Err(unproven(text));
    }
    if last.ended_well() {
        let text = format!("the task ended well; what {vmid} is locked for is something else");
        return Err(unproven(text));
    }
    Ok(())
}

/// Whether neither the task, nor another on the guest, nor the guest itself runs.
fn check_still(root: Root<'_>, kind: GuestKind, vmid: Vmid, upid: &Upid) -> Result<(), Refusal> {
    let busy = |text: String| Err(Refusal::new(Code::Busy, text));
    if running::task_runs(root.layout, upid)? {
        return busy(format!("the task still runs, as process {}", upid.pid()));
    }
    if let Some(worker) = running::worker_of(root.layout, vmid)? {
        return busy(format!("a task on {vmid} runs: {}", worker.as_str()));
    }
    if running::guest_runs(root.layout, kind, vmid)? {
        let text = format!("guest {vmid} runs");
        return Err(Refusal::new(Code::InUse, text));
    }
    Ok(())
}
