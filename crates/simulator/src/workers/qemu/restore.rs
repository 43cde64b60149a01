//! Restoring a virtual machine from an archive (QemuServer.pm `restore_vma_archive`, API2/Qemu.pm `create_vm`).
//!
//! What is left at each moment differs from a container's restore. The configuration is `lock: create` until the
//! archive's front is read, then `memory: 128` without any lock until everything is on the disks; the real one is
//! written last. A failed restore removes its volumes, and its configuration stays. A killed one leaves both.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::archive::Compression;
use crate::guest::config::{Config, Section};
use crate::guest::{props, schema};
use crate::qemu::drives::{self, Drive};
use crate::qemu::options::{other_mac, with_mac};
use crate::qemu::{Qemu, image};
use crate::storage::volumes;
use crate::tasks::Worker;
use crate::vma::{self, Extracted, Header};
use crate::workers::fetch::Fetched;
use crate::workers::{blocking, log_all, seconds, timing};
use crate::world::World;

/// What a request asks for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Order {
    pub(crate) vmid: u32,
    pub(crate) archive: String,
    /// Where all disks go; without it each goes to the storage that it came from.
    pub(crate) storage: Option<String>,
    pub(crate) pool: Option<String>,
    /// Options that replace the archived ones.
    pub(crate) given: BTreeMap<String, String>,
    pub(crate) unique: bool,
    pub(crate) start: bool,
}

/// A disk that the archive's configuration asks for.
#[derive(Debug, Clone)]
struct Wanted {
    /// `scsi0`
    key: String,
    /// `drive-scsi0`; none for a cloud-init drive.
    device: Option<String>,
    storage: String,
    size: u64,
}

/// `qmrestore`
pub(crate) async fn run(worker: Worker, order: Order) -> Result<(), String> {
    let vmid = order.vmid;
    match work(&worker, &order).await {
        Ok(()) => {}
        // A worker that vanished cleans nothing up.
        Err(error) if error.is_empty() => return Err(error),
        Err(error) => {
            let locked = worker
                .sim
                .lock()
                .qemu
                .get(&vmid)
                .and_then(|g| g.config.lock().map(str::to_owned));
            match locked.as_deref() {
                Some("create") => worker.sim.lock().unlock_machine(vmid),
                _ => worker.log("no lock found trying to remove 'create'  lock"),
            }
            worker.log(format!("error before or during data restore, some or all disks were not completely restored. VM {vmid} state is NOT cleaned up."));
            return Err(error);
        }
    }
    worker.sim.count("qmrestore", &vmid.to_string());
    if order.start {
        worker.log("Execute autostart");
        if let Err(error) = super::power::start(&worker, vmid, false).await {
            worker.log(error);
        }
    }
    Ok(())
}

async fn work(worker: &Worker, order: &Order) -> Result<(), String> {
    let (vmid, id) = (order.vmid, order.vmid.to_string());
    worker.point("qmrestore", &id).await?;
    {
        let world = worker.sim.lock();
        let guest = world.machine(vmid).map_err(|error| error.in_task())?;
        if guest.config.current.flag("protection") {
            return Err(format!(
                "unable to restore VM {vmid} - protection mode enabled"
            ));
        }
        if guest.run.is_some() {
            return Err(format!("unable to restore VM {vmid} - vm is running"));
        }
    }
    worker.sleep(seconds(timing::RECOVER)).await?;
    let fetched = Fetched::find(worker, &order.archive, "vma")?;
    fetched.machine(worker, false)?;
    let (path, shown) = (fetched.path.clone(), fetched.shown.clone());
    let front = {
        let path = path.clone();
        blocking(move || vma::header(&path)).await?
    };
    early(worker, order, front.as_ref().ok())?;
    let command = command(&path, &shown);
    if fetched.remote.is_none() {
        worker.log(format!("restore vma archive: {command}"));
    }
    let front = match front {
        Ok(front) => front,
        Err(error) => {
            worker.log(format!("vma: {error}"));
            return Err(failure(&path, &command));
        }
    };
    if fetched.remote.is_none() {
        describe(worker, &front);
    }
    if let Some(rules) = front.config("qemu-server.fw")
        && let Some(guest) = worker.sim.lock().qemu.get_mut(&vmid)
    {
        // Whoever restores: no privilege is asked for, as it is of a container's.
        guest.firewall = rules;
    }
    let archived = front.config("qemu-server.conf").unwrap_or_default();
    let wanted = hints(worker, order, &front, &archived)?;
    replace_config(worker, vmid, &wanted);
    worker.point("qmrestore:allocate", &id).await?;
    let mut made = BTreeMap::new();
    let result = fill(worker, order, &fetched, &command, &wanted, &mut made).await;
    if let Err(error) = result {
        if !error.is_empty() {
            unwind(worker, &made).await;
        }
        return Err(error);
    }
    worker.point("qmrestore:config", &id).await?;
    conclude(worker, order, &archived, &made)
}

