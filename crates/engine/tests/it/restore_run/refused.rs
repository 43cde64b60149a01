//! What each change of the request or of the world is refused with.

use felhom_engine::*;
use felhom_ids::GuestKind;

use super::{plan, report_of};
use crate::fake::*;

type Change = fn(&mut RestoreRunRequest, &mut RestoreSubject);

/// Of the guest, its VMID, its identity and its start.
const OF_THE_GUEST: &[(&str, Change)] = &[
    ("there is a guest 9020", |_, s| s.taken = true),
    ("bears the VMID 9020", |_, s| {
        let volume = "local-lvm:vm-9020-disk-7".parse().unwrap();
        s.volumes
            .insert("local-lvm".parse().unwrap(), Some([volume].into()));
    }),
    ("`other:vm-9020-disk-1` bears the VMID 9020", |_, s| {
        let volume = "other:vm-9020-disk-1".parse().unwrap();
        s.volumes
            .insert("other".parse().unwrap(), Some([volume].into()));
    }),
    ("whether `local-lvm` holds volumes", |_, s| {
        s.volumes.insert("local-lvm".parse().unwrap(), None);
    }),
    ("whether `local-lvm` holds volumes", |_, s| {
        s.volumes.clear();
    }),
    ("lies in the scratch range", |r, _| r.to = vmid(9150)),
    ("guest 9010 is there: two of one", |r, _| {
        r.identity = Identity::Keep;
    }),
    ("guest 9010 is there and cannot be looked at", |r, s| {
        r.identity = Identity::Keep;
        s.original = Original::Unreadable("403".into());
    }),
    ("guest 9010 is there: two of one", |r, s| {
        r.identity = Identity::Keep;
        s.original = Original::Guest {
            kind: GuestKind::Lxc,
            running: false,
            onboot: true,
        };
    }),
    ("`keep` keeps the host name", |r, s| {
        (r.identity, s.original) = (Identity::Keep, Original::Gone);
        r.hostname = Some("x".into());
    }),
    ("`a_b` is no host name", |r, _| {
        r.hostname = Some("a_b".into());
    }),
    ("privileged", |_, s| s.archived.config.unprivileged = false),
    ("template", |_, s| s.archived.config.template = true),
    ("locked (backup)", |_, s| {
        s.archived.config.lock = Some("backup".into());
    }),
    ("no rootfs", |_, s| {
        s.archived.config.mounts.retain(|one| one.key != "rootfs");
    }),
    ("mp1 has no size", |_, s| {
        for mount in &mut s.archived.config.mounts {
            mount.size = mount.size.filter(|_| mount.key != "mp1");
        }
    }),
    ("`lxc.idmap` is dropped", |_, s| {
        s.archived.raw_lxc = vec![("lxc.idmap".into(), "u 0 1 1".into())];
    }),
    ("hookscript as root", |r, s| {
        r.start = true;
        s.archived.config.hookscript = Some("local:snippets/x".into());
    }),
    ("take devices of the node", |r, s| {
        r.start = true;
        s.archived.config.devices = vec!["dev0".into()];
    }),
    ("decided by a person", |r, s| {
        (r.start, r.identity) = (true, Identity::Keep);
        s.original = Original::Guest {
            kind: GuestKind::Lxc,
            running: false,
            onboot: false,
        };
    }),
];

/// Of storages, node and cluster.
const OF_THE_BOX: &[(&str, Change)] = &[
    ("`gone` is not there", |r, _| {
        r.storage = Some("gone".parse().unwrap());
    }),
    ("does not take containers", |r, _| {
        r.storage = Some("local".parse().unwrap());
    }),
    ("is not active", |_, s| {
        s.storages.first_mut().unwrap().active = false;
    }),
    ("storage `local-lvm`, space: 1024.0 MiB free", |_, s| {
        s.storages.first_mut().unwrap().avail = 1 << 30;
    }),
    ("metadata of the thin pool behind `local-lvm`", |_, s| {
        s.storages.first_mut().unwrap().kind = "lvmthin".into();
    }),
    ("storage `local-lvm`, thin-pool metadata", |_, s| {
        let (vg, lv) = ("pve".into(), "data".into());
        s.storages.first_mut().unwrap().thin_pool = Some(ThinPool {
            vg,
            lv,
            metadata_size: 100,
            metadata_used: 99,
        });
    }),
    ("root disk", |_, s| s.node.root_avail = 1),
    ("memory", |r, s| {
        (r.start, s.node.memory_available) = (true, 1 << 20);
    }),
    ("the cluster has 2 nodes", |_, s| s.node.cluster_nodes = 2),
];

/// Of the rights.
const OF_THE_TOKEN: &[(&str, Change)] = &[
    ("lacks VM.Config.Disk on /vms/9020", |_, s| {
        s.rights
            .get_mut("/vms/9020")
            .unwrap()
            .remove("VM.Config.Disk");
    }),
    ("lacks VM.Backup on /vms/9010", |_, s| {
        drop(s.rights.remove("/vms/9010"));
    }),
    ("lacks SDN.Use on /sdn/zones/localnetwork/vmbr0", |_, s| {
        drop(s.rights.remove("/sdn/zones/localnetwork/vmbr0"));
    }),
];

#[test]
fn everything_that_must_not_be_is_refused() {
    let cases = OF_THE_GUEST.iter().chain(OF_THE_BOX).chain(OF_THE_TOKEN);
    for (words, change) in cases {
        let (mut request, mut subject) = (restore_request(), restore_subject());
        change(&mut request, &mut subject);
        let plan = plan(&request, &subject);
        let told: Vec<_> = plan.refused.iter().map(|one| one.what.as_str()).collect();
        assert!(
            told.iter().any(|what| what.contains(words)),
            "{words}: {told:?}"
        );
        assert!(told.len() <= 2, "{words}: {told:?}");
        let mut job = restore_job(request);
        job.record(
            Timestamp::from_secs(1),
            Outcome::RestoreSubject(Box::new(subject)),
        );
        assert_eq!(job.next(Timestamp::from_secs(1)), Next::Done, "{words}");
        assert_eq!(report_of(&job).end, RestoreEnd::Refused);
    }
}
