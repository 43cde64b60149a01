//! Mount points: which are made and filled, which are made and stay empty, which are not made.

use felhom_ids::{ByteSize, StorageId, Vmid};

use crate::restore_run::plan::{Missing, RestoredVolume};
use crate::restore_run::property::{self, quoted};
use crate::restore_run::records::RestoreRunRequest;
use crate::restore_run::subject::{RestoreSubject, WrittenConfig, is_numbered};
use crate::world::{Mount, MountSource};

/// Whether a volume of these mounts is in the archive: the rootfs always, others with `backup=1` only (pve-container
/// LXC/Config.pm `mountpoint_backup_enabled`).
fn is_filled(mount: &Mount) -> bool {
    mount.key == "rootfs" || mount.backup
}

/// Volumes to make, and mount points that do not come back. All are named in the request: without that PVE would make every
/// archived one, and a bind mount among them ends a token's restore (API2/LXC.pm `create_vm`).
pub(super) fn plan(
    request: &RestoreRunRequest,
    subject: &RestoreSubject,
) -> (Vec<RestoredVolume>, Vec<Missing>) {
    let archived = &subject.archived;
    let (mut volumes, mut missing) = (Vec::new(), Vec::new());
    for mount in &archived.config.mounts {
        let text = archived
            .values
            .get(&mount.key)
            .map(String::as_str)
            .unwrap_or_default();
        match &mount.source {
            MountSource::Volume(volume) => {
                let storage = target(request, volume.storage());
                let planned = volume_of(mount, text, storage);
                if planned.filled || !request.without_empty {
                    volumes.push(planned);
                } else {
                    missing.push(left_out(request.to, &planned));
                }
            }
            MountSource::Bind(source) => {
                let why = format!(
                    "a bind mount of `{source}`, a directory of the node: never in a backup, and only root may set it"
                );
                missing.push(of_the_host(request.to, mount, text, why));
            }
            MountSource::Device(source) => {
                let why = format!(
                    "a mount of the node's device `{source}`: never in a backup, and only root may set it"
                );
                missing.push(of_the_host(request.to, mount, text, why));
            }
        }
    }
    missing.extend(unused(archived, "was mounted nowhere"));
    (volumes, missing)
}

/// Volumes that were in no use: neither backed up nor carried over.
pub(super) fn unused(archived: &WrittenConfig, place: &str) -> impl Iterator<Item = Missing> {
    let unused = |key: &&String| is_numbered(key, "unused");
    archived
        .values
        .keys()
        .filter(unused)
        .map(move |key| Missing {
            key: key.clone(),
            path: None,
            why: format!("`{key}`, a volume that {place}, is not in the backup"),
            command: None,
            root_only: false,
        })
}

/// Where a volume goes: to the storage that was named, else to its own. Whether that takes it is judged with the plan.
fn target(request: &RestoreRunRequest, archived: &StorageId) -> StorageId {
    request.storage.as_ref().unwrap_or(archived).clone()
}

fn volume_of(mount: &Mount, text: &str, storage: StorageId) -> RestoredVolume {
    let filled = is_filled(mount);
    let options = property::without(text, &["volume", "size"]);
    RestoredVolume {
        key: mount.key.clone(),
        path: mount.path.clone(),
        storage,
        size: mount.size.unwrap_or_default(),
        options: if filled {
            options
        } else {
            property::with(&options, "backup", "0")
        },
        filled,
        generated: false,
    }
}

fn left_out(vmid: Vmid, volume: &RestoredVolume) -> Missing {
    let new = format!("{}:{},{}", volume.storage, gib(volume.size), volume.options);
    Missing {
        key: volume.key.clone(),
        path: Some(volume.path.clone()),
        why: "not in the backup (no backup=1), and left out because that was asked for".to_owned(),
        command: Some(format!("pct set {vmid} --{} {}", volume.key, quoted(&new))),
        root_only: false,
    }
}

fn of_the_host(vmid: Vmid, mount: &Mount, text: &str, why: String) -> Missing {
    Missing {
        key: mount.key.clone(),
        path: Some(mount.path.clone()),
        why,
        command: Some(format!("pct set {vmid} --{} {}", mount.key, quoted(text))),
        root_only: true,
    }
}

/// Raw `lxc.*` lines: dropped with a warning when anybody but root restores (LXC/Create.pm `sanitize_and_merge_config`), and
/// set by no command but by writing the file.
pub(super) fn raw_lines(vmid: Vmid, archived: &WrittenConfig) -> Vec<Missing> {
    let line = |(key, value): &(String, String)| {
        // What a guest is told may be a password: that is looked up where it stands.
        let told = !key.starts_with("lxc.environment");
        Missing {
            key: key.clone(),
            path: None,
            why: format!("`{key}` is dropped when a token restores; only root may write it"),
            command: told.then(|| {
                let line = quoted(&format!("{key}: {value}"));
                format!("echo {line} >> /etc/pve/lxc/{vmid}.conf")
            }),
            root_only: true,
        }
    };
    archived.raw_lxc.iter().map(line).collect()
}

/// A size in GiB as `pct` and `qm` take it, rounded up to whole MiB.
pub(super) fn gib(size: ByteSize) -> String {
    let mebibytes = size.bytes().div_ceil(1 << 20);
    // A 1024th has at most ten decimal places.
    let text = format!(
        "{}.{:010}",
        mebibytes / 1024,
        (mebibytes % 1024) * 9_765_625
    );
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
