//! What became of a step, told by the agent in the engine's words.

use std::collections::BTreeSet;
use std::fmt;

use felhom_ids::Upid;
use serde::{Deserialize, Serialize};

use crate::evidence::Evidence;
use crate::pbs::Listing;
use crate::restore_run::{RestoreSubject, RestoredFacts};
use crate::retention::GuestArchives;
use crate::world::{
    ArchiveContent, ArchiveFacts, BackupResult, BackupSubject, GuardSubject, ScratchFacts,
    SnapshotFacts, TestSubject,
};

/// What kind of trouble a remote gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorClass {
    /// It could not be reached, or the connection broke.
    Unreachable,
    /// It is not the pinned one.
    Untrusted,
    /// It does not know us (401).
    Unauthorized,
    /// It refuses us (403).
    Forbidden,
    /// There is no such thing.
    NotFound,
    /// A lock stands in the way, or somebody was busy for a moment: nothing was done.
    Locked,
    /// Any other refusal.
    Refused,
    /// The answer made no sense.
    Garbage,
    /// Our own machine failed: a file could not be read.
    Local,
}

impl ErrorClass {
    /// Whether trying again later can help by itself.
    pub fn is_transient(self) -> bool {
        matches!(self, Self::Unreachable | Self::Locked)
    }

    /// Whether the server has spoken, and will say the same as long as nobody changes something there.
    pub fn is_lasting(self) -> bool {
        matches!(self, Self::Forbidden | Self::NotFound | Self::Refused)
    }
}

/// An error of a remote, as a value that can be written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteError {
    /// What kind.
    pub class: ErrorClass,
    /// The whole chain of causes, without secrets.
    pub text: String,
}

impl fmt::Display for RemoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What became of a request that changes the world.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sent {
    /// A worker was started.
    Started(Upid),
    /// It was done at once.
    Done,
    /// It was answered with a refusal: nothing was started.
    Refused(RemoteError),
    /// It certainly never left.
    NotSent(RemoteError),
    /// It may have been carried out; the answer is lost.
    Lost(RemoteError),
}

/// Whether the effect of a mutation can be seen in the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EffectSeen {
    /// It is there.
    Yes,
    /// It is not there.
    No,
    /// It could not be looked at.
    Unknown,
}

/// The four verdicts on a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskVerdict {
    /// `OK`.
    Succeeded,
    /// `WARNINGS: n`.
    Warnings(u64),
    /// An error text.
    Failed(String),
    /// `unexpected status`, a signal, a lost end: nobody can say.
    Undetermined(String),
}

impl fmt::Display for TaskVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Succeeded => f.write_str("OK"),
            Self::Warnings(count) => write!(f, "WARNINGS: {count}"),
            Self::Failed(text) => f.write_str(text),
            Self::Undetermined(text) => write!(f, "undetermined: {text}"),
        }
    }
}

/// How following a task ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Followed {
    /// The task ended.
    Ended {
        /// How.
        verdict: TaskVerdict,
        /// Its log, or the last lines of a long one.
        log: Vec<String>,
        /// From the first look to the end, by a monotonic clock.
        elapsed_ms: u64,
    },
    /// A guard tripped; the task still runs.
    Tripped {
        /// What ran short.
        reason: String,
    },
    /// Neither a log line nor an end for too long; the task still runs.
    Stuck {
        /// How long nothing happened, in milliseconds.
        silent_ms: u64,
    },
}

/// What became of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The step could not be performed.
    Failed(RemoteError),
    /// Of `Observe::BackupSubject`.
    BackupSubject(Box<BackupSubject>),
    /// Of `Observe::BackupResult`.
    BackupResult(Box<BackupResult>),
    /// Of `Observe::ArchiveContent`.
    ArchiveContent(Box<ArchiveContent>),
    /// Of `Observe::TestSubject`.
    TestSubject(Box<TestSubject>),
    /// Of `Observe::Scratch`.
    Scratch(Box<ScratchFacts>),
    /// Of `Observe::RestoreSubject`.
    RestoreSubject(Box<RestoreSubject>),
    /// Of `Observe::Restored`.
    Restored(Box<RestoredFacts>),
    /// Of `Observe::Evidence`.
    Evidence(Box<Evidence>),
    /// Of `Observe::Archive`; `None` when the storage does not know it.
    Archive(Option<Box<ArchiveFacts>>),
    /// Of `Observe::Archives`.
    Archives(Box<GuestArchives>),
    /// Of `Observe::Snapshots`.
    Snapshots(Vec<SnapshotFacts>),
    /// Of `Observe::GuardSubject`.
    GuardSubject(Box<GuardSubject>),
    /// Of `Observe::PbsSnapshots`.
    PbsSnapshots(Box<Listing>),
    /// Of `Observe::Tasks`.
    Tasks(BTreeSet<Upid>),
    /// Of a mutation.
    Sent(Sent),
    /// Of `Step::FindTask`.
    Found {
        /// Our task, if the list holds exactly one that was not there before.
        upid: Option<Upid>,
        /// Whether the mutation's effect can be seen.
        effect: EffectSeen,
    },
    /// Of `Step::Follow`.
    Followed(Followed),
}
