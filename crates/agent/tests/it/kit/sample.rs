//! The page in the documentation is one that the program prints.

use std::collections::BTreeMap;
use std::path::Path;

use felhom_agent::kit::{ArchiveFact, Config, DiskFact, Facts, GuestFact, compose, page};
use felhom_engine::Timestamp;
use felhom_ids::GuestKind;
use felhom_proxmox::pve::guests::{LxcConfig, QemuConfig};
use felhom_proxmox::pve::written::Written;

/// 2026-11-20 02:30 UTC.
const DAY: i64 = 1_795_141_800;

fn written(text: &str) -> Written {
    let pairs = text.lines().filter_map(|line| line.trim().split_once(' '));
    Written(
        pairs
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect(),
    )
}

fn archive(volid: &str, made_s: i64, proven_s: Option<i64>) -> ArchiveFact {
    ArchiveFact {
        volid: volid.parse().unwrap(),
        size: 3 << 30,
        made_s,
        proven_s,
    }
}

fn cloud() -> GuestFact {
    let text = "arch: amd64\ncores: 2\nfeatures: nesting=1,keyctl=1\nhostname: cloud\nmemory: 2048\n\
                mp0: local-lvm:vm-101-disk-1,mp=/srv/data,backup=1,size=64G\nmp1: /mnt/films,mp=/films\n\
                net0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:01:01,ip=dhcp,type=veth\nonboot: 1\n\
                ostype: debian\nrootfs: local-lvm:vm-101-disk-0,size=16G\nswap: 512\nunprivileged: 1\n";
    let config = Config::Lxc(LxcConfig::from_text(text));
    GuestFact {
        vmid: 101,
        kind: GuestKind::Lxc,
        name: "cloud".to_owned(),
        running: true,
        selected: true,
        pool: None,
        config: Ok(config.clone()),
        archives: vec![
            archive(
                "usb1:backup/vzdump-lxc-101-2026_11_20-02_30_00.tar.zst",
                DAY,
                Some(DAY + 86_400),
            ),
            archive(
                "usb1:backup/vzdump-lxc-101-2026_11_22-02_30_00.tar.zst",
                DAY + 172_800,
                None,
            ),
        ],
        archived: Some(Ok(config)),
    }
}

fn shop() -> GuestFact {
    let text = "agent: 1\nboot: order=scsi0\ncores: 2\nmemory: 4096\nname: shop\n\
                net0: virtio=BC:24:11:00:01:02,bridge=vmbr1\nonboot: 1\nostype: l26\n\
                scsi0: local-lvm:vm-102-disk-0,iothread=1,size=32G\nscsi1: local-lvm:vm-102-disk-1,backup=0,size=100G\n\
                scsihw: virtio-scsi-single\nstartup: order=1\n";
    let config = Config::Qemu(QemuConfig::from_text(text));
    GuestFact {
        vmid: 102,
        kind: GuestKind::Qemu,
        name: "shop".to_owned(),
        running: true,
        selected: true,
        pool: None,
        config: Ok(config.clone()),
        archives: vec![archive(
            "offsite:backup/vm/102/2026-11-21T03:00:00Z",
            DAY + 88_200,
            Some(DAY + 90_000),
        )],
        archived: Some(Ok(config)),
    }
}

