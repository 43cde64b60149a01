//! A guest's network files as PVE writes them, and its init, which alone can act on them.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::config::Section;
use super::props::Props;
use super::tree;

/// Simulated seconds from start until init brings up the loopback device, and the others.
pub(crate) const LOOPBACK_AFTER: f64 = 0.5;
pub(crate) const NETWORK_AFTER: f64 = 1.5;

const FILE: &str = "etc/network/interfaces";
/// A guest with this program has an init that reads the network file.
const IFUP: &str = "sbin/ifup";
/// Holds the seconds after which the guest dies by itself.
const CRASH: &str = "etc/sim-crash-after";

/// What a start of this guest will have put on the interfaces; decided by the guest's own files at boot.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Network {
    /// Whether init configures anything at all.
    pub(crate) managed: bool,
    /// Interface and CIDR.
    pub(crate) addresses: Vec<(String, String)>,
}

/// Writes hostname and network configuration into a guest's tree, as PVE does at create, restore and start.
pub(crate) fn write_files(root: &Path, section: &Section, name: &str) -> io::Result<()> {
    if section.get("ostype").is_none_or(|kind| kind == "unmanaged") {
        return Ok(());
    }
    tree::put(root, "etc/hostname", format!("{name}\n").as_bytes())?;
    let mut lines: Vec<String> = [
        "auto lo",
        "iface lo inet loopback",
        "iface lo inet6 loopback",
        "",
    ]
    .map(Into::into)
    .into();
    for net in section.nets().values() {
        if let Some(device) = net.get("name") {
            lines.push(format!("auto {device}"));
            lines.extend(family(net, device, "inet", "ip", "gw"));
            if net.contains_key("ip6") {
                lines.push(String::new());
                lines.extend(family(net, device, "inet6", "ip6", "gw6"));
            }
            lines.push(String::new());
        }
    }
    let text = lines.join("\n");
    tree::put(root, FILE, text.as_bytes())
}

/// The lines of one address family.
fn family(net: &Props, device: &str, name: &str, ip: &str, gateway: &str) -> Vec<String> {
    match net.get(ip).map(String::as_str) {
        None | Some("manual") => vec![format!("iface {device} {name} manual")],
        Some(method @ ("dhcp" | "auto")) => vec![format!("iface {device} {name} {method}")],
        Some(address) => {
            let mut lines = vec![
                format!("iface {device} {name} static"),
                format!("\taddress {address}"),
            ];
            lines.extend(
                net.get(gateway)
                    .map(|gateway| format!("\tgateway {gateway}")),
            );
            lines
        }
    }
}

/// Reads what this guest's init will do. `lease` answers the address that DHCP would give a device.
pub(crate) fn boot(root: &Path, lease: impl Fn(&str) -> Option<String>) -> Network {
    if !root.join(IFUP).exists() {
        return Network::default();
    }
    let text = fs::read_to_string(root.join(FILE)).unwrap_or_default();
    let mut network = Network {
        managed: true,
        addresses: Vec::new(),
    };
    let mut device = String::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("iface"), Some(name), Some(_), Some(method)) => {
                name.clone_into(&mut device);
                if method == "dhcp"
                    && let Some(address) = lease(name)
                {
                    network.addresses.push((device.clone(), address));
                }
            }
            (Some("address"), Some(address), ..) => {
                network.addresses.push((device.clone(), address.to_owned()));
            }
            _ => {}
        }
    }
    network
}

/// Whether the tree can boot at all.
pub(crate) fn bootable(root: &Path) -> bool {
    root.join("sbin/init").exists()
}

/// Seconds until the guest dies by itself, if its tree says so.
pub(crate) fn crash_after(root: &Path) -> Option<f64> {
    fs::read_to_string(root.join(CRASH))
        .ok()?
        .trim()
        .parse()
        .ok()
}

fn entry(name: &str, mac: &str, addresses: &[String]) -> Value {
    let mut row = json!({ "name": name, "hwaddr": mac, "hardware-address": mac });
    let mut list = Vec::new();
    for address in addresses {
        let (ip, prefix) = address.split_once('/').unwrap_or((address, "32"));
        let kind = if ip.contains(':') { "inet6" } else { "inet" };
        list.push(json!({
            "ip-address": ip, "ip-address-type": kind, "prefix": prefix.parse::<u8>().unwrap_or(32),
        }));
        if let Some(row) = row.as_object_mut() {
            row.entry(kind).or_insert(json!(format!("{ip}/{prefix}")));
        }
    }
    if let Some(row) = row.as_object_mut() {
        row.insert("ip-addresses".into(), Value::Array(list));
    }
    row
}

/// `GET …/interfaces` of a running guest at an age: the devices exist from the start, the addresses when init acts.
/// A link that is down keeps nothing from it: init puts the address on the interface all the same.
pub(crate) fn interfaces(section: &Section, network: &Network, age: f64) -> Value {
    let awake = network.managed && age >= LOOPBACK_AFTER;
    let own: Vec<String> = if awake {
        vec!["127.0.0.1/8".into(), "::1/128".into()]
    } else {
        Vec::new()
    };
    let mut rows = vec![entry("lo", "00:00:00:00:00:00", &own)];
    for net in section.nets().values() {
        let name = net.get("name").map_or("", String::as_str);
        let mac = net
            .get("hwaddr")
            .map(|mac| mac.to_ascii_lowercase())
            .unwrap_or_default();
        let mut mine: Vec<String> = Vec::new();
        if age >= NETWORK_AFTER {
            let fits = network
                .addresses
                .iter()
                .filter(|(device, _)| device == name);
            mine.extend(fits.map(|(_, address)| address.clone()));
        }
        rows.push(entry(name, &mac, &mine));
    }
    Value::Array(rows)
}
