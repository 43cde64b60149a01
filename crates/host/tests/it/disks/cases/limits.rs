//! Disks that take nothing, mount points that must not, and who holds a disk.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, symlink};

use felhom_host::{Code, Standing, Written};

use super::{CANARY, SERIAL, adopted, is_mounted, sum};
use crate::disks::host::{Host, run, start, tell};
use crate::world::refused;

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
    for length in [1 << 20, 64 << 10, 4 << 10, 512] {
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
        let found = rustix::fs::statvfs(host.world.path("mnt")).unwrap();
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
    let mut holder = start(&script);
    let file = host.point(CANARY);
    let script = format!("exec 3< {} && echo here && exec sleep 1000", file.display());
    let mut other = start(&script);
    let refusal = host.world.unmount("usb1");
    refused(
        refusal.clone(),
        Code::InUse,
        &format!("{} (sleep)", holder.pid()),
    );
    refused(refusal, Code::InUse, &format!("{} (sleep)", other.pid()));
    holder.end();
    let refusal = host.world.unmount("usb1");
    refused(
        refusal,
        Code::InUse,
        &format!("held by {} (sleep);", other.pid()),
    );
    assert!(is_mounted(host), "it is never unmounted lazily");
    let probed = host.world.probe("usb1", true).unwrap();
    assert_eq!(probed.written, Written::ReadBack);
    other.end();
    let unmounted = host.world.unmount("usb1").unwrap();
    assert_eq!(unmounted.standing, Standing::Present);
}

pub(crate) fn a_disk_that_a_process_has_open_is_left_alone(host: &mut Host) {
    let mut disk = host.disk("usb1");
    host.attach(&mut disk, SERIAL, false);
    // As a virtual machine has the disk open that was passed to it: no mount, and nothing that the kernel built.
    let script = format!(
        "exec 3<> /dev/{} && echo here && exec sleep 1000",
        disk.name
    );
    let mut machine = start(&script);
    let told = format!("process {} (sleep)", machine.pid());
    let before = sum(&disk.image);
    refused(
        host.world.install("usb1", &disk.uuid),
        Code::Unsuitable,
        &told,
    );
    machine.end();
    host.world.install("usb1", &disk.uuid).unwrap();
    // Started after the disk was taken.
    let mut machine = start(&script);
    let told = format!("process {} (sleep)", machine.pid());
    refused(host.world.mount("usb1"), Code::InUse, &told);
    assert!(!is_mounted(host));
    assert_eq!(sum(&disk.image), before);
    machine.end();
    host.world.mount("usb1").unwrap();
    assert!(is_mounted(host));
}

pub(crate) fn a_mount_in_another_namespace_is_told(host: &mut Host) {
    adopted(host);
    let script = "exec unshare --mount --propagation private sh -c 'echo here; exec sleep 1000'";
    let mut holder = start(script);
    let unmounted = host.world.unmount("usb1").unwrap();
    assert!(!is_mounted(host));
    let reason = unmounted.reason.unwrap();
    let pid = holder.pid();
    assert!(reason.contains(&format!("{pid} (sleep)")), "{reason}");
    holder.end();
}

pub(crate) fn links_on_the_disk_lead_nowhere(host: &mut Host) {
    let has_links = !matches!(host.fstype.as_str(), "exfat" | "vfat");
    if !has_links {
        let line = format!(
            "skipped: disks::{0}::links_on_the_disk_lead_nowhere: {0} knows no links",
            host.fstype
        );
        return tell(&line);
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
