//! The server itself: version, ping, status, certificate.

use serde_json::{Value, json};

use crate::pbs::access::{SYS_AUDIT, SYS_MODIFY};
use crate::pbs::http::{Call, Error, Reply, Route, Rule, data};
use crate::pbs::params::{NODE, need};

/// A self-signed certificate of this server lasts for a thousand years.
const LASTS: i64 = 31_536_000_000;

pub(super) const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "/version",
        rule: Rule::User,
        params: &[],
        handler: |_| {
            let repoid = "4940514b0f05d6cd6a5f711edfdd47c1fa41b537";
            data(json!({ "version": "3.2", "release": "4", "repoid": repoid }))
        },
    },
    Route {
        method: "GET",
        path: "/ping",
        rule: Rule::World,
        params: &[],
        handler: |_| data(json!({ "pong": true })),
    },
    Route {
        method: "GET",
        path: "/nodes",
        rule: Rule::Superuser,
        params: &[],
        handler: |call| data(json!([{ "node": call.sim.lock().pbs.node }])),
    },
    Route {
        method: "GET",
        path: "/nodes/{node}/status",
        rule: Rule::Rights("/system/status", SYS_AUDIT, false),
        params: &[need("node", NODE)],
        handler: status,
    },
    Route {
        method: "GET",
        path: "/nodes/{node}/certificates/info",
        rule: Rule::Rights("/system/certificates", SYS_MODIFY, false),
        params: &[need("node", NODE)],
        handler: certificates,
    },
    Route {
        method: "GET",
        path: "/nodes/{node}/subscription",
        rule: Rule::User,
        params: &[need("node", NODE)],
        handler: |_| {
            let text = "unable to read \"/etc/ssh/ssh_host_rsa_key.pub\" - No such file or directory (os error 2)";
            Err(Error::plain(format!("Error getting host key - {text}")))
        },
    },
];

fn status(call: &Call<'_>) -> Reply {
    let (now, fingerprint) = (call.sim.pbs_now(), call.sim.pbs.fingerprint());
    let world = call.sim.lock();
    let kernel = "Linux 6.18.44 #1 SMP PREEMPT_DYNAMIC";
    data(json!({
        "boot-info": { "mode": "legacy-bios", "secureboot": false },
        "cpu": 0.05,
        "cpuinfo": { "cpus": 2, "model": "AMD EPYC", "sockets": 1 },
        "current-kernel": {
            "machine": "x86_64", "release": "6.18.44", "sysname": "Linux", "version": "#1 SMP PREEMPT_DYNAMIC",
        },
        "info": { "fingerprint": fingerprint },
        "kversion": kernel,
        "loadavg": [0.36, 0.61, 0.12],
        "memory": { "free": 3_085_200_896_u64, "total": 4_276_510_208_u64, "used": 1_191_309_312_u64 },
        "root": { "avail": 73_293_324_288_u64, "total": 270_553_174_016_u64, "used": 24_279_425_024_u64 },
        "swap": { "free": 0, "total": 0, "used": 0 },
        "uptime": now - world.pbs.boot,
        "wait": 0.01,
    }))
}

fn certificates(call: &Call<'_>) -> Reply {
    let fingerprint = call.sim.pbs.fingerprint();
    let pem = std::fs::read_to_string(call.sim.state_dir.join("pbs/proxy.pem"));
    let world = call.sim.lock();
    let (node, since) = (&world.pbs.node, world.pbs.boot);
    let name = format!("O = Proxmox Backup Server, CN = {node}");
    let item: Value = json!({
        "filename": "proxy.pem", "fingerprint": fingerprint, "issuer": name, "subject": name,
        "notbefore": since, "notafter": since + LASTS, "pem": pem.unwrap_or_default(),
        "public-key-bits": 256, "public-key-type": "id-ecPublicKey", "san": ["localhost", node],
    });
    data(json!([item]))
}
