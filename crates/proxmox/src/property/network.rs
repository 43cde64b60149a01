//! `netN` of a container.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use felhom_ids::{BridgeName, MacAddress};

use super::fields::{Fields, Printer, serde_as_property};
use super::{InvalidProperty, PropertyValue};

/// A container's network interface, as its `netN` line describes it. `None` is "not written", which
/// PVE keeps apart from "written as the default"; [`NetworkInterface::same`] does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkInterface {
    /// The name inside the container, such as `eth0`.
    pub name: PropertyValue,
    /// Where it is plugged in; without one it hangs in the air.
    pub bridge: Option<BridgeName>,
    /// Its hardware address; PVE makes one up if there is none.
    pub hwaddr: Option<MacAddress>,
    /// How it gets an IPv4 address.
    pub ip: Option<Ipv4Setting>,
    /// The IPv4 gateway.
    pub gw: Option<Ipv4Addr>,
    /// How it gets an IPv6 address.
    pub ip6: Option<Ipv6Setting>,
    /// The IPv6 gateway.
    pub gw6: Option<Ipv6Addr>,
    /// Whether PVE's firewall stands before it.
    pub firewall: Option<bool>,
    /// Whether the cable is pulled.
    pub link_down: Option<bool>,
    /// Whether the host, not the guest, configures it.
    pub host_managed: Option<bool>,
    /// The MTU.
    pub mtu: Option<u32>,
    /// The VLAN.
    pub tag: Option<u16>,
    /// The VLANs let through, separated by `;`.
    pub trunks: Option<PropertyValue>,
    /// The rate limit in MB/s.
    pub rate: Option<PropertyValue>,
    /// Always `veth`; PVE adds it.
    pub kind: Option<PropertyValue>,
    /// Keys that we do not know.
    pub other: BTreeMap<String, PropertyValue>,
}

/// `ip=`
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ipv4Setting {
    /// Asked for.
    Dhcp,
    /// Left to the guest.
    Manual,
    /// Written into the guest's own network configuration.
    Static {
        /// The address.
        address: Ipv4Addr,
        /// The network's prefix length.
        prefix: u8,
    },
}

/// `ip6=`
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ipv6Setting {
    /// By router advertisements.
    Auto,
    /// Asked for.
    Dhcp,
    /// Left to the guest.
    Manual,
    /// Written into the guest's own network configuration.
    Static {
        /// The address.
        address: Ipv6Addr,
        /// The network's prefix length.
        prefix: u8,
    },
}

impl NetworkInterface {
    /// An interface of which only the name is known.
    pub fn new(name: PropertyValue) -> Self {
        Self {
            name,
            bridge: None,
            hwaddr: None,
            ip: None,
            gw: None,
            ip6: None,
            gw6: None,
            firewall: None,
            link_down: None,
            host_managed: None,
            mtu: None,
            tag: None,
            trunks: None,
            rate: None,
            kind: None,
            other: BTreeMap::new(),
        }
    }

    /// Whether the cable is pulled.
    pub fn is_link_down(&self) -> bool {
        self.link_down == Some(true)
    }

    /// Whether both mean the same, written out or not.
    pub fn same(&self, other: &Self) -> bool {
        self.normalised() == other.normalised()
    }

    fn normalised(&self) -> Self {
        let on = |flag: Option<bool>| flag.filter(|&set| set);
        Self {
            firewall: on(self.firewall),
            link_down: on(self.link_down),
            host_managed: on(self.host_managed),
            kind: self.kind.clone().filter(|kind| kind.as_str() != "veth"),
            ..self.clone()
        }
    }
}

impl FromStr for NetworkInterface {
    type Err = InvalidProperty;

    fn from_str(text: &str) -> Result<Self, InvalidProperty> {
        let mut fields = Fields::parse("network interface", None, text)?;
        Ok(Self {
            name: fields.required("name")?,
            bridge: fields.maybe("bridge")?,
            hwaddr: fields.maybe("hwaddr")?,
            ip: fields.maybe("ip")?,
            gw: fields.maybe("gw")?,
            ip6: fields.maybe("ip6")?,
            gw6: fields.maybe("gw6")?,
            firewall: fields.flag("firewall")?,
            link_down: fields.flag("link_down")?,
            host_managed: fields.flag("host-managed")?,
            mtu: fields.maybe("mtu")?,
            tag: fields.maybe("tag")?,
            trunks: fields.maybe("trunks")?,
            rate: fields.maybe("rate")?,
            kind: fields.maybe("type")?,
            other: fields.rest(),
        })
    }
}

