//! A job: a value that says what to do next, takes up what became of it, and can be written down in between.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::backup::BackupJob;
use crate::exercise::ExerciseJob;
use crate::finding::Finding;
use crate::golden::GoldenJob;
use crate::guard::GuardJob;
use crate::outcome::{Outcome, RemoteError};
use crate::pbs::{VerifyJob, VerifyVerdict};
use crate::prune::PruneJob;
use crate::reap::ReapJob;
use crate::restore_run::RestoreRunJob;
use crate::restore_test::RestoreTestJob;
use crate::step::Step;
use crate::time::Timestamp;

/// Names one job: 16 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobId(String);

/// The text is no job id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no job id (16 hexadecimal digits)")]
pub struct ParseJobIdError(String);

impl JobId {
    /// The id of 64 bits that somebody else drew.
    pub fn from_bits(bits: u64) -> Self {
        Self(format!("{bits:016x}"))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for JobId {
    type Err = ParseJobIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ParseJobIdError(text.to_owned()))
        }
    }
}

impl TryFrom<String> for JobId {
    type Error = ParseJobIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<JobId> for String {
    fn from(id: JobId) -> Self {
        id.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Perform a step and record its outcome.
    Do(Step),
    /// Nothing before `until`.
    Wait {
        /// When to ask again.
        until: Timestamp,
        /// Why.
        reason: String,
    },
    /// Nothing can be done until somebody or something else mends this; the job stays in the journal and goes on at the next start.
    Pause(RemoteError),
    /// The job has ended.
    Done,
}

/// What kind of job it is, and how far it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobKind {
    /// Backs one guest up and proves the content.
    Backup(Box<BackupJob>),
    /// Restores one archive to a scratch guest, boots it, and removes it.
    RestoreTest(Box<RestoreTestJob>),
    /// Restores one archive as a guest that stays.
    RestoreRun(Box<RestoreRunJob>),
    /// Removes what an earlier job left.
    Reap(Box<ReapJob>),
    /// Snapshots a guest and removes the snapshot again.
    Exercise(Box<ExerciseJob>),
    /// Removes superseded archives of one guest from one storage.
    Prune(Box<PruneJob>),
    /// Begins, confirms, or rolls back a guarded snapshot.
    Guard(Box<GuardJob>),
    /// Has a Proxmox Backup Server verify snapshots.
    Verify(Box<VerifyJob>),
    /// Has the root helper make the container that a golden archive is taken of.
    Golden(Box<GoldenJob>),
}

/// A job of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its name.
    pub id: JobId,
    /// When it was made.
    pub created: Timestamp,
    /// What it does, and how far it came.
    pub kind: JobKind,
}

impl Job {
    /// What to do next. The same state at the same time always answers the same.
    pub fn next(&self, now: Timestamp) -> Next {
        match &self.kind {
            JobKind::Backup(job) => job.next(now),
            JobKind::RestoreTest(job) => job.next(now),
            JobKind::RestoreRun(job) => job.next(now),
            JobKind::Reap(job) => job.next(now),
            JobKind::Exercise(job) => job.next(now),
            JobKind::Prune(job) => job.next(now),
            JobKind::Guard(job) => job.next(now),
            JobKind::Verify(job) => job.next(now),
            JobKind::Golden(job) => job.next(now),
        }
    }

    /// Takes up what became of the step that [`Self::next`] asked for.
    pub fn record(&mut self, now: Timestamp, outcome: Outcome) {
        match &mut self.kind {
            JobKind::Backup(job) => job.record(now, outcome),
            JobKind::RestoreTest(job) => job.record(now, outcome),
            JobKind::RestoreRun(job) => job.record(now, outcome),
            JobKind::Reap(job) => job.record(now, outcome),
            JobKind::Exercise(job) => job.record(now, outcome),
            JobKind::Prune(job) => job.record(now, outcome),
            JobKind::Guard(job) => job.record(now, outcome),
            JobKind::Verify(job) => job.record(now, outcome),
            JobKind::Golden(job) => job.record(now, outcome),
        }
    }

