//! The world of the documentation: two containers with data in every kind of place, a VM without a disk, an isolated bridge, a scratch pool, and the principals.

use std::io;
use std::path::PathBuf;

use super::files::{self, noise};
use super::virgin::{define, node};
use crate::access::Pool;
use crate::guest::config::Config;
use crate::guest::tree::put;
use crate::guest::{Lxc, Run, init};
use crate::hostd::Disk;
use crate::qemu::Qemu;
use crate::sim::Sim;
use crate::storage::volumes;
use crate::world::Bridge;

/// Pool of scratch guests, and the bridge that leads nowhere.
const SCRATCH_POOL: &str = "felhom-scratch";
const ISLAND: &str = "vmbr9";
/// Bytes a second that each production guest writes.
const WRITES: u64 = 4096;
const GIB: u64 = 1 << 30;
/// The file system of the disk that hangs on the node's USB port.
const USB_UUID: &str = "0b7a9a0e-7a35-4f2c-8d0b-2c6f9c1e0a11";
/// From which golden containers are made.
const GOLDEN_TEMPLATE: &str = "debian-13-standard_13.1-2_amd64.tar.zst";

const CT_9001: &str = "\
arch: amd64
cores: 1
features: nesting=1,keyctl=1
hostname: demo-ctl
memory: 256
net0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:BC:99:47,ip=dhcp,type=veth
onboot: 1
ostype: debian
rootfs: local-lvm:vm-9001-disk-0,size=2G
swap: 0
unprivileged: 1
";

const CT_9010: &str = "\
arch: amd64
cores: 1
features: nesting=1,keyctl=1
hostname: demo-guest
memory: 256
mp1: local-lvm:vm-9010-disk-1,mp=/mnt/mp1,backup=1,size=1G
mp2: local-lvm:vm-9010-disk-2,mp=/mnt/mp2,backup=0,size=1G
mp3: /var/lib/bindmount,mp=/mnt/mp3
net0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:40:B3:87,ip=dhcp,type=veth
onboot: 1
ostype: debian
rootfs: local-lvm:vm-9010-disk-0,size=2G
swap: 0
unprivileged: 1
";

const VM_9000: &str = "\
boot: order=scsi0
cores: 2
memory: 2048
name: demo-vm
net0: virtio=BC:24:11:00:90:00,bridge=vmbr0
ostype: l26
scsihw: virtio-scsi-single
";

pub(crate) fn build(sim: &Sim) -> io::Result<()> {
    node(
        sim,
        "iso,vztmpl,backup,import,snippets",
        files::Init::Ifupdown,
    )?;
    {
        let mut world = sim.lock();
        define(
            &mut world,
            "local-lvm",
            "lvmthin",
            &[
                ("vgname", "pve"),
                ("thinpool", "data"),
                ("content", "rootdir,images"),
            ],
        );
        world.bridges.insert(
            ISLAND.into(),
            Bridge {
                active: true,
                ..Bridge::default()
            },
        );
        world.pools.insert(SCRATCH_POOL.into(), Pool::default());
        let config = Config::parse(VM_9000);
        let machine = Qemu {
            config,
            ..Qemu::default()
        };
        world.qemu.insert(9000, machine);
        world.add_demo_principals(
            &[9001, 9010, 9000],
            &["local", "local-lvm"],
            SCRATCH_POOL,
            ISLAND,
        );
    }
    backup_server(sim);
    plugged_in(sim)?;
    files_9001(sim)?;
    files_9010(sim)?;
    container(sim, 9001, CT_9001, &[2 * GIB], 3600.0)?;
    container(sim, 9010, CT_9010, &[2 * GIB, GIB, GIB], 3540.0)
}

/// A disk that nobody has taken for anything yet, and a template of today.
fn plugged_in(sim: &Sim) -> io::Result<()> {
    let mut world = sim.lock();
    let disk = Disk {
        uuid: USB_UUID.into(),
        serial: "SIM-USB-0001".into(),
        label: "BACKUP".into(),
        ..Disk::default()
    };
    let disks = &mut world.storage.removable;
    disks.disks.insert("usb1".into(), disk);
    disks.attach(&sim.state_dir, "usb1")?;
    let cache = world.storage.folder("local").unwrap_or_default();
    let cache = cache.join("template/cache");
    let wanted = cache.join(GOLDEN_TEMPLATE);
    if wanted.exists() {
        return Ok(());
    }
    std::fs::copy(cache.join(files::TEMPLATE), wanted).map(drop)
}

/// Another box that stores backups: one datastore, and one token that may work with it.
fn backup_server(sim: &Sim) {
    let mut world = sim.lock();
    world.pbs.add_store("felhom");
    world
        .pbs
        .add_token("felhom@pbs", "n100", "/datastore/felhom", "DatastoreAdmin");
}

fn tree(sim: &Sim, name: &str) -> PathBuf {
    volumes::tree_path(&sim.state_dir, &format!("local-lvm:{name}"))
}

