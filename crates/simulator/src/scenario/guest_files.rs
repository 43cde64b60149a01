//! What somebody does to files inside a guest, on whichever of its mount points they lie.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};

use super::files::noise;
use crate::guest::tree;
use crate::sim::Sim;
use crate::world::World;

/// Changes to a guest's files, in order; the first that fails ends it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GuestFiles {
    vmid: u32,
    #[serde(default)]
    changes: Vec<Change>,
    /// Then: which files there are below this directory.
    list: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", tag = "do")]
enum Change {
    /// Write a file, making its directories.
    Write { path: String, text: String },
    /// Write a file of so many bytes that no compression makes smaller.
    Fill {
        path: String,
        bytes: usize,
        seed: u64,
    },
    /// Make a directory and those above it.
    Mkdir { path: String },
    /// Copy what is in a directory into another one.
    Copy { from: String, to: String },
    /// Move a file or a directory, also across mount points.
    Move { from: String, to: String },
    /// Remove a file or a directory with all that is in it.
    Remove { path: String },
    /// Fail unless two directories hold the same: names, kinds, modes, content, and where links lead.
    Compare { from: String, to: String },
    /// Flip the bits of a file; its size and date stay as they were.
    Rot { path: String },
}

pub(super) fn change(sim: &Sim, order: &GuestFiles) -> Result<Value, String> {
    let world = sim.lock();
    for (number, change) in order.changes.iter().enumerate() {
        perform(&world, order.vmid, change).map_err(|error| format!("change {number}: {error}"))?;
    }
    let files = match &order.list {
        Some(path) => {
            let mut found = Vec::new();
            list(&world, order.vmid, path, &mut found);
            found.sort();
            json!(found)
        }
        None => Value::Null,
    };
    Ok(json!({ "files": files }))
}

fn perform(world: &World, vmid: u32, change: &Change) -> io::Result<()> {
    let at = |path: &str| {
        locate(world, vmid, path)
            .ok_or_else(|| io::Error::other(format!("guest {vmid} has no place for `{path}`")))
    };
    match change {
        Change::Write { path, text } => write(&at(path)?, text.as_bytes()),
        Change::Fill { path, bytes, seed } => write(&at(path)?, &noise(*seed, *bytes)),
        Change::Mkdir { path } => fs::create_dir_all(at(path)?),
        Change::Copy { from, to } => tree::copy(&at(from)?, &at(to)?),
        Change::Move { from, to } => {
            let (from, to) = (at(from)?, at(to)?);
            parents(&to)?;
            fs::rename(from, to)
        }
        Change::Remove { path } => {
            let path = at(path)?;
            if path.is_dir() {
                tree::remove(&path)
            } else {
                fs::remove_file(path)
            }
        }
        Change::Compare { from, to } => compare(&at(from)?, &at(to)?),
        Change::Rot { path } => rot(&at(path)?),
    }
}

fn compare(from: &Path, to: &Path) -> io::Result<()> {
    let differs = |what: &str| {
        let text = format!("{what} differs: {} and {}", from.display(), to.display());
        Err(io::Error::other(text))
    };
    let (one, other) = (fs::symlink_metadata(from)?, fs::symlink_metadata(to)?);
    if one.file_type() != other.file_type() || one.permissions() != other.permissions() {
        return differs("kind or mode");
    }
    if one.is_symlink() && fs::read_link(from)? != fs::read_link(to)? {
        return differs("where a link leads");
    }
    if one.is_file() && fs::read(from)? != fs::read(to)? {
        return differs("content");
    }
    if !one.is_dir() {
        return Ok(());
    }
    let (names, others) = (names(from)?, names(to)?);
    if names != others {
        return differs("what is in it");
    }
    names
        .iter()
        .try_for_each(|name| compare(&from.join(name), &to.join(name)))
}

fn names(folder: &Path) -> io::Result<BTreeSet<OsString>> {
    fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect()
}

fn rot(path: &Path) -> io::Result<()> {
    let mut content = fs::read(path)?;
    for byte in &mut content {
        *byte = !*byte;
    }
    let dated = fs::metadata(path)?.modified()?;
    fs::write(path, content)?;
    fs::File::options()
        .write(true)
        .open(path)?
        .set_modified(dated)
}

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    parents(path)?;
    fs::write(path, content)
}

fn parents(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)
}

/// The folder or file on this machine for a path inside the guest: below the innermost mount point.
fn locate(world: &World, vmid: u32, path: &str) -> Option<PathBuf> {
    let path = format!("/{}", path.trim_matches('/'));
    let mounts = world.guests.lxc.get(&vmid)?.config.current.mounts();
    let below = |mount: &str| {
        let mount = mount.trim_end_matches('/');
        let rest = path.strip_prefix(mount)?;
        (rest.is_empty() || rest.starts_with('/')).then(|| rest.trim_start_matches('/').to_owned())
    };
    mounts
        .iter()
        .filter_map(|mount| below(mount.path()).map(|rest| (mount, rest)))
        .max_by_key(|(mount, _)| mount.path().trim_end_matches('/').len())
        .map(|(mount, rest)| world.mount_root(mount).join(rest))
}

/// Files and links below a directory by their paths inside the guest, other mount points included.
fn list(world: &World, vmid: u32, path: &str, found: &mut Vec<String>) {
    let Some(folder) = locate(world, vmid, path) else {
        return;
    };
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    let mut names: Vec<(String, bool)> = entries
        .filter_map(Result::ok)
        .map(|entry| {
            let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
            (entry.file_name().to_string_lossy().into_owned(), is_dir)
        })
        .collect();
    names.sort();
    for (name, is_dir) in names {
        let inside = format!("{}/{name}", path.trim_end_matches('/'));
        if is_dir {
            list(world, vmid, &inside, found);
        } else {
            found.push(inside);
        }
    }
}
