//! What lies on a backup server: blobs, indexes, manifests, and the keys that open them. Pure, and for bytes that somebody
//! hostile may have put there: nothing here takes more memory than the bytes given and the limits named.
//!
//! Seen on the wire and on the disk of version 3.2; the formats themselves have a version in their first bytes, and another
//! one is refused.

mod blob;
mod index;
mod key;
mod manifest;

use aws_lc_rs::digest::{SHA256, digest};

pub use blob::{Blob, Container, LONGEST_BLOB};
pub use index::{Entry, HEAD, Index, IndexHead, Layout};
pub use key::{Key, chunk_digest};
pub use manifest::{Manifest, ManifestFile};

/// Why bytes are not what they should be. Never shows what they hold.
#[derive(Debug, thiserror::Error)]
pub enum Invalid {
    /// They end too early.
    #[error("{0} ends too early")]
    Truncated(&'static str),
    /// They begin as no known version of it does.
    #[error("no {0} of a known version")]
    Unknown(&'static str),
    /// Their checksum is another.
    #[error("the checksum of the {0} is wrong")]
    Checksum(&'static str),
    /// There are more of them than allowed.
    #[error("the {what} is longer than {limit} bytes")]
    TooLong {
        /// What.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// They contradict themselves.
    #[error("the {what} contradicts itself: {why}")]
    Contradiction {
        /// What.
        what: &'static str,
        /// In what.
        why: &'static str,
    },
    /// They cannot be decompressed.
    #[error("cannot decompress")]
    Compression(#[source] std::io::Error),
    /// They are encrypted, and no key is at hand.
    #[error("it is encrypted, and no key was given")]
    NeedsKey,
    /// The key does not open them, or they were changed.
    #[error("the key does not open it, or it was changed")]
    Unopened,
    /// They are no JSON of the expected shape. The text is not repeated: it may hold a key.
    #[error("the {what} is no JSON of the expected shape (line {line}, column {column})")]
    Json {
        /// What.
        what: &'static str,
        /// Where reading ended.
        line: usize,
        /// Where in the line.
        column: usize,
    },
    /// A key that opens only with a password.
    #[error("the key is protected by a password")]
    PasswordProtected,
    /// The key is another than the one it says it is, or than the one that was used.
    #[error("the key is {seen}, not {expected}")]
    OtherKey {
        /// The short fingerprint that was expected.
        expected: String,
        /// That of the key.
        seen: String,
    },
    /// There is no signature, or it is not one of this key.
    #[error("the manifest is not signed by this key")]
    Signature,
    /// The system has no random bytes.
    #[error("the system gives no random bytes")]
    Random,
}

impl Invalid {
    fn json(what: &'static str, error: &serde_json::Error) -> Self {
        Self::Json {
            what,
            line: error.line(),
            column: error.column(),
        }
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut sum = [0; 32];
    for (to, from) in sum.iter_mut().zip(digest(&SHA256, bytes).as_ref()) {
        *to = *from;
    }
    sum
}

/// 64 lower case hexadecimal digits.
fn from_hex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; 32];
    for (index, byte) in bytes.iter_mut().enumerate() {
        let pair = text.get(index * 2..index * 2 + 2)?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(bytes)
}

/// Takes the next `N` bytes off.
fn take<'a, const N: usize>(
    rest: &mut &'a [u8],
    what: &'static str,
) -> Result<&'a [u8; N], Invalid> {
    let (first, behind) = rest
        .split_first_chunk::<N>()
        .ok_or(Invalid::Truncated(what))?;
    *rest = behind;
    Ok(first)
}
