//! How a target stands: what is mounted at its place, which disks are attached, and what the canary says.

use std::os::fd::OwnedFd;

use super::super::{Root, devices};
use super::look::Look;
use super::mounted::{Mounted, Of};
use super::place::failed;
use super::record::Record;
use super::{canary, disk, fence, look, unit};
use crate::refusal::{Code, Refusal};
use crate::report::{BlockDevice, Report, Standing, TargetReport, Written};

/// What was seen.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) standing: Standing,
    pub(super) reason: Option<String>,
    /// What is mounted at its place, right or not.
    pub(super) mounted: Option<Mounted>,
    /// The mount's disk is gone.
    pub(super) is_stale: bool,
    /// Its disk, when it is attached and the right one.
    pub(super) device: Option<BlockDevice>,
    /// The canary was found on the disk without its journal.
    pub(super) is_settled: bool,
}

impl Seen {
    fn new(standing: Standing, reason: impl Into<Option<String>>) -> Self {
        Self {
            standing,
            reason: reason.into(),
            mounted: None,
            is_stale: false,
            device: None,
            is_settled: false,
        }
    }

    /// Looks. Nothing is written to any disk.
    pub(super) fn now(root: Root<'_>, record: &Record) -> Result<Self, Refusal> {
        let devices = devices::survey(root)?;
        let mounted = Mounted::at(root, &record.name)?;
        let mut seen = match &mounted {
            Some(mounted) => with_mount(root, record, &devices, mounted)?,
            None => without_mount(root, record, &devices)?,
        };
        seen.mounted = mounted;
        Ok(seen)
    }

    /// The directory to work in, when the right disk is mounted.
    pub(super) fn directory(&self, record: &Record) -> Result<Option<OwnedFd>, Refusal> {
        match (&self.mounted, self.standing) {
            (Some(mounted), Standing::Mounted) => {
                let opened = mounted.open();
                opened
                    .map(Some)
                    .map_err(|error| failed(record.name.as_str(), error))
            }
            _ => Ok(None),
        }
    }

    /// The refusal that it stands so.
    pub(super) fn refusal(&self, record: &Record) -> Refusal {
        let code = match self.standing {
            Standing::Wrong => Code::Wrong,
            Standing::Detached => Code::Detached,
            Standing::Present | Standing::Mounted => Code::Failed,
        };
        let reason = self
            .reason
            .as_deref()
            .unwrap_or("it does not stand as it should");
        Refusal::new(code, format!("target {}: {reason}", record.name))
    }

    /// The report of it.
    pub(super) fn report(&self, root: Root<'_>, record: &Record, written: Written) -> Report {
        let usb = &root.config.usb;
        Report::Target(Box::new(TargetReport {
            name: record.name.clone(),
            uuid: record.uuid.to_string(),
            serial: record.serial.clone(),
            fstype: record.fstype.to_string(),
            mount_point: unit::mount_point(usb, &record.name),
            unit: unit::name(usb, &record.name),
            standing: self.standing,
            reason: self.reason.clone(),
            written,
            space: self.space(),
            fenced: fence::stands(root, &record.name),
        }))
    }

    /// Size and free bytes of the right disk.
    fn space(&self) -> Option<(u64, u64)> {
        let mounted = self.mounted.as_ref()?;
        if self.standing != Standing::Mounted {
            return None;
        }
        let found = rustix::fs::fstatvfs(mounted.open().ok()?).ok()?;
        Some((
            found.f_blocks.saturating_mul(found.f_frsize),
            found.f_bfree.saturating_mul(found.f_frsize),
        ))
    }
}

