//! Calls about containers.

use std::collections::BTreeMap;

use felhom_ids::{ByteSize, GuestKind, SnapshotName, Vmid};
use felhom_proxmox::property::{
    Features, Ipv4Setting, Ipv6Setting, MountOptions, MountPoint, MountSource, NetworkInterface,
    RootFs,
};
use felhom_proxmox::pve::guests::{
    CanSnapshot, CreateLxc, CreateSnapshot, DeleteSnapshot, DestroyLxc, GetGuestConfig,
    GetLxcConfig, GetLxcInterfaces, GetLxcStatus, GetSnapshotConfig, ListLxc, ListSnapshots,
    LxcSettings, RestoreLxc, RollbackSnapshot, SetLxcConfig, ShutdownGuest, StartGuest, StopGuest,
};

use super::{Examples, id};

pub(super) fn add(examples: &mut Examples) {
    examples.one(&ListLxc);
    for vmid in [Vmid::MIN, Vmid::MAX] {
        examples.one(&GetLxcStatus { vmid });
        examples.one(&GetLxcInterfaces { vmid });
        examples.one(&StartGuest {
            kind: GuestKind::Lxc,
            vmid,
        });
        examples.one(&StopGuest {
            kind: GuestKind::Lxc,
            vmid,
        });
        let shutdown = |timeout, force_stop| ShutdownGuest {
            kind: GuestKind::Lxc,
            vmid,
            timeout,
            force_stop,
        };
        examples.pair(&shutdown(None, false), &shutdown(Some(u32::MAX), true));
        let config = |current| GetLxcConfig { vmid, current };
        examples.pair(&config(false), &config(true));
        let destroy = |unreferenced_disks| DestroyLxc {
            vmid,
            unreferenced_disks,
        };
        examples.pair(&destroy(false), &destroy(true));
        for kind in [GuestKind::Lxc, GuestKind::Qemu] {
            examples.one(&GetGuestConfig { kind, vmid });
        }
        examples.one(&ListSnapshots { vmid });
        examples.one(&CanSnapshot { vmid });
        for name in ["s1", "before-update_2", &"a".repeat(40)] {
            snapshots(examples, vmid, &id(name));
        }
    }
    made(examples);
    changed(examples);
}

fn snapshots(examples: &mut Examples, vmid: Vmid, name: &SnapshotName) {
    let name = || name.clone();
    let create = |description| CreateSnapshot {
        vmid,
        name: name(),
        description,
    };
    examples.pair(&create(None), &create(Some("felhom: one\ntwo".to_owned())));
    let rollback = |start| RollbackSnapshot {
        vmid,
        name: name(),
        start,
    };
    examples.pair(&rollback(false), &rollback(true));
    examples.one(&DeleteSnapshot { vmid, name: name() });
    examples.one(&GetSnapshotConfig { vmid, name: name() });
}

fn made(examples: &mut Examples) {
    let least = CreateLxc {
        vmid: Vmid::MIN,
        template: id("local:vztmpl/debian-13-standard_13.1-1_amd64.tar.zst"),
        storage: id("local-lvm"),
        nesting: false,
        settings: LxcSettings::default(),
    };
    let most = CreateLxc {
        vmid: Vmid::MAX,
        template: id("local:vztmpl/debian-13-standard_13.1-1_amd64.tar.zst"),
        storage: id("local-lvm"),
        nesting: true,
        settings: settings(),
    };
    examples.pair(&least, &most);
    let least = RestoreLxc {
        vmid: Vmid::MIN,
        archive: id("local:backup/vzdump-lxc-9001-2026_11_23-00_12_24.tar.zst"),
        storage: None,
        settings: LxcSettings::default(),
        bwlimit: None,
    };
    let most = RestoreLxc {
        vmid: Vmid::MAX,
        archive: id("PBS.2:backup/ct/9001/2026-06-09T14:18:33Z"),
        storage: Some(id("local-lvm")),
        settings: settings(),
        bwlimit: Some(u64::MAX),
    };
    examples.pair(&least, &most);
}

