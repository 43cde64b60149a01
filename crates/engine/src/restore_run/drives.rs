//! Drives of a virtual machine: which come back, which are made anew by PVE, which do not come back, and what became of them.
//!
//! No drive can be named in a request that restores (qemu-server API2/Qemu.pm `create_vm`): every one that the archive holds is
//! made, all on one storage or each where it was.

use felhom_ids::{ByteSize, GuestKind, Vmid, VolumeId};

use crate::restore_run::machine::{file, is_cloud_init};
use crate::restore_run::plan::{Missing, RestoreRunPlan, RestoredVolume};
use crate::restore_run::property::{self, meaning, plain, quoted};
use crate::restore_run::records::RestoreRunRequest;
use crate::restore_run::subject::{RestoreSubject, WrittenConfig};
use crate::restore_run::volumes::{gib, unused};
use crate::world::{Mount, MountSource, is_drive};

/// Where PVE puts a drive that came from no storage (QemuServer.pm `parse_backup_hints`).
const NO_STORAGE: &str = "local";

/// What becomes of a drive (QemuServer.pm `restore_update_config_line`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// The archive fills a new volume.
    Filled,
    /// PVE makes a new volume and writes it itself.
    Generated,
    /// Its line becomes a comment.
    LeftOut,
    /// Its line stays as it is.
    Carried,
}

fn fate(key: &str, text: &str, mount: Option<&Mount>) -> Fate {
    if property::value(text, "backup").map(plain).as_deref() == Some("0") {
        return Fate::LeftOut;
    }
    let bus = ["ide", "sata", "scsi"]
        .iter()
        .any(|bus| key.starts_with(bus));
    match mount {
        _ if bus && is_cloud_init(text) => Fate::Generated,
        Some(mount) if mount.backup => Fate::Filled,
        _ => Fate::Carried,
    }
}

/// The drives with their text and what becomes of each.
fn fates(
    archived: &WrittenConfig,
) -> impl Iterator<Item = (&String, &String, Option<&Mount>, Fate)> {
    let machine = archived.config.kind == GuestKind::Qemu;
    archived
        .values
        .iter()
        .filter(move |(key, _)| machine && is_drive(key))
        .map(|(key, text)| {
            let mount = archived
                .config
                .mounts
                .iter()
                .find(|mount| mount.key == *key);
            (key, text, mount, fate(key, text, mount))
        })
}

/// Whether a drive's line is written again as it is.
pub(super) fn is_carried(archived: &WrittenConfig, key: &str) -> bool {
    fates(archived).any(|(found, _, _, fate)| found == key && fate == Fate::Carried)
}

/// Volumes that PVE makes, and drives that do not come back.
pub(super) fn plan(
    request: &RestoreRunRequest,
    subject: &RestoreSubject,
) -> (Vec<RestoredVolume>, Vec<Missing>) {
    let archived = &subject.archived;
    let (mut volumes, mut missing) = (Vec::new(), Vec::new());
    for (key, text, mount, fate) in fates(archived) {
        match fate {
            Fate::Filled | Fate::Generated => {
                volumes.extend(made(request, key, text, mount, fate == Fate::Filled));
            }
            Fate::LeftOut => missing.push(left_out(request, key, text, mount)),
            Fate::Carried => {}
        }
    }
    missing.extend(unused(archived, "was attached to nothing"));
    (volumes, missing)
}

fn made(
    request: &RestoreRunRequest,
    key: &str,
    text: &str,
    mount: Option<&Mount>,
    filled: bool,
) -> Option<RestoredVolume> {
    let behind = file(text).unwrap_or_default();
    let own = match mount.map(|mount| &mount.source) {
        Some(MountSource::Volume(volume)) => Some(volume.storage().clone()),
        Some(_) => NO_STORAGE.parse().ok(),
        None => behind
            .parse::<VolumeId>()
            .ok()
            .map(|volume| volume.storage().clone()),
    };
    let size = property::value(text, "size").and_then(|size| size.parse().ok());
    Some(RestoredVolume {
        key: key.to_owned(),
        path: behind.to_owned(),
        storage: request.storage.clone().or(own)?,
        size: size.unwrap_or_default(),
        options: property::without(text, &["volume", "file", "size", "format"]),
        filled,
        generated: !filled,
    })
}

