//! `/nodes/{node}/qemu`: guests that exist as configuration only.

use std::collections::BTreeMap;

use aws_lc_rs::digest;
use serde_json::{Map, Value, json};

use crate::call::{Answer, ApiError, Call, Params, Reply, object};
use crate::hex;
use crate::route::{Kind, Route, Rule, may, need};
use crate::words;
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
        method: "POST",
        path: "/nodes/{node}/qemu",
        rule: Rule::User,
        params: &[
            need("vmid", Kind::Vmid),
            may("pool", Kind::Format(words::pool_id)),
            may("name", Kind::Format(words::dns_name)),
            may("memory", Kind::Text),
            may("cores", Kind::Int(1, i64::MAX)),
            may("sockets", Kind::Int(1, i64::MAX)),
            may(
                "ostype",
                Kind::Enum(&[
                    "other", "wxp", "w2k", "w2k3", "w2k8", "wvista", "win7", "win8", "win10",
                    "win11", "l24", "l26", "solaris",
                ]),
            ),
            may(
                "scsihw",
                Kind::Enum(&[
                    "lsi",
                    "lsi53c810",
                    "virtio-scsi-pci",
                    "virtio-scsi-single",
                    "megasas",
                    "pvscsi",
                ]),
            ),
            may("boot", Kind::Text),
            may("onboot", Kind::Bool),
            may("description", Kind::Short(8192)),
            may("net[n]", Kind::Text),
        ],
        handler: create,
    },
    Route {
        method: "DELETE",
        path: "/nodes/{node}/qemu/{vmid}",
        rule: Rule::All("/vms/{vmid}", &["VM.Allocate"]),
        params: &[
            may("purge", Kind::Bool),
            may("destroy-unreferenced-disks", Kind::Bool),
            may("skiplock", Kind::Bool),
        ],
        handler: destroy,
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

/// Lays down a configuration; there are no disks to make.
fn create(call: &Call<'_>) -> Reply {
    let vmid = call.params.vmid();
    let pool = call.params.text("pool");
    {
        let world = call.sim.lock();
        if let Some(pool) = &pool {
            world.check_pool_exists(pool)?;
        }
        world
            .check_vm(call.auth, vmid, pool.as_deref(), &["VM.Allocate"])
            .map_err(|_| ApiError::forbidden(""))?;
        let node = &world.node.name;
        let kind = [
            (world.qemu.contains_key(&vmid), "VM"),
            (world.guests.lxc.contains_key(&vmid), "CT"),
        ];
        if let Some((_, kind)) = kind.into_iter().find(|(exists, _)| *exists) {
            return Err(ApiError::die(format!(
                "unable to create VM {vmid} - {kind} {vmid} already exists on node '{node}'"
            )));
        }
    }
    let Params(options) = call.params.clone();
    let is_option = |key: &str| !["node", "vmid", "pool"].contains(&key);
    let config: BTreeMap<String, String> = options
        .keys()
        .filter(|key| is_option(key))
        .map(|key| (key.clone(), call.params.need(key)))
        .collect();
    let upid = call.sim.start_task(
        call.auth,
        "qmcreate",
        &vmid.to_string(),
        move |worker| async move {
            let mut world = worker.sim.lock();
            world.qemu.insert(vmid, Qemu { config });
            if let Some(pool) = pool {
                world.pools.entry(pool).or_default().vms.insert(vmid);
            }
            Ok(())
        },
    );
    Ok(Answer::Data(upid.into()))
}

fn destroy(call: &Call<'_>) -> Reply {
    let vmid = call.params.vmid();
    guest(&call.sim.lock(), vmid)?;
    let upid = call.sim.start_task(
        call.auth,
        "qmdestroy",
        &vmid.to_string(),
        move |worker| async move {
            let mut world = worker.sim.lock();
            world.qemu.remove(&vmid);
            world.guest_destroyed(vmid);
            Ok(())
        },
    );
    Ok(Answer::Data(upid.into()))
}
