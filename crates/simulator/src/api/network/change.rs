//! Changing the host's network: bridges only. Changes go to `interfaces.new` and come into force when somebody applies
//! them, everybody's at once (pve-manager, `PVE::API2::Network`).

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::api::network::{planned, ports};
use crate::call::{Answer, ApiError, Call, Reply};
use crate::route::{Kind, Route, Rule, may, need};
use crate::workers::seconds;
use crate::world::{Bridge, World};

const MODIFY: Rule = Rule::All("/nodes/{node}", &["Sys.Modify"]);

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
    "unknown",
];

/// How long `ifreload -a` takes.
const RELOAD: f64 = 1.5;

pub(crate) const ROUTES: &[Route] = &[
    Route {
        method: "POST",
        path: "/nodes/{node}/network",
        rule: MODIFY,
        params: &[
            need("iface", Kind::Format(is_interface)),
            need("type", Kind::Enum(TYPES)),
            may("autostart", Kind::Bool),
            may("bridge_ports", Kind::List),
            may("cidr", Kind::Text),
            may("gateway", Kind::Text),
            may("comments", Kind::Text),
        ],
        handler: create,
    },
    Route {
        method: "PUT",
        path: "/nodes/{node}/network",
        rule: MODIFY,
        params: &[may("regenerate-frr", Kind::Bool)],
        handler: apply,
    },
    Route {
        method: "DELETE",
        path: "/nodes/{node}/network",
        rule: MODIFY,
        params: &[],
        handler: revert,
    },
    Route {
        method: "DELETE",
        path: "/nodes/{node}/network/{iface}",
        rule: MODIFY,
        params: &[],
        handler: delete,
    },
];

fn is_interface(text: &str) -> Result<(), String> {
    let (name, index) = match text.split_once(['.', ':']) {
        Some((name, index)) => (name, Some(index)),
        None => (text, None),
    };
    let sound = (2..=21).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && index.is_none_or(|index| {
            !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit())
        });
    if sound {
        Ok(())
    } else {
        Err(format!("invalid network interface name '{text}'"))
    }
}

fn create(call: &Call<'_>) -> Reply {
    let name = call.params.need("iface");
    let mut world = call.sim.lock();
    if planned(&world).contains_key(&name) || ports(&world).any(|port| port == name) {
        return Err(ApiError::param("iface", "interface already exists"));
    }
    if call.params.need("type") != "bridge" {
        return Err(ApiError::die(
            "only bridges can be made in this simulated world",
        ));
    }
    let bridge = Bridge {
        ports: call
            .params
            .text("bridge_ports")
            .unwrap_or_default()
            .split([',', ' '])
            .filter(|port| !port.is_empty())
            .map(str::to_owned)
            .collect(),
        cidr: call.params.text("cidr"),
        gateway: call.params.text("gateway"),
        active: true,
        comment: call
            .params
            .text("comments")
            .map(|text| text.trim_end().to_owned()),
    };
    let mut pending = planned(&world).clone();
    pending.insert(name, bridge);
    world.pending_bridges = Some(pending);
    Ok(Answer::Data(Value::Null))
}

fn delete(call: &Call<'_>) -> Reply {
    let name = call.params.need("iface");
    let mut world = call.sim.lock();
    let mut pending = planned(&world).clone();
    if pending.remove(&name).is_none() {
        return Err(ApiError::param("iface", "interface does not exist"));
    }
    world.pending_bridges = Some(pending);
    Ok(Answer::Data(Value::Null))
}

fn revert(call: &Call<'_>) -> Reply {
    call.sim.lock().pending_bridges = None;
    Ok(Answer::Data(Value::Null))
}

fn apply(call: &Call<'_>) -> Reply {
    let upid = call
        .sim
        .start_task(call.auth, "srvreload", "networking", |worker| async move {
            worker.sleep(seconds(RELOAD)).await?;
            let mut world = worker.sim.lock();
            if let Some(pending) = world.pending_bridges.take() {
                world.bridges = pending;
            }
            Ok(())
        });
    Ok(Answer::Data(json!(upid)))
}

/// What applying would change, as `diff -u` says it; none when nothing is pending.
pub(super) fn difference(world: &World) -> Option<String> {
    let pending = world.pending_bridges.as_ref()?;
    let names: BTreeSet<&String> = world.bridges.keys().chain(pending.keys()).collect();
    let mut text =
        "--- /etc/network/interfaces\n+++ /etc/network/interfaces.new\n@@ -1 +1 @@\n".to_owned();
    let before = text.len();
    for name in names {
        let (old, new) = (world.bridges.get(name), pending.get(name));
        if old == new {
            continue;
        }
        for (sign, bridge) in [('-', old), ('+', new)] {
            for line in bridge
                .map(|bridge| stanza(name, bridge))
                .unwrap_or_default()
            {
                text.push(sign);
                text.push_str(&line);
                text.push('\n');
            }
        }
    }
    (text.len() > before).then_some(text)
}

/// A bridge as the file has it.
fn stanza(name: &str, bridge: &Bridge) -> Vec<String> {
    let method = if bridge.cidr.is_some() {
        "static"
    } else {
        "manual"
    };
    let ports = if bridge.ports.is_empty() {
        "none".to_owned()
    } else {
        bridge.ports.join(" ")
    };
    let mut lines = vec![
        format!("auto {name}"),
        format!("iface {name} inet {method}"),
    ];
    lines.extend(bridge.cidr.iter().map(|cidr| format!("\taddress {cidr}")));
    lines.extend(
        bridge
            .gateway
            .iter()
            .map(|gateway| format!("\tgateway {gateway}")),
    );
    lines.push(format!("\tbridge-ports {ports}"));
    lines.push("\tbridge-stp off".to_owned());
    lines.push("\tbridge-fd 0".to_owned());
    lines.extend(bridge.comment.iter().map(|comment| format!("#{comment}")));
    lines.push(String::new());
    lines
}