fn with_mount(
    root: Root<'_>,
    record: &Record,
    devices: &[BlockDevice],
    mounted: &Mounted,
) -> Result<Seen, Refusal> {
    let candidates = disk::with_uuid(devices, &record.uuid);
    let is_it = |device: &&BlockDevice| {
        let numbers = devices::numbers(root, &device.name);
        device.size > 0
            && numbers.is_some_and(|(major, minor)| mounted.of == Of::Device(major, minor))
    };
    let point = unit::mount_point(&root.config.usb, &record.name);
    let Some(device) = devices.iter().find(is_it) else {
        let again = if candidates.is_empty() {
            "attach it"
        } else {
            "it is attached again: mount it"
        };
        if mounted.of == Of::NoDisk {
            let why = format!("{} is mounted at {point}, which is no disk", mounted.source);
            return Ok(Seen::new(Standing::Wrong, why));
        }
        let why = format!("the disk that is mounted at {point} was pulled out; {again}");
        let mut seen = Seen::new(Standing::Detached, why);
        seen.is_stale = true;
        return Ok(seen);
    };
    if !candidates.iter().any(|right| right.name == device.name) {
        let why = format!("/dev/{} is mounted at {point}, another disk", device.name);
        return Ok(Seen::new(Standing::Wrong, why));
    }
    if let Some(wrong) = not_alone(&candidates) {
        return Ok(wrong);
    }
    if let Err(why) = record.is_on(device) {
        return Ok(Seen::new(Standing::Wrong, why));
    }
    let found = mounted
        .open()
        .map_err(Into::into)
        .and_then(|dir| canary::read(&dir));
    let found = found.map_err(|error| {
        let text = format!("/dev/{} does not let itself be read: {error}", device.name);
        Refusal::new(Code::Failed, text)
    })?;
    Ok(match canary::check(record, found.as_ref()) {
        Ok(()) => right(device, Standing::Mounted),
        Err(why) => Seen::new(Standing::Wrong, why),
    })
}

fn without_mount(
    root: Root<'_>,
    record: &Record,
    devices: &[BlockDevice],
) -> Result<Seen, Refusal> {
    let candidates = disk::with_uuid(devices, &record.uuid);
    if let Some(wrong) = not_alone(&candidates) {
        return Ok(wrong);
    }
    let [device] = candidates.as_slice() else {
        let why = format!("no attached disk has the UUID {}", record.uuid);
        return Ok(Seen::new(Standing::Detached, why));
    };
    if let Err(why) = record.is_on(device) {
        return Ok(Seen::new(Standing::Wrong, why));
    }
    if let Some(mount) = device.mounts.first() {
        let why = format!(
            "/dev/{} is mounted at {mount}; unmount it there",
            device.name
        );
        let mut seen = right(device, Standing::Present);
        seen.reason = Some(why);
        return Ok(seen);
    }
    if record.current.is_none() {
        return Ok(right(device, Standing::Present));
    }
    let found = match look::at_canary(root, device, record.fstype)? {
        Look::Canary(found) => found,
        // What is mounted is looked at again.
        Look::Impossible => return Ok(right(device, Standing::Present)),
        Look::Busy => {
            let mut seen = right(device, Standing::Present);
            let why = format!(
                "/dev/{} is in use elsewhere, perhaps in a container",
                device.name
            );
            seen.reason = Some(why);
            return Ok(seen);
        }
    };
    Ok(match canary::check(record, found.as_ref()) {
        Ok(()) => {
            let mut seen = right(device, Standing::Present);
            seen.is_settled = true;
            seen
        }
        // It may be in the journal still. What is mounted is looked at again, with its journal.
        Err(_) if !record.settled && found.is_none_or(|found| !found.is_of(record)) => {
            right(device, Standing::Present)
        }
        Err(why) => Seen::new(Standing::Wrong, why),
    })
}

fn right(device: &BlockDevice, standing: Standing) -> Seen {
    let mut seen = Seen::new(standing, None);
    seen.device = Some(device.clone());
    seen
}

fn not_alone(candidates: &[&BlockDevice]) -> Option<Seen> {
    (candidates.len() > 1).then(|| {
        let why = format!(
            "{} have its UUID: one is a copy; detach it",
            disk::told(candidates)
        );
        Seen::new(Standing::Wrong, why)
    })
}
