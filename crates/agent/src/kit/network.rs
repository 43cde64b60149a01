//! Bridges, bonds and VLANs of the host.

use felhom_protocol::kit::{KitPart, KitStep};
use felhom_proxmox::pve::written::Written;

use super::facts::Facts;
use super::shell::{command, word};

/// What `pvesh create /nodes/N/network` takes beside name and type (pve-manager `API2/Network.pm`).
const OPTIONS: [&str; 25] = [
    "address",
    "address6",
    "autostart",
    "bond-primary",
    "bond_mode",
    "bond_xmit_hash_policy",
    "bridge_ports",
    "bridge_vids",
    "bridge_vlan_aware",
    "cidr",
    "cidr6",
    "comments",
    "comments6",
    "gateway",
    "gateway6",
    "mtu",
    "netmask",
    "netmask6",
    "ovs_bonds",
    "ovs_bridge",
    "ovs_options",
    "ovs_ports",
    "ovs_tag",
    "slaves",
    "vlan-id",
];
/// Of these types the host makes its interfaces by itself.
const FOUND: [&str; 2] = ["eth", "unknown"];
/// The bridge that the installer makes.
const INSTALLERS: &str = "vmbr0";

/// The interfaces that somebody made.
pub(super) fn made(facts: &Facts) -> impl Iterator<Item = &Written> {
    let all = facts.interfaces.as_deref().unwrap_or_default().iter();
    all.filter(|one| !FOUND.contains(&one.get("type").unwrap_or_default()))
}

/// The bridge that the installer makes.
pub(super) fn first(facts: &Facts) -> Option<&Written> {
    made(facts).find(|one| one.get("iface") == Some(INSTALLERS))
}

/// The step that makes the others; none where there are none.
pub(super) fn step(facts: &Facts) -> KitStep {
    let mut parts = Vec::new();
    if let Err(why) = &facts.interfaces {
        parts.push(KitPart::Warn(format!(
            "The bridges could not be read: {why}. Make those that the guests below name."
        )));
    }
    let mut others: Vec<&Written> = made(facts)
        .filter(|one| one.get("iface") != Some(INSTALLERS))
        .collect();
    // What others are built on comes first.
    others.sort_by_key(|one| (rank(one), one.get("iface").map(str::to_owned)));
    for one in &others {
        parts.extend(hints(one));
        parts.push(KitPart::Type(create(&facts.node, one)));
    }
    if !others.is_empty() {
        let path = format!("/nodes/{}/network", facts.node);
        parts.push(KitPart::Say("Then put it into force:".to_owned()));
        parts.push(KitPart::Type(command(["pvesh", "set", &path])));
    }
    if let Some(first) = first(facts) {
        parts.extend(beyond_installer(first));
    }
    if parts.is_empty() {
        parts.push(KitPart::Say(
            "The installer's own bridge is all that there was.".to_owned(),
        ));
    }
    KitStep {
        title: "Network".to_owned(),
        parts,
    }
}

fn rank(interface: &Written) -> u8 {
    match interface.get("type") {
        Some("bond") => 0,
        Some("vlan") => 1,
        // Its bridge has to be there before (pve-manager `API2/Network.pm`).
        Some("OVSBond" | "OVSIntPort") => 3,
        _ => 2,
    }
}

fn create(node: &str, interface: &Written) -> String {
    let get = |key: &str| interface.get(key).unwrap_or_default();
    let path = format!("/nodes/{node}/network");
    let mut line = command([
        "pvesh",
        "create",
        &path,
        "--iface",
        get("iface"),
        "--type",
        get("type"),
    ]);
    for key in OPTIONS.iter().chain(&["vlan-raw-device"]) {
        if let Some(value) = interface
            .get(key)
            .filter(|value| says(interface, key, value))
        {
            line.extend([format!(" --{key} {}", word(value))]);
        }
    }
    line
}

