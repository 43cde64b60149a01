//! Calls about storages, volumes and backups.

use std::iter::successors;

use felhom_ids::{ByteSize, Vmid, VolumeId};
use felhom_proxmox::pve::backup::{
    BackupMode, Compression, ExtractConfig, GetVzdumpDefaults, Vzdump,
};
use felhom_proxmox::pve::storage::{
    Allocate, DeleteVolume, GetStorageStatus, GetVolume, ListContent, ListStorageConfigs,
    ListStorages, SetVolumeAttributes,
};

use super::{Examples, id};

/// Archives on a directory and on a backup server, and a disk.
const VOLUMES: &[&str] = &[
    "local:backup/vzdump-lxc-9001-2026_11_23-00_12_24.tar.zst",
    "PBS.2:backup/ct/9001/2026-06-09T14:18:33Z",
    "local-lvm:vm-9001-disk-0",
];

pub(super) fn add(examples: &mut Examples) {
    examples.one(&ListStorageConfigs);
    let takes_backups = ListStorages {
        content: Some("backup".to_owned()),
    };
    examples.pair(&ListStorages::default(), &takes_backups);
    examples.one(&GetStorageStatus {
        storage: id("local"),
    });
    let content = ListContent {
        storage: id("nas_backup"),
        content: None,
        vmid: None,
    };
    for what in ["backup", "rootdir", "images", "vztmpl"] {
        let most = ListContent {
            storage: id("local-lvm"),
            content: Some(what.to_owned()),
            vmid: Some(Vmid::MAX),
        };
        examples.pair(&content, &most);
    }
    for volume in VOLUMES {
        of_volume(examples, &id(volume));
    }
    let least = Allocate {
        storage: id("local-lvm"),
        vmid: Vmid::MIN,
        name: "vm-100-felhom-0".to_owned(),
        size: ByteSize::from_bytes(1 << 20),
        format: None,
    };
    let most = Allocate {
        storage: id("local"),
        vmid: Vmid::MAX,
        name: "vm-999999999-felhom-0.raw".to_owned(),
        size: ByteSize::from_bytes(u64::MAX),
        format: Some("raw".to_owned()),
    };
    examples.pair(&least, &most);
    backups(examples);
}

fn of_volume(examples: &mut Examples, volume: &VolumeId) {
    let volume = || volume.clone();
    examples.one(&GetVolume { volume: volume() });
    examples.one(&DeleteVolume { volume: volume() });
    examples.one(&ExtractConfig { volume: volume() });
    examples.one(&GetVzdumpDefaults {
        storage: id("local"),
    });
    let least = SetVolumeAttributes {
        volume: volume(),
        notes: None,
        protected: None,
    };
    let most = SetVolumeAttributes {
        volume: volume(),
        notes: Some("felhom: job=1;x\nrestored & started, 100 % + \u{fc}".to_owned()),
        protected: Some(false),
    };
    examples.pair(&least, &most);
}

fn backups(examples: &mut Examples) {
    let after = |mode: &BackupMode| match mode {
        BackupMode::Snapshot => Some(BackupMode::Suspend),
        BackupMode::Suspend => Some(BackupMode::Stop),
        BackupMode::Stop => None,
    };
    let modes = successors(Some(BackupMode::Snapshot), after);
    let after = |packed: &Compression| match packed {
        Compression::None => Some(Compression::Gzip),
        Compression::Gzip => Some(Compression::Lzo),
        Compression::Lzo => Some(Compression::Zstd),
        Compression::Zstd => None,
    };
    let packings = successors(Some(Compression::None), after);
    let each = modes.flat_map(|mode| packings.clone().map(move |compress| (mode, compress)));
    examples.one(&Vzdump::new(Vmid::MIN, id("local")));
    for (mode, compress) in each {
        let least = Vzdump {
            mode,
            compress,
            lockwait: None,
            notification_mode: None,
            ..Vzdump::new(Vmid::MIN, id("local"))
        };
        let most = Vzdump {
            vmid: Vmid::MAX,
            storage: id("PBS.2"),
            mode,
            compress,
            remove: true,
            protected: Some(true),
            notes: Some("felhom: {{job}}=1;x\nsecond \\ line".to_owned()),
            lockwait: Some(0),
            stopwait: Some(u32::MAX),
            notification_mode: Some("legacy-sendmail"),
        };
        examples.pair(&least, &most);
    }
}