/// A box as many have it: a removable disk, a backup server, a container and a machine.
fn facts() -> Facts {
    let pin = "8F:3B:C5:10:2E:77:A4:90:1D:6B:22:FE:09:5C:D8:41:8F:3B:C5:10:2E:77:A4:90:1D:6B:22:FE:09:5C:D8:41";
    let storages = [
        "storage local\ntype dir\npath /var/lib/vz\ncontent backup,iso,vztmpl".to_owned(),
        "storage local-lvm\ntype lvmthin\nvgname pve\nthinpool data\ncontent rootdir,images".to_owned(),
        format!(
            "storage offsite\ntype pbs\nserver pbs.example.net\ndatastore boxes\nnamespace home\ncontent backup\n\
             fingerprint {pin}\nusername box@pbs!pve\nencryption-key {pin}\nshared 1"
        ),
        "storage usb1\ntype dir\npath /mnt/felhom/usb1\nis_mountpoint yes\ncontent backup\nprune-backups keep-all=1"
            .to_owned(),
    ];
    let interfaces = [
        "iface vmbr0\ntype bridge\nautostart 1\nmethod static\ncidr 192.0.2.10/24\ngateway 192.0.2.1\nbridge_ports enp1s0",
        "iface vmbr1\ntype bridge\nautostart 1\nmethod manual\nbridge_ports enp2s0\nbridge_vlan_aware 1",
    ];
    Facts {
        installation: None,
        made: Timestamp::from_millis((DAY + 200_000) * 1000),
        agent_version: "1.0.0".to_owned(),
        node: "box".to_owned(),
        pve_version: Ok("9.2.11".to_owned()),
        fingerprint: Ok(pin.to_owned()),
        storages: Ok(storages.iter().map(|one| written(one)).collect()),
        interfaces: Ok(interfaces.map(written).to_vec()),
        disks: Ok(vec![DiskFact {
            uuid: "0b7a9a0e-7a35-4f2c-8d0b-2c6f9c1e0a11".to_owned(),
            path: "/mnt/felhom/usb1".to_owned(),
            serial: Some("WX12A3456789".to_owned()),
            removable: true,
        }]),
        keys: BTreeMap::from([(
            "offsite".to_owned(),
            "Ada said on 2026-10-02 that it is stored off the box".to_owned(),
        )]),
        guests: Ok(vec![cloud(), shop()]),
        unread: Vec::new(),
    }
}

/// A page on which much has to be quoted, and some is longer than a line.
pub(super) fn awkward() -> String {
    let mut facts = facts();
    let long = "o'clock $HOME `date` \"quoted\" \\ & ; * ? ".repeat(6);
    let bridge = format!("iface vmbr2\ntype bridge\nautostart 1\nmethod manual\ncomments {long}");
    facts.interfaces.as_mut().unwrap().push(written(&bridge));
    let share = "storage shares\ntype cifs\nserver 192.0.2.60\nshare the boss's own files\nusername o'neill\ncontent backup";
    facts.storages.as_mut().unwrap().push(written(share));
    let Config::Lxc(mut config) = cloud().config.unwrap() else {
        panic!("no container")
    };
    for (key, value) in [("hostname", "it's;here"), ("searchdomain", "a\nb 'c' \\d")] {
        config.raw.insert(key.to_owned(), value.to_owned());
    }
    facts.guests = Ok(vec![
        GuestFact {
            config: Ok(Config::Lxc(config)),
            ..cloud()
        },
        shop(),
    ]);
    page(&compose(&facts).0)
}

/// Set, the page in the documentation is written anew.
const WRITE: &str = "FELHOM_WRITE_SAMPLES";

#[test]
fn the_sample_in_the_documentation_is_what_the_program_prints() {
    let (kit, findings) = compose(&facts());
    assert!(findings.is_empty(), "{findings:?}");
    let printed = page(&kit);
    assert!(printed.lines().all(|line| line.chars().count() <= 80));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operations/kit.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once("```text\n").unwrap();
    let (sample, after) = rest.split_once("```\n").unwrap();
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&path, format!("{before}```text\n{printed}```\n{after}")).unwrap();
        return;
    }
    assert_eq!(sample, printed, "{WRITE}=1 writes it anew");
}

