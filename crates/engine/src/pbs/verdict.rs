//! The verdict on one snapshot: what the list says counts, and only when it names our task.

use std::collections::BTreeSet;

use felhom_ids::{BackupSnapshot, Upid};
use serde::{Deserialize, Serialize};

use super::facts::{Encryption, Listing, Sight, Snapshot, Verification, VerifyState};
use super::verify_log::{FailedFile, VerifyLog};
use crate::finding::one_line;
use crate::mutating::Ended;
use crate::outcome::TaskVerdict;

/// What a verify of ours says of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VerifyVerdict {
    /// The list says `ok`, and that our task said so.
    Passed,
    /// The list says `failed` by our task, or our task names the snapshot among what failed.
    Failed,
    /// Nobody can say: skipped, locked, gone, in progress, refused, or the answer was lost.
    Undetermined,
}

impl std::fmt::Display for VerifyVerdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Undetermined => "undetermined",
        })
    }
}

/// An earlier snapshot of the same group whose last verify was good, however long ago: verify it again before relying on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restorable {
    /// The snapshot.
    pub snapshot: BackupSnapshot,
    /// When its verify was begun, in seconds since 1970 by the server's clock. Snapshots share chunks: what was good before
    /// the damage may need the damaged chunk, and be lost with it.
    pub verified_at_s: i64,
}

/// What became of one snapshot that was to be verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotVerdict {
    /// The snapshot.
    pub snapshot: BackupSnapshot,
    /// The verdict.
    pub verdict: VerifyVerdict,
    /// Why, most important first.
    pub reasons: Vec<String>,
    /// Our task, when it is known.
    pub upid: Option<Upid>,
    /// How long the task took, by a monotonic clock of ours.
    pub elapsed_ms: Option<u64>,
    /// Chunks that the server could not read or that are not what they should be.
    pub chunks: Vec<String>,
    /// Files that failed.
    pub files: Vec<FailedFile>,
    /// Other snapshots of which it is known that they need one of these chunks. The server tells that only of what was
    /// verified, so there may be more.
    pub shared_with: BTreeSet<BackupSnapshot>,
    /// Candidates for a restore: earlier snapshots of the group whose last verify was good, newest first. It may have been
    /// before the damage; those of which it is known that they failed since are left out when the job ends.
    pub restorable: Vec<Restorable>,
}

/// How many earlier snapshots are named.
const EARLIER: usize = 8;

impl SnapshotVerdict {
    /// Of a snapshot that no task was started for.
    pub(super) fn undetermined(snapshot: BackupSnapshot, reason: &str) -> Self {
        Self {
            snapshot,
            verdict: VerifyVerdict::Undetermined,
            reasons: vec![one_line(reason)],
            upid: None,
            elapsed_ms: None,
            chunks: Vec::new(),
            files: Vec::new(),
            shared_with: BTreeSet::new(),
            restorable: Vec::new(),
        }
    }
}

/// Judges what the list says after the task. `task` is our task, known from the moment it was started.
pub(super) fn judge(
    snapshot: &BackupSnapshot,
    task: Option<&Upid>,
    ended: &Ended,
    listing: &Listing,
) -> SnapshotVerdict {
    let log = VerifyLog::parse(ended.log().unwrap_or_default(), snapshot);
    let seen = listing.get(snapshot);
    let ours = seen
        .and_then(|seen| seen.verification.as_ref())
        .filter(|last| Some(&last.upid) == task);
    let (verdict, reason) = verdict(ended, &log, seen, ours, listing.sight);
    let mut told = SnapshotVerdict::undetermined(snapshot.clone(), &reason);
    told.verdict = verdict;
    told.upid = task.cloned();
    if let Ended::Task { elapsed_ms, .. } = ended {
        told.elapsed_ms = Some(*elapsed_ms);
    }
    match verdict {
        VerifyVerdict::Passed => {
            if seen.map(Snapshot::encryption) == Some(Encryption::Encrypted) {
                let why = "of encrypted chunks a server checks the checksum as stored; that they decrypt only a restore \
                           shows";
                told.reasons.push(why.to_owned());
            }
        }
        VerifyVerdict::Failed => {
            told.reasons.extend(damage(&log));
            told.chunks = log.chunks;
            told.files = log.files;
            told.restorable = earlier(listing, snapshot);
        }
        VerifyVerdict::Undetermined => {}
    }
    told
}

fn verdict(
    ended: &Ended,
    log: &VerifyLog,
    seen: Option<&Snapshot>,
    ours: Option<&Verification>,
    sight: Sight,
) -> (VerifyVerdict, String) {
    use VerifyVerdict::{Failed, Passed, Undetermined};
    let Some(seen) = seen else {
        let mut why = "the list does not hold the snapshot".to_owned();
        if let Some(shortened) = sight.shortened() {
            why = format!("{why}, and may be shortened: {shortened}");
        }
        return (Undetermined, why);
    };
    if seen.is_in_progress() {
        let why = "the snapshot is in progress: it has no manifest yet";
        return (Undetermined, why.to_owned());
    }
    match ours.map(|last| last.state) {
        Some(VerifyState::Failed) => (Failed, "the server found damage".into()),
        Some(VerifyState::Ok) if log.listed_failed => (
            Undetermined,
            "the list says `ok`, and the task's log says that it failed".into(),
        ),
        Some(VerifyState::Ok) => (Passed, "the list says `ok` by our task".into()),
        None if log.listed_failed => (
            Failed,
            "our task says that it failed, and could not write that into the list".into(),
        ),
        None => (Undetermined, not_ours(ended, log, seen)),
    }
}

/// Why the list does not name our task.
fn not_ours(ended: &Ended, log: &VerifyLog, seen: &Snapshot) -> String {
    let state = match &seen.verification {
        None => "the list says that it was never verified".to_owned(),
        Some(last) => format!("what the list says is by another task, {}", last.upid),
    };
    let why = match (&log.skipped, ended) {
        (Some(skipped), _) => format!("the server skipped it: {skipped}"),
        (
            None,
            Ended::Task {
                verdict: TaskVerdict::Succeeded | TaskVerdict::Warnings(_),
                ..
            },
        ) => "the task ended OK without a word on it".to_owned(),
        (None, _) => ended
            .trouble()
            .unwrap_or_else(|| "nobody knows our task".to_owned()),
    };
    format!("{why}; {state}")
}

/// What the log says against it, counted.
fn damage(log: &VerifyLog) -> Vec<String> {
    let mut told: Vec<String> = log
        .files
        .iter()
        .map(|file| format!("{}: {}", file.file, file.why))
        .collect();
    told.extend(log.notes.iter().cloned());
    told.extend(log.chunks.iter().map(|digest| format!("chunk {digest}")));
    if log.more > 0 {
        told.push(format!("and {} more", log.more));
    }
    if told.is_empty() {
        told.push("the task's log names neither file nor chunk".to_owned());
    }
    told
}

/// Earlier snapshots of the group whose last verify was good, newest first. That may be long ago, and before the damage.
fn earlier(listing: &Listing, snapshot: &BackupSnapshot) -> Vec<Restorable> {
    let group = listing.group(snapshot.group());
    let earlier = group
        .into_iter()
        .filter(|one| one.name.time() < snapshot.time() && one.is_backup());
    let good = earlier.filter_map(|one| {
        let last = one.verification.as_ref()?;
        (last.state == VerifyState::Ok).then(|| Restorable {
            snapshot: one.name.clone(),
            verified_at_s: last.at().secs(),
        })
    });
    good.take(EARLIER).collect()
}
