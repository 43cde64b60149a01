//! Injected trouble: rules that requests and workers ask at well-named points.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// One rule: what it hits, how often, what happens then.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Hits only HTTP methods that match; `*` stands for anything.
    #[serde(default)]
    pub method: Option<String>,
    /// Hits only API paths that match, without `/api2/json`; `*` stands for anything. Those of the backup server begin
    /// with `/pbs`: `/pbs/admin/datastore/*/verify`. Those of the root helper are `/host/OPERATION` with the method `ASK`.
    #[serde(default)]
    pub path: Option<String>,
    /// Hits a task type (`vzrestore`, before it does anything; `vzrestore:end`, after it has done everything) or a named
    /// point inside one (`vzdump:archive`); `*` stands for anything. Those of the backup server begin with `pbs:`:
    /// `pbs:verify`, `pbs:verify:chunk`, `pbs:verify:end`.
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

impl Fault {
    /// A fault that hits the next request of this method and path.
    pub fn request(method: &str, path: &str, kind: FaultKind) -> Self {
        let (method, path) = (Some(method.to_owned()), Some(path.to_owned()));
        Self {
            method,
            path,
            task: None,
            id: None,
            count: Some(1),
            skip: 0,
            kind,
        }
    }

    /// A fault that hits the next task at this type or point.
    pub fn task(point: &str, kind: FaultKind) -> Self {
        Self {
            method: None,
            path: None,
            task: Some(point.to_owned()),
            id: None,
            count: Some(1),
            skip: 0,
            kind,
        }
    }
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
    /// The connection is closed instead of answering, and the request is executed so many simulated seconds later.
    CutThenRun {
        /// Simulated seconds.
        seconds: f64,
    },
    /// Executed after so many simulated seconds.
    Delay {
        /// Simulated seconds.
        seconds: f64,
    },
    /// Not executed; this status.
    Status {
        /// HTTP status.
        code: u16,
        /// Reason phrase; the body is empty, as with the codes that `pveproxy` makes itself.
        text: String,
    },
    /// Executed; this status instead of the answer, as when the proxy loses patience with its daemon.
    AnswerStatus {
        /// HTTP status.
        code: u16,
        /// Reason phrase; the body is empty.
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
    /// The worker writes this line into its log at the point, and goes on.
    TaskSay {
        /// The line.
        text: String,
    },
    /// The worker stands still at the point until it is stopped.
    TaskStall,
    /// The worker stands still at the point until it is released or stopped.
    TaskHold,
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
    Say(String),
    Stall,
    Hold,
    Delay(Duration),
    Vanish,
}

impl FaultKind {
    fn in_task(&self) -> Option<TaskFault> {
        match self {
            Self::TaskFail { text } => Some(TaskFault::Fail(text.clone())),
            Self::TaskWarn { text } => Some(TaskFault::Warn(text.clone())),
            Self::TaskSay { text } => Some(TaskFault::Say(text.clone())),
            Self::TaskStall => Some(TaskFault::Stall),
            Self::TaskHold => Some(TaskFault::Hold),
            Self::TaskDelay { seconds } => Some(TaskFault::Delay(simulated(*seconds))),
            Self::TaskVanish => Some(TaskFault::Vanish),
            Self::Refuse
            | Self::Stall
            | Self::HoldAnswer
            | Self::CutAnswer
            | Self::CutThenRun { .. }
            | Self::AnswerStatus { .. }
            | Self::Delay { .. }
            | Self::Status { .. }
            | Self::Html
            | Self::Garbage
            | Self::Truncated => None,
        }
    }
}

/// A span from a number that somebody typed; what is no span is none.
pub(crate) fn simulated(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

/// The rules in force, and the answers and workers that are being held.
#[derive(Debug)]
pub(crate) struct Faults {
    rules: Mutex<Vec<Fault>>,
    /// Counts releases; whoever is held waits for it to change.
    releases: watch::Sender<u64>,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            rules: Mutex::default(),
            releases: watch::channel(0).0,
        }
    }
}

