//! The options of a virtual machine that the API takes, and how it emits them.

use serde_json::{Map, Value, json};

use crate::guest::config::Section;

/// Integers and Booleans of the schema: PVE holds them as numbers. (`memory` became a property string.)
const NUMBERS: &[&str] = &[
    "acpi",
    "autostart",
    "balloon",
    "ciupgrade",
    "cores",
    "cpuunits",
    "freeze",
    "kvm",
    "localtime",
    "migrate_speed",
    "numa",
    "onboot",
    "protection",
    "reboot",
    "shares",
    "smp",
    "sockets",
    "tablet",
    "tdf",
    "template",
    "vcpus",
];

/// Options that change at once also while the machine runs (QemuServer.pm `$fast_plug_option`).
const FAST: &[&str] = &[
    "description",
    "hookscript",
    "lock",
    "name",
    "onboot",
    "protection",
    "shares",
    "startup",
    "tags",
];

/// Values as `config` shows them.
pub(crate) fn json(section: &Section) -> Map<String, Value> {
    let value = |key: &str, text: &str| match text.parse::<i64>() {
        Ok(number) if NUMBERS.contains(&key) => json!(number),
        _ if key == "description" && !text.is_empty() && !text.ends_with('\n') => {
            json!(format!("{text}\n"))
        }
        _ => json!(text),
    };
    let values = section.values.iter();
    values
        .map(|(key, text)| (key.clone(), value(key, text)))
        .collect()
}

/// Whether a change takes effect while the machine runs; network devices are unplugged and plugged.
pub(crate) fn is_hot(key: &str) -> bool {
    FAST.contains(&key) || key.starts_with("net") || key.starts_with("unused")
}

/// A network device as PVE writes it down, with an address where it has none.
pub(crate) fn with_mac(text: &str, fresh: impl FnOnce() -> String) -> String {
    let (first, rest) = text
        .split_once(',')
        .map_or((text, None), |(a, b)| (a, Some(b)));
    if first.contains('=') && !first.starts_with("model=") {
        return text.to_owned();
    }
    let model = first.strip_prefix("model=").unwrap_or(first);
    let rest = rest.map(|rest| format!(",{rest}")).unwrap_or_default();
    format!("{model}={}{rest}", fresh())
}

/// The same device with another address.
pub(crate) fn other_mac(text: &str, fresh: impl FnOnce() -> String) -> String {
    let model = text.split(['=', ',']).next().unwrap_or_default();
    let rest = text.split_once(',').map(|(_, rest)| format!(",{rest}"));
    with_mac(&format!("{model}{}", rest.unwrap_or_default()), fresh)
}

/// A key of a network device: `bridge`, `tag`.
pub(crate) fn net_key<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.split(',')
        .filter_map(|part| part.split_once('='))
        .find_map(|(have, value)| (have == key).then_some(value))
}
