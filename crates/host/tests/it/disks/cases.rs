//! What may happen to a disk.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use felhom_host::{Code, Operation, Report, Standing, Written};

use super::host::{Disk, Host, run};
use crate::world::refused;

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

pub(crate) fn a_disk_is_adopted_written_and_removed(host: &mut Host) {
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

    assert_eq!(
        host.world.probe("usb1", false).unwrap().written,
        Written::Unasked
    );
    assert!(!host.point(CANARY).exists());
    assert_eq!(
        host.world.probe("usb1", true).unwrap().written,
        Written::ReadBack
    );
    let first = fs::read_to_string(host.point(CANARY)).unwrap();
    assert_eq!(
        host.world.probe("usb1", true).unwrap().written,
        Written::ReadBack
    );
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
    assert!(
        !host
            .world
            .path("etc/systemd/system/mnt-felhom-usb1.mount")
            .exists()
    );
}

pub(crate) fn a_disk_that_vanishes_is_detached_and_comes_back(host: &mut Host) {
    let mut disk = adopted(host);
    // In the middle of a write: an open file, data that is not on the disk.
    let mut open = fs::File::create(host.point("archive")).unwrap();
    open.write_all(&[7; 1 << 20]).unwrap();
    host.pull(&mut disk);
    let error = open.write_all(&[8; 1 << 20]).and_then(|()| open.sync_all());
    assert!(error.is_err(), "the disk is gone, and takes data");

    let probed = host.world.probe("usb1", true).unwrap();
    assert_eq!(
        (probed.standing, probed.written),
        (Standing::Detached, Written::Unasked)
    );
    assert!(probed.reason.unwrap().contains("pulled out"));
    // It cannot be unmounted while the file is open, and who has it open is this process, which is the daemon here.
    refused(
        host.world.mount("usb1"),
        Code::Failed,
        "could not be unmounted",
    );
    drop(open);
    refused(host.world.mount("usb1"), Code::Detached, "no attached disk");
    assert!(!is_mounted(host), "the dead mount was ended");
    assert_eq!(
        host.world.probe("usb1", true).unwrap().standing,
        Standing::Detached
    );

    host.attach(&mut disk, SERIAL, false);
    let mounted = host.world.mount("usb1").unwrap();
    assert_eq!(mounted.standing, Standing::Mounted);
    assert_eq!(
        host.world.probe("usb1", true).unwrap().written,
        Written::ReadBack
    );

    // Pulled and put back before anybody looked: the mount is dead, and the same disk is there beside it.
    host.pull(&mut disk);
    host.attach(&mut disk, SERIAL, false);
    let probed = host.world.probe("usb1", true).unwrap();
    assert_eq!(
        (probed.standing, probed.written),
        (Standing::Detached, Written::Unasked)
    );
    assert!(probed.reason.unwrap().contains("mount it"));
    assert_eq!(
        host.world.mount("usb1").unwrap().standing,
        Standing::Mounted
    );
    assert_eq!(
        host.world.probe("usb1", true).unwrap().written,
        Written::ReadBack
    );
}

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
    nameless.write_all(&[3; 100_000]).unwrap();
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

pub(crate) fn a_first_canary_may_be_in_the_journal(host: &mut Host) {
    let mut disk = adopted(host);
    // Pulled out at once: without its journal the disk may have no canary yet.
    host.pull(&mut disk);
    host.world.unmount("usb1").unwrap();
    host.attach(&mut disk, SERIAL, false);
    let mounted = host.world.mount("usb1").unwrap();
    assert_eq!(mounted.standing, Standing::Mounted);
    // It is not let pass for that: with its journal it has to have one.
    fs::remove_file(host.point(CANARY)).unwrap();
    host.world.unmount("usb1").unwrap();
    refused(host.world.mount("usb1"), Code::Wrong, CANARY);
    assert!(!is_mounted(host));
}

pub(crate) fn a_look_writes_nothing(host: &mut Host) {
    let mut disk = adopted(host);
    // Pulled out in the middle of things, so that a journal is there to be replayed.
    for number in 0..50 {
        fs::write(host.point(&format!("file{number}")), vec![1; 10_000]).unwrap();
    }
    let root = fs::File::open(host.point("")).unwrap();
    rustix::fs::syncfs(&root).unwrap();
    drop(root);
    for number in 0..50 {
        fs::write(host.point(&format!("file{number}")), vec![2; 20_000]).unwrap();
        fs::File::open(host.point(&format!("file{number}")))
            .unwrap()
            .sync_all()
            .unwrap();
    }
    // And a file that has no name any more, which the next mount would clear away.
    let mut nameless = fs::File::create(host.point("nameless")).unwrap();
    nameless.write_all(&[3; 100_000]).unwrap();
    fs::remove_file(host.point("nameless")).unwrap();
    nameless.sync_all().unwrap();
    let root = fs::File::open(host.point("")).unwrap();
    rustix::fs::syncfs(&root).unwrap();
    drop(root);
    host.pull(&mut disk);
    drop(nameless);
    host.world.unmount("usb1").unwrap();
    host.attach(&mut disk, SERIAL, false);
    let before = sum(&disk.image);
    assert_eq!(
        host.world.probe("usb1", true).unwrap().standing,
        Standing::Present
    );
    assert_eq!(sum(&disk.image), before);
    assert_eq!(
        host.world.mount("usb1").unwrap().standing,
        Standing::Mounted
    );
    assert_eq!(fs::read(host.point("file49")).unwrap(), vec![2; 20_000]);
}

