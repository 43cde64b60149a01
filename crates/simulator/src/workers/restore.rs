//! Restoring a container from an archive. Until the final write its configuration holds nothing but
//! `lock: create`; mark, network devices and pool membership come last.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::archive;
use crate::guest::config::{Config, Section};
use crate::guest::formats::{self, Mount, Source};
use crate::guest::props;
use crate::storage::access;
use crate::tasks::Worker;
use crate::workers::create::{self, Order};
use crate::workers::fetch::Fetched;
use crate::workers::merge::{self, Merge};
use crate::workers::unpack::{self, Fresh, Job};
use crate::workers::{blocking, destroy, log_all, seconds, timing};

/// The file of a template or an archive, with its path as messages name it.
pub(crate) fn locate(worker: &Worker, volid: &str) -> Result<(PathBuf, String), String> {
    let world = worker.sim.lock();
    let volume = access::parse(&world, volid).map_err(|error| error.in_task())?;
    let (kind, file) = volume.name.split_once('/').unwrap_or(("", ""));
    let sub = if kind == "vztmpl" {
        "template/cache"
    } else {
        "dump"
    };
    let folder = world.storage.folder(&volume.storage).unwrap_or_default();
    let path = folder.join(sub).join(file);
    if !path.is_file() {
        return Err(format!("volume '{volid}' does not exist"));
    }
    let base = world
        .storage
        .definitions
        .get(&volume.storage)
        .and_then(|d| d.path())
        .unwrap_or_default();
    Ok((path, format!("{}/{sub}/{file}", base.trim_end_matches('/'))))
}

/// How far the restore had come when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reached {
    /// Nothing of an existing container is touched but its lock.
    Checks,
    /// The old container is gone, or there was none.
    Point,
}

/// `vzrestore`
pub(crate) async fn run(worker: Worker, order: Order) -> Result<(), String> {
    let mut fresh = Fresh::default();
    let mut reached = Reached::Checks;
    match work(&worker, &order, &mut fresh, &mut reached).await {
        Ok(()) => {
            create::finish(&worker, &order);
            Ok(())
        }
        // A worker that vanished cleans nothing up.
        Err(error) if error.is_empty() => Err(error),
        Err(error) => {
            unpack::unwind(&worker, &fresh).await;
            let mut world = worker.sim.lock();
            if order.overwrite && reached == Reached::Checks {
                world.unlock_guest(order.vmid);
            } else {
                world.guests.lxc.remove(&order.vmid);
            }
            drop(world);
            Err(format!("unable to restore CT {} - {error}", order.vmid))
        }
    }
}

async fn work(
    worker: &Worker,
    order: &Order,
    fresh: &mut Fresh,
    reached: &mut Reached,
) -> Result<(), String> {
    let id = order.vmid.to_string();
    worker.point("vzrestore", &id).await?;
    worker.log(format!(
        "recovering backed-up configuration from '{}'",
        order.source
    ));
    worker.sleep(seconds(timing::RECOVER)).await?;
    let fetched = Fetched::find(worker, &order.source, "tar")?;
    fetched.container_config(worker)?;
    let (path, shown) = (fetched.path.clone(), fetched.shown.clone());
    let archived = recover(path.clone()).await?;
    let unprivileged = judge(worker, order, &archived)?;
    let (wanted, bound) = plan(worker, order, &archived)?;
    worker.point("vzrestore:allocate", &id).await?;
    unpack::allocate(worker, order.vmid, &wanted, fresh).await?;
    if order.overwrite {
        clear(worker, order.vmid, &fresh.made).await?;
    }
    *reached = Reached::Point;
    worker.log(format!("restoring '{}' now..", order.source));
    worker.point("vzrestore:extract", &id).await?;
    fetched.container_tree(worker, &format!("/var/lib/lxc/{id}/rootfs"))?;
    let job = Job {
        vmid: order.vmid,
        archive: path.clone(),
        shown,
        unprivileged,
        ignore_errors: order.ignore_errors,
        quiet: fetched.remote.is_some(),
        fresh,
    };
    unpack::run(worker, &job).await?;
    worker.log("merging backed-up and given configuration..");
    worker.sleep(seconds(timing::FINISH)).await?;
    worker.point("vzrestore:config", &id).await?;
    let mut mounts = fresh.mounts.clone();
    mounts.extend(bound);
    let merged = merge::merge(&Merge {
        vmid: order.vmid,
        archived: &archived,
        given: &order.given,
        mounts: &mounts,
        unprivileged,
        unique: order.unique,
        root: worker.who.is_root(),
    });
    tell(worker, &merged);
    create::write_config(worker, order.vmid, merged.config)?;
    firewall(worker, order, path).await;
    convert(worker, order, &archived);
    Ok(())
}

/// A template stays one.
fn convert(worker: &Worker, order: &Order, archived: &Section) {
    if archived.flag("template") {
        worker.log("Convert restored container to template...");
        if let Some(guest) = worker.sim.lock().guests.lxc.get_mut(&order.vmid) {
            guest
                .config
                .current
                .values
                .insert("template".into(), "1".into());
        }
    }
}

