//! The tree inside a container's archive. `root.pxar.didx` begins as every pxar does, with the entry of the root
//! directory (56 bytes); what follows is a tar stream, where a real one has its own items. Nobody but this simulator
//! reads it: clients of the API see lists and files.

use std::io::Read;

use data_encoding::BASE64;
use serde_json::{Map, Value, json};

/// Type, length and attributes of a root directory: `drwxr-xr-x`, of the first user of an unprivileged container.
const ROOT: [u64; 4] = [0xd595_6474_e588_acef, 56, 0o40755, 0];
const HEAD: usize = 56;

/// A file of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    /// Without `./`.
    pub(crate) path: String,
    /// `d`, `f`, `l`, `h`.
    pub(crate) kind: char,
    pub(crate) size: u64,
    pub(crate) mtime: u64,
}

/// Wraps a tar stream.
pub(crate) fn wrap(tar: &[u8]) -> Vec<u8> {
    let mut data: Vec<u8> = ROOT
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect();
    data.extend(100_000_u32.to_le_bytes());
    data.extend(100_000_u32.to_le_bytes());
    data.resize(HEAD, 0);
    data.extend(tar);
    data
}

/// The tar stream again.
pub(crate) fn unwrap(data: &[u8]) -> &[u8] {
    data.get(HEAD..).unwrap_or_default()
}

/// A tree from paths and contents, for snapshots that were never a guest.
pub(crate) fn pack(files: &[(String, Vec<u8>)], mtime: u64) -> Result<Vec<u8>, String> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut made = std::collections::BTreeSet::new();
    for (path, content) in files {
        let path = path.trim_start_matches('/');
        for (place, _) in path.match_indices('/') {
            let dir = path.get(..place).unwrap_or_default();
            if made.insert(dir.to_owned()) {
                append(&mut builder, &format!("{dir}/"), b"", mtime)?;
            }
        }
        append(&mut builder, path, content, mtime)?;
    }
    let tar = builder.into_inner().map_err(|error| error.to_string())?;
    Ok(wrap(&tar))
}

fn append(
    builder: &mut tar::Builder<Vec<u8>>,
    path: &str,
    content: &[u8],
    mtime: u64,
) -> Result<(), String> {
    let mut header = tar::Header::new_gnu();
    let is_dir = path.ends_with('/');
    header.set_entry_type(if is_dir {
        tar::EntryType::Directory
    } else {
        tar::EntryType::Regular
    });
    header.set_mode(if is_dir { 0o755 } else { 0o644 });
    header.set_mtime(mtime);
    header.set_size(u64::try_from(content.len()).unwrap_or_default());
    builder
        .append_data(&mut header, path, content)
        .map_err(|error| error.to_string())
}

fn kind(entry: tar::EntryType) -> char {
    if entry.is_dir() {
        'd'
    } else if entry.is_symlink() {
        'l'
    } else if entry.is_hard_link() {
        'h'
    } else {
        'f'
    }
}

fn walk(data: &[u8], mut visit: impl FnMut(Item, &mut dyn Read) -> bool) -> Result<(), String> {
    let mut archive = tar::Archive::new(unwrap(data));
    let entries = archive.entries().map_err(|error| error.to_string())?;
    for entry in entries {
        let mut entry = entry.map_err(|error| error.to_string())?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let item = Item {
            path: path.trim_start_matches("./").trim_matches('/').to_owned(),
            kind: kind(entry.header().entry_type()),
            size: entry.size(),
            mtime: entry.header().mtime().unwrap_or_default(),
        };
        if visit(item, &mut entry) {
            break;
        }
    }
    Ok(())
}

/// What lies directly below a directory; none where there is no such directory.
pub(crate) fn list(data: &[u8], dir: &str) -> Result<Option<Vec<Item>>, String> {
    let dir = dir.trim_matches('/');
    let (mut found, mut exists) = (Vec::new(), dir.is_empty());
    walk(data, |item, _| {
        exists |= item.path == dir;
        let below = if dir.is_empty() {
            Some(item.path.as_str())
        } else {
            item.path
                .strip_prefix(dir)
                .and_then(|rest| rest.strip_prefix('/'))
        };
        if below.is_some_and(|rest| !rest.is_empty() && !rest.contains('/')) {
            found.push(item);
        }
        false
    })?;
    Ok(exists.then_some(found))
}

/// A line of a directory, as the catalogue has it.
pub(crate) fn listed(archive: &str, item: &Item) -> Value {
    let mut fields = Map::new();
    let path = format!("{archive}/{}", item.path);
    fields.insert("filepath".into(), json!(BASE64.encode(path.as_bytes())));
    fields.insert("text".into(), json!(item.path.rsplit('/').next()));
    fields.insert("type".into(), json!(item.kind.to_string()));
    fields.insert("leaf".into(), json!(item.kind != 'd'));
    if item.kind == 'f' {
        fields.insert("size".into(), json!(item.size));
        fields.insert("mtime".into(), json!(item.mtime));
    }
    Value::Object(fields)
}

/// A file's content.
pub(crate) fn file(data: &[u8], path: &str) -> Result<Option<Vec<u8>>, String> {
    let (path, mut found, mut failed) = (path.trim_matches('/'), None, None);
    walk(data, |item, content| {
        if item.path != path || item.kind != 'f' {
            return false;
        }
        let mut bytes = Vec::new();
        match content.read_to_end(&mut bytes) {
            Ok(_) => found = Some(bytes),
            Err(error) => failed = Some(error.to_string()),
        }
        true
    })?;
    failed.map_or(Ok(found), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_listed_level_by_level() {
        let files = [
            ("etc/hostname".to_owned(), b"a\n".to_vec()),
            ("etc/opt/x".to_owned(), Vec::new()),
        ];
        let data = pack(&files, 7).unwrap();
        assert_eq!(data.get(..4), Some([0xef, 0xac, 0x88, 0xe5].as_slice()));
        let names = |dir: &str| -> Vec<String> {
            let items = list(&data, dir).unwrap().unwrap();
            items
                .into_iter()
                .map(|item| format!("{} {}", item.kind, item.path))
                .collect()
        };
        assert_eq!(names("/"), ["d etc"]);
        assert_eq!(names("/etc"), ["f etc/hostname", "d etc/opt"]);
        assert_eq!(list(&data, "/nope").unwrap(), None);
        assert_eq!(file(&data, "/etc/hostname").unwrap().unwrap(), b"a\n");
    }
}
