//! A virtual machine's configuration, from the API or from inside an archive.

use std::collections::BTreeMap;

use felhom_ids::{ByteSize, Digest, NodeName, Vmid};
use serde::{Deserialize, Deserializer};

use super::super::LxcConfig;
use crate::decode::truth;
use crate::encode::{Endpoint, Method, Request};
use crate::error::Error;
use crate::property::{Drive, InvalidProperty, MachineNic};
use crate::pve::Pve;

/// `GET /nodes/N/qemu/ID/config`: `VM.Audit`. Pending changes are already merged in, unless `current` asks for what
/// applies now.
#[derive(Debug, Clone, Copy)]
pub struct GetQemuConfig {
    /// Which.
    pub vmid: Vmid,
    /// Leave pending changes out.
    pub current: bool,
}

/// A virtual machine's configuration: every key as text, with typed views on those that matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QemuConfig {
    /// Every key but `digest`, as PVE prints it.
    pub raw: BTreeMap<String, String>,
    /// Which device of the archive holds which drive, by the drive's key; empty outside of archives.
    pub archived: BTreeMap<String, String>,
    digest: Option<Digest>,
}

/// The interfaces of drives, in the order in which PVE goes through them.
const INTERFACES: [&str; 6] = ["ide", "scsi", "virtio", "sata", "efidisk", "tpmstate"];

/// How vzdump notes which device is which drive (qemu-server `VZDump/QemuServer.pm`).
const MAP: &str = "#qmdump#map:";

impl QemuConfig {
    /// Reads the text of a configuration file, such as `extractconfig` returns it. Only the machine's own part: pending
    /// changes and snapshots are left out. The lines that vzdump adds are no part of the description.
    pub fn from_text(text: &str) -> Self {
        let (mut archived, mut own) = (BTreeMap::new(), Vec::new());
        for line in text.split('\n') {
            if let Some(map) = line.strip_prefix(MAP) {
                let mut parts = map.split(':');
                if let (Some(key), Some(device)) = (parts.next(), parts.next()) {
                    archived.insert(key.to_owned(), device.to_owned());
                }
            } else if line.eq_ignore_ascii_case("[pending]") {
                break;
            } else if !line.starts_with("#vzdump#") {
                own.push(line);
            }
        }
        let LxcConfig { raw, .. } = LxcConfig::from_text(&own.join("\n"));
        Self {
            raw,
            archived,
            digest: None,
        }
    }

    /// One key, as PVE prints it.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.raw.get(key).map(String::as_str)
    }

    /// A switch; off when it is not there.
    pub fn is_on(&self, key: &str) -> bool {
        self.get(key).and_then(truth).unwrap_or(false)
    }

    /// The digest to send along with a change, so that a concurrent one is noticed.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// What somebody wrote about the machine, without the line end that PVE adds. After a restore also the lines of
    /// the drives that were kept out of the backup.
    pub fn description(&self) -> Option<&str> {
        self.get("description")
            .map(str::trim_end)
            .filter(|text| !text.is_empty())
    }

    /// What holds the configuration, such as `backup`.
    pub fn lock(&self) -> Option<&str> {
        self.get("lock").filter(|lock| !lock.is_empty())
    }

    /// Its name.
    pub fn name(&self) -> Option<&str> {
        self.get("name")
    }

    /// When the machine was created, in seconds: `ctime` of `meta`, which a restore carries over (qemu-server
    /// QemuServer.pm, `$meta_info_fmt`).
    pub fn created_s(&self) -> Option<i64> {
        let mut parts = self.get("meta")?.split(',');
        parts.find_map(|part| part.strip_prefix("ctime=")?.parse().ok())
    }

    /// Memory; PVE gives 512 MiB where nothing is written. A property string with `current` as its default key.
    pub fn memory(&self) -> ByteSize {
        let text = self.get("memory").unwrap_or_default();
        let first = text.split(',').next().unwrap_or_default();
        let number = first.strip_prefix("current=").unwrap_or(first);
        let mib: u64 = number.parse().unwrap_or(512);
        ByteSize::from_bytes(mib.saturating_mul(1 << 20))
    }

    /// Whether PVE talks to an agent inside.
    pub fn has_agent(&self) -> bool {
        let text = self.get("agent").unwrap_or_default();
        let value = |part: &str| match part.split_once('=') {
            None => truth(part),
            Some(("enabled", value)) => truth(value),
            Some(_) => None,
        };
        text.split(',').find_map(value).unwrap_or(false)
    }

    /// The script that PVE runs as root on the host around start and stop.
    pub fn hookscript(&self) -> Option<&str> {
        self.get("hookscript")
    }

    /// Arguments that go to QEMU as they are.
    pub fn args(&self) -> Option<&str> {
        self.get("args")
    }

    /// What reaches a device of the host, or a folder: `hostpciN`, `usbN`, `virtiofsN`, and serial and parallel ports that are no
    /// sockets. As written.
    pub fn host_devices(&self) -> BTreeMap<&str, &str> {
        let reaches = |key: &str, value: &str| match stem(key) {
            Some("hostpci" | "usb" | "parallel" | "virtiofs") => true,
            Some("serial") => value != "socket",
            _ => false,
        };
        let all = self
            .raw
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()));
        all.filter(|(key, value)| reaches(key, value)).collect()
    }

    /// The network devices by number.
    pub fn nets(&self) -> Result<BTreeMap<u16, MachineNic>, InvalidProperty> {
        let mut all = BTreeMap::new();
        for (key, text) in self.raw.iter().filter(|(key, _)| stem(key) == Some("net")) {
            all.insert(number("net", key)?, text.parse()?);
        }
        Ok(all)
    }

    /// The drives with their keys, in PVE's order; CD drives among them.
    pub fn drives(&self) -> Result<Vec<(String, Drive)>, InvalidProperty> {
        let mut all = Vec::new();
        for (key, text) in &self.raw {
            let place = INTERFACES.iter().position(|name| stem(key) == Some(*name));
            if let (Some(place), Some(name)) = (place, stem(key)) {
                all.push(((place, number(name, key)?), key.clone(), text.parse()?));
            }
        }
        all.sort_by_key(|(place, ..)| *place);
        Ok(all
            .into_iter()
            .map(|(_, key, drive)| (key, drive))
            .collect())
    }
}

