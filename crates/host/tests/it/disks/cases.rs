//! What may happen to a disk.

mod copies;
mod limits;
mod pulled;

use std::fs;
use std::path::Path;

use felhom_host::{Code, Operation, Report, Standing, Written};

use super::host::{Disk, Host, run};
use crate::world::refused;

pub(crate) use copies::*;
pub(crate) use limits::*;
pub(crate) use pulled::*;

const SERIAL: &str = "S3R1AL";
const CANARY: &str = ".felhom-target";

/// A disk that was adopted, mounted and written to once.
fn adopted(host: &mut Host) -> Disk {
    let mut disk = host.disk("usb1");
    host.attach(&mut disk, SERIAL, false);
    host.world.install("usb1", &disk.uuid).unwrap();
    host.world.mount("usb1").unwrap();
    let probed = host.world.probe("usb1", true).unwrap();
    assert_eq!(probed.written, Written::ReadBack);
    disk
}

/// The bytes of a disk, in short.
fn sum(image: &Path) -> String {
    run("sha256sum", &[image.to_str().unwrap()]).unwrap()
}

fn is_mounted(host: &Host) -> bool {
    let table = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    let point = host.world.path("mnt/felhom/usb1").display().to_string();
    table
        .lines()
        .any(|line| line.split(' ').nth(4) == Some(&point))
}

pub(crate) fn a_disk_is_adopted_and_mounted(host: &mut Host) {
    let mut disk = host.disk("usb1");
    refused(
        host.world.install("usb1", &disk.uuid),
        Code::Detached,
        "no attached disk",
    );
    host.attach(&mut disk, SERIAL, false);
    let listed = match host.world.ask(Operation::ListBlockDevices {}).unwrap() {
        Report::BlockDevices { devices } => devices,
        other => panic!("{other:?}"),
    };
    let device = listed
        .iter()
        .find(|device| device.name == disk.name)
        .unwrap();
    assert_eq!(device.uuid.as_deref(), Some(disk.uuid.as_str()));
    assert_eq!(device.fstype.as_deref(), Some(host.fstype.as_str()));
    assert_eq!(
        (device.serial.as_deref(), device.in_use),
        (Some(SERIAL), false)
    );

    let installed = host.world.install("usb1", &disk.uuid).unwrap();
    assert_eq!(installed.standing, Standing::Present);
    assert!(installed.fenced, "{installed:?}");
    assert_eq!(installed.mount_point, "/mnt/felhom/usb1");
    assert_eq!(installed.space, None);
    assert!(!is_mounted(host));

    let mounted = host.world.mount("usb1").unwrap();
    assert_eq!(
        (mounted.standing, &mounted.reason),
        (Standing::Mounted, &None)
    );
    assert!(
        mounted.fenced,
        "the bare mount point is seen under the mount"
    );
    let (size, free) = mounted.space.unwrap();
    assert!(size > 0 && free > 0 && free <= size);
    assert!(is_mounted(host));
    // Again is fine, and nothing is started again.
    assert_eq!(
        host.world.mount("usb1").unwrap().standing,
        Standing::Mounted
    );
    assert_eq!(host.systemctl().matches("start --").count(), 1);
}

pub(crate) fn a_disk_is_written_to_and_taken_away(host: &mut Host) {
    let mut disk = host.disk("usb1");
    host.attach(&mut disk, SERIAL, false);
    host.world.install("usb1", &disk.uuid).unwrap();
    host.world.mount("usb1").unwrap();
    let write = || host.world.probe("usb1", true).unwrap().written;
    let probed = host.world.probe("usb1", false).unwrap();
    assert_eq!(probed.written, Written::Unasked);
    assert!(!host.point(CANARY).exists());
    assert_eq!(write(), Written::ReadBack);
    let first = fs::read_to_string(host.point(CANARY)).unwrap();
    assert_eq!(write(), Written::ReadBack);
    let second = fs::read_to_string(host.point(CANARY)).unwrap();
    assert_ne!(first, second, "the canary's number is drawn anew");
    assert!(!host.point(".felhom-probe").exists());
    fs::write(host.point("archive"), "kept").unwrap();

    refused(host.world.remove("usb1"), Code::InUse, "unmount it first");
    let unmounted = host.world.unmount("usb1").unwrap();
    assert_eq!(
        (unmounted.standing, &unmounted.reason),
        (Standing::Present, &None)
    );
    assert_eq!(
        host.world.unmount("usb1").unwrap().standing,
        Standing::Present
    );
    assert!(!is_mounted(host));
    assert_eq!(
        host.world.mount("usb1").unwrap().standing,
        Standing::Mounted
    );
    assert_eq!(fs::read_to_string(host.point("archive")).unwrap(), "kept");
    host.world.unmount("usb1").unwrap();

    host.world.remove("usb1").unwrap();
    host.world.remove("usb1").unwrap();
    assert!(!host.world.path("mnt/felhom/usb1").exists());
    assert!(!host.world.path("etc/felhom/targets/usb1.toml").exists());
    let unit = "etc/systemd/system/mnt-felhom-usb1.mount";
    assert!(!host.world.path(unit).exists());
}
