//! By what an encryption key of Proxmox Backup is told from others, without showing it.

use std::fmt;
use std::str::FromStr;

use crate::InvalidName;
use crate::text::{serde_as_text, sha256};

/// An encryption key's fingerprint. Reads `aa:bb:…` and plain hex in either case; prints the first
/// form in lower case, as Proxmox Backup writes it into key files, manifests and listings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyFingerprint([u8; 32]);

impl KeyFingerprint {
    /// Takes the 32 bytes as they are.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first eight bytes, `bb:8f:55:d3:45:17:70:d9`: how messages of Proxmox Backup name a key.
    /// For people; two keys are the same only when the whole is.
    pub fn short(&self) -> String {
        // Eight pairs and the colons between them.
        self.to_string().chars().take(8 * 3 - 1).collect()
    }
}

impl FromStr for KeyFingerprint {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        sha256(text).map(Self).ok_or_else(|| {
            InvalidName::new(
                "key fingerprint",
                "32 bytes as `aa:bb:…` or as 64 hexadecimal digits",
                text,
            )
        })
    }
}

impl fmt::Display for KeyFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for byte in self.0 {
            write!(f, "{separator}{byte:02x}")?;
            separator = ":";
        }
        Ok(())
    }
}

serde_as_text!(KeyFingerprint, "the fingerprint of an encryption key");

#[cfg(test)]
mod tests {
    use super::*;

    const SEEN: &str = "bb:8f:55:d3:45:17:70:d9:d3:ac:c0:bf:2d:3f:22:14:26:7b:b1:45:12:57:d4:79:ad:20:0b:bd:dc:12:35:65";

    #[test]
    fn is_printed_as_listings_have_it_and_cut_as_messages_have_it() {
        let key: KeyFingerprint = SEEN.parse().unwrap();
        assert_eq!(key.to_string(), SEEN);
        assert_eq!(key.short(), "bb:8f:55:d3:45:17:70:d9");
        assert_eq!(SEEN.to_uppercase().parse::<KeyFingerprint>().unwrap(), key);
        assert_eq!(
            SEEN.replace(':', "").parse::<KeyFingerprint>().unwrap(),
            key
        );
    }

    #[test]
    fn the_short_form_is_no_fingerprint() {
        for odd in ["", "bb:8f:55:d3:45:17:70:d9", &SEEN.replace(':', "-")] {
            assert!(odd.parse::<KeyFingerprint>().is_err(), "{odd:?}");
        }
    }
}
