//! What is said of what is left, with the commands of root that remove it.

use std::fmt::Write;

use felhom_ids::{GuestKind, StorageId, Upid, Vmid, VolumeId};

use crate::finding::{Finding, codes};
use crate::scratch::standing::Lease;
use crate::scratch::tenure::Tenure;
use crate::world::{Existence, ScratchFacts};

/// The stub that a task of ours left which was cut off.
pub(super) fn cut_off(
    subject: String,
    lease: &Lease,
    upid: &Upid,
    facts: &ScratchFacts,
    unreleased: Option<&str>,
) -> Finding {
    let machine =
        matches!(&facts.existence, Existence::Guest(config) if config.kind == GuestKind::Qemu);
    let locked = !matches!(&facts.existence, Existence::Guest(config) if config.lock.is_none());
    let vmid = lease.mark.vmid;
    let mut finding = match lease.tenure {
        Tenure::Named => unfinished_restore(subject, lease, upid, facts),
        Tenure::Scratch if machine => unfinished_machine(subject, vmid, upid),
        Tenure::Scratch => unfinished(subject, (vmid, locked), upid),
    };
    if let Some(why) = unreleased {
        finding.detail.push_str("; it was tried: ");
        finding.detail.push_str(why);
    }
    finding
}

/// Of a guest that is gone, when its volumes cannot be seen.
pub(super) fn unseen(subject: String, vmid: Vmid, storage: &StorageId) -> Finding {
    Finding::new(
        codes::LIST_MAY_BE_SHORTENED,
        subject,
        format!("whether volumes of it are left on `{storage}` cannot be seen"),
    )
    .hint(format!(
        "as root on the node: pvesm list {storage} --vmid {vmid}"
    ))
}

fn unfinished(subject: String, (vmid, locked): (Vmid, bool), upid: &Upid) -> Finding {
    let (unlock, what) = if locked {
        (format!("pct unlock {vmid} && "), "locked")
    } else {
        (String::new(), "empty")
    };
    Finding::new(
        codes::UNFINISHED_RESTORE,
        subject,
        format!("`{upid}` was cut off and left a stub ({what}), which no token of ours can remove"),
    )
    .hint(format!(
        "as root on the node: {unlock}pct destroy {vmid} --destroy-unreferenced-disks 1; \
         then `felhom-agent restore-test reap`"
    ))
}

/// What a failed or cut-off restore of a virtual machine leaves: a configuration without a mark, outside of the pool from which
/// the restore-test principal has its rights (qemu-server API2/Qemu.pm: "state is NOT cleaned up").
fn unfinished_machine(subject: String, vmid: Vmid, upid: &Upid) -> Finding {
    Finding::new(
        codes::UNFINISHED_RESTORE,
        subject,
        format!("`{upid}` did not come to its end and left an empty virtual machine, which our principal may not remove"),
    )
    .hint(format!(
        "as root on the node: qm unlock {vmid}; qm destroy {vmid} --destroy-unreferenced-disks 1; \
         then `felhom-agent restore-test reap`"
    ))
}

pub(super) fn orphans(subject: String, volumes: &[&VolumeId]) -> Finding {
    let names: Vec<String> = volumes.iter().map(ToString::to_string).collect();
    Finding::new(
        codes::ORPHAN_VOLUMES,
        subject,
        format!("left without a guest: {}", names.join(", ")),
    )
    .hint(
        names
            .iter()
            .map(|name| format!("pvesm free {name}"))
            .collect::<Vec<_>>()
            .join(" && "),
    )
}

pub(super) fn listed(volumes: &[&VolumeId]) -> String {
    let names: Vec<String> = volumes.iter().map(|one| format!("`{one}`")).collect();
    names.join(", ")
}

/// What is said of volumes that are not proven to be ours.
pub(super) fn of_another(volumes: &[&VolumeId]) -> String {
    if volumes.is_empty() {
        return String::new();
    }
    format!(
        "; {} is not proven to be of this restore: leave it",
        listed(volumes)
    )
}

/// The stub of a restore that was to stay. Its VMID may have been somebody's before, so only volumes are named that were not
/// there before it.
fn unfinished_restore(
    subject: String,
    lease: &Lease,
    upid: &Upid,
    facts: &ScratchFacts,
) -> Finding {
    let vmid = lease.mark.vmid;
    let volumes = facts.volumes.as_deref();
    let (ours, others): (Vec<_>, Vec<_>) = volumes
        .unwrap_or_default()
        .iter()
        .partition(|volume| lease.made(volume));
    let (tool, locked) = match &facts.existence {
        Existence::Guest(config) => (config.kind.tool(), config.lock.is_some()),
        Existence::Absent | Existence::Unreadable(_) => (GuestKind::Lxc.tool(), true),
    };
    let (unlock, what) = if locked {
        let what = "a locked stub; no API token can remove it";
        (format!("{tool} unlock {vmid} && "), what)
    } else {
        let what = "an empty virtual machine";
        (String::new(), what)
    };
    let mut commands = format!("{unlock}{tool} destroy {vmid}");
    for volume in ours {
        // Writing to a string does not fail.
        if write!(commands, " && pvesm free {volume}").is_err() {}
    }
    let unseen = format!("; then look for volumes of it with `pvesm list STORAGE --vmid {vmid}`");
    if volumes.is_none() {
        commands.push_str(&unseen);
    }
    Finding::new(
        codes::UNFINISHED_RESTORE,
        subject,
        format!(
            "`{upid}` was cut off and left {what}{}",
            of_another(&others)
        ),
    )
    .hint(format!("as root on the node: {commands}"))
}
