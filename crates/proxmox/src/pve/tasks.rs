//! The task list, and one task's status, log and end by force.

use felhom_ids::{NodeName, Upid, Vmid};

use super::Pve;
use crate::decode::Done;
use crate::encode::{Endpoint, Method, Request};
use crate::error::Error;
use crate::task::{LogLine, requests};

pub use crate::task::{TaskEntry, TaskState, TaskStatus};

/// Which part of the task list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskSource {
    /// Only what has ended.
    Archive,
    /// Only what is in the list of running tasks.
    Active,
    /// Both.
    All,
}

/// `GET /nodes/N/tasks`. Without `Sys.Audit` on the node only the caller's own, and of those the
/// running ones of a token are hidden even from its user.
#[derive(Debug, Clone)]
pub struct ListTasks {
    /// Which part.
    pub source: TaskSource,
    /// Only tasks whose id is exactly this VMID (a multi-guest vzdump's and an image deletion's are not).
    pub vmid: Option<Vmid>,
    /// Only tasks of exactly this type.
    pub kind: Option<String>,
    /// Only tasks that started at this time or later.
    pub since: Option<i64>,
    /// Skip this many of the newest.
    pub start: u32,
    /// At most this many; PVE's own default is 50.
    pub limit: u32,
}

impl Default for ListTasks {
    fn default() -> Self {
        Self {
            source: TaskSource::All,
            vmid: None,
            kind: None,
            since: None,
            start: 0,
            limit: 500,
        }
    }
}

/// `GET /nodes/N/tasks/UPID/status`: the owner, or `Sys.Audit` on the node.
#[derive(Debug, Clone)]
pub struct TaskStatusOf {
    /// Which.
    pub upid: Upid,
    /// Ask over a new connection, and so perhaps another worker.
    pub fresh: bool,
}

impl TaskStatusOf {
    /// Asks over any connection.
    pub fn new(upid: Upid) -> Self {
        Self { upid, fresh: false }
    }
}

/// `GET /nodes/N/tasks/UPID/log`: the owner, or `Sys.Audit` on the node.
#[derive(Debug, Clone)]
pub struct TaskLogOf {
    /// Which.
    pub upid: Upid,
    /// Skip this many lines.
    pub start: u64,
    /// At most this many lines; 0 for all.
    pub limit: u64,
}

/// `DELETE /nodes/N/tasks/UPID`: the owner, or `Sys.Modify` on the node. SIGTERM, and SIGKILL after
/// five seconds, which leaves a guest's lock and snapshot behind.
#[derive(Debug, Clone)]
pub struct StopTask {
    /// Which.
    pub upid: Upid,
}

impl Endpoint for ListTasks {
    type Response = Vec<TaskEntry>;

    fn request(&self, node: &NodeName) -> Request {
        let source = match self.source {
            TaskSource::Archive => "archive",
            TaskSource::Active => "active",
            TaskSource::All => "all",
        };
        Request::new(Method::Get, &[&"nodes", node, &"tasks"])
            .with("source", source)
            .with("start", self.start)
            .with("limit", self.limit)
            .maybe("vmid", self.vmid)
            .maybe("typefilter", self.kind.as_deref())
            .maybe("since", self.since)
    }
}

impl Endpoint for TaskStatusOf {
    type Response = TaskStatus;

    fn request(&self, _node: &NodeName) -> Request {
        requests::status(&self.upid, self.fresh)
    }
}

impl Endpoint for TaskLogOf {
    type Response = Vec<LogLine>;

    fn request(&self, _node: &NodeName) -> Request {
        requests::log(&self.upid, self.start, self.limit)
    }
}

impl Endpoint for StopTask {
    type Response = Done;

    fn request(&self, _node: &NodeName) -> Request {
        requests::stop(&self.upid)
    }
}

impl Pve {
    /// The task list.
    pub async fn tasks(&self, list: &ListTasks) -> Result<Vec<TaskEntry>, Error> {
        self.call(list).await
    }

    /// One task's status.
    pub async fn task_status(&self, upid: &Upid) -> Result<TaskStatus, Error> {
        self.call(&TaskStatusOf::new(upid.clone())).await
    }

    /// One task's whole log, without the lines that PVE puts in place of an empty or a missing one.
    pub async fn task_log(&self, upid: &Upid) -> Result<Vec<LogLine>, Error> {
        let mut lines = self
            .call(&TaskLogOf {
                upid: upid.clone(),
                start: 0,
                limit: 0,
            })
            .await?;
        lines.retain(|line| !line.is_stand_in());
        Ok(lines)
    }

    /// Ends a task by force and returns when it is gone. How it ended, following it tells.
    pub async fn stop_task(&self, upid: &Upid) -> Result<(), Error> {
        self.call(&StopTask { upid: upid.clone() })
            .await
            .map(|Done| ())
    }
}
