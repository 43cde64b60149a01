//! A rootfs that the cut-off task left mounted; with the kernel's own mounts, as root.

use std::path::PathBuf;

use felhom_host::{Code, Report};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::{cut_off, operation, restore};
use crate::disks::host::tell;
use crate::guests::world::World;

/// Mounts of a test, which do not outlive it.
struct Mounts(Vec<PathBuf>);

impl Drop for Mounts {
    fn drop(&mut self) {
        for path in self.0.iter().rev() {
            let _gone = unmount(path, UnmountFlags::DETACH);
        }
    }
}

/// A world whose guest has a rootfs with another file system in it, and beside it a guest that is not meant.
fn mounted(test: &str) -> Option<(World, Mounts)> {
    let world = cut_off();
    std::fs::remove_dir_all(world.path("/proc/self")).unwrap();
    std::os::unix::fs::symlink("/proc/self", world.path("/proc/self")).unwrap();
    std::fs::remove_dir_all(world.path("/proc/1")).unwrap();
    std::os::unix::fs::symlink("/proc/1", world.path("/proc/1")).unwrap();
    let mut mounts = Mounts(Vec::new());
    for place in ["9100/rootfs", "9100/rootfs/mnt/a b", "9101/rootfs"] {
        let place = world.path(&format!("/var/lib/lxc/{place}"));
        std::fs::create_dir_all(&place).unwrap();
        if let Err(error) = mount("none", &place, "tmpfs", MountFlags::NODEV, None) {
            tell(&format!(
                "skipped: {test}: a tmpfs cannot be mounted here ({error}); it needs root"
            ));
            return None;
        }
        mounts.0.push(place);
    }
    Some((world, mounts))
}

fn is_mounted(world: &World, place: &str) -> bool {
    let list = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let path = world.path(place).to_str().unwrap().replace(' ', "\\040");
    list.lines()
        .any(|line| line.split(' ').nth(4) == Some(&*path))
}

#[test]
fn what_is_still_mounted_is_unmounted_the_deepest_first() {
    let Some((world, _mounts)) = mounted("what_is_still_mounted_is_unmounted_the_deepest_first")
    else {
        return;
    };
    let told = world.ask(&operation(9100, &restore()));
    let place = |path: &str| world.path(path).to_str().unwrap().to_owned();
    let unmounted = [
        place("/var/lib/lxc/9100/rootfs/mnt/a b"),
        place("/var/lib/lxc/9100/rootfs"),
    ];
    let expected = Report::Released {
        vmid: "9100".parse().unwrap(),
        lock: Some("create".to_owned()),
        unmounted: unmounted.to_vec(),
    };
    assert_eq!(told, Ok(expected));
    assert!(!is_mounted(&world, "/var/lib/lxc/9100/rootfs"));
    assert!(is_mounted(&world, "/var/lib/lxc/9101/rootfs"));
}

#[test]
fn what_somebody_holds_stays_mounted_and_locked() {
    let Some((world, _mounts)) = mounted("what_somebody_holds_stays_mounted_and_locked") else {
        return;
    };
    let held = std::fs::File::create(world.path("/var/lib/lxc/9100/rootfs/mnt/a b/held")).unwrap();
    let refusal = world.ask(&operation(9100, &restore())).unwrap_err();
    assert_eq!(refusal.code, Code::InUse, "{refusal}");
    assert!(refusal.text.contains("fuser -vm"), "{refusal}");
    assert!(is_mounted(&world, "/var/lib/lxc/9100/rootfs"));
    assert!(world.calls().is_empty());
    drop(held);
    assert!(world.ask(&operation(9100, &restore())).is_ok());
    assert!(!is_mounted(&world, "/var/lib/lxc/9100/rootfs"));
}
