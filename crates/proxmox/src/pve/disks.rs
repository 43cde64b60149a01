//! The node's disks, thin pools, whose *metadata* can run full while there is room for data, and file systems that the node
//! mounts.

mod smart;

pub use smart::{Attribute, GetSmart, Health, Smart};

use felhom_ids::NodeName;
use serde::{Deserialize, Deserializer};

use super::Pve;
use crate::decode;
use crate::encode::{Endpoint, Method, Request};
use crate::error::Error;

/// `GET /nodes/N/disks/lvmthin`: `Sys.Audit` on the node.
#[derive(Debug, Clone, Copy)]
pub struct ListThinPools;

/// An LVM thin pool, in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ThinPool {
    /// Its volume group.
    #[serde(deserialize_with = "decode::text")]
    pub vg: String,
    /// Its name.
    #[serde(deserialize_with = "decode::text")]
    pub lv: String,
    /// Room for data.
    #[serde(deserialize_with = "decode::number")]
    pub lv_size: u64,
    /// Data.
    #[serde(deserialize_with = "decode::number")]
    pub used: u64,
    /// Room for metadata.
    #[serde(deserialize_with = "decode::number")]
    pub metadata_size: u64,
    /// Metadata.
    #[serde(deserialize_with = "decode::number")]
    pub metadata_used: u64,
}

/// `GET /nodes/N/disks/directory`: `Sys.Audit` on `/`. The mount units that PVE itself has made, below `/mnt/pve`; whether they
/// are mounted is not told.
#[derive(Debug, Clone, Copy)]
pub struct ListMountUnits;

/// A mount unit.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct MountUnit {
    /// Where it is mounted.
    #[serde(deserialize_with = "decode::text")]
    pub path: String,
    /// What is, as a rule by the UUID of its file system: `/dev/disk/by-uuid/…`.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub device: Option<String>,
}

impl MountUnit {
    /// The UUID of its file system, if it is mounted by that.
    pub fn filesystem(&self) -> Option<&str> {
        let uuid = self.device.as_deref()?.strip_prefix("/dev/disk/by-uuid/")?;
        (!uuid.is_empty()).then_some(uuid)
    }
}

/// A list of disks, or what one disk says of itself, is never longer.
const LONGEST: usize = 1 << 20;

/// `GET /nodes/N/disks/list`: `Sys.Audit` on `/` or on the node. The node asks every disk for its health, which wakes one that
/// sleeps, and gives each ten seconds (pve-storage `Diskmanage.pm` `get_smart_data`).
#[derive(Debug, Clone, Copy)]
pub struct ListDisks;

/// A disk of the node. What PVE calls `unknown` is not told here.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct PhysicalDisk {
    /// `/dev/sda`.
    #[serde(deserialize_with = "decode::text")]
    pub devpath: String,
    /// Bytes.
    #[serde(deserialize_with = "decode::number")]
    pub size: u64,
    /// Its model.
    #[serde(default, deserialize_with = "told")]
    pub model: Option<String>,
    /// Its serial number.
    #[serde(default, deserialize_with = "told")]
    pub serial: Option<String>,
    /// `hdd`, `ssd`, `nvme` or `usb`.
    #[serde(default, rename = "type", deserialize_with = "told")]
    pub kind: Option<String>,
    /// Turns a minute: 0 of what does not turn, -1 where nobody knows.
    #[serde(default, deserialize_with = "decode::maybe_number")]
    pub rpm: Option<i64>,
    /// What it is used for: `LVM`, `ext4`, `partitions`, …
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub used: Option<String>,
    /// Whether itself, not a partition of it, is mounted.
    #[serde(default, deserialize_with = "decode::flag")]
    pub mounted: bool,
    /// `PASSED`, `OK`, `FAILED!`, `UNKNOWN`, or in a SAS disk's own words what fails.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub health: Option<String>,
    /// How much of its life is left, in percent, and below nothing when it outlived that; `N/A` where it does not tell.
    #[serde(default, deserialize_with = "left")]
    pub wearout: Option<f64>,
}

impl PhysicalDisk {
    /// What it says of its health.
    pub fn health(&self) -> Health {
        Health::of(self.health.as_deref())
    }

    /// How much of its life is used up, in percent; more than a hundred when it outlived that.
    pub fn worn_percent(&self) -> Option<u8> {
        self.wearout.map(smart::worn)
    }
}

/// A text that is not `unknown`.
fn told<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let text = decode::maybe_text(from)?;
    Ok(text
        .map(|text| text.trim().to_owned())
        .filter(|text| !text.is_empty() && text != "unknown"))
}

/// A number, and nothing where a word stands for it.
fn left<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    let text = decode::maybe_text(from)?;
    Ok(text
        .and_then(|text| text.trim().parse().ok())
        .filter(|left: &f64| left.is_finite()))
}

impl Endpoint for ListDisks {
    type Response = Vec<PhysicalDisk>;

    fn request(&self, node: &NodeName) -> Request {
        Request::new(Method::Get, &[&"nodes", node, &"disks", &"list"]).at_most(LONGEST)
    }
}

impl Endpoint for ListThinPools {
    type Response = Vec<ThinPool>;

    fn request(&self, node: &NodeName) -> Request {
        Request::new(Method::Get, &[&"nodes", node, &"disks", &"lvmthin"])
    }
}

impl Endpoint for ListMountUnits {
    type Response = Vec<MountUnit>;

    fn request(&self, node: &NodeName) -> Request {
        Request::new(Method::Get, &[&"nodes", node, &"disks", &"directory"])
    }
}

impl Pve {
    /// The disks of the node, with what they say of their health.
    pub async fn disks(&self) -> Result<Vec<PhysicalDisk>, Error> {
        self.call(&ListDisks).await
    }

    /// What a disk says of itself.
    pub async fn smart(&self, disk: &str) -> Result<Smart, Error> {
        let disk = disk.to_owned();
        self.call(&GetSmart { disk }).await
    }

    /// The mount units that PVE has made.
    pub async fn mount_units(&self) -> Result<Vec<MountUnit>, Error> {
        self.call(&ListMountUnits).await
    }

    /// All thin pools of the node.
    pub async fn thin_pools(&self) -> Result<Vec<ThinPool>, Error> {
        self.call(&ListThinPools).await
    }
}
