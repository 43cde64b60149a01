//! What lies on a storage, as its content list shows it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use serde_json::{Map, Value, json};

use super::access;
use super::backups::Backup;
use crate::access::Principal;
use crate::call::ApiError;
use crate::world::World;

/// One list row with what decides about its visibility.
struct Item {
    volid: String,
    owner: Option<u32>,
    row: Map<String, Value>,
}

impl Item {
    fn new(volid: String, owner: Option<u32>, content: &str, format: &str, size: u64) -> Self {
        let mut row = Map::new();
        row.insert("volid".into(), json!(volid));
        row.insert("content".into(), json!(content));
        row.insert("format".into(), json!(format));
        row.insert("size".into(), json!(size));
        if let Some(owner) = owner {
            row.insert("vmid".into(), json!(owner));
        }
        Self { volid, owner, row }
    }
}

fn backup_item(backup: &Backup) -> Item {
    let mut item = Item::new(
        backup.volid.clone(),
        backup.vmid,
        "backup",
        &backup.format,
        backup.size,
    );
    item.row.insert("ctime".into(), json!(backup.ctime));
    item.row.insert("subtype".into(), json!(backup.subtype));
    if let Some(first) = backup
        .notes
        .as_deref()
        .and_then(|notes| notes.lines().next())
    {
        item.row.insert("notes".into(), json!(first));
    }
    if backup.protected {
        item.row.insert("protected".into(), json!(1));
    }
    item.row.extend(backup.extra.clone());
    item
}

/// `tzst` of `….tar.zst`
fn template_format(file: &str) -> Option<String> {
    ["gz", "xz", "zst", "bz2"]
        .iter()
        .find(|ext| file.ends_with(&format!(".tar.{ext}")))
        .map(|ext| format!("t{ext}"))
        .or_else(|| file.strip_suffix(".tar").map(|_| "tar".to_owned()))
}

impl World {
    fn files(&self, storage: &str, content: &str) -> Vec<Item> {
        let base = self.storage.folder(storage);
        let Some(dir) = base.map(|base| base.join(folder(content))) else {
            return Vec::new();
        };
        let Ok(entries) = fs::read_dir(dir) else {
            return Vec::new();
        };
        let read = |entry: fs::DirEntry| {
            let file = entry.file_name().into_string().ok()?;
            let meta = entry.metadata().ok()?;
            let format = match content {
                "vztmpl" => template_format(&file)?,
                "iso" => "iso".to_owned(),
                _ => "snippet".to_owned(),
            };
            let volid = format!("{storage}:{content}/{file}");
            let mut item = Item::new(volid, None, content, &format, meta.len());
            item.row.insert("ctime".into(), json!(meta.ctime()));
            Some(item)
        };
        entries.filter_map(|entry| read(entry.ok()?)).collect()
    }

    fn disks(&self, storage: &str) -> Vec<Item> {
        let prefix = format!("{storage}:");
        self.storage
            .volumes
            .iter()
            .filter(|(volid, _)| volid.starts_with(&prefix))
            .map(|(volid, volume)| {
                let content = if self.qemu.contains_key(&volume.owner) {
                    "images"
                } else {
                    "rootdir"
                };
                let mut item = Item::new(
                    volid.clone(),
                    Some(volume.owner),
                    content,
                    "raw",
                    volume.size,
                );
                // The LVM plugin hands on the text of `lvs`, the directory plugin the number of `stat`.
                let ctime = if volume.thin {
                    json!(volume.ctime.to_string())
                } else {
                    json!(volume.ctime)
                };
                item.row.insert("ctime".into(), ctime);
                if !volume.thin {
                    item.row.insert("used".into(), json!(volume.mapped()));
                }
                item
            })
            .collect()
    }

