//! The cluster as a whole: its resources, its members, its next free VMID.

use felhom_ids::{NodeName, PoolId, StorageId, Vmid};
use serde::Deserialize;

use super::Pve;
use crate::decode;
use crate::encode::{Endpoint, Method, Request};
use crate::error::Error;

/// `GET /cluster/resources`. What the caller may not audit is missing without a word.
#[derive(Debug, Clone, Default)]
pub struct ListResources {
    /// Only this sort: `vm`, `storage`, `node` or `sdn`.
    pub kind: Option<&'static str>,
}

/// `GET /cluster/status`: `Sys.Audit` on `/`.
#[derive(Debug, Clone, Copy)]
pub struct GetClusterStatus;

/// `GET /cluster/nextid`. Reserves nothing.
#[derive(Debug, Clone, Default)]
pub struct NextId {
    /// Ask whether this one is free instead.
    pub vmid: Option<Vmid>,
}

/// A guest, node, storage or network. Guests' states come from a cache up to 10 s old.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Resource {
    /// Such as `lxc/9001` or `storage/pve/local`.
    #[serde(deserialize_with = "decode::text")]
    pub id: String,
    /// `lxc`, `qemu`, `node`, `storage`, `sdn`, …
    #[serde(rename = "type", deserialize_with = "decode::text")]
    pub kind: String,
    /// Where it is.
    #[serde(default, deserialize_with = "decode::maybe_name")]
    pub node: Option<NodeName>,
    /// A guest's number.
    #[serde(default, deserialize_with = "decode::maybe_number")]
    pub vmid: Option<u32>,
    /// A guest's name.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub name: Option<String>,
    /// `running`, `stopped`, `unknown`; `online`; `available`.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub status: Option<String>,
    /// A guest's lock.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub lock: Option<String>,
    /// Whether a guest is a template.
    #[serde(default, deserialize_with = "decode::flag")]
    pub template: bool,
    /// A guest's pool.
    #[serde(default, deserialize_with = "decode::maybe_name")]
    pub pool: Option<PoolId>,
    /// A guest's tags, separated by `;`.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub tags: Option<String>,
    /// Seconds since the start.
    #[serde(default, deserialize_with = "decode::maybe_number")]
    pub uptime: Option<i64>,
    /// Load, as a share of the CPUs.
    #[serde(default, deserialize_with = "decode::maybe_float")]
    pub cpu: Option<f64>,
    /// CPUs; a fraction where a limit is one.
    #[serde(default, deserialize_with = "decode::maybe_float")]
    pub maxcpu: Option<f64>,
    /// Memory used.
    #[serde(default, deserialize_with = "decode::maybe_number")]
    pub mem: Option<u64>,
    /// Memory.
    #[serde(default, deserialize_with = "decode::maybe_number")]
    pub maxmem: Option<u64>,
    /// Disk used.
    #[serde(default, deserialize_with = "decode::maybe_number")]
    pub disk: Option<u64>,
    /// Disk.
    #[serde(default, deserialize_with = "decode::maybe_number")]
    pub maxdisk: Option<u64>,
    /// A storage's id.
    #[serde(default, deserialize_with = "decode::maybe_name")]
    pub storage: Option<StorageId>,
    /// A storage's type.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub plugintype: Option<String>,
    /// What a storage may hold.
    #[serde(default, deserialize_with = "decode::csv")]
    pub content: Vec<String>,
}

/// A line of the cluster's status.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ClusterEntry {
    /// `cluster` (absent where there is none) or `node`.
    #[serde(rename = "type", deserialize_with = "decode::text")]
    pub kind: String,
    /// The cluster's or the node's name.
    #[serde(deserialize_with = "decode::text")]
    pub name: String,
    /// Whether this is the node that answers.
    #[serde(default, deserialize_with = "decode::flag")]
    pub local: bool,
    /// Whether a node is up.
    #[serde(default, deserialize_with = "decode::flag")]
    pub online: bool,
    /// Whether a cluster may decide things.
    #[serde(default, deserialize_with = "decode::maybe_number")]
    pub quorate: Option<u8>,
    /// How many nodes a cluster has.
    #[serde(default, deserialize_with = "decode::maybe_number")]
    pub nodes: Option<u32>,
    /// A node's address.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub ip: Option<String>,
}

impl Endpoint for ListResources {
    type Response = Vec<Resource>;

    fn request(&self, _node: &NodeName) -> Request {
        Request::new(Method::Get, &[&"cluster", &"resources"]).maybe("type", self.kind)
    }
}

impl Endpoint for GetClusterStatus {
    type Response = Vec<ClusterEntry>;

    fn request(&self, _node: &NodeName) -> Request {
        Request::new(Method::Get, &[&"cluster", &"status"])
    }
}

impl Endpoint for NextId {
    type Response = Vmid;

    fn request(&self, _node: &NodeName) -> Request {
        Request::new(Method::Get, &[&"cluster", &"nextid"]).maybe("vmid", self.vmid)
    }
}

impl Pve {
    /// Everything in the cluster that this token may see.
    pub async fn resources(&self) -> Result<Vec<Resource>, Error> {
        self.call(&ListResources::default()).await
    }

    /// The members of the cluster.
    pub async fn cluster_status(&self) -> Result<Vec<ClusterEntry>, Error> {
        self.call(&GetClusterStatus).await
    }

    /// The lowest free VMID.
    pub async fn next_id(&self) -> Result<Vmid, Error> {
        self.call(&NextId::default()).await
    }

    /// Whether a VMID is free in the whole cluster, also of guests that this token cannot see.
    pub async fn is_free(&self, vmid: Vmid) -> Result<bool, Error> {
        match self.call(&NextId { vmid: Some(vmid) }).await {
            Ok(_) => Ok(true),
            Err(Error::Parameter { fields, .. })
                if fields
                    .get("vmid")
                    .is_some_and(|text| text.ends_with("already exists")) =>
            {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}
