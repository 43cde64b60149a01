//! `/nodes/{node}/network`: bridges for those who may use them, and the ports below.

pub(crate) mod change;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::access::Principal;
use crate::call::{Answer, ApiError, Call, Reply, object};
use crate::route::{Kind, Route, Rule, may};
use crate::world::{Bridge, World};

const TYPES: &[&str] = &[
    "bridge",
    "bond",
    "eth",
    "alias",
    "vlan",
    "fabric",
    "OVSBridge",
    "OVSBond",
    "OVSPort",
    "OVSIntPort",
    "vnet",
    "any_bridge",
    "any_local_bridge",
    "include_sdn",
];

/// Where the port got its other name from.
const PORT_MAC: &str = "525400123456";

pub(crate) const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "/nodes/{node}/network",
        rule: Rule::User,
        params: &[may("type", Kind::Enum(TYPES))],
        handler: list,
    },
    Route {
        method: "GET",
        path: "/nodes/{node}/network/{iface}",
        rule: Rule::All("/nodes/{node}", &["Sys.Audit"]),
        params: &[],
        handler: one,
    },
];

fn list(call: &Call<'_>) -> Reply {
    let world = call.sim.lock();
    let wanted = call.params.text("type");
    let wants = |kind: &str| match wanted.as_deref() {
        None | Some("include_sdn") => true,
        Some("any_bridge" | "any_local_bridge") => kind == "bridge",
        Some(other) => other == kind,
    };
    let mut rows = Vec::new();
    for (name, bridge) in planned(&world) {
        if wants("bridge") && may_see(&world, call.auth, name) {
            let mut row = bridge_row(name, bridge, rows.len());
            if !world.bridges.contains_key(name) {
                row.remove("active");
            }
            rows.push(Value::Object(row));
        }
    }
    for port in ports(&world).filter(|_| wants("eth")) {
        rows.push(port_row(port, rows.len()));
    }
    Ok(match change::difference(&world) {
        Some(changes) => Answer::Changes(rows.into(), changes),
        None => Answer::Data(rows.into()),
    })
}

/// The bridges with what is pending taken into account.
fn planned(world: &World) -> &BTreeMap<String, Bridge> {
    world.pending_bridges.as_ref().unwrap_or(&world.bridges)
}

fn may_see(world: &World, who: &Principal, bridge: &str) -> bool {
    world
        .check_any(
            who,
            &format!("/sdn/zones/localnetwork/{bridge}"),
            &["SDN.Audit", "SDN.Use"],
        )
        .is_ok()
}

fn ports(world: &World) -> impl Iterator<Item = &str> {
    world
        .bridges
        .values()
        .flat_map(|bridge| &bridge.ports)
        .map(String::as_str)
}

fn one(call: &Call<'_>) -> Reply {
    let name = call.params.need("iface");
    let world = call.sim.lock();
    let mut row = match planned(&world).get(&name) {
        Some(bridge) => bridge_row(&name, bridge, 0),
        None if ports(&world).any(|port| port == name) => object(port_row(&name, 0)),
        None => return Err(ApiError::param("iface", "interface does not exist")),
    };
    row.remove("iface");
    Ok(Answer::Data(Value::Object(row)))
}

fn bridge_row(name: &str, bridge: &Bridge, above: usize) -> Map<String, Value> {
    let mut row = object(json!({
        "iface": name,
        "type": "bridge",
        "priority": above + 4,
        "families": ["inet"],
        "method": if bridge.cidr.is_some() { "static" } else { "manual" },
        "method6": "manual",
        "autostart": 1,
        "bridge_ports": bridge.ports.join(" "),
        "bridge_stp": "off",
        "bridge_fd": "0",
    }));
    if bridge.active {
        row.insert("active".into(), 1.into());
    }
    if let Some((address, netmask)) = bridge.cidr.as_deref().and_then(|cidr| cidr.split_once('/')) {
        row.insert("cidr".into(), json!(bridge.cidr));
        row.insert("address".into(), address.into());
        row.insert("netmask".into(), netmask.into());
    }
    if let Some(gateway) = &bridge.gateway {
        row.insert("gateway".into(), gateway.clone().into());
    }
    if let Some(comment) = &bridge.comment {
        row.insert("comments".into(), format!("{comment}\n").into());
    }
    row
}

fn port_row(name: &str, above: usize) -> Value {
    json!({
        "iface": name,
        "type": "eth",
        "priority": above + 3,
        "families": ["inet"],
        "method": "manual",
        "method6": "manual",
        "exists": 1,
        "active": 1,
        "altnames": [format!("enx{PORT_MAC}")],
    })
}
