//! What is told of a snapshot: its manifest, and its line in lists.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{Snapshot, SnapshotId};

/// A file of a snapshot in a list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Listed<'a> {
    filename: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    crypt_mode: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
}

impl Snapshot {
    /// The fingerprint of the key it was made with.
    pub(crate) fn fingerprint(&self) -> Option<&str> {
        self.unprotected
            .get("key-fingerprint")
            .and_then(Value::as_str)
    }

    /// The manifest without what anybody signs and what the server adds.
    fn body(&self, id: &SnapshotId) -> Map<String, Value> {
        let mut body = Map::new();
        body.insert("backup-type".into(), json!(id.kind));
        body.insert("backup-id".into(), json!(id.id));
        body.insert("backup-time".into(), json!(id.time));
        body.insert("files".into(), json!(self.files));
        body
    }

    /// What a signature covers: sorted keys, no white space.
    pub(crate) fn canonical(&self, id: &SnapshotId) -> String {
        canonical(&Value::Object(self.body(id)))
    }

    /// `index.json`.
    pub(crate) fn manifest(&self, id: &SnapshotId) -> Value {
        let mut manifest = self.body(id);
        manifest.insert("signature".into(), json!(self.signature));
        manifest.insert(
            "unprotected".into(),
            Value::Object(self.unprotected.clone()),
        );
        Value::Object(manifest)
    }

    /// What is in it, as lists tell: the manifest's files, the manifest, and whatever else lies there.
    pub(crate) fn contents(&self) -> Vec<Listed<'_>> {
        if self.unfinished {
            return Vec::new();
        }
        let line = |filename, crypt_mode, size| Listed {
            filename,
            crypt_mode,
            size,
        };
        let files = self.files.iter();
        let files =
            files.map(|file| line(&file.filename, Some(&*file.crypt_mode), Some(file.size)));
        let mode = if self.signature.is_some() {
            "sign-only"
        } else {
            "none"
        };
        let index = line("index.json.blob", Some(mode), Some(self.index_size));
        let others = self.others.iter().map(|name| line(name, None, None));
        files.chain([index]).chain(others).collect()
    }

    /// Names only, as groups list them.
    pub(crate) fn names(&self) -> Vec<String> {
        if self.unfinished {
            return Vec::new();
        }
        let own = ["index.json.blob".to_owned()];
        let files = self.files.iter().rev().map(|file| file.filename.clone());
        own.into_iter()
            .chain(files)
            .chain(self.others.iter().cloned())
            .collect()
    }

    pub(crate) fn size(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum::<u64>() + self.index_size
    }
}

/// JSON with sorted keys and no white space.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let sorted: BTreeMap<&String, &Value> = fields.iter().collect();
            let fields = sorted.into_iter();
            let fields: Vec<String> = fields
                .map(|(key, value)| format!("{}:{}", Value::String(key.clone()), canonical(value)))
                .collect();
            format!("{{{}}}", fields.join(","))
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(canonical).collect();
            format!("[{}]", items.join(","))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_json_is_sorted_and_dense() {
        let value = json!({ "b": [1, null], "a": { "d": "x\"y", "c": true } });
        assert_eq!(
            canonical(&value),
            r#"{"a":{"c":true,"d":"x\"y"},"b":[1,null]}"#
        );
    }
}