/// The check before anything is touched, on the configuration as it would be written. One that cannot be read is
/// passed over here.
fn early(worker: &Worker, order: &Order, front: Option<&Header>) -> Result<(), String> {
    let Some(archived) = front.and_then(|front| front.config("qemu-server.conf")) else {
        worker.log("Could not extract backed up config: Failed to extract config from VMA archive");
        worker.log("Skipping early checks!");
        return Ok(());
    };
    let mut values = Config::parse(&archived).current.values;
    values.extend(order.given.clone());
    let world = worker.sim.lock();
    world
        .check_restored(&worker.who, &values)
        .map_err(|error| error.in_task())
}

fn command(path: &std::path::Path, shown: &str) -> String {
    match Compression::of(path) {
        Compression::Zstd => format!(
            "zstd -q -d -c {shown} | vma extract -v -r /var/tmp/vzdumptmp3711.fifo - /var/tmp/vzdumptmp3711"
        ),
        Compression::None => {
            format!("vma extract -v -r /var/tmp/vzdumptmp3711.fifo {shown} /var/tmp/vzdumptmp3711")
        }
    }
}

fn failure(path: &std::path::Path, command: &str) -> String {
    let pipe = match Compression::of(path) {
        Compression::Zstd => "set -o pipefail && ",
        Compression::None => "",
    };
    format!("command '{pipe}{command}' failed: exit code 1")
}

fn describe(worker: &Worker, front: &Header) {
    for (name, content) in &front.configs {
        worker.log(format!("CFG: size: {} name: {name}", content.len()));
    }
    for (id, name, size) in &front.devices {
        worker.log(format!("DEV: dev_id={id} size: {size} devname: {name}"));
    }
    let time = jiff::Timestamp::from_second(front.ctime).unwrap_or_default();
    worker.log(format!("CTIME: {}", time.strftime("%a %b %e %H:%M:%S %Y")));
}

/// `scsi0`, `drive-scsi0`, `local-lvm` of a line `#qmdump#map:scsi0:drive-scsi0:local-lvm:raw:`.
fn map_line(line: &str) -> Option<(&str, &str, &str)> {
    let mut parts = line.strip_prefix("#qmdump#map:")?.split(':');
    Some((parts.next()?, parts.next()?, parts.next()?))
}

/// The disks to make, each allowed.
fn hints(
    worker: &Worker,
    order: &Order,
    front: &Header,
    archived: &str,
) -> Result<Vec<Wanted>, String> {
    let mut wanted = BTreeMap::new();
    let world = worker.sim.lock();
    for line in archived.lines() {
        let (key, device, from, size) = if let Some((key, device, from)) = map_line(line) {
            let found = front.devices.iter().find(|(_, name, _)| name == device);
            let (_, _, size) =
                found.ok_or_else(|| format!("archive does not contain data for drive '{key}'"))?;
            (key, Some(device.to_owned()), from, *size)
        } else if let Some(drive) = drive_line(line).filter(Drive::is_cloudinit) {
            let from = drive.file.split(':').next().unwrap_or_default().to_owned();
            let storage = order.storage.clone().unwrap_or(from);
            check_storage(&world, worker, &storage)?;
            wanted.insert(
                drive.key.clone(),
                Wanted {
                    key: drive.key,
                    device: None,
                    storage,
                    size: 4 << 20,
                },
            );
            continue;
        } else {
            continue;
        };
        let storage = match (&order.storage, from) {
            (Some(storage), _) => storage.clone(),
            (None, "") => "local".to_owned(),
            (None, from) => from.to_owned(),
        };
        check_storage(&world, worker, &storage)?;
        wanted.insert(
            key.to_owned(),
            Wanted {
                key: key.to_owned(),
                device,
                storage,
                size,
            },
        );
    }
    for (_, name, _) in &front.devices {
        if !wanted
            .values()
            .any(|disk| disk.device.as_ref() == Some(name))
        {
            return Err(format!(
                "found no device mapping information for device '{name}'"
            ));
        }
    }
    Ok(wanted.into_values().collect())
}

