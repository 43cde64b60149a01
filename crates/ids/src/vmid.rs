//! The number of a guest, because a guest has no other name that Proxmox accepts.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::InvalidName;

const WHAT: &str = "VMID";
const EXPECTED: &str = "a number from 100 to 999999999";

/// A guest's number. Travels as a number; is read from a number or from its text, since PVE
/// writes both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vmid(u32);

impl Vmid {
    /// The lowest number a guest can have.
    pub const MIN: Self = Self(100);
    /// The highest number a guest can have.
    pub const MAX: Self = Self(999_999_999);

    /// Accepts 100 to 999999999.
    pub fn new(number: u32) -> Result<Self, InvalidName> {
        if (Self::MIN.0..=Self::MAX.0).contains(&number) {
            Ok(Self(number))
        } else {
            Err(InvalidName::new(WHAT, EXPECTED, &number.to_string()))
        }
    }

    /// The number.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl FromStr for Vmid {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let refuse = || InvalidName::new(WHAT, EXPECTED, text);
        // PVE's own pattern has neither sign nor leading zero.
        let plain = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
        let number = if plain { text.parse().ok() } else { None };
        number
            .and_then(|number| Self::new(number).ok())
            .ok_or_else(refuse)
    }
}

impl fmt::Display for Vmid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Serialize for Vmid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(self.0)
    }
}

impl<'de> Deserialize<'de> for Vmid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberOrText;
        impl Visitor<'_> for NumberOrText {
            type Value = Vmid;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(EXPECTED)
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Vmid, E> {
                let narrow = u32::try_from(number).ok().and_then(|n| Vmid::new(n).ok());
                narrow
                    .ok_or_else(|| E::custom(InvalidName::new(WHAT, EXPECTED, &number.to_string())))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Vmid, E> {
                // TOML knows signed numbers only.
                self.visit_str(&number.to_string())
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Vmid, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(NumberOrText)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_pve_takes_and_nothing_else() {
        assert_eq!("100".parse::<Vmid>().unwrap().get(), 100);
        assert_eq!("999999999".parse::<Vmid>().unwrap(), Vmid::MAX);
        for odd in [
            "",
            "99",
            "1000000000",
            "0100",
            "+100",
            "-100",
            "1e3",
            " 100",
            "100 ",
            "٣٣٣",
        ] {
            assert!(odd.parse::<Vmid>().is_err(), "{odd:?}");
        }
    }

    #[test]
    fn is_a_number_in_json_and_is_read_from_both_writings() {
        let vmid = Vmid::new(9001).unwrap();
        assert_eq!(serde_json::to_string(&vmid).unwrap(), "9001");
        assert_eq!(serde_json::from_str::<Vmid>("9001").unwrap(), vmid);
        assert_eq!(serde_json::from_str::<Vmid>("\"9001\"").unwrap(), vmid);
        for odd in ["99", "-9001", "9001.0", "null", "[]", "\"\"", "4294968297"] {
            assert!(serde_json::from_str::<Vmid>(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn says_what_was_expected() {
        let refused = "abc".parse::<Vmid>().unwrap_err();
        assert_eq!(
            refused.to_string(),
            "`abc` is not a valid VMID: expected a number from 100 to 999999999"
        );
    }
}
