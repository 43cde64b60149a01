//! Creating a container from a template.

use std::collections::BTreeMap;
use std::fs;

use crate::guest::config::{Config, Section};
use crate::guest::{init, schema};
use crate::storage::volumes;
use crate::tasks::Worker;
use crate::workers::unpack::{self, Fresh, Job};
use crate::workers::{power, restore, seconds, timing};

/// What a caller asked for; the same for create and restore.
#[derive(Debug, Clone, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "parameters of one API method"
)]
pub(crate) struct Order {
    pub(crate) vmid: u32,
    /// Template or archive.
    pub(crate) source: String,
    /// Default storage of new volumes.
    pub(crate) storage: String,
    pub(crate) pool: Option<String>,
    /// Options without mount points.
    pub(crate) given: BTreeMap<String, String>,
    /// Mount points; with none a restore takes the archived ones.
    pub(crate) mounts: BTreeMap<String, String>,
    /// As passed.
    pub(crate) unprivileged: Option<bool>,
    pub(crate) unique: bool,
    pub(crate) start: bool,
    pub(crate) ignore_errors: bool,
    /// An existing container is to be overwritten.
    pub(crate) overwrite: bool,
    /// The permission came from VM.Backup alone: the archive's firewall rules are not taken over.
    pub(crate) skip_firewall: bool,
}

/// `vzcreate`
pub(crate) async fn run(worker: Worker, order: Order) -> Result<(), String> {
    let mut fresh = Fresh::default();
    let result = work(&worker, &order, &mut fresh).await;
    match result {
        Ok(()) => {
            finish(&worker, &order);
            Ok(())
        }
        // A worker that vanished cleans nothing up.
        Err(error) if error.is_empty() => Err(error),
        Err(error) => {
            unpack::unwind(&worker, &fresh).await;
            worker.sim.lock().guests.lxc.remove(&order.vmid);
            Err(format!("unable to create CT {} - {error}", order.vmid))
        }
    }
}

async fn work(worker: &Worker, order: &Order, fresh: &mut Fresh) -> Result<(), String> {
    worker.point("vzcreate", &order.vmid.to_string()).await?;
    worker.sleep(seconds(timing::PREPARE)).await?;
    let (archive, shown) = restore::locate(worker, &order.source)?;
    let mut mounts = order.mounts.clone();
    mounts
        .entry("rootfs".into())
        .or_insert_with(|| format!("{}:4", order.storage));
    unpack::allocate(worker, order.vmid, &mounts, fresh).await?;
    let unprivileged = order.unprivileged.unwrap_or(true);
    let job = Job {
        vmid: order.vmid,
        archive,
        shown,
        unprivileged,
        ignore_errors: order.ignore_errors,
        quiet: false,
        fresh,
    };
    unpack::run(worker, &job).await?;
    worker.log("Detected container architecture: amd64");
    worker.sleep(seconds(timing::FINISH)).await?;
    let config = configuration(worker, order, fresh, unprivileged);
    write_config(worker, order.vmid, config)
}

fn configuration(worker: &Worker, order: &Order, fresh: &Fresh, unprivileged: bool) -> Config {
    let mut section = Section::default();
    for (key, value) in &order.given {
        section
            .values
            .insert(key.clone(), schema::normal(key, value));
    }
    section.values.extend(fresh.mounts.clone());
    let root = fresh
        .made
        .first()
        .map(|volid| volumes::tree_path(&worker.sim.state_dir, volid));
    let release = root.and_then(|root| fs::read_to_string(root.join("etc/os-release")).ok());
    let detected = release
        .unwrap_or_default()
        .lines()
        .find_map(|line| line.strip_prefix("ID=").map(ToOwned::to_owned))
        .unwrap_or_else(|| "unmanaged".into());
    let defaults = [
        ("arch", "amd64".to_owned()),
        ("hostname", format!("CT{}", order.vmid)),
        ("memory", "512".to_owned()),
        ("swap", "512".to_owned()),
        ("ostype", detected),
    ];
    for (key, value) in defaults {
        section.values.entry(key.into()).or_insert(value);
    }
    if unprivileged {
        section.values.insert("unprivileged".into(), "1".into());
    }
    Config {
        current: section,
        ..Config::default()
    }
}

/// The final write: the lock goes, the guest's own files are brought in line.
pub(crate) fn write_config(worker: &Worker, vmid: u32, config: Config) -> Result<(), String> {
    let mut world = worker.sim.lock();
    let guest = world.guests.lxc.entry(vmid).or_default();
    guest.config = config;
    let (section, name) = (guest.config.current.clone(), guest.name(vmid));
    match world.rootfs(vmid) {
        Some(root) => init::write_files(&root, &section, &name).map_err(|error| error.to_string()),
        None => Ok(()),
    }
}

/// Pool membership and the wish to start, once everything else is done.
pub(crate) fn finish(worker: &Worker, order: &Order) {
    if let Some(pool) = &order.pool
        && let Some(pool) = worker.sim.lock().pools.get_mut(pool)
    {
        pool.vms.insert(order.vmid);
    }
    let kind = if order.overwrite || order.source.contains(":backup/") {
        "vzrestore"
    } else {
        "vzcreate"
    };
    worker.sim.count(kind, &order.vmid.to_string());
    if order.start {
        let vmid = order.vmid;
        let _upid = worker.sim.start_task(
            &worker.who,
            "vzstart",
            &vmid.to_string(),
            move |worker| async move { power::start(&worker, vmid, false).await },
        );
    }
}
