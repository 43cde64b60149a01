//! A container's configuration, from the API or from inside an archive.

use std::collections::BTreeMap;
use std::str::FromStr;

use felhom_ids::{ByteSize, Digest, NodeName, Vmid};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::pct_conf;
use crate::decode::{Done, truth};
use crate::encode::{Endpoint, Method, Request};
use crate::error::Error;
use crate::property::{Features, InvalidProperty, MountPoint, NetworkInterface, RootFs};
use crate::pve::Pve;

/// `GET /nodes/N/lxc/ID/config`: `VM.Audit`. Pending changes are already merged in, unless
/// `current` asks for what applies now.
#[derive(Debug, Clone, Copy)]
pub struct GetLxcConfig {
    /// Which.
    pub vmid: Vmid,
    /// Leave pending changes out.
    pub current: bool,
}

/// A container's configuration: every key as text, with typed views on those that matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LxcConfig {
    /// Every key but `digest` and the raw `lxc.*` lines, as PVE prints it.
    pub raw: BTreeMap<String, String>,
    pub(super) digest: Option<Digest>,
    pub(super) lxc: Vec<(String, String)>,
}

impl LxcConfig {
    /// Reads the text of a configuration file, such as `extractconfig` returns it. Only the
    /// container's own part: pending changes and snapshots are left out.
    pub fn from_text(text: &str) -> Self {
        pct_conf::parse(text)
    }

    /// One key, as PVE prints it.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.raw.get(key).map(String::as_str)
    }

    /// A switch; off when it is not there.
    pub fn is_on(&self, key: &str) -> bool {
        self.get(key).and_then(truth).unwrap_or(false)
    }

    /// A number.
    pub fn number<T: FromStr>(&self, key: &str) -> Option<T> {
        self.get(key)?.parse().ok()
    }

    /// The digest to send along with a change, so that a concurrent one is noticed.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Raw `lxc.*` lines, which no token can set or remove.
    pub fn raw_lxc(&self) -> &[(String, String)] {
        &self.lxc
    }

    /// What somebody wrote about the container, without the line end that PVE adds.
    pub fn description(&self) -> Option<&str> {
        self.get("description")
            .map(str::trim_end)
            .filter(|text| !text.is_empty())
    }

    /// What holds the configuration, such as `backup`.
    pub fn lock(&self) -> Option<&str> {
        self.get("lock").filter(|lock| !lock.is_empty())
    }

    /// The host name.
    pub fn hostname(&self) -> Option<&str> {
        self.get("hostname")
    }

    /// Whether root inside is nobody outside.
    pub fn is_unprivileged(&self) -> bool {
        self.is_on("unprivileged")
    }

    /// Memory; PVE gives 512 MiB where nothing is written.
    pub fn memory(&self) -> ByteSize {
        ByteSize::from_bytes(
            self.number::<u64>("memory")
                .unwrap_or(512)
                .saturating_mul(1 << 20),
        )
    }

    /// The script that PVE runs as root on the host around start and stop.
    pub fn hookscript(&self) -> Option<&str> {
        self.get("hookscript")
    }

    /// The tags.
    pub fn tags(&self) -> Vec<&str> {
        let parts = self.get("tags").unwrap_or("").split([';', ',', ' ']);
        parts.filter(|tag| !tag.is_empty()).collect()
    }

    /// The features.
    pub fn features(&self) -> Result<Features, InvalidProperty> {
        self.get("features").unwrap_or("").parse()
    }

    /// The root file system.
    pub fn rootfs(&self) -> Result<Option<RootFs>, InvalidProperty> {
        self.get("rootfs").map(str::parse).transpose()
    }

    /// The network interfaces by number. A number of another writing (`net00`) is refused: PVE reads such a key from a file,
    /// and it would hide the other.
    pub fn nets(&self) -> Result<BTreeMap<u16, NetworkInterface>, InvalidProperty> {
        self.each("net", "network interface")
    }

    /// The mount points by number; with numbers as for [`LxcConfig::nets`].
    pub fn mounts(&self) -> Result<BTreeMap<u16, MountPoint>, InvalidProperty> {
        self.each("mp", "mount point")
    }

    /// Passed-through devices by number, as written.
    pub fn devices(&self) -> BTreeMap<u16, &str> {
        self.numbered("dev").collect()
    }

    /// Volumes that belong to the container and are mounted nowhere.
    pub fn unused(&self) -> BTreeMap<u16, &str> {
        self.numbered("unused").collect()
    }

    fn each<T>(&self, prefix: &str, what: &'static str) -> Result<BTreeMap<u16, T>, InvalidProperty>
    where
        T: FromStr<Err = InvalidProperty>,
    {
        let digits = |key: &str| {
            let number = key.strip_prefix(prefix);
            number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
        };
        let mut all = BTreeMap::new();
        for (key, text) in self.raw.iter().filter(|(key, _)| digits(key)) {
            let number = key.strip_prefix(prefix).and_then(|n| n.parse().ok());
            let plain = number.filter(|number: &u16| format!("{prefix}{number}") == *key);
            let number = plain.ok_or_else(|| {
                InvalidProperty::new(what, format!("`{key}` is no key that PVE would write"))
            })?;
            all.insert(number, text.parse()?);
        }
        Ok(all)
    }

    fn numbered<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (u16, &'a str)> {
        self.raw.iter().filter_map(move |(key, value)| {
            let number = key.strip_prefix(prefix)?;
            let plain = number.bytes().all(|b| b.is_ascii_digit());
            if plain {
                Some((number.parse().ok()?, value.as_str()))
            } else {
                None
            }
        })
    }
}

