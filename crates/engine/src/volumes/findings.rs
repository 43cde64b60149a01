//! What is wrong about a guest's volumes.

use super::class::VolumeClass;
use super::inventory::Inventory;
use super::judge::{JudgedVolume, JudgedVolumes, StorageKinds, is_docker_name};
use super::place::Place;
use crate::finding::{Finding, codes};
use crate::volumes::VolumePolicy;
use crate::world::{GuestConfig, Mount, MountSource};

/// Kinds of storages whose volumes a container's snapshot can hold (pve-storage's plug-ins, `volume_has_feature`: raw images
/// in directories, on NFS, CIFS and thick LVM cannot be snapshotted).
const SNAPSHOT_KINDS: [&str; 4] = ["lvmthin", "zfspool", "rbd", "btrfs"];

/// What is wrong about the volumes themselves, and about where Docker keeps them.
pub fn volume_findings(judged: &JudgedVolumes, policy: &VolumePolicy) -> Vec<Finding> {
    let mut found = Vec::new();
    // Those that nobody described are told by the gaps of the report.
    for volume in judged.volumes.iter().filter(|volume| volume.is_placed()) {
        of_volume(&mut found, judged, volume, policy);
    }
    of_data_root(&mut found, judged);
    found
}

/// What is wrong about the containers that use them, and about the guest's own mount points.
pub fn surrounding_findings(
    judged: &JudgedVolumes,
    config: &GuestConfig,
    inventory: &Inventory,
    storages: &StorageKinds,
) -> Vec<Finding> {
    let mut found = Vec::new();
    of_containers(&mut found, judged, inventory);
    of_mounts(&mut found, judged, config, storages);
    found
}

fn subject(judged: &JudgedVolumes, volume: &JudgedVolume) -> String {
    format!("guest {} volume {}", judged.vmid, volume.name)
}

fn of_volume(
    found: &mut Vec<Finding>,
    judged: &JudgedVolumes,
    volume: &JudgedVolume,
    policy: &VolumePolicy,
) {
    let vmid = judged.vmid;
    let subject = subject(judged, volume);
    let place = &volume.place;
    match volume.class() {
        Some(VolumeClass::Bulk) if volume.included => found.push(
            Finding::new(
                codes::VOLUME_BULK_IN_BACKUP,
                subject.clone(),
                format!(
                    "bulk, but it lies on {place}, and every backup holds it: {}",
                    volume.why
                ),
            )
            .hint(format!("felhom-agent volumes plan {vmid}")),
        ),
        // What vzdump drops by its path is told below, with that as the cause.
        Some(VolumeClass::Hot) if !volume.included && dropped_by(place).is_none() => found.push(
            Finding::new(
                codes::VOLUME_HOT_NOT_IN_BACKUP,
                subject.clone(),
                format!("hot, but no backup holds it: {}", volume.why),
            )
            .hint(format!("felhom-agent volumes plan {vmid}")),
        ),
        Some(class) => found.extend(part_apart(&subject, volume, class, vmid)),
        None => found.push(unclassified(&subject, volume, policy)),
    }
    if volume.class() == Some(VolumeClass::Bulk) && volume.classed.cover().is_none() {
        found.push(
            Finding::new(
                codes::VOLUME_BULK_UNCOVERED,
                subject.clone(),
                "bulk, and nobody says what protects it, or that it may be lost",
            )
            .hint(
                "a rule in the configuration: [[volumes.rules]] with protected_by = \"…\" or \
                 accepted_loss = { by = \"…\", on = \"…\" }",
            ),
        );
    }
    if let Some((pattern, path)) = dropped_by(place)
        && volume.class() != Some(VolumeClass::Bulk)
    {
        found.push(
            Finding::new(
                codes::VOLUME_IN_EXCLUDED_PATH,
                subject.clone(),
                format!("`{path}` is in no backup, because vzdump always leaves `{pattern}` out"),
            )
            .hint("keep it somewhere else"),
        );
    }
    if let Some(idle) = idle(volume) {
        found.push(Finding::new(codes::VOLUME_IDLE, subject, idle).hint(
            "bring the project up again, or remove the volume in the guest when nobody needs it any more",
        ));
    }
}

/// The pattern by which vzdump leaves a path out, and the path.
fn dropped_by(place: &Place) -> Option<(&str, &str)> {
    match place {
        Place::Volume {
            dropped_by, path, ..
        } => Some((dropped_by.as_deref()?, path)),
        Place::Bind { .. }
        | Place::Device { .. }
        | Place::Memory { .. }
        | Place::Outside { .. }
        | Place::Unknown => None,
    }
}

/// A mount point below a volume's directory decides for itself, whatever becomes of the rest.
fn part_apart(
    subject: &str,
    volume: &JudgedVolume,
    class: VolumeClass,
    vmid: felhom_ids::Vmid,
) -> Option<Finding> {
    let part = volume.parts_apart().next()?;
    let (code, what, hint) = match class {
        VolumeClass::Hot => (
            codes::VOLUME_HOT_NOT_IN_BACKUP,
            "hot, but no backup holds a part of it",
            format!("if that data matters, move it to a volume of guest {vmid} with backup=1"),
        ),
        VolumeClass::Bulk => (
            codes::VOLUME_BULK_IN_BACKUP,
            "bulk, but every backup holds a part of it",
            format!("set backup=0 on {} of guest {vmid}", part.key),
        ),
    };
    let detail = format!("{what}, `{}` ({}): {}", part.path, part.key, part.why);
    Some(Finding::new(code, subject, detail).hint(hint))
}

