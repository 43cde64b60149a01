//! What a report says is wrong, in the engine's words; and what it could not look at.

use std::collections::BTreeSet;

use felhom_engine::incident::{Blind, Condition, Look, POSTURE_FAMILY, Silence, mark_explained};
use felhom_engine::{Code, Severity, codes};
use felhom_ids::{BackupGroup, Vmid};
use felhom_protocol::host::{
    Attachment, Disk, DiskHealth, Finding, Guest, HostReport, Posture, Severity as Grave,
};

use crate::journal::Suppression;

/// What a report says is wrong.
pub fn look(report: &HostReport, suppressions: &[Suppression]) -> Look {
    let found = report.findings.iter();
    let found = found.map(|one| of_finding(one, &report.guests));
    let mut conditions: Vec<Condition> = found
        .chain(report.guests.iter().filter_map(of_posture))
        .collect();
    mark_explained(&mut conditions);
    let accepted = suppressions.iter().map(|one| Silence {
        code: one.code.clone(),
        subject: one.subject.clone(),
    });
    // Whoever takes a guest out of the selection does not want to hear of its posture.
    let unselected = report.guests.iter().filter(|guest| !guest.selected);
    let unselected = unselected.map(|guest| Silence {
        code: codes::POSTURE.name.to_owned(),
        subject: Some(subject(guest)),
    });
    Look {
        conditions,
        blind: blind(report),
        silenced: accepted.chain(unselected).collect(),
    }
}

fn subject(guest: &Guest) -> String {
    format!("guest {}", guest.vmid)
}

/// The guest that a finding is about, by itself or by its copies on a backup server: those of a container say nothing of a
/// virtual machine that has its VMID now.
fn guest_of(subject: &str, guests: &[Guest]) -> Option<Vmid> {
    if let Some(number) = subject.strip_prefix("guest ") {
        return number.parse().ok();
    }
    let (group, _) = subject.strip_prefix("backups ")?.split_once(" on ")?;
    let (kind, vmid) = group.parse::<BackupGroup>().ok()?.guest()?;
    let kind = kind.to_string();
    let is_it = |guest: &Guest| guest.vmid == vmid.get() && guest.kind == kind;
    guests.iter().any(is_it).then_some(vmid)
}

fn of_finding(finding: &Finding, guests: &[Guest]) -> Condition {
    Condition {
        code: finding.code.clone(),
        subject: finding.subject.clone(),
        guest: guest_of(&finding.subject, guests),
        severity: match finding.severity {
            Grave::Notice => Severity::Notice,
            Grave::Warning => Severity::Warning,
            Grave::Critical => Severity::Critical,
        },
        headline: format!("{}: {}", finding.subject, finding.code.replace('-', " ")),
        detail: finding.detail.clone(),
        remedy: finding.remedy.clone(),
        explained: false,
    }
}

fn of_posture(guest: &Guest) -> Option<Condition> {
    let (severity, word) = match guest.posture {
        Posture::Attention => (Severity::Warning, "needs attention"),
        Posture::Unprotected => (Severity::Critical, "is unprotected"),
        Posture::Protected | Posture::Unknown => return None,
    };
    guest.selected.then(|| Condition {
        code: codes::POSTURE.name.to_owned(),
        subject: subject(guest),
        guest: Vmid::new(guest.vmid).ok(),
        severity,
        headline: format!("guest {} ({}) {word}", guest.vmid, guest.name),
        detail: guest.reasons.join("; "),
        remedy: Some("felhom-agent status".to_owned()),
        explained: false,
    })
}

/// What is told of the rights and the health of the box, which are asked for together.
const RIGHTS_AND_HEALTH: [Code; 17] = [
    codes::BRIDGE_MISSING,
    codes::BRIDGE_NOT_ISOLATED,
    codes::CERTIFICATE_EXPIRES,
    codes::CLOCK_OFF,
    codes::CLUSTER_UNSUPPORTED,
    codes::EXCESS_DANGEROUS,
    codes::EXCESS_PRIVILEGES,
    codes::JOB_ARCHIVES_SCRATCH,
    codes::MOUNT_UNCHECKED,
    codes::POOL_MISSING,
    codes::PRIVILEGE_MISSING,
    codes::RETENTION_PRUNES,
    codes::ROOT_TOKEN,
    codes::SIGHT_LIMITED,
    codes::STORAGE_UNUSABLE,
    codes::TESTER_REACHES_PRODUCTION,
    codes::TOKEN_NOT_SEPARATED,
];

