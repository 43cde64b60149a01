//! What the two servers say of tasks, in the same fields.

use felhom_ids::{TokenId, Upid};
use serde::Deserialize;

use super::Outcome;
use crate::decode;

/// A line of the task list.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TaskEntry {
    /// Its name, which also holds type, id and user.
    pub upid: Upid,
    /// When it started.
    #[serde(deserialize_with = "decode::number")]
    pub starttime: i64,
    /// When it ended.
    #[serde(default, deserialize_with = "decode::maybe_number")]
    pub endtime: Option<i64>,
    /// Its exit status. Of a running task PVE writes `RUNNING`, a backup server nothing.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub status: Option<String>,
}

impl TaskEntry {
    /// What its end means; none while it runs.
    pub fn outcome(&self) -> Option<Outcome> {
        let status = self
            .status
            .as_deref()
            .filter(|status| *status != "RUNNING")?;
        Some(Outcome::parse(status))
    }

    /// Whether this token started it. The list splits `user!token` in two for ended tasks and not
    /// for running ones; the UPID always has both.
    pub fn is_by(&self, token: &TokenId) -> bool {
        self.upid.token().as_ref() == Some(token)
    }
}

/// Whether a task runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskState {
    /// It does.
    Running,
    /// It does not; that says nothing about success.
    Stopped,
}

/// A task's status.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TaskStatus {
    /// Its name.
    pub upid: Upid,
    /// Whether it runs.
    #[serde(rename = "status")]
    pub state: TaskState,
    /// How it ended.
    #[serde(
        default,
        rename = "exitstatus",
        deserialize_with = "decode::maybe_text"
    )]
    pub exit_status: Option<String>,
}

impl TaskStatus {
    /// What its end means; none while it runs.
    pub fn outcome(&self) -> Option<Outcome> {
        match self.state {
            TaskState::Running => None,
            TaskState::Stopped => Some(Outcome::parse(self.exit_status.as_deref().unwrap_or(""))),
        }
    }
}
