//! Files of snapshots, cut into chunks and put together again.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

use serde_json::{Value, json};

use super::{Content, Order, Source, chunk_path, dir, is, os_text, put_file};
use crate::hex;
use crate::pbs::blob;
use crate::pbs::crypt::{Key, sha256};
use crate::pbs::index::{self, DYNAMIC_CHUNK, Entry, FIXED_CHUNK, Index};
use crate::pbs::state::{Chunk, File, SnapshotId, Store};

/// Reads a chunk as it lies there, its checksum checked.
pub(crate) fn load_chunk(root: &Path, store: &str, digest: &str) -> Result<Vec<u8>, String> {
    let fail = |text: &str| format!("store '{store}', unable to load chunk '{digest}' - {text}");
    let raw = fs::read(chunk_path(root, digest)).map_err(|error| fail(&os_text(&error)))?;
    blob::check(&raw).map_err(|text| fail(&text))?;
    Ok(raw)
}

fn put_chunk(
    root: &Path,
    store: &mut Store,
    plain: &[u8],
    key: Option<&Key>,
    now: i64,
) -> Result<(Entry, u64), String> {
    let digest = key.map_or_else(|| sha256(&[plain]), |key| key.digest(plain));
    let name = hex::lower(&digest);
    let path = chunk_path(root, &name);
    let entry = Entry {
        digest,
        size: u64::try_from(plain.len()).unwrap_or_default(),
    };
    if let (Some(known), true) = (store.chunks.get_mut(&name), path.is_file()) {
        known.used = now;
        return Ok((entry, 0));
    }
    let raw = blob::encode(plain, key)?;
    put_file(&path, &raw)?;
    let bytes = u64::try_from(raw.len()).unwrap_or_default();
    store.chunks.insert(name, Chunk { bytes, used: now });
    Ok((entry, bytes))
}

/// How many bytes of an upload were new.
#[derive(Default)]
pub(super) struct Upload {
    count: u64,
    duplicates: u64,
    size: u64,
    stored: u64,
}

impl Upload {
    pub(super) fn stats(&self) -> Value {
        json!({
            "compressed_size": self.stored, "count": self.count,
            "duplicates": self.duplicates, "size": self.size,
        })
    }
}

/// The chunks of a drive: those that hold nothing are one and the same.
fn pieces(
    source: &Source,
    fixed: bool,
    mut put: impl FnMut(&[u8]) -> Result<(), String>,
) -> Result<(), String> {
    let step = if fixed { FIXED_CHUNK } else { DYNAMIC_CHUNK };
    let Source::Image(path, size) = source else {
        return source.bytes().chunks(step).try_for_each(put);
    };
    let mut file = fs::File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut left = usize::try_from(*size).unwrap_or(usize::MAX);
    let mut buffer = vec![0; FIXED_CHUNK];
    let mut ended = false;
    while left > 0 {
        let here = left.min(FIXED_CHUNK);
        let piece = buffer.get_mut(..here).unwrap_or_default();
        piece.fill(0);
        if !ended {
            let read = fill(&mut file, piece).map_err(|error| error.to_string())?;
            ended = read < here;
        }
        put(piece)?;
        left -= here;
    }
    Ok(())
}

/// Reads until the buffer is full or the file ends.
fn fill(file: &mut fs::File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read(rest)? {
            0 => break,
            count => done += count,
        }
    }
    Ok(done)
}

fn put_index(
    root: &Path,
    store: &mut Store,
    order: &Order,
    content: &Content,
    now: i64,
    upload: &mut Upload,
) -> Result<(Vec<u8>, String), String> {
    let fixed = is(&content.name, "fidx");
    let key = order.key.as_ref().filter(|_| !order.sign_only);
    let mut entries: Vec<Entry> = Vec::new();
    let zeros = vec![0; FIXED_CHUNK];
    let mut zero: Option<Entry> = None;
    pieces(&content.source, fixed, |plain| {
        let is_zero = fixed && plain == zeros.as_slice();
        let (entry, stored) = match zero.filter(|_| is_zero) {
            Some(entry) => (entry, 0),
            None => put_chunk(root, store, plain, key, now)?,
        };
        if is_zero {
            zero = Some(entry);
        }
        upload.count += 1;
        upload.duplicates += u64::from(stored == 0);
        upload.size += entry.size;
        upload.stored += stored;
        entries.push(entry);
        Ok(())
    })?;
    let uuid = sha256(&[content.name.as_bytes(), &order.id.time.to_le_bytes()]);
    let uuid = uuid.first_chunk::<16>().copied().unwrap_or_default();
    Ok(index::write(fixed, uuid, order.id.time, &entries))
}

