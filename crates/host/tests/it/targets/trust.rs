//! What is not trusted: links, what others may write, what others wrote.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use felhom_host::{Code, Operation};

use super::{POINT, RECORD, UNIT, UUID, adopted, with};
use crate::world::{World, refused};

#[test]
fn links_in_the_way_are_not_followed() {
    let outside = tempfile::tempdir().unwrap();
    let empty = || fs::read_dir(outside.path()).unwrap().next().is_none();
    for place in [
        POINT,
        "mnt/felhom",
        "mnt",
        "etc/felhom/targets",
        "etc/systemd/system",
    ] {
        let world = with(|_| {});
        let path = world.path(place);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let _none = fs::remove_dir(&path);
        symlink(outside.path(), &path).unwrap();
        world.install("usb1", UUID).expect_err(place);
        assert!(empty(), "{place}");
    }
    // A unit that is masked, or a link to another.
    for to in ["/dev/null", "/etc/passwd"] {
        let world = with(|_| {});
        symlink(to, world.path(UNIT)).unwrap();
        refused(
            world.install("usb1", UUID),
            Code::Exists,
            "not felhom-hostd's",
        );
    }
    // A record that is a link, and links where temporary files are written.
    let world = adopted();
    let (record, text) = (world.path(RECORD), world.read(RECORD));
    fs::rename(&record, world.path("etc/felhom/moved")).unwrap();
    symlink(world.path("etc/felhom/moved"), &record).unwrap();
    refused(world.probe("usb1", false), Code::NotConfigured, "usb1.toml");
    fs::remove_file(&record).unwrap();
    let victim = outside.path().join("victim");
    fs::write(&victim, "untouched").unwrap();
    for new in [RECORD, UNIT] {
        symlink(&victim, world.path(&format!("{new}.new"))).unwrap();
    }
    fs::remove_file(world.path(UNIT)).unwrap();
    world.install("usb1", UUID).unwrap();
    assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
    assert_ne!(
        world.read(RECORD),
        text,
        "it is a new target, with an id of its own"
    );
}

#[test]
fn what_others_may_write_is_not_trusted() {
    let open = |world: &World, path: &str, mode| {
        fs::set_permissions(world.path(path), fs::Permissions::from_mode(mode)).unwrap();
    };
    for dir in ["mnt", "etc/systemd/system"] {
        let world = with(|_| {});
        open(&world, dir, 0o777);
        refused(
            world.install("usb1", UUID),
            Code::Failed,
            "others than root",
        );
    }
    let world = adopted();
    open(&world, RECORD, 0o666);
    refused(world.probe("usb1", true), Code::NotConfigured, "others");
    open(&world, RECORD, 0o600);
    open(&world, "etc/felhom/targets", 0o777);
    refused(world.mount("usb1"), Code::NotConfigured, "others");
}

#[test]
fn a_record_or_a_unit_of_others_is_refused() {
    let world = adopted();
    let record = world.read(RECORD);
    for odd in [
        "",
        "half = ",
        &record.replace("name = \"usb1\"", "name = \"usb2\""),
        &record.replace(UUID, "../../sda"),
        &format!("{record}\nunknown = 1\n"),
    ] {
        world.write(RECORD, odd);
        refused(world.mount("usb1"), Code::NotConfigured, "cannot be used");
    }
    world.write(RECORD, &record);
    world.write(UNIT, "# An admin's own\n[Mount]\n");
    refused(
        world.install("usb1", UUID),
        Code::Exists,
        "not felhom-hostd's",
    );
    refused(world.mount("usb1"), Code::Exists, "not felhom-hostd's");
    refused(world.remove("usb1"), Code::Exists, "not felhom-hostd's");
    assert_eq!(world.read(UNIT), "# An admin's own\n[Mount]\n");
}

#[test]
fn a_list_that_does_not_come_is_a_failure() {
    let world = with(|_| {});
    world.write("run/lsblk.json", "lsblk: it did not work");
    refused(
        world.ask(Operation::ListBlockDevices {}),
        Code::Failed,
        "lsblk printed",
    );
    world.program("lsblk", "echo no such thing >&2; exit 32");
    refused(
        world.ask(Operation::ListBlockDevices {}),
        Code::Failed,
        "no such thing",
    );
    refused(world.install("usb1", UUID), Code::Failed, "no such thing");
    assert!(!world.path(RECORD).exists());
}
