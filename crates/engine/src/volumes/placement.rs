//! The plan that puts a volume where its class belongs: every step, what it needs, and what is true when it stops there.
//!
//! Nothing is lost by stopping anywhere: the old copy is set aside whole, is hashed against the new one file by file, and goes
//! only by a step of its own, after the last archive that still holds it was set protected.

use std::collections::BTreeMap;

use felhom_ids::{ByteSize, NodeName, StorageId, Vmid, VolumeId};
use serde::{Deserialize, Serialize};

use super::class::VolumeClass;
use super::judge::{JudgedVolume, JudgedVolumes, VolumeKind};
use super::place::Place;
use crate::restore::Refusal;
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

/// Who carries a step out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The node: an API token with the privileges named, or root.
    Node,
    /// The guest: root inside it.
    Guest,
    /// A person, by hand.
    Person,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "action")]
pub enum PlacementAction {
    /// Make a mount point of the guest.
    AddMount {
        /// `mpN`.
        key: String,
        /// Where its volume is made.
        storage: StorageId,
        /// Its size in GiB.
        gib: u64,
        /// Where it is mounted inside the guest.
        path: String,
        /// Whether backups hold it.
        backup: bool,
    },
    /// See that it is mounted, and make the data directory in it.
    PrepareMount {
        /// Where it is mounted.
        path: String,
        /// The directory below it that will hold the data; a fresh file system has a `lost+found` of its own.
        data: String,
    },
    /// Stop the containers that use the volume.
    StopContainers {
        /// Their names.
        names: Vec<String>,
    },
    /// Copy everything.
    CopyTree {
        /// From this directory.
        from: String,
        /// Into that one.
        to: String,
    },
    /// Hash every file on both sides, and count everything.
    CompareTrees {
        /// This directory.
        from: String,
        /// And that one.
        to: String,
    },
    /// Remove the containers, which are made anew from what they were made of.
    RemoveContainers {
        /// Their names.
        names: Vec<String>,
    },
    /// Move the old copy aside, whole.
    SetAside {
        /// From here.
        from: String,
        /// To there.
        to: String,
    },
    /// Make the Docker volume anew, on the new directory.
    RecreateVolume {
        /// Its name.
        name: String,
        /// The directory that holds its data.
        device: String,
        /// The labels it had, and its class.
        labels: BTreeMap<String, String>,
    },
    /// Let the containers mount another directory.
    Repoint {
        /// The directory they mount now.
        from: String,
        /// The one they shall mount.
        to: String,
        /// The compose projects that say so.
        projects: Vec<String>,
    },
    /// Start what was stopped.
    StartContainers {
        /// Compose projects to bring up.
        projects: Vec<String>,
        /// Containers that belong to none.
        names: Vec<String>,
    },
    /// Tell the agent of the new place, back up, and see the proof.
    Prove {
        /// The guest.
        vmid: Vmid,
    },
    /// Protect the last archive that still holds the old copy; later ones will not.
    ProtectArchive {
        /// The node.
        node: NodeName,
        /// The archive; `None` when none is known yet: the proof before is one.
        volid: Option<VolumeId>,
    },
    /// Remove the copy that was set aside: only when a person says so and names the volume.
    DropOld {
        /// Where it was set aside.
        path: String,
    },
}

/// A step of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacementStep {
    /// Who carries it out.
    pub side: Side,
    /// What is done.
    #[serde(flatten)]
    pub action: PlacementAction,
    /// What is true, and what to do, when everything stops before this step is done.
    pub if_stopped: String,
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
/// Where new mount points are mounted, and where old copies are set aside.
const MOUNTED_BELOW: &str = "/mnt/felhom";
const SET_ASIDE: &str = "/var/lib/felhom/set-aside";

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
    volume.holds_data() && (setting.only.is_empty() || setting.only.contains(&volume.name))
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
        what: format!("volume {}: {what}", volume.name),
        hint: Some(hint.to_owned()),
    };
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
    let way = Steps {
        vmid,
        volume,
        class,
        from,
        to: &to,
        aside: &format!("{SET_ASIDE}/{short}"),
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

fn unique(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut all: Vec<String> = names.collect();
    all.sort();
    all.dedup();
    all
}

struct Steps<'a> {
    vmid: Vmid,
    volume: &'a JudgedVolume,
    class: VolumeClass,
    from: &'a str,
    to: &'a str,
    aside: &'a str,
    stops: &'a [String],
    setting: &'a PlacementSetting,
}

