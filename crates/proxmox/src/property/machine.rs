//! `netN` and drives of a virtual machine.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use felhom_ids::{BridgeName, ByteSize, MacAddress, VolumeId};

use super::fields::{Fields, Printer, serde_as_property};
use super::{InvalidProperty, PropertyValue};

/// A virtual machine's network device: `virtio=BC:24:11:00:90:00,bridge=vmbr0`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineNic {
    /// What it looks like to the guest, such as `virtio`.
    pub model: PropertyValue,
    /// Its hardware address; PVE makes one up if there is none.
    pub macaddr: Option<MacAddress>,
    /// Where it is plugged in; without one, QEMU itself gives the guest a way out of the host.
    pub bridge: Option<BridgeName>,
    /// Whether PVE's firewall stands before it.
    pub firewall: Option<bool>,
    /// Whether the cable is pulled.
    pub link_down: Option<bool>,
    /// The VLAN.
    pub tag: Option<u16>,
    /// The VLANs let through, separated by `;`.
    pub trunks: Option<PropertyValue>,
    /// Everything else: `rate`, `queues`, `mtu`, and what a newer PVE has.
    pub other: BTreeMap<String, PropertyValue>,
}

impl MachineNic {
    /// A device of which only the model is known.
    pub fn new(model: PropertyValue) -> Self {
        Self {
            model,
            macaddr: None,
            bridge: None,
            firewall: None,
            link_down: None,
            tag: None,
            trunks: None,
            other: BTreeMap::new(),
        }
    }

    /// Whether the cable is pulled.
    pub fn is_link_down(&self) -> bool {
        self.link_down == Some(true)
    }
}

const NIC: &str = "network device";

impl FromStr for MachineNic {
    type Err = InvalidProperty;

    /// The model's name stands as the key of the address (`virtio=MAC`), alone, or behind `model=`.
    fn from_str(text: &str) -> Result<Self, InvalidProperty> {
        let (mut model, mut address, mut rest) = (None, None, Vec::new());
        for part in text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            let (key, value) = part.split_once('=').unwrap_or(("model", part));
            let mac = value
                .parse::<MacAddress>()
                .ok()
                .filter(|_| key != "macaddr");
            let name = match mac {
                Some(mac) => {
                    address = Some(mac);
                    key
                }
                None if key == "model" => value,
                None => {
                    rest.push(part);
                    continue;
                }
            };
            if model.replace(name).is_some() {
                return Err(InvalidProperty::new(NIC, "it has two models"));
            }
        }
        let model = model.ok_or_else(|| InvalidProperty::new(NIC, "it has no model"))?;
        let model = model
            .parse()
            .map_err(|error| InvalidProperty::new(NIC, error))?;
        let mut fields = Fields::parse(NIC, None, &rest.join(","))?;
        let written: Option<MacAddress> = fields.maybe("macaddr")?;
        Ok(Self {
            model,
            macaddr: address.or(written),
            bridge: fields.maybe("bridge")?,
            firewall: fields.flag("firewall")?,
            link_down: fields.flag("link_down")?,
            tag: fields.maybe("tag")?,
            trunks: fields.maybe("trunks")?,
            other: fields.rest(),
        })
    }
}

impl fmt::Display for MachineNic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let front = match &self.macaddr {
            Some(mac) => format!("{}={mac}", self.model),
            None => self.model.to_string(),
        };
        Printer::default()
            .default_key(&front)
            .maybe("bridge", self.bridge.as_ref())
            .flag("firewall", self.firewall)
            .flag("link_down", self.link_down)
            .maybe("tag", self.tag.as_ref())
            .maybe("trunks", self.trunks.as_ref())
            .rest(&self.other)
            .write(f)
    }
}

serde_as_property!(MachineNic);

