//! The nodes of the cluster, and how this one is.

use felhom_ids::{Fingerprint, NodeName};
use serde::Deserialize;

use super::Pve;
use crate::client::Client;
use crate::decode;
use crate::encode::{Endpoint, Method, Request};
use crate::error::Error;

/// `GET /nodes`: any authenticated caller.
#[derive(Debug, Clone, Copy)]
pub struct ListNodes;

/// `GET /nodes/N/status`: `Sys.Audit` on the node.
#[derive(Debug, Clone, Copy)]
pub struct GetNodeStatus;

/// `GET /nodes/N/time`: `Sys.Audit` on the node.
#[derive(Debug, Clone, Copy)]
pub struct GetNodeTime;

/// A node as the list shows it. The figures need `Sys.Audit` and may be 10 s old.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Node {
    /// Its name.
    pub node: NodeName,
    /// `online`, `offline` or `unknown`.
    #[serde(deserialize_with = "decode::text")]
    pub status: String,
    /// Load, as a share of all CPUs.
    #[serde(default, deserialize_with = "decode::maybe_float")]
    pub cpu: Option<f64>,
    /// CPUs.
    #[serde(default, deserialize_with = "decode::maybe_number")]
    pub maxcpu: Option<u32>,
    /// Memory used.
    #[serde(default, deserialize_with = "decode::maybe_number")]
    pub mem: Option<u64>,
    /// Memory.
    #[serde(default, deserialize_with = "decode::maybe_number")]
    pub maxmem: Option<u64>,
    /// Root file system used.
    #[serde(default, deserialize_with = "decode::maybe_number")]
    pub disk: Option<u64>,
    /// Root file system.
    #[serde(default, deserialize_with = "decode::maybe_number")]
    pub maxdisk: Option<u64>,
    /// Seconds since boot.
    #[serde(default, deserialize_with = "decode::maybe_number")]
    pub uptime: Option<i64>,
    /// Of the certificate that the node itself shows.
    #[serde(default, deserialize_with = "decode::maybe_name")]
    pub ssl_fingerprint: Option<Fingerprint>,
}

/// How a node is.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct NodeStatus {
    /// Seconds since boot.
    #[serde(deserialize_with = "decode::number")]
    pub uptime: i64,
    /// Load, as a share of all CPUs.
    #[serde(default, deserialize_with = "decode::maybe_float")]
    pub cpu: Option<f64>,
    /// Load averages over 1, 5 and 15 minutes.
    #[serde(default)]
    pub loadavg: Vec<Lenient>,
    /// Main memory.
    pub memory: Memory,
    /// Swap.
    #[serde(default)]
    pub swap: Option<Memory>,
    /// The root file system.
    pub rootfs: FileSystem,
    /// Such as `pve-manager/9.2.11/14a22df35955d97d`.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub pveversion: Option<String>,
    /// The kernel's own words about itself.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub kversion: Option<String>,
    /// The kernel that runs.
    #[serde(default, rename = "current-kernel")]
    pub kernel: Option<Kernel>,
    /// The CPUs.
    #[serde(default)]
    pub cpuinfo: Option<CpuInfo>,
}

/// A kernel.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Kernel {
    /// Such as `6.14.11-4-pve`.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub release: Option<String>,
}

/// A number that PVE writes as text.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct Lenient(#[serde(deserialize_with = "decode::float")] pub f64);

/// Memory or swap, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Memory {
    /// All.
    #[serde(deserialize_with = "decode::number")]
    pub total: u64,
    /// Used.
    #[serde(deserialize_with = "decode::number")]
    pub used: u64,
    /// Unused.
    #[serde(deserialize_with = "decode::number")]
    pub free: u64,
    /// What could be had without swapping, which is more than `free`. Not told of swap.
    #[serde(default, deserialize_with = "decode::maybe_number")]
    pub available: Option<u64>,
}

/// A file system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct FileSystem {
    /// All.
    #[serde(deserialize_with = "decode::number")]
    pub total: u64,
    /// Used.
    #[serde(deserialize_with = "decode::number")]
    pub used: u64,
    /// What others than root may still use.
    #[serde(deserialize_with = "decode::number")]
    pub avail: u64,
}

/// The CPUs of a node.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct CpuInfo {
    /// How many the kernel sees.
    #[serde(deserialize_with = "decode::number")]
    pub cpus: u32,
    /// Their model.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub model: Option<String>,
}

/// A node's clock.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct NodeTime {
    /// Seconds since 1970.
    #[serde(deserialize_with = "decode::number")]
    pub time: i64,
    /// The same, shifted to local time: the difference is the offset from UTC, by which the time
    /// in an archive's name is to be read.
    #[serde(deserialize_with = "decode::number")]
    pub localtime: i64,
    /// Such as `Europe/Budapest`.
    #[serde(deserialize_with = "decode::text")]
    pub timezone: String,
}

impl Endpoint for ListNodes {
    type Response = Vec<Node>;

    fn request(&self, _node: &NodeName) -> Request {
        list()
    }
}

fn list() -> Request {
    Request::new(Method::Get, &[&"nodes"])
}

impl Endpoint for GetNodeStatus {
    type Response = NodeStatus;

    fn request(&self, node: &NodeName) -> Request {
        Request::new(Method::Get, &[&"nodes", node, &"status"])
    }
}

impl Endpoint for GetNodeTime {
    type Response = NodeTime;

    fn request(&self, node: &NodeName) -> Request {
        Request::new(Method::Get, &[&"nodes", node, &"time"])
    }
}

impl Client {
    /// The nodes behind this client, for those who do not know yet how theirs is called.
    pub async fn nodes(&self) -> Result<Vec<Node>, Error> {
        self.send(&list()).await
    }
}

impl Pve {
    /// All nodes of the cluster.
    pub async fn nodes(&self) -> Result<Vec<Node>, Error> {
        self.call(&ListNodes).await
    }

    /// How this node is.
    pub async fn node_status(&self) -> Result<NodeStatus, Error> {
        self.call(&GetNodeStatus).await
    }

    /// This node's clock.
    pub async fn node_time(&self) -> Result<NodeTime, Error> {
        self.call(&GetNodeTime).await
    }
}
