//! Bad luck and bad people: damaged chunks, blobs that are not what they should be, locks.

use std::fs;

use serde::Deserialize;
use serde_json::{Value, json};

use super::fill::Which;
use crate::hex;
use crate::pbs::crypt::sha256;
use crate::pbs::state::SnapshotId;
use crate::pbs::{blob, store};
use crate::sim::Sim;

/// An archive of a snapshot.
#[derive(Debug, Deserialize)]
pub(super) struct Archive {
    #[serde(flatten)]
    which: Which,
    archive: String,
}

fn digests(sim: &Sim, id: &SnapshotId, archive: &str) -> Result<Vec<String>, String> {
    let root = store::root(&sim.state_dir, &id.store);
    let index = store::read_index(&root, id, archive)?;
    Ok(index
        .entries
        .iter()
        .map(|entry| hex::lower(&entry.digest))
        .collect())
}

/// Which chunks an archive is made of.
pub(super) fn chunks(sim: &Sim, order: &Archive) -> Result<Value, String> {
    let id = order.which.find(sim)?;
    Ok(json!({ "chunks": digests(sim, &id, &order.archive)? }))
}

/// How a chunk, or a blob, is damaged.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum How {
    /// A byte is altered: the checksum is wrong.
    Flip,
    /// A byte is altered and the checksum made to fit: of encrypted data only the holder of the key notices.
    Resum,
    /// Another content in a sound container, of unencrypted data.
    Replace,
    /// The file is gone.
    Remove,
}

/// Damage to one chunk of an archive, or to a blob.
#[derive(Debug, Deserialize)]
pub(super) struct Corrupt {
    #[serde(flatten)]
    which: Which,
    /// `root.pxar.didx`, or a blob.
    archive: String,
    /// Which of its chunks; the first where it is missing.
    #[serde(default)]
    chunk: usize,
    how: How,
}

pub(super) fn corrupt(sim: &Sim, order: &Corrupt) -> Result<Value, String> {
    let id = order.which.find(sim)?;
    let root = store::root(&sim.state_dir, &id.store);
    let (path, digest) = if store::is(&order.archive, "blob") {
        (store::dir(&root, &id).join(&order.archive), None)
    } else {
        let digests = digests(sim, &id, &order.archive)?;
        let digest = digests.get(order.chunk).ok_or("no such chunk")?.clone();
        (store::chunk_path(&root, &digest), Some(digest))
    };
    let text = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut raw = fs::read(&path).map_err(text)?;
    match order.how {
        How::Flip => blob::damage(&mut raw, false),
        How::Resum => blob::damage(&mut raw, true),
        How::Replace => raw = blob::replaced(&raw)?,
        How::Remove => {
            fs::remove_file(&path).map_err(text)?;
            return Ok(json!({ "digest": digest }));
        }
    }
    fs::write(&path, raw).map_err(text)?;
    Ok(json!({ "digest": digest }))
}

/// A blob of an encrypted snapshot is replaced by an unencrypted one.
#[derive(Debug, Deserialize)]
pub(super) struct PlainBlob {
    #[serde(flatten)]
    which: Which,
    name: String,
    text: String,
    /// The manifest tells the new size and checksum, and keeps its old signature.
    #[serde(default)]
    manifest: bool,
}

pub(super) fn plain_blob(sim: &Sim, order: &PlainBlob) -> Result<Value, String> {
    let id = order.which.find(sim)?;
    let root = store::root(&sim.state_dir, &id.store);
    let raw = blob::encode(order.text.as_bytes(), None)?;
    store::put_file(&store::dir(&root, &id).join(&order.name), &raw)?;
    if order.manifest {
        let mut world = sim.lock();
        store::update_manifest(&sim.state_dir, &mut world.pbs, &id, |snapshot| {
            if let Some(file) = snapshot
                .files
                .iter_mut()
                .find(|file| file.filename == order.name)
            {
                file.size = u64::try_from(raw.len()).unwrap_or_default();
                file.csum = hex::lower(&sha256(&[&raw]));
            }
        })?;
    }
    Ok(json!({ "size": raw.len() }))
}

/// Somebody reads a snapshot, or writes it, and has it locked; null ends that.
#[derive(Debug, Deserialize)]
pub(super) struct Hold {
    #[serde(flatten)]
    which: Which,
    /// Whether the lock keeps readers out, too.
    exclusive: Option<bool>,
}

pub(super) fn hold(sim: &Sim, order: &Hold) -> Result<Value, String> {
    let id = order.which.find(sim)?;
    let mut world = sim.lock();
    let store = world
        .pbs
        .stores
        .get_mut(&id.store)
        .ok_or("no such datastore")?;
    let snapshot = store.snapshot_mut(&id).ok_or("no such snapshot")?;
    snapshot.held = order.exclusive;
    Ok(json!({}))
}
