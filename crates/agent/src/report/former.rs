//! The guests as they were known last, for a report that is made while the node does not answer, or not about one of them.

use std::collections::BTreeSet;

use felhom_engine::BackupVerdict;
use felhom_protocol::host::{Backup, Guest, Posture};

use crate::journal::Journal;

/// Those of the last report, and those that were backed up; of none it is known how it stands now.
pub(super) async fn guests(journal: Option<&Journal>, why: &str) -> Vec<Guest> {
    let Some(journal) = journal else {
        return Vec::new();
    };
    let mut guests = last(Some(journal)).await;
    for guest in &mut guests {
        guest.posture = Posture::Unknown;
        guest.reasons = vec![why.to_owned()];
    }
    if guests.is_empty() {
        guests = backed_up(journal, why).await;
    }
    guests
}

/// Those of the last report as they stand there.
pub(super) async fn last(journal: Option<&Journal>) -> Vec<Guest> {
    let Some(journal) = journal else {
        return Vec::new();
    };
    let last = journal.last_report().await.ok().flatten();
    last.map(|report| report.guests).unwrap_or_default()
}

/// Whether it is the guest that an earlier report told of, as far as its names say.
pub(super) fn is_same(former: &Guest, guest: &Guest) -> bool {
    former.vmid == guest.vmid && former.kind == guest.kind && former.name == guest.name
}

/// Of guests that could not be looked at: what the last report knew of their past, which is as true now as it was then.
pub(super) async fn recall(
    journal: Option<&Journal>,
    guests: &mut [Guest],
    unseen: &BTreeSet<u32>,
) {
    let Some(journal) = journal.filter(|_| !unseen.is_empty()) else {
        return;
    };
    let last = last(Some(journal)).await;
    for guest in guests.iter_mut().filter(|one| unseen.contains(&one.vmid)) {
        if let Some(former) = last.iter().find(|one| is_same(one, guest)).cloned() {
            guest.newest_archive_s = guest.newest_archive_s.or(former.newest_archive_s);
            guest.last_backup = guest.last_backup.take().or(former.last_backup);
            guest.good_backup_s = guest.good_backup_s.or(former.good_backup_s);
            guest.last_proof = guest.last_proof.take().or(former.last_proof);
        }
    }
}

/// Where no report was kept yet.
async fn backed_up(journal: &Journal, why: &str) -> Vec<Guest> {
    let mut seen = BTreeSet::new();
    let mut guests = Vec::new();
    for row in journal.backups(None).await.unwrap_or_default() {
        let report = &row.report;
        if !seen.insert(report.vmid) {
            continue;
        }
        let volid = report.volid.as_ref().map(ToString::to_string);
        let machine = volid
            .as_ref()
            .is_some_and(|volid| volid.contains("/vzdump-qemu-") || volid.contains("/vm/"));
        guests.push(Guest {
            vmid: report.vmid.get(),
            kind: if machine { "qemu" } else { "lxc" }.to_owned(),
            name: report.name.clone().unwrap_or_default(),
            running: false,
            selected: true,
            posture: Posture::Unknown,
            reasons: vec![why.to_owned()],
            newest_archive_s: report.ctime,
            last_backup: Some(Backup {
                verdict: report.verdict.as_str().to_owned(),
                ended_s: row.finished.secs(),
                size: report.size,
                volid,
            }),
            good_backup_s: (report.verdict == BackupVerdict::Good).then(|| row.finished.secs()),
            last_proof: None,
        });
    }
    guests.sort_by_key(|guest| guest.vmid);
    guests
}
