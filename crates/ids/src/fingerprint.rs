//! The SHA-256 of a certificate, in both writings in which people copy it about.

use std::fmt;
use std::str::FromStr;

use crate::InvalidName;
use crate::text::{serde_as_text, sha256};

/// A certificate's SHA-256. Reads `AA:BB:…` and plain hex in either case; prints the first form
/// in upper case, as PVE and PBS show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Takes a digest as it is.
    pub fn from_bytes(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// The digest.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for Fingerprint {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        sha256(text).map(Self).ok_or_else(|| {
            InvalidName::new(
                "fingerprint",
                "the SHA-256 of a certificate, 32 bytes as `AA:BB:…` or as 64 hexadecimal digits",
                text,
            )
        })
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for byte in self.0 {
            write!(f, "{separator}{byte:02X}")?;
            separator = ":";
        }
        Ok(())
    }
}

serde_as_text!(Fingerprint, "a SHA-256 fingerprint");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_writings_are_one_fingerprint() {
        let colons = format!("{}AB", "0F:".repeat(31));
        let plain = format!("{}ab", "0f".repeat(31));
        let one: Fingerprint = colons.parse().unwrap();
        assert_eq!(one, plain.parse().unwrap());
        assert_eq!(one, colons.to_lowercase().parse().unwrap());
        assert_eq!(one.to_string(), colons);
    }

    #[test]
    fn refuses_other_lengths_and_mixed_writings() {
        let short = format!("{}AB", "0F:".repeat(30));
        let dashes = format!("{}AB", "0F-".repeat(31));
        let signs = "+f".repeat(32);
        let shifted = format!("{}:AB", "0F:".repeat(30) + "0F0F").replacen(':', "", 1);
        let wide = "ä".repeat(32);
        for odd in ["", "AA:BB", &short, &dashes, &signs, &shifted, &wide] {
            assert!(odd.parse::<Fingerprint>().is_err(), "{odd:?}");
        }
    }
}
