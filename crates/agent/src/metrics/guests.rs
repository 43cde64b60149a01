//! Guests: would their data come back today, from when, and how long would it take?

use felhom_protocol::host::{Guest, Posture};

use super::Told;
use super::text::{Family, Value};

const POSTURES: [&str; 4] = ["protected", "attention", "unprotected", "unknown"];
const VERDICTS: [&str; 4] = ["good", "failed", "refused", "undetermined"];
const PROOFS: [&str; 3] = ["passed", "failed", "never"];
const VMID: &[&str] = &["vmid"];
const STATE: &[&str] = &["vmid", "state"];

pub(super) const GUESTS: &[Family] = &[
    Family::new(
        "felhom_guest_info",
        "A guest, by its kind (lxc or qemu) and its name.",
        &["vmid", "kind", "name"],
        |told, rows| {
            each(told, |vmid, guest| {
                rows.put(&[vmid, &guest.kind, &guest.name], true);
            });
        },
    ),
    Family::new(
        "felhom_guest_running",
        "Whether the guest runs.",
        VMID,
        |told, rows| each(told, |vmid, guest| rows.put(&[vmid], guest.running)),
    ),
    Family::new(
        "felhom_guest_selected",
        "Whether the policy has the guest backed up.",
        VMID,
        |told, rows| each(told, |vmid, guest| rows.put(&[vmid], guest.selected)),
    ),
    Family::new(
        "felhom_guest_posture",
        "Whether the data of the guest would come back today: 1 at the state that holds (protected, attention, unprotected, unknown).",
        STATE,
        |told, rows| {
            each(told, |vmid, guest| {
                rows.states(vmid, &POSTURES, posture(guest.posture));
            });
        },
    ),
    Family::new(
        "felhom_guest_good_backup_timestamp_seconds",
        "When the last good backup of the guest ended; its age is what the guest would lose (RPO). None was ever made where it is absent.",
        VMID,
        |told, rows| each(told, |vmid, guest| rows.maybe(&[vmid], good(guest))),
    ),
    Family::new(
        "felhom_guest_newest_archive_timestamp_seconds",
        "When the newest archive of the guest was begun that any storage lists, whoever made it.",
        VMID,
        |told, rows| {
            each(told, |vmid, guest| {
                rows.maybe(&[vmid], guest.newest_archive_s);
            });
        },
    ),
    Family::new(
        "felhom_guest_backup_timestamp_seconds",
        "When our last backup of the guest ended, however it ended.",
        VMID,
        |told, rows| {
            each(told, |vmid, guest| {
                rows.maybe(&[vmid], guest.last_backup.as_ref().map(|one| one.ended_s));
            });
        },
    ),
    Family::new(
        "felhom_guest_backup_verdict",
        "How our last backup of the guest ended: 1 at the state that holds (good, failed, refused, undetermined).",
        STATE,
        |told, rows| {
            each(told, |vmid, guest| {
                if let Some(backup) = &guest.last_backup {
                    rows.states(vmid, &VERDICTS, &backup.verdict);
                }
            });
        },
    ),
    Family::new(
        "felhom_guest_backup_size_bytes",
        "How large the archive of our last backup of the guest is.",
        VMID,
        |told, rows| {
            each(told, |vmid, guest| {
                rows.maybe(&[vmid], guest.last_backup.as_ref().and_then(|one| one.size));
            });
        },
    ),
    Family::new(
        "felhom_guest_proof_timestamp_seconds",
        "When the last restore test of the guest ended that came to a verdict about its backup.",
        VMID,
        |told, rows| {
            each(told, |vmid, guest| {
                rows.maybe(&[vmid], guest.last_proof.as_ref().map(|one| one.ended_s));
            });
        },
    ),
    Family::new(
        "felhom_guest_proof_verdict",
        "What the last restore test of the guest showed: 1 at the state that holds (passed, failed, never).",
        STATE,
        |told, rows| {
            each(told, |vmid, guest| {
                let verdict = guest.last_proof.as_ref();
                rows.states(vmid, &PROOFS, verdict.map_or("never", |one| &one.verdict));
            });
        },
    ),
    Family::new(
        "felhom_guest_rto_seconds",
        "How long the last restore test of the guest took until the copy was up (RTO).",
        VMID,
        |told, rows| {
            each(told, |vmid, guest| {
                let took = guest.last_proof.as_ref().and_then(|one| one.rto_ms);
                rows.maybe(&[vmid], took.map(Value::Thousandths));
            });
        },
    ),
    Family::new(
        "felhom_backup_limit_seconds",
        "A guest whose newest backup is older no longer counts as protected.",
        &[],
        |told, rows| rows.put(&[], told.limits.stale_s),
    ),
    Family::new(
        "felhom_proof_limit_seconds",
        "A guest whose last proof is older no longer counts as protected.",
        &[],
        |told, rows| rows.put(&[], told.limits.proof_stale_s),
    ),
];

fn each(told: &Told<'_>, mut tell: impl FnMut(&str, &Guest)) {
    for guest in told.report.iter().flat_map(|report| &report.guests) {
        tell(&guest.vmid.to_string(), guest);
    }
}

/// The last good backup is the last one, or one before.
fn good(guest: &Guest) -> Option<i64> {
    let last = guest.last_backup.as_ref();
    let last = last.filter(|backup| backup.verdict == "good");
    last.map(|backup| backup.ended_s).or(guest.good_backup_s)
}

fn posture(posture: Posture) -> &'static str {
    match posture {
        Posture::Protected => "protected",
        Posture::Attention => "attention",
        Posture::Unprotected => "unprotected",
        Posture::Unknown => "unknown",
    }
}
