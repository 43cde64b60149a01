//! The plan of a restore: what comes back, what comes back empty, what does not, what changes and what stays though it may
//! clash. Nothing is left to choose when it is carried out.

use std::collections::{BTreeMap, BTreeSet};

use felhom_ids::{ByteSize, GuestKind, StorageId, Vmid, VolumeId};
use serde::{Deserialize, Serialize};

use crate::mark::Mark;
use crate::refusal::Refusal;
use crate::restore_run::beyond::{self, Beyond};
use crate::restore_run::features::{self, Feature};
use crate::restore_run::records::{Identity, RestoreRunRequest};
use crate::restore_run::space::Space;
use crate::restore_run::subject::{RestoreSubject, VolumesSeen, WrittenConfig, is_numbered};
use crate::restore_run::{clashes, drives, machine, refusals, settings, space, volumes};
use crate::world::is_drive;

/// A volume that is made for the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoredVolume {
    /// `rootfs`, `mpN`, or a drive's key.
    pub key: String,
    /// Path inside the guest; of a drive, what was behind it.
    pub path: String,
    /// Where it is made.
    pub storage: StorageId,
    /// Its size.
    pub size: ByteSize,
    /// Every other option as it will be: the archived ones, `mp=` among them.
    pub options: String,
    /// Whether the archive fills it. One that it does not fill is made anew and empty.
    pub filled: bool,
    /// Whether PVE writes it itself: a cloud-init drive.
    #[serde(default)]
    pub generated: bool,
}

/// Something of the archived guest that does not come back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// The key of the configuration.
    pub key: String,
    /// Path inside the guest, for a mount point.
    pub path: Option<String>,
    /// Why.
    pub why: String,
    /// What an admin types as root on the node to have it back, where a command does that.
    pub command: Option<String>,
    /// Whether no token may set it.
    #[serde(default)]
    pub root_only: bool,
}

/// A path on which the principal lacks rights.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lacking {
    /// The ACL path.
    pub path: String,
    /// What is missing.
    pub missing: Vec<String>,
    /// What a role granted there must hold: a grant takes the place of what is inherited, so what is held already is part of it.
    pub grant: Vec<String>,
}

/// A restore of a guest, fully determined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreRunPlan {
    /// What is restored.
    #[serde(default)]
    pub kind: GuestKind,
    /// The archive.
    pub volid: VolumeId,
    /// The guest it is of.
    pub source: Option<Vmid>,
    /// The VMID that the guest gets.
    pub vmid: Vmid,
    /// Who it will be.
    pub identity: Identity,
    /// Where the request puts all drives of a virtual machine; without it each goes where it was.
    #[serde(default)]
    pub storage: Option<StorageId>,
    /// Volumes that are made, `rootfs` first.
    pub volumes: Vec<RestoredVolume>,
    /// Every other key that the request sets, with its value.
    pub set: BTreeMap<String, String>,
    /// Every key that PVE carries over from the archive.
    pub kept: BTreeSet<String>,
    /// The same with the values there, while they are needed: they hold what guests are told, passwords too.
    pub carried: BTreeMap<String, String>,
    /// Keys to which PVE gives a value of its own, with the archived one; of the same discretion.
    #[serde(default)]
    pub renewed: BTreeMap<String, String>,
    /// Whether PVE is asked to make the machine another one than the original.
    #[serde(default)]
    pub unique: bool,
    /// MAC addresses of the archive that the guest must not have.
    pub former_macs: Vec<String>,
    /// Stands in the description: by it the guest of a failed restore is known.
    pub mark: Mark,
    /// Volumes that bore the VMID before the restore: none of them is ever taken for one that the restore made.
    #[serde(default)]
    pub before: VolumesSeen,
    /// What does not come back.
    pub missing: Vec<Missing>,
    /// The archived `features`, and what becomes of each.
    #[serde(default)]
    pub features: Vec<Feature>,
    /// What stays as privileged or unprivileged as it was.
    #[serde(default)]
    pub privilege: Option<String>,
    /// What no token can do, with the command of root.
    #[serde(default)]
    pub beyond: Vec<Beyond>,
    /// What becomes different.
    pub changes: Vec<String>,
    /// What stays the same though it may clash with the original, or reaches the host.
    pub clashes: Vec<String>,
    /// Space by storage.
    pub space: Vec<Space>,
    /// Rights that the principal lacks, by path.
    pub lacking: Vec<Lacking>,
    /// Why it must not be done; empty when it may.
    pub refused: Vec<Refusal>,
}

