//! What must hold before a guard is begun and before a rollback, and what a rollback takes back.

use std::collections::BTreeSet;

use felhom_ids::Vmid;

use super::age::Reading;
use super::open::{GuardPolicy, OnExpiry, OpenGuard};
use crate::finding::{Finding, codes};
use crate::outcome::ErrorClass;
use crate::time::Timestamp;
use crate::world::{GuardSubject, Mount, MountSource, SnapshotFacts, StorageFacts};

/// Our clock and the node's may differ by so much without anybody being told.
const APART_S: u64 = 60;

/// Why not, and what kind of trouble that is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Refused {
    pub(super) reasons: Vec<String>,
    pub(super) trouble: Option<ErrorClass>,
}

impl Refused {
    fn because(&mut self, reason: impl Into<String>) {
        self.reasons.push(reason.into());
    }

    fn of(&mut self, class: ErrorClass, reason: impl Into<String>) {
        self.trouble.get_or_insert(class);
        self.because(reason);
    }

    pub(super) fn into_result(self) -> Result<(), Self> {
        if self.reasons.is_empty() {
            Ok(())
        } else {
            Err(self)
        }
    }
}

/// Whether a snapshot may be made.
pub(super) fn may_begin(
    vmid: Vmid,
    policy: &GuardPolicy,
    on_expiry: OnExpiry,
    subject: &GuardSubject,
) -> Result<(), Refused> {
    let mut refused = Refused::default();
    if !subject.may_snapshot {
        refused.of(ErrorClass::Forbidden, lacks(vmid, "VM.Snapshot"));
    } else if !subject.may_roll_back {
        let lacks = lacks(vmid, "VM.Snapshot.Rollback");
        refused.of(
            ErrorClass::Forbidden,
            format!("{lacks}: there would be no way back"),
        );
    }
    if subject.node.cluster_nodes > 1 {
        let count = subject.node.cluster_nodes;
        refused.because(format!(
            "the cluster has {count} nodes; only single nodes are supported"
        ));
    }
    if subject.config.template {
        refused.because(format!("guest {vmid} is a template"));
    }
    if let Some(lock) = lock(subject) {
        refused.because(format!("guest {vmid} is locked ({lock})"));
    }
    let obstacles: Vec<String> = subject
        .config
        .mounts
        .iter()
        .filter_map(|one| obstacle(one, subject))
        .collect();
    if !subject.capable && obstacles.is_empty() {
        refused.because("Proxmox VE says that no snapshot can be made of it");
    }
    refused.reasons.extend(obstacles);
    for storage in &subject.storages {
        refused.reasons.extend(shortages(storage, policy));
    }
    let mute = subject.node.now_s.is_none() || subject.node.uptime_s.is_none();
    if mute && on_expiry == OnExpiry::Rollback {
        refused.because(
            "the node does not tell its time, so no deadline could be proven (the token needs Sys.Audit on the node); \
             `--on-expiry keep` needs none",
        );
    }
    refused.into_result()
}

fn lacks(vmid: Vmid, privilege: &str) -> String {
    format!("the token lacks {privilege} on /vms/{vmid}")
}

/// The lock that stands in the way.
pub(super) fn lock(subject: &GuardSubject) -> Option<&String> {
    subject.config.lock.as_ref().or(subject.state.lock.as_ref())
}

/// Why a mount cannot be snapshotted: what is no volume never can (pve-storage Storage.pm `volume_has_feature`), a volume can
/// where its storage's plugin can.
fn obstacle(mount: &Mount, subject: &GuardSubject) -> Option<String> {
    let (key, path) = (&mount.key, &mount.path);
    match &mount.source {
        MountSource::Bind(source) => Some(format!(
            "{key} ({path}) is the directory `{source}` of the host; Proxmox VE snapshots no guest with a bind mount"
        )),
        MountSource::Device(source) => Some(format!(
            "{key} ({path}) is the device `{source}` of the host; Proxmox VE snapshots no guest with a device mount"
        )),
        MountSource::Volume(volume) => {
            let storage = subject
                .storages
                .iter()
                .find(|one| one.id == *volume.storage())?;
            (!can_snapshot(&storage.kind) && !subject.capable).then(|| {
                format!(
                    "{key} ({path}) lies on `{}`; a storage of type `{}` cannot snapshot containers",
                    storage.id, storage.kind
                )
            })
        }
    }
}