fn check_storage(world: &World, worker: &Worker, id: &str) -> Result<(), String> {
    let definition = world
        .storage
        .definition(id)
        .map_err(|error| error.in_task())?;
    if !definition.holds("images") {
        return Err(format!(
            "Content type 'images' is not available on storage '{id}'"
        ));
    }
    let path = format!("/storage/{id}");
    world
        .check(&worker.who, &path, &["Datastore.AllocateSpace"])
        .map_err(|error| error.in_task())
}

fn drive_line(line: &str) -> Option<Drive> {
    let (key, value) = line.split_once(':')?;
    drives::is_drive(key).then(|| Drive::parse(key, value.trim()))?
}

/// From here on the configuration is `memory: 128`. Of an existing machine the disks that come back go.
fn replace_config(worker: &Worker, vmid: u32, wanted: &[Wanted]) {
    let mut lines = Vec::new();
    let mut world = worker.sim.lock();
    let old = world.qemu.get(&vmid).map(Qemu::drives).unwrap_or_default();
    for drive in old {
        let again = wanted.iter().any(|disk| disk.key == drive.key);
        let volid = drive.volume().unwrap_or_default().to_owned();
        let own = world
            .storage
            .volumes
            .get(&volid)
            .is_some_and(|volume| volume.owner == vmid);
        if again
            && own
            && let Err(error) = world.free_volume(&volid, &mut lines)
        {
            lines.push(error);
        }
    }
    if let Some(guest) = world.qemu.get_mut(&vmid) {
        let mut section = Section::default();
        section.values.insert("memory".into(), "128".into());
        guest.config = Config {
            current: section,
            ..Config::default()
        };
    }
    drop(world);
    log_all(worker, lines);
}

/// Makes the volumes and writes the data.
async fn fill(
    worker: &Worker,
    order: &Order,
    fetched: &Fetched,
    command: &str,
    wanted: &[Wanted],
    made: &mut BTreeMap<String, String>,
) -> Result<(), String> {
    for disk in wanted {
        worker
            .sleep(seconds(timing::REMOVE))
            .await
            .map_err(signal)?;
        let mut lines = Vec::new();
        let now = worker.sim.clock.now_f64();
        let volid = {
            let mut world = worker.sim.lock();
            world.settle(now);
            make(
                &mut world,
                order.vmid,
                disk,
                worker.sim.clock.now(),
                &mut lines,
            )
        };
        log_all(worker, lines);
        let volid = volid?;
        worker.log(format!("new volume ID is '{volid}'"));
        made.insert(disk.key.clone(), volid);
    }
    let mut images = BTreeMap::new();
    let mut volids = BTreeMap::new();
    for disk in wanted {
        if let (Some(device), Some(volid)) = (&disk.device, made.get(&disk.key)) {
            let shown = worker.sim.lock().device_path(volid);
            match &fetched.remote {
                None => worker.log(format!("map '{device}' to '{shown}' (write zeros = 0)")),
                Some((remote, id)) => worker.log(format!(
                    "restore proxmox backup image: /usr/bin/pbs-restore --repository {} {} {device}.img.fidx {shown} --verbose --format raw --skip-zero",
                    remote.repository,
                    id.dir()
                )),
            }
            images.insert(device.clone(), image(&worker.sim.state_dir, volid));
            volids.insert(device.clone(), volid.clone());
        }
    }
    worker
        .point("qmrestore:extract", &order.vmid.to_string())
        .await?;
    fetched
        .machine(worker, true)
        .map_err(|_| "command '/usr/bin/pbs-restore' failed: exit code 255".to_owned())?;
    extract(worker, &fetched.path, command, images, &volids).await
}

