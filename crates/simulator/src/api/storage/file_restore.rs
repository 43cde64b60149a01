//! `…/file-restore/list`: what is inside a backup of a container (pve-storage, `FileRestore.pm`).

use data_encoding::BASE64;
use serde_json::{Value, json};

use crate::call::{Answer, ApiError, Call, Reply};
use crate::pbs::tree;

fn decoded(path: &str) -> Result<String, ApiError> {
    if path.is_empty() || path == "/" {
        return Ok("/".into());
    }
    let bytes = BASE64.decode(path.as_bytes());
    let bytes =
        bytes.map_err(|_| ApiError::die(format!("Failed base64-decoding path '{path}'")))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// `GET …/file-restore/list`
pub(super) fn list(call: &Call<'_>) -> Reply {
    let (storage, volume) = (call.params.need("storage"), call.params.need("volume"));
    let volid = if volume.contains(':') && volume.split(':').next() == Some(storage.as_str()) {
        volume
    } else if volume.starts_with("backup/") {
        format!("{storage}:{volume}")
    } else {
        format!("{storage}:backup/{volume}")
    };
    let path = decoded(&call.params.need("filepath"))?;
    let world = call.sim.lock();
    let kind = world.storage.definition(&storage)?.kind.clone();
    world.check_volume_access(call.auth, None, &volid, Some("backup"))?;
    if kind != "pbs" {
        return Err(ApiError::param(
            "storage",
            "Only PBS storages supported for file-restore.",
        ));
    }
    let remote = world.pbs_remote(&storage).map_err(ApiError::die)?;
    let missing = || ApiError::die(format!("volume '{volid}' does not exist"));
    let id = remote.snapshot(&volid).ok_or_else(missing)?;
    let snapshot = world.pbs_readable(&remote, &id).map_err(ApiError::die)?;
    if id.kind == "vm" {
        let text = "Starting VM... (this simulated node has no helper machine)";
        return Err(ApiError {
            status: 503,
            ..ApiError::die(text)
        });
    }
    let path = path.trim_matches('/');
    if path.is_empty() {
        let archives = snapshot
            .files
            .iter()
            .filter(|file| file.filename.ends_with(".pxar.didx"));
        let rows = archives.map(|file| {
            let path = BASE64.encode(format!("/{}", file.filename).as_bytes());
            json!({ "filepath": path, "leaf": 0, "text": file.filename, "type": "d" })
        });
        return Ok(Answer::Data(rows.collect()));
    }
    let (archive, inside) = path.split_once('/').unwrap_or((path, ""));
    let data = world
        .pbs_read(&call.sim.state_dir, &remote, &id, archive)
        .map_err(ApiError::die)?;
    let items = tree::list(&data, inside).map_err(ApiError::die)?;
    let items =
        items.ok_or_else(|| ApiError::die(format!("path \"/{path}\" not found in archive")))?;
    let rows: Vec<Value> = items.iter().map(|item| row(archive, item)).collect();
    Ok(Answer::Data(json!(rows)))
}

fn row(archive: &str, item: &tree::Item) -> Value {
    let mut row = tree::listed(archive, item);
    if let Some(leaf) = row.get_mut("leaf") {
        *leaf = json!(u8::from(item.kind != 'd'));
    }
    row
}
