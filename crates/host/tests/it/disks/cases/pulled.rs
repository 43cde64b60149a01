//! Disks that are pulled out, and what their journals hold then.

use std::fs;
use std::io::Write;

use felhom_host::{Code, Standing, Written};

use super::{CANARY, SERIAL, adopted, is_mounted, sum};
use crate::disks::host::Host;
use crate::world::refused;

pub(crate) fn a_disk_that_vanishes_is_detached_and_comes_back(host: &mut Host) {
    let mut disk = adopted(host);
    // In the middle of a write: an open file, data that is not on the disk.
    let mut open = fs::File::create(host.point("archive")).unwrap();
    open.write_all(&vec![7; 1 << 20]).unwrap();
    host.pull(&mut disk);
    let error = open
        .write_all(&vec![8; 1 << 20])
        .and_then(|()| open.sync_all());
    assert!(error.is_err(), "the disk is gone, and takes data");

    let probed = host.world.probe("usb1", true).unwrap();
    assert_eq!(
        (probed.standing, probed.written),
        (Standing::Detached, Written::Unasked)
    );
    assert!(probed.reason.unwrap().contains("pulled out"));
    // It cannot be unmounted while the file is open. Who has it open is this process, which is the daemon here, and perhaps a
    // child of it that another test is just starting.
    let refusal = host.world.mount("usb1").unwrap_err();
    assert!(
        matches!(refusal.code, Code::Failed | Code::InUse),
        "{refusal:?}"
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
    nameless.write_all(&vec![3; 100_000]).unwrap();
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