fn unclassified(subject: &str, volume: &JudgedVolume, policy: &VolumePolicy) -> Finding {
    let why = volume.classed.why();
    let large = volume.size.filter(|size| *size >= policy.bulk_hint.bytes());
    let detail = match large {
        Some(size) => format!("{why}; with {} MiB it may well be bulk", size >> 20),
        None => why.to_owned(),
    };
    Finding::new(codes::VOLUME_UNCLASSIFIED, subject, detail).hint(
        "label it felhom.class=hot or felhom.class=bulk when it is made, or write a [[volumes.rules]] into the configuration",
    )
}

/// Why nobody uses it now. A bind mount that no container has is no volume at all.
fn idle(volume: &JudgedVolume) -> Option<String> {
    if volume.uses.iter().any(|one| one.running) {
        return None;
    }
    let project = volume
        .project
        .as_deref()
        .or_else(|| volume.uses.iter().find_map(|one| one.project.as_deref()));
    Some(match (project, volume.uses.is_empty()) {
        (Some(project), _) => format!("its compose project `{project}` is stopped"),
        (None, true) => "no container has it".to_owned(),
        (None, false) => "no container that has it runs".to_owned(),
    })
}

fn of_data_root(found: &mut Vec<Finding>, judged: &JudgedVolumes) {
    let place = &judged.data_root;
    if place.key() == Some("rootfs") {
        return;
    }
    let path = place.path().unwrap_or_default();
    let verdict = if place.is_backed_up() {
        "is in every backup, and so is each volume"
    } else {
        "is in no backup, and neither is any volume"
    };
    found.push(
        Finding::new(
            codes::DATA_ROOT_ON_MOUNT,
            format!("guest {}", judged.vmid),
            format!(
                "Docker's data-root `{path}` lies on {place}: it {verdict} ({})",
                place.why()
            ),
        )
        .hint("that mount point's backup flag decides about every volume at once"),
    );
}

fn of_containers(found: &mut Vec<Finding>, judged: &JudgedVolumes, inventory: &Inventory) {
    for container in &inventory.containers {
        let restarts = !matches!(container.restart_policy.as_str(), "" | "no");
        if container.running && !restarts {
            let finding = Finding::new(
                codes::CONTAINER_WITHOUT_RESTART,
                format!("guest {} container {}", judged.vmid, container.name),
                "it runs, but has no restart policy: after a restore or a reboot it comes back `exited`",
            );
            found.push(if is_docker_name(&container.name) {
                finding.hint(format!(
                    "docker update --restart unless-stopped {}",
                    container.name
                ))
            } else {
                finding
            });
        }
    }
}

fn of_mounts(
    found: &mut Vec<Finding>,
    judged: &JudgedVolumes,
    config: &GuestConfig,
    storages: &StorageKinds,
) {
    let subject = format!("guest {}", judged.vmid);
    let hindering: Vec<String> = config
        .mounts
        .iter()
        .filter_map(|mount| hinders_snapshot(mount, storages))
        .collect();
    for mount in &config.mounts {
        if let MountSource::Bind(source) | MountSource::Device(source) = &mount.source {
            found.push(
                Finding::new(
                    codes::BIND_NOT_IN_BACKUP,
                    subject.clone(),
                    format!("{} ({}) is `{source}` of the host", mount.key, mount.path),
                )
                .hint("back its data up by other means, or move it to a volume with backup=1"),
            );
        }
    }
    if hindering.is_empty() {
        of_rollback(found, judged, config);
    } else {
        found.push(
            Finding::new(
                codes::SNAPSHOT_IMPOSSIBLE,
                subject,
                format!("the guest cannot be snapshotted: {}", hindering.join(", ")),
            )
            .hint(format!(
                "before a change, back it up instead: felhom-agent backup run {}",
                judged.vmid
            )),
        );
    }
}

fn hinders_snapshot(mount: &Mount, storages: &StorageKinds) -> Option<String> {
    match &mount.source {
        MountSource::Bind(_) => Some(format!("{} is a bind mount", mount.key)),
        MountSource::Device(_) => Some(format!("{} is a device", mount.key)),
        MountSource::Volume(volume) => storages
            .get(volume.storage())
            .filter(|kind| !SNAPSHOT_KINDS.contains(&kind.as_str()))
            .map(|kind| format!("{} is on `{}` ({kind})", mount.key, volume.storage())),
    }
}

/// A snapshot holds every volume of the guest, whatever its backup flag says, and a rollback takes all of them back.
fn of_rollback(found: &mut Vec<Finding>, judged: &JudgedVolumes, config: &GuestConfig) {
    for mount in &config.mounts {
        let is_volume = matches!(mount.source, MountSource::Volume(_));
        if is_volume && mount.key != "rootfs" && !mount.backup {
            found.push(
                Finding::new(
                    codes::ROLLBACK_TAKES_BACK,
                    format!("guest {} {}", judged.vmid, mount.key),
                    format!(
                        "`{}` is in no backup, yet a rollback to a snapshot takes it back as well",
                        mount.path
                    ),
                )
                .hint("what is written there after the snapshot is lost by a rollback"),
            );
        }
    }
}
