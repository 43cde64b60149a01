//! The posture of a guest: would its data come back today? With the reasons.

use std::fmt;
use std::time::Duration;

use felhom_ids::{GuestKind, StorageId};
use serde::{Deserialize, Serialize};

use crate::backup::BackupVerdict;
use crate::judgement::Verdict;
use crate::pbs::{OffBox, OffBoxLook, VerifyStanding};

/// Whether a guest's data would come back today.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Posture {
    /// A good, proven, recent backup exists.
    Protected,
    /// A backup exists, and something about it should be mended.
    Attention,
    /// There is no backup that could be trusted.
    Unprotected,
    /// It cannot be told.
    Unknown,
}

impl fmt::Display for Posture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Protected => "protected",
            Self::Attention => "attention",
            Self::Unprotected => "unprotected",
            Self::Unknown => "unknown",
        })
    }
}

/// What is known of one guest's backups.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GuestRecord {
    /// Age of the newest archive that the storages list, in seconds.
    pub newest_archive_s: Option<i64>,
    /// Whether the list may have been shortened by permissions, so that an empty one proves nothing.
    pub list_may_be_shortened: bool,
    /// Whether a storage that did not tell what is on it may hold a newer one.
    pub newer_may_be_unseen: bool,
    /// Whether the storages list backups of its VMID that are of an earlier guest.
    pub of_earlier_guest: bool,
    /// The storage that holds its last good backup, when the node cannot use that storage now.
    pub away: Option<StorageId>,
    /// Our last backup's verdict, when the guest is still the same one.
    pub last_backup: Option<BackupVerdict>,
    /// The last verdict *passed* or *failed*, and its age in seconds, when the guest is still the same one.
    pub last_proof: Option<(Verdict, i64)>,
    /// Of which kind it is.
    pub kind: GuestKind,
    /// Mount points, or drives, whose data no backup holds, and of which nobody says that it is meant so.
    pub outside: usize,
    /// Hot Docker volumes that no backup holds.
    pub hot_outside: usize,
    /// Bulk Docker volumes of which nobody says what protects them or that they may be lost.
    pub bulk_uncovered: usize,
    /// Its copies on a backup server.
    pub off_box: OffBoxLook,
}

/// How old what protects a guest may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PostureLimits {
    /// A backup older than this is stale, in seconds.
    pub stale_s: i64,
    /// A proof older than this is stale, in seconds.
    pub proof_stale_s: i64,
}

impl PostureLimits {
    /// By how often backups and proofs are made: one more backup may be missed, with the length of a window; a proof may be a
    /// day late.
    pub fn of_cadence(backup_every: Duration, proof_every: Duration) -> Self {
        let secs = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        Self {
            stale_s: secs(backup_every.saturating_mul(2)).saturating_add(6 * 3600),
            proof_stale_s: secs(proof_every).saturating_add(86_400),
        }
    }
}

impl Default for PostureLimits {
    /// Two nights missed; a week and a day.
    fn default() -> Self {
        Self::of_cadence(Duration::from_hours(24), Duration::from_hours(7 * 24))
    }
}

/// A backup from further ahead than this tells of a clock that was wrong, and its age of nothing.
const FUTURE_S: i64 = 6 * 3600;

/// The posture of a guest that is backed up every night and proven every week, and why.
pub fn posture(record: &GuestRecord) -> (Posture, Vec<String>) {
    posture_within(record, PostureLimits::default())
}

/// The posture of a guest, and why.
pub fn posture_within(record: &GuestRecord, limits: PostureLimits) -> (Posture, Vec<String>) {
    let Some(age) = record.newest_archive_s else {
        let (posture, reason) = without_archive(record);
        return (posture, vec![reason]);
    };
    let mut worst = Posture::Protected;
    let mut reasons = Vec::new();
    let mut worsen = |to: Posture, reason: String| {
        worst = worst.max(to);
        reasons.push(reason);
    };
    if let Some((to, reason)) = proof(record, limits) {
        worsen(to, reason);
    }
    if age < -FUTURE_S {
        worsen(
            Posture::Unknown,
            "the newest backup is dated in the future, so a clock was wrong".into(),
        );
    }
    if age > limits.stale_s && !record.newer_may_be_unseen {
        worsen(
            Posture::Attention,
            format!("the newest backup is {} days old", age / 86_400),
        );
    }
    match record.last_backup {
        Some(BackupVerdict::Failed) => worsen(Posture::Attention, "our last backup failed".into()),
        Some(BackupVerdict::Undetermined) => {
            worsen(
                Posture::Attention,
                "our last backup ended without a verdict".into(),
            );
        }
        Some(BackupVerdict::Good | BackupVerdict::Refused) | None => {}
    }
    if let OffBoxLook::Seen(seen) = &record.off_box
        && let Some(reason) = off_box(seen)
    {
        worsen(Posture::Attention, reason);
    }
    for reason in outside(record) {
        worsen(Posture::Attention, reason);
    }
    // What was not seen makes no guest better. Nor does it hide what is known to be wrong.
    for reason in unseen(record, age, limits) {
        if worst == Posture::Protected {
            worst = Posture::Unknown;
        }
        reasons.push(reason);
    }
    (worst, reasons)
}