/// Types of storages whose container volumes can be snapshotted (`volume_has_feature` of their plugins in pve-storage;
/// containers have raw volumes and subvolumes only).
fn can_snapshot(kind: &str) -> bool {
    matches!(kind, "lvmthin" | "zfspool" | "rbd" | "btrfs")
}

/// Types of storages that roll back to any snapshot, not only to the newest (`volume_rollback_is_possible`).
fn rolls_back_to_any(kind: &str) -> bool {
    matches!(kind, "lvmthin" | "rbd" | "btrfs")
}

fn shortages(storage: &StorageFacts, policy: &GuardPolicy) -> Vec<String> {
    let mut reasons = Vec::new();
    let floor = percent(storage.total, policy.storage_percent);
    if storage.avail < floor {
        reasons.push(format!(
            "storage `{}` has {} MiB left, and a snapshot grows; {} MiB ({} %) must be free",
            storage.id,
            storage.avail >> 20,
            floor >> 20,
            policy.storage_percent
        ));
    }
    if let Some(pool) = storage
        .thin_pool
        .as_ref()
        .filter(|pool| pool.metadata_size > 0)
    {
        let free = pool.metadata_size.saturating_sub(pool.metadata_used);
        let floor = percent(pool.metadata_size, policy.metadata_percent);
        if free < floor {
            reasons.push(format!(
                "the metadata of thin pool `{}/{}` has {} KiB left; {} KiB ({} %) must be free",
                pool.vg,
                pool.lv,
                free >> 10,
                floor >> 10,
                policy.metadata_percent
            ));
        }
    }
    reasons
}

fn percent(total: u64, percent: u8) -> u64 {
    (total / 100).saturating_mul(u64::from(percent))
}

/// What a person should know before relying on the guard.
pub(super) fn warnings(vmid: Vmid, now: Timestamp, subject: &GuardSubject) -> Vec<Finding> {
    let about = format!("guest {vmid}");
    let mut findings: Vec<Finding> = beyond_backup(subject)
        .into_iter()
        .map(|mount| {
            let detail = format!("a rollback takes {mount} back too, and no backup holds it");
            Finding::new(codes::ROLLBACK_TAKES_BACK, about.clone(), detail)
                .hint("move aside what must not be taken back before a rollback")
        })
        .collect();
    let unseen = |storage: &&StorageFacts| storage.kind == "lvmthin" && storage.thin_pool.is_none();
    findings.extend(subject.storages.iter().filter(unseen).map(|storage| {
        let detail = format!(
            "how full the metadata of the thin pool behind `{}` is cannot be seen",
            storage.id
        );
        Finding::new(codes::SIGHT_LIMITED, about.clone(), detail)
            .hint("grant the agent token Sys.Audit on /")
    }));
    let hidden = |mount: &&Mount| match &mount.source {
        MountSource::Volume(volume) => subject
            .storages
            .iter()
            .all(|one| one.id != *volume.storage()),
        MountSource::Bind(_) | MountSource::Device(_) => false,
    };
    findings.extend(subject.config.mounts.iter().filter(hidden).map(|mount| {
        let detail = format!(
            "the storage of {} is hidden from the token; whether it has room cannot be seen",
            mount.key
        );
        Finding::new(codes::SIGHT_LIMITED, about.clone(), detail)
            .hint("grant the agent token Datastore.Audit on it")
    }));
    let reading = Reading::of(now, &subject.node);
    if let Some(apart) = reading.apart_s().filter(|apart| *apart > APART_S) {
        let detail = format!(
            "the node's clock and ours are {apart} s apart; nothing is rolled back by itself until all clocks agree"
        );
        findings.push(
            Finding::new(codes::CLOCK_OFF, about, detail).hint("timedatectl; chronyc tracking"),
        );
    }
    findings
}

