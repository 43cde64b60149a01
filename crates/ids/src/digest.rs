//! The digest of a guest's configuration file, by which PVE notices concurrent edits.

use std::fmt;
use std::str::FromStr;

use crate::InvalidName;
use crate::text::serde_as_text;

/// The SHA-1 of a configuration file, in lower case hex. Any change of the file changes it,
/// also one to a snapshot or to the lock.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(String);

impl Digest {
    /// The forty hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Digest {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        if text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(InvalidName::new("digest", "40 hexadecimal digits", text))
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

serde_as_text!(Digest, "a digest of 40 hexadecimal digits");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_forty_hex_digits_in_lower_case() {
        let upper = "0123456789ABCDEF0123456789ABCDEF01234567";
        assert_eq!(
            upper.parse::<Digest>().unwrap().to_string(),
            upper.to_lowercase()
        );
        let long = format!("{upper}0");
        for odd in ["", "abc", &long, &upper.replace('0', "g")] {
            assert!(odd.parse::<Digest>().is_err(), "{odd:?}");
        }
    }
}
