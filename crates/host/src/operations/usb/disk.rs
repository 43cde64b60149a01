//! Which disk is a target's, and which may become one.

use felhom_ids::FilesystemUuid;

use super::super::Root;
use super::filesystem::FileSystem;
use super::taken;
use crate::refusal::{Code, Refusal};
use crate::report::BlockDevice;

/// The attached devices that carry a UUID. One of no size is a bay without a disk, or a disk that is gone.
pub(super) fn with_uuid<'a>(
    devices: &'a [BlockDevice],
    uuid: &FilesystemUuid,
) -> Vec<&'a BlockDevice> {
    let carries = |device: &BlockDevice| {
        let found = device.uuid.as_deref();
        device.size > 0 && found.is_some_and(|found| found.eq_ignore_ascii_case(uuid.as_str()))
    };
    devices.iter().filter(|device| carries(device)).collect()
}

/// `/dev/sdb1, /dev/sdc1`.
pub(super) fn told(devices: &[&BlockDevice]) -> String {
    let each = devices.iter().map(|device| format!("/dev/{}", device.name));
    each.collect::<Vec<_>>().join(", ")
}

/// The one device with this UUID, when it may become a target, and its file system.
pub(super) fn to_take<'a>(
    root: Root<'_>,
    devices: &'a [BlockDevice],
    uuid: &FilesystemUuid,
) -> Result<(&'a BlockDevice, FileSystem), Refusal> {
    let device = match with_uuid(devices, uuid).as_slice() {
        [] => {
            let text = format!("no attached disk holds a file system with the UUID {uuid}");
            return Err(Refusal::new(Code::Detached, text));
        }
        [device] => *device,
        several => {
            let text = format!(
                "{} have the same UUID {uuid}: one is a copy; detach it, or give it a UUID of its own",
                told(several)
            );
            return Err(Refusal::new(Code::Unsuitable, text));
        }
    };
    let name = &device.name;
    let unsuitable = |why: String| Refusal::new(Code::Unsuitable, format!("/dev/{name} {why}"));
    check_transport(root, device).map_err(unsuitable)?;
    check_free(devices, device).map_err(unsuitable)?;
    if let Some(holder) = taken::by(root, devices, device) {
        return Err(unsuitable(format!("is taken: {holder} has it")));
    }
    if device.read_only {
        let text = format!("/dev/{name} is read-only; open its write protection");
        return Err(Refusal::new(Code::ReadOnly, text));
    }
    let fstype = device.fstype.as_deref().unwrap_or("no file system");
    let fstype = fstype.parse().map_err(|_| {
        unsuitable(format!(
            "holds {fstype}; a target has one of {}",
            FileSystem::names()
        ))
    })?;
    Ok((device, fstype))
}

/// Whether a device is attached as root's configuration allows.
fn check_transport(root: Root<'_>, device: &BlockDevice) -> Result<(), String> {
    if !matches!(device.kind.as_str(), "disk" | "part" | "loop") {
        return Err(format!(
            "is of the kind `{}`; a target is a disk or a partition",
            device.kind
        ));
    }
    let transport = match (&device.transport, device.kind.as_str()) {
        (Some(transport), _) => transport,
        (None, "loop") => "loop",
        (None, _) => "nothing known",
    };
    let allowed = &root.config.usb.transports;
    if allowed.iter().any(|allowed| allowed == transport) {
        return Ok(());
    }
    Err(format!(
        "is attached by {transport}; `usb.transports` in /etc/felhom/hostd.toml allows {}",
        allowed.join(", ")
    ))
}

/// Whether nothing of the disk is mounted, and nothing is built on it.
fn check_free(devices: &[BlockDevice], device: &BlockDevice) -> Result<(), String> {
    let which = |other: &BlockDevice| {
        if other.name == device.name {
            return String::new();
        }
        format!("lies on the disk of /dev/{}, which ", other.name)
    };
    let same = || devices.iter().filter(|other| other.disk == device.disk);
    // A disk is also in use by the mounts of its partitions: these are told first, as they tell more.
    for other in same() {
        if let Some(mount) = other.mounts.first() {
            return Err(format!("{}is mounted at {mount}", which(other)));
        }
    }
    if let Some(other) = same().find(|other| other.in_use) {
        return Err(format!(
            "{}is in use by something built on it (LVM, RAID, a mapped device)",
            which(other)
        ));
    }
    Ok(())
}
