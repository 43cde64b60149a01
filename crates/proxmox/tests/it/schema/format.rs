//! The formats that the schema only names, as far as our requests have such values. What each takes was read from PVE's
//! sources (`PVE::JSONSchema`, `PVE::AccessControl`, `PVE::Storage::Plugin`, `PVE::LXC::Config`).

use std::net::{Ipv4Addr, Ipv6Addr};

use super::document::Schema;
use super::pattern;

/// Formats that are one regular expression.
const PATTERNS: &[(&str, &str)] = &[
    ("dns-name", r"(LABEL\.)*LABEL"),
    ("disk-size", r"[0-9]+(\.[0-9]+)?(K|M|G|T|KiB|MiB|GiB|TiB)?"),
    ("mac-addr", r"(?i:[a-f0-9][02468ace](:[a-f0-9][a-f0-9]){5})"),
    ("pve-bridge-id", r"[-_.A-Za-z0-9]+"),
    ("pve-configid", r"[A-Za-z][A-Za-z0-9_-]+"),
    ("pve-iface", r"[A-Za-z][A-Za-z0-9_]{1,20}([:.][0-9]+)?"),
    ("pve-node", "LABEL"),
    ("pve-poolid", r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+){0,2}"),
    ("pve-roleid", r"[A-Za-z0-9._-]+"),
    ("pve-storage-id", r"[A-Za-z][A-Za-z0-9._-]*[A-Za-z0-9]"),
    ("pve-storage-options", r"\S+"),
    // PVE only looks at how it begins.
    ("pve-storage-path", r"/[^;()]+.*"),
    (
        "pve-storage-vgname",
        r"[A-Za-z0-9][A-Za-z0-9_.-]*[A-Za-z0-9]",
    ),
    ("pve-tokenid", r"USER![A-Za-z][A-Za-z0-9._-]+"),
    ("pve-vmid", r"[1-9][0-9]{2,8}"),
];

const LABEL: &str = "[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?";
const USER: &str = r"[^\s:/]+@[A-Za-z][A-Za-z0-9._-]+";

/// What a storage may hold, in the words of `pve-storage-content`.
const CONTENT: &[&str] = &[
    "backup", "images", "import", "iso", "none", "rootdir", "snippets", "vztmpl",
];

/// Whether a value is in the format of this name; none for formats that are not known here.
pub(super) fn is_in(schema: &Schema, name: &str, text: &str) -> Option<bool> {
    if let Some(single) = name.strip_suffix("-list") {
        let mut parts = text
            .split(|c: char| matches!(c, ',' | ';' | '\0') || c.is_whitespace())
            .filter(|part| !part.is_empty());
        return parts.try_fold(true, |all, part| Some(all & is_in(schema, single, part)?));
    }
    if let Some((_, wanted)) = PATTERNS.iter().find(|(known, _)| *known == name) {
        return Some(matches(wanted, text));
    }
    Some(match name {
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "pve-ipv4-config" => matches!(text, "dhcp" | "manual") || is_network::<Ipv4Addr>(text, 32),
        "pve-ipv6-config" => {
            matches!(text, "auto" | "dhcp" | "manual") || is_network::<Ipv6Addr>(text, 128)
        }
        "pve-lxc-mp-string" => is_straight(text),
        "pve-priv" => schema.privileges.contains(text),
        "pve-storage-content" => CONTENT.contains(&text),
        "pve-storage-server" => {
            text.parse::<std::net::IpAddr>().is_ok() || is_in(schema, "dns-name", text)?
        }
        "pve-userid" => (3..=64).contains(&text.chars().count()) && matches(USER, text),
        _ => return None,
    })
}

fn matches(wanted: &str, text: &str) -> bool {
    let label = format!("({LABEL})");
    let whole = wanted.replace("LABEL", &label).replace("USER", USER);
    pattern::matches(&whole, text).unwrap()
}

/// An address with the length of its network's prefix.
fn is_network<A: std::str::FromStr>(text: &str, longest: u8) -> bool {
    text.split_once('/').is_some_and(|(address, prefix)| {
        let prefix = prefix.parse::<u8>().ok();
        address.parse::<A>().is_ok() && prefix.is_some_and(|prefix| (8..=longest).contains(&prefix))
    })
}

/// No `.` or `..` on the way, nor `..` at its start.
fn is_straight(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    parts.iter().enumerate().all(|(place, part)| match *part {
        "." => place == 0,
        ".." => place == 0 && parts.len() == 1,
        _ => true,
    })
}

#[test]
fn formats_take_and_refuse() {
    let schema = Schema::new(&serde_json::Value::Null, ["VM.Audit".to_owned()].into());
    for (name, good, bad) in [
        ("dns-name", "a-1.example", "a_1"),
        ("disk-size", "1.5GiB", "1.5B"),
        ("ipv4", "198.51.100.7", "198.51.100.256"),
        ("ipv6", "2001:db8::7", "2001:db8"),
        ("mac-addr", "BC:24:11:aa:0b:cc", "01:00:5e:00:00:01"),
        ("pve-configid", "a_-1", "1a"),
        ("pve-configid-list", "net0,mp1;unused2", "net0,mp.1"),
        ("pve-bridge-id", "lan-1.42_b", "lan 1"),
        ("pve-iface", "vmbr9.17", "lan-1"),
        ("pve-ipv4-config", "198.51.100.7/8", "198.51.100.7/7"),
        ("pve-ipv6-config", "2001:db8::7/128", "2001:db8::7"),
        ("pve-lxc-mp-string", "/srv/..x/.y", "/srv/.."),
        ("pve-node", "demo-felhom", "demo.felhom"),
        ("pve-poolid", "a/b.1/c_-2", "a/b/c/d"),
        ("pve-priv", "VM.Audit", "VM.All"),
        ("pve-roleid", "R.1_-", "R 1"),
        ("pve-roleid-list", "R,S", "R,S/T"),
        ("pve-storage-content", "backup", "backups"),
        ("pve-storage-content-list", "backup,iso", "backup,cd"),
        ("pve-storage-id", "a1", "a"),
        ("pve-storage-options", "vers=4.2,soft", "a b"),
        ("pve-storage-path", "/volume1/backup", "volume1"),
        ("pve-storage-server", "nas.example.net", "nas_1"),
        ("pve-storage-server", "2001:db8::7", "::x"),
        ("pve-storage-vgname", "pve", "-pve"),
        ("pve-tokenid", "u@pve!tok", "u@pve"),
        (
            "pve-tokenid-list",
            "u@pve!tok,u@pve!t2",
            "u@pve!tok,u@pve!t",
        ),
        ("pve-userid", "e@x.org@ldap", "e@"),
        ("pve-userid-list", "root@pam", "root:pam"),
        ("pve-vmid", "999999999", "0100"),
        ("pve-vmid-list", "100,101", "100,99"),
    ] {
        assert_eq!(is_in(&schema, name, good), Some(true), "{name}: {good}");
        assert_eq!(is_in(&schema, name, bad), Some(false), "{name}: {bad}");
    }
    assert_eq!(is_in(&schema, "pve-calendar-event", "daily"), None);
}
