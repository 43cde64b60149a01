//! The plan that puts a volume where its class belongs: every step, what it needs, and what is true when it stops there.
//!
//! Nothing is lost by stopping anywhere: the old copy stays whole, is hashed against the new one file by file, and goes only by
//! a step of its own, after the last archive that still holds it was set protected.

mod action;
mod commands;
mod steps;

use std::collections::BTreeMap;

use felhom_ids::{ByteSize, NodeName, StorageId, Vmid, VolumeId};
use serde::{Deserialize, Serialize};

pub use self::action::{PlacementAction, PlacementStep, Side};
use self::steps::{SET_ASIDE, Steps, unique};
use super::class::VolumeClass;
use super::judge::{JudgedVolume, JudgedVolumes, VolumeKind, is_docker_name};
use super::place::Place;
use crate::finding::one_line;
use crate::restore_test::plan::Refusal;
use crate::world::GuestConfig;

/// What the plan may count on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacementSetting {
    /// The node, for the commands.
    pub node: NodeName,
    /// Where new mount points are made.
    pub storage: StorageId,
    /// Free bytes there; `None` when it cannot be seen.
    pub avail: Option<u64>,
    /// Sizes of new mount points by volume, where they were given.
    pub sizes: BTreeMap<String, ByteSize>,
    /// Labels of Docker volumes by name, which a volume that is made anew must keep.
    pub labels: BTreeMap<String, BTreeMap<String, String>>,
    /// The newest good archive that holds a volume, by volume.
    pub last_archives: BTreeMap<String, VolumeId>,
    /// Only these volumes; all that lie wrong when empty.
    pub only: Vec<String>,
}

/// The way of one volume to its new place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeMove {
    /// The volume; the path for a bind mount.
    pub volume: String,
    /// What it is, and why it moves.
    pub class: VolumeClass,
    /// Where its bytes lie now.
    pub from: String,
    /// Where they will lie.
    pub to: String,
    /// The mount point that is made for it.
    pub key: String,
    /// Bytes to copy, where they are known.
    pub bytes: Option<u64>,
    /// Size of the new mount point.
    pub size: ByteSize,
    /// Privileges that the node's half needs: path and privilege.
    pub privileges: Vec<(String, String)>,
    /// Containers that stand still meanwhile.
    pub stops: Vec<String>,
    /// Seconds that they stand still at 100 MiB/s, copying once and hashing both sides; `None` when the bytes are not known.
    pub downtime_s: Option<u64>,
    /// In order.
    pub steps: Vec<PlacementStep>,
}

/// What is to be done about a guest's volumes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacementPlan {
    /// The guest.
    pub vmid: Vmid,
    /// Where new mount points are made.
    pub storage: StorageId,
    /// Bytes that the new mount points take, all together.
    pub space: u64,
    /// One by one.
    pub moves: Vec<VolumeMove>,
    /// Volumes that cannot be planned for, with the reason.
    pub refused: Vec<Refusal>,
}

const GIB: u64 = 1 << 30;
/// PVE's mount points are `mp0` to `mp255` (pve-container LXC/Config.pm `$MAX_MOUNT_POINTS`).
const MOUNT_POINTS: u32 = 256;
/// Bytes a second for the downtime's estimate: a plain disk.
const RATE: u64 = 100 << 20;
/// Where new mount points are mounted.
const MOUNTED_BELOW: &str = "/mnt/felhom";

/// Plans for every volume that lies where its class does not belong.
pub fn plan_placement(
    judged: &JudgedVolumes,
    config: &GuestConfig,
    setting: &PlacementSetting,
) -> PlacementPlan {
    let mut plan = PlacementPlan {
        vmid: judged.vmid,
        storage: setting.storage.clone(),
        space: 0,
        moves: Vec::new(),
        refused: Vec::new(),
    };
    let mut free = free_keys(config);
    for volume in judged
        .volumes
        .iter()
        .filter(|volume| wanted(volume, setting))
    {
        let Some(class) = volume.class().filter(|class| lies_wrong(*class, volume)) else {
            continue;
        };
        match movable(volume, setting, &mut free) {
            Ok((from, key, size)) => {
                plan.space = plan.space.saturating_add(size.bytes());
                plan.moves
                    .push(way(judged.vmid, volume, class, &from, key, size, setting));
            }
            Err(refusal) => plan.refused.push(refusal),
        }
    }
    if let Some(avail) = setting.avail.filter(|avail| plan.space > *avail) {
        plan.refused.push(Refusal {
            what: format!(
                "`{}` has {} MiB free, and the new mount points may grow to {} MiB",
                setting.storage,
                avail >> 20,
                plan.space >> 20
            ),
            hint: Some("choose another storage with --storage, or less with --size".to_owned()),
        });
    }
    plan
}

fn wanted(volume: &JudgedVolume, setting: &PlacementSetting) -> bool {
    volume.is_placed() && (setting.only.is_empty() || setting.only.contains(&volume.name))
}

fn lies_wrong(class: VolumeClass, volume: &JudgedVolume) -> bool {
    match class {
        VolumeClass::Hot => !volume.included,
        VolumeClass::Bulk => volume.included,
    }
}

