//! The block devices of the simulated host: the system's disk, the disk of the thin pool, and whatever is plugged in.

use felhom_host::BlockDevice;

use super::disks::{Removable, mount_point};
use crate::world::World;

/// The file system of the system's disk.
pub(super) const SYSTEM_UUID: &str = "5a4f1c0e-8f5d-4f0a-9d7b-3c1f0b6a7e21";

fn device(name: &str, disk: &str, kind: &str, size: u64) -> BlockDevice {
    BlockDevice {
        name: name.to_owned(),
        disk: disk.to_owned(),
        kind: kind.to_owned(),
        size,
        fstype: None,
        label: None,
        uuid: None,
        serial: None,
        model: None,
        transport: None,
        removable: false,
        read_only: false,
        mounts: Vec::new(),
        in_use: false,
    }
}

/// The letters of the disk that was plugged in as this one of all: `sdb`, `sdc`, …
pub(super) fn name(place: usize) -> String {
    let letter = u8::try_from(place)
        .ok()
        .and_then(|place| b'b'.checked_add(place))
        .filter(u8::is_ascii_lowercase)
        .map_or('z', char::from);
    format!("sd{letter}")
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn plugged(disks: &Removable) -> impl Iterator<Item = BlockDevice> {
    disks.attached().enumerate().map(|(place, (id, disk))| {
        let name = name(place);
        let mounted = disks.targets.iter().filter(|(_, target)| {
            let mount = target.mount.as_ref();
            mount.is_some_and(|mount| mount.disk == *id && !mount.dead)
        });
        BlockDevice {
            fstype: some(&disk.fstype),
            label: some(&disk.label),
            uuid: some(&disk.uuid),
            serial: some(&disk.serial),
            model: some(&disk.model),
            transport: some(&disk.transport),
            removable: disk.transport == "usb",
            read_only: disk.read_only,
            mounts: mounted.map(|(name, _)| mount_point(name)).collect(),
            ..device(&name, &name, "disk", disk.size)
        }
    })
}

/// All of them.
pub(super) fn list(world: &World) -> Vec<BlockDevice> {
    let total = world.node.rootfs_total;
    let whole = BlockDevice {
        serial: Some("SIM00001".into()),
        model: Some("SIM_HARDDISK".into()),
        transport: Some("sata".into()),
        in_use: true,
        ..device("sda", "sda", "disk", total.next_multiple_of(1 << 30))
    };
    let root = BlockDevice {
        fstype: Some("ext4".into()),
        uuid: Some(SYSTEM_UUID.into()),
        mounts: vec!["/".into()],
        serial: whole.serial.clone(),
        model: whole.model.clone(),
        transport: whole.transport.clone(),
        ..device("sda1", "sda", "part", total)
    };
    let pool = BlockDevice {
        fstype: Some("LVM2_member".into()),
        transport: Some("virtio".into()),
        in_use: true,
        ..device("vdb", "vdb", "disk", 21_474_836_480)
    };
    let mut all = vec![whole, root];
    all.extend(plugged(&world.storage.removable));
    all.push(pool);
    all
}
