//! Sizes of disks in the form in which PVE's configuration files write them.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::InvalidName;

/// Largest first: PVE prints the largest unit that divides exactly.
const UNITS: [(char, u64); 4] = [
    ('T', 1 << 40),
    ('G', 1 << 30),
    ('M', 1 << 20),
    ('K', 1 << 10),
];

/// A number of bytes. Prints and reads PVE's disk size form (`8G`, `8704M`, `1000`); travels as
/// a number of bytes and is read from either.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

impl ByteSize {
    /// A number of bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for ByteSize {
    type Err = InvalidName;

    /// Takes a decimal number and an optional unit (`K`, `KiB` and so on); a fraction of a byte is cut.
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        parse(text).map(Self).ok_or_else(|| {
            InvalidName::new(
                "size",
                "a number with an optional unit K, M, G or T (as in `8G`)",
                text,
            )
        })
    }
}

fn parse(text: &str) -> Option<u64> {
    let bare = text
        .strip_suffix("iB")
        .filter(|rest| rest.ends_with(is_unit))
        .unwrap_or(text);
    let unit = bare.chars().next_back().filter(|&c| is_unit(c));
    let number = bare.trim_end_matches(is_unit);
    if unit.is_some() && number.len() + 1 != bare.len() {
        return None;
    }
    let factor = unit
        .and_then(|c| UNITS.iter().find(|(name, _)| *name == c))
        .map_or(1, |u| u.1);
    let (whole, fraction) = match number.split_once('.') {
        Some((whole, fraction)) => (digits(whole)?, Some(digits(fraction)?)),
        None => (digits(number)?, None),
    };
    let whole = whole.parse::<u64>().ok()?.checked_mul(factor)?;
    whole.checked_add(fraction.map_or(Some(0), |fraction| scaled(fraction, factor))?)
}

fn is_unit(c: char) -> bool {
    UNITS.iter().any(|(name, _)| *name == c)
}

fn digits(text: &str) -> Option<&str> {
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then_some(text)
}

/// `0.fraction` times `factor`, cut to whole bytes, in integers: a float would print `8.1G` back
/// as something else.
fn scaled(fraction: &str, factor: u64) -> Option<u64> {
    // More than 15 digits are below one byte even for T.
    let kept = fraction.get(..fraction.len().min(15))?;
    let scale = 10_u128.checked_pow(u32::try_from(kept.len()).ok()?)?;
    u64::try_from(kept.parse::<u128>().ok()? * u128::from(factor) / scale).ok()
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNITS
            .iter()
            .find(|(_, factor)| self.0 != 0 && self.0.is_multiple_of(*factor))
        {
            Some((unit, factor)) => write!(f, "{}{unit}", self.0 / factor),
            None => write!(f, "{}", self.0),
        }
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberOrText;
        impl Visitor<'_> for NumberOrText {
            type Value = ByteSize;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of bytes or a size such as `8G`")
            }

            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<ByteSize, E> {
                Ok(ByteSize(bytes))
            }

            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<ByteSize, E> {
                u64::try_from(bytes).map(ByteSize).map_err(E::custom)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ByteSize, E> {
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
    fn reads_and_prints_as_pve_does() {
        for (text, bytes, printed) in [
            ("8G", 8_589_934_592, "8G"),
            ("8.5G", 9_126_805_504, "8704M"),
            ("8704M", 9_126_805_504, "8704M"),
            ("1000", 1000, "1000"),
            ("1024", 1024, "1K"),
            ("1024G", 1 << 40, "1T"),
            ("4GiB", 4 << 30, "4G"),
            ("0", 0, "0"),
            ("0T", 0, "0"),
            ("1.9", 1, "1"),
            ("0.1K", 102, "102"),
        ] {
            let size: ByteSize = text.parse().unwrap();
            assert_eq!(size.bytes(), bytes, "{text}");
            assert_eq!(size.to_string(), printed, "{text}");
        }
    }

    #[test]
    fn refuses_what_pve_refuses() {
        for odd in [
            "",
            "G",
            "8g",
            "8GB",
            "8 G",
            "-8G",
            "+8",
            "1.G",
            ".5G",
            "8GG",
            "8iB",
            "1e3",
            "99999999999T",
        ] {
            assert!(odd.parse::<ByteSize>().is_err(), "{odd:?}");
        }
    }
}
