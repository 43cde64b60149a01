//! A container's configuration as the text PVE keeps in `/etc/pve/lxc/ID.conf`: description lines, sorted
//! `key: value` lines, raw `lxc.*` lines, then the pending section and the snapshots. The digest is the SHA-1
//! of that text, so any change of any section moves it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::formats::{self, Mount};
use super::props;

const PENDING: &str = "pve:pending";

/// Options that PVE's own code holds as numbers; the API emits them unquoted.
const NUMBERS: &[&str] = &[
    "console",
    "cores",
    "cpuunits",
    "debug",
    "memory",
    "onboot",
    "protection",
    "snaptime",
    "swap",
    "template",
    "tty",
    "unprivileged",
];

/// One section: the current values, the pending ones or a snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Section {
    pub(crate) values: BTreeMap<String, String>,
    /// Raw `lxc.*` keys in their order.
    pub(crate) raw: Vec<(String, String)>,
}

/// The whole file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Config {
    pub(crate) current: Section,
    /// Changes that wait for the next start; deletions are listed under `delete`.
    pub(crate) pending: BTreeMap<String, String>,
    pub(crate) snapshots: BTreeMap<String, Section>,
}

impl Section {
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    pub(crate) fn flag(&self, key: &str) -> bool {
        self.get(key) == Some("1")
    }

    /// The root file system and the mount points, in vzdump's order: rootfs, mp0, mp1, …
    pub(crate) fn mounts(&self) -> Vec<Mount> {
        let mut found: Vec<(u32, Mount)> = Vec::new();
        for (key, text) in &self.values {
            let place = match formats::index(key) {
                _ if key == "rootfs" => 0,
                Some(("mp", number)) => number + 1,
                _ => continue,
            };
            let format = if place == 0 {
                &formats::ROOTFS
            } else {
                &formats::MP
            };
            if let Ok(props) = props::parse(format, key, text) {
                found.push((
                    place,
                    Mount {
                        key: key.clone(),
                        props,
                    },
                ));
            }
        }
        found.sort_by_key(|(place, _)| *place);
        found.into_iter().map(|(_, mount)| mount).collect()
    }

    /// The network devices by their index.
    pub(crate) fn nets(&self) -> BTreeMap<u32, props::Props> {
        let mut found = BTreeMap::new();
        for (key, text) in &self.values {
            if let Some(("net", number)) = formats::index(key)
                && let Ok(props) = props::parse(&formats::NET, key, text)
            {
                found.insert(number, props);
            }
        }
        found
    }

    fn print(&self, out: &mut String) {
        if let Some(description) = self.get("description") {
            for line in description.lines() {
                out.push('#');
                out.push_str(&encode(line));
                out.push('\n');
            }
        }
        for (key, value) in &self.values {
            if key != "description" {
                push_line(out, key, value);
            }
        }
        for (key, value) in &self.raw {
            push_line(out, key, value);
        }
    }

    /// Values as the API shows them.
    pub(crate) fn json(&self) -> Map<String, Value> {
        let mut out = Map::new();
        for (key, value) in &self.values {
            out.insert(key.clone(), typed(key, value));
        }
        if !self.raw.is_empty() {
            let pairs: Vec<Value> = self.raw.iter().map(|(k, v)| json!([k, v])).collect();
            out.insert("lxc".into(), Value::Array(pairs));
        }
        out
    }
}

/// A value in the type in which PVE emits it; descriptions end with a newline because each line is read with one.
pub(crate) fn typed(key: &str, value: &str) -> Value {
    if NUMBERS.contains(&key)
        && let Ok(number) = value.parse::<i64>()
    {
        return json!(number);
    }
    if key == "description" && !value.is_empty() && !value.ends_with('\n') {
        return json!(format!("{value}\n"));
    }
    json!(value)
}

fn push_line(out: &mut String, key: &str, value: &str) {
    if writeln!(out, "{key}: {value}").is_err() {
        out.push('\n');
    }
}

/// Percent-encodes what would end or confuse a comment line: control characters, `:` and `%`.
fn encode(line: &str) -> String {
    let mut out = String::new();
    for c in line.chars() {
        if c.is_control() || c == ':' || c == '%' {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                if write!(out, "%{byte:02X}").is_err() {
                    break;
                }
            }
        } else {
            out.push(c);
        }
    }
    out
}