impl Faults {
    fn rules(&self) -> MutexGuard<'_, Vec<Fault>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn inject(&self, fault: Fault) {
        self.rules().push(fault);
    }

    /// Forgets all rules and lets held answers and workers go.
    pub(crate) fn clear(&self) {
        self.rules().clear();
        self.release();
    }

    /// The rules still in force.
    pub(crate) fn list(&self) -> Vec<Fault> {
        self.rules().clone()
    }

    /// Lets held answers and workers go.
    pub(crate) fn release(&self) {
        self.releases.send_modify(|count| *count += 1);
    }

    /// Waits for the next release.
    pub(crate) async fn held(&self) {
        let mut releases = self.releases.subscribe();
        if releases.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// How many answers and workers are being held.
    pub(crate) fn held_answers(&self) -> usize {
        self.releases.receiver_count()
    }

    /// Whether a new connection is to be dropped before anything is known of it.
    pub(crate) fn refuses_connection(&self) -> bool {
        let unbound = |fault: &Fault| {
            fault.method.is_none()
                && fault.path.is_none()
                && fault.task.is_none()
                && fault.kind == FaultKind::Refuse
        };
        self.hit(unbound).is_some()
    }

    /// What is to happen to a request; consumes one hit.
    pub(crate) fn on_request(&self, method: &str, path: &str) -> Option<FaultKind> {
        self.hit(|fault| {
            let bound = fault.method.is_some() || fault.path.is_some();
            (bound || fault.kind != FaultKind::Refuse)
                && fault.task.is_none()
                && fault.kind.in_task().is_none()
                && fault
                    .method
                    .as_deref()
                    .is_none_or(|wanted| matches(&wanted.to_ascii_uppercase(), method))
                && fault
                    .path
                    .as_deref()
                    .is_none_or(|wanted| matches(wanted, path))
        })
    }

    /// What is to happen at a worker's point (`vzdump:archive`) for an id; consumes one hit.
    pub(crate) fn at(&self, point: &str, id: &str) -> Option<TaskFault> {
        let kind = self.hit(|fault| {
            fault.kind.in_task().is_some()
                && fault
                    .task
                    .as_deref()
                    .is_none_or(|wanted| matches(wanted, point))
                && fault.id.as_deref().is_none_or(|wanted| wanted == id)
        });
        kind?.in_task()
    }

    fn hit(&self, applies: impl Fn(&Fault) -> bool) -> Option<FaultKind> {
        let mut rules = self.rules();
        let mut found = None;
        for (index, fault) in rules.iter_mut().enumerate() {
            if !applies(fault) {
                continue;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                continue;
            }
            let spent = fault.count.as_mut().is_some_and(|count| {
                *count = count.saturating_sub(1);
                *count == 0
            });
            found = Some((index, spent, fault.kind.clone()));
            break;
        }
        let (index, spent, kind) = found?;
        if spent {
            rules.remove(index);
        }
        Some(kind)
    }
}

/// Whether `text` matches a pattern in which `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        let Some((_, behind)) = rest.split_once(part) else {
            return false;
        };
        rest = behind;
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_anything() {
        assert!(matches("/nodes/*/lxc", "/nodes/demo-felhom/lxc"));
        assert!(matches("*", ""));
        assert!(matches("/a*b*c", "/axxbyyc"));
        assert!(!matches("/nodes/*/lxc", "/nodes/demo-felhom/lxc/9001"));
        assert!(!matches("/nodes", "/nodes/x"));
    }

    #[test]
    fn a_rule_hits_as_often_as_it_says_after_what_it_skips() {
        let faults = Faults::default();
        let mut fault = Fault::request("POST", "/x", FaultKind::CutAnswer);
        fault.count = Some(2);
        fault.skip = 1;
        faults.inject(fault);
        let hits: Vec<bool> = (0..5)
            .map(|_| faults.on_request("POST", "/x").is_some())
            .collect();
        assert_eq!(hits, [false, true, true, false, false]);
        assert!(faults.list().is_empty());
    }

    #[test]
    fn a_method_may_be_a_pattern_too() {
        let faults = Faults::default();
        faults.inject(Fault::request("*", "*", FaultKind::CutAnswer));
        faults.inject(Fault::request("put", "/x", FaultKind::Html));
        assert_eq!(faults.on_request("PUT", "/x"), Some(FaultKind::CutAnswer));
        assert_eq!(faults.on_request("POST", "/x"), None);
        assert_eq!(faults.on_request("PUT", "/x"), Some(FaultKind::Html));
    }

    #[test]
    fn requests_and_tasks_do_not_take_each_others_faults() {
        let faults = Faults::default();
        faults.inject(Fault::task("vzdump:*", FaultKind::TaskStall));
        assert_eq!(faults.on_request("POST", "/nodes/x/vzdump"), None);
        assert_eq!(faults.at("vzdump", "9001"), None);
        assert_eq!(faults.at("vzdump:archive", "9001"), Some(TaskFault::Stall));
        assert_eq!(faults.at("vzdump:archive", "9001"), None);
    }
}