/// What the last proof leaves to be wished.
fn proof(record: &GuestRecord, limits: PostureLimits) -> Option<(Posture, String)> {
    match record.last_proof {
        Some((Verdict::Failed, _)) => {
            Some((Posture::Unprotected, "the last restore test failed".into()))
        }
        Some((Verdict::Passed, age)) if age > limits.proof_stale_s => Some((
            Posture::Attention,
            format!("the last proof is {} days old", age / 86_400),
        )),
        Some((Verdict::Passed, _)) => None,
        Some((Verdict::Error | Verdict::Unverified, _)) | None => {
            Some((Posture::Attention, "never restore-tested".into()))
        }
    }
}

/// What of its backups could not be looked at.
fn unseen(record: &GuestRecord, age: i64, limits: PostureLimits) -> Vec<String> {
    let mut reasons = Vec::new();
    if age > limits.stale_s && record.newer_may_be_unseen {
        reasons.push(format!(
            "the newest backup that can be seen is {} days old, and there may be a newer one",
            age / 86_400
        ));
    }
    if record.off_box == OffBoxLook::Unseen {
        reasons.push("its copies off the box could not be looked at".into());
    }
    reasons
}

/// The posture of a guest of which the storages list no backup: there may be one all the same.
fn without_archive(record: &GuestRecord) -> (Posture, String) {
    if record.list_may_be_shortened {
        let reason = "no backup can be seen, but the list may be shortened";
        return (Posture::Unknown, reason.into());
    }
    match &record.away {
        Some(storage) => (
            Posture::Unknown,
            format!("its backups cannot be seen while `{storage}` is away"),
        ),
        None if record.of_earlier_guest => (
            Posture::Unprotected,
            "there is no backup; those of its VMID are of an earlier guest".into(),
        ),
        None => (Posture::Unprotected, "there is no backup".into()),
    }
}

/// What is wrong with the copies off the box. They are second copies: however bad they are, what lies on the box stands.
fn off_box(seen: &OffBox) -> Option<String> {
    let Some((newest, standing)) = &seen.newest else {
        return Some(if seen.may_be_shortened {
            "no backup off the box can be seen, but the list may be shortened".into()
        } else {
            "there is no backup off the box".into()
        });
    };
    match (standing, &seen.restorable) {
        (VerifyStanding::Failed, Some(good)) => Some(format!(
            "the newest backup off the box failed its verify; {} did not",
            good.time_text()
        )),
        (VerifyStanding::Failed, None) => Some(format!(
            "the backup off the box of {} failed its verify, and none verified well",
            newest.time_text()
        )),
        (_, None) if seen.overdue => Some("no backup off the box was verified in time".into()),
        (VerifyStanding::Ok | VerifyStanding::Never | VerifyStanding::Unknown, _) => None,
    }
}