pub(crate) fn a_read_only_disk_says_so(host: &mut Host) {
    let mut disk = adopted(host);
    host.world.unmount("usb1").unwrap();
    host.detach(&disk);
    host.attach(&mut disk, SERIAL, true);
    let before = sum(&disk.image);
    assert_eq!(
        host.world.mount("usb1").unwrap().standing,
        Standing::Mounted
    );
    let probed = host.world.probe("usb1", true).unwrap();
    assert_eq!(
        (probed.standing, probed.written),
        (Standing::Mounted, Written::ReadOnly)
    );
    assert_eq!(sum(&disk.image), before);
    host.world.unmount("usb1").unwrap();
    host.world.remove("usb1").unwrap();
    refused(
        host.world.install("usb2", &disk.uuid),
        Code::ReadOnly,
        "write protection",
    );
}

pub(crate) fn a_full_disk_says_so(host: &mut Host) {
    adopted(host);
    let mut big = fs::File::create(host.point("big")).unwrap();
    while big.write_all(&[0x5a; 1 << 20]).is_ok() {}
    for length in [64 << 10, 4 << 10, 512] {
        while big.write_all(&vec![0x5a; length]).is_ok() {}
    }
    let _full = big.sync_all();
    drop(big);
    let probed = host.world.probe("usb1", true).unwrap();
    assert_eq!(
        (probed.standing, probed.written),
        (Standing::Mounted, Written::Full)
    );
    assert!(!host.point(".felhom-probe").exists());
    fs::remove_file(host.point("big")).unwrap();
    let root = fs::File::open(host.point("")).unwrap();
    rustix::fs::syncfs(&root).unwrap();
    drop(root);
    assert_eq!(
        host.world.probe("usb1", true).unwrap().written,
        Written::ReadBack
    );
    host.world.unmount("usb1").unwrap();
    assert_eq!(
        host.world.mount("usb1").unwrap().standing,
        Standing::Mounted
    );
}

pub(crate) fn nobody_writes_below_a_bare_mount_point(host: &mut Host) {
    adopted(host);
    fs::write(host.point("archive"), "on the disk").unwrap();
    host.world.unmount("usb1").unwrap();
    let free = || {
        let found = rustix::fs::statvfs(&host.world.path("mnt")).unwrap();
        found.f_bfree
    };
    let before = free();
    // This is root, for whom no mode counts: the immutable flag holds.
    for below in ["archive", "dump/vzdump-lxc-100.tar.zst", CANARY] {
        let path = host.point(below);
        fs::write(&path, vec![0; 1 << 20]).expect_err("a bare mount point takes data");
        fs::create_dir_all(path).expect_err("a bare mount point takes directories");
    }
    assert_eq!(free(), before);
    assert_eq!(fs::metadata(host.point("")).unwrap().mode() & 0o7777, 0o500);
    run("chattr", &["-i", host.point("").to_str().unwrap()]).unwrap();
    assert!(!host.world.probe("usb1", false).unwrap().fenced);
    assert!(host.world.mount("usb1").unwrap().fenced, "a mount mends it");
}

pub(crate) fn a_disk_that_is_held_stays_mounted(host: &mut Host) {
    adopted(host);
    // Another process, which is where it must not be.
    let point = host.point("");
    let script = format!("cd {} && echo here && exec sleep 1000", point.display());
    let mut holder = super::host::start(&script);
    let refusal = host.world.unmount("usb1");
    let pid = holder.pid();
    refused(refusal, Code::InUse, &format!("{pid} (sleep)"));
    assert!(is_mounted(host), "it is never unmounted lazily");
    assert_eq!(
        host.world.probe("usb1", true).unwrap().written,
        Written::ReadBack
    );
    holder.end();
    assert_eq!(
        host.world.unmount("usb1").unwrap().standing,
        Standing::Present
    );
}

pub(crate) fn links_on_the_disk_lead_nowhere(host: &mut Host) {
    let has_links = !matches!(host.fstype.as_str(), "exfat" | "vfat");
    if !has_links {
        let line = format!(
            "skipped: disks::{0}::links_on_the_disk_lead_nowhere: {0} knows no links",
            host.fstype
        );
        return super::host::tell(&line);
    }
    adopted(host);
    let victim = host.world.path("etc/shadow");
    fs::write(&victim, "secret").unwrap();
    for name in [".felhom-probe", ".felhom-target.new"] {
        symlink(&victim, host.point(name)).unwrap();
    }
    assert_eq!(
        host.world.probe("usb1", true).unwrap().written,
        Written::ReadBack
    );
    // A canary that is a link is none, though what it leads to were right.
    fs::rename(host.point(CANARY), host.world.path("etc/canary")).unwrap_err();
    fs::copy(host.point(CANARY), host.world.path("etc/canary")).unwrap();
    fs::remove_file(host.point(CANARY)).unwrap();
    symlink(host.world.path("etc/canary"), host.point(CANARY)).unwrap();
    assert_eq!(
        host.world.probe("usb1", true).unwrap().standing,
        Standing::Wrong
    );
    assert_eq!(fs::read_to_string(victim).unwrap(), "secret");
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
