//! Allocating a container's volumes and unpacking an archive onto them, bytes of the thin pool included.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::archive::{self, Extracted, Target};
use crate::guest::formats::{self, Mount, Source};
use crate::guest::props;
use crate::storage::volumes;
use crate::tasks::Worker;
use crate::workers::{blocking, log_all, seconds, timing, totals};

/// A container's volumes while they are being made: what has to go when something fails.
#[derive(Debug, Default)]
pub(crate) struct Fresh {
    /// Options by their key, with volume ids instead of orders.
    pub(crate) mounts: BTreeMap<String, String>,
    /// Volumes that were made here, in their order.
    pub(crate) made: Vec<String>,
}

/// Mount point options in the order rootfs, mp0, mp1 …
pub(crate) fn ordered(options: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let place = |key: &str| formats::index(key).map_or(0, |(_, number)| u64::from(number) + 1);
    let mut list: Vec<(String, String)> = options
        .iter()
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    list.sort_by_key(|(key, _)| place(key));
    list
}

/// Makes the volumes that the options order.
pub(crate) async fn allocate(
    worker: &Worker,
    vmid: u32,
    options: &BTreeMap<String, String>,
    fresh: &mut Fresh,
) -> Result<(), String> {
    for (key, value) in ordered(options) {
        worker.sleep(seconds(timing::MKFS)).await?;
        let before: Vec<String> = fresh.made.clone();
        let mut lines = Vec::new();
        let now = worker.sim.clock.now_f64();
        let result = {
            let mut world = worker.sim.lock();
            world.settle(now);
            world.finish_mount(vmid, &key, &value, worker.sim.clock.now(), &mut lines)
        };
        log_all(worker, lines);
        let text = result.map_err(|error| error.in_task())?;
        let volid = text.split(',').next().unwrap_or_default().to_owned();
        let ordered = value
            .split(',')
            .next()
            .and_then(formats::new_volume)
            .is_some();
        if ordered && !before.contains(&volid) {
            fresh.made.push(volid);
        }
        fresh.mounts.insert(key, text);
    }
    Ok(())
}

/// Frees what was made, because something failed.
pub(crate) async fn unwind(worker: &Worker, fresh: &Fresh) {
    for volid in &fresh.made {
        worker.sim.clock.sleep(seconds(timing::REMOVE)).await;
        let mut lines = Vec::new();
        let result = worker.sim.lock().free_volume(volid, &mut lines);
        log_all(worker, lines);
        if let Err(error) = result {
            worker.log(error);
        }
    }
}

/// The mount points of the new container, parsed.
fn targets(worker: &Worker, fresh: &Fresh) -> Vec<(String, Target)> {
    let mut found = Vec::new();
    for (key, text) in ordered(&fresh.mounts) {
        let format = if key == "rootfs" {
            &formats::ROOTFS
        } else {
            &formats::MP
        };
        let Ok(props) = props::parse(format, &key, &text) else {
            continue;
        };
        let mount = Mount { key, props };
        if mount.source() == Source::Volume {
            let root = volumes::tree_path(&worker.sim.state_dir, mount.volume());
            let prefix = PathBuf::from(mount.path().trim_start_matches('/'));
            found.push((mount.volume().to_owned(), Target { prefix, root }));
        }
    }
    found
}

/// The unpacking command, as its failure names it.
fn command(vmid: u32, unprivileged: bool, compressed: bool) -> String {
    let space = if unprivileged {
        "lxc-usernsexec -m u:0:100000:65536 -m g:0:100000:65536 -- "
    } else {
        ""
    };
    let zstd = if compressed { " --zstd" } else { "" };
    format!(
        "command '{space}tar xpf -{zstd} --totals --one-file-system -p --sparse --numeric-owner --acls --xattrs '--xattrs-include=user.*' '--xattrs-include=security.capability' '--warning=no-file-ignored' '--warning=no-xattr-write' -C /var/lib/lxc/{vmid}/rootfs --skip-old-files --anchored --exclude './dev/*'' failed: exit code 2"
    )
}

/// What is unpacked where.
pub(crate) struct Job<'a> {
    pub(crate) vmid: u32,
    pub(crate) archive: PathBuf,
    /// The archive's path as messages name it.
    pub(crate) shown: String,
    pub(crate) unprivileged: bool,
    pub(crate) ignore_errors: bool,
    /// Not tar does it, but the client of a backup server, which says nothing.
    pub(crate) quiet: bool,
    pub(crate) fresh: &'a Fresh,
}

/// Unpacks. The files are there at once; their bytes reach the pool step by step in simulated time, so that a full
/// pool or a signal meets the work in its middle.
pub(crate) async fn run(worker: &Worker, job: &Job<'_>) -> Result<(), String> {
    if !job.quiet {
        worker.log(format!("extracting archive '{}'", job.shown));
    }
    let (volids, list): (Vec<String>, Vec<Target>) = targets(worker, job.fresh).into_iter().unzip();
    let path = job.archive.clone();
    let compressed = archive::Compression::of(&path) == archive::Compression::Zstd;
    let Extracted {
        read,
        stored,
        error,
    } = blocking(move || archive::extract(&path, &list)).await?;
    let begun = worker.sim.clock.now_f64();
    let span = timing::transfer(timing::EXTRACT, read, timing::EXTRACT_RATE);
    for step in 0..timing::EXTRACT_STEPS {
        worker
            .sleep(seconds(span / f64::from(timing::EXTRACT_STEPS)))
            .await?;
        if let Err(reason) = grow(worker, &volids, &stored, step) {
            worker.log(format!("tar: .: Cannot write: {reason}"));
            worker.log("tar: Exiting with failure status due to previous errors");
            return Err(command(job.vmid, job.unprivileged, compressed));
        }
    }
    if let Some(error) = error {
        tracing::debug!(%error, "archive does not unpack");
        if compressed {
            worker.log("/*stdin*\\ : Decoding error (36) : Data corruption detected");
        }
        worker.log("tar: Unexpected EOF in archive");
        worker.log("tar: Error is not recoverable: exiting now");
        if !job.ignore_errors {
            return Err(command(job.vmid, job.unprivileged, compressed));
        }
    }
    if !job.quiet {
        worker.log(format!(
            "Total bytes read: {}",
            totals(read, worker.sim.clock.now_f64() - begun)
        ));
    }
    Ok(())
}

fn grow(worker: &Worker, volids: &[String], stored: &[u64], step: u32) -> Result<(), String> {
    let now = worker.sim.clock.now_f64();
    let mut world = worker.sim.lock();
    world.settle(now);
    let (steps, step) = (u64::from(timing::EXTRACT_STEPS), u64::from(step));
    for (volid, bytes) in volids.iter().zip(stored) {
        let share = bytes * (step + 1) / steps - bytes * step / steps;
        world.write_volume(volid, share)?;
    }
    Ok(())
}
