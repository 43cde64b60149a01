//! QEMU guests: configuration, process, what their disk makes them do, and what the API shows of them.
//!
//! A disk is a raw image of a few clusters. Its first block says what the system on it does once it boots
//! ([`Boot::read`]); an image without these lines is one on which nothing boots: QEMU runs, and nobody answers.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::call::{ApiError, object};
use crate::guest::config::Config;
use crate::guest::whole;
use crate::storage::volumes;
use crate::world::World;

pub(crate) mod drives;
pub(crate) mod options;
pub(crate) mod permissions;
#[cfg(test)]
mod tests;

use drives::Drive;

/// What QEMU gets that says nothing of memory.
const MEMORY: u64 = 512;
/// The version of QEMU that runs here.
const VERSION: &str = "11.0.0";

/// One virtual machine.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Qemu {
    pub(crate) config: Config,
    pub(crate) run: Option<Process>,
    /// `/etc/pve/firewall/ID.fw`
    pub(crate) firewall: String,
}

/// A QEMU process.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    /// Simulated time of its start.
    pub(crate) since: f64,
    /// `running`, `paused` or `prelaunch`, as QMP says it.
    pub(crate) state: String,
    pub(crate) boot: Boot,
}

/// What the system on the boot disk does.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Boot {
    /// Seconds after the start from which on the guest agent answers.
    pub(crate) agent_after: Option<f64>,
    /// Seconds after the start when the machine turns itself off.
    pub(crate) dies_after: Option<f64>,
    /// It does not listen to the power button.
    pub(crate) deaf: bool,
}

/// The first line of a disk that has a system.
const SYSTEM: &str = "simulated system";

impl Boot {
    /// Reads the lines at the start of an image.
    pub(crate) fn read(image: &Path) -> Self {
        let mut front = Vec::new();
        let read = File::open(image).and_then(|file| file.take(4096).read_to_end(&mut front));
        if let Err(error) = read {
            tracing::debug!(%error, "no image to boot from");
        }
        let text =
            String::from_utf8_lossy(front.split(|byte| *byte == 0).next().unwrap_or_default());
        let mut lines = text.lines();
        let mut boot = Self::default();
        if lines.next() != Some(SYSTEM) {
            return boot;
        }
        for line in lines {
            match line.split_once('=') {
                Some(("agent-after", seconds)) => boot.agent_after = seconds.parse().ok(),
                Some(("dies-after", seconds)) => boot.dies_after = seconds.parse().ok(),
                Some(("deaf", value)) => boot.deaf = value == "1",
                _ => {}
            }
        }
        boot
    }

    /// The lines that [`Boot::read`] reads.
    pub(crate) fn text(&self) -> String {
        let line = |key: &str, value: Option<f64>| value.map(|value| format!("{key}={value}"));
        let lines = [
            Some(SYSTEM.to_owned()),
            line("agent-after", self.agent_after),
            line("dies-after", self.dies_after),
            self.deaf.then(|| "deaf=1".to_owned()),
        ];
        let lines: Vec<String> = lines.into_iter().flatten().collect();
        lines.join("\n") + "\n"
    }
}

/// The image of a volume.
pub(crate) fn image(state: &Path, volid: &str) -> PathBuf {
    volumes::tree_path(state, volid).join("disk.raw")
}

impl Qemu {
    pub(crate) fn name(&self, vmid: u32) -> String {
        self.config
            .current
            .get("name")
            .map_or_else(|| format!("VM {vmid}"), ToOwned::to_owned)
    }

    fn number(&self, key: &str, default: u64) -> u64 {
        let text = self.config.current.get(key);
        text.and_then(|value| value.parse().ok()).unwrap_or(default)
    }

    /// Bytes of memory; the option is a property string with a default key.
    fn memory(&self) -> u64 {
        let text = self.config.current.get("memory").unwrap_or_default();
        let text = text.split(',').next().unwrap_or_default();
        let number = text.strip_prefix("current=").unwrap_or(text);
        number.parse().unwrap_or(MEMORY) << 20
    }

    /// Refuses when a lock stands in the configuration.
    pub(crate) fn check_lock(&self) -> Result<(), String> {
        match self.config.lock() {
            Some(lock) => Err(format!("VM is locked ({lock})")),
            None => Ok(()),
        }
    }

    pub(crate) fn drives(&self) -> Vec<Drive> {
        drives::of(&self.config.current)
    }

    /// The drive that `boot` names first, else the first disk.
    pub(crate) fn boot_drive(&self) -> Option<Drive> {
        let drives = self.drives();
        let order = self.config.current.get("boot").unwrap_or_default();
        let order = order.strip_prefix("order=").unwrap_or_default();
        let named = order.split(';').find_map(|key| {
            drives
                .iter()
                .find(|drive| drive.key == key && !drive.is_cdrom())
        });
        named
            .or_else(|| drives.iter().find(|drive| drive.is_disk()))
            .cloned()
    }