impl<'de> Deserialize<'de> for LxcConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut config = Self::default();
        for (key, value) in BTreeMap::<String, Value>::deserialize(deserializer)? {
            match (key.as_str(), value) {
                ("digest", Value::String(text)) => {
                    config.digest = Some(text.parse().map_err(serde::de::Error::custom)?);
                }
                ("lxc", Value::Array(lines)) => {
                    config.lxc = lines.iter().filter_map(raw_line).collect();
                }
                (_, Value::Null) => {}
                (_, Value::Bool(set)) => {
                    config.raw.insert(key, u8::from(set).to_string());
                }
                (_, Value::String(text)) => {
                    config.raw.insert(key, text);
                }
                (_, other @ (Value::Number(_) | Value::Array(_) | Value::Object(_))) => {
                    config.raw.insert(key, other.to_string());
                }
            }
        }
        Ok(config)
    }
}

fn raw_line(line: &Value) -> Option<(String, String)> {
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    match line.as_array()?.as_slice() {
        [key, value] => Some((text(key), text(value))),
        _ => None,
    }
}

/// `PUT /nodes/N/lxc/ID/config`: `VM.Config.*` by key. At once, and not always all or nothing: a 500
/// about a missing bridge comes *after* the configuration was written.
#[derive(Debug, Clone)]
pub struct SetLxcConfig {
    /// Which.
    pub vmid: Vmid,
    /// Keys to set.
    pub set: BTreeMap<String, String>,
    /// Keys to remove.
    pub delete: Vec<String>,
    /// Refuse if the configuration is no longer the one with this digest.
    pub digest: Option<Digest>,
}

impl SetLxcConfig {
    /// A change of one key.
    pub fn one(vmid: Vmid, key: &str, value: &impl ToString) -> Self {
        let set = BTreeMap::from([(key.to_owned(), value.to_string())]);
        Self {
            vmid,
            set,
            delete: Vec::new(),
            digest: None,
        }
    }

    /// The same change, refused if the configuration is no longer the one that was looked at.
    #[must_use]
    pub fn guarded_by(self, seen: &LxcConfig) -> Self {
        Self {
            digest: seen.digest.clone(),
            ..self
        }
    }
}

impl Endpoint for GetLxcConfig {
    type Response = LxcConfig;

