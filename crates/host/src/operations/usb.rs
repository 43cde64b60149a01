//! Targets on removable disks: taken by the UUID of their file system, known again by serial number, size and canary, mounted
//! by systemd at one place each, and never mounted when anything of it does not fit.

mod canary;
mod disk;
mod fence;
mod filesystem;
mod holders;
mod look;
mod mounted;
mod place;
mod probe;
mod record;
mod standing;
mod taken;
mod unit;

use std::time::Duration;

use felhom_ids::{FilesystemUuid, TargetName};

use self::holders::{Held, told};
use self::mounted::Mounted;
use self::record::Record;
use self::standing::Seen;
use super::{Root, devices};
use crate::argv::CommandLine;
use crate::refusal::{Code, Refusal};
use crate::report::{Report, Standing, Written};

const PAUSE: Duration = Duration::from_millis(100);

/// Takes a disk for a target. Asked again for the same it does what is left to do.
pub(super) fn install(
    root: Root<'_>,
    name: &TargetName,
    uuid: &FilesystemUuid,
) -> Result<Report, Refusal> {
    let record = match Record::load(root, name)? {
        Some(record) if record.uuid.as_str().eq_ignore_ascii_case(uuid.as_str()) => record,
        Some(record) => {
            let text = format!("target {name} is on the file system {}", record.uuid);
            return Err(Refusal::new(Code::Exists, text));
        }
        None => take(root, name, uuid)?,
    };
    prepare(root, &record)?;
    Ok(Seen::now(root, &record)?.report(root, &record, Written::Unasked))
}

/// The record of a new target.
fn take(root: Root<'_>, name: &TargetName, uuid: &FilesystemUuid) -> Result<Record, Refusal> {
    for other in Record::names(root)? {
        let other = Record::load(root, &other)?;
        let same = |other: &Record| other.uuid.as_str().eq_ignore_ascii_case(uuid.as_str());
        if let Some(other) = other.filter(same) {
            let text = format!("the file system {uuid} is target {}", other.name);
            return Err(Refusal::new(Code::Exists, text));
        }
    }
    let point = unit::mount_point(&root.config.usb, name);
    if let Some(mounted) = Mounted::at(root, name)? {
        let text = format!("{} is mounted at {point}; unmount it", mounted.source);
        return Err(Refusal::new(Code::InUse, text));
    }
    let devices = devices::survey(root)?;
    let (device, fstype) = disk::to_take(root, &devices, uuid)?;
    let spelled = device.uuid.as_deref().and_then(|uuid| uuid.parse().ok());
    let uuid = spelled.unwrap_or_else(|| uuid.clone());
    let record = Record::new(name, device, uuid, fstype)?;
    record.save(root)?;
    Ok(record)
}

/// The mount point and the unit of a target, as they have to be.
fn prepare(root: Root<'_>, record: &Record) -> Result<(), Refusal> {
    if Mounted::at(root, &record.name)?.is_none() {
        fence::raise(root, &record.name)?;
    }
    unit::install(root, record)
}

/// Mounts a target's disk.
pub(super) fn mount(root: Root<'_>, name: &TargetName) -> Result<Report, Refusal> {
    let mut record = Record::of(root, name)?;
    let mut seen = Seen::now(root, &record)?;
    if seen.is_stale {
        stop(root, &record, seen)?;
        seen = Seen::now(root, &record)?;
    }
    match seen.standing {
        Standing::Mounted => return Ok(seen.report(root, &record, Written::Unasked)),
        Standing::Present => {}
        Standing::Detached | Standing::Wrong => return Err(seen.refusal(&record)),
    }
    let mounts = seen.device.iter().flat_map(|device| &device.mounts);
    if let Some(mount) = mounts.into_iter().next() {
        let text = format!("the disk of target {name} is mounted at {mount}; unmount it there");
        return Err(Refusal::new(Code::InUse, text));
    }
    if seen.device.as_ref().is_some_and(|device| device.in_use) {
        let text = format!("the disk of target {name} is in use by something built on it");
        return Err(Refusal::new(Code::InUse, text));
    }
    let devices = devices::survey(root)?;
    let holder = seen
        .device
        .as_ref()
        .and_then(|device| taken::by(root, &devices, device));
    if let Some(holder) = holder {
        let text = format!("the disk of target {name} is taken: {holder} has it");
        return Err(Refusal::new(Code::InUse, text));
    }
    if seen.is_settled {
        record.settle(root, true)?;
    }
    prepare(root, &record)?;
    let unit = unit::name(&root.config.usb, name);
    insist(|| root.performer.run(&CommandLine::start_unit(&unit)))?;
    let after = Seen::now(root, &record)?;
    match after.standing {
        Standing::Mounted => Ok(after.report(root, &record, Written::Unasked)),
        Standing::Wrong => {
            // The disks were changed after the look. Nothing of ours was written.
            let mut refusal = after.refusal(&record);
            if let Err(stopped) = stop(root, &record, after) {
                let more = format!("; and what is mounted now stays: {}", stopped.text);
                refusal.text.push_str(&more);
            }
            Err(refusal)
        }
        Standing::Detached => Err(after.refusal(&record)),
        Standing::Present => {
            let text = format!(
                "target {name}: systemd started {unit}, and nothing is mounted; see journalctl -u {unit}"
            );
            Err(Refusal::new(Code::Failed, text))
        }
    }
}