    /// Begins again after a pause or a restart of the process.
    pub fn resume(&mut self) {
        match &mut self.kind {
            JobKind::Backup(job) => job.resume(),
            JobKind::RestoreTest(job) => job.resume(),
            JobKind::RestoreRun(job) => job.resume(),
            JobKind::Reap(job) => job.resume(),
            JobKind::Exercise(job) => job.resume(),
            JobKind::Prune(job) => job.resume(),
            JobKind::Guard(job) => job.resume(),
            JobKind::Verify(job) => job.resume(),
            JobKind::Golden(job) => job.resume(),
        }
    }

    /// `backup`, `restore-test`, `restore`, `reap`, `exercise`, `prune`, `snapshot-guard`, `verify` or `golden`.
    pub fn kind_name(&self) -> &'static str {
        match self.kind {
            JobKind::Backup(_) => "backup",
            JobKind::RestoreTest(_) => "restore-test",
            JobKind::RestoreRun(_) => "restore",
            JobKind::Reap(_) => "reap",
            JobKind::Exercise(_) => "exercise",
            JobKind::Prune(_) => "prune",
            JobKind::Guard(_) => "snapshot-guard",
            JobKind::Verify(_) => "verify",
            JobKind::Golden(_) => "golden",
        }
    }

    /// What it is about, in a few words.
    pub fn subject(&self) -> String {
        match &self.kind {
            JobKind::Backup(job) => format!("guest {}", job.vmid()),
            JobKind::RestoreTest(job) => job.volid().to_string(),
            JobKind::RestoreRun(job) => format!("{} to guest {}", job.volid(), job.to()),
            JobKind::Reap(job) => format!("scratch {}", job.vmid()),
            JobKind::Exercise(job) => format!("guest {}", job.vmid()),
            JobKind::Prune(job) => format!("guest {} on {}", job.vmid(), job.storage()),
            JobKind::Guard(job) => format!("guest {}", job.vmid()),
            JobKind::Verify(job) => format!("storage {}", job.target().storage),
            JobKind::Golden(job) => format!("golden container {}", job.vmid()),
        }
    }

    /// How it ended, in one word of its kind: `good`, `passed`, `restored`, `done`. None while it has not.
    pub fn verdict(&self) -> Option<&'static str> {
        match &self.kind {
            JobKind::Backup(job) => job.report().map(|report| report.verdict.as_str()),
            JobKind::RestoreTest(job) => {
                job.report().map(|report| report.judgement.verdict.as_str())
            }
            JobKind::RestoreRun(job) => job.report().map(|report| report.end.as_str()),
            JobKind::Reap(job) => job.report().map(|report| done(report.gone)),
            JobKind::Exercise(job) => job.report().map(|report| done(report.done)),
            JobKind::Prune(job) => job
                .report()
                .map(|report| done(report.trouble.is_none() && report.left.is_empty())),
            JobKind::Guard(job) => job.report().map(|report| report.end.as_str()),
            JobKind::Verify(job) => {
                job.report()
                    .map(|report| match report.count(VerifyVerdict::Failed) {
                        0 if report.passed() => "passed",
                        0 => "incomplete",
                        _ => "failed",
                    })
            }
            JobKind::Golden(job) => job.report().map(|report| done(report.ready)),
        }
    }

    /// What it found so far.
    pub fn findings(&self) -> &[Finding] {
        match &self.kind {
            JobKind::Backup(job) => job.findings(),
            JobKind::RestoreTest(job) => job.findings(),
            JobKind::RestoreRun(job) => job.findings(),
            JobKind::Reap(job) => job.findings(),
            JobKind::Exercise(job) => job.findings(),
            JobKind::Prune(job) => job.findings(),
            JobKind::Guard(job) => job.findings(),
            JobKind::Verify(job) => job.findings(),
            JobKind::Golden(_) => &[],
        }
    }

    /// The planning report so far: what was decided, and why.
    pub fn planning(&self) -> &[String] {
        match &self.kind {
            JobKind::Backup(job) => job.planning(),
            JobKind::RestoreTest(job) => job.planning(),
            JobKind::RestoreRun(job) => job.planning(),
            JobKind::Prune(job) => job.planning(),
            JobKind::Guard(job) => job.planning(),
            JobKind::Verify(job) => job.planning(),
            JobKind::Golden(job) => job.planning(),
            JobKind::Reap(_) | JobKind::Exercise(_) => &[],
        }
    }
}

/// Whether what was to be done is done, in a word.
const fn done(is_done: bool) -> &'static str {
    if is_done { "done" } else { "not-done" }
}