fn free_keys(config: &GuestConfig) -> impl Iterator<Item = String> + use<> {
    let taken = config.keys.clone();
    (0..MOUNT_POINTS)
        .map(|number| format!("mp{number}"))
        .filter(move |key| !taken.contains(key))
}

/// From where, to which mount point, of which size; or why not.
fn movable(
    volume: &JudgedVolume,
    setting: &PlacementSetting,
    free: &mut impl Iterator<Item = String>,
) -> Result<(String, String, ByteSize), Refusal> {
    let refuse = |what: String, hint: &str| Refusal {
        what: one_line(&format!("volume {}: {what}", volume.name)),
        hint: Some(hint.to_owned()),
    };
    if let Some(name) = odd_name(volume) {
        return Err(refuse(
            format!("`{name}` is no name that Docker gives"),
            "take a new report; a name that Docker does not allow may be an option for a command",
        ));
    }
    let from = match (&volume.place, volume.place.path()) {
        (Place::Volume { .. } | Place::Bind { .. }, Some(path)) => path.to_owned(),
        _ => {
            return Err(refuse(
                volume.why.clone(),
                "copy it to a volume of the guest by hand",
            ));
        }
    };
    // PVE's property strings know no quotes: a comma ends a value (pve-common JSONSchema.pm `parse_property_string`).
    if from.contains([',', ':']) || from.contains(char::is_control) {
        return Err(refuse(
            format!(
                "`{}` cannot be written into a mount point",
                from.escape_debug()
            ),
            "rename the directory first",
        ));
    }
    let size = match (setting.sizes.get(&volume.name), volume.size) {
        (Some(size), _) => *size,
        (None, Some(bytes)) => roomy(bytes),
        (None, None) => {
            return Err(refuse(
                "nobody counted its bytes".to_owned(),
                "import `docker system df -v --format '{{json .}}'` too, or say --size VOLUME=8G",
            ));
        }
    };
    let key = free.next().ok_or_else(|| {
        refuse(
            "the guest has no mount point left".to_owned(),
            "put several volumes onto one mount point by hand",
        )
    })?;
    Ok((from, key, size))
}

/// The first name that Docker would not have allowed. Commands of the plan are typed by root.
fn odd_name(volume: &JudgedVolume) -> Option<&str> {
    let own = (volume.kind != VolumeKind::Bind).then_some(volume.name.as_str());
    let uses = volume.uses.iter();
    let names = uses.flat_map(|one| {
        [Some(one.container.as_str()), one.project.as_deref()]
            .into_iter()
            .flatten()
    });
    own.into_iter()
        .chain(names)
        .find(|name| !is_docker_name(name))
}

/// A quarter more than there is, and a GiB for the file system itself, in whole GiB.
fn roomy(bytes: u64) -> ByteSize {
    let gib = bytes
        .saturating_add(bytes / 4)
        .div_ceil(GIB)
        .saturating_add(1);
    ByteSize::from_bytes(gib.saturating_mul(GIB))
}

fn way(
    vmid: Vmid,
    volume: &JudgedVolume,
    class: VolumeClass,
    from: &str,
    key: String,
    size: ByteSize,
    setting: &PlacementSetting,
) -> VolumeMove {
    let short = short_name(volume);
    let path = format!("{MOUNTED_BELOW}/{short}");
    let to = format!("{path}/data");
    let stops: Vec<String> = unique(volume.uses.iter().map(|one| one.container.clone()));
    // Docker's own directory goes when the volume is made anew; whatever else holds a volume's bytes stays as it is.
    let own = volume.kind != VolumeKind::Bind && volume.mountpoint.is_none();
    let aside = format!("{SET_ASIDE}/{short}");
    let way = Steps {
        vmid,
        volume,
        class,
        from,
        to: &to,
        aside: own.then_some(aside.as_str()),
        stops: &stops,
        setting,
    };
    let mount = PlacementAction::AddMount {
        key: key.clone(),
        storage: setting.storage.clone(),
        gib: size.bytes().div_ceil(GIB),
        path: path.clone(),
        backup: class == VolumeClass::Hot,
    };
    VolumeMove {
        volume: volume.name.clone(),
        class,
        from: from.to_owned(),
        to: to.clone(),
        key,
        bytes: volume.size,
        size,
        privileges: vec![
            (format!("/vms/{vmid}"), "VM.Config.Disk".to_owned()),
            (
                format!("/storage/{}", setting.storage),
                "Datastore.AllocateSpace".to_owned(),
            ),
            (format!("/vms/{vmid}"), "VM.Backup".to_owned()),
        ],
        downtime_s: volume
            .size
            .map(|bytes| (bytes / RATE).saturating_mul(3) + 10),
        steps: way.all(mount, path),
        stops,
    }
}

/// A name for a directory: Docker's names are safe as they are, a path's last part need not be.
fn short_name(volume: &JudgedVolume) -> String {
    let last = volume.name.rsplit('/').next().unwrap_or_default();
    let safe: String = last
        .chars()
        .map(|sign| {
            if sign.is_ascii_alphanumeric() || "._-".contains(sign) {
                sign
            } else {
                '_'
            }
        })
        .take(48)
        .collect();
    match volume.kind {
        VolumeKind::Named | VolumeKind::Anonymous => volume.name.clone(),
        VolumeKind::Bind => format!("bind-{safe}"),
    }
}
