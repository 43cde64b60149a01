//! Property strings against the nested schema of their keys, taken apart as PVE takes them apart.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::check::Found;
use super::document::{Schema, is_set};
use super::value;

/// Checks every key of a property string.
pub(super) fn check(
    schema: &Schema,
    place: &str,
    keys: &Map<String, Value>,
    text: &str,
    found: &mut Found,
) {
    let mut given = BTreeMap::new();
    for part in text.split(',').filter(|part| !part.trim().is_empty()) {
        let (key, value) = match (part.split_once('='), default_key(keys)) {
            (Some((key, value)), _) if !key.is_empty() && !value.is_empty() => (key, value),
            (None, Some(key)) => (key, part),
            (Some(_) | None, _) => {
                found.problem(place, &format!("`{part}`: no key"));
                continue;
            }
        };
        if !keys.contains_key(key) {
            found.problem(place, &format!("no key `{key}`"));
        }
        // `virtio=MAC` says `model=virtio,macaddr=MAC`.
        let other = |word: &str| keys.get(key).and_then(|entry| entry[word].as_str());
        if let Some(named) = other("keyAlias") {
            given.insert(named, key);
        }
        let key = other("alias").unwrap_or(key);
        if given.insert(key, value).is_some() {
            found.problem(place, &format!("`{key}` stands there twice"));
        }
    }
    for (key, entry) in keys.iter().filter(|(_, entry)| entry["alias"].is_null()) {
        let place = format!("{place}.{key}");
        match given.get(key.as_str()) {
            Some(text) => value::check(schema, &place, entry, text, found),
            None if is_set(&entry["optional"]) => {}
            None => found.problem(&place, "missing and not optional"),
        }
    }
}

/// The keys of a property string whose format has a name only (`PVE::Storage::Plugin`).
pub(super) fn named(name: &str) -> Option<Map<String, Value>> {
    let count = || json!({ "type": "integer", "minimum": 0, "optional": 1 });
    let keys = match name {
        "prune-backups" => json!({
            "keep-all": { "type": "boolean", "optional": 1 },
            "keep-last": count(),
            "keep-hourly": count(),
            "keep-daily": count(),
            "keep-weekly": count(),
            "keep-monthly": count(),
            "keep-yearly": count(),
        }),
        _ => return None,
    };
    keys.as_object().cloned()
}

/// The key that may stand without its name.
fn default_key(keys: &Map<String, Value>) -> Option<&str> {
    keys.iter()
        .find(|(_, entry)| is_set(&entry["default_key"]))
        .map(|(key, _)| key.as_str())
}
