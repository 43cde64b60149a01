//! Thin pools, whose *metadata* can run full while there is room for data.

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

impl Endpoint for ListThinPools {
    type Response = Vec<ThinPool>;

    fn request(&self, node: &NodeName) -> Request {
        Request::new(Method::Get, &[&"nodes", node, &"disks", &"lvmthin"])
    }
}

impl Pve {
    /// All thin pools of the node.
    pub async fn thin_pools(&self) -> Result<Vec<ThinPool>, Error> {
        self.call(&ListThinPools).await
    }
}
