//! Plans of virtual machines: drive by drive, key by key, and what is refused.

mod ends;

use std::collections::BTreeMap;

use felhom_engine::*;
use felhom_ids::{ByteSize, GuestKind, VolumeId};

use super::plan;
use crate::fake::*;

const NET: &str = "virtio=BC:24:11:00:92:00,bridge=vmbr0,firewall=1,newkey=x,queues=4";

fn archive_of_machine() -> VolumeId {
    "local:backup/vzdump-qemu-9200-2026_11_23-00_12_24.vma.zst"
        .parse()
        .unwrap()
}

fn request() -> RestoreRunRequest {
    RestoreRunRequest {
        volid: archive_of_machine(),
        ..restore_request()
    }
}

/// A drive as the configuration names it.
fn drive(key: &str, text: &str) -> Option<Mount> {
    let file = text.split(',').next().unwrap();
    if text.contains("media=cdrom") {
        return None;
    }
    let size = text.split(',').find_map(|part| part.strip_prefix("size="));
    let size: Option<ByteSize> = size.map(|size| size.parse().unwrap());
    Some(Mount {
        key: key.into(),
        path: file.into(),
        source: match file.parse() {
            Ok(volume) if !file.starts_with('/') => MountSource::Volume(volume),
            _ => MountSource::Device(file.into()),
        },
        backup: !text.contains("backup=0"),
        size,
    })
}

fn written(values: &[(&str, &str)]) -> WrittenConfig {
    let values: BTreeMap<String, String> = values
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    written_of(values)
}

fn written_of(values: BTreeMap<String, String>) -> WrittenConfig {
    let drives = ["scsi", "ide", "virtio", "efidisk", "tpmstate"];
    let is_drive = |key: &str| drives.iter().any(|bus| key.starts_with(bus)) && key != "scsihw";
    WrittenConfig {
        config: GuestConfig {
            kind: GuestKind::Qemu,
            hostname: values.get("name").cloned(),
            description: values.get("description").cloned(),
            lock: values.get("lock").cloned(),
            memory_mib: values.get("memory").and_then(|text| text.parse().ok()),
            keys: values.keys().cloned().collect(),
            mounts: values
                .iter()
                .filter(|(key, _)| is_drive(key))
                .filter_map(|(key, text)| drive(key, text))
                .collect(),
            ..GuestConfig::default()
        },
        values,
        raw_lxc: vec![],
    }
}

const ARCHIVED: &[(&str, &str)] = &[
    ("boot", "order=scsi0"),
    ("efidisk0", "local-lvm:vm-9200-disk-2,efitype=4m,size=528K"),
    ("ide0", "local-lvm:vm-9200-cloudinit,media=cdrom,size=4M"),
    ("ide2", "local:iso/debian.iso,media=cdrom,size=600M"),
    ("memory", "512"),
    ("name", "shop"),
    ("net0", NET),
    ("onboot", "1"),
    ("parent", "before"),
    (
        "scsi0",
        "local-lvm:vm-9200-disk-0,discard=on,format=raw,size=1G",
    ),
    ("scsi1", "local-lvm:vm-9200-disk-1,backup=0,size=1G"),
    ("scsihw", "virtio-scsi-single"),
    (
        "smbios1",
        "uuid=11111111-2222-3333-4444-555555555555,serial=QUJD",
    ),
    ("tpmstate0", "local-lvm:vm-9200-disk-3,size=4M,version=v2.0"),
    ("unused0", "local-lvm:vm-9200-disk-9"),
    ("virtio5", "/dev/disk/by-id/ata-X,size=1G"),
    ("vmgenid", "0b8dc3c1-95cb-4bb1-8bb5-0ad5d7c4a111"),
];

fn subject() -> RestoreSubject {
    let mut subject = restore_subject();
    subject.archived = written(ARCHIVED);
    subject.archive = Some(archive(&archive_of_machine()));
    subject.storages = vec![
        storage("local-lvm", "images"),
        storage("local", "images"),
        storage("plain", "rootdir"),
    ];
    let looked_at = subject.storages.iter();
    subject.volumes = looked_at
        .map(|storage| (storage.id.clone(), Some([].into())))
        .collect();
    subject.original = Original::Guest {
        kind: GuestKind::Qemu,
        running: true,
        onboot: true,
    };
    let all = restore_subject().rights.remove("/vms/9020").unwrap();
    let paths = restore_paths(
        &archive_of_machine(),
        vmid(9020),
        &subject.archived,
        &subject.storages,
    );
    subject.rights = paths.into_iter().map(|path| (path, all.clone())).collect();
    subject
}

