//! Worker tasks: what a 200 really is, how one is followed, and what its end means.
//!
//! A task has four verdicts, and "it is over" is none of them. Following is polling, quick at first
//! and then spaced by the task's own length, so that the end is noticed within 250 ms or 5 % of it.

mod follow;
mod outcome;
pub(crate) mod requests;
mod status;

use std::future::Future;
use std::time::Duration;

use felhom_ids::Upid;
use serde::{Deserialize, Deserializer};

use crate::credentials::Credentials;
use crate::decode;
use crate::encode::Request;
use crate::error::Error;
use crate::error::answer::beginning;

pub use outcome::Outcome;
pub use status::{TaskEntry, TaskState, TaskStatus};

/// A task that a mutation started. Whether the mutation happened is only known when it has ended.
#[must_use = "a 200 is not success: follow the task to its end"]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskHandle {
    upid: Upid,
}

impl TaskHandle {
    pub(crate) fn new(upid: Upid) -> Self {
        Self { upid }
    }

    /// The task's name: write it down before following it.
    pub fn upid(&self) -> &Upid {
        &self.upid
    }

    /// The task's name, for those who follow it later.
    pub fn into_upid(self) -> Upid {
        self.upid
    }
}

/// How much of an answer that is no UPID an error keeps.
const KEPT: usize = 200;

/// What a task-starting call answers: a UPID, or something that is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started(Result<Upid, String>);

impl Started {
    /// The task that was started.
    ///
    /// # Errors
    /// [`Error::NoTask`] when what came is no UPID. Bounded, and without the secrets of `credentials`.
    pub fn task(self, request: &Request, credentials: &Credentials) -> Result<TaskHandle, Error> {
        self.0.map(TaskHandle::new).map_err(|answer| Error::NoTask {
            request: request.to_string(),
            answer: beginning(credentials, &answer, KEPT),
        })
    }
}

impl<'de> Deserialize<'de> for Started {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        Ok(Self(text.parse().map_err(|_| text)))
    }
}

/// One line of a task's log.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LogLine {
    /// Its number, from 1.
    #[serde(deserialize_with = "decode::number")]
    pub n: u64,
    /// Its text.
    #[serde(rename = "t", deserialize_with = "decode::text")]
    pub text: String,
}

impl LogLine {
    /// PVE answers an empty log with one line `no content`, and an unreadable one with another, both
    /// as line 1 of a 200: neither is something that the task said.
    pub(crate) fn is_stand_in(&self) -> bool {
        self.n == 1
            && (self.text == "no content" || self.text.starts_with("unable to open file - "))
    }
}

/// How a task is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FollowOptions {
    /// The first pause; the following ones grow.
    pub first_pause: Duration,
    /// The longest pause, however long the task runs.
    pub longest_pause: Duration,
    /// How long a task may show no sign of life (no new log line, and nothing seen by the watch)
    /// before it is left alone. Copying a large volume says nothing for its whole length.
    pub no_progress: Duration,
    /// How long the server may be out of reach before following ends with that error.
    pub unreachable: Duration,
    /// The number of log lines already known.
    pub from_line: u64,
}

impl Default for FollowOptions {
    fn default() -> Self {
        Self {
            first_pause: Duration::from_millis(50),
            longest_pause: Duration::from_secs(10),
            no_progress: Duration::from_hours(2),
            unreachable: Duration::from_mins(2),
            from_line: 0,
        }
    }
}

/// What a [`Watch`] sees when it looks around.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// Nothing of note.
    Nothing,
    /// The task gets on, though its log may not say so.
    Progress,
    /// Reason enough to stop following. The task itself goes on until somebody stops it.
    Leave(String),
}

/// How far following has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Since following began.
    pub elapsed: Duration,
    /// Log lines known.
    pub lines: u64,
}

/// Who is told about a task's progress, and may look at the world between two polls. Every
/// `FnMut(&LogLine)` is one that only listens.
pub trait Watch: Send {
    /// A new log line.
    fn line(&mut self, line: &LogLine) {
        tracing::trace!(n = line.n, "task log line");
    }

    /// Called after every poll of a running task.
    fn check(&mut self, _progress: Progress) -> impl Future<Output = Seen> + Send {
        std::future::ready(Seen::Nothing)
    }
}

impl<F: FnMut(&LogLine) + Send> Watch for F {
    fn line(&mut self, line: &LogLine) {
        self(line);
    }
}

/// A watch that neither listens nor looks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Watch for Silent {}

/// How following ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The task has ended.
    Finished(Finished),
    /// Following has ended and *the task goes on*. (Dropping the future has the same effect.)
    LeftRunning {
        /// Why.
        why: Left,
        /// Log lines known so far, to go on from.
        next_line: u64,
    },
}

/// A task that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// What its end means.
    pub outcome: Outcome,
    /// The last line of its log, if we saw one.
    pub last_line: Option<String>,
    /// Log lines in all.
    pub next_line: u64,
    /// Since following began, by a monotonic clock.
    pub took: Duration,
}

/// Why a running task was left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// The watch said so.
    Watch(String),
    /// It has shown no sign of life for this long.
    NoProgress(Duration),
}