/// Reads the archived configuration.
async fn recover(path: PathBuf) -> Result<Section, String> {
    let shown = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let found = blocking(move || archive::read_member(&path, "etc/vzdump/pct.conf")).await?;
    match found {
        Ok(Some(text)) => Ok(Config::parse(&String::from_utf8_lossy(&text)).current),
        Ok(None) => Err("unable to find VM configuration in archive".into()),
        Err(error) => {
            tracing::debug!(%error, "archive has no readable configuration");
            Err(format!(
                "command 'tar xpOf /var/lib/vz/dump/{shown} ./etc/vzdump/pct.conf --occurrence' failed: exit code 2"
            ))
        }
    }
}

/// Checks that need the archive's content; answers whether the result is unprivileged.
fn judge(worker: &Worker, order: &Order, archived: &Section) -> Result<bool, String> {
    let world = worker.sim.lock();
    let kept = archived
        .nets()
        .into_iter()
        .filter(|(index, _)| !order.given.contains_key(&format!("net{index}")));
    for (_, net) in kept {
        world
            .check_net_bridge(&worker.who, &net)
            .map_err(|error| error.in_task())?;
    }
    let unprivileged = order
        .unprivileged
        .unwrap_or_else(|| archived.flag("unprivileged"));
    let was = world
        .guests
        .lxc
        .get(&order.vmid)
        .map(|guest| guest.config.current.flag("unprivileged"));
    let switches = !order.overwrite || was == Some(true);
    if !unprivileged && switches {
        world
            .check(&worker.who, "/", &["Sys.Modify"])
            .map_err(|error| error.in_task())?;
    }
    Ok(unprivileged)
}

type Mounts = BTreeMap<String, String>;

/// The volumes to make, and the archived mounts that only root may have again.
fn plan(worker: &Worker, order: &Order, archived: &Section) -> Result<(Mounts, Mounts), String> {
    if !order.mounts.is_empty() {
        return Ok((order.mounts.clone(), Mounts::new()));
    }
    let (mut wanted, mut bound) = (Mounts::new(), Mounts::new());
    for mount in archived.mounts() {
        let Mount { key, mut props } = mount.clone();
        if mount.source() != Source::Volume {
            if !worker.who.is_root() {
                let word = mount.source().word();
                return Err(format!(
                    "restoring '{key}' to {word} mount is only possible for root"
                ));
            }
            bound.insert(key, mount.print());
            continue;
        }
        let size = mount
            .size()
            .ok_or_else(|| format!("unable to detect disk size - please specify {key} (size)"))?;
        props.insert("volume".into(), format!("{}:{}", order.storage, gib(size)));
        props.remove("size");
        let format = if key == "rootfs" {
            &formats::ROOTFS
        } else {
            &formats::MP
        };
        wanted.insert(key, props::print(format, &props));
    }
    Ok((wanted, bound))
}

/// A size in GiB as an order for a volume writes it.
fn gib(bytes: u64) -> String {
    let (whole, rest) = (bytes >> 30, bytes & ((1 << 30) - 1));
    if rest == 0 {
        return whole.to_string();
    }
    let fraction = format!(
        "{:09}",
        (u128::from(rest) * 1_000_000_000).div_ceil(1 << 30)
    );
    format!("{whole}.{}", fraction.trim_end_matches('0'))
}

/// The container that is overwritten: its volumes go, a stub stays.
async fn clear(worker: &Worker, vmid: u32, keep: &[String]) -> Result<(), String> {
    let old = {
        let world = worker.sim.lock();
        world
            .guests
            .lxc
            .get(&vmid)
            .map(|guest| guest.config.volumes())
            .unwrap_or_default()
    };
    for volid in old.iter().filter(|volid| !keep.contains(volid)) {
        worker.sim.clock.sleep(seconds(timing::REMOVE)).await;
        let mut lines = Vec::new();
        let result = worker.sim.lock().free_owned(vmid, volid, &mut lines);
        log_all(worker, lines);
        result?;
    }
    if let Some(guest) = worker.sim.lock().guests.lxc.get_mut(&vmid) {
        guest.config = destroy::stub("create");
    }
    Ok(())
}

fn tell(worker: &Worker, merged: &merge::Merged) {
    if merged.skipped_features {
        worker.warn("changing from unprivileged to privileged, skipping features");
    }
    if !merged.skipped_raw.is_empty() {
        worker.warn("skipping custom lxc options, restore manually as root:");
        worker.log("--------------------------------");
        for (key, value) in &merged.skipped_raw {
            worker.log(format!("{key}: {value}"));
        }
        worker.log("--------------------------------");
    }
}

/// Takes over the archived firewall rules where there are any and the caller may.
async fn firewall(worker: &Worker, order: &Order, path: PathBuf) {
    if order.skip_firewall {
        return;
    }
    let found = blocking(move || archive::read_member(&path, "etc/vzdump/pct.fw")).await;
    if let Ok(Ok(Some(rules))) = found
        && !rules.is_empty()
        && let Some(guest) = worker.sim.lock().guests.lxc.get_mut(&order.vmid)
    {
        guest.firewall = String::from_utf8_lossy(&rules).into_owned();
    }
}
