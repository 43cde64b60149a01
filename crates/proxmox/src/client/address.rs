//! Where a server listens, as a person writes it.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use rustls_pki_types::ServerName;
use serde::{Deserialize, Serialize};

use crate::product::Product;

/// Host and port of an HTTPS API. Reads `host`, `host:port`, `[::1]:8006` and the same behind
/// `https://`; without a port it is 8006, as Proxmox VE's, or that of [`Address::of`]'s product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address {
    host: String,
    port: u16,
    server_name: ServerNameText,
}

/// `ServerName` has no serde; it is always derived from the host.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ServerNameText(ServerName<'static>);

/// A text that is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not the address of a server: {why} (expected `host`, `host:8006` or `https://host:8006`)")]
pub struct InvalidAddress {
    why: &'static str,
}

impl Address {
    /// The host name or IP address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn server_name(&self) -> &ServerName<'static> {
        &self.server_name.0
    }
}

impl Address {
    /// Reads the address of a server of this product, whose port is meant where none is written.
    pub fn of(product: Product, text: &str) -> Result<Self, InvalidAddress> {
        let refuse = |why| InvalidAddress { why };
        if text.starts_with("http://") {
            return Err(refuse("it is not HTTPS"));
        }
        let rest = text.strip_prefix("https://").unwrap_or(text);
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains('@') {
            // The text is not repeated: it may hold a password.
            return Err(refuse("it holds a user name"));
        }
        if rest.contains(['/', '?', '#']) {
            return Err(refuse("it holds a path"));
        }
        let (host, port) =
            split(rest, product.port()).ok_or_else(|| refuse("the port is not a number"))?;
        let server_name =
            ServerName::try_from(host.to_owned()).map_err(|_| refuse("the host is no name"))?;
        Ok(Self {
            host: host.to_owned(),
            port,
            server_name: ServerNameText(server_name),
        })
    }
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        Self::of(Product::VirtualEnvironment, text)
    }
}

fn split(text: &str, usual: u16) -> Option<(&str, u16)> {
    if text.parse::<Ipv6Addr>().is_ok() {
        return Some((text, usual));
    }
    if let Some((host, port)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let port = if port.is_empty() {
            usual
        } else {
            port.strip_prefix(':')?.parse().ok()?
        };
        return Some((host, port));
    }
    match text.split_once(':') {
        Some((host, port)) => Some((host, port.parse().ok().filter(|port| *port != 0)?)),
        None => Some((text, usual)),
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl TryFrom<String> for Address {
    type Error = InvalidAddress;

    fn try_from(text: String) -> Result<Self, InvalidAddress> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_writings_are_read() {
        for (text, printed) in [
            ("pve", "pve:8006"),
            ("pve.lan:443", "pve.lan:443"),
            ("https://192.0.2.7:8006/", "192.0.2.7:8006"),
            ("[::1]:8006", "[::1]:8006"),
            ("::1", "[::1]:8006"),
            ("https://[2001:db8::1]", "[2001:db8::1]:8006"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), printed, "{text}");
            assert_eq!(printed.parse::<Address>().unwrap(), address);
        }
    }

    #[test]
    fn a_backup_server_has_a_port_of_its_own() {
        for (text, printed) in [
            ("pbs", "pbs:8007"),
            ("::1", "[::1]:8007"),
            ("[::1]", "[::1]:8007"),
            ("https://pbs.lan:443", "pbs.lan:443"),
        ] {
            let address = Address::of(Product::BackupServer, text).unwrap();
            assert_eq!(address.to_string(), printed);
            assert_eq!(printed.parse::<Address>().unwrap(), address);
        }
    }

    #[test]
    fn what_would_go_elsewhere_is_refused() {
        for odd in [
            "",
            "http://pve:8006",
            "pve:x",
            "pve:0",
            "pve:99999",
            "https://pve/api2",
            "a b",
            "[::1",
            "pve:8006:1",
        ] {
            assert!(odd.parse::<Address>().is_err(), "{odd}");
        }
        let refused = "https://root:hunter2@pve".parse::<Address>().unwrap_err();
        assert!(!refused.to_string().contains("hunter2"));
    }
}
