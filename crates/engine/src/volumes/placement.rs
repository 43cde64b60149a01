//! The plan that puts a volume where its class belongs: every step, what it needs, and what is true when it stops there.
//!
//! Nothing is lost by stopping anywhere: the last archive that holds the old copy is protected before anything else, the old copy
//! stays whole, is hashed against the new one file by file, and goes only by a step of its own. A directory that anybody else has
//! a part in is not planned for at all.

mod action;
mod commands;
mod needs;
mod room;
mod steps;
mod tree;

use std::collections::BTreeMap;

use felhom_ids::{ByteSize, NodeName, StorageId, Vmid, VolumeId};
use serde::{Deserialize, Serialize};

pub use self::action::{PlacementAction, PlacementStep, Side};
pub use self::needs::{StepNeeds, StepSpace};
use self::room::{Aside, Room};
use self::steps::{Steps, idle, unique};
use self::tree::{in_the_way, is_dockers_own};
use super::class::VolumeClass;
use super::inventory::Inventory;
use super::judge::{JudgedVolume, JudgedVolumes, VolumeKind, is_docker_name};
use super::place::Place;
use crate::finding::one_line;
use crate::policy::BackupMode;
use crate::refusal::Refusal;
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
    /// Where backups go.
    pub backups: StorageId,
    /// How they are made.
    pub mode: BackupMode,
    /// Bytes of the guest's last good backup, which the next is forecast by.
    pub last_size: Option<u64>,
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
    /// Privileges that the node's half needs, all steps together: path and privilege.
    pub privileges: Vec<(String, String)>,
    /// Containers that stand still meanwhile.
    pub stops: Vec<String>,
    /// Seconds that they stand still at 100 MiB/s, copying once and hashing both sides, without what a person takes meanwhile;
    /// `None` when the bytes are not known.
    pub downtime_s: Option<u64>,
    /// What becomes of the old copy, and who removes it.
    pub old_copy: String,
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
/// Plans for every volume that lies where its class does not belong.
pub fn plan_placement(
    judged: &JudgedVolumes,
    config: &GuestConfig,
    inventory: &Inventory,
    setting: &PlacementSetting,
) -> PlacementPlan {
    let mut plan = PlacementPlan {
        vmid: judged.vmid,
        storage: setting.storage.clone(),
        space: 0,
        moves: Vec::new(),
        refused: Vec::new(),
    };
    let mut room = Room::new(config, inventory);
    for volume in judged
        .volumes
        .iter()
        .filter(|volume| wanted(volume, setting))
    {
        let Some(class) = volume.class().filter(|class| lies_wrong(*class, volume)) else {
            continue;
        };
        let seen = Seen { config, inventory };
        match movable(volume, &seen, setting, &mut room) {
            Ok(place) => {
                plan.space = plan.space.saturating_add(place.size.bytes());
                let idle = idle(volume, inventory);
                plan.moves
                    .push(way(judged.vmid, volume, class, place, &idle, setting));
            }
            Err(refusal) => plan.refused.push(refusal),
        }
    }
    protect_first(&mut plan.moves);
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

/// The first move's backup prunes already: what the later ones count on is protected before it as well.
fn protect_first(moves: &mut [VolumeMove]) {
    let Some((first, later)) = moves.split_first_mut() else {
        return;
    };
    let protects =
        |step: &&PlacementStep| matches!(step.action, PlacementAction::ProtectArchive { .. });
    let mut front: Vec<PlacementStep> = Vec::new();
    let all = later.iter().flat_map(|moved| &moved.steps);
    for step in all.filter(protects) {
        let is_there = |other: &PlacementStep| other.action == step.action;
        if !front.iter().chain(&first.steps).any(is_there) {
            front.push(step.clone());
        }
    }
    for one in front.iter().flat_map(|step| &step.needs.privileges) {
        if !first.privileges.contains(one) {
            first.privileges.push(one.clone());
        }
    }
    first.steps.splice(0..0, front);
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

/// What there is, beside the volume itself.
struct Seen<'a> {
    config: &'a GuestConfig,
    inventory: &'a Inventory,
}

/// From where to where a volume goes.
struct Destination {
    from: String,
    key: String,
    size: ByteSize,
    /// Where the new mount point is mounted.
    path: String,
    /// Where the old copy is moved, where it cannot stay: Docker removes its own directories.
    aside: Option<String>,
}

/// From where, to which mount point, of which size; or why not.
fn movable(
    volume: &JudgedVolume,
    seen: &Seen<'_>,
    setting: &PlacementSetting,
    room: &mut Room<'_>,
) -> Result<Destination, Refusal> {
    let refuse = |what: String, hint: &str| Refusal {
        what: one_line(&format!("volume {}: {what}", volume.name)),
        hint: Some(hint.to_owned()),
    };
    let from = directory(volume).map_err(|(what, hint)| refuse(what, hint))?;
    if let Some(way) = in_the_way(volume, &from, seen.config, seen.inventory) {
        return Err(refuse(way.what, way.hint));
    }
    let size = match (setting.sizes.get(&volume.name), volume.size) {
        (Some(size), bytes) if size.bytes() < bytes.unwrap_or(0).max(1) => {
            return Err(refuse(
                match bytes {
                    Some(bytes) => format!("--size says {size}, and it holds {bytes} bytes"),
                    None => format!("--size says {size}"),
                },
                "say more with --size, or nothing: then it is a quarter more than what was counted, and a GiB",
            ));
        }
        (Some(size), _) => *size,
        (None, Some(bytes)) => roomy(bytes),
        (None, None) => {
            return Err(refuse(
                "nobody counted its bytes".to_owned(),
                "import `docker system df -v --format '{{json .}}'` too, or say --size VOLUME=8G",
            ));
        }
    };
    let aside = match room.aside(volume, &from) {
        Aside::NotNeeded => None,
        Aside::To(path) => Some(path),
        Aside::Nowhere => {
            return Err(refuse(
                "on the mount that it lies on there is no directory to set the old copy aside in: all of it is Docker's or containers'"
                    .to_owned(),
                "mount one directory higher, or copy it to a volume of the guest by hand",
            ));
        }
    };
    let path = room.mount_path(volume, &from).ok_or_else(|| {
        refuse(
            "no path is left at which a mount would hide nothing".to_owned(),
            "copy it to a volume of the guest by hand",
        )
    })?;
    let key = room.key().ok_or_else(|| {
        refuse(
            "the guest has no mount point left".to_owned(),
            "put several volumes onto one mount point by hand",
        )
    })?;
    Ok(Destination {
        from,
        key,
        size,
        path,
        aside,
    })
}

/// The directory that holds its bytes, if commands can be given for it; or why not, and what to do.
fn directory(volume: &JudgedVolume) -> Result<String, (String, &'static str)> {
    if let Some(name) = odd_name(volume) {
        return Err((
            format!("`{name}` is no name that Docker gives"),
            "take a new report; a name that Docker does not allow may be an option for a command",
        ));
    }
    let (Place::Volume { path, .. } | Place::Bind { path, .. }) = &volume.place else {
        return Err((
            volume.why.clone(),
            "copy it to a volume of the guest by hand",
        ));
    };
    // PVE's property strings know no quotes: a comma ends a value (pve-common JSONSchema.pm `parse_property_string`).
    if path.contains([',', ':']) || path.contains(char::is_control) {
        return Err((
            format!(
                "`{}` cannot be written into a mount point",
                path.escape_debug()
            ),
            "rename the directory first",
        ));
    }
    // What is set aside and removed beside it is told by this (moby, `volume/local`).
    if is_dockers_own(volume) && !path.ends_with(&format!("/{}/_data", volume.name)) {
        return Err((
            format!("`{path}` is not where Docker keeps a volume of that name"),
            "take a new report",
        ));
    }
    Ok(path.clone())
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
    place: Destination,
    idle: &[String],
    setting: &PlacementSetting,
) -> VolumeMove {
    let to = format!("{}/data", place.path);
    let stops: Vec<String> = unique(volume.uses.iter().map(|one| one.container.clone()));
    let way = Steps {
        vmid,
        volume,
        class,
        from: &place.from,
        to: &to,
        aside: place.aside.as_deref(),
        stops: &stops,
        idle,
        setting,
    };
    let mount = PlacementAction::AddMount {
        key: place.key.clone(),
        storage: setting.storage.clone(),
        gib: place.size.bytes().div_ceil(GIB),
        path: place.path.clone(),
        backup: class == VolumeClass::Hot,
    };
    let all = way.all(mount, place.path.clone());
    let mut privileges: Vec<(String, String)> = Vec::new();
    for one in all.iter().flat_map(|step| &step.needs.privileges) {
        if !privileges.contains(one) {
            privileges.push(one.clone());
        }
    }
    // A backup is no part of the move's own standstill, and of a person nobody knows.
    let counted = |step: &&PlacementStep| step.side == Side::Guest;
    let downtime_s = all
        .iter()
        .filter(counted)
        .map(|step| step.needs.downtime_s)
        .sum::<Option<u64>>();
    VolumeMove {
        volume: volume.name.clone(),
        class,
        old_copy: way.old_copy(),
        to: to.clone(),
        key: place.key,
        bytes: volume.size,
        size: place.size,
        privileges,
        downtime_s,
        steps: all,
        stops: stops.clone(),
        from: place.from.clone(),
    }
}

/// The directory above.
fn parent(path: &str) -> &str {
    match path.rsplit_once('/') {
        None | Some(("", _)) => "/",
        Some((parent, _)) => parent,
    }
}
