//! Downloads: files as they lie there, files decoded, and what is inside a container's archive where it is not encrypted.

use std::fs;

use data_encoding::BASE64;
use serde_json::json;

use crate::pbs::access::{BACKUP, READ};
use crate::pbs::http::{Answer, Call, Error, Reply, Route, Rule, data};
use crate::pbs::params::{ARCHIVE, ID, Kind, NS, STORE, TIME, TYPE, may, need};
use crate::pbs::state::SnapshotId;
use crate::pbs::store::{self, os_text};
use crate::pbs::tree;

const OCTETS: &str = "application/octet-stream";
const CATALOG: &str = "catalog.pcat1.didx";

pub(super) const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "/admin/datastore/{store}/download",
        rule: Rule::User,
        params: &[
            need("store", STORE),
            may("ns", NS),
            need("backup-type", TYPE),
            need("backup-id", ID),
            need("backup-time", TIME),
            need("file-name", ARCHIVE),
        ],
        handler: download,
    },
    Route {
        method: "GET",
        path: "/admin/datastore/{store}/download-decoded",
        rule: Rule::User,
        params: &[
            need("store", STORE),
            may("ns", NS),
            need("backup-type", TYPE),
            need("backup-id", ID),
            need("backup-time", TIME),
            need("file-name", ARCHIVE),
        ],
        handler: decoded,
    },
    Route {
        method: "GET",
        path: "/admin/datastore/{store}/catalog",
        rule: Rule::User,
        params: &[
            need("store", STORE),
            may("ns", NS),
            need("backup-type", TYPE),
            need("backup-id", ID),
            need("backup-time", TIME),
            need("filepath", Kind::Text),
        ],
        handler: catalog,
    },
    Route {
        method: "GET",
        path: "/admin/datastore/{store}/pxar-file-download",
        rule: Rule::User,
        params: &[
            need("store", STORE),
            may("ns", NS),
            need("backup-type", TYPE),
            need("backup-id", ID),
            need("backup-time", TIME),
            need("filepath", Kind::Text),
            may("tar", Kind::Bool),
        ],
        handler: one_file,
    },
];

/// Checks the rights, and with a name that the file is not encrypted; answers where the datastore lies.
fn readable(
    call: &Call<'_>,
    id: &SnapshotId,
    name: Option<&str>,
) -> Result<std::path::PathBuf, Error> {
    let world = call.sim.lock();
    let known = super::allowed(&world, call, id, (READ, BACKUP), false)?;
    if let Some(name) = name {
        let snapshot = known.snapshot(id).filter(|snapshot| !snapshot.unfinished);
        let snapshot = snapshot.ok_or_else(|| Error::plain(store::unreadable(known, id)))?;
        let sealed =
            |file: &crate::pbs::state::File| file.filename == name && file.crypt_mode == "encrypt";
        if snapshot.files.iter().any(sealed) {
            return Err(Error::plain(format!(
                "cannot decode '{name}' - is encrypted"
            )));
        }
    }
    Ok(store::root(&call.sim.state_dir, &id.store))
}

fn raw(root: &std::path::Path, id: &SnapshotId, name: &str) -> Result<Vec<u8>, Error> {
    let raw = fs::read(store::dir(root, id).join(name));
    raw.map_err(|error| Error::plain(format!("File open failed: {}", os_text(&error))))
}

fn download(call: &Call<'_>) -> Reply {
    let id = call.snapshot();
    let root = readable(call, &id, None)?;
    Ok(Answer::Bytes(
        OCTETS,
        raw(&root, &id, call.need("file-name"))?,
    ))
}

fn decoded(call: &Call<'_>) -> Reply {
    let (id, name) = (call.snapshot(), call.need("file-name"));
    let root = readable(call, &id, Some(name))?;
    let _there = raw(&root, &id, name)?;
    Ok(Answer::Bytes(
        OCTETS,
        store::read_content(&root, &id, name, None)?,
    ))
}

/// The path inside a snapshot, from its base64.
fn path_of(text: &str) -> Result<String, Error> {
    if text == "root" || text == "/" {
        return Ok("/".into());
    }
    let bytes = BASE64
        .decode(text.as_bytes())
        .map_err(|error| Error::plain(error.to_string()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Archive, and the path in it.
fn parts(path: &str) -> (String, String) {
    let path = path.trim_matches('/');
    let (archive, inside) = path.split_once('/').unwrap_or((path, ""));
    (archive.to_owned(), inside.to_owned())
}

fn catalog(call: &Call<'_>) -> Reply {
    let id = call.snapshot();
    let root = readable(call, &id, Some(CATALOG))?;
    let (archive, inside) = parts(&path_of(call.need("filepath"))?);
    if archive.is_empty() {
        let world = call.sim.lock();
        let known = super::store(&world, &id.store, false)?.snapshot(&id);
        let archives = known.into_iter().flat_map(|snapshot| &snapshot.files);
        let archives = archives.filter(|file| file.filename.ends_with(".pxar.didx"));
        let items = archives.map(|file| {
            let path = BASE64.encode(format!("/{}", file.filename).as_bytes());
            json!({ "filepath": path, "leaf": false, "text": file.filename, "type": "d" })
        });
        return data(items.collect());
    }
    let tree = store::read_content(&root, &id, &archive, None)?;
    let items = tree::list(&tree, &inside)?;
    let items = items
        .ok_or_else(|| Error::plain(format!("no entry found for path /{archive}/{inside}")))?;
    data(
        items
            .iter()
            .map(|item| tree::listed(&archive, item))
            .collect(),
    )
}

fn one_file(call: &Call<'_>) -> Reply {
    let id = call.snapshot();
    let (archive, inside) = parts(&path_of(call.need("filepath"))?);
    let root = readable(call, &id, Some(&archive))?;
    let tree = store::read_content(&root, &id, &archive, None)?;
    if let Some(bytes) = tree::file(&tree, &inside)? {
        return Ok(Answer::Bytes(OCTETS, bytes));
    }
    let path = format!("/{archive}/{inside}");
    let items = tree::list(&tree, &inside)?
        .ok_or_else(|| Error::plain(format!("error opening '{path:?}'")))?;
    let mut files = Vec::new();
    for item in items.iter().filter(|item| item.kind == 'f') {
        files.push((
            item.path.clone(),
            tree::file(&tree, &item.path)?.unwrap_or_default(),
        ));
    }
    let packed = tree::pack(&files, 0)?;
    let packed = zstd::bulk::compress(tree::unwrap(&packed), 1)
        .map_err(|error| Error::plain(error.to_string()))?;
    Ok(Answer::Bytes(OCTETS, packed))
}