/// A drive without a backup. Its line becomes a comment, and the description of the plan takes the place of that.
fn left_out(request: &RestoreRunRequest, key: &str, text: &str, mount: Option<&Mount>) -> Missing {
    let vmid = request.to;
    let rest = property::without(text, &["volume", "file", "size", "format"]);
    let set = |value: &str| Some(format!("qm set {vmid} --{key} {}", quoted(value)));
    let (why, command) = match mount {
        None => (
            "a CD drive that says backup=0, which Proxmox leaves out",
            set(text),
        ),
        Some(Mount {
            source: MountSource::Volume(volume),
            size,
            ..
        }) => {
            let storage = request.storage.as_ref().unwrap_or(volume.storage());
            let size = size.unwrap_or_default();
            let new = format!("{storage}:{},{rest}", gib(size));
            let whole_gib =
                size.bytes() > 0 && !key.starts_with("efidisk") && !key.starts_with("tpmstate");
            (
                "not in the backup (backup=0); the command makes an empty one",
                set(&new).filter(|_| whole_gib),
            )
        }
        Some(_) => (
            "a disk of the node that is not in the backup (backup=0), and only root may attach it; never to two guests",
            set(text),
        ),
    };
    Missing {
        key: key.to_owned(),
        path: Some(file(text).unwrap_or_default().to_owned()),
        why: why.to_owned(),
        command,
        root_only: matches!(mount, Some(mount) if !matches!(mount.source, MountSource::Volume(_))),
    }
}

/// Drives whose line stays though it names a volume of a guest: an EFI disk that OVMF does not use, or a guest's volume as a CD.
/// The restored guest would have the very volume of the original.
pub(super) fn still_of_another(archived: &WrittenConfig) -> Vec<(String, VolumeId)> {
    let carried = fates(archived).filter(|(.., fate)| *fate == Fate::Carried);
    carried
        .filter_map(|(key, text, ..)| {
            let volume: VolumeId = file(text)?.parse().ok()?;
            volume.guest().map(|_: Vmid| (key.clone(), volume))
        })
        .collect()
}

/// Where drives go that were elsewhere before, one line each.
pub(super) fn changes(archived: &WrittenConfig, volumes: &[RestoredVolume]) -> Vec<String> {
    let mut lines = Vec::new();
    for volume in volumes {
        let was = volume.path.parse::<VolumeId>().ok();
        let device =
            archived.config.mounts.iter().any(|mount| {
                mount.key == volume.key && matches!(mount.source, MountSource::Device(_))
            });
        if device {
            lines.push(format!(
                "{} was `{}`, a disk of the node: its content comes back as a volume on `{}`",
                volume.key, volume.path, volume.storage
            ));
        } else if let Some(was) = was.filter(|was| *was.storage() != volume.storage) {
            let (key, now, was) = (&volume.key, &volume.storage, was.storage());
            lines.push(format!("{key} goes to `{now}` (archived: `{was}`)"));
        }
    }
    lines
}

/// What is not as planned of the drives.
pub(super) fn differences(plan: &RestoreRunPlan, found: &WrittenConfig) -> Vec<String> {
    let planned = plan.volumes.iter();
    let mut all: Vec<String> = planned
        .filter_map(|volume| difference(plan, volume, found))
        .collect();
    for key in found.values.keys().filter(|key| is_drive(key)) {
        let known =
            plan.carried.contains_key(key) || plan.volumes.iter().any(|one| one.key == *key);
        if !known {
            all.push(format!("{key} was not planned"));
        }
    }
    all
}

fn difference(
    plan: &RestoreRunPlan,
    planned: &RestoredVolume,
    found: &WrittenConfig,
) -> Option<String> {
    let key = &planned.key;
    let Some(text) = found.values.get(key) else {
        return Some(format!("{key} is missing"));
    };
    let behind = file(text).unwrap_or_default();
    let made = |volume: &VolumeId| {
        volume.guest() == Some(plan.vmid) && *volume.storage() == planned.storage
    };
    if !behind.parse::<VolumeId>().is_ok_and(|volume| made(&volume)) {
        return Some(format!(
            "{key} is `{behind}`, which was not made for this guest"
        ));
    }
    // A storage rounds up to what it makes at the least; the archive's own size is what was planned.
    let size: Option<ByteSize> = property::value(text, "size").and_then(|size| size.parse().ok());
    let size = size.unwrap_or_default();
    if planned.filled && size.bytes() < planned.size.bytes() {
        return Some(format!("{key} has {size}, planned was {}", planned.size));
    }
    let is = property::without(text, &["volume", "file", "size", "format"]);
    (meaning(&is) != meaning(&planned.options))
        .then(|| format!("{key} has `{is}`, planned was `{}`", planned.options))
}
