//! Taking from a scratch guest what would act on the host, between its restore and its first start.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use felhom_ids::{GuestKind, Vmid};

use super::Root;
use super::scratch::{check_range, is_ours, place, unproven};
use crate::pve::guest_config::GuestConfig;
use crate::pve::guests::Place;
use crate::pve::task_files::TasksOfGuest;
use crate::pve::{lock_file, running};
use crate::refusal::{Code, Refusal};
use crate::report::Report;

pub(super) fn strip(root: Root<'_>, vmid: Vmid) -> Result<Report, Refusal> {
    check_range(root, vmid)?;
    let place = place(root, GuestKind::Lxc, vmid)?;
    let _held = lock_file::take(root.layout, GuestKind::Lxc, vmid)?;
    let config = read(root, &place, vmid)?;
    check(root, &config, vmid)?;
    let (kept, keys) = config.without(acts_on_the_host);
    if !keys.is_empty() {
        // Whoever writes without PVE's lock is not undone.
        if read(root, &place, vmid)? != config {
            let text = format!("somebody changes {vmid} without PVE's lock; try again");
            return Err(Refusal::new(Code::Busy, text));
        }
        let path = GuestConfig::path(&place, vmid);
        replace(&root.layout.path(&path), &kept).map_err(|error| {
            Refusal::new(Code::Failed, format!("{path} cannot be written: {error}"))
        })?;
        if read(root, &place, vmid)?.text() != kept {
            let text = format!("{path} is not what was written to it");
            return Err(Refusal::new(Code::Failed, text));
        }
    }
    Ok(Report::Stripped { vmid, keys })
}

/// `hookscript` is run by the host, `devN` is a device of the host, and so may be whatever `lxc.…` says. What is left of that
/// is `lxc.environment.runtime`: the environment of the container's own init (pve-container `LXC/Config.pm`, `env`).
fn acts_on_the_host(key: &str) -> bool {
    let is_device = key
        .strip_prefix("dev")
        .is_some_and(|index| !index.is_empty() && index.bytes().all(|b| b.is_ascii_digit()));
    let is_raw = key.starts_with("lxc.") && key != "lxc.environment.runtime";
    key == "hookscript" || is_device || is_raw
}

fn read(root: Root<'_>, place: &Place, vmid: Vmid) -> Result<GuestConfig, Refusal> {
    let gone = || {
        Refusal::new(
            Code::NotFound,
            format!("there is no container {vmid} any more"),
        )
    };
    GuestConfig::read(root.layout, place, vmid)?.ok_or_else(gone)
}

/// Whether the guest is a scratch guest that was restored and not touched since.
fn check(root: Root<'_>, config: &GuestConfig, vmid: Vmid) -> Result<(), Refusal> {
    if let Some(lock) = config.get("lock") {
        return Err(unproven(format!("{vmid} is locked (`{lock}`)")));
    }
    if config.has_sections() {
        let text = format!(
            "{vmid} has snapshots or pending changes, as no scratch guest has before its first start"
        );
        return Err(unproven(text));
    }
    if !is_marked(&config.description(), vmid) {
        let text =
            format!("the description of {vmid} does not carry felhom-agent's mark for this number");
        return Err(unproven(text));
    }
    let tasks = TasksOfGuest::read(root.layout, vmid)?;
    let last = tasks.last()?;
    if last.upid.kind() != "vzrestore" || !is_ours(root, &last.upid)? || !last.ended_well() {
        let text = format!(
            "the last task on {vmid} is no restore that one of `scratch.tokens` ended well: {}",
            last.upid.as_str()
        );
        return Err(unproven(text));
    }
    if let Some(worker) = running::worker_of(root.layout, vmid)? {
        let text = format!("a task on {vmid} runs: {}", worker.as_str());
        return Err(Refusal::new(Code::Busy, text));
    }
    if running::guest_runs(root.layout, GuestKind::Lxc, vmid)? {
        let text = format!("guest {vmid} runs; stop it first");
        return Err(Refusal::new(Code::InUse, text));
    }
    Ok(())
}

/// Whether a description carries the mark that the agent's restores write, `felhom-mark:v1:INSTALLATION:JOB:VMID`, for this
/// guest, and none for another. The agent could write any: it is one proof among several, and not the one that counts.
fn is_marked(description: &str, vmid: Vmid) -> bool {
    let marks = description
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("felhom-mark:v1:"));
    let mut marks = marks.peekable();
    marks.peek().is_some() && marks.all(|mark| is_mark(mark, vmid))
}

fn is_mark(mark: &str, vmid: Vmid) -> bool {
    let hexadecimal = |text: &str, digits| {
        text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    match mark.split(':').collect::<Vec<_>>().as_slice() {
        [installation, job, number] => {
            let is_this = number.parse() == Ok(vmid);
            hexadecimal(installation, 32) && hexadecimal(job, 16) && is_this
        }
        _ => false,
    }
}

/// Writes a configuration as PVE does: a new file beside it, `NAME.tmp.PID`, then a rename (pve-common `File.pm`
/// `file_set_contents`), which pmxcfs carries out at once or not at all.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".tmp.{}", std::process::id()));
    let beside = path.with_file_name(name);
    // One of this name is left from a daemon that was killed, with a number that came back.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let write = || {
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true).mode(0o640);
        let mut file = options.open(&beside)?;
        file.write_all(text.as_bytes())?;
        drop(file);
        fs::rename(&beside, path)
    };
    write().inspect_err(|_| {
        let _left = fs::remove_file(&beside);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_on_the_host_is_told_from_what_looks_like_it() {
        for key in [
            "hookscript",
            "dev0",
            "dev12",
            "lxc.idmap",
            "lxc.hook.pre-start",
            "lxc.mount.entry",
        ] {
            assert!(acts_on_the_host(key), "{key}");
        }
        for key in [
            "dev",
            "devx",
            "net0",
            "lxc",
            "lxc.environment.runtime",
            "description",
            "mp0",
        ] {
            assert!(!acts_on_the_host(key), "{key}");
        }
    }

    #[test]
    fn a_mark_is_for_this_guest_and_no_other() {
        let vmid = "9100".parse().unwrap();
        let mark = "felhom-mark:v1:0123456789abcdef0123456789abcdef:6b03a1f2c4d5e6f7:9100";
        assert!(is_marked(mark, vmid));
        assert!(is_marked(
            &format!("scratch\nof felhom-agent\n{mark}\n"),
            vmid
        ));
        for odd in [
            String::new(),
            mark.replace(":9100", ":9101"),
            format!("{mark} {}", mark.replace(":9100", ":9101")),
            mark.replace(":9100", ""),
            mark.replace("v1", "v2"),
            mark.replace("6b03", "6B03"),
            format!("x{mark}"),
            format!("{mark}:1"),
        ] {
            assert!(!is_marked(&odd, vmid), "{odd}");
        }
    }
}
