//! What a verify job says when it ends: which snapshots share the damage, which verified well before, and what to do.

use std::collections::{BTreeMap, BTreeSet};

use felhom_ids::BackupSnapshot;

use super::request::VerifyReport;
use super::verdict::{SnapshotVerdict, VerifyVerdict};
use crate::finding::{Finding, codes};
use crate::outcome::ErrorClass;
use crate::time::Timestamp;

/// Snapshots of which it is told that they share a damaged chunk; the rest is counted.
const TOLD: usize = 5;

/// Says of each failed snapshot which others need its damaged chunks, and leaves out of what verified well before what is
/// known to be damaged by now.
pub(super) fn sharing(
    verdicts: &mut [SnapshotVerdict],
    known: &BTreeMap<String, BTreeSet<BackupSnapshot>>,
) {
    let mut needed = known.clone();
    for one in verdicts.iter() {
        for chunk in &one.chunks {
            let by = needed.entry(chunk.clone()).or_default();
            by.insert(one.snapshot.clone());
        }
    }
    let failed = verdicts
        .iter()
        .filter(|one| one.verdict == VerifyVerdict::Failed)
        .map(|one| one.snapshot.clone());
    let failed: BTreeSet<BackupSnapshot> = failed.collect();
    for one in verdicts {
        let others = one.chunks.iter().filter_map(|chunk| needed.get(chunk));
        one.shared_with = others.flatten().cloned().collect();
        one.shared_with.remove(&one.snapshot);
        let (shared, restorable) = (&one.shared_with, &mut one.restorable);
        restorable.retain(|earlier| {
            !failed.contains(&earlier.snapshot) && !shared.contains(&earlier.snapshot)
        });
    }
}

/// What a person should know of the whole job.
pub(super) fn findings_of(report: &VerifyReport) -> Vec<Finding> {
    let storage = &report.target.storage;
    let mut found: Vec<Finding> = report
        .verdicts
        .iter()
        .filter_map(|one| match one.verdict {
            VerifyVerdict::Passed => None,
            VerifyVerdict::Failed => Some(failed(report, one)),
            VerifyVerdict::Undetermined => Some(undetermined(report, one)),
        })
        .collect();
    if let Some(why) = report.sight.shortened()
        && report.verdicts.is_empty()
        && matches!(report.trouble, None | Some(ErrorClass::NotFound))
    {
        let detail = format!("nothing was verified, and {why}");
        let finding = Finding::new(
            codes::LIST_MAY_BE_SHORTENED,
            format!("storage {storage}"),
            detail,
        );
        let hint = "the same `felhom-agent enroll pbs …` as at first; felhom-agent doctor names the rights that lack";
        found.push(finding.hint(hint));
    }
    found
}

fn failed(report: &VerifyReport, one: &SnapshotVerdict) -> Finding {
    let mut detail = one.reasons.join("; ");
    if !one.shared_with.is_empty() {
        let named: Vec<String> = one
            .shared_with
            .iter()
            .take(TOLD)
            .map(ToString::to_string)
            .collect();
        let rest = one.shared_with.len().saturating_sub(named.len());
        let more = if rest > 0 {
            format!(" and {rest} more")
        } else {
            String::new()
        };
        detail = format!("{detail}; the same damage is in {}{more}", named.join(", "));
    }
    let storage = &report.target.storage;
    let hint = if let Some(earlier) = one.restorable.first() {
        let when = Timestamp::from_secs(earlier.verified_at_s).date();
        detail = format!(
            "{detail}; {} verified well before, on {when}; it may need the same chunk: verify it first",
            earlier.snapshot
        );
        format!(
            "make a new backup, which brings lost chunks again where they still exist; then felhom-agent pbs verify \
             {storage}:{}; to restore before that: felhom-agent pbs verify {storage}:{}, and when that passes: felhom-agent \
             restore plan {}",
            one.snapshot,
            earlier.snapshot,
            earlier.snapshot.volume(storage)
        )
    } else {
        detail = format!("{detail}; no earlier snapshot of the group verified well");
        match one.snapshot.group().guest() {
            Some((_, vmid)) => format!(
                "make a new backup now: felhom-agent backup run {vmid}; and look at the server's disks"
            ),
            None => "make a new backup now, and look at the server's disks".to_owned(),
        }
    };
    Finding::new(codes::BACKUP_VERIFY_FAILED, subject(report, one), detail).hint(hint)
}

fn undetermined(report: &VerifyReport, one: &SnapshotVerdict) -> Finding {
    let storage = &report.target.storage;
    let hint = format!(
        "felhom-agent pbs verify {storage}:{} asks again; until then the former state stands",
        one.snapshot
    );
    Finding::new(
        codes::BACKUP_VERIFY_UNDETERMINED,
        subject(report, one),
        one.reasons.join("; "),
    )
    .hint(hint)
}

fn subject(report: &VerifyReport, one: &SnapshotVerdict) -> String {
    format!("backup {} on {}", one.snapshot, report.target.storage)
}