/// Writes a file of a snapshot; answers its line of the manifest.
pub(super) fn put_content(
    root: &Path,
    store: &mut Store,
    order: &Order,
    content: &Content,
    now: i64,
    upload: &mut Upload,
) -> Result<File, String> {
    let plain = matches!(content.source, Source::Plain(_));
    let key = order.key.as_ref().filter(|_| !order.sign_only && !plain);
    let mode = match (&order.key, order.sign_only) {
        _ if plain || order.key.is_none() => "none",
        (_, true) => "sign-only",
        (_, false) => "encrypt",
    };
    let (raw, csum, size) = if is(&content.name, "blob") {
        let raw = blob::encode(content.source.bytes(), key)?;
        let (csum, size) = (hex::lower(&sha256(&[&raw])), raw.len());
        (raw, csum, u64::try_from(size).unwrap_or_default())
    } else {
        let (raw, csum) = put_index(root, store, order, content, now, upload)?;
        (raw, csum, content.source.size())
    };
    put_file(&dir(root, &order.id).join(&content.name), &raw)?;
    Ok(File {
        filename: content.name.clone(),
        crypt_mode: mode.into(),
        size,
        csum,
    })
}

/// Reads the index of an archive.
pub(crate) fn read_index(root: &Path, id: &SnapshotId, name: &str) -> Result<Index, String> {
    let raw = fs::read(dir(root, id).join(name)).map_err(|error| os_text(&error))?;
    index::read(&raw)
}

/// Puts the data of an archive or a blob together again.
pub(crate) fn read_content(
    root: &Path,
    id: &SnapshotId,
    name: &str,
    key: Option<&Key>,
) -> Result<Vec<u8>, String> {
    if is(name, "blob") {
        let raw = fs::read(dir(root, id).join(name)).map_err(|error| os_text(&error))?;
        return blob::decode(&raw, key);
    }
    let mut data = Vec::new();
    for entry in read_index(root, id, name)?.entries {
        data.extend(read_chunk(root, &id.store, &entry, key)?);
    }
    Ok(data)
}

/// Reads one chunk of an archive, checked.
fn read_chunk(
    root: &Path,
    store: &str,
    entry: &Entry,
    key: Option<&Key>,
) -> Result<Vec<u8>, String> {
    let raw = load_chunk(root, store, &hex::lower(&entry.digest))?;
    let plain = blob::decode(&raw, key)?;
    let key = key.filter(|_| blob::is_sealed(&raw) == Some(true));
    let digest = key.map_or_else(|| sha256(&[&plain]), |key| key.digest(&plain));
    if digest != entry.digest {
        return Err("detected chunk with wrong digest.".into());
    }
    Ok(plain)
}

/// The chunks of a drive that hold something, each with its place.
pub(crate) fn read_pieces(
    root: &Path,
    id: &SnapshotId,
    name: &str,
    key: Option<&Key>,
) -> Result<Vec<(u64, Vec<u8>)>, String> {
    let zeros = vec![0; FIXED_CHUNK];
    let empty = key.map_or_else(|| sha256(&[&zeros]), |key| key.digest(&zeros));
    let (mut at, mut found) = (0, Vec::new());
    for entry in read_index(root, id, name)?.entries {
        if entry.digest != empty {
            found.push((at, read_chunk(root, &id.store, &entry, key)?));
        }
        at += entry.size;
    }
    Ok(found)
}
