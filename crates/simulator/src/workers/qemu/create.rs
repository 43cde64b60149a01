//! Making a virtual machine with empty disks.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

use crate::guest::config::{Config, Section};
use crate::guest::{formats, props, schema};
use crate::qemu::drives::{self, Drive};
use crate::qemu::image;
use crate::qemu::options::with_mac;
use crate::storage::volumes;
use crate::tasks::Worker;
use crate::workers::{log_all, seconds, timing};
use crate::world::World;

/// What a request asks for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Order {
    pub(crate) vmid: u32,
    pub(crate) pool: Option<String>,
    pub(crate) given: BTreeMap<String, String>,
    pub(crate) start: bool,
}

/// `qmcreate`
pub(crate) async fn run(worker: Worker, order: Order) -> Result<(), String> {
    let vmid = order.vmid;
    let mut made = Vec::new();
    match work(&worker, &order, &mut made).await {
        Ok(()) => {}
        // A worker that vanished cleans nothing up.
        Err(error) if error.is_empty() => return Err(error),
        Err(error) => {
            let mut world = worker.sim.lock();
            let mut lines = Vec::new();
            for volid in &made {
                if let Err(error) = world.free_volume(volid, &mut lines) {
                    lines.push(error);
                }
            }
            world.qemu.remove(&vmid);
            drop(world);
            log_all(&worker, lines);
            return Err(format!("unable to create VM {vmid} - {error}"));
        }
    }
    worker.sim.count("qmcreate", &vmid.to_string());
    if order.start {
        worker.log("Execute autostart");
        if let Err(error) = super::power::start(&worker, vmid, false).await {
            worker.log(error);
        }
    }
    Ok(())
}

async fn work(worker: &Worker, order: &Order, made: &mut Vec<String>) -> Result<(), String> {
    let vmid = order.vmid;
    worker.point("qmcreate", &vmid.to_string()).await?;
    worker.sleep(seconds(timing::PREPARE)).await?;
    let mut section = Section::default();
    for (key, value) in &order.given {
        let value = match drives::index(key) {
            _ if drives::is_drive(key) => disk(worker, vmid, key, value, made)?,
            Some(("net", _)) => with_mac(value, schema::random_mac),
            _ => value.clone(),
        };
        section.values.insert(key.clone(), value);
    }
    let fresh = |key: &str, value: String, section: &mut Section| {
        section.values.entry(key.to_owned()).or_insert(value);
    };
    fresh("smbios1", format!("uuid={}", volumes::uuid()), &mut section);
    fresh("vmgenid", volumes::uuid(), &mut section);
    // QemuServer.pm `new_meta_info_string`.
    let now = worker.sim.clock.now();
    fresh(
        "meta",
        format!("creation-qemu=10.1.2,ctime={now}"),
        &mut section,
    );
    let mut world = worker.sim.lock();
    let guest = world.qemu.entry(vmid).or_default();
    guest.config = Config {
        current: section,
        ..Config::default()
    };
    if let Some(pool) = &order.pool {
        world
            .pools
            .entry(pool.clone())
            .or_default()
            .vms
            .insert(vmid);
    }
    Ok(())
}

/// A file without a byte stands for an image without a block.
fn empty_image(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::File::create(path).map(drop)
}

/// An order for a new volume becomes one.
fn disk(
    worker: &Worker,
    vmid: u32,
    key: &str,
    text: &str,
    made: &mut Vec<String>,
) -> Result<String, String> {
    let mut lines = Vec::new();
    let now = worker.sim.clock.now();
    let drive = worker
        .sim
        .lock()
        .make_drive(vmid, key, text, now, &mut lines, made);
    log_all(worker, lines);
    drive
}

impl World {
    /// A drive as the configuration names it; where it orders a new volume, that is made first.
    pub(crate) fn make_drive(
        &mut self,
        vmid: u32,
        key: &str,
        text: &str,
        now: i64,
        lines: &mut Vec<String>,
        made: &mut Vec<String>,
    ) -> Result<String, String> {
        let Some(mut drive) = Drive::parse(key, text) else {
            return Err(format!("unable to parse drive options for '{key}'"));
        };
        let Some((store, bytes)) = formats::new_volume(&drive.file) else {
            return Ok(drive.print());
        };
        let volid = self.allocate(store, vmid, None, bytes, now, lines)?;
        made.push(volid.clone());
        empty_image(&image(&self.storage.state, &volid)).map_err(|error| error.to_string())?;
        let size = props::print_size(bytes);
        lines.push(format!(
            "{key}: successfully created disk '{volid},size={size}'"
        ));
        drive.file = volid;
        drive.options.insert("size".into(), size);
        Ok(drive.print())
    }
}
