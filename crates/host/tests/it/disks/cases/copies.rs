//! Disks that are almost the right one.

use std::fs;
use std::io::Write;

use felhom_host::{Code, Standing, Written};

use super::{CANARY, SERIAL, adopted, is_mounted, sum};
use crate::disks::host::{Host, run};
use crate::world::refused;

pub(crate) fn another_disk_at_its_place_is_detached(host: &mut Host) {
    let disk = adopted(host);
    host.world.unmount("usb1").unwrap();
    host.detach(&disk);
    let mut other = host.disk("other");
    host.attach(&mut other, SERIAL, false);
    let before = sum(&other.image);
    refused(host.world.mount("usb1"), Code::Detached, &disk.uuid);
    assert_eq!(
        host.world.probe("usb1", true).unwrap().standing,
        Standing::Detached
    );
    refused(
        host.world.install("usb1", &other.uuid),
        Code::Exists,
        &disk.uuid,
    );
    assert_eq!(sum(&other.image), before);
    assert!(!is_mounted(host));
}

pub(crate) fn a_copy_from_before_the_last_probe_is_wrong(host: &mut Host) {
    let disk = adopted(host);
    host.world.unmount("usb1").unwrap();
    let mut copy = host.copy(&disk, "copy");
    host.world.mount("usb1").unwrap();
    host.world.probe("usb1", true).unwrap();
    host.world.unmount("usb1").unwrap();
    host.detach(&disk);
    // The same UUID, serial number and size: only the canary tells them apart.
    host.attach(&mut copy, SERIAL, false);
    let before = sum(&copy.image);
    let starts = host.systemctl().matches("start --").count();
    refused(host.world.mount("usb1"), Code::Wrong, "earlier time");
    let probed = host.world.probe("usb1", true).unwrap();
    assert_eq!(
        (probed.standing, probed.written),
        (Standing::Wrong, Written::Unasked)
    );
    assert_eq!(host.systemctl().matches("start --").count(), starts);
    assert_eq!(
        sum(&copy.image),
        before,
        "not a byte was written to the copy"
    );

    // Mounted by hand it is wrong still.
    let device = format!("/dev/{}", copy.name);
    run("mount", &[&device, host.point("").to_str().unwrap()]).unwrap();
    let probed = host.world.probe("usb1", true).unwrap();
    assert_eq!(
        (probed.standing, probed.written),
        (Standing::Wrong, Written::Unasked)
    );
    refused(host.world.mount("usb1"), Code::Wrong, "earlier time");
    run("umount", &[host.point("").to_str().unwrap()]).unwrap();

    host.detach(&copy);
    let mut disk = disk;
    host.attach(&mut disk, SERIAL, false);
    assert_eq!(
        host.world.mount("usb1").unwrap().standing,
        Standing::Mounted
    );
}

pub(crate) fn a_copy_of_a_disk_in_use_is_not_kept_mounted(host: &mut Host) {
    let mut disk = adopted(host);
    host.world.unmount("usb1").unwrap();
    host.world.mount("usb1").unwrap();
    // Copied while it is mounted, with a file open that was deleted.
    let mut nameless = fs::File::create(host.point("nameless")).unwrap();
    nameless.write_all(&vec![3; 100_000]).unwrap();
    fs::remove_file(host.point("nameless")).unwrap();
    nameless.sync_all().unwrap();
    let mut copy = host.copy(&disk, "copy");
    drop(nameless);
    host.world.probe("usb1", true).unwrap();
    host.world.unmount("usb1").unwrap();
    host.detach(&disk);
    host.attach(&mut copy, SERIAL, false);
    refused(host.world.mount("usb1"), Code::Wrong, "earlier time");
    assert!(!is_mounted(host));
    host.detach(&copy);
    host.attach(&mut disk, SERIAL, false);
    host.world.mount("usb1").unwrap();
    let probed = host.world.probe("usb1", true).unwrap();
    assert_eq!(probed.written, Written::ReadBack);
}

pub(crate) fn two_disks_with_one_uuid_are_wrong(host: &mut Host) {
    let disk = adopted(host);
    host.world.unmount("usb1").unwrap();
    let mut copy = host.copy(&disk, "copy");
    host.attach(&mut copy, SERIAL, false);
    refused(host.world.mount("usb1"), Code::Wrong, "have its UUID");
    refused(host.world.install("usb2", &disk.uuid), Code::Exists, "usb1");
    host.world.remove("usb1").unwrap();
    refused(
        host.world.install("usb2", &disk.uuid),
        Code::Unsuitable,
        "copy",
    );
    assert!(!host.world.path("etc/felhom/targets/usb2.toml").exists());
    host.detach(&copy);
    host.announce(&disk, SERIAL);
    assert_eq!(
        host.world.install("usb2", &disk.uuid).unwrap().standing,
        Standing::Present
    );
}

pub(crate) fn another_serial_number_is_wrong(host: &mut Host) {
    let mut disk = adopted(host);
    host.world.unmount("usb1").unwrap();
    host.detach(&disk);
    host.attach(&mut disk, "0TH3R", false);
    let before = sum(&disk.image);
    refused(host.world.mount("usb1"), Code::Wrong, "0TH3R");
    assert_eq!(
        host.world.probe("usb1", true).unwrap().standing,
        Standing::Wrong
    );
    assert_eq!(sum(&disk.image), before);
}

pub(crate) fn a_disk_without_its_canary_is_wrong(host: &mut Host) {
    let disk = adopted(host);
    host.world.unmount("usb1").unwrap();
    host.world.mount("usb1").unwrap();
    // Its canary is gone; all else is as it was.
    fs::remove_file(host.point(CANARY)).unwrap();
    let probed = host.world.probe("usb1", true).unwrap();
    assert_eq!(
        (probed.standing, probed.written),
        (Standing::Wrong, Written::Unasked)
    );
    assert!(!host.point(CANARY).exists());
    host.world.unmount("usb1").unwrap();
    let before = sum(&disk.image);
    refused(host.world.mount("usb1"), Code::Wrong, CANARY);
    assert_eq!(sum(&disk.image), before);

    // Taken away and taken anew it is a target again.
    host.world.remove("usb1").unwrap();
    host.world.install("usb1", &disk.uuid).unwrap();
    let mounted = host.world.mount("usb1").unwrap();
    assert_eq!(mounted.standing, Standing::Mounted);
}

pub(crate) fn another_mount_at_its_place_is_wrong(host: &mut Host) {
    adopted(host);
    host.world.unmount("usb1").unwrap();
    let point = host.point("");
    run("mount", &["-t", "tmpfs", "none", point.to_str().unwrap()]).unwrap();
    let probed = host.world.probe("usb1", true).unwrap();
    assert_eq!(
        (probed.standing, probed.written),
        (Standing::Wrong, Written::Unasked)
    );
    refused(host.world.mount("usb1"), Code::Wrong, "no disk");
    run("umount", &[point.to_str().unwrap()]).unwrap();
    // Another disk, mounted at its place by hand.
    let mut other = host.disk("other");
    host.attach(&mut other, "0TH3R", false);
    let device = format!("/dev/{}", other.name);
    run("mount", &[&device, point.to_str().unwrap()]).unwrap();
    let probed = host.world.probe("usb1", true).unwrap();
    assert_eq!(
        (probed.standing, probed.written),
        (Standing::Wrong, Written::Unasked)
    );
    refused(host.world.mount("usb1"), Code::Wrong, "another disk");
    assert!(
        fs::read_dir(&point)
            .unwrap()
            .flatten()
            .all(|entry| entry.file_name() == "lost+found")
    );
}
