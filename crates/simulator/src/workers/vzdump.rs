//! `vzdump`: the job over several guests. One runs at a time on a node; permission is asked before the first guest;
//! a failing guest does not stop the others.

mod guest;
mod inclusion;
mod machine;
mod medium;
mod target;
mod upload;

pub(crate) use target::unknown_variable;

use std::sync::Arc;

use crate::sim::Sim;
use crate::storage::Definition;
use crate::storage::backups::log_time;
use crate::storage::retention::Retention;
use crate::tasks::Worker;
use crate::workers::{seconds, timing};

/// A job as the API understood it.
#[derive(Debug, Clone, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "parameters of one API method"
)]
pub(crate) struct Job {
    /// Ascending.
    pub(crate) guests: Vec<u32>,
    /// Guests were named (else `all`): a missing permission then fails the job instead of skipping the guest.
    pub(crate) named: bool,
    pub(crate) storage: String,
    /// `snapshot`, `suspend` or `stop`.
    pub(crate) mode: String,
    /// As passed: `0`, `1`, `gzip`, `lzo`, `zstd`.
    pub(crate) compress: String,
    pub(crate) remove: bool,
    pub(crate) prune: Option<Retention>,
    pub(crate) protected: bool,
    pub(crate) notes: Option<String>,
    pub(crate) stdexcludes: bool,
    pub(crate) exclude: Vec<String>,
    /// Minutes.
    pub(crate) lockwait: i64,
    pub(crate) bwlimit: i64,
    pub(crate) ionice: i64,
    /// The job as a command line.
    pub(crate) command: String,
    /// The caller has no quota of protected archives.
    pub(crate) limit_free: bool,
}

/// The node's lock file, held by one job; the system releases it however the process ends.
struct GlobalLock {
    sim: Arc<Sim>,
}

impl Drop for GlobalLock {
    fn drop(&mut self) {
        self.sim.lock().guests.vzdump_lock = None;
    }
}

const LOCK_FILE: &str = "/var/run/vzdump.lock";

fn try_lock(worker: &Worker) -> Option<GlobalLock> {
    let mut world = worker.sim.lock();
    if world.guests.vzdump_lock.is_some() {
        return None;
    }
    world.guests.vzdump_lock = Some(worker.upid.clone());
    drop(world);
    Some(GlobalLock {
        sim: Arc::clone(&worker.sim),
    })
}

async fn global_lock(worker: &Worker, minutes: i64) -> Result<GlobalLock, String> {
    if let Some(lock) = try_lock(worker) {
        return Ok(lock);
    }
    if minutes == 0 {
        worker.log(format!(
            "ERROR: can't acquire lock '{LOCK_FILE}' (wait = 0)"
        ));
        worker.exit_without_status();
        return Err(String::new());
    }
    worker.log("INFO: trying to get global lock - waiting...");
    let until = worker.sim.clock.now() + minutes * 60;
    while worker.sim.clock.now() < until {
        worker.sleep(seconds(0.5)).await?;
        if let Some(lock) = try_lock(worker) {
            worker.log("INFO: got global lock");
            return Ok(lock);
        }
    }
    worker.log(format!(
        "ERROR: can't acquire lock '{LOCK_FILE}' - got timeout"
    ));
    worker.exit_without_status();
    Err(String::new())
}

/// What the job asks of its storage before anything else.
fn check_storage(worker: &Worker, job: &Job) -> Result<(), String> {
    let world = worker.sim.lock();
    let id = &job.storage;
    let reached = |definition: &Definition| match definition.kind.as_str() {
        "pbs" => world.pbs_remote(id).map(drop),
        _ => Ok(()),
    };
    let usable = world.storage.usable(id).map_err(|error| error.message);
    match usable.and_then(|definition| reached(definition).map(|()| definition)) {
        Err(text) => Err(format!(
            "could not activate storage '{id}': {text}\ncould not get storage information for '{id}': {text}"
        )),
        Ok(definition) if !definition.holds("backup") => Err(format!(
            "could not get storage information for '{id}': can't use storage '{id}' for backups - wrong content type"
        )),
        Ok(_) => Ok(()),
    }
}

/// The guests to do, once permissions are asked.
fn permitted(worker: &Worker, job: &Job) -> Result<Vec<u32>, String> {
    let world = worker.sim.lock();
    let mut guests = Vec::new();
    for &vmid in &job.guests {
        if world.vmid_taken(vmid).is_some() {
            let right = world.check(&worker.who, &format!("/vms/{vmid}"), &["VM.Backup"]);
            match right {
                Err(error) if job.named => return Err(error.in_task()),
                Err(_) => continue,
                Ok(()) => {}
            }
        }
        guests.push(vmid);
    }
    Ok(guests)
}

/// `vzdump`
pub(crate) async fn run(worker: Worker, job: Job) -> Result<(), String> {
    check_storage(&worker, &job)?;
    worker.point("vzdump:lock", "").await?;
    let _open = medium::open(&worker, &job.storage);
    let _lock = global_lock(&worker, job.lockwait).await?;
    worker.log(format!("INFO: starting new backup job: {}", job.command));
    worker.sleep(seconds(timing::PREPARE)).await?;
    let mut failed = false;
    for vmid in permitted(&worker, &job)? {
        match guest::backup(&worker, &job, vmid).await {
            Ok(()) => {}
            // A worker that vanished says nothing more.
            Err(error) if error.is_empty() => return Err(error),
            Err(error) => {
                failed = true;
                let error = error.trim_end().to_owned();
                worker.log(format!("ERROR: Backup of VM {vmid} failed - {error}"));
                worker.log(format!(
                    "INFO: Failed at {}",
                    log_time(worker.sim.clock.shown())
                ));
                if worker.cancelled() {
                    let text = worker.interrupted();
                    worker.log(format!("ERROR: Backup job failed - {text}"));
                    return Err(text);
                }
            }
        }
    }
    if failed {
        worker.log("INFO: Backup job finished with errors");
        return Err("job errors".into());
    }
    worker.log("INFO: Backup job finished successfully");
    Ok(())
}
