//! Restores of virtual machines: drive by drive, key by key, and by which proof a stub without a mark is destroyed.

use std::collections::BTreeMap;

use felhom_engine::*;
use felhom_ids::{ByteSize, GuestKind, Upid, VolumeId};

use super::{plan, report_of};
use crate::fake::*;

const NET: &str = "virtio=BC:24:11:00:92:00,bridge=vmbr0,firewall=1,newkey=x,queues=4";
const RESTORE: &str = "UPID:pve:00000001:00000001:00000001:qmrestore:9020:felhom-agent@pve!agent:";

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
            set(s, "hostpci0", "0000:01:00.0")
        }),
        ("`usb0: host=1234:5678` is a device", |_, s| {
            set(s, "usb0", "host=1234:5678")
        }),
        ("lacks Mapping.Use on /mapping/pci/gpu", |_, s| {
            set(s, "hostpci0", "mapping=gpu")
        }),
        ("would have `local-lvm:vm-9200-disk-7` itself", |_, s| {
            set(s, "ide3", "local-lvm:vm-9200-disk-7,media=cdrom");
        }),
        ("is a template", |_, s| s.archived.config.template = true),
        ("does not take virtual machines", |r, _| {
            r.storage = Some("plain".parse().unwrap())
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
            r.identity = Identity::Keep
        }),
        ("`a_b` is no host name", |r, _| {
            r.hostname = Some("a_b".into())
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

/// As PVE makes it of the plan.
fn made(plan: &RestoreRunPlan) -> BTreeMap<String, String> {
    let mut values: BTreeMap<String, String> = plan.set.clone();
    values.extend(plan.carried.clone());
    values.insert("net0".into(), NET.replace("00:92:00", "FF:FF:01"));
    values.insert(
        "vmgenid".into(),
        "ffffffff-95cb-4bb1-8bb5-0ad5d7c4a111".into(),
    );
    let smbios = "serial=QUJD,uuid=99999999-2222-3333-4444-555555555555";
    values.insert("smbios1".into(), smbios.into());
    for (place, volume) in plan.volumes.iter().enumerate() {
        let (storage, options) = (&volume.storage, &volume.options);
        let name = if volume.generated {
            "vm-9020-cloudinit".to_owned()
        } else {
            format!("vm-9020-disk-{place}")
        };
        // A thin volume has whole extents.
        let size = volume.size.bytes().next_multiple_of(4 << 20);
        let size = ByteSize::from_bytes(size);
        values.insert(
            volume.key.clone(),
            format!("{storage}:{name},{options},size={size}"),
        );
    }
    values
}

/// Drives a restore whose task ends so, and then what is looked at.
fn driven(
    verdict: TaskVerdict,
    seen: impl Fn(&RestoreRunPlan) -> RestoredFacts,
) -> (Job, Vec<&'static str>) {
    let mut job = restore_job(request());
    let (mut now, mut sent, mut gone) = (Timestamp::from_secs(1), Vec::new(), false);
    let upid = |kind: &str| RESTORE.replace("qmrestore", kind).parse::<Upid>().unwrap();
    let mut made: Option<RestoreRunPlan> = None;
    loop {
        let outcome = match job.next(now) {
            Next::Do(Step::Observe(Observe::RestoreSubject { .. })) => {
                Outcome::RestoreSubject(Box::new(subject()))
            }
            Next::Do(Step::Observe(Observe::Tasks { .. })) => Outcome::Tasks([].into()),
            Next::Do(Step::Mutate(mutation)) => {
                sent.push(mutation.task().unwrap().0);
                if let Mutation::RestoreGuest(plan) = &mutation {
                    made = Some(plan.as_ref().clone());
                }
                gone = matches!(mutation, Mutation::DestroyRestoredMachine(_));
                Outcome::Sent(Sent::Started(upid(mutation.task().unwrap().0)))
            }
            Next::Do(Step::Follow { .. }) => Outcome::Followed(Followed::Ended {
                verdict: if gone {
                    TaskVerdict::Succeeded
                } else {
                    verdict.clone()
                },
                log: vec![],
                elapsed_ms: 1,
            }),
            Next::Do(Step::Observe(Observe::Restored { .. })) => {
                let mut facts = seen(made.as_ref().unwrap());
                if gone {
                    facts.guest.existence = Existence::Absent;
                    facts.guest.volumes = facts.guest.volumes.map(|_| vec![]);
                }
                Outcome::Restored(Box::new(facts))
            }
            Next::Wait { until, .. } => {
                now = until;
                continue;
            }
            Next::Done => return (job, sent),
            other => panic!("{other:?}"),
        };
        job.record(now, outcome);
    }
}

fn facts(written: WrittenConfig, last: &str) -> RestoredFacts {
    RestoredFacts {
        guest: ScratchFacts {
            existence: Existence::Container(Box::new(written.config.clone())),
            state: Some(GuestState::default()),
            last_task: Some(TaskFacts {
                upid: last.parse().unwrap(),
                running: false,
                status: None,
            }),
            volumes: Some(vec![]),
            tasks: [].into(),
        },
        written: Some(written),
    }
}

#[test]
fn what_is_as_planned_is_back_and_what_is_not_is_told() {
    let (job, sent) = driven(TaskVerdict::Succeeded, |plan| {
        facts(written_of(made(plan)), RESTORE)
    });
    assert_eq!(
        report_of(&job).end,
        RestoreEnd::Restored,
        "{:?}",
        report_of(&job).reasons
    );
    assert_eq!(sent, ["qmrestore"]);
    let told = &report_of(&job).plan.as_ref().unwrap().renewed;
    assert!(
        told.is_empty(),
        "what is kept for good names no value of the guest"
    );
    for (key, value) in [
        (
            "net0",
            "virtio=BC:24:11:00:92:00,bridge=vmbr0,firewall=1,newkey=x,queues=4",
        ),
        (
            "net0",
            "e1000=BC:24:11:FF:FF:01,bridge=vmbr0,firewall=1,newkey=x,queues=4",
        ),
        (
            "net0",
            "virtio=BC:24:11:FF:FF:01,bridge=vmbr0,firewall=1,newkey=x",
        ),
        ("vmgenid", "0b8dc3c1-95cb-4bb1-8bb5-0ad5d7c4a111"),
        (
            "smbios1",
            "serial=QUJD,uuid=11111111-2222-3333-4444-555555555555",
        ),
        ("smbios1", "uuid=99999999-2222-3333-4444-555555555555"),
        ("scsi0", "local-lvm:vm-9200-disk-0,discard=on,size=1G"),
        ("scsi0", "local-lvm:vm-9020-disk-0,discard=on,size=512M"),
        ("scsi0", "local-lvm:vm-9020-disk-0,size=1G"),
        ("scsi1", "local-lvm:vm-9020-disk-1,size=1G"),
        ("ide2", "none,media=cdrom"),
        ("unused0", "local-lvm:vm-9020-disk-8"),
        ("hookscript", "local:snippets/x"),
    ] {
        let (job, sent) = driven(TaskVerdict::Succeeded, |plan| {
            let mut values = made(plan);
            values.insert(key.into(), value.into());
            facts(written_of(values), RESTORE)
        });
        let report = report_of(&job);
        assert_eq!(report.end, RestoreEnd::Differs, "{key}: {value}");
        assert!(
            report.reasons.iter().any(|one| one.contains(key)),
            "{key}: {:?}",
            report.reasons
        );
        assert_eq!(sent, ["qmrestore"], "neither started nor destroyed");
    }
}

#[test]
fn a_stub_without_a_mark_is_destroyed_by_its_whole_proof_only() {
    let failed = || TaskVerdict::Failed("no such device".into());
    for values in [&[][..], &[("memory", "128")]] {
        let (job, sent) = driven(failed(), |_| facts(written(values), RESTORE));
        assert_eq!(sent, ["qmrestore", "qmdestroy"], "{values:?}");
        assert!(report_of(&job).nothing_left);
    }
    let other = RESTORE
        .replace("qmrestore", "qmstart")
        .replace("00000001", "00000002");
    let stub = || facts(written(&[("memory", "128")]), RESTORE);
    type Meddle = fn(&mut RestoredFacts);
    let cases: [(&str, Meddle); 6] = [
        ("volumes are left", |f| {
            f.guest.volumes = Some(vec!["local-lvm:vm-9020-disk-0".parse().unwrap()])
        }),
        ("volumes cannot be seen", |f| f.guest.volumes = None),
        ("it runs", |f| {
            f.guest.state.as_mut().unwrap().running = true
        }),
        ("whether it runs cannot be seen", |f| f.guest.state = None),
        ("more than a stub", |f| {
            f.guest.existence = Existence::Container(Box::new(
                written(&[("memory", "128"), ("name", "x")]).config,
            ));
        }),
        ("a lock", |f| {
            f.guest.existence =
                Existence::Container(Box::new(written(&[("lock", "create")]).config));
        }),
    ];
    for (words, meddle) in cases {
        let (job, sent) = driven(failed(), |_| {
            let mut facts = stub();
            meddle(&mut facts);
            facts
        });
        assert_eq!(sent, ["qmrestore"], "{words}");
        let report = report_of(&job);
        assert!(
            !report.nothing_left && !report.findings.is_empty(),
            "{words}"
        );
        let hint = report.findings[0].hint.clone().unwrap();
        assert!(
            hint.contains("qm ") && !hint.contains("pct "),
            "{words}: {hint}"
        );
    }
    let (job, sent) = driven(failed(), |_| facts(written(&[("memory", "128")]), &other));
    assert_eq!(sent, ["qmrestore"], "somebody's task came after ours");
    assert_eq!(report_of(&job).findings[0].code, "restore-leftover");
}