/// `scsi` of `scsi12`; none where there is no number.
fn stem(key: &str) -> Option<&str> {
    let stem = key.trim_end_matches(|c: char| c.is_ascii_digit());
    (stem.len() < key.len()).then_some(stem)
}

/// A number of another writing (`net00`) is refused: it would hide the other.
fn number(stem: &str, key: &str) -> Result<u16, InvalidProperty> {
    let number = key
        .strip_prefix(stem)
        .and_then(|number| number.parse().ok());
    let plain = number.filter(|number: &u16| format!("{stem}{number}") == *key);
    plain.ok_or_else(|| {
        InvalidProperty::new(
            "virtual machine",
            format!("`{key}` is no key that PVE would write"),
        )
    })
}

impl<'de> Deserialize<'de> for QemuConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let common = LxcConfig::deserialize(deserializer)?;
        Ok(Self {
            digest: common.digest().cloned(),
            raw: common.raw,
            archived: BTreeMap::new(),
        })
    }
}

impl Endpoint for GetQemuConfig {
    type Response = QemuConfig;

    fn request(&self, node: &NodeName) -> Request {
        let request = Request::new(
            Method::Get,
            &[&"nodes", node, &"qemu", &self.vmid, &"config"],
        );
        if self.current {
            request.flag("current", true)
        } else {
            request
        }
    }
}

impl Pve {
    /// A virtual machine's configuration, pending changes merged in.
    pub async fn qemu_config(&self, vmid: Vmid) -> Result<QemuConfig, Error> {
        self.call(&GetQemuConfig {
            vmid,
            current: false,
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archived_text_tells_its_devices_apart_from_its_description() {
        let text = "#the shop\nagent: 1\nbios: ovmf\nefidisk0: l:vm-1-disk-1,size=4M\nmemory: 2048\nmeta: creation-qemu=9.2.0,ctime=1725000000\nname: shop\n\
                    net0: virtio=BC:24:11:00:90:00,bridge=vmbr0\nscsi1: l:vm-1-disk-2,backup=0,size=2G\n\
                    scsi0: l:vm-1-disk-0,size=8G\nide2: none,media=cdrom\nusb0: host=1234:5678\nserial0: socket\n\
                    #qmdump#map:efidisk0:drive-efidisk0:l:raw:\n#qmdump#map:scsi0:drive-scsi0:l:raw:\n\
                    \n[PENDING]\nmemory: 1\n";
        let config = QemuConfig::from_text(text);
        assert_eq!(config.description(), Some("the shop"));
        assert_eq!(config.archived["scsi0"], "drive-scsi0");
        assert_eq!(config.archived.len(), 2);
        assert_eq!(config.memory().to_string(), "2G");
        assert_eq!(config.created_s(), Some(1_725_000_000));
        assert!(config.has_agent());
        let drives = config.drives().unwrap();
        let keys: Vec<&str> = drives.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["ide2", "scsi0", "scsi1", "efidisk0"]);
        assert_eq!(config.nets().unwrap()[&0].model.as_str(), "virtio");
        assert_eq!(
            config.host_devices().into_keys().collect::<Vec<_>>(),
            ["usb0"]
        );
    }

    #[test]
    fn the_api_and_the_file_read_alike() {
        let config: QemuConfig = serde_json::from_str(
            r#"{"memory":"current=1024","cores":2,"agent":"enabled=1,fstrim_cloned_disks=1","future":"kept",
                "digest":"16cb552bbd99f5eea7567f46b6a90f4cb912115d"}"#,
        )
        .unwrap();
        assert_eq!(config.memory().to_string(), "1G");
        assert!(config.has_agent() && config.digest().is_some());
        assert_eq!(
            (config.get("cores"), config.get("future")),
            (Some("2"), Some("kept"))
        );
        let hidden: QemuConfig = serde_json::from_str(r#"{"scsi00":"l:vm-1-disk-0"}"#).unwrap();
        assert!(hidden.drives().is_err());
    }
}