#[test]
fn volumes_on_several_storages_are_named_one_by_one_and_a_disk_in_the_box_is_told_as_such() {
    let mut facts = facts();
    let text = "hostname: two\nrootfs: local-lvm:vm-103-disk-0,size=2G\nmp0: tank:subvol-103-disk-0,mp=/srv,backup=1,size=512M\n\
                mp1: /srv/films,mp=/films,ro=1\nhookscript: local:snippets/hook.sh\ndev0: /dev/dri/renderD128\n";
    let config = Config::Lxc(LxcConfig::from_text(text));
    let guest = GuestFact {
        vmid: 103,
        archives: vec![archive(
            "inside:backup/vzdump-lxc-103-2026_11_20-02_30_00.tar.zst",
            DAY,
            None,
        )],
        config: Ok(config.clone()),
        archived: Some(Ok(config)),
        ..cloud()
    };
    facts.guests = Ok(vec![guest]);
    let more = [
        "storage tank\ntype zfspool\npool tank/guests\ncontent rootdir",
        "storage inside\ntype dir\npath /mnt/pve/inside\ncontent backup",
    ];
    facts.storages.as_mut().unwrap().extend(more.map(written));
    facts.disks.as_mut().unwrap().push(DiskFact {
        uuid: "U-U-I-D".to_owned(),
        path: "/mnt/pve/inside".to_owned(),
        serial: None,
        removable: false,
    });
    let (kit, findings) = compose(&facts);
    let codes: Vec<&str> = findings.iter().map(|one| one.code.as_str()).collect();
    assert_eq!(codes, ["kit-no-off-box"]);
    let text = page(&kit).replace("\\\n      ", "");
    for said in [
        "--rootfs local-lvm:2 --mp0 tank:0.5,mp=/srv,backup=1 --mp1 /srv/films,mp=/films,ro=1 --unprivileged 0",
        "pct set 103 --delete hookscript",
        "What=/dev/disk/by-uuid/U-U-I-D",
        "zpool import tank",
        "dev0 is the device /dev/dri/renderD128",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
}

#[test]
fn a_page_of_a_circle_says_so_and_ends() {
    let mut facts = facts();
    let text = "hostname: nas\nrootfs: local-lvm:vm-101-disk-0,size=2G\nnet0: name=eth0,bridge=vmbr0,ip=192.0.2.77/24\n";
    let config = Config::Lxc(LxcConfig::from_text(text));
    let guest = GuestFact {
        archives: vec![archive(
            "own:backup/vzdump-lxc-101-2026_11_20-02_30_00.tar.zst",
            DAY,
            None,
        )],
        config: Ok(config.clone()),
        archived: Some(Ok(config)),
        ..cloud()
    };
    facts.guests = Ok(vec![guest]);
    let own = written(
        "storage own\ntype nfs\nserver 192.0.2.77\nexport /srv\npath /mnt/pve/own\ncontent backup",
    );
    facts.storages.as_mut().unwrap().push(own);
    let (kit, findings) = compose(&facts);
    assert_eq!(findings[0].code, "kit-no-off-box", "{findings:?}");
    assert_eq!(kit.guests.len(), 1);
    let circle = page(&kit).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        circle.contains("It waits for a storage that a guest serves"),
        "{circle}"
    );
}

#[test]
fn a_guest_that_the_schedule_leaves_out_needs_no_archive() {
    let mut facts = facts();
    let without = |selected| GuestFact {
        archives: Vec::new(),
        archived: None,
        selected,
        ..cloud()
    };
    facts.guests = Ok(vec![without(false), shop()]);
    let (kit, findings) = compose(&facts);
    assert!(findings.is_empty(), "{findings:?}");
    assert!(kit.gaps.is_empty(), "{:?}", kit.gaps);
    let text = page(&kit).split_whitespace().collect::<Vec<_>>().join(" ");
    for said in [
        "101 cloud (lxc): NO ARCHIVE",
        "the schedule leaves it out (`schedule.guests`)",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    assert!(!text.contains("pct restore 101"), "{text}");
    facts.guests = Ok(vec![without(true), shop()]);
    let codes: Vec<String> = compose(&facts).1.into_iter().map(|one| one.code).collect();
    assert_eq!(codes, ["kit-no-archive"]);
}