#[test]
fn drives_come_back_one_by_one_as_proxmox_restores_them() {
    let plan = plan(&request(), &subject());
    assert_eq!(plan.refused, vec![]);
    let volumes: Vec<_> = plan
        .volumes
        .iter()
        .map(|one| {
            (
                &*one.key,
                one.storage.to_string(),
                &*one.options,
                one.filled,
                one.generated,
            )
        })
        .collect();
    let lvm = || "local-lvm".to_owned();
    assert_eq!(
        volumes,
        [
            ("efidisk0", lvm(), "efitype=4m", true, false),
            ("ide0", lvm(), "media=cdrom", false, true),
            ("scsi0", lvm(), "discard=on", true, false),
            ("tpmstate0", lvm(), "version=v2.0", true, false),
            ("virtio5", "local".to_owned(), "", true, false),
        ]
    );
    let missing: Vec<_> = plan.missing.iter().map(|one| &*one.key).collect();
    assert_eq!(missing, ["scsi1", "unused0"]);
    assert_eq!(
        plan.commands(),
        ["qm set 9020 --scsi1 local-lvm:1,backup=0"]
    );
    assert_eq!(
        plan.set["net0"],
        "virtio,bridge=vmbr0,firewall=1,newkey=x,queues=4"
    );
    assert_eq!(plan.set["name"], "shop-restored");
    assert_eq!(plan.former_macs, ["BC:24:11:00:92:00"]);
    assert!(plan.unique && plan.storage.is_none());
    let carried: Vec<_> = plan.carried.keys().map(String::as_str).collect();
    assert_eq!(carried, ["boot", "ide2", "memory", "scsihw"]);
    let renewed: Vec<_> = plan.renewed.keys().map(String::as_str).collect();
    assert_eq!(renewed, ["smbios1", "vmgenid"]);
    let told = plan.lines().join("\n");
    for words in [
        "a disk of the node: its content comes back as a volume",
        "cloud-init sees another instance",
    ] {
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn a_kept_identity_keeps_addresses_and_uuid() {
    let mut subject = subject();
    subject.original = Original::Gone;
    let request = RestoreRunRequest {
        identity: Identity::Keep,
        storage: Some("local".parse().unwrap()),
        ..request()
    };
    let plan = plan(&request, &subject);
    assert_eq!(plan.refused, vec![]);
    assert_eq!(plan.set["net0"], NET);
    assert!(plan.carried.contains_key("smbios1") && !plan.unique);
    assert_eq!(plan.storages(), ["local".parse().unwrap()]);
    assert_eq!(plan.storage, Some("local".parse().unwrap()));
    assert_eq!(plan.carried["onboot"], "1");
}

type Change = fn(&mut RestoreRunRequest, &mut RestoreSubject);

#[test]
fn everything_that_must_not_be_is_refused() {
    fn set(subject: &mut RestoreSubject, key: &str, value: &str) {
        let mut values = subject.archived.values.clone();
        values.insert(key.into(), value.into());
        let template = subject.archived.config.template;
        subject.archived = written_of(values);
        subject.archived.config.template = template;
    }
    let cases: &[(&str, Change)] = &[
        ("`hostpci0: 0000:01:00.0` is a device", |_, s| {
            set(s, "hostpci0", "0000:01:00.0");
        }),
        ("`usb0: host=1234:5678` is a device", |_, s| {
            set(s, "usb0", "host=1234:5678");
        }),
        ("lacks Mapping.Use on /mapping/pci/gpu", |_, s| {
            set(s, "hostpci0", "mapping=gpu");
        }),
        ("would have `local-lvm:vm-9200-disk-7` itself", |_, s| {
            set(s, "ide3", "local-lvm:vm-9200-disk-7,media=cdrom");
        }),
        ("is a template", |_, s| s.archived.config.template = true),
        ("does not take virtual machines", |r, _| {
            r.storage = Some("plain".parse().unwrap());
        }),
        ("hookscript as root or take devices", |r, s| {
            r.start = true;
            set(s, "args", "-S");
        }),
        ("a fixed address that the running original has", |r, s| {
            r.start = true;
            set(s, "ipconfig0", "gw=192.0.2.1,ip=192.0.2.7/24");
        }),
        ("guest 9200 is there: two of one", |r, _| {
            r.identity = Identity::Keep;
        }),
        ("`a_b` is no host name", |r, _| {
            r.hostname = Some("a_b".into());
        }),
        ("virtio5 has no size", |_, s| set(s, "virtio5", "/dev/sdz")),
        ("the archive holds no drive", |_, s| {
            s.archived = written(&[("memory", "512"), ("ide2", "none,media=cdrom")]);
        }),
    ];
    for (words, change) in cases {
        let (mut request, mut subject) = (request(), subject());
        change(&mut request, &mut subject);
        let plan = plan(&request, &subject);
        let told: Vec<_> = plan.refused.iter().map(|one| &*one.what).collect();
        assert!(
            told.iter().any(|what| what.contains(words)),
            "{words}: {told:?}"
        );
        assert_eq!(told.len(), 1, "{words}: {told:?}");
    }
}

#[test]
fn the_command_of_root_is_one_that_restores_machines() {
    let mut subject = subject();
    subject
        .archived
        .values
        .insert("hostpci0".into(), "0000:01:00.0".into());
    let plan = plan(&request(), &subject);
    let hint = plan.refused[0].hint.clone().unwrap();
    let volid = archive_of_machine();
    assert_eq!(
        hint,
        format!(
            "as root on the node: qmrestore {volid} 9020 --unique 1 && qm set 9020 --delete hostpci0"
        )
    );
}

#[test]
fn a_volume_on_zfs_takes_its_whole_size_unless_the_pool_is_sparse() {
    let request = RestoreRunRequest {
        content_bytes: Some(1 << 20),
        golden: false,
        storage: Some("local-lvm".parse().unwrap()),
        ..request()
    };
    let mut subject = subject();
    subject.storages[0].kind = "zfspool".into();
    let thick = plan(&request, &subject).space.remove(0);
    assert!(
        thick.thick && thick.needed == thick.could_grow_to,
        "{thick:?}"
    );
    subject.storages[0].sparse = true;
    let thin = plan(&request, &subject).space.remove(0);
    assert!(!thin.thick && thin.needed < thick.needed, "{thin:?}");
}
