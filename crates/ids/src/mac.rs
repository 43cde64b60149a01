//! A network interface's hardware address.

use std::fmt;
use std::str::FromStr;

use crate::InvalidName;
use crate::text::{hex_byte, serde_as_text};

/// A unicast MAC address. Reads either case, prints upper case as PVE does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddress([u8; 6]);

impl MacAddress {
    /// The six octets.
    pub fn octets(self) -> [u8; 6] {
        self.0
    }
}

impl FromStr for MacAddress {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let parse = || {
            let mut octets = [0; 6];
            let mut pairs = text.split(':');
            for octet in &mut octets {
                *octet = hex_byte(pairs.next()?)?;
            }
            let [first, ..] = octets;
            // The lowest bit of the first octet marks a group address, which no interface has.
            (pairs.next().is_none() && first & 1 == 0).then_some(Self(octets))
        };
        parse().ok_or_else(|| {
            InvalidName::new(
                "MAC address",
                "a unicast `XX:XX:XX:XX:XX:XX` in hexadecimal",
                text,
            )
        })
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for octet in self.0 {
            write!(f, "{separator}{octet:02X}")?;
            separator = ":";
        }
        Ok(())
    }
}

serde_as_text!(MacAddress, "a MAC address");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_unicast_and_printed_in_upper_case() {
        let mac: MacAddress = "bc:24:11:aa:0b:cc".parse().unwrap();
        assert_eq!(mac.to_string(), "BC:24:11:AA:0B:CC");
        for odd in [
            "",
            "BC:24:11:AA:BB",
            "BC:24:11:AA:BB:CC:DD",
            "01:00:5E:00:00:01",
            "B:24:11:AA:BB:CC",
        ] {
            assert!(odd.parse::<MacAddress>().is_err(), "{odd:?}");
        }
    }
}
