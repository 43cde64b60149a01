//! The host's network interfaces, for knowing whether a bridge is isolated.

use felhom_ids::NodeName;
use serde::Deserialize;

use super::Pve;
use crate::decode;
use crate::encode::{Endpoint, Method, Request};
use crate::error::Error;

/// `GET /nodes/N/network`. A bridge that the caller may neither audit nor use is missing.
#[derive(Debug, Clone, Copy)]
pub struct ListInterfaces;

/// A network interface of the host.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct HostInterface {
    /// Its name, such as `vmbr0`.
    #[serde(deserialize_with = "decode::text")]
    pub iface: String,
    /// `bridge`, `eth`, `bond`, `vlan`, …
    #[serde(rename = "type", deserialize_with = "decode::text")]
    pub kind: String,
    /// Whether it is up.
    #[serde(default, deserialize_with = "decode::flag")]
    pub active: bool,
    /// Whether it comes up at boot.
    #[serde(default, deserialize_with = "decode::flag")]
    pub autostart: bool,
    /// A bridge's ports, separated by blanks; none on an isolated one.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub bridge_ports: Option<String>,
    /// Its IPv4 address.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub address: Option<String>,
    /// Its IPv4 network.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub cidr: Option<String>,
    /// Its IPv4 gateway.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub gateway: Option<String>,
    /// Its IPv6 address.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub address6: Option<String>,
    /// `static`, `dhcp` or `manual`.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub method: Option<String>,
    /// The same for IPv6.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub method6: Option<String>,
    /// What somebody wrote about it.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub comments: Option<String>,
}

impl HostInterface {
    /// Whether it is a bridge that leads nowhere: no ports, no address, none asked for.
    pub fn is_isolated_bridge(&self) -> bool {
        let asks =
            |method: &Option<String>| matches!(method.as_deref(), Some("dhcp" | "auto" | "static"));
        self.kind == "bridge"
            && self
                .bridge_ports
                .as_deref()
                .is_none_or(|ports| matches!(ports.trim(), "" | "none"))
            && self.address.is_none()
            && self.cidr.is_none()
            && self.address6.is_none()
            && !asks(&self.method)
            && !asks(&self.method6)
    }
}

impl Endpoint for ListInterfaces {
    type Response = Vec<HostInterface>;

    fn request(&self, node: &NodeName) -> Request {
        Request::new(Method::Get, &[&"nodes", node, &"network"])
    }
}

impl Pve {
    /// The host's interfaces that this token may see.
    pub async fn host_interfaces(&self) -> Result<Vec<HostInterface>, Error> {
        self.call(&ListInterfaces).await
    }
}
