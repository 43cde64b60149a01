//! What a report says is wrong, in the engine's words; and what it could not look at.

use felhom_engine::incident::{Blind, Condition, Look, POSTURE_FAMILY, Silence, mark_explained};
use felhom_engine::{Severity, codes};
use felhom_protocol::host::{Attachment, Finding, Guest, HostReport, Posture, Severity as Grave};

use crate::journal::Suppression;

/// What a report says is wrong.
pub fn look(report: &HostReport, suppressions: &[Suppression]) -> Look {
    let found = report.findings.iter().map(of_finding);
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

fn of_finding(finding: &Finding) -> Condition {
    Condition {
        code: finding.code.clone(),
        subject: finding.subject.clone(),
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
        severity,
        headline: format!("guest {} ({}) {word}", guest.vmid, guest.name),
        detail: guest.reasons.join("; "),
        remedy: Some("felhom-agent status".to_owned()),
        explained: false,
    })
}

/// What could not be looked at. An empty list of guests proves nothing: Proxmox leaves out what a token may not see.
fn blind(report: &HostReport) -> Blind {
    let mut blind = Blind::default();
    for unknown in &report.unknown {
        blind.to_subject(unknown.what.as_str());
        // `disks` is every `disk …`.
        let kind = unknown.what.strip_suffix('s').unwrap_or(&unknown.what);
        blind.to_kind(kind);
        match unknown.what.as_str() {
            "storages" => blind.to_kind("thin"),
            "servers" | "backup servers" => {
                blind.to_kind("backup");
                blind.to_kind("backups");
            }
            "findings" => blind.to_all(),
            _ => {}
        }
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
