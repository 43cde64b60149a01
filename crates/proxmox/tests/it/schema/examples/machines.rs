//! Calls about virtual machines.

use std::collections::BTreeMap;

use felhom_ids::{GuestKind, Vmid};
use felhom_proxmox::property::MachineNic;
use felhom_proxmox::pve::guests::{
    DestroyQemu, GetQemuConfig, GetQemuStatus, ListQemu, PingAgent, QemuSettings, RestoreQemu,
    ShutdownGuest, StartGuest, StopGuest,
};

use super::{Examples, id};

pub(super) fn add(examples: &mut Examples) {
    examples.one(&ListQemu);
    for vmid in [Vmid::MIN, Vmid::MAX] {
        examples.one(&GetQemuStatus { vmid });
        examples.one(&PingAgent { vmid });
        examples.one(&StartGuest {
            kind: GuestKind::Qemu,
            vmid,
        });
        examples.one(&StopGuest {
            kind: GuestKind::Qemu,
            vmid,
        });
        let shutdown = |timeout, force_stop| ShutdownGuest {
            kind: GuestKind::Qemu,
            vmid,
            timeout,
            force_stop,
        };
        examples.pair(&shutdown(None, false), &shutdown(Some(u32::MAX), true));
        let config = |current| GetQemuConfig { vmid, current };
        examples.pair(&config(false), &config(true));
        let destroy = |unreferenced_disks| DestroyQemu {
            vmid,
            unreferenced_disks,
        };
        examples.pair(&destroy(false), &destroy(true));
    }
    restored(examples);
}

fn restored(examples: &mut Examples) {
    let least = RestoreQemu {
        vmid: Vmid::MIN,
        archive: id("local:backup/vzdump-qemu-9000-2026_11_23-00_12_24.vma.zst"),
        storage: None,
        pool: None,
        unique: false,
        settings: QemuSettings::default(),
        bwlimit: None,
    };
    let net = MachineNic {
        model: id("virtio"),
        macaddr: Some(id("bc:24:11:aa:0b:cc")),
        bridge: Some(id("lan-1.42_b")),
        firewall: Some(true),
        link_down: Some(true),
        tag: Some(4094),
        trunks: Some(id("2;3;4")),
        other: BTreeMap::from([("queues".to_owned(), id("4"))]),
    };
    let most = RestoreQemu {
        vmid: Vmid::MAX,
        archive: id("PBS.2:backup/vm/9000/2026-06-09T14:18:33Z"),
        storage: Some(id("local-lvm")),
        pool: Some(id("lab/tests/deep")),
        unique: true,
        settings: QemuSettings {
            name: Some("felhom-9000.example.org".to_owned()),
            description: Some("felhom: one\ntwo".to_owned()),
            memory: Some(16),
            balloon: Some(0),
            cores: Some(1),
            sockets: Some(1),
            onboot: Some(false),
            protection: Some(true),
            nets: BTreeMap::from([(0, net), (31, MachineNic::new(id("e1000")))]),
        },
        bwlimit: Some(u64::MAX),
    };
    examples.pair(&least, &most);
}