/// A drive of a virtual machine: `local-lvm:vm-100-disk-0,backup=0,size=32G`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drive {
    /// What is behind it, as written: a volume, a path or a device of the host, `none`, `cdrom`.
    pub file: PropertyValue,
    /// Whether it is in backups; what says nothing is.
    pub backup: Option<bool>,
    /// Its size, as the configuration names it.
    pub size: Option<ByteSize>,
    /// `cdrom`, or `disk`.
    pub media: Option<PropertyValue>,
    /// Everything else.
    pub other: BTreeMap<String, PropertyValue>,
}

impl Drive {
    /// A CD drive, which no backup holds; cloud-init's is one.
    pub fn is_cdrom(&self) -> bool {
        self.media
            .as_ref()
            .is_some_and(|media| media.as_str() == "cdrom")
    }

    /// The volume behind it; none for a path, a device, or an empty drive.
    pub fn volume(&self) -> Option<VolumeId> {
        let text = self.file.as_str();
        if text.starts_with('/') {
            return None;
        }
        text.parse().ok()
    }

    /// Whether it is in backups; for a CD drive the question does not arise.
    pub fn is_backed_up(&self) -> bool {
        !self.is_cdrom() && self.backup != Some(false)
    }
}

impl FromStr for Drive {
    type Err = InvalidProperty;

    fn from_str(text: &str) -> Result<Self, InvalidProperty> {
        let mut fields = Fields::parse("drive", Some("file"), text)?;
        Ok(Self {
            file: fields.required("file")?,
            backup: fields.flag("backup")?,
            size: fields.maybe("size")?,
            media: fields.maybe("media")?,
            other: fields.rest(),
        })
    }
}

impl fmt::Display for Drive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Printer::default()
            .default_key(&self.file)
            .flag("backup", self.backup)
            .maybe("media", self.media.as_ref())
            .maybe("size", self.size.as_ref())
            .rest(&self.other)
            .write(f)
    }
}

serde_as_property!(Drive);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_reads_in_every_writing_and_prints_as_pve_prints() {
        for (text, printed) in [
            ("virtio=BC:24:11:00:90:00,bridge=vmbr0", None),
            ("e1000,bridge=vmbr1,link_down=1", None),
            (
                "bridge=vmbr0,virtio=BC:24:11:00:90:00",
                Some("virtio=BC:24:11:00:90:00,bridge=vmbr0"),
            ),
            (
                "model=virtio,macaddr=BC:24:11:00:90:00",
                Some("virtio=BC:24:11:00:90:00"),
            ),
            (
                "virtio=BC:24:11:00:90:00,bridge=vmbr0,firewall=1,queues=4,tag=7,trunks=2;3",
                None,
            ),
        ] {
            let nic: MachineNic = text.parse().unwrap();
            assert_eq!(nic.to_string(), printed.unwrap_or(text));
        }
        assert!("bridge=vmbr0".parse::<MachineNic>().is_err());
        assert!("virtio,e1000".parse::<MachineNic>().is_err());
    }

    #[test]
    fn a_drive_says_what_is_behind_it_and_whether_backups_hold_it() {
        let drive: Drive = "local-lvm:vm-1-disk-0,backup=0,iothread=1,size=32G"
            .parse()
            .unwrap();
        assert_eq!(
            drive.to_string(),
            "local-lvm:vm-1-disk-0,backup=0,iothread=1,size=32G"
        );
        assert_eq!(drive.volume().unwrap().to_string(), "local-lvm:vm-1-disk-0");
        assert!(!drive.is_backed_up());
        let raw: Drive = "/dev/disk/by-id/ata-X=1".parse().unwrap();
        assert_eq!((raw.volume(), raw.is_backed_up()), (None, true));
        let cd: Drive = "none,media=cdrom".parse().unwrap();
        assert_eq!(
            (cd.volume(), cd.is_cdrom(), cd.is_backed_up()),
            (None, true, false)
        );
        let cloud: Drive = "local-lvm:vm-1-cloudinit,media=cdrom".parse().unwrap();
        assert!(cloud.is_cdrom() && cloud.volume().is_some());
    }
}