/// Volumes that a rollback takes back and no backup holds.
pub(super) fn beyond_backup(subject: &GuardSubject) -> Vec<String> {
    let volumes = subject.config.mounts.iter().filter(|one| is_volume(one));
    let outside = volumes.filter(|one| one.key != "rootfs" && !one.backup);
    outside
        .map(|one| format!("{} ({}, backup=0)", one.key, one.path))
        .collect()
}

fn is_volume(mount: &Mount) -> bool {
    matches!(mount.source, MountSource::Volume(_))
}

/// The keys of the guest's volumes.
pub(super) fn volumes(subject: &GuardSubject) -> BTreeSet<String> {
    let all = subject.config.mounts.iter().filter(|one| is_volume(one));
    all.map(|one| one.key.clone()).collect()
}

/// Whether the guest may be rolled back.
pub(super) fn may_roll_back(
    guard: &OpenGuard,
    ours: &SnapshotFacts,
    subject: &GuardSubject,
) -> Result<(), Refused> {
    let (vmid, name) = (guard.vmid(), &guard.snapshot);
    let mut refused = Refused::default();
    if !subject.may_roll_back {
        refused.of(
            ErrorClass::Forbidden,
            lacks(vmid, "VM.Snapshot or VM.Snapshot.Rollback"),
        );
    }
    if subject.config.template {
        refused.because(format!("guest {vmid} became a template"));
    }
    if let Some(state) = &ours.state {
        refused.because(format!("snapshot `{name}` is incomplete ({state})"));
    }
    if let Some(lock) = lock(subject) {
        refused.of(
            ErrorClass::Locked,
            format!("guest {vmid} is locked ({lock})"),
        );
    }
    let newer = newer(guard, ours, subject);
    for storage in subject
        .storages
        .iter()
        .filter(|one| !rolls_back_to_any(&one.kind))
    {
        if !newer.is_empty() {
            refused.because(format!(
                "storage `{}` (`{}`) rolls back to the newest snapshot only, and newer than `{name}` are: {}; \
                 `pct delsnapshot {vmid} NAME` removes one",
                storage.id,
                storage.kind,
                newer.join(", ")
            ));
        }
    }
    refused.into_result()
}

/// Snapshots that were made after ours.
fn newer(guard: &OpenGuard, ours: &SnapshotFacts, subject: &GuardSubject) -> Vec<String> {
    let later = |one: &&SnapshotFacts| {
        one.name != guard.snapshot
            && (one.parent.as_ref() == Some(&guard.snapshot) || one.taken_s > ours.taken_s)
    };
    subject
        .snapshots
        .iter()
        .filter(later)
        .map(|one| one.name.to_string())
        .collect()
}

/// What a rollback will do, in words.
pub(super) fn rollback_plan(
    guard: &OpenGuard,
    ours: &SnapshotFacts,
    subject: &GuardSubject,
) -> Vec<String> {
    let (vmid, name) = (guard.vmid(), &guard.snapshot);
    let running = match (subject.state.running, guard.ran) {
        (true, true) => "it is stopped for that and started again",
        (true, false) => {
            "it is stopped for that and stays stopped, as it was when the snapshot was made"
        }
        (false, true) => "it is started afterwards, as it ran when the snapshot was made",
        (false, false) => "it stays stopped",
    };
    let mut lines = vec![format!(
        "roll guest {vmid} back to snapshot `{name}`; {running}"
    )];
    for mount in subject.config.mounts.iter().filter(|one| is_volume(one)) {
        let (key, path) = (&mount.key, &mount.path);
        lines.push(if !guard.volumes.contains(key) {
            format!("  {key} ({path}) came later: it is detached and kept as an unused volume")
        } else if key == "rootfs" || mount.backup {
            format!("  {key} ({path}) is taken back")
        } else {
            format!("  {key} ({path}, backup=0) is taken back too, and no backup holds it")
        });
    }
    lines.push("  the guest's configuration is taken back as well".to_owned());
    let newer = newer(guard, ours, subject);
    if !newer.is_empty() {
        lines.push(format!("  newer snapshots stay: {}", newer.join(", ")));
    }
    lines.push(format!("then remove snapshot `{name}`"));
    lines
}