/// Keys of an archived configuration that a restore never carries over (pve-container LXC/Create.pm
/// `sanitize_and_merge_config`); mount points are made anew.
fn is_left_behind(key: &str) -> bool {
    matches!(
        key,
        "digest" | "rootfs" | "snapshots" | "parent" | "template" | "snaptime" | "lock"
    ) || is_numbered(key, "mp")
        || is_numbered(key, "unused")
}

/// The same of a virtual machine (qemu-server QemuServer.pm `restore_update_config_line`); drives are judged one by one.
fn is_left_behind_by_machines(archived: &WrittenConfig, key: &str) -> bool {
    matches!(key, "digest" | "lock" | "parent")
        || is_numbered(key, "unused")
        || is_drive(key) && !drives::is_carried(archived, key)
}

/// Plans the restore that is asked for.
pub fn plan_restore_run(request: &RestoreRunRequest, subject: &RestoreSubject) -> RestoreRunPlan {
    let archived = &subject.archived;
    let set = settings::set(request, archived);
    let kind = request.kind();
    let stays = |key: &str| match kind {
        GuestKind::Lxc => !is_left_behind(key),
        GuestKind::Qemu => !is_left_behind_by_machines(archived, key),
    };
    let (renewed, carried): (BTreeMap<String, String>, BTreeMap<String, String>) = archived
        .values
        .clone()
        .into_iter()
        .filter(|(key, _)| stays(key) && !set.contains_key(key))
        .partition(|(key, value)| machine::is_renewed(request, key, value));
    let (volumes, mut missing) = match kind {
        GuestKind::Lxc => volumes::plan(request, subject),
        GuestKind::Qemu => drives::plan(request, subject),
    };
    missing.extend(volumes::raw_lines(request.to, archived));
    let features = features::features(archived);
    let mut plan = RestoreRunPlan {
        kind,
        volid: request.volid.clone(),
        source: request.volid.guest(),
        vmid: request.to,
        identity: request.identity,
        storage: request.storage.clone(),
        renewed,
        unique: machine::is_unique(request),
        former_macs: settings::former_macs(request, archived),
        changes: settings::changes(request, archived, &set, &volumes),
        clashes: clashes::clashes(request, subject, &set),
        space: space::space(request, subject, &volumes),
        volumes,
        set,
        kept: carried.keys().cloned().collect(),
        carried,
        mark: settings::mark(request),
        before: subject.volumes.clone(),
        privilege: features::privilege(archived),
        beyond: beyond::beyond(request, archived, &missing, &features),
        features,
        missing,
        lacking: Vec::new(),
        refused: Vec::new(),
    };
    plan.lacking = refusals::lacking(request, subject, &plan);
    plan.refused = refusals::refusals(request, subject, &plan);
    plan
}

impl RestoreRunPlan {
    /// The plan without what nobody but the server needs to read: the values that are carried over, and the description.
    #[must_use]
    pub fn told(&self) -> Self {
        let mut told = self.clone();
        told.carried.clear();
        told.renewed.clear();
        told.set.remove("description");
        told
    }

    /// The storages that its volumes go to, each once, that of the root file system first.
    pub fn storages(&self) -> Vec<StorageId> {
        let mut all: Vec<StorageId> = Vec::new();
        for volume in &self.volumes {
            if !all.contains(&volume.storage) {
                all.push(volume.storage.clone());
            }
        }
        all
    }
}
