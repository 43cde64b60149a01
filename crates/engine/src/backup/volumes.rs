//! The guest's Docker volumes in its backup: judged before the request, proven after it.

use std::collections::BTreeSet;
use std::time::Duration;

use felhom_ids::Vmid;
use serde::{Deserialize, Serialize};

use super::{BackupJob, BackupReport, BackupRequest, BackupVerdict, Prepared, preflight};
use crate::finding::{Finding, codes, one_line};
use crate::step::Observe;
use crate::time::Timestamp;
use crate::volumes::{
    Inventory, JudgedVolumes, PlannedVolume, VolumePolicy, VolumeProof, gaps, prove_volumes,
    volume_findings,
};
use crate::vzdump_log::VzdumpLog;
use crate::world::{
    ArchiveContent, BackupResult, BackupSubject, GuestConfig, GuestFingerprint, WantedContent,
};

/// What is known of a guest's Docker volumes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownVolumes {
    /// The guest that it was told of: a reused VMID does not inherit it.
    pub of: GuestFingerprint,
    /// What its Docker engine told.
    pub inventory: Inventory,
    /// What was asked for.
    pub policy: VolumePolicy,
}

/// A report older than this may know other volumes than there are: a week, in which people change their stacks.
const REPORT_OLD: Duration = Duration::from_hours(7 * 24);

/// The volumes, judged by the configuration of right now; none when nobody told of this very guest.
pub(super) fn judged(request: &BackupRequest, config: &GuestConfig) -> Option<JudgedVolumes> {
    let known = request.volumes.as_ref()?;
    known
        .of
        .is_of_same_guest(&config.fingerprint())
        .then(|| JudgedVolumes::judge(request.vmid, config, &known.inventory, &known.policy))
}

impl BackupJob {
    /// What the configuration and the volumes say before anything is sent.
    pub(super) fn take_volumes(
        &mut self,
        now: Timestamp,
        subject: &BackupSubject,
        judged: Option<&JudgedVolumes>,
    ) {
        let vmid = self.request.vmid;
        let mut findings = preflight::findings(vmid, &subject.config, judged);
        let mut lines = Vec::new();
        match (&self.request.volumes, judged) {
            (Some(known), Some(judged)) => {
                findings.extend(gaps(vmid, &known.inventory));
                findings.extend(volume_findings(judged, &known.policy));
                findings.extend(old(&self.request, now.since(known.inventory.taken)));
                lines.extend(plan_lines(judged));
            }
            (Some(_), None) => findings.push(report_finding(
                &self.request,
                "the last report is of another guest that had this number, and counts for nothing",
            )),
            (None, _) => {}
        }
        self.findings.extend(findings);
        for line in lines {
            self.plan_line(line);
        }
    }

    /// The archive is read for all that is known to be there.
    pub(super) fn read_archive(
        &self,
        prepared: &Prepared,
        result: &BackupResult,
    ) -> Option<Observe> {
        let [archive] = result.new_archives.as_slice() else {
            return None;
        };
        let mut wanted = WantedContent::of(result.archived_config.as_ref()?);
        if let (Some(known), Some(planned)) = (&self.request.volumes, &prepared.volumes) {
            wanted.data_root.clone_from(&known.inventory.data_root);
            wanted.volumes = planned.iter().flat_map(PlannedVolume::roots).collect();
        }
        Some(Observe::ArchiveContent {
            volid: archive.volid.clone(),
            wanted: Box::new(wanted),
        })
    }
}

fn old(request: &BackupRequest, age: Duration) -> Option<Finding> {
    let days = age.as_secs() / 86_400;
    (age > REPORT_OLD).then(|| {
        let detail = format!(
            "the last report is {days} days old, and may know other volumes than there are"
        );
        report_finding(request, &detail)
    })
}

fn report_finding(request: &BackupRequest, detail: &str) -> Finding {
    Finding::new(codes::VOLUME_REPORT_OLD, format!("guest {}", request.vmid), detail).hint(format!(
        "felhom-agent volumes import {} FILE…; `felhom-agent volumes import --help` lists the commands that make the files",
        request.vmid
    ))
}

fn plan_lines(judged: &JudgedVolumes) -> Vec<String> {
    judged
        .volumes
        .iter()
        .filter(|volume| volume.is_placed())
        .map(|volume| {
            let verb = if volume.included {
                "goes in"
            } else {
                "stays out"
            };
            let class = volume
                .class()
                .map_or_else(|| "unclassified".to_owned(), |class| class.to_string());
            one_line(&format!(
                "  volume {} ({class}) {verb}: {}",
                volume.name, volume.why
            ))
        })
        .collect()
}

/// Holds plan, log and archive of each volume against each other.
pub(super) fn prove(
    report: &mut BackupReport,
    prepared: &Prepared,
    log: &VzdumpLog,
    content: Option<&ArchiveContent>,
) {
    if let Some(planned) = &prepared.volumes {
        report.volumes = prove_volumes(planned, Some(log), content);
        for text in told(&report.volumes, |proof| proof.doubt.as_ref()) {
            report.find(codes::VOLUME_UNPROVEN, text);
        }
        for text in told(&report.volumes, |proof| proof.difference.as_ref()) {
            report.find(codes::INCLUSION_DIFFERS, text.clone());
            report.worsen(BackupVerdict::Failed, text);
        }
    }
    let Some(content) = content else {
        return;
    };
    if let Some(planned) = &prepared.volumes {
        report
            .findings
            .extend(unreported(report.vmid, planned, content));
    }
}

/// What is said of each volume of which something is said.
fn told(proofs: &[VolumeProof], word: fn(&VolumeProof) -> Option<&String>) -> Vec<String> {
    let one = |proof: &VolumeProof| {
        let name = &proof.planned.name;
        Some(one_line(&format!("volume {name}: {}", word(proof)?)))
    };
    proofs.iter().filter_map(one).collect()
}

/// How many names a finding lists.
const NAMED: usize = 5;

/// Volumes that somebody made after the report was.
fn unreported(vmid: Vmid, planned: &[PlannedVolume], content: &ArchiveContent) -> Option<Finding> {
    let known: BTreeSet<&str> = planned.iter().map(|one| one.name.as_str()).collect();
    let names: Vec<&str> = content
        .docker_volumes
        .iter()
        .map(|volume| volume.name.as_str())
        .filter(|name| !known.contains(name))
        .collect();
    let beyond = usize::try_from(content.docker_volumes_beyond).unwrap_or(usize::MAX);
    let count = names.len().saturating_add(beyond);
    if count == 0 {
        return None;
    }
    let first: Vec<String> = names
        .iter()
        .take(NAMED)
        .map(|name| format!("`{name}`"))
        .collect();
    let more = if count > first.len() { ", …" } else { "" };
    let detail = format!(
        "{count} volume(s) in the archive are in no report: {}{more}",
        first.join(", ")
    );
    let subject = format!("guest {vmid}");
    Some(Finding::new(
        codes::VOLUME_UNREPORTED,
        subject,
        one_line(&detail),
    ))
}
