//! Worker tasks: what is running, what has ended and how, and the hands that a task's own code works with.

mod log;
mod upid;
mod worker;

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

pub(crate) use log::Finished;
pub(crate) use upid::Upid;
pub(crate) use worker::Worker;

use crate::access::Principal;
use crate::sim::Sim;
use worker::Inner;

/// The first process id after a boot, and the usual distance to the next worker's: nodes start other processes too.
const FIRST_PID: u32 = 1021;
const PID_STEP: u32 = 13;
/// `DELETE /tasks/UPID` waits so long between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(5);

/// The node's tasks.
pub(crate) struct Tasks {
    dir: PathBuf,
    registry: Mutex<Registry>,
}

struct Registry {
    running: BTreeMap<String, Running>,
    /// Oldest first.
    finished: Vec<Finished>,
    next_pid: u32,
}

struct Running {
    upid: Upid,
    /// SIGTERM.
    term: CancellationToken,
    /// SIGKILL.
    kill: Option<AbortHandle>,
    /// Cancelled once the worker is gone.
    gone: CancellationToken,
}

impl Tasks {
    /// Reads what a former run left; tasks that were running then died with it.
    pub(crate) fn open(state_dir: &Path, now: i64) -> Self {
        let dir = state_dir.join("tasks");
        let mut finished = log::read_index(&dir);
        for upid in log::read_active(&dir) {
            if finished.iter().all(|entry| entry.upid != upid) {
                let entry = Finished {
                    status: log::exit_status(&dir, &upid),
                    endtime: now,
                    upid,
                };
                complain(log::append_index(&dir, &entry));
                finished.push(entry);
            }
        }
        complain(log::write_active(&dir, std::iter::empty()));
        let registry = Mutex::new(Registry {
            running: BTreeMap::new(),
            finished,
            next_pid: FIRST_PID,
        });
        Self { dir, registry }
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The running tasks, newest first.
    pub(crate) fn running(&self) -> Vec<Upid> {
        let mut running: Vec<Upid> = self
            .registry()
            .running
            .values()
            .map(|task| task.upid.clone())
            .collect();
        running.sort_by_key(|upid| std::cmp::Reverse((upid.starttime, upid.pid)));
        running
    }

    /// The finished tasks, newest first.
    pub(crate) fn finished(&self) -> Vec<Finished> {
        self.registry().finished.iter().rev().cloned().collect()
    }

    pub(crate) fn is_running(&self, upid: &Upid) -> bool {
        self.registry().running.contains_key(&upid.to_string())
    }

    /// The exit status of a task that has ended; none if there never was such a task.
    pub(crate) fn exit_status(&self, upid: &Upid) -> Option<String> {
        let indexed = {
            let registry = self.registry();
            registry
                .finished
                .iter()
                .rev()
                .find(|entry| entry.upid == *upid)
                .map(|entry| entry.status.clone())
        };
        indexed.or_else(|| {
            log::path(&self.dir, upid)
                .is_file()
                .then(|| log::exit_status(&self.dir, upid))
        })
    }

    /// The log as it stands; fails where there is no file.
    pub(crate) fn log(&self, upid: &Upid) -> io::Result<Vec<String>> {
        log::lines(&self.dir, upid)
    }

    /// Sends SIGTERM; the answer says when the worker is gone. None if it is not running.
    fn terminate(&self, upid: &Upid) -> Option<CancellationToken> {
        let registry = self.registry();
        let task = registry.running.get(&upid.to_string())?;
        task.term.cancel();
        Some(task.gone.clone())
    }

    fn kill(&self, upid: &Upid) {
        if let Some(kill) = self
            .registry()
            .running
            .get(&upid.to_string())
            .and_then(|task| task.kill.as_ref())
        {
            kill.abort();
        }
    }

    /// Kills every worker at once and waits until none is left; process ids start anew, as after a boot.
    pub(crate) async fn kill_all(&self) {
        let gone: Vec<CancellationToken> = {
            let registry = self.registry();
            registry
                .running
                .values()
                .filter_map(|task| task.kill.as_ref())
                .for_each(AbortHandle::abort);
            registry
                .running
                .values()
                .map(|task| task.gone.clone())
                .collect()
        };
        for worker in gone {
            worker.cancelled().await;
        }
        self.registry().next_pid = FIRST_PID;
    }

    fn begin(&self, running: Running) {
        let mut registry = self.registry();
        registry.running.insert(running.upid.to_string(), running);
        complain(log::write_active(
            &self.dir,
            registry.running.values().map(|task| &task.upid),
        ));
    }

    fn end(&self, upid: &Upid, endtime: i64) {
        let entry = Finished {
            status: log::exit_status(&self.dir, upid),
            endtime,
            upid: upid.clone(),
        };
        let mut registry = self.registry();
        complain(log::append_index(&self.dir, &entry));
        registry.finished.push(entry);
        let gone = registry
            .running
            .remove(&upid.to_string())
            .map(|task| task.gone);
        complain(log::write_active(
            &self.dir,
            registry.running.values().map(|task| &task.upid),
        ));
        drop(registry);
        if let Some(gone) = gone {
            gone.cancel();
        }
    }
}

/// Moves the task to the finished ones when its worker is gone, however it went.
struct Ending {
    sim: Arc<Sim>,
    upid: Upid,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.sim.tasks.end(&self.upid, self.sim.clock.shown());
    }
}

