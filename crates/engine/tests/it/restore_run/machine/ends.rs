//! How restores of virtual machines end: compared key by key, and taken back by the whole proof or not at all.

use std::collections::BTreeMap;

use felhom_engine::*;
use felhom_ids::{ByteSize, Upid};

use super::{NET, request, subject, written, written_of};
use crate::fake::*;
use crate::restore_run::report_of;

const RESTORE: &str = "UPID:pve:00000001:00000001:00000001:qmrestore:9020:felhom-agent@pve!agent:";

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
    verdict: &TaskVerdict,
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
            existence: Existence::Guest(Box::new(written.config.clone())),
            state: Some(GuestState::default()),
            volumes: Some(vec![]),
            tasks: vec![TaskFacts {
                upid: last.parse().unwrap(),
                running: false,
                status: None,
            }],
        },
        written: Some(written),
    }
}

#[test]
fn what_is_as_planned_is_back_and_what_is_not_is_told() {
    let (job, sent) = driven(&TaskVerdict::Succeeded, |plan| {
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
        let (job, sent) = driven(&TaskVerdict::Succeeded, |plan| {
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

type Meddle = fn(&mut RestoredFacts);

#[test]
fn a_stub_without_a_mark_is_destroyed_by_its_whole_proof_only() {
    let failed = || TaskVerdict::Failed("no such device".into());
    for values in [&[][..], &[("memory", "128")]] {
        let (job, sent) = driven(&failed(), |_| facts(written(values), RESTORE));
        assert_eq!(sent, ["qmrestore", "qmdestroy"], "{values:?}");
        assert!(report_of(&job).nothing_left);
    }
    let other = RESTORE
        .replace("qmrestore", "qmstart")
        .replace("00000001", "00000002");
    let stub = || facts(written(&[("memory", "128")]), RESTORE);
    let cases: [(&str, Meddle); 6] = [
        ("volumes are left", |f| {
            f.guest.volumes = Some(vec!["local-lvm:vm-9020-disk-0".parse().unwrap()]);
        }),
        ("volumes cannot be seen", |f| f.guest.volumes = None),
        ("it runs", |f| {
            f.guest.state.as_mut().unwrap().running = true;
        }),
        ("whether it runs cannot be seen", |f| f.guest.state = None),
        ("more than a stub", |f| {
            f.guest.existence = Existence::Guest(Box::new(
                written(&[("memory", "128"), ("name", "x")]).config,
            ));
        }),
        ("a lock", |f| {
            f.guest.existence = Existence::Guest(Box::new(written(&[("lock", "create")]).config));
        }),
    ];
    for (words, meddle) in cases {
        let (job, sent) = driven(&failed(), |_| {
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
    let (job, sent) = driven(&failed(), |_| facts(written(&[("memory", "128")]), &other));
    assert_eq!(sent, ["qmrestore"], "somebody's task came after ours");
    assert_eq!(report_of(&job).findings[0].code, "restore-leftover");
}
