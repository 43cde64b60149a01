//! What was read of an answer, value by value against what stands in it.

use base64::Engine;
use felhom_ids::{BackupGroup, BackupSnapshot, KeyFingerprint, Upid};
use felhom_proxmox::pbs::{Call, access, datastore, format, node, prune, snapshots, tasks};
use felhom_proxmox::task::Started;
use felhom_proxmox::{LogLine, Outcome};
use serde::de::DeserializeOwned;
use serde_json::Value;

pub(super) type Checked = Result<(), String>;

pub(super) fn ours<T: DeserializeOwned>(data: &Value) -> Result<T, String> {
    serde_json::from_str(&data.to_string()).map_err(|error| error.to_string())
}

pub(super) fn reads<C: Call>(data: &Value) -> Checked {
    ours::<C::Response>(data).map(drop)
}

fn same<A: PartialEq + std::fmt::Debug>(what: &str, ours: &A, theirs: &A) -> Checked {
    if ours == theirs {
        return Ok(());
    }
    Err(format!("{what}: {ours:?} is not {theirs:?}"))
}

/// Pairs of what was read and what stands there.
fn pairs<T: DeserializeOwned>(data: &Value) -> Result<Vec<(T, Value)>, String> {
    let list: Vec<T> = ours(data)?;
    let raw = data.as_array().ok_or("no list")?.clone();
    same("length", &list.len(), &raw.len())?;
    Ok(list.into_iter().zip(raw).collect())
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn files(list: &[snapshots::FileEntry], raw: &Value) -> Checked {
    same("files", &list.len(), &raw.as_array().map_or(0, Vec::len))?;
    for (file, raw) in list.iter().zip(raw.as_array().into_iter().flatten()) {
        let mode = match &file.crypt_mode {
            Some(snapshots::CryptMode::None) => "none",
            Some(snapshots::CryptMode::Encrypt) => "encrypt",
            Some(snapshots::CryptMode::SignOnly) => "sign-only",
            Some(snapshots::CryptMode::Other(_)) | None => return Err(format!("{file:?}")),
        };
        same("mode", &Some(mode.to_owned()), &text(&raw["crypt-mode"]))?;
        same(
            "name",
            &Some(file.filename.clone()),
            &text(&raw["filename"]),
        )?;
        same("size", &file.size, &raw["size"].as_u64())?;
    }
    Ok(())
}

fn name(raw: &Value) -> Result<BackupSnapshot, String> {
    let group: BackupGroup = format!(
        "{}/{}",
        raw["backup-type"].as_str().unwrap_or_default(),
        raw["backup-id"].as_str().unwrap_or_default()
    )
    .parse()
    .map_err(|error| format!("{error}"))?;
    BackupSnapshot::new(group, raw["backup-time"].as_i64().unwrap_or_default())
        .map_err(|error| error.to_string())
}

pub(super) fn listed(data: &Value) -> Checked {
    for (one, raw) in pairs::<snapshots::Snapshot>(data)? {
        same("name", &one.snapshot, &name(&raw)?)?;
        same("size", &one.size, &raw["size"].as_u64())?;
        same("owner", &one.owner, &text(&raw["owner"]))?;
        same("comment", &one.comment, &text(&raw["comment"]))?;
        same(
            "protected",
            &Some(one.protected),
            &raw["protected"].as_bool(),
        )?;
        let key = one.fingerprint.as_ref().map(KeyFingerprint::to_string);
        same("fingerprint", &key, &text(&raw["fingerprint"]))?;
        let state = one.verification.as_ref().map(|verification| {
            let word = match &verification.state {
                snapshots::VerifyState::Ok => "ok",
                snapshots::VerifyState::Failed => "failed",
                snapshots::VerifyState::Other(_) => "?",
            };
            (word.to_owned(), verification.upid.to_string())
        });
        let raw_state = &raw["verification"];
        let raw_state = text(&raw_state["state"]).zip(text(&raw_state["upid"]));
        same("verification", &state, &raw_state)?;
        let is_encrypted = raw["files"].to_string().contains("\"encrypt\"");
        same("encrypted", &one.is_encrypted(), &is_encrypted)?;
        files(&one.files, &raw["files"])?;
    }
    Ok(())
}

pub(super) fn groups(data: &Value) -> Checked {
    for (one, raw) in pairs::<snapshots::Group>(data)? {
        same(
            "count",
            &Some(one.backup_count),
            &raw["backup-count"].as_u64(),
        )?;
        same("last", &Some(one.last_backup), &raw["last-backup"].as_i64())?;
        same(
            "id",
            &Some(one.group.id().to_owned()),
            &text(&raw["backup-id"]),
        )?;
        same("comment", &one.comment, &text(&raw["comment"]))?;
        same(
            "files",
            &one.files.len(),
            &raw["files"].as_array().map_or(0, Vec::len),
        )?;
    }
    Ok(())
}

pub(super) fn pruned(data: &Value) -> Checked {
    for (one, raw) in pairs::<prune::Pruned>(data)? {
        same("name", &one.snapshot, &name(&raw)?)?;
        same("keep", &Some(one.keep), &raw["keep"].as_bool())?;
        same(
            "protected",
            &Some(one.protected),
            &raw["protected"].as_bool(),
        )?;
    }
    Ok(())
}

pub(super) fn started(data: &Value) -> Checked {
    let upid: Upid = ours(data)?;
    same("upid", &Some(upid.to_string()), &text(data))?;
    ours::<Started>(data).map(drop)
}

pub(super) fn status_of_task(data: &Value) -> Checked {
    let status: tasks::TaskStatus = ours(data)?;
    same("upid", &Some(status.upid.to_string()), &text(&data["upid"]))?;
    same("exit", &status.exit_status, &text(&data["exitstatus"]))?;
    same(
        "node",
        &Some(status.upid.node().to_string()),
        &text(&data["node"]),
    )?;
    same(
        "kind",
        &Some(status.upid.kind().to_owned()),
        &text(&data["type"]),
    )?;
    same("subject", &Some(status.upid.subject()), &text(&data["id"]))?;
    let is_over = data["status"] == "stopped";
    same("over", &status.outcome().is_some(), &is_over)
}

pub(super) fn log(data: &Value) -> Checked {
    for (line, raw) in pairs::<LogLine>(data)? {
        same("number", &Some(line.n), &raw["n"].as_u64())?;
        same("text", &Some(line.text.clone()), &text(&raw["t"]))?;
        let last = line.text.contains(": TASK ");
        same(
            "last",
            &Outcome::parse_last_dated_line(&line.text).is_some(),
            &last,
        )?;
    }
    Ok(())
}

pub(super) fn task_list(data: &Value) -> Checked {
    for (one, raw) in pairs::<tasks::TaskEntry>(data)? {
        same("upid", &Some(one.upid.to_string()), &text(&raw["upid"]))?;
        same(
            "user",
            &Some(one.upid.user().to_owned()),
            &text(&raw["user"]),
        )?;
        same("end", &one.endtime, &raw["endtime"].as_i64())?;
        same("status", &one.status, &text(&raw["status"]))?;
    }
    Ok(())
}

pub(super) fn disk(data: &Value) -> Checked {
    let status: datastore::DatastoreStatus = ours(data)?;
    same("total", &Some(status.total), &data["total"].as_u64())?;
    same("avail", &Some(status.avail), &data["avail"].as_u64())?;
    let count = status.counts.get("ct").map(|count| count.snapshots);
    same(
        "snapshots",
        &count,
        &data["counts"]["ct"]["snapshots"].as_u64(),
    )?;
    same("gc", &status.gc.is_some(), &data["gc-status"].is_object())
}

pub(super) fn collected(data: &Value) -> Checked {
    let gc: datastore::GarbageCollection = ours(data)?;
    same(
        "chunks",
        &Some(gc.disk_chunks),
        &data["disk-chunks"].as_u64(),
    )?;
    same(
        "bytes",
        &Some(gc.index_data_bytes),
        &data["index-data-bytes"].as_u64(),
    )?;
    same(
        "upid",
        &gc.upid.map(|upid| upid.to_string()),
        &text(&data["upid"]),
    )
}

pub(super) fn namespaces(data: &Value) -> Checked {
    for (one, raw) in pairs::<datastore::NamespaceEntry>(data)? {
        same("ns", &Some(one.namespace.to_string()), &text(&raw["ns"]))?;
    }
    Ok(())
}

pub(super) fn file_list(data: &Value) -> Checked {
    files(&ours::<Vec<snapshots::FileEntry>>(data)?, data)
}

pub(super) fn notes(data: &Value) -> Checked {
    let snapshots::Notes(notes) = ours(data)?;
    same("notes", &Some(notes), &text(data))
}

pub(super) fn protected(data: &Value) -> Checked {
    let snapshots::Protected(is) = ours(data)?;
    same("protected", &Some(is), &data.as_bool())
}

pub(super) fn machine(data: &Value) -> Checked {
    let status: node::NodeStatus = ours(data)?;
    let print = status.info.fingerprint.to_string().to_lowercase();
    same(
        "fingerprint",
        &Some(print),
        &text(&data["info"]["fingerprint"]),
    )
}

pub(super) fn permissions(data: &Value) -> Checked {
    let permissions: access::Permissions = ours(data)?;
    for (path, held) in data.as_object().ok_or("no object")? {
        for privilege in held.as_object().ok_or("no object")?.keys() {
            same(privilege, &permissions.has(path, privilege), &true)?;
        }
    }
    same(
        "paths",
        &Some(permissions.0.len()),
        &data.as_object().map(serde_json::Map::len),
    )
}

pub(super) fn ticket(data: &Value) -> Checked {
    // What a login makes of it, `pbs::login` shows on the wire.
    same(
        "ticket",
        &text(&data["ticket"]).is_some_and(|text| text.starts_with("PBS:felhom@pbs:")),
        &true,
    )
}

/// The manifest in plain, the raw files, and what they say of each other.
pub(super) fn download(body: &Value) -> Checked {
    if body.get("files").is_some() {
        let manifest = format::Manifest::from_json(body.to_string().as_bytes());
        let manifest = manifest.map_err(|error| error.to_string())?;
        same("name", &manifest.snapshot, &name(body)?)?;
        return same(
            "signed",
            &manifest.is_signed(),
            &body["signature"].is_string(),
        );
    }
    let Some(head) = body["_base64_head"].as_str() else {
        return Ok(());
    };
    let head = base64::engine::general_purpose::STANDARD
        .decode(head)
        .unwrap();
    if body["_binary_len"].as_u64() == u64::try_from(head.len()).ok() {
        let blob = format::Blob::parse(&head).map_err(|error| error.to_string())?;
        let conf = blob.contents(None, 1 << 20);
        return match conf {
            Ok(conf) => same("conf", &conf.starts_with(b"arch: amd64\n"), &true),
            Err(error) => same("sealed", &matches!(error, format::Invalid::NeedsKey), &true),
        };
    }
    // The recording has only the beginning of it.
    let is_index = format::IndexHead::parse(&head).is_ok();
    let is_blob = matches!(
        format::Blob::parse(&head),
        Err(format::Invalid::Checksum(_))
    );
    let is_archive = head.starts_with(&[0xef, 0xac, 0x88, 0xe5, 0x74, 0x64, 0x95, 0xd5]);
    same("known", &(is_index || is_blob || is_archive), &true)
}