impl fmt::Display for NetworkInterface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Printer::default()
            .required("name", &self.name)
            .maybe("bridge", self.bridge.as_ref())
            .maybe("hwaddr", self.hwaddr.as_ref())
            .maybe("ip", self.ip.as_ref())
            .maybe("gw", self.gw.as_ref())
            .maybe("ip6", self.ip6.as_ref())
            .maybe("gw6", self.gw6.as_ref())
            .flag("firewall", self.firewall)
            .flag("link_down", self.link_down)
            .flag("host-managed", self.host_managed)
            .maybe("mtu", self.mtu.as_ref())
            .maybe("tag", self.tag.as_ref())
            .maybe("trunks", self.trunks.as_ref())
            .maybe("rate", self.rate.as_ref())
            .maybe("type", self.kind.as_ref())
            .rest(&self.other)
            .write(f)
    }
}

serde_as_property!(NetworkInterface);

impl FromStr for Ipv4Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "dhcp" => Ok(Self::Dhcp),
            "manual" => Ok(Self::Manual),
            _ => cidr(text, 32)
                .map(|(address, prefix)| Self::Static { address, prefix })
                .ok_or_else(|| {
                    format!("`{text}` is neither an IPv4 network nor `dhcp` nor `manual`")
                }),
        }
    }
}

impl fmt::Display for Ipv4Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dhcp => f.write_str("dhcp"),
            Self::Manual => f.write_str("manual"),
            Self::Static { address, prefix } => write!(f, "{address}/{prefix}"),
        }
    }
}

impl FromStr for Ipv6Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "dhcp" => Ok(Self::Dhcp),
            "manual" => Ok(Self::Manual),
            _ => cidr(text, 128)
                .map(|(address, prefix)| Self::Static { address, prefix })
                .ok_or_else(|| {
                    format!("`{text}` is neither an IPv6 network nor `auto`, `dhcp` or `manual`")
                }),
        }
    }
}

impl fmt::Display for Ipv6Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Dhcp => f.write_str("dhcp"),
            Self::Manual => f.write_str("manual"),
            Self::Static { address, prefix } => write!(f, "{address}/{prefix}"),
        }
    }
}

fn cidr<A: FromStr>(text: &str, longest: u8) -> Option<(A, u8)> {
    let (address, prefix) = text.split_once('/')?;
    let prefix = prefix
        .parse()
        .ok()
        .filter(|&prefix: &u8| (8..=longest).contains(&prefix))?;
    Some((address.parse().ok()?, prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> NetworkInterface {
        text.parse().unwrap()
    }

    #[test]
    fn prints_as_pve_does() {
        let stored = "name=eth0,bridge=vmbr0,firewall=1,gw=10.0.0.1,hwaddr=BC:24:11:AA:BB:CC,ip=10.0.0.5/24,type=veth";
        assert_eq!(net(stored).to_string(), stored);
        let shuffled = "ip=10.0.0.5/24,hwaddr=bc:24:11:aa:bb:cc,gw=10.0.0.1, type=veth,,firewall=on,bridge=vmbr0,name=eth0";
        assert_eq!(net(shuffled).to_string(), stored);
    }

    #[test]
    fn meaning_is_compared_not_writing() {
        let short = net("name=eth0,bridge=vmbr9");
        let long = net("name=eth0,bridge=vmbr9,type=veth,link_down=0,firewall=no");
        assert_ne!(short, long);
        assert!(short.same(&long));
        assert!(!short.same(&net("name=eth0,bridge=vmbr9,link_down=1")));
        assert!(net("name=eth0,link_down=yes").is_link_down());
    }

    #[test]
    fn keys_of_a_newer_pve_survive() {
        let text = "name=eth0,bridge=vmbr0,ip=dhcp,newkey=x,type=veth";
        assert_eq!(net(text).to_string(), text);
    }

    #[test]
    fn nonsense_is_refused() {
        for odd in [
            "",
            "bridge=vmbr0",
            "name=",
            "name=eth0,name=eth1",
            "name=eth0,vmbr0",
            "name=eth0,ip=10.0.0.5",
            "name=eth0,ip=10.0.0.5/33",
            "name=eth0,ip6=10.0.0.5/24",
            "name=eth0,link_down=perhaps",
            "name=eth0,hwaddr=x",
            "name=eth0,tag=x",
        ] {
            assert!(odd.parse::<NetworkInterface>().is_err(), "{odd:?}");
        }
    }

    #[test]
    fn ipv6_has_its_own_words() {
        let text = "name=eth0,gw6=2001:db8::1,ip=manual,ip6=2001:db8::7/64";
        assert_eq!(net(text).to_string(), text);
        assert_eq!(net("name=a,ip6=auto").ip6, Some(Ipv6Setting::Auto));
    }
}
