//! Virtual machines put where they are as by hand, and changed behind the API's back.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use serde::Deserialize;
use serde_json::{Value, json};

use super::files::noise;
use crate::guest::config::{Config, Section};
use crate::guest::props;
use crate::qemu::{Boot, Process, Qemu, image};
use crate::sim::Sim;

/// A machine.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Order {
    vmid: u32,
    /// Options without the disks below.
    config: BTreeMap<String, String>,
    #[serde(default)]
    disks: Vec<Disk>,
    /// Its firewall rules.
    #[serde(default)]
    firewall: String,
    /// It runs already, for so many seconds.
    running: Option<f64>,
}

/// One of its disks.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Disk {
    /// `scsi0`
    key: String,
    /// `4G`
    size: String,
    /// More of its property string: `backup=0`.
    #[serde(default)]
    options: String,
    #[serde(default = "local_lvm")]
    storage: String,
    /// What the system on it does; none: there is none.
    boot: Option<Boot>,
}

fn local_lvm() -> String {
    "local-lvm".into()
}

/// Bytes of data on each disk, here and there.
const DATA: usize = 192 << 10;

/// Puts a machine into the world.
pub(crate) fn put(sim: &Sim, order: Order) -> Result<(), String> {
    let mut section = Section {
        values: order.config,
        ..Section::default()
    };
    let now = sim.clock.now();
    for disk in &order.disks {
        let size = props::parse_size(&disk.size).ok_or("no size")?;
        let volid = {
            let mut world = sim.lock();
            world.allocate(&disk.storage, order.vmid, None, size, now, &mut Vec::new())?
        };
        let filled = fill(sim, &volid, disk, size).map_err(|error| error.to_string())?;
        sim.lock().write_volume(&volid, filled)?;
        let more = match disk.options.as_str() {
            "" => String::new(),
            options => format!("{options},"),
        };
        let text = format!("{volid},{more}size={}", disk.size);
        section.values.insert(disk.key.clone(), text);
    }
    let mut guest = Qemu {
        config: Config {
            current: section,
            ..Config::default()
        },
        firewall: order.firewall,
        ..Qemu::default()
    };
    if let Some(age) = order.running {
        let boot = order.disks.iter().find_map(|disk| disk.boot.clone());
        guest.run = Some(process(boot.unwrap_or_default(), sim.clock.now_f64() - age));
    }
    sim.lock().qemu.insert(order.vmid, guest);
    Ok(())
}

fn process(boot: Boot, since: f64) -> Process {
    Process {
        pid: 2718,
        since,
        state: "running".into(),
        boot,
    }
}

/// A system in the first block, and data in the first cluster and near the fourth MiB.
fn fill(sim: &Sim, volid: &str, disk: &Disk, size: u64) -> io::Result<u64> {
    let path = image(&sim.state_dir, volid);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let file = File::create(path)?;
    if let Some(boot) = &disk.boot {
        file.write_all_at(boot.text().as_bytes(), 0)?;
    }
    let data = noise(size, DATA);
    let mut written = 4096;
    if size > 4 << 20 {
        file.write_all_at(&data, 4096)?;
        file.write_all_at(&data, (4 << 20) - 4096 * 3)?;
        written += 2 * u64::try_from(DATA).unwrap_or_default();
    }
    Ok(written.min(size))
}

/// A change behind the API's back.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Poke {
    vmid: u32,
    #[serde(default)]
    set: BTreeMap<String, String>,
    #[serde(default)]
    delete: Vec<String>,
    running: Option<bool>,
    /// What the system that runs does from now on.
    boot: Option<Boot>,
}

/// Changes a machine.
pub(crate) fn poke(sim: &Sim, order: Poke) -> Result<Value, String> {
    let now = sim.clock.now_f64();
    let mut world = sim.lock();
    let guest = world.qemu.get_mut(&order.vmid).ok_or("no such machine")?;
    let values = &mut guest.config.current.values;
    values.extend(order.set);
    order.delete.iter().for_each(|key| drop(values.remove(key)));
    match order.running {
        Some(true) if guest.run.is_none() => guest.run = Some(process(Boot::default(), now)),
        Some(false) => guest.run = None,
        _ => {}
    }
    if let (Some(boot), Some(run)) = (order.boot, guest.run.as_mut()) {
        run.boot = boot;
    }
    Ok(json!({ "config": guest.config.print() }))
}