    /// The content list of a storage as `who` may see it: items without access are left out silently.
    pub(crate) fn content_list(
        &self,
        who: &Principal,
        storage: &str,
        content: Option<&str>,
        vmid: Option<u32>,
    ) -> Result<Vec<Value>, ApiError> {
        let definition = self.storage.usable(storage)?;
        let kinds: Vec<&str> = match content {
            Some(kind) => vec![kind],
            None => definition.content(),
        };
        if definition.kind == "pbs" {
            self.pbs_backups(storage).map_err(ApiError::die)?;
        }
        let mut items = Vec::new();
        for kind in kinds.iter().copied().filter(|kind| definition.holds(kind)) {
            match kind {
                "backup" => items.extend(self.backups(storage).iter().map(backup_item)),
                "images" | "rootdir" => items.extend(
                    self.disks(storage)
                        .into_iter()
                        .filter(|item| item.row.get("content").is_some_and(|have| have == kind)),
                ),
                _ => items.extend(self.files(storage, kind)),
            }
        }
        items.retain(|item| {
            vmid.is_none_or(|id| item.owner == Some(id))
                && self
                    .check_volume_access(who, None, &item.volid, None)
                    .is_ok()
        });
        items.sort_by_key(|item| item.volid.to_lowercase());
        Ok(items
            .into_iter()
            .map(|item| Value::Object(item.row))
            .collect())
    }

    /// Attributes of one volume (path, size, notes …).
    pub(crate) fn volume_attributes(&self, volid: &str) -> Result<Value, ApiError> {
        let volume = access::parse(self, volid)?;
        if volume.kind == "backup" {
            let backup = self.backup(volid).ok_or_else(|| no_format(volid))?;
            if self.is_pbs(&volume.storage) {
                return Ok(self.pbs_attributes(&volume, &backup));
            }
            let file = volume.name.trim_start_matches("backup/");
            return Ok(json!({
                "path": self.dump_path_shown(&volume.storage, file),
                "size": backup.size, "used": backup.size, "format": "raw",
                "protected": u8::from(backup.protected), "notes": backup.notes.unwrap_or_default(),
            }));
        }
        if volume.kind != "images" {
            let items = self.files(&volume.storage, volume.kind);
            let found = items.into_iter().find(|item| item.volid == volid);
            let found = found.ok_or_else(|| no_format(volid))?;
            let size = found.row.get("size").cloned().unwrap_or_default();
            let path = self.file_path_shown(&volume);
            return Ok(json!({ "path": path, "size": size, "used": size, "format": "raw" }));
        }
        let path = self.device_path(volid);
        let found = self.storage.volumes.get(volid).ok_or_else(|| {
            let name = path.trim_start_matches("/dev/");
            let text =
                format!("can't get size of '{path}':   Failed to find logical volume \"{name}\"");
            ApiError::die(text)
        })?;
        // Nobody asks the thin pool what is mapped.
        let used = if found.thin { 0 } else { found.mapped() };
        Ok(json!({ "path": path, "size": found.size, "used": used, "format": "raw" }))
    }

    /// Of a snapshot on a backup server; its path is a name that nobody opens.
    fn pbs_attributes(&self, volume: &access::VolumeName, backup: &Backup) -> Value {
        let remote = self.pbs_remote(&volume.storage).ok();
        let (repository, ns) = remote
            .map(|one| (one.repository, one.ns))
            .unwrap_or_default();
        let name = volume.name.trim_start_matches("backup/");
        let ns = if ns.is_empty() {
            ns
        } else {
            format!("?ns={}", ns.replace('/', "%2f"))
        };
        json!({
            "path": format!("pbs://{repository}/{name}{ns}"), "size": backup.size, "used": backup.size,
            "format": backup.format, "protected": backup.protected,
            "notes": backup.notes.clone().unwrap_or_default(),
        })
    }

    /// The path of a template, image or snippet as the node names it.
    fn file_path_shown(&self, volume: &access::VolumeName) -> String {
        let definition = self.storage.definitions.get(&volume.storage);
        let base = definition.and_then(|one| one.path()).unwrap_or_default();
        let (_, file) = volume.name.split_once('/').unwrap_or_default();
        format!(
            "{}/{}/{file}",
            base.trim_end_matches('/'),
            folder(volume.kind)
        )
    }
}

/// Where a directory storage keeps files of a kind.
fn folder(content: &str) -> &'static str {
    match content {
        "vztmpl" => "template/cache",
        "iso" => "template/iso",
        "snippets" => "snippets",
        _ => "import",
    }
}

/// What becomes of asking for the size of a file that is not there.
fn no_format(volid: &str) -> ApiError {
    ApiError::die(format!("volume_size_info on '{volid}' failed - no format"))
}
