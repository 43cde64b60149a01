//! A container's configuration as text: `etc/vzdump/pct.conf` of an archive, and what `extractconfig` answers.

use std::collections::BTreeSet;
use std::fmt::Write;

use felhom_engine::Mark;
use felhom_proxmox::property::InvalidProperty;
use felhom_proxmox::pve::guests::LxcConfig;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::claims::{short_line, text};

/// What PVE encodes in a description (`PVE::Tools::encode_text`).
const ENCODED: &AsciiSet = &CONTROLS.add(b'%').add(b':');

/// Sections that follow the container's own part: what stands in them is not in force.
const LATER: &str = "\n[pve:pending]\nmemory: 1\ndelete: net0\n[before-update_2]\n#not ours\nhostname: old\n\
                     lxc.idmap: u 0 0 1\nhookscript: local:snippets/x\n[vzdump]\nrootfs: l1:vm-1-disk-0\n";

/// A configuration is what its first section says, whatever follows; written back it says the same, in either form; and
/// each of its typed views shows every key that it is about, or refuses.
pub fn guest_config(data: &[u8]) {
    let text = text(data);
    let config = LxcConfig::from_text(&text);
    assert_eq!(LxcConfig::from_text(&format!("{text}{LATER}")), config);
    for noise in ["garbage\n", "[]\n", "digest: 0\n", "\u{feff}x: y\n", "\n"] {
        assert_eq!(LxcConfig::from_text(&format!("{noise}{text}")), config);
    }
    well_formed(&config);
    assert_same(&LxcConfig::from_text(&written(&config)), &config);
    // In the API's form the raw lines stand under a key of this name, which no container has for itself.
    if !config.raw.contains_key("lxc") {
        assert_same(&through_json(&config), &config);
    }
    numbered(&config, "net", |config| Ok(count(config.nets()?)));
    numbered(&config, "mp", |config| Ok(count(config.mounts()?)));
    if let Ok(Some(root)) = outcome(config.rootfs()) {
        assert_eq!(config.get("rootfs").unwrap().parse(), Ok(root));
    }
    outcome(config.features()).ok();
    for tag in config.tags() {
        assert!(!tag.is_empty() && !tag.contains([';', ',', ' ']));
    }
    assert!(config.digest().is_none());
    assert!(config.memory().bytes() > 0 || config.get("memory").is_some());
    assert!(config.devices().len() + config.unused().len() <= config.raw.len());
    if let Some(mark) = config.description().and_then(Mark::find) {
        assert!(config.description().unwrap().contains(&mark.to_string()));
    }
}

/// Keys and values as PVE writes them.
fn well_formed(config: &LxcConfig) {
    for (key, value) in &config.raw {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        assert!(key.starts_with(|c: char| c.is_ascii_lowercase()), "{key:?}");
        assert!(key.chars().all(plain) && key != "digest", "{key:?}");
        if key != "description" {
            assert!(!value.is_empty() && !value.contains('\n'), "{value:?}");
            assert_eq!(value, value.trim());
        }
    }
    for (key, value) in config.raw_lxc() {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
        assert!(key.starts_with("lxc.") && key.chars().all(plain), "{key:?}");
        assert!(value == value.trim() && !value.contains('\n'), "{value:?}");
    }
}

/// The form of the file.
fn written(config: &LxcConfig) -> String {
    let mut text = String::new();
    for line in config.description().unwrap_or_default().split('\n') {
        writeln!(text, "#{}", utf8_percent_encode(line, ENCODED)).unwrap();
    }
    let settings = config.raw.iter().filter(|(key, _)| *key != "description");
    for (key, value) in settings {
        writeln!(text, "{key}: {value}").unwrap();
    }
    for (key, value) in config.raw_lxc() {
        writeln!(text, "{key}: {value}").unwrap();
    }
    text
}

/// The form of the API, whose numbers and texts mean the same.
fn through_json(config: &LxcConfig) -> LxcConfig {
    let mut object = serde_json::Map::new();
    for (key, value) in &config.raw {
        object.insert(key.clone(), value.clone().into());
    }
    let lines = config.raw_lxc().iter();
    let lines: Vec<[&String; 2]> = lines.map(|(key, value)| [key, value]).collect();
    if !lines.is_empty() {
        object.insert("lxc".to_owned(), serde_json::to_value(lines).unwrap());
    }
    serde_json::from_value(object.into()).unwrap()
}

/// Line ends around a description come and go.
fn assert_same(one: &LxcConfig, other: &LxcConfig) {
    let settings = |config: &LxcConfig| {
        let mut raw = config.raw.clone();
        raw.remove("description");
        raw
    };
    assert_eq!(settings(one), settings(other));
    assert_eq!(one.raw_lxc(), other.raw_lxc());
    assert_eq!(one.description(), other.description());
}

/// A view shows as many things as there are keys, or refuses them all: one that is overlooked would be one that nobody
/// isolates.
fn numbered(
    config: &LxcConfig,
    prefix: &str,
    view: impl Fn(&LxcConfig) -> Result<usize, InvalidProperty>,
) {
    let digits = |rest: &str| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit());
    let keys: BTreeSet<&String> = config
        .raw
        .keys()
        .filter(|key| key.strip_prefix(prefix).is_some_and(digits))
        .collect();
    if let Ok(shown) = outcome(view(config)) {
        assert_eq!(shown, keys.len(), "{keys:?}");
    }
}

fn count<T>(all: impl IntoIterator<Item = T>) -> usize {
    all.into_iter().count()
}

fn outcome<T>(read: Result<T, InvalidProperty>) -> Result<T, InvalidProperty> {
    read.inspect_err(|error| short_line(&error.to_string()))
}
