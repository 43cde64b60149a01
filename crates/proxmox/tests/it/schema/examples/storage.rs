//! Calls about storages, volumes and backups.

use std::iter::successors;

use felhom_ids::{ByteSize, Vmid, VolumeId};
use felhom_proxmox::pve::backup::{
    BackupMode, Compression, ExtractConfig, GetVzdumpDefaults, Vzdump,
};
use felhom_proxmox::pve::storage::{
    Allocate, ChangeStorage, CreateStorage, DeleteVolume, GetStorageConfig, GetStorageStatus,
    GetVolume, ListBackupFiles, ListContent, ListStorageConfigs, ListStorages, PbsPlace,
    SetVolumeAttributes, StoragePlace,
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
    definitions(examples);
}

fn places() -> [StoragePlace; 6] {
    let text = |text: &str| text.to_owned();
    [
        StoragePlace::Dir {
            path: text("/mnt/usb"),
            is_mountpoint: true,
        },
        StoragePlace::Nfs {
            server: text("nas.example.net"),
            export: text("/volume1/backup"),
            options: Some(text("vers=4.2,soft")),
        },
        StoragePlace::Cifs {
            server: text("192.168.0.9"),
            share: text("backup"),
            username: Some(text("felhom")),
            password: Some(text("pass=;&word").into()),
        },
        StoragePlace::LvmThin {
            vgname: text("pve"),
            thinpool: text("data"),
        },
        StoragePlace::Pbs(Box::new(pbs(true))),
        StoragePlace::Pbs(Box::new(pbs(false))),
    ]
}

fn definitions(examples: &mut Examples) {
    let text = |text: &str| text.to_owned();
    for place in places() {
        let least = CreateStorage {
            storage: id("felhom-pbs"),
            place: place.clone(),
            content: Vec::new(),
            prune_backups: None,
        };
        let most = CreateStorage {
            storage: id("felhom-pbs"),
            place,
            content: vec![text("backup")],
            prune_backups: Some("keep-all=1".parse().unwrap()),
        };
        examples.pair(&least, &most);
    }
    for path in ["/", "/root.pxar.didx/etc"] {
        examples.one(&ListBackupFiles {
            volume: id(VOLUMES[1]),
            path: path.into(),
        });
    }
    examples.one(&GetStorageConfig {
        storage: id("felhom-pbs"),
    });
    let least = ChangeStorage {
        storage: id("felhom-pbs"),
        fingerprint: None,
        is_mountpoint: None,
        secret: None,
    };
    let most = ChangeStorage {
        storage: id("felhom-pbs"),
        fingerprint: Some(FINGERPRINT.parse().unwrap()),
        is_mountpoint: Some(text("yes")),
        secret: Some(text("0a").into()),
    };
    examples.pair(&least, &most);
}

const FINGERPRINT: &str = "3b:95:5a:fa:9e:0e:4a:54:f3:64:08:e5:a2:a2:6c:66:e9:86:44:64:40:8e:c2:f7:6e:41:d2:c2:1e:86:48:c4";

fn pbs(all: bool) -> PbsPlace {
    PbsPlace {
        server: "192.168.0.180".to_owned(),
        port: all.then_some(8008),
        datastore: "felhom-spike".parse().unwrap(),
        namespace: if all { "box/one" } else { "" }.parse().unwrap(),
        fingerprint: all.then(|| FINGERPRINT.parse().unwrap()),
        token: "felhom@pbs!n100".parse().unwrap(),
        secret: "0a".to_owned().into(),
        key: all.then(|| r#"{"kdf":null,"data":"AA=="}"#.to_owned().into()),
        master_key: all.then(|| "-----BEGIN PUBLIC KEY-----\n".to_owned()),
    }
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