/// Unmounts a target's disk.
pub(super) fn unmount(root: Root<'_>, name: &TargetName) -> Result<Report, Refusal> {
    let mut record = Record::of(root, name)?;
    let mut elsewhere = Vec::new();
    if let Some(mounted) = Mounted::at(root, name)? {
        let held = held(root, name, &mounted);
        // A disk that is gone takes nothing any more, and cannot be opened: it is unmounted all the same.
        let synced = mounted.open().map_or(Ok(()), rustix::fs::syncfs);
        drop(mounted);
        end(root, name, &held)?;
        elsewhere = held.elsewhere();
        let seen = Seen::now(root, &record)?;
        if let (Err(error), Standing::Present) = (synced, seen.standing) {
            let text = format!(
                "target {name} is unmounted, but its disk did not take everything that was written: {error}"
            );
            return Err(Refusal::new(Code::Failed, text));
        }
    }
    let mut seen = Seen::now(root, &record)?;
    if seen.is_settled {
        record.settle(root, true)?;
    }
    if !elsewhere.is_empty() && seen.standing == Standing::Present {
        let holders = told(&elsewhere);
        seen.reason = Some(format!(
            "it is unmounted here, but mounted in the namespace of {holders}; do not pull it out"
        ));
    }
    Ok(seen.report(root, &record, Written::Unasked))
}

/// Ends a mount that is not the right one.
fn stop(root: Root<'_>, record: &Record, seen: Seen) -> Result<(), Refusal> {
    let held = seen
        .mounted
        .as_ref()
        .map(|mounted| held(root, &record.name, mounted));
    drop(seen);
    held.map_or(Ok(()), |held| end(root, &record.name, &held))
}

fn held(root: Root<'_>, name: &TargetName, mounted: &Mounted) -> Held {
    let point = unit::mount_point(&root.config.usb, name);
    Held::new(mounted, root.layout.path(&point))
}

/// Has systemd unmount, and looks whether it did.
fn end(root: Root<'_>, name: &TargetName, held: &Held) -> Result<(), Refusal> {
    let unit = unit::name(&root.config.usb, name);
    let stopped = insist(|| {
        let stopped = root.performer.run(&CommandLine::stop_unit(&unit));
        if Mounted::at(root, name)?.is_none() {
            return Ok(());
        }
        stopped?;
        let text = format!("systemd stopped {unit}, and it is mounted still");
        Err(Refusal::new(Code::Failed, text))
    });
    let Err(stopped) = stopped else {
        return Ok(());
    };
    let holders = held.by();
    if holders.is_empty() {
        let text = format!("target {name} could not be unmounted: {}", stopped.text);
        return Err(Refusal::new(stopped.code, text));
    }
    let text = format!(
        "target {name} is held by {}; end them, and ask again",
        told(&holders)
    );
    Err(Refusal::new(Code::InUse, text))
}

/// Tries what fails up to three times. A program that another operation is just starting holds what the daemon had open for
/// as long as it takes it to begin, so a mount may be busy for a moment, and a look at a disk not ended.
fn insist<T>(attempt: impl Fn() -> Result<T, Refusal>) -> Result<T, Refusal> {
    for _ in 0..2 {
        match attempt() {
            Err(refusal) if refusal.code == Code::Failed => std::thread::sleep(PAUSE),
            ended => return ended,
        }
    }
    attempt()
}

/// Forgets a target. Its record goes last, so that asking again goes on where it was cut off.
pub(super) fn remove(root: Root<'_>, name: &TargetName) -> Result<Report, Refusal> {
    let point = unit::mount_point(&root.config.usb, name);
    if let Some(mounted) = Mounted::at(root, name)? {
        let text = format!("{} is mounted at {point}; unmount it first", mounted.source);
        return Err(Refusal::new(Code::InUse, text));
    }
    // What nobody took is not root's to take away.
    if Record::load(root, name)?.is_some() {
        unit::remove(root, name)?;
        fence::lower(root, name)?;
        Record::remove(root, name)?;
    }
    let name = name.clone();
    Ok(Report::Removed { name })
}

/// Looks at a target, and with `write` whether it takes data.
pub(super) fn probe(root: Root<'_>, name: &TargetName, write: bool) -> Result<Report, Refusal> {
    probe::probe(root, Record::of(root, name)?, write)
}
