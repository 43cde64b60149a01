//! Targets without a disk: what is written to the host for one, what is refused, and what half of it is mended. `lsblk` and
//! `systemctl` are scripts.

mod trust;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use felhom_host::Code::{self, Detached, ReadOnly, Unsuitable};
use felhom_host::{Report, Standing};
use serde_json::{Value, json};

use crate::disks::host::{run, tell};
use crate::world::{World, refused};

const UUID: &str = "0b7a9a0e-7a35-4f2c-8d0b-2c6f9c1e0a11";
const OTHER: &str = "11111111-7a35-4f2c-8d0b-2c6f9c1e0a11";
const UNIT: &str = "etc/systemd/system/mnt-felhom-usb1.mount";
const RECORD: &str = "etc/felhom/targets/usb1.toml";
const POINT: &str = "mnt/felhom/usb1";

/// A USB disk with one partition.
fn disk(name: &str, uuid: &str) -> Value {
    json!({
        "name": name, "type": "disk", "size": 4_000_787_030_016_u64, "serial": format!("SN-{name}"),
        "model": "Elements", "tran": "usb", "hotplug": true, "ro": false, "mountpoints": [null],
        "children": [{
            "name": format!("{name}1"), "type": "part", "size": 4_000_785_964_544_u64,
            "fstype": "ext4", "uuid": uuid, "ro": false, "mountpoints": [null]
        }]
    })
}

fn attach(world: &World, disks: &[Value]) {
    world.write(
        "run/lsblk.json",
        &json!({ "blockdevices": disks }).to_string(),
    );
}

/// A host with one disk, of which one thing is otherwise.
fn with(change: impl FnOnce(&mut Value)) -> World {
    let world = World::new();
    let mut disk = disk("sdb", UUID);
    change(&mut disk);
    attach(&world, &[disk]);
    world
}

fn adopted() -> World {
    let world = with(|_| {});
    world.install("usb1", UUID).unwrap();
    world
}

fn mode(world: &World, path: &str) -> u32 {
    fs::metadata(world.path(path)).unwrap().mode() & 0o7777
}

#[test]
fn a_target_is_a_record_a_mount_point_and_a_unit() {
    let world = with(|_| {});
    let target = world.install("usb1", UUID).unwrap();
    assert_eq!(target.standing, Standing::Present);
    assert_eq!(target.serial.as_deref(), Some("SN-sdb"));
    assert_eq!(target.unit, "mnt-felhom-usb1.mount");
    assert_eq!(
        world.read(UNIT),
        "# Written by felhom-hostd for the target usb1; it is written anew when the target is mounted.\n\
         # It is not enabled, and must not be: felhom-hostd starts it after it has looked whether this is the right disk.\n\
         # To remove it by hand: systemctl stop mnt-felhom-usb1.mount; rm /etc/systemd/system/mnt-felhom-usb1.mount; systemctl daemon-reload;\n\
         # chattr -i /mnt/felhom/usb1; rmdir /mnt/felhom/usb1; rm /etc/felhom/targets/usb1.toml\n\
         [Unit]\nDescription=Backup target usb1\nStartLimitIntervalSec=0\n\n\
         [Mount]\nWhat=/dev/disk/by-uuid/0b7a9a0e-7a35-4f2c-8d0b-2c6f9c1e0a11\nWhere=/mnt/felhom/usb1\nType=ext4\n\
         Options=nofail,nodev,nosuid,noexec,noatime,errors=remount-ro\nTimeoutSec=45\n"
    );
    assert_eq!(mode(&world, RECORD), 0o600);
    let record = world.read(RECORD);
    for line in [
        "name = \"usb1\"",
        "fstype = \"ext4\"",
        "serial = \"SN-sdb\"",
        "model = \"Elements\"",
        "size = 4000785964544",
    ] {
        assert!(record.contains(line), "{record}");
    }
    assert_eq!(mode(&world, POINT), 0o500);
    assert_eq!(world.read("run/systemctl.log"), "daemon-reload\n");
    let left: Vec<_> = fs::read_dir(world.path("etc/felhom/targets"))
        .unwrap()
        .collect();
    assert_eq!(left.len(), 1, "nothing else is left: {left:?}");
}