fn docker(root: &std::path::Path, volume: &str) -> String {
    let base = format!("var/lib/docker/volumes/{volume}/_data");
    // Docker keeps its list of volumes beside them.
    let listed = put(root, "var/lib/docker/volumes/metadata.db", b"\0");
    if listed.is_err() {
        tracing::debug!(volume, "no volume list");
    }
    base
}

fn files_9001(sim: &Sim) -> io::Result<()> {
    let root = tree(sim, "vm-9001-disk-0");
    files::system(&root, files::Init::Ifupdown)?;
    put(&root, "SENTINEL_ROOTFS", b"rootfs of 9001\n")?;
    put(&root, "opt/stack/compose.yaml", b"services:\n  db:\n    image: postgres:17\n    volumes: [pgdata:/var/lib/postgresql/data]\nvolumes:\n  pgdata:\n")?;
    let data = docker(&root, "pgdata");
    put(&root, &format!("{data}/PG_VERSION"), b"17\n")?;
    put(
        &root,
        &format!("{data}/SENTINEL_PGDATA"),
        b"named volume pgdata of 9001\n",
    )?;
    put(&root, &format!("{data}/base/5/16384"), &noise(41, 1 << 20))?;
    put(
        &root,
        &format!("{data}/pg_wal/000000010000000000000001"),
        &noise(42, 1 << 20),
    )?;
    let uploads = docker(&root, "uploads");
    put(
        &root,
        &format!("{uploads}/photo-0001.jpg"),
        &noise(43, 512 << 10),
    )?;
    put(&root, "tmp/scratch", b"not worth keeping\n")
}

fn files_9010(sim: &Sim) -> io::Result<()> {
    let root = tree(sim, "vm-9010-disk-0");
    files::system(&root, files::Init::Ifupdown)?;
    for point in ["mnt/mp1", "mnt/mp2", "mnt/mp3"] {
        std::fs::create_dir_all(root.join(point))?;
    }
    put(&root, "SENTINEL_ROOTFS", b"rootfs of 9010\n")?;
    let data = docker(&root, "b2vol");
    put(
        &root,
        &format!("{data}/SENTINEL_DOCKERVOL"),
        b"named volume b2vol\n",
    )?;
    put(&root, &format!("{data}/library.db"), &noise(51, 1 << 20))?;
    let hot = tree(sim, "vm-9010-disk-1");
    put(&hot, "SENTINEL_MP1", b"mp1, backup=1\n")?;
    put(&hot, "documents/2026/ledger.ods", &noise(52, 1 << 20))?;
    let bulk = tree(sim, "vm-9010-disk-2");
    put(&bulk, "SENTINEL_MP2", b"mp2, backup=0\n")?;
    // The bulk volume of Docker is bound onto mp2. Of such a volume Docker keeps its options and an empty directory.
    let own = docker(&root, "bulkvol");
    std::fs::create_dir_all(root.join(&own))?;
    let options =
        br#"{"MountType":"none","MountOpts":"bind","MountDevice":"/mnt/mp2","Quota":{"Size":0}}"#;
    put(&root, "var/lib/docker/volumes/bulkvol/opts.json", options)?;
    put(&bulk, "SENTINEL_BULK", b"bulk volume on mp2\n")?;
    put(&bulk, "films/holiday.mkv", &noise(53, 2 << 20))?;
    let bound = sim.state_dir.join("host/var/lib/bindmount");
    put(&bound, "SENTINEL_MP3", b"bind mount mp3\n")
}

/// Puts a container with its volumes into the world, running for so many seconds already.
fn container(sim: &Sim, vmid: u32, text: &str, sizes: &[u64], age: f64) -> io::Result<()> {
    let now = sim.clock.now();
    let config = Config::parse(text);
    let mut world = sim.lock();
    for (place, size) in sizes.iter().enumerate() {
        let name = format!("vm-{vmid}-disk-{place}");
        let volid = format!("local-lvm:{name}");
        let made = world.allocate(
            "local-lvm",
            vmid,
            Some(&name),
            *size,
            now - 86_400,
            &mut Vec::new(),
        );
        made.map_err(io::Error::other)?;
        let content = crate::guest::tree::size(&volumes::tree_path(&sim.state_dir, &volid));
        world.format_volume(&volid, content);
    }
    let guest = Lxc {
        config,
        writes: WRITES,
        ..Lxc::default()
    };
    let (section, name) = (guest.config.current.clone(), guest.name(vmid));
    world.guests.lxc.insert(vmid, guest);
    let root = world.rootfs(vmid).unwrap_or_default();
    init::write_files(&root, &section, &name)?;
    let address = format!("192.0.2.{}/24", 100 + vmid % 150);
    let network = init::boot(&root, |_| Some(address.clone()));
    let run = Run {
        pid: 1200 + vmid % 100,
        since: sim.clock.now_f64() - age,
        dies_at: None,
        network,
    };
    if let Some(guest) = world.guests.lxc.get_mut(&vmid) {
        guest.run = Some(run);
    }
    Ok(())
}
