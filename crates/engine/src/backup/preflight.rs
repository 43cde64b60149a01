//! What must hold before a backup is asked for, and what to wait for.

use std::time::Duration;

use felhom_ids::Vmid;

use crate::backup::BackupRequest;
use crate::finding::{Finding, codes};
use crate::inclusion::Inclusion;
use crate::retention::protection_limit_reached;
use crate::volumes::JudgedVolumes;
use crate::world::{BackupSubject, GuestConfig, MountSource, Retention, is_drive};

/// How long to wait between two looks.
pub(super) const WAIT_STEP: Duration = Duration::from_millis(500);

pub(super) enum Preflight {
    Go { protected: bool },
    Wait(String),
    Refuse(Vec<String>),
}

pub(super) fn check(request: &BackupRequest, subject: &BackupSubject) -> Preflight {
    let mut reasons = Vec::new();
    if subject.node.cluster_nodes != 1 {
        reasons.push(format!(
            "the cluster has {} nodes; only single nodes are supported",
            subject.node.cluster_nodes
        ));
    }
    for (path, privilege) in &subject.missing_privileges {
        reasons.push(format!("the token lacks {privilege} on {path}"));
    }
    let mut protected = false;
    match storage_reasons(request, subject) {
        Ok(protect) => protected = protect,
        Err(more) => reasons.extend(more),
    }
    if !reasons.is_empty() {
        return Preflight::Refuse(reasons);
    }
    if let Some(lock) = subject.config.lock.as_ref().or(subject.state.lock.as_ref()) {
        return Preflight::Wait(format!("guest {} is locked ({lock})", request.vmid));
    }
    if let Some(upid) = &subject.node.vzdump_running {
        return Preflight::Wait(format!("another vzdump runs on the node (`{upid}`)"));
    }
    Preflight::Go { protected }
}

fn storage_reasons(request: &BackupRequest, subject: &BackupSubject) -> Result<bool, Vec<String>> {
    let wanted = &request.policy.storage;
    let Some(storage) = &subject.storage else {
        return Err(vec![format!(
            "storage `{wanted}` is not on the node, or hidden from the token"
        )]);
    };
    let mut reasons = Vec::new();
    if !storage.active {
        reasons.push(format!("storage `{wanted}` is not active"));
    }
    if !storage.content.contains("backup") {
        reasons.push(format!(
            "storage `{wanted}` does not take backups (content `backup` is missing)"
        ));
    }
    let former = request.former(&subject.config.fingerprint());
    let needed = former.and_then(|former| former.size).unwrap_or(0);
    if storage.active && storage.avail < request.policy.storage_floor.saturating_add(needed) {
        reasons.push(format!(
            "storage `{wanted}` has {} MiB free; {} MiB must stay free and the last backup took {} MiB",
            storage.avail >> 20,
            request.policy.storage_floor >> 20,
            needed >> 20
        ));
    }
    let protect = storage.retention != Retention::KeepAll;
    let limit = protection_limit_reached(storage.max_protected, subject.protected_backups);
    if protect && limit.is_some() {
        reasons.push(format!(
            "storage `{wanted}` keeps a limited number of backups, and guest {} already has {} protected ones; \
             `pvesm set {wanted} --prune-backups keep-all=1` leaves retention to the agent",
            request.vmid, subject.protected_backups
        ));
    }
    if reasons.is_empty() {
        Ok(protect)
    } else {
        Err(reasons)
    }
}

/// The planning report.
pub(super) fn report(
    request: &BackupRequest,
    subject: &BackupSubject,
    plan: &[Inclusion],
    protected: bool,
) -> Vec<String> {
    let running = if subject.state.running {
        "runs"
    } else {
        "is stopped"
    };
    let mut lines = vec![format!(
        "back guest {} up to `{}` in mode {} (the guest {running}), pruning nothing",
        request.vmid, request.policy.storage, request.policy.mode
    )];
    if protected {
        lines.push(
            "  set protected, because the storage's own retention would count the archive"
                .to_owned(),
        );
    }
    if !subject.state.running {
        lines.push("  a stopped guest is always backed up in mode stop".to_owned());
    }
    for mount in plan {
        let verb = if mount.included {
            "goes in"
        } else {
            "stays out"
        };
        lines.push(format!(
            "  {} ({}) {verb}: {}",
            mount.key, mount.path, mount.why
        ));
    }
    lines
}

/// What the configuration alone says about data that no backup will hold.
pub(super) fn findings(
    vmid: Vmid,
    config: &GuestConfig,
    judged: Option<&JudgedVolumes>,
) -> Vec<Finding> {
    let subject = format!("guest {vmid}");
    config
        .mounts
        .iter()
        .filter_map(|mount| match &mount.source {
            _ if is_drive(&mount.key) && mount.backup => None,
            _ if is_drive(&mount.key) => Some(
                Finding::new(
                    codes::VOLUME_NOT_IN_BACKUP,
                    subject.clone(),
                    format!("{} ({}) is not in the backup", mount.key, mount.path),
                )
                .hint(format!(
                    "if its data matters, take backup=0 off {} of guest {vmid}; a restored copy will lack it",
                    mount.key
                )),
            ),
            MountSource::Volume(_) if mount.key == "rootfs" || mount.backup => None,
            // Where it should be.
            MountSource::Volume(_)
                if judged.is_some_and(|judged| judged.is_meant_outside(&mount.key, &mount.path)) =>
            {
                None
            }
            MountSource::Volume(_) => Some(
                Finding::new(
                    codes::VOLUME_NOT_IN_BACKUP,
                    subject.clone(),
                    format!("{} ({}) is not in the backup", mount.key, mount.path),
                )
                .hint(format!(
                    "if its data matters, set backup=1 on {} of guest {vmid}",
                    mount.key
                )),
            ),
            MountSource::Bind(source) | MountSource::Device(source) => Some(
                Finding::new(
                    codes::BIND_NOT_IN_BACKUP,
                    subject.clone(),
                    format!("{} ({}) is `{source}` of the host", mount.key, mount.path),
                )
                .hint("back its data up by other means, or move it to a volume with backup=1"),
            ),
        })
        .collect()
}

/// The archive's notes: a line for people first (lists show only that), our mark last.
pub(super) fn notes(request: &BackupRequest, config: &GuestConfig) -> String {
    let name = config.hostname.as_deref().unwrap_or("guest");
    format!(
        "{name} ({}), by felhom-agent\n{}",
        request.vmid, request.mark
    )
}
