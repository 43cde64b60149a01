//! Worker tasks: UPIDs, logs, exit statuses, the index of finished ones.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::access::Principal;
use crate::sim::Sim;

/// The node's tasks.
pub(crate) struct Tasks {
    dir: PathBuf,
}

impl Tasks {
    pub(crate) fn open(state_dir: &Path) -> Self {
        Self { dir: state_dir.join("tasks") }
    }
}

/// A running task as its own code sees it.
#[derive(Clone)]
pub(crate) struct Worker {
    pub(crate) sim: Arc<Sim>,
    pub(crate) upid: String,
    pub(crate) who: Principal,
}

impl Worker {
    /// One line (or several) of the task's log.
    pub(crate) fn log(&self, _line: impl Into<String>) {}

    /// `WARN: …`; a task with warnings ends `TASK WARNINGS: n`.
    pub(crate) fn warn(&self, _line: impl Into<String>) {}

    /// Sleeps in simulated time; fails with the signal's text when the task is stopped meanwhile.
    pub(crate) async fn sleep(&self, span: Duration) -> Result<(), String> {
        self.sim.clock.sleep(span).await;
        Ok(())
    }

    pub(crate) fn cancelled(&self) -> bool {
        false
    }

    /// Resolves when the task is asked to stop; to be raced against work that does not sleep here.
    pub(crate) async fn stopped(&self) {
        std::future::pending().await
    }

    /// The task will end without a `TASK …` line, hence as `unexpected status`.
    pub(crate) fn exit_without_status(&self) {}

    /// Meets an injected fault at a named point (`vzdump:archive`): warns, waits or fails as told.
    pub(crate) async fn point(&self, _name: &str, _id: &str) -> Result<(), String> {
        Ok(())
    }
}

impl Sim {
    /// Starts a worker and answers its UPID.
    pub(crate) fn start_task<F, Fut>(self: &Arc<Self>, who: &Principal, kind: &str, id: &str, work: F) -> String
    where
        F: FnOnce(Worker) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), String>> + Send + 'static,
    {
        let upid = format!("UPID:{}:00000000:00000000:00000000:{kind}:{id}:{}:", self.lock().node.name, who.as_str());
        let worker = Worker { sim: Arc::clone(self), upid: upid.clone(), who: who.clone() };
        let _detached = tokio::spawn(async move { work(worker).await });
        upid
    }
}