/// LVM rounds up to whole extents of 4 MiB.
fn make(
    world: &mut World,
    vmid: u32,
    disk: &Wanted,
    now: i64,
    lines: &mut Vec<String>,
) -> Result<String, String> {
    let thin = world
        .storage
        .definition(&disk.storage)
        .is_ok_and(|one| one.kind == "lvmthin");
    let size = if thin {
        disk.size.next_multiple_of(4 << 20)
    } else {
        disk.size
    };
    let name = match (&disk.device, thin) {
        (Some(_), _) => None,
        (None, true) => Some(format!("vm-{vmid}-cloudinit")),
        (None, false) => Some(format!("{vmid}/vm-{vmid}-cloudinit.raw")),
    };
    world.allocate(&disk.storage, vmid, name.as_deref(), size, now, lines)
}

fn signal(error: String) -> String {
    if error == "received interrupt" {
        "interrupted by signal".into()
    } else {
        error
    }
}

/// The images are there at once; their bytes reach the pool step by step in simulated time.
async fn extract(
    worker: &Worker,
    path: &std::path::Path,
    command: &str,
    images: BTreeMap<String, PathBuf>,
    volids: &BTreeMap<String, String>,
) -> Result<(), String> {
    let archive = path.to_owned();
    let Extracted {
        stored,
        clusters,
        zero,
        error,
    } = blocking(move || vma::extract(&archive, &images)).await?;
    let bytes: u64 = stored.values().sum();
    let span = timing::transfer(timing::EXTRACT, bytes, timing::EXTRACT_RATE);
    let read = clusters * 65_536;
    let begun = worker.sim.clock.now();
    for step in 1..=timing::EXTRACT_STEPS {
        let wait = seconds(span / f64::from(timing::EXTRACT_STEPS));
        worker.sleep(wait).await.map_err(signal)?;
        if let Err(reason) = grow(worker, volids, &stored, step) {
            worker.log(format!(
                "vma: restore failed - vma blk_flush failed: {reason}"
            ));
            return Err(failure(path, command));
        }
        let (percent, took) = (
            step * 100 / timing::EXTRACT_STEPS,
            worker.sim.clock.now() - begun,
        );
        let done = read * u64::from(step) / u64::from(timing::EXTRACT_STEPS);
        worker.log(format!(
            "progress {percent}% (read {done} bytes, duration {took} sec)"
        ));
    }
    if let Some(error) = error {
        if Compression::of(path) == Compression::Zstd {
            worker.log("/*stdin*\\ : Decoding error (36) : Data corruption detected");
        }
        worker.log(format!("vma: restore failed - {error}"));
        return Err(failure(path, command));
    }
    let percent = zero.saturating_mul(100) / read.max(1);
    worker.log(format!(
        "total bytes read {read}, sparse bytes {zero} ({percent}%)"
    ));
    worker.log("space reduction due to 4K zero blocks 1.52%");
    Ok(())
}

fn grow(
    worker: &Worker,
    volids: &BTreeMap<String, String>,
    stored: &BTreeMap<String, u64>,
    step: u32,
) -> Result<(), String> {
    let now = worker.sim.clock.now_f64();
    let mut world = worker.sim.lock();
    world.settle(now);
    let (steps, step) = (u64::from(timing::EXTRACT_STEPS), u64::from(step));
    for (device, bytes) in stored {
        let share = bytes * step / steps - bytes * (step - 1) / steps;
        let volid = volids.get(device).map(String::as_str).unwrap_or_default();
        world.write_volume(volid, share)?;
    }
    Ok(())
}

/// Frees what was made. The configuration stays.
async fn unwind(worker: &Worker, made: &BTreeMap<String, String>) {
    for volid in made.values() {
        worker.sim.clock.sleep(seconds(timing::REMOVE)).await;
        let mut lines = Vec::new();
        let result = worker.sim.lock().free_volume(volid, &mut lines);
        log_all(worker, lines);
        match result {
            Ok(()) => worker.log(format!("temporary volume '{volid}' successfully removed")),
            Err(error) => worker.log(format!("unable to cleanup '{volid}' - {error}")),
        }
    }
}

