//! Injected trouble: rules that requests and workers ask at well-named points.

use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// One rule: what it hits, how often, what happens then.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Hits only this HTTP method.
    #[serde(default)]
    pub method: Option<String>,
    /// Hits only API paths that match, without `/api2/json`; `*` stands for anything.
    #[serde(default)]
    pub path: Option<String>,
    /// Hits a task type (`vzrestore`) or a named point inside one (`vzdump:archive`); `*` stands for anything.
    #[serde(default)]
    pub task: Option<String>,
    /// Hits only tasks of this id (`9001`).
    #[serde(default)]
    pub id: Option<String>,
    /// How many hits; none means for ever.
    #[serde(default)]
    pub count: Option<u32>,
    /// How many hits pass unharmed first.
    #[serde(default)]
    pub skip: u32,
    /// What happens.
    pub kind: FaultKind,
}

/// What a fault does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum FaultKind {
    /// The connection is closed, nothing executed. Without method and path: before TLS.
    Refuse,
    /// Accepted, never executed, never answered.
    Stall,
    /// Executed; the answer waits until it is released.
    HoldAnswer,
    /// Executed; the connection is closed instead of answering.
    CutAnswer,
    /// Executed after so many simulated seconds.
    Delay {
        /// Simulated seconds.
        seconds: f64,
    },
    /// Not executed; this status.
    Status {
        /// HTTP status.
        code: u16,
        /// Reason phrase and message.
        text: String,
    },
    /// Executed; a web page instead of JSON.
    Html,
    /// Executed; a 200 with a body that is not JSON.
    Garbage,
    /// Executed; the body ends in its middle.
    Truncated,
    /// The worker dies at the point with this text.
    TaskFail {
        /// What stands behind `TASK ERROR: `.
        text: String,
    },
    /// The worker warns at the point.
    TaskWarn {
        /// What stands behind `WARN: `.
        text: String,
    },
    /// The worker stands still at the point until it is stopped.
    TaskStall,
    /// The worker takes so many simulated seconds longer at the point.
    TaskDelay {
        /// Simulated seconds.
        seconds: f64,
    },
    /// The worker ends at the point without a last line.
    TaskVanish,
}

/// What a worker finds at a named point.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum TaskFault {
    Fail(String),
    Warn(String),
    Stall,
    Delay(std::time::Duration),
    Vanish,
}

/// The rules in force.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    rules: Mutex<Vec<Fault>>,
}

impl Faults {
    pub(crate) fn inject(&self, fault: Fault) {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
    }

    /// What is to happen at a worker's point (`vzdump:archive`) for an id; consumes one hit.
    pub(crate) fn at(&self, _point: &str, _id: &str) -> Option<TaskFault> {
        None
    }
}
