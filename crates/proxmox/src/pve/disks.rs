//! Thin pools, whose *metadata* can run full while there is room for data, and file systems that the node mounts.

use felhom_ids::NodeName;
use serde::Deserialize;

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
    /// The mount units that PVE has made.
    pub async fn mount_units(&self) -> Result<Vec<MountUnit>, Error> {
        self.call(&ListMountUnits).await
    }

    /// All thin pools of the node.
    pub async fn thin_pools(&self) -> Result<Vec<ThinPool>, Error> {
        self.call(&ListThinPools).await
    }
}