impl Sim {
    /// Starts a worker and answers its UPID. Besides the points that the work itself names, faults meet it at its
    /// type (`vzrestore`) before it does anything and at `TYPE:end` after it has done everything.
    pub(crate) fn start_task<F, Fut>(
        self: &Arc<Self>,
        who: &Principal,
        kind: &str,
        id: &str,
        work: F,
    ) -> String
    where
        F: FnOnce(Worker) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), String>> + Send + 'static,
    {
        let upid = self.new_upid(who, kind, id);
        let file = log::create(&self.tasks.dir, &upid);
        let term = CancellationToken::new();
        let inner = Inner {
            upid: upid.clone(),
            log: Mutex::new(
                file.inspect_err(|error| tracing::warn!(%error, "no task log"))
                    .ok(),
            ),
            warnings: AtomicU32::new(0),
            vanish: AtomicBool::new(false),
            term: term.clone(),
        };
        let worker = Worker {
            sim: Arc::clone(self),
            upid: upid.to_string(),
            who: who.clone(),
            inner: Arc::new(inner),
        };
        let gone = CancellationToken::new();
        self.tasks.begin(Running {
            upid: upid.clone(),
            term,
            kill: None,
            gone,
        });
        let ending = Ending {
            sim: Arc::clone(self),
            upid: upid.clone(),
        };
        let job = tokio::spawn(async move {
            let ending = ending;
            let result = supervised(&worker, work).await;
            worker.conclude(result);
            drop(ending);
        });
        if let Some(task) = self.tasks.registry().running.get_mut(&upid.to_string()) {
            task.kill = Some(job.abort_handle());
        }
        upid.to_string()
    }

    /// Stops a task as `DELETE /tasks/UPID` does; returns once it is gone. Nothing happens if it is not running.
    pub(crate) async fn stop_task(&self, upid: &Upid) {
        let Some(gone) = self.tasks.terminate(upid) else {
            return;
        };
        tokio::select! {
            () = gone.cancelled() => {}
            () = self.clock.sleep(GRACE) => {
                self.tasks.kill(upid);
                gone.cancelled().await;
            }
        }
    }

    fn new_upid(&self, who: &Principal, kind: &str, id: &str) -> Upid {
        let (node, boot) = {
            let world = self.lock();
            (world.node.name.clone(), world.node.boot)
        };
        let now = self.clock.since_epoch();
        let up = now.saturating_sub(Duration::from_secs(u64::try_from(boot).unwrap_or_default()));
        let pid = {
            let mut registry = self.tasks.registry();
            let pid = registry.next_pid;
            registry.next_pid = pid.wrapping_add(PID_STEP);
            pid
        };
        Upid {
            node,
            pid,
            // The kernel counts 100 ticks a second.
            pstart: u64::try_from(up.as_millis() / 10).unwrap_or_default(),
            starttime: self.clock.shown(),
            kind: kind.to_owned(),
            id: id.to_owned(),
            user: who.as_str().to_owned(),
        }
    }
}

async fn supervised<F, Fut>(worker: &Worker, work: F) -> Result<(), String>
where
    F: FnOnce(Worker) -> Fut,
    Fut: Future<Output = Result<(), String>>,
{
    let Upid { kind, id, .. } = &worker.inner.upid;
    // Making a guest has a stub to take back when it fails: it asks for trouble at its start by itself.
    if !["vzcreate", "vzrestore"].contains(&kind.as_str()) {
        worker.point(kind, id).await?;
    }
    work(worker.clone()).await?;
    worker.point(&format!("{kind}:end"), id).await
}

/// The node's disk is ours: trouble with it is told, and otherwise as invisible as on a node.
fn complain(result: io::Result<()>) {
    if let Err(error) = result {
        tracing::warn!(%error, "task files of the simulated node could not be written");
    }
}

#[cfg(test)]
mod tests;