    fn request(&self, node: &NodeName) -> Request {
        let request = Request::new(
            Method::Get,
            &[&"nodes", node, &"lxc", &self.vmid, &"config"],
        );
        if self.current {
            request.flag("current", true)
        } else {
            request
        }
    }
}

impl Endpoint for SetLxcConfig {
    type Response = Done;

    fn request(&self, node: &NodeName) -> Request {
        let request = Request::new(
            Method::Put,
            &[&"nodes", node, &"lxc", &self.vmid, &"config"],
        );
        let request = self
            .set
            .iter()
            .fold(request, |request, (key, value)| request.with(key, value));
        request
            .joined("delete", &self.delete)
            .maybe("digest", self.digest.as_ref())
    }
}

impl Pve {
    /// A container's configuration, pending changes merged in.
    pub async fn lxc_config(&self, vmid: Vmid) -> Result<LxcConfig, Error> {
        self.call(&GetLxcConfig {
            vmid,
            current: false,
        })
        .await
    }

    /// Changes a container's configuration.
    pub async fn set_lxc_config(&self, change: &SetLxcConfig) -> Result<(), Error> {
        self.call(change).await.map(|Done| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(json: &str) -> LxcConfig {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn every_key_is_kept_and_the_important_ones_are_typed() {
        let config = config(
            r#"{"hostname":"demo","memory":256,"unprivileged":1,"cpulimit":"0.5","features":"nesting=1",
                "net0":"name=eth0,bridge=vmbr0,type=veth","net10":"name=eth1","rootfs":"l1:vm-1-disk-0,size=1G",
                "mp1":"l1:vm-1-disk-1,mp=/d,backup=1","description":"one\ntwo\n","tags":"a;b","dev0":"/dev/x",
                "digest":"16cb552bbd99f5eea7567f46b6a90f4cb912115d","lxc":[["lxc.apparmor.profile","x"]],"lock":""}"#,
        );
        assert_eq!(config.memory().to_string(), "256M");
        assert!(config.is_unprivileged() && !config.is_on("onboot"));
        assert_eq!(config.get("cpulimit"), Some("0.5"));
        assert_eq!(
            config.nets().unwrap().into_keys().collect::<Vec<_>>(),
            [0, 10]
        );
        assert!(config.mounts().unwrap()[&1].is_backed_up());
        assert_eq!(
            config
                .rootfs()
                .unwrap()
                .unwrap()
                .options
                .size
                .unwrap()
                .to_string(),
            "1G"
        );
        assert_eq!(config.description(), Some("one\ntwo"));
        assert_eq!(config.tags(), ["a", "b"]);
        assert_eq!(config.devices()[&0], "/dev/x");
        assert_eq!(config.raw_lxc().len(), 1);
        assert_eq!(config.lock(), None);
        assert!(config.digest().is_some() && !config.raw.contains_key("digest"));
    }

    #[test]
    fn a_stub_is_a_configuration_too() {
        let config =
            config(r#"{"lock":"create","digest":"16cb552bbd99f5eea7567f46b6a90f4cb912115d"}"#);
        assert_eq!(config.lock(), Some("create"));
        assert_eq!(config.raw.len(), 1);
        assert_eq!(config.rootfs().unwrap(), None);
    }

    #[test]
    fn a_change_names_its_keys_and_its_digest() {
        let digest: Digest = "16cb552bbd99f5eea7567f46b6a90f4cb912115d".parse().unwrap();
        let change = SetLxcConfig {
            delete: vec!["net1".to_owned(), "mp2".to_owned()],
            digest: Some(digest),
            ..SetLxcConfig::one(Vmid::new(9001).unwrap(), "net0", &"name=eth0,bridge=vmbr9")
        };
        let request = change.request(&"pve".parse().unwrap());
        assert_eq!(
            request.params(),
            "net0=name%3Deth0%2Cbridge%3Dvmbr9&delete=net1%2Cmp2&digest=16cb552bbd99f5eea7567f46b6a90f4cb912115d"
        );
    }
}