#[test]
fn systemd_takes_the_unit() {
    let name = "systemd_takes_the_unit";
    let world = adopted();
    let path = world.path(UNIT).display().to_string();
    let escaped = run(
        "systemd-escape",
        &["--path", "--suffix=mount", "/mnt/felhom/usb1"],
    );
    match escaped {
        Ok(escaped) => assert_eq!(escaped, "mnt-felhom-usb1.mount"),
        Err(why) => return tell(&format!("skipped: {name}: {why}")),
    }
    if !Path::new("/usr/bin/systemd-analyze").exists() {
        return tell(&format!("skipped: {name}: there is no systemd-analyze"));
    }
    run("systemd-analyze", &["verify", "--man=no", &path]).unwrap();
    // It would tell of a unit that is wrong.
    let odd = world
        .read(UNIT)
        .replace("Where=/mnt/felhom/usb1", "Where=/elsewhere");
    world.write(UNIT, &odd);
    run("systemd-analyze", &["verify", "--man=no", &path]).unwrap_err();
}

#[test]
fn asked_again_it_is_the_same_and_for_another_disk_refused() {
    let world = adopted();
    let before = world.read(RECORD);
    world.install("usb1", UUID).unwrap();
    world.install("usb1", &UUID.to_uppercase()).unwrap();
    assert_eq!(world.read(RECORD), before);
    attach(&world, &[disk("sdb", UUID), disk("sdc", OTHER)]);
    refused(world.install("usb1", OTHER), Code::Exists, UUID);
    refused(world.install("usb2", UUID), Code::Exists, "usb1");
    assert_eq!(world.read(RECORD), before);
    // With the disk away it is there all the same.
    attach(&world, &[]);
    assert_eq!(
        world.install("usb1", UUID).unwrap().standing,
        Standing::Detached
    );
}

#[test]
fn what_a_crash_left_undone_is_done_when_it_is_asked_again() {
    let world = adopted();
    let (record, unit) = (world.read(RECORD), world.read(UNIT));
    let point = || fs::File::open(world.path(POINT)).unwrap();
    let open = || {
        let _cannot = rustix::fs::ioctl_setflags(point(), rustix::fs::IFlags::empty());
    };
    for step in 0..4 {
        match step {
            // After the record.
            0 => {
                open();
                fs::remove_dir(world.path(POINT)).unwrap();
                fs::remove_file(world.path(UNIT)).unwrap();
            }
            // After the mount point was made, and before it was closed.
            1 => {
                open();
                fs::set_permissions(world.path(POINT), fs::Permissions::from_mode(0o755)).unwrap();
                fs::remove_file(world.path(UNIT)).unwrap();
            }
            // In the middle of writing the unit.
            2 => {
                fs::rename(world.path(UNIT), world.path(&format!("{UNIT}.new"))).unwrap();
            }
            // In the middle of writing a record.
            _ => world.write(&format!("{RECORD}.new"), "half"),
        }
        fs::write(world.path("run/systemctl.log"), "").unwrap();
        world.install("usb1", UUID).unwrap();
        assert_eq!(
            (world.read(RECORD), world.read(UNIT)),
            (record.clone(), unit.clone())
        );
        assert_eq!(mode(&world, POINT), 0o500);
        assert_eq!(world.read("run/systemctl.log"), "daemon-reload\n", "{step}");
        assert_eq!(
            world.probe("usb1", false).unwrap().standing,
            Standing::Present
        );
    }
    // systemd was not told.
    fs::write(world.path("run/broken"), "").unwrap();
    refused(world.install("usb1", UUID), Code::Failed, "systemctl");
    fs::remove_file(world.path("run/broken")).unwrap();
    world.install("usb1", UUID).unwrap();
}