    /// Whether the agent is turned on in the options, and whether it may freeze file systems (`Agent.pm`).
    pub(crate) fn agent_option(&self) -> (bool, bool) {
        let text = self.config.current.get("agent").unwrap_or_default();
        let on = |value: &str| crate::guest::props::boolean(value).unwrap_or(false);
        let (mut enabled, mut freeze) = (false, true);
        for part in text.split(',').filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                None | Some(("enabled", _)) => {
                    enabled = on(part.rsplit('=').next().unwrap_or_default());
                }
                Some(("freeze-fs" | "freeze-fs-on-backup" | "guest-fsfreeze", value)) => {
                    freeze = on(value);
                }
                Some(_) => {}
            }
        }
        (enabled, enabled && freeze)
    }

    /// Whether the guest agent would answer a ping.
    pub(crate) fn agent_answers(&self, now: f64) -> bool {
        let (enabled, _) = self.agent_option();
        let up = self.run.as_ref().is_some_and(|run| {
            let after = run.boot.agent_after;
            run.state == "running" && after.is_some_and(|after| run.since + after <= now)
        });
        enabled && up
    }
}

/// What only a running machine has.
fn live(run: &Process, memory: u64, now: f64) -> Value {
    let held = (memory / 4).max(64 << 20).min(memory);
    json!({
        "status": "running", "pid": run.pid, "uptime": whole(now - run.since), "cpu": 0.0021,
        "mem": held, "memhost": held, "diskread": 12_582_912, "diskwrite": 65_536,
        "pressurecpusome": 0, "pressurecpufull": 0, "pressureiosome": 0, "pressureiofull": 0,
        "pressurememorysome": 0, "pressurememoryfull": 0,
    })
}

impl World {
    /// A machine, or PVE's error about its missing config file.
    pub(crate) fn machine(&self, vmid: u32) -> Result<&Qemu, ApiError> {
        self.qemu.get(&vmid).ok_or_else(|| {
            ApiError::die(format!(
                "Configuration file 'nodes/{}/qemu-server/{vmid}.conf' does not exist",
                self.node.name
            ))
        })
    }

    /// Lets machines turn off that were to by now.
    pub(crate) fn reap_machines(&mut self, now: f64) {
        for guest in self.qemu.values_mut() {
            let dead = guest.run.as_ref().is_some_and(|run| {
                let after = run.boot.dies_after;
                run.state == "running" && after.is_some_and(|after| run.since + after <= now)
            });
            if dead {
                guest.run = None;
            }
        }
    }

    /// The row of `GET /nodes/N/qemu` (QemuServer.pm `vmstatus`).
    pub(crate) fn machine_status(&self, vmid: u32, now: f64) -> Map<String, Value> {
        let Some(guest) = self.qemu.get(&vmid) else {
            return Map::new();
        };
        let wanted = guest.number("sockets", 1) * guest.number("cores", 1);
        let cpus = guest.number("vcpus", wanted.min(u64::from(self.node.cpus)));
        let size = guest.boot_drive().and_then(|drive| drive.size());
        let mut row = object(json!({
            "vmid": vmid, "name": guest.name(vmid), "status": "stopped", "cpus": cpus, "cpu": 0, "mem": 0,
            "memhost": 0, "maxmem": guest.memory(), "disk": 0, "maxdisk": size.unwrap_or(0), "netin": 0, "netout": 0,
            "uptime": 0,
        }));
        if let Some(run) = &guest.run {
            row.extend(object(live(run, guest.memory(), now)));
        }
        for key in ["lock", "tags"] {
            if let Some(value) = guest.config.current.get(key) {
                row.insert(key.into(), json!(value));
            }
        }
        if guest
            .config
            .current
            .values
            .keys()
            .any(|key| key.starts_with("serial"))
        {
            row.insert("serial".into(), json!(1));
        }
        if guest.config.current.flag("template") {
            row.insert("template".into(), json!(1));
        }
        row
    }

    /// The answer of `status/current`.
    pub(crate) fn machine_current(&self, vmid: u32, now: f64) -> Map<String, Value> {
        let mut row = self.machine_status(vmid, now);
        let guest = self.qemu.get(&vmid);
        let run = guest.and_then(|guest| guest.run.as_ref());
        let state = run.map_or("stopped", |run| run.state.as_str());
        row.insert("qmpstatus".into(), json!(state));
        row.insert("ha".into(), json!({ "managed": 0 }));
        if run.is_some() {
            row.insert("running-qemu".into(), json!(VERSION));
            row.insert("running-machine".into(), json!("pc-i440fx-11.0+pve0"));
        }
        if guest.is_some_and(|guest| guest.agent_option().0) {
            row.insert("agent".into(), json!(1));
        }
        row
    }
}

/// One complete row a guest, as `/cluster/resources` shows it.
pub(crate) fn rows(world: &World, now: i64) -> Vec<Map<String, Value>> {
    #[expect(
        clippy::as_conversions,
        clippy::cast_precision_loss,
        reason = "seconds since the epoch fit"
    )]
    let time = now as f64;
    let row = |vmid: &u32| {
        let mut row = world.machine_status(*vmid, time);
        row.retain(|key, _| !key.starts_with("pressure") && key != "pid" && key != "serial");
        let cpus = row.remove("cpus").unwrap_or_default();
        row.insert("maxcpu".into(), cpus);
        row.insert("id".into(), format!("qemu/{vmid}").into());
        row.insert("type".into(), "qemu".into());
        row.insert("node".into(), world.node.name.clone().into());
        for key in ["template", "diskread", "diskwrite"] {
            row.entry(key).or_insert(json!(0));
        }
        row
    };
    world.qemu.keys().map(row).collect()
}
