//! Which containers there are, whether they run, and which addresses they really have.

use std::net::IpAddr;

use felhom_ids::{NodeName, Vmid};
use serde::{Deserialize, Deserializer};

use crate::decode;
use crate::encode::{Endpoint, Method, Request};
use crate::error::Error;
use crate::pve::Pve;

/// `GET /nodes/N/lxc`. Containers that the caller may not audit are missing without a word.
#[derive(Debug, Clone, Copy)]
pub struct ListLxc;

/// `GET /nodes/N/lxc/ID/status/current`: `VM.Audit`.
#[derive(Debug, Clone, Copy)]
pub struct GetLxcStatus {
    /// Which.
    pub vmid: Vmid,
}

/// `GET /nodes/N/lxc/ID/interfaces`: `VM.Audit`. Looks into the running container.
#[derive(Debug, Clone, Copy)]
pub struct GetLxcInterfaces {
    /// Which.
    pub vmid: Vmid,
}

/// Whether a guest runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunState {
    /// It does.
    Running,
    /// It does not.
    Stopped,
    /// PVE says something else.
    Other(String),
}

impl<'de> Deserialize<'de> for RunState {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match decode::text(deserializer)?.as_str() {
            "running" => Self::Running,
            "stopped" => Self::Stopped,
            other => Self::Other(other.to_owned()),
        })
    }
}

/// A container's present state.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct GuestStatus {
    /// Its number.
    pub vmid: Vmid,
    /// Whether it runs.
    pub status: RunState,
    /// Its host name, or `CT101`.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub name: Option<String>,
    /// What holds its configuration, such as `backup`.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub lock: Option<String>,
    /// Its tags, separated by `;`.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub tags: Option<String>,
    /// Whether it is a template.
    #[serde(default, deserialize_with = "decode::flag")]
    pub template: bool,
    /// Seconds since it started; a few below zero have been seen right after a start.
    #[serde(default, deserialize_with = "decode::maybe_number")]
    pub uptime: Option<i64>,
    /// Its init's process id on the host.
    #[serde(default, deserialize_with = "decode::maybe_number")]
    pub pid: Option<u32>,
    /// Load, as a share of its CPUs; 0 on the first look of one of PVE's workers.
    #[serde(default, deserialize_with = "decode::maybe_float")]
    pub cpu: Option<f64>,
    /// Its CPUs; a fraction where a limit is one.
    #[serde(default, deserialize_with = "decode::maybe_float")]
    pub cpus: Option<f64>,
    /// Memory used.
    #[serde(default, deserialize_with = "decode::maybe_number")]
    pub mem: Option<u64>,
    /// Memory.
    #[serde(default, deserialize_with = "decode::maybe_number")]
    pub maxmem: Option<u64>,
    /// Swap used.
    #[serde(default, deserialize_with = "decode::maybe_number")]
    pub swap: Option<u64>,
    /// Root file system used; 0 while it is stopped.
    #[serde(default, deserialize_with = "decode::maybe_number")]
    pub disk: Option<u64>,
    /// Root file system.
    #[serde(default, deserialize_with = "decode::maybe_number")]
    pub maxdisk: Option<u64>,
}

impl GuestStatus {
    /// Whether it runs.
    pub fn is_running(&self) -> bool {
        self.status == RunState::Running
    }
}

/// An interface as it is inside the container, not as configured.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct GuestInterface {
    /// Its name, such as `eth0` or `lo`.
    #[serde(deserialize_with = "decode::text")]
    pub name: String,
    /// Its hardware address as the kernel prints it: zeros for `lo`, and not a MAC address at all
    /// for tunnels.
    #[serde(
        default,
        rename = "hardware-address",
        deserialize_with = "decode::maybe_text"
    )]
    pub hardware_address: Option<String>,
    /// Its addresses.
    #[serde(default, rename = "ip-addresses", deserialize_with = "decode::list")]
    pub addresses: Vec<InterfaceAddress>,
}

/// An address that is really on an interface.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct InterfaceAddress {
    /// The address.
    #[serde(rename = "ip-address")]
    pub address: IpAddr,
    /// The prefix length.
    #[serde(default, deserialize_with = "decode::maybe_number")]
    pub prefix: Option<u8>,
}

impl Endpoint for ListLxc {
    type Response = Vec<GuestStatus>;

    fn request(&self, node: &NodeName) -> Request {
        Request::new(Method::Get, &[&"nodes", node, &"lxc"])
    }
}

impl Endpoint for GetLxcStatus {
    type Response = GuestStatus;

    fn request(&self, node: &NodeName) -> Request {
        Request::new(
            Method::Get,
            &[&"nodes", node, &"lxc", &self.vmid, &"status", &"current"],
        )
    }
}

impl Endpoint for GetLxcInterfaces {
    type Response = Option<Vec<GuestInterface>>;

    fn request(&self, node: &NodeName) -> Request {
        Request::new(
            Method::Get,
            &[&"nodes", node, &"lxc", &self.vmid, &"interfaces"],
        )
    }
}

impl Pve {
    /// The containers that this token may audit.
    pub async fn lxc_list(&self) -> Result<Vec<GuestStatus>, Error> {
        self.call(&ListLxc).await
    }

    /// One container's present state.
    pub async fn lxc_status(&self, vmid: Vmid) -> Result<GuestStatus, Error> {
        self.call(&GetLxcStatus { vmid }).await
    }

    /// The interfaces inside a running container; none while it is stopped.
    pub async fn lxc_interfaces(&self, vmid: Vmid) -> Result<Option<Vec<GuestInterface>>, Error> {
        self.call(&GetLxcInterfaces { vmid }).await
    }
}
