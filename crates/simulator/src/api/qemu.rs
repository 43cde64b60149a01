//! `/nodes/{node}/qemu`: guests that exist as configuration only.

use std::collections::BTreeMap;

use aws_lc_rs::digest;
use serde_json::{Map, Value, json};

use crate::call::{Answer, ApiError, Call, Reply, object};
use crate::hex;
use crate::route::{Kind, Route, Rule, may};
use crate::world::{Qemu, World};

const AUDIT: Rule = Rule::All("/vms/{vmid}", &["VM.Audit"]);
/// What QEMU gets that says nothing of memory.
const MEMORY: u64 = 512;

pub(crate) const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "/nodes/{node}/qemu",
        rule: Rule::User,
        params: &[may("full", Kind::Bool)],
        handler: list,
    },
    Route {
        method: "GET",
        path: "/nodes/{node}/qemu/{vmid}/status/current",
        rule: AUDIT,
        params: &[],
        handler: status,
    },
    Route {
        method: "GET",
        path: "/nodes/{node}/qemu/{vmid}/config",
        rule: AUDIT,
        params: &[may("current", Kind::Bool), may("snapshot", Kind::ConfigId)],
        handler: config,
    },
];

impl Qemu {
    fn name(&self, vmid: u32) -> String {
        self.config
            .get("name")
            .cloned()
            .unwrap_or_else(|| format!("VM {vmid}"))
    }

    fn number(&self, key: &str, default: u64) -> u64 {
        self.config
            .get(key)
            .and_then(|value| value.parse().ok())
            .unwrap_or(default)
    }

    fn status(&self, vmid: u32) -> Map<String, Value> {
        object(json!({
            "vmid": vmid, "name": self.name(vmid), "status": "stopped", "cpus": self.number("sockets", 1),
            "cpu": 0, "mem": 0, "memhost": 0, "maxmem": self.number("memory", MEMORY) << 20, "disk": 0, "maxdisk": 0,
            "netin": 0, "netout": 0, "uptime": 0,
        }))
    }

    fn text(&self) -> String {
        let lines: Vec<String> = self
            .config
            .iter()
            .map(|(key, value)| format!("{key}: {value}\n"))
            .collect();
        lines.concat()
    }
}

/// One complete row a guest, as `/cluster/resources` shows it.
pub(crate) fn rows(world: &World) -> Vec<Map<String, Value>> {
    let row = |(vmid, guest): (&u32, &Qemu)| {
        let mut row = guest.status(*vmid);
        let cpus = row.remove("cpus").unwrap_or_default();
        row.insert("maxcpu".into(), cpus);
        row.insert("id".into(), format!("qemu/{vmid}").into());
        row.insert("type".into(), "qemu".into());
        row.insert("node".into(), world.node.name.clone().into());
        row.insert("template".into(), 0.into());
        row.insert("diskread".into(), 0.into());
        row.insert("diskwrite".into(), 0.into());
        row
    };
    world.qemu.iter().map(row).collect()
}

fn guest(world: &World, vmid: u32) -> Result<&Qemu, ApiError> {
    world.qemu.get(&vmid).ok_or_else(|| {
        ApiError::die(format!(
            "Configuration file 'nodes/{}/qemu-server/{vmid}.conf' does not exist",
            world.node.name
        ))
    })
}

fn list(call: &Call<'_>) -> Reply {
    let world = call.sim.lock();
    let seen = world
        .qemu
        .iter()
        .filter(|(vmid, _)| world.has(call.auth, &format!("/vms/{vmid}"), "VM.Audit"));
    Ok(Answer::Data(
        seen.map(|(vmid, guest)| Value::Object(guest.status(*vmid)))
            .collect(),
    ))
}

fn status(call: &Call<'_>) -> Reply {
    let world = call.sim.lock();
    let vmid = call.params.vmid();
    let mut status = guest(&world, vmid)?.status(vmid);
    status.insert("qmpstatus".into(), "stopped".into());
    status.insert("ha".into(), json!({ "managed": 0 }));
    Ok(Answer::Data(Value::Object(status)))
}

fn config(call: &Call<'_>) -> Reply {
    let world = call.sim.lock();
    let guest = guest(&world, call.params.vmid())?;
    if let Some(snapshot) = call.params.text("snapshot") {
        return Err(ApiError::die(format!(
            "snapshot '{snapshot}' does not exist"
        )));
    }
    // Integers come as numbers, except memory, which became a property string and stays a text.
    let value = |key: &str, text: &str| match text.parse::<u64>() {
        Ok(number) if !["memory", "name"].contains(&key) => json!(number),
        _ => json!(text),
    };
    let mut config: BTreeMap<String, Value> = guest
        .config
        .iter()
        .map(|(key, text)| (key.clone(), value(key, text)))
        .collect();
    let sum = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, guest.text().as_bytes());
    config.insert("digest".into(), hex::lower(sum.as_ref()).into());
    Ok(Answer::Data(json!(config)))
}