#[test]
fn a_removal_goes_on_where_it_was_cut_off() {
    let world = adopted();
    fs::write(world.path("run/broken"), "").unwrap();
    refused(world.remove("usb1"), Code::Failed, "systemctl");
    assert!(!world.path(UNIT).exists() && world.path(RECORD).exists());
    fs::remove_file(world.path("run/broken")).unwrap();
    world.remove("usb1").unwrap();
    assert!(!world.path(POINT).exists() && !world.path(RECORD).exists());
    assert!(matches!(
        world.remove("usb1").unwrap(),
        Report::Removed { .. }
    ));
    refused(world.probe("usb1", false), Code::NotFound, "no target usb1");
    refused(world.mount("usb1"), Code::NotFound, "no target usb1");
    refused(world.unmount("usb1"), Code::NotFound, "no target usb1");
    // What somebody put there without a target stays.
    fs::create_dir(world.path(POINT)).unwrap();
    world.write(UNIT, "# Somebody's\n");
    world.remove("usb1").unwrap();
    assert!(world.path(POINT).exists() && world.path(UNIT).exists());
}

#[test]
fn what_is_in_the_mount_point_is_not_lost() {
    let world = with(|_| {});
    fs::create_dir_all(world.path(POINT)).unwrap();
    fs::write(world.path(POINT).join("photos"), "precious").unwrap();
    refused(world.install("usb1", UUID), Code::Exists, "not empty");
    refused(world.remove("usb1"), Code::Exists, "not empty");
    assert_eq!(world.read("mnt/felhom/usb1/photos"), "precious");
}

/// A disk that is otherwise in one thing is refused, and nothing is left of the attempt.
#[track_caller]
fn refuse(change: fn(&mut Value), code: Code, part: &str) {
    let world = with(change);
    refused(world.install("usb1", UUID), code, part);
    assert!(!world.path(RECORD).exists() && !world.path(UNIT).exists());
    assert!(!world.path(POINT).exists());
}

#[test]
fn a_disk_that_a_guest_is_to_have_is_left_alone() {
    for (file, line, guest) in [
        (
            "qemu-server/101.conf",
            "scsi1: /dev/disk/by-id/usb-Elements,size=4T",
            "guest 101",
        ),
        ("lxc/102.conf", "mp0: /dev/sdb1,mp=/data", "guest 102"),
    ] {
        let world = with(|_| {});
        for folder in [
            "dev/disk/by-id",
            "etc/pve/local/qemu-server",
            "etc/pve/local/lxc",
        ] {
            fs::create_dir_all(world.path(folder)).unwrap();
        }
        world.write("dev/sdb", "");
        symlink("../../sdb", world.path("dev/disk/by-id/usb-Elements")).unwrap();
        let file = format!("etc/pve/local/{file}");
        let config = format!("memory: 512\n{line}\nnet0: /dev/null\n");
        world.write(&file, &config);
        refused(world.install("usb1", UUID), Unsuitable, guest);
        assert!(!world.path(RECORD).exists());
        fs::remove_file(world.path(&file)).unwrap();
        world.install("usb1", UUID).unwrap();
        world.write(&file, &config);
        refused(world.mount("usb1"), Code::InUse, guest);
        world.write(&file, "memory: 512\nscsi1: /dev/sdc,size=4T\n");
        // Another disk's guest is none of it: the mount goes on, to a systemd that only notes it.
        refused(world.mount("usb1"), Code::Failed, "nothing is mounted");
    }
}

#[test]
fn a_disk_that_cannot_be_a_target_is_refused() {
    refuse(|disk| disk["tran"] = json!("sata"), Unsuitable, "by sata");
    refuse(
        |disk| disk["tran"] = json!(null),
        Unsuitable,
        "nothing known",
    );
    refuse(|disk| disk["ro"] = json!(true), ReadOnly, "read-only");
    refuse(
        |disk| disk["children"][0]["ro"] = json!("1"),
        ReadOnly,
        "read-only",
    );
    refuse(
        |disk| disk["children"][0]["uuid"] = json!(OTHER),
        Detached,
        "no attached",
    );
    refuse(
        |disk| disk["children"][0]["size"] = json!(0),
        Detached,
        "no attached",
    );
    refuse(
        |disk| disk["children"][0]["fstype"] = json!("ntfs"),
        Unsuitable,
        "ext4, ext3, xfs",
    );
    refuse(
        |disk| disk["children"][0]["fstype"] = json!(null),
        Unsuitable,
        "no file system",
    );
    refuse(
        |disk| disk["children"][0]["type"] = json!("crypt"),
        Unsuitable,
        "crypt",
    );
    refuse(
        |disk| disk["children"][0]["mountpoints"] = json!(["/media/x"]),
        Unsuitable,
        "/media/x",
    );
}

