//! Datastores on disk, laid out as on a real server: `ct/9001/2026-11-22T23:36:02Z/index.json.blob`,
//! `.chunks/7b68/7b68545f…`; below `pbs/STORE` in the state directory, whatever path the configuration tells.

mod data;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::access::check_owner;
use super::blob;
use super::crypt::Key;
use super::state::{Group, Snapshot, SnapshotId, State, Store, space_path};

use data::{Upload, put_content};
pub(crate) use data::{load_chunk, read_content, read_index, read_pieces};

pub(crate) const MANIFEST: &str = "index.json.blob";

/// A file of a snapshot that is being made; its name tells what becomes of it (`.blob`, `.didx`, `.fidx`).
#[derive(Debug, Clone)]
pub(crate) struct Content {
    pub(crate) name: String,
    pub(crate) source: Source,
}

/// Where a file's data come from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    Bytes(Vec<u8>),
    /// Never encrypted, whatever the snapshot's key.
    Plain(Vec<u8>),
    /// A drive of so many bytes, of which the file holds the first; the others are zero.
    Image(PathBuf, u64),
}

impl Source {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(data) | Self::Plain(data) => data,
            Self::Image(..) => &[],
        }
    }

    fn size(&self) -> u64 {
        match self {
            Self::Image(_, size) => *size,
            Self::Bytes(data) | Self::Plain(data) => u64::try_from(data.len()).unwrap_or_default(),
        }
    }
}

/// A snapshot that is to be made.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) id: SnapshotId,
    pub(crate) owner: String,
    pub(crate) files: Vec<Content>,
    pub(crate) key: Option<Key>,
    /// The key only signs.
    pub(crate) sign_only: bool,
    /// `client.log.blob`, which no manifest lists.
    pub(crate) log: Option<String>,
    pub(crate) notes: Option<String>,
}

/// Whether a file is of a kind, which its name ends with: `blob`, `didx`, `fidx`.
pub(crate) fn is(name: &str, kind: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, end)| end == kind)
}

/// Where a datastore really lies.
pub(crate) fn root(state_dir: &Path, store: &str) -> PathBuf {
    state_dir.join("pbs").join(store)
}

pub(crate) fn chunk_path(root: &Path, digest: &str) -> PathBuf {
    root.join(".chunks")
        .join(digest.get(..4).unwrap_or("0000"))
        .join(digest)
}

/// The directory of a snapshot.
pub(crate) fn dir(root: &Path, id: &SnapshotId) -> PathBuf {
    root.join(id.relative())
}

/// What an operating system says of a failed call.
pub(crate) fn os_text(error: &io::Error) -> String {
    error.to_string()
}

/// Writes a file and the directories above it.
pub(crate) fn put_file(path: &Path, raw: &[u8]) -> Result<(), String> {
    let write = || {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, raw)
    };
    write().map_err(|error| format!("{}: {error}", path.display()))
}

/// The namespace with those above it.
pub(crate) fn make_space(store: &mut Store, root: &Path, ns: &str) {
    let mut name = String::new();
    for part in ns.split('/').filter(|part| !part.is_empty()) {
        if !name.is_empty() {
            name.push('/');
        }
        name.push_str(part);
        store.spaces.entry(name.clone()).or_default();
    }
    if let Err(error) = fs::create_dir_all(root.join(space_path(ns))) {
        tracing::warn!(%error, ns, "no directory for a namespace");
    }
}

/// The group, made if need be; fails where it is somebody else's.
pub(crate) fn make_group<'a>(
    store: &'a mut Store,
    root: &Path,
    id: &SnapshotId,
    owner: &str,
) -> Result<&'a mut Group, String> {
    make_space(store, root, &id.ns);
    let space = store.spaces.entry(id.ns.clone()).or_default();
    space.types.insert(id.kind.clone());
    let group = space.groups.entry(id.group()).or_insert_with(|| Group {
        owner: owner.to_owned(),
        ..Group::default()
    });
    if check_owner(&group.owner, owner).is_err() && group.owner != owner {
        return Err(format!(
            "backup owner check failed ({owner} != {})",
            group.owner
        ));
    }
    Ok(group)
}