/// What is told of guarded changes.
const GUARDS: [Code; 6] = [
    codes::GUARD_EXPIRED,
    codes::GUARD_TOO_OLD,
    codes::GUARD_UNDETERMINED,
    codes::GUARD_SNAPSHOT_LEFT,
    codes::GUARD_SNAPSHOT_GONE,
    codes::GUARD_GUEST_STATE,
];

/// Of a node that does not answer nothing is known.
const NODE_SILENT: &str = "node-silent";

fn blind_to_codes(blind: &mut Blind, all: &[Code]) {
    for code in all {
        blind.to_code(code.name);
    }
}

/// What one entry under `unknown` leaves open, by the words of whoever makes reports.
fn blind_to(blind: &mut Blind, what: &str) {
    match what {
        "node" => blind.to_key(codes::CLOCK_OFF.name, "node"),
        "rights and health" => blind_to_codes(blind, &RIGHTS_AND_HEALTH),
        "guards" => blind_to_codes(blind, &GUARDS),
        "notifications" => blind.to_code(codes::NOTIFICATION_UNDELIVERED.name),
        "thin pools" => blind.to_code(codes::THIN_METADATA_FILLS.name),
        "temperatures" => blind.to_kind("sensor"),
        "disks" => blind.to_kind("disk"),
        "guests" => blind.to_kind("guest"),
        "storages" => blind.to_kind("storage"),
        "targets" => blind.to_kind("target"),
        "journal" | "suppressions" => blind.to_all(),
        _ => blind.to_subject(what),
    }
    if what == "storages" || what.starts_with("storage ") {
        blind.to_key(codes::ARCHIVE_FROM_FUTURE.name, "backups");
    }
    let server = what.strip_prefix("server ");
    if what == "servers" || server.is_some() {
        blind.to_kind("backup");
        blind.to_kind("backups");
    }
    if let Some(storage) = server {
        blind.to_subject(format!("storage {storage}"));
    }
}

/// A disk that was dying and says nothing any more, or is not there, is not mended: only one in its place that says so is well.
fn blind_to_disks(blind: &mut Blind, disks: &[Disk]) {
    let subject = |disk: &Disk| format!("disk {}", disk.device);
    for disk in disks {
        if disk.health == DiskHealth::Unknown {
            blind.to_key(codes::DISK_FAILING.name, subject(disk));
        }
        // One that turns does not wear in this sense.
        if disk.worn_percent.is_none() && disk.kind.as_deref() != Some("hdd") {
            blind.to_key(codes::DISK_WORN.name, subject(disk));
        }
    }
    blind.to_others("disk", disks.iter().map(subject).collect::<BTreeSet<_>>());
}

/// What could not be looked at. An empty list of guests proves nothing: Proxmox leaves out what a token may not see.
fn blind(report: &HostReport) -> Blind {
    let mut blind = Blind::default();
    for unknown in &report.unknown {
        blind_to(&mut blind, &unknown.what);
    }
    if report
        .findings
        .iter()
        .any(|finding| finding.code == NODE_SILENT)
    {
        blind.to_all();
    }
    for guest in &report.guests {
        if guest.posture == Posture::Unknown {
            for code in POSTURE_FAMILY {
                blind.to_key(*code, subject(guest));
            }
        }
    }
    if report.guests.is_empty() {
        blind.to_kind("guest");
    }
    blind_to_disks(&mut blind, &report.disks);
    for storage in &report.storages {
        if storage.state == Attachment::Unknown {
            blind.to_subject(format!("storage {}", storage.id));
        }
    }
    for target in &report.targets {
        if target.state == Attachment::Unknown {
            blind.to_subject(format!("target {}", target.name));
        }
    }
    blind
}