/// Everything that a new container may be given.
fn settings() -> LxcSettings {
    let bare = NetworkInterface::new(id("eth31"));
    let small = MountPoint::new(
        id("local-lvm"),
        ByteSize::from_bytes(1 << 20),
        id("/srv/a b"),
    );
    LxcSettings {
        pool: Some(id("lab/tests/deep")),
        hostname: Some("felhom-9001.example.org".to_owned()),
        description: Some("felhom: one\ntwo".to_owned()),
        memory: Some(16),
        swap: Some(0),
        cores: Some(8192),
        cpulimit: Some(8192),
        onboot: Some(false),
        protection: Some(true),
        rootfs: Some(root()),
        mounts: BTreeMap::from([(0, mount()), (255, small)]),
        nets: BTreeMap::from([(0, net()), (31, bare)]),
    }
}

fn root() -> RootFs {
    RootFs {
        source: MountSource::New {
            storage: id("local-lvm"),
            size: ByteSize::from_bytes((1 << 30) + 1),
        },
        options: options(),
    }
}

fn mount() -> MountPoint {
    MountPoint {
        source: MountSource::Volume(id("nas:9001/vm-9001-disk-1.raw")),
        mp: id("/srv/data"),
        backup: Some(true),
        keepattrs: Some(false),
        options: options(),
    }
}

fn options() -> MountOptions {
    MountOptions {
        size: Some(ByteSize::from_bytes(1280 << 20)),
        acl: Some(true),
        quota: Some(false),
        ro: Some(true),
        shared: Some(false),
        replicate: Some(false),
        mountoptions: Some(id("noatime;nodev")),
        idmap: Some(id("u:0:100000:65536;g:0:100000:65536")),
        other: BTreeMap::new(),
    }
}

fn net() -> NetworkInterface {
    NetworkInterface {
        name: id("eth0"),
        bridge: Some(id("lan-1.42_b")),
        hwaddr: Some(id("bc:24:11:aa:0b:cc")),
        ip: Some(Ipv4Setting::Static {
            address: id("198.51.100.77"),
            prefix: 32,
        }),
        gw: Some(id("198.51.100.1")),
        ip6: Some(Ipv6Setting::Static {
            address: id("2001:db8::7"),
            prefix: 64,
        }),
        gw6: Some(id("fe80::1")),
        firewall: Some(true),
        link_down: Some(true),
        host_managed: Some(false),
        mtu: Some(1500),
        tag: Some(4094),
        trunks: Some(id("2;3;4")),
        rate: Some(id("12.5")),
        kind: Some(id("veth")),
        other: BTreeMap::new(),
    }
}

fn changed(examples: &mut Examples) {
    let vmid = Vmid::MAX;
    let nothing = SetLxcConfig {
        vmid,
        set: BTreeMap::new(),
        delete: Vec::new(),
        digest: None,
    };
    let keys = [
        ("net0", net().to_string()),
        ("mp255", mount().to_string()),
        ("rootfs", root().to_string()),
        ("features", features().to_string()),
        ("description", "one\ntwo".to_owned()),
        ("onboot", "0".to_owned()),
    ];
    let most = SetLxcConfig {
        vmid,
        set: keys.map(|(key, value)| (key.to_owned(), value)).into(),
        delete: vec!["net1".to_owned(), "mp2".to_owned(), "unused0".to_owned()],
        digest: Some(id("16cb552bbd99f5eea7567f46b6a90f4cb912115d")),
    };
    examples.pair(&nothing, &most);
    let mut net = net();
    for (ip, ip6) in [
        (Ipv4Setting::Dhcp, Ipv6Setting::Dhcp),
        (Ipv4Setting::Manual, Ipv6Setting::Manual),
        (Ipv4Setting::Manual, Ipv6Setting::Auto),
    ] {
        (net.ip, net.ip6) = (Some(ip), Some(ip6));
        examples.one(&SetLxcConfig::one(vmid, "net31", &net));
    }
    for source in [
        MountSource::Device(id("/dev/sdb1")),
        MountSource::Bind(id("/srv/media")),
    ] {
        let mount = MountPoint { source, ..mount() };
        examples.one(&SetLxcConfig::one(vmid, "mp0", &mount));
    }
}

fn features() -> Features {
    Features {
        nesting: Some(true),
        keyctl: Some(false),
        fuse: Some(true),
        mknod: Some(false),
        force_rw_sys: Some(true),
        mount: Some(id("nfs;cifs")),
        other: BTreeMap::new(),
    }
}