#[test]
fn a_disk_of_which_another_part_is_the_hosts_is_refused() {
    refuse(
        |disk| {
            let mut root = disk["children"][0].clone();
            (root["name"], root["uuid"]) = (json!("sdb2"), json!(OTHER));
            root["mountpoints"] = json!(["/"]);
            disk["children"].as_array_mut().unwrap().push(root);
        },
        Unsuitable,
        "/dev/sdb2, which is mounted at /",
    );
    refuse(
        |disk| {
            let swap =
                json!({"name": "vg-swap", "type": "lvm", "size": 1, "mountpoints": ["[SWAP]"]});
            let part = json!({"name": "sdb2", "type": "part", "size": 1, "fstype": "LVM2_member", "children": [swap]});
            disk["children"].as_array_mut().unwrap().push(part);
        },
        Unsuitable,
        "in use",
    );
    refuse(
        |disk| {
            let mapped = json!({"name": "mpatha", "type": "mpath", "size": 1});
            disk["children"][0]["children"] = json!([mapped]);
        },
        Unsuitable,
        "in use",
    );
}

#[test]
fn what_the_kernel_built_on_a_disk_counts() {
    let world = with(|_| {});
    fs::create_dir_all(world.path("sys/class/block/sdb1/holders/dm-0")).unwrap();
    refused(world.install("usb1", UUID), Unsuitable, "in use");
}

#[test]
fn two_disks_with_one_uuid_are_told_apart_by_nobody() {
    let world = with(|_| {});
    attach(
        &world,
        &[disk("sdb", UUID), disk("sdc", &UUID.to_uppercase())],
    );
    refused(
        world.install("usb1", UUID),
        Unsuitable,
        "/dev/sdb1, /dev/sdc1",
    );
    let world = adopted();
    attach(&world, &[disk("sdb", UUID), disk("sdc", UUID)]);
    refused(world.mount("usb1"), Code::Wrong, "/dev/sdb1, /dev/sdc1");
    assert_eq!(world.probe("usb1", true).unwrap().standing, Standing::Wrong);
    assert_eq!(world.read("run/systemctl.log").matches("start").count(), 0);
}

#[test]
fn a_disk_that_differs_in_anything_is_wrong() {
    let changes: [fn(&mut Value); 4] = [
        |disk| disk["serial"] = json!("another"),
        |disk| disk["serial"] = json!(null),
        |disk| disk["children"][0]["size"] = json!(1_000_000_u64),
        |disk| disk["children"][0]["fstype"] = json!("xfs"),
    ];
    for change in changes {
        let world = adopted();
        let mut other = disk("sdb", UUID);
        change(&mut other);
        attach(&world, &[other]);
        refused(world.mount("usb1"), Code::Wrong, "has its UUID and");
        assert_eq!(world.probe("usb1", true).unwrap().standing, Standing::Wrong);
        attach(&world, &[]);
        refused(world.mount("usb1"), Detached, UUID);
        assert_eq!(world.unmount("usb1").unwrap().standing, Standing::Detached);
        assert_eq!(world.read("run/systemctl.log").matches("start").count(), 0);
    }
}

#[test]
fn a_start_that_mounts_nothing_is_a_failure() {
    let world = adopted();
    refused(world.mount("usb1"), Code::Failed, "nothing is mounted");
    assert!(
        world
            .read("run/systemctl.log")
            .contains("start -- mnt-felhom-usb1.mount\n")
    );
    let mut other = disk("sdb", UUID);
    other["children"][0]["mountpoints"] = json!(["/media/usb"]);
    attach(&world, &[other]);
    refused(world.mount("usb1"), Code::InUse, "/media/usb");
}
