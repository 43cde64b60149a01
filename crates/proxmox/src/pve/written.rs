//! Definitions as PVE prints them, every property as text: for who has to write them down whole, also those that nothing of ours
//! reads. A secret is in none of them: PVE answers of a key its fingerprint, and of a password nothing.

use std::collections::BTreeMap;

use felhom_ids::NodeName;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::Pve;
use crate::encode::{Endpoint, Method, Request};
use crate::error::Error;

/// `GET /storage`, whole: the storages that the caller may audit or use.
#[derive(Debug, Clone, Copy)]
pub struct ListWrittenStorages;

/// `GET /nodes/N/network`, whole. A bridge that the caller may neither audit nor use is missing.
#[derive(Debug, Clone, Copy)]
pub struct ListWrittenInterfaces;

/// One definition: its properties by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written(pub BTreeMap<String, String>);

impl Written {
    /// One property.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0
            .get(key)
            .map(String::as_str)
            .filter(|text| !text.is_empty())
    }
}

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let all = BTreeMap::<String, Value>::deserialize(deserializer)?;
        let known = all.into_iter().filter(|(_, value)| !value.is_null());
        Ok(Self(
            known.map(|(key, value)| (key, printed(&value))).collect(),
        ))
    }
}

/// A value as `storage.cfg` and `interfaces` have it: several lines stay lines, a property string stays one.
fn printed(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(set) => u8::from(*set).to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.trim_end().to_owned(),
        Value::Array(all) => all.iter().map(printed).collect::<Vec<_>>().join("\n"),
        Value::Object(all) => {
            let pairs = all
                .iter()
                .map(|(key, value)| format!("{key}={}", printed(value)));
            pairs.collect::<Vec<_>>().join(",")
        }
    }
}

impl Endpoint for ListWrittenStorages {
    type Response = Vec<Written>;

    fn request(&self, _node: &NodeName) -> Request {
        Request::new(Method::Get, &[&"storage"])
    }
}

impl Endpoint for ListWrittenInterfaces {
    type Response = Vec<Written>;

    fn request(&self, node: &NodeName) -> Request {
        Request::new(Method::Get, &[&"nodes", node, &"network"])
    }
}

impl Pve {
    /// The storages with every property.
    pub async fn written_storages(&self) -> Result<Vec<Written>, Error> {
        self.call(&ListWrittenStorages).await
    }

    /// The host's interfaces with every property.
    pub async fn written_interfaces(&self) -> Result<Vec<Written>, Error> {
        self.call(&ListWrittenInterfaces).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_property_is_kept_as_it_would_be_written() {
        let written: Written = serde_json::from_str(
            r#"{"iface":"vmbr1","autostart":1,"active":true,"families":["inet","inet6"],"comments":"lab\n",
                "content-dirs":{"backup":"dump"},"mtu":9000,"none":null}"#,
        )
        .unwrap();
        assert_eq!(written.get("autostart"), Some("1"));
        assert_eq!(written.get("active"), Some("1"));
        assert_eq!(written.get("comments"), Some("lab"));
        assert_eq!(written.get("families"), Some("inet\ninet6"));
        assert_eq!(written.get("content-dirs"), Some("backup=dump"));
        assert_eq!(written.get("none"), None);
    }
}
