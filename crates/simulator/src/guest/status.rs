//! A container's state as lists and status calls show it.

use serde_json::{Map, Value, json};

use super::formats::Mount;
use super::{Lxc, Run, whole};
use crate::storage::Volume;
use crate::world::World;

/// A row with nothing but fixed keys.
fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Map::new()
        }
    }
}

/// What `statfs` says of an ext4 file system on a device of this size.
fn usable(size: u64) -> u64 {
    size.saturating_sub((34_082_816 + size / 1000 * 17).min(size / 2))
}

impl Lxc {
    fn number(&self, key: &str, default: u64) -> u64 {
        let text = self.config.current.get(key);
        text.and_then(|value| value.parse().ok()).unwrap_or(default)
    }

    fn root(&self) -> Option<Mount> {
        self.volumes().into_iter().next()
    }
}

/// What only a running container has.
fn live(guest: &Lxc, run: &Run, volume: Option<&Volume>, now: f64) -> Value {
    json!({
        "status": "running",
        "pid": run.pid,
        "uptime": whole(now - run.since),
        "cpu": if guest.frozen { 0.0 } else { 0.0012 },
        "mem": 48_u64 << 20,
        "diskread": 7_553_024,
        "disk": volume.map_or(0, |volume| volume.content + volume.churn),
        "maxdisk": usable(guest.root().as_ref().and_then(Mount::size).unwrap_or(4 << 30)),
        "pressurecpusome": "0.00",
        "pressurecpufull": "0.00",
        "pressureiosome": "0.00",
        "pressureiofull": "0.00",
        "pressurememorysome": "0.00",
        "pressurememoryfull": "0.00",
    })
}

impl World {
    /// The row of `GET /nodes/N/lxc` and of `status/current`.
    pub(crate) fn lxc_status(&self, vmid: u32, now: f64) -> Map<String, Value> {
        let Some(guest) = self.guests.lxc.get(&vmid) else {
            return Map::new();
        };
        let root = guest.root();
        let mut row = object(json!({
            "vmid": vmid,
            "type": "lxc",
            "name": guest.name(vmid),
            "status": "stopped",
            "cpus": guest.number("cores", u64::from(self.node.cpus)),
            "maxmem": guest.number("memory", 512) << 20,
            "maxswap": guest.number("swap", 512) << 20,
            "maxdisk": root.as_ref().and_then(Mount::size).unwrap_or(4 << 30),
            "cpu": 0, "mem": 0, "swap": 0, "disk": 0, "diskread": 0, "diskwrite": 0, "netin": 0, "netout": 0,
            "uptime": 0,
        }));
        if let Some(run) = &guest.run {
            let volume = root.and_then(|mount| self.storage.volumes.get(mount.volume()));
            row.extend(object(live(guest, run, volume, now)));
        }
        for key in ["lock", "tags"] {
            if let Some(value) = guest.config.current.get(key) {
                row.insert(key.into(), json!(value));
            }
        }
        if guest.config.current.flag("template") {
            row.insert("template".into(), json!(1));
        }
        row
    }
}

/// Called by `/cluster/resources` and others: one complete row a guest as that call answers it (`vmid`, `type`, `id`,
/// `name`, `status`, `mem` …); permissions are the caller's business.
pub(crate) fn rows(world: &World, now: i64) -> Vec<Map<String, Value>> {
    #[expect(
        clippy::as_conversions,
        clippy::cast_precision_loss,
        reason = "seconds since the epoch fit"
    )]
    let time = now as f64;
    let row = |&vmid: &u32| {
        let mut row = world.lxc_status(vmid, time);
        row.retain(|key, _| !key.starts_with("pressure") && key != "pid" && !key.contains("swap"));
        if let Some(cpus) = row.remove("cpus") {
            row.insert("maxcpu".into(), cpus);
        }
        row.insert("id".into(), json!(format!("lxc/{vmid}")));
        row.insert("node".into(), json!(world.node.name));
        row.insert("memhost".into(), json!(0));
        row.entry("template").or_insert(json!(0));
        row
    };
    world.guests.lxc.keys().map(row).collect()
}