impl Steps<'_> {
    fn all(&self, mount: PlacementAction, path: String) -> Vec<PlacementStep> {
        let mut steps = vec![
            step(Side::Node, mount, "nothing has changed"),
            step(
                Side::Guest,
                PlacementAction::PrepareMount {
                    path,
                    data: self.to.to_owned(),
                },
                "an empty mount point more; if it is not mounted, restart the guest once, or remove the mount point again",
            ),
        ];
        if !self.stops.is_empty() {
            steps.push(step(
                Side::Guest,
                PlacementAction::StopContainers {
                    names: self.stops.to_vec(),
                },
                "as before; the new mount point is empty",
            ));
        }
        steps.extend(self.copying());
        steps.extend(match self.volume.kind {
            VolumeKind::Named | VolumeKind::Anonymous => self.switching_volume(),
            VolumeKind::Bind => self.switching_bind(),
        });
        steps.extend(self.ending());
        steps
    }

    fn copying(&self) -> [PlacementStep; 2] {
        let (from, to) = (self.from.to_owned(), self.to.to_owned());
        let back =
            "start the containers again: nothing has been switched, and the old copy is untouched";
        [
            step(
                Side::Guest,
                PlacementAction::CopyTree {
                    from: from.clone(),
                    to: to.clone(),
                },
                back,
            ),
            step(
                Side::Guest,
                PlacementAction::CompareTrees { from, to },
                back,
            ),
        ]
    }

    fn switching_volume(&self) -> Vec<PlacementStep> {
        let mut steps = Vec::new();
        if !self.stops.is_empty() {
            steps.push(step(
                Side::Guest,
                PlacementAction::RemoveContainers {
                    names: self.stops.to_vec(),
                },
                "make the removed containers anew: they still find the old copy",
            ));
        }
        let mut labels = self
            .setting
            .labels
            .get(&self.volume.name)
            .cloned()
            .unwrap_or_default();
        labels.insert("felhom.class".to_owned(), self.class.to_string());
        steps.push(self.aside());
        steps.push(step(
            Side::Guest,
            PlacementAction::RecreateVolume {
                name: self.volume.name.clone(),
                device: self.to.to_owned(),
                labels,
            },
            "both copies are whole; go on with this step, or move the old one back",
        ));
        steps
    }

    fn switching_bind(&self) -> Vec<PlacementStep> {
        vec![
            step(
                Side::Person,
                PlacementAction::Repoint {
                    from: self.from.to_owned(),
                    to: self.to.to_owned(),
                    projects: self.projects(),
                },
                "as before: both copies are whole, and the containers find the old one",
            ),
            self.aside(),
        ]
    }

    fn aside(&self) -> PlacementStep {
        step(
            Side::Guest,
            PlacementAction::SetAside {
                from: self.from.to_owned(),
                to: self.aside.to_owned(),
            },
            "both copies are whole; move the old one back, or go on with this step",
        )
    }

    fn projects(&self) -> Vec<String> {
        unique(
            self.volume
                .uses
                .iter()
                .filter_map(|one| one.project.clone()),
        )
    }

    fn ending(&self) -> Vec<PlacementStep> {
        let alone = unique(
            self.volume
                .uses
                .iter()
                .filter(|one| one.project.is_none())
                .map(|one| one.container.clone()),
        );
        let mut steps = Vec::new();
        if !self.stops.is_empty() {
            steps.push(step(
                Side::Guest,
                PlacementAction::StartContainers {
                    projects: self.projects(),
                    names: alone,
                },
                "the volume is at its new place; start the containers",
            ));
        }
        steps.push(step(
            Side::Node,
            PlacementAction::Prove { vmid: self.vmid },
            "the volume is at its new place, and no backup has proven it yet",
        ));
        steps.push(step(
            Side::Node,
            PlacementAction::ProtectArchive {
                node: self.setting.node.clone(),
                volid: self.setting.last_archives.get(&self.volume.name).cloned(),
            },
            "the old copy is set aside, and takes its space",
        ));
        steps.push(step(
            Side::Guest,
            PlacementAction::DropOld {
                path: self.aside.to_owned(),
            },
            "the old copy is set aside, and takes its space in the guest and in every backup",
        ));
        steps
    }
}

fn step(side: Side, action: PlacementAction, if_stopped: &str) -> PlacementStep {
    PlacementStep {
        side,
        action,
        if_stopped: if_stopped.to_owned(),
    }
}