/// Whether a property has to be said: an address once, and no default.
fn says(interface: &Written, key: &str, value: &str) -> bool {
    match key {
        "address" | "netmask" => interface.get("cidr").is_none(),
        "address6" | "netmask6" => interface.get("cidr6").is_none(),
        "bridge_ports" | "slaves" => value != "none",
        "autostart" | "bridge_vlan_aware" => value != "0",
        _ => true,
    }
}

/// What no option says, and what differs from box to box.
fn hints(interface: &Written) -> Vec<KitPart> {
    let get = |key: &str| interface.get(key).unwrap_or_default();
    let name = get("iface");
    let mut parts = Vec::new();
    let named = [get("bridge_ports"), get("slaves"), get("vlan-raw-device")];
    let named: Vec<&str> = named
        .into_iter()
        .filter(|name| !matches!(*name, "" | "none"))
        .collect();
    if !named.is_empty() {
        parts.push(KitPart::Say(format!(
            "Ports are named after the hardware: `ip -br link` shows those of the new box; write them in place of {}.",
            named.join(" ")
        )));
    }
    let methods = [("method", "inet"), ("method6", "inet6")];
    for (key, family) in methods {
        if matches!(get(key), "dhcp" | "auto") {
            parts.push(KitPart::Warn(format!(
                "{name} got its address by itself, which no option says: write `iface {name} {family} {}` in \
                 /etc/network/interfaces.",
                get(key)
            )));
        }
    }
    for line in get("options").lines() {
        parts.push(KitPart::Warn(format!(
            "In /etc/network/interfaces, {name} also says `{line}`, which no option says."
        )));
    }
    parts
}

/// What the installer's bridge says beyond what the installer asks for.
fn beyond_installer(interface: &Written) -> Vec<KitPart> {
    let known = [
        "address",
        "autostart",
        "bridge_ports",
        "cidr",
        "gateway",
        "netmask",
        "comments",
    ];
    let more: Vec<String> = OPTIONS
        .iter()
        .filter(|key| !known.contains(key))
        .filter_map(|key| Some((key, interface.get(key)?)))
        .filter(|(key, value)| says(interface, key, value))
        .map(|(key, value)| format!("{} {value}", key.replace('_', "-")))
        .collect();
    let mut parts = Vec::new();
    if !more.is_empty() {
        parts.push(KitPart::Warn(format!(
            "{INSTALLERS} also says: {}. Write that into its stanza of /etc/network/interfaces, then type `ifreload -a`.",
            more.join("; ")
        )));
    }
    let options = interface.get("options").unwrap_or_default();
    parts.extend(options.lines().map(|line| {
        KitPart::Warn(format!(
            "{INSTALLERS} also says `{line}` in /etc/network/interfaces."
        ))
    }));
    parts
}

/// An interface as `interfaces` has it.
pub(super) fn stanza(interface: &Written) -> String {
    let get = |key: &str| interface.get(key).unwrap_or_default();
    let name = get("iface");
    let mut text = String::new();
    if get("autostart") == "1" {
        text.extend([format!("auto {name}\n")]);
    }
    let method = interface.get("method").unwrap_or("manual");
    text.extend([format!("iface {name} inet {method}\n")]);
    let lines = [
        ("cidr", "address"),
        ("gateway", "gateway"),
        ("cidr6", "address"),
        ("gateway6", "gateway"),
        ("bridge_ports", "bridge-ports"),
        ("bridge_stp", "bridge-stp"),
        ("bridge_fd", "bridge-fd"),
        ("bridge_vlan_aware", "bridge-vlan-aware"),
        ("bridge_vids", "bridge-vids"),
        ("slaves", "bond-slaves"),
        ("bond_mode", "bond-mode"),
        ("vlan-raw-device", "vlan-raw-device"),
        ("mtu", "mtu"),
    ];
    for (key, shown) in lines {
        if let Some(value) = interface.get(key) {
            text.extend([format!("\t{shown} {value}\n")]);
        }
    }
    for line in get("options").lines() {
        text.extend([format!("\t{line}\n")]);
    }
    for line in get("comments").lines() {
        text.extend([format!("#{line}\n")]);
    }
    text
}