/// What no backup holds, counted.
fn outside(record: &GuestRecord) -> impl Iterator<Item = String> {
    let of_guest = match record.kind {
        GuestKind::Lxc => "mount point(s) are in no backup",
        GuestKind::Qemu => "drive(s) are in no backup",
    };
    let counts = [
        (record.outside, of_guest),
        (record.hot_outside, "hot volume(s) are in no backup"),
        (
            record.bulk_uncovered,
            "bulk volume(s) are protected by nothing that was named",
        ),
    ];
    let some = counts.into_iter().filter(|(count, _)| *count > 0);
    some.map(|(count, what)| format!("{count} {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> GuestRecord {
        GuestRecord {
            newest_archive_s: Some(3600),
            list_may_be_shortened: false,
            of_earlier_guest: false,
            away: None,
            last_backup: Some(BackupVerdict::Good),
            last_proof: Some((Verdict::Passed, 3600)),
            kind: GuestKind::Lxc,
            outside: 0,
            hot_outside: 0,
            bulk_uncovered: 0,
            off_box: OffBoxLook::NotMeant,
            newer_may_be_unseen: false,
        }
    }

    fn posture_of(change: impl FnOnce(&mut GuestRecord)) -> Posture {
        let mut record = good();
        change(&mut record);
        posture(&record).0
    }

    #[test]
    fn a_proven_recent_backup_protects() {
        assert_eq!(posture(&good()), (Posture::Protected, vec![]));
    }

    #[test]
    fn who_backs_up_rarely_is_told_later() {
        let mut record = good();
        record.newest_archive_s = Some(10 * 86_400);
        record.last_proof = Some((Verdict::Passed, 20 * 86_400));
        assert_eq!(posture(&record).0, Posture::Attention);
        let week = Duration::from_hours(7 * 24);
        let limits = PostureLimits::of_cadence(week, week * 4);
        assert_eq!(posture_within(&record, limits).0, Posture::Protected);
        assert_eq!(PostureLimits::default().stale_s, 2 * 86_400 + 6 * 3600);
        assert_eq!(PostureLimits::default().proof_stale_s, 8 * 86_400);
    }

    #[test]
    fn an_empty_list_that_may_be_shortened_proves_nothing() {
        let nothing = |record: &mut GuestRecord| record.newest_archive_s = None;
        assert_eq!(posture_of(nothing), Posture::Unprotected);
        assert_eq!(
            posture_of(|record| {
                nothing(record);
                record.list_may_be_shortened = true;
            }),
            Posture::Unknown
        );
        let mut record = good();
        nothing(&mut record);
        record.away = Some("usb".parse().unwrap());
        let reason = "its backups cannot be seen while `usb` is away";
        assert_eq!(posture(&record), (Posture::Unknown, vec![reason.into()]));
    }

    #[test]
    fn what_was_not_seen_makes_no_guest_better_and_hides_nothing() {
        let unseen = |record: &mut GuestRecord| record.off_box = OffBoxLook::Unseen;
        let stale = |record: &mut GuestRecord| {
            record.newest_archive_s = Some(5 * 86_400);
            record.newer_may_be_unseen = true;
        };
        let look: [&dyn Fn(&mut GuestRecord); 2] = [&unseen, &stale];
        for change in look {
            assert_eq!(posture_of(change), Posture::Unknown);
            let mut record = good();
            change(&mut record);
            record.last_proof = None;
            let (worst, reasons) = posture(&record);
            assert_eq!((worst, reasons.len()), (Posture::Attention, 2));
            record.last_proof = Some((Verdict::Failed, 1));
            assert_eq!(posture(&record).0, Posture::Unprotected);
        }
        // A list that lacks one storage says enough of a guest whose newest backup is seen and young.
        assert_eq!(
            posture_of(|record| record.newer_may_be_unseen = true),
            Posture::Protected
        );
    }

    #[test]
    fn everything_that_should_be_mended_asks_for_attention() {
        assert_eq!(
            posture_of(|r| r.newest_archive_s = Some(5 * 86_400)),
            Posture::Attention
        );
        assert_eq!(
            posture_of(|r| r.newest_archive_s = Some(-86_400)),
            Posture::Unknown
        );
        assert_eq!(posture_of(|r| r.last_proof = None), Posture::Attention);
        assert_eq!(
            posture_of(|r| r.last_proof = Some((Verdict::Passed, 9 * 86_400))),
            Posture::Attention
        );
        assert_eq!(
            posture_of(|r| r.last_backup = Some(BackupVerdict::Failed)),
            Posture::Attention
        );
        assert_eq!(posture_of(|r| r.outside = 1), Posture::Attention);
        assert_eq!(posture_of(|r| r.hot_outside = 1), Posture::Attention);
        assert_eq!(posture_of(|r| r.bulk_uncovered = 1), Posture::Attention);
        assert_eq!(
            posture_of(|r| r.last_proof = Some((Verdict::Failed, 1))),
            Posture::Unprotected
        );
    }
}