fn decode(line: &str) -> String {
    percent_encoding::percent_decode_str(line)
        .decode_utf8_lossy()
        .into_owned()
}

impl Config {
    /// The file's text.
    pub(crate) fn print(&self) -> String {
        let mut out = String::new();
        self.current.print(&mut out);
        if !self.pending.is_empty() {
            out.push_str("\n[pve:pending]\n");
            for (key, value) in &self.pending {
                push_line(
                    &mut out,
                    key,
                    &if key == "description" {
                        encode(value)
                    } else {
                        value.clone()
                    },
                );
            }
        }
        for (name, section) in &self.snapshots {
            out.push_str("\n[");
            out.push_str(name);
            out.push_str("]\n");
            section.print(&mut out);
        }
        out
    }

    /// Reads a file's text; lines that are not understood are dropped, as PVE drops them with a warning.
    pub(crate) fn parse(text: &str) -> Self {
        let mut config = Self::default();
        let mut name = String::new();
        let mut sections: BTreeMap<String, Section> = BTreeMap::new();
        for line in text.lines() {
            if let Some(header) = line
                .strip_prefix('[')
                .and_then(|line| line.strip_suffix(']'))
            {
                header.clone_into(&mut name);
                sections.entry(name.clone()).or_default();
                continue;
            }
            let section = sections.entry(name.clone()).or_default();
            if let Some(comment) = line.strip_prefix('#') {
                let description = section.values.entry("description".into()).or_default();
                description.push_str(&decode(comment));
                description.push('\n');
            } else if let Some((key, value)) = line.split_once(':') {
                let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
                if key.starts_with("lxc.") {
                    section.raw.push((key, value));
                } else if !key.is_empty() {
                    section.values.insert(key, value);
                }
            }
        }
        config.current = sections.remove("").unwrap_or_default();
        config.pending = sections.remove(PENDING).unwrap_or_default().values;
        if let Some(description) = config.pending.get_mut("description") {
            *description = decode(description);
        }
        config.snapshots = sections;
        config
    }

    /// SHA-1 of the text, in hexadecimal.
    pub(crate) fn digest(&self) -> String {
        sha1(&self.print())
    }

    pub(crate) fn lock(&self) -> Option<&str> {
        self.current.get("lock")
    }

    /// Applied values with the pending ones on top.
    pub(crate) fn merged(&self) -> Section {
        let mut section = self.current.clone();
        for (key, value) in &self.pending {
            if key != "delete" {
                section.values.insert(key.clone(), value.clone());
            }
        }
        for key in self.pending_deletes() {
            section.values.remove(&key);
        }
        section
    }

    /// The options that disappear at the next start.
    pub(crate) fn pending_deletes(&self) -> Vec<String> {
        let list = self.pending.get("delete").map_or("", String::as_str);
        list.split(',')
            .map(str::trim)
            .filter(|key| !key.is_empty())
            .map(ToOwned::to_owned)
            .collect()
    }

    /// Volume ids that the current section and the snapshots use, unused ones last.
    pub(crate) fn volumes(&self) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        for section in std::iter::once(&self.current).chain(self.snapshots.values()) {
            let mounts = section.mounts();
            let mounted = mounts
                .iter()
                .filter(|mount| mount.source() == formats::Source::Volume)
                .map(|mount| mount.volume().to_owned());
            let unused = section
                .values
                .iter()
                .filter(|(key, _)| matches!(formats::index(key), Some(("unused", _))))
                .map(|(_, value)| value.clone());
            for volume in mounted.chain(unused) {
                if !found.contains(&volume) {
                    found.push(volume);
                }
            }
        }
        found
    }
}

/// SHA-1 in hexadecimal: PVE's digests of config files are that, and protect nothing.
pub(crate) fn sha1(text: &str) -> String {
    let digest = aws_lc_rs::digest::digest(
        &aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY,
        text.as_bytes(),
    );
    digest.as_ref().iter().fold(String::new(), |mut out, byte| {
        if write!(out, "{byte:02x}").is_err() {
            out.clear();
        }
        out
    })
}
