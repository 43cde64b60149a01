//! The hands that a task's own code works with: its log, its sleep, its signals.

use std::fs::File;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Upid, complain};
use crate::access::Principal;
use crate::faults::TaskFault;
use crate::sim::Sim;

/// A running task as its own code sees it.
#[derive(Clone)]
pub(crate) struct Worker {
    pub(crate) sim: Arc<Sim>,
    pub(crate) upid: String,
    pub(crate) who: Principal,
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) upid: Upid,
    pub(super) log: Mutex<Option<File>>,
    pub(super) warnings: AtomicU32,
    pub(super) vanish: AtomicBool,
    pub(super) term: CancellationToken,
}

impl Worker {
    /// One line (or several) of the task's log.
    pub(crate) fn log(&self, line: impl Into<String>) {
        let mut text: String = line.into();
        text.push('\n');
        if let Some(file) = self
            .inner
            .log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_mut()
        {
            complain(file.write_all(text.as_bytes()));
        }
    }

    /// `WARN: …`; a task with warnings ends `TASK WARNINGS: n`.
    pub(crate) fn warn(&self, line: impl Into<String>) {
        self.inner.warnings.fetch_add(1, Ordering::Relaxed);
        self.log(format!("WARN: {}", line.into()));
    }

    /// Sleeps in simulated time; fails with the signal's text when the task is stopped meanwhile.
    pub(crate) async fn sleep(&self, span: Duration) -> Result<(), String> {
        tokio::select! {
            biased;
            () = self.inner.term.cancelled() => Err(self.interrupted()),
            () = self.sim.clock.sleep(span) => Ok(()),
        }
    }

    pub(crate) fn cancelled(&self) -> bool {
        self.inner.term.is_cancelled()
    }

    /// Whether it was asked to stop, or will end without a last line.
    pub(crate) fn is_dying(&self) -> bool {
        self.cancelled() || self.inner.vanish.load(Ordering::Relaxed)
    }

    /// Resolves when the task is asked to stop; to be raced against work that does not sleep here.
    pub(crate) async fn stopped(&self) {
        self.inner.term.cancelled().await;
    }

    /// What a worker dies of when it is asked to stop.
    pub(crate) fn interrupted(&self) -> String {
        let text = if self.inner.upid.kind == "vzdump" {
            "interrupted by signal"
        } else {
            "received interrupt"
        };
        text.to_owned()
    }

    /// The task will end without a `TASK …` line, hence as `unexpected status`.
    pub(crate) fn exit_without_status(&self) {
        self.inner.vanish.store(true, Ordering::Relaxed);
    }

    /// Meets an injected fault at a named point (`vzdump:archive`): warns, waits or fails as told.
    pub(crate) async fn point(&self, name: &str, id: &str) -> Result<(), String> {
        match self.sim.faults.at(name, id) {
            None => Ok(()),
            Some(TaskFault::Fail(text)) => Err(text),
            Some(TaskFault::Warn(text)) => {
                self.warn(text);
                Ok(())
            }
            Some(TaskFault::Say(text)) => {
                self.log(text);
                Ok(())
            }
            Some(TaskFault::Delay(span)) => self.sleep(span).await,
            Some(TaskFault::Hold) => {
                tokio::select! {
                    () = self.stopped() => Err(self.interrupted()),
                    () = self.sim.faults.held() => Ok(()),
                }
            }
            Some(TaskFault::Stall) => {
                self.stopped().await;
                Err(self.interrupted())
            }
            Some(TaskFault::Vanish) => {
                self.exit_without_status();
                Err(String::new())
            }
        }
    }

    /// Writes the last line.
    pub(super) fn conclude(&self, result: Result<(), String>) {
        if self.inner.vanish.load(Ordering::Relaxed) {
            return;
        }
        let warnings = self.inner.warnings.load(Ordering::Relaxed);
        match result {
            Err(message) => self.log(format!(
                "TASK ERROR: {}",
                message.trim_end().replace('\n', " ")
            )),
            Ok(()) if warnings > 0 => self.log(format!("TASK WARNINGS: {warnings}")),
            Ok(()) => self.log("TASK OK"),
        }
    }
}