/// One line of the archived configuration as it is written again (`restore_update_config_line`).
fn rewritten(line: &str, made: &BTreeMap<String, String>, unique: bool) -> Option<String> {
    let skipped = ["#qmdump#", "#vzdump#", "lock:", "unused", "parent:"];
    if skipped.iter().any(|start| line.starts_with(start)) {
        return None;
    }
    if let Some(mut drive) = drive_line(line) {
        if drive.backup() == Some(false) {
            return Some(format!("#{line}"));
        }
        let Some(volid) = made.get(&drive.key) else {
            return Some(line.to_owned());
        };
        drive.options.remove("format");
        drive.file.clone_from(volid);
        return Some(format!("{}: {}", drive.key, drive.print()));
    }
    let (key, value) = line.split_once(':').unwrap_or((line, ""));
    let value = value.trim();
    let fresh = match drives::index(key) {
        Some(("net", _)) if unique => other_mac(value, schema::random_mac),
        _ if key == "vmgenid" && value != "0" => volumes::uuid(),
        _ if key == "smbios1" && unique => other_uuid(value),
        _ => return Some(line.to_owned()),
    };
    Some(format!("{key}: {fresh}"))
}

/// The same machine with another UUID; what else it says of itself stays (`parse_smbios1`, `print_smbios1`).
fn other_uuid(value: &str) -> String {
    let rest = value
        .split(',')
        .filter(|part| !part.trim().is_empty() && !part.starts_with("uuid="));
    let uuid = format!("uuid={}", volumes::uuid());
    let mut parts: Vec<&str> = rest.chain([uuid.as_str()]).collect();
    parts.sort_unstable();
    parts.join(",")
}

/// The final write, the look at volumes that nothing names, and the pool.
fn conclude(
    worker: &Worker,
    order: &Order,
    archived: &str,
    made: &BTreeMap<String, String>,
) -> Result<(), String> {
    let lines: Vec<String> = archived
        .lines()
        .filter_map(|line| rewritten(line, made, order.unique))
        .collect();
    let mut section = Config::parse(&lines.join("\n")).current;
    for (key, value) in &order.given {
        let value = match drives::index(key) {
            Some(("net", _)) => with_mac(value, schema::random_mac),
            _ => value.clone(),
        };
        section.values.insert(key.clone(), value);
    }
    let mut world = worker.sim.lock();
    world
        .check_restored(&worker.who, &section.values)
        .map_err(|error| error.in_task())?;
    worker.log("rescan volumes...");
    rescan(worker, &world, order.vmid, &mut section);
    let guest = world.qemu.entry(order.vmid).or_default();
    guest.config = Config {
        current: section,
        ..Config::default()
    };
    if let Some(pool) = order
        .pool
        .as_ref()
        .and_then(|pool| world.pools.get_mut(pool))
    {
        pool.vms.insert(order.vmid);
    }
    Ok(())
}

/// Sizes as the storage has them; volumes of this number that nothing names become unused ones.
fn rescan(worker: &Worker, world: &World, vmid: u32, section: &mut Section) {
    for mut drive in drives::of(section).into_iter().filter(Drive::is_disk) {
        let found = drive
            .volume()
            .and_then(|volid| world.storage.volumes.get(volid));
        let Some(size) = found.map(|volume| volume.size) else {
            continue;
        };
        if let Some(old) = drive.size().filter(|old| *old != size) {
            let (old, new) = (props::print_size(old), props::print_size(size));
            let (key, volid) = (&drive.key, &drive.file);
            worker.log(format!(
                "VM {vmid} ({key}): size of disk '{volid}' updated from {old} to {new}"
            ));
            drive.options.insert("size".into(), new);
            section.values.insert(drive.key.clone(), drive.print());
        }
    }
    let named = drives::volumes(section);
    let lost = world.storage.volumes.iter();
    let lost = lost.filter(|(volid, volume)| volume.owner == vmid && !named.contains(volid));
    for (place, (volid, _)) in lost.enumerate() {
        let key = format!("unused{place}");
        worker.log(format!(
            "VM {vmid} add unreferenced volume '{volid}' as '{key}' to config"
        ));
        section.values.insert(key, volid.clone());
    }
}
