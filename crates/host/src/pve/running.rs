//! What runs now: a task's worker, or the guest itself.

use std::fs;

use felhom_ids::{GuestKind, Upid, Vmid};

use super::files;
use crate::layout::Layout;
use crate::refusal::{Code, Refusal};

/// The sockets of a host with very many of them.
const MOST_SOCKETS: u64 = 64 * 1024 * 1024;
const SHORT: u64 = 64 * 1024;

/// Whether the worker of this task runs: its process is there, started when the UPID says, and is no zombie (as pve-common
/// `ProcFSTools.pm` `check_process_running` has it).
pub(crate) fn task_runs(layout: &Layout, upid: &Upid) -> Result<bool, Refusal> {
    let path = format!("/proc/{}/stat", upid.pid());
    let Some(stat) = read_or_gone(layout, &path)? else {
        return Ok(false);
    };
    // The second field is the program's name in parentheses, and may hold anything.
    let fields = stat
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_whitespace());
    let mut fields = fields.ok_or_else(|| unproven(&path, &"it is not understood"))?;
    let is_zombie = fields.next() == Some("Z");
    let started: Option<u64> = fields.nth(18).and_then(|field| field.parse().ok());
    let started = started.ok_or_else(|| unproven(&path, &"it is not understood"))?;
    Ok(!is_zombie && started == upid.pstart())
}

/// A worker of a task on this guest that runs now: a process that calls itself `task UPID:…` (pve-common
/// `RESTEnvironment.pm` `fork_worker`).
pub(crate) fn worker_of(layout: &Layout, vmid: Vmid) -> Result<Option<Upid>, Refusal> {
    let proc = "/proc";
    let entries = fs::read_dir(layout.path(proc)).map_err(|error| unproven(proc, &error))?;
    for entry in entries {
        let entry = entry.map_err(|error| unproven(proc, &error))?;
        let name = entry.file_name();
        let is_process = name
            .to_str()
            .is_some_and(|name| name.parse::<u32>().is_ok());
        if !is_process {
            continue;
        }
        // A process that has gone meanwhile works on nothing; one with a longer command line is none of PVE's.
        let Ok(line) = files::of_kernel(&entry.path().join("cmdline"), SHORT) else {
            continue;
        };
        let line = String::from_utf8_lossy(&line).into_owned();
        let upid = line
            .strip_prefix("task ")
            .map(|rest| rest.trim_matches('\0').trim());
        let upid = upid.and_then(|upid| upid.parse::<Upid>().ok());
        let is_this = |upid: &Upid| upid.id() == vmid.to_string();
        if let Some(upid) = upid.filter(is_this).filter(|upid| runs(layout, upid)) {
            return Ok(Some(upid));
        }
    }
    Ok(None)
}

/// When in doubt it runs.
fn runs(layout: &Layout, upid: &Upid) -> bool {
    task_runs(layout, upid).unwrap_or(true)
}

/// Whether the guest runs: a container by its command socket (pve-container `LXC.pm` `list_active_containers`), a machine by
/// its pid file (qemu-server `Helpers.pm` `vm_running_locally`), and both by the processes of its control group.
pub(crate) fn guest_runs(layout: &Layout, kind: GuestKind, vmid: Vmid) -> Result<bool, Refusal> {
    match kind {
        GuestKind::Lxc => Ok(has_command_socket(layout, vmid)?
            || is_populated(layout, &format!("/sys/fs/cgroup/lxc/{vmid}"))?),
        GuestKind::Qemu => Ok(
            has_process(layout, &format!("/run/qemu-server/{vmid}.pid"))?
                || is_populated(layout, &format!("/sys/fs/cgroup/qemu.slice/{vmid}.scope"))?,
        ),
    }
}

fn has_command_socket(layout: &Layout, vmid: Vmid) -> Result<bool, Refusal> {
    let path = "/proc/net/unix";
    let sockets = files::of_kernel(&layout.path(path), MOST_SOCKETS);
    let sockets = sockets.map_err(|error| unproven(path, &error))?;
    let socket = format!(" @/var/lib/lxc/{vmid}/command");
    let mut lines = sockets.split(|byte| *byte == b'\n');
    Ok(lines.any(|line| line.trim_ascii_end().ends_with(socket.as_bytes())))
}

/// Whether there are processes in a control group, or in one below it.
fn is_populated(layout: &Layout, group: &str) -> Result<bool, Refusal> {
    let path = format!("{group}/cgroup.events");
    let events = read_or_gone(layout, &path)?;
    Ok(events.is_some_and(|events| !events.lines().any(|line| line == "populated 0")))
}

/// Whether the process of a pid file is there.
fn has_process(layout: &Layout, path: &str) -> Result<bool, Refusal> {
    let Some(text) = read_or_gone(layout, path)? else {
        return Ok(false);
    };
    let pid: u32 = text
        .trim()
        .parse()
        .map_err(|error| unproven(path, &error))?;
    Ok(read_or_gone(layout, &format!("/proc/{pid}/stat"))?.is_some())
}

fn read_or_gone(layout: &Layout, path: &str) -> Result<Option<String>, Refusal> {
    match files::of_kernel(&layout.path(path), SHORT) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(unproven(path, &error)),
    }
}

fn is_gone(error: &std::io::Error) -> bool {
    // A process that ends between opening and reading answers ESRCH.
    error.kind() == std::io::ErrorKind::NotFound
        || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

fn unproven(path: &str, why: &dyn std::fmt::Display) -> Refusal {
    let text = format!("{path} does not tell what runs: {why}");
    Refusal::new(Code::NotProven, text)
}