/// Makes a whole snapshot: chunks, indexes, blobs and at last the manifest.
pub(crate) fn write_snapshot(
    state_dir: &Path,
    state: &mut State,
    order: &Order,
    now: i64,
) -> Result<(), String> {
    let id = &order.id;
    let missing = || format!("no such datastore '{}'", id.store);
    let store = state.stores.get_mut(&id.store).ok_or_else(missing)?;
    let root = root(state_dir, &id.store);
    make_group(store, &root, id, &order.owner)?;
    let (mut snapshot, mut upload) = (Snapshot::default(), Upload::default());
    for content in &order.files {
        let file = put_content(&root, store, order, content, now, &mut upload)?;
        snapshot.files.push(file);
    }
    if let Some(log) = &order.log {
        let raw = blob::encode(
            log.as_bytes(),
            order.key.as_ref().filter(|_| !order.sign_only),
        )?;
        put_file(&dir(&root, id).join("client.log.blob"), &raw)?;
        snapshot.others.push("client.log.blob".into());
    }
    let unprotected = &mut snapshot.unprotected;
    unprotected.insert("chunk_upload_stats".into(), upload.stats());
    if let Some(notes) = &order.notes {
        unprotected.insert("notes".into(), json!(notes));
    }
    if let Some(key) = &order.key {
        unprotected.insert("key-fingerprint".into(), json!(key.fingerprint()));
        snapshot.signature = Some(key.sign(snapshot.canonical(id).as_bytes()));
    }
    write_manifest(&root, id, &mut snapshot)?;
    let group = make_group(store, &root, id, &order.owner)?;
    group.snapshots.insert(id.time, snapshot);
    Ok(())
}

/// Writes `index.json.blob`, as it now is.
pub(crate) fn write_manifest(
    root: &Path,
    id: &SnapshotId,
    snapshot: &mut Snapshot,
) -> Result<(), String> {
    let text =
        serde_json::to_string_pretty(&snapshot.manifest(id)).map_err(|error| error.to_string())?;
    let raw = blob::encode(text.as_bytes(), None)?;
    put_file(&dir(root, id).join(MANIFEST), &raw)?;
    snapshot.index_size = u64::try_from(raw.len()).unwrap_or_default();
    Ok(())
}

/// Changes what the server may change of a manifest; fails with the server's words.
pub(crate) fn update_manifest(
    state_dir: &Path,
    state: &mut State,
    id: &SnapshotId,
    change: impl FnOnce(&mut Snapshot),
) -> Result<(), String> {
    let fail = |text: String| format!("unable to update manifest blob - {text}");
    let Some(store) = state.stores.get_mut(&id.store) else {
        return Err(format!("no such datastore '{}'", id.store));
    };
    let text = unreadable(store, id);
    let light = store
        .group(&id.ns, &id.group())
        .is_some_and(|group| group.light);
    let snapshot = store
        .snapshot_mut(id)
        .filter(|snapshot| !snapshot.unfinished);
    let snapshot = snapshot.ok_or_else(|| fail(text))?;
    change(snapshot);
    if light {
        return Ok(());
    }
    write_manifest(&root(state_dir, &id.store), id, snapshot)
}

/// Why a manifest that is not there cannot be read.
pub(crate) fn unreadable(store: &Store, id: &SnapshotId) -> String {
    unloadable(
        store,
        id,
        MANIFEST,
        "No such file or directory (os error 2)",
    )
}

/// Why a blob cannot be read: with the path that the configuration tells.
pub(crate) fn unloadable(store: &Store, id: &SnapshotId, name: &str, text: &str) -> String {
    format!(
        "unable to load blob '\"{}/{}/{name}\"' - {text}",
        store.path,
        id.relative()
    )
}

/// Removes a snapshot, protected or not.
pub(crate) fn remove_snapshot(state_dir: &Path, state: &mut State, id: &SnapshotId) {
    let store = state.stores.get_mut(&id.store);
    if let Some(group) = store.and_then(|store| store.group_mut(&id.ns, &id.group())) {
        group.snapshots.remove(&id.time);
    }
    remove_dir(&dir(&root(state_dir, &id.store), id));
}

/// Removes a directory that may be there.
pub(crate) fn remove_dir(path: &Path) {
    if let Err(error) = fs::remove_dir_all(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, path = %path.display(), "could not be removed");
    }
}
