//! The task list, and one task's status, log and end by force.
//!
//! The task list names its node `localhost` and UPIDs the real one; only the latter is used here. A well-formed UPID that
//! the server does not know is `stopped` with the exit status `unknown`, which is undetermined, and not an error. Somebody
//! else's task is [`Error::Forbidden`].

use felhom_ids::{DatastoreName, Upid};

use super::{Call, NODE, Pbs};
use crate::decode::Done;
use crate::encode::{Method, Request};
use crate::error::Error;
use crate::task::{LogLine, requests};

pub use crate::task::{TaskEntry, TaskState, TaskStatus};

/// `GET /nodes/{node}/tasks`. Without `Sys.Audit` on `/system/tasks` only the caller's own, and those of the datastores that
/// it may audit. The newest come first.
#[derive(Debug, Clone)]
pub struct ListTasks {
    /// Only those about this datastore.
    pub store: Option<DatastoreName>,
    /// Only those whose type has this in it: `verify` also finds `verify_snapshot`.
    pub kind: Option<String>,
    /// Only those whose user has this in it: a user's name also finds its tokens.
    pub user: Option<String>,
    /// Only those that started at this time or later.
    pub since: Option<i64>,
    /// Only those that started before this time.
    pub until: Option<i64>,
    /// Only those that run.
    pub running: bool,
    /// Only those that failed or had warnings.
    pub errors: bool,
    /// Skip this many of the newest.
    pub start: u32,
    /// At most this many; the server's own default is 50, and 0 is no limit.
    pub limit: u32,
}

impl Default for ListTasks {
    fn default() -> Self {
        Self {
            store: None,
            kind: None,
            user: None,
            since: None,
            until: None,
            running: false,
            errors: false,
            start: 0,
            limit: 500,
        }
    }
}

/// `GET /nodes/{node}/tasks/UPID/status`: the owner, or `Sys.Audit` on `/system/tasks`.
#[derive(Debug, Clone)]
pub struct TaskStatusOf {
    /// Which.
    pub upid: Upid,
}

/// `GET /nodes/{node}/tasks/UPID/log`: the same. [`Error::Api`] with a 400 for a task that the server does not know.
#[derive(Debug, Clone)]
pub struct TaskLogOf {
    /// Which.
    pub upid: Upid,
    /// Begin with this line; lines count from 1, and 0 means the same.
    pub start: u64,
    /// At most this many lines; 0 for all.
    pub limit: u64,
}

/// `DELETE /nodes/{node}/tasks/UPID`: the owner, or `Sys.Modify` on `/system/tasks`. Asks the task to end; it does so when
/// it next looks.
#[derive(Debug, Clone)]
pub struct StopTask {
    /// Which.
    pub upid: Upid,
}

impl Call for ListTasks {
    type Response = Vec<TaskEntry>;

    fn request(&self) -> Request {
        Request::new(Method::Get, &[&"nodes", &NODE, &"tasks"])
            .maybe("store", self.store.as_ref())
            .maybe("typefilter", self.kind.as_deref())
            .maybe("userfilter", self.user.as_deref())
            .maybe("since", self.since)
            .maybe("until", self.until)
            .maybe_flag("running", self.running.then_some(true))
            .maybe_flag("errors", self.errors.then_some(true))
            .with("start", self.start)
            .with("limit", self.limit)
    }
}

impl Call for TaskStatusOf {
    type Response = TaskStatus;

    fn request(&self) -> Request {
        requests::status(&self.upid, false)
    }
}

impl Call for TaskLogOf {
    type Response = Vec<LogLine>;

    fn request(&self) -> Request {
        requests::log(&self.upid, self.start, self.limit)
    }
}

impl Call for StopTask {
    type Response = Done;

    fn request(&self) -> Request {
        requests::stop(&self.upid)
    }
}

impl Pbs {
    /// The task list.
    pub async fn tasks(&self, list: &ListTasks) -> Result<Vec<TaskEntry>, Error> {
        self.call(list).await
    }

    /// One task's status.
    pub async fn task_status(&self, upid: &Upid) -> Result<TaskStatus, Error> {
        self.call(&TaskStatusOf { upid: upid.clone() }).await
    }

    /// One task's whole log. Each line begins with its time: `2026-11-22T23:43:52+00:00: found 3 groups`.
    pub async fn task_log(&self, upid: &Upid) -> Result<Vec<LogLine>, Error> {
        self.call(&TaskLogOf {
            upid: upid.clone(),
            start: 0,
            limit: 0,
        })
        .await
    }

    /// Asks a task to end and returns at once. How it ended, following it tells.
    pub async fn stop_task(&self, upid: &Upid) -> Result<(), Error> {
        self.call(&StopTask { upid: upid.clone() })
            .await
            .map(|Done| ())
    }
}
