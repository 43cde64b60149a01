//! How a mutation ended.

use felhom_ids::Upid;
use serde::{Deserialize, Serialize};

use crate::outcome::{RemoteError, TaskVerdict};

/// How a mutation ended, as far as its task goes. The effect is re-read by whoever asked for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// Its task ended, or the request was done at once (`upid` is `None`).
    Task {
        /// The task.
        upid: Option<Upid>,
        /// How it ended.
        verdict: TaskVerdict,
        /// Its log.
        log: Vec<String>,
        /// How long it took.
        elapsed_ms: u64,
    },
    /// It was refused, or never left: nothing happened.
    Refused(RemoteError),
    /// A guard tripped or nothing happened for too long; the task was told to stop and ended.
    Stopped {
        /// The task.
        upid: Upid,
        /// Why it was stopped.
        reason: String,
        /// How it ended.
        verdict: TaskVerdict,
        /// Its log.
        log: Vec<String>,
        /// Whether a floor was reached (and not just silence).
        floor: bool,
    },
    /// The answer was lost, no task was found, yet the effect is there.
    EffectOnly,
    /// Nobody can say whether it happened.
    Undetermined(String),
}

impl Ended {
    /// The task, when that is known.
    pub fn upid(&self) -> Option<&Upid> {
        match self {
            Self::Task { upid, .. } => upid.as_ref(),
            Self::Stopped { upid, .. } => Some(upid),
            Self::Refused(_) | Self::EffectOnly | Self::Undetermined(_) => None,
        }
    }

    /// The task's log, when there was one.
    pub fn log(&self) -> Option<&[String]> {
        match self {
            Self::Task { log, .. } | Self::Stopped { log, .. } => Some(log),
            Self::Refused(_) | Self::EffectOnly | Self::Undetermined(_) => None,
        }
    }

    /// Why the task is no word that all is well; `None` when it is. Only the effect, read again, is more than a word.
    pub fn trouble(&self) -> Option<String> {
        match self {
            Self::Task {
                verdict: TaskVerdict::Succeeded | TaskVerdict::Warnings(_),
                ..
            }
            | Self::EffectOnly => None,
            Self::Task { verdict, .. } => Some(verdict.to_string()),
            Self::Refused(error) => Some(error.text.clone()),
            Self::Stopped { reason, .. } => Some(reason.clone()),
            Self::Undetermined(text) => Some(text.clone()),
        }
    }
}
