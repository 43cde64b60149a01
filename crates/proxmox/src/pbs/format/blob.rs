//! The container of every blob and every chunk: what is in it, a checksum, and the contents, compressed and encrypted or
//! not.

use std::borrow::Cow;
use std::io::Read;

use super::{Invalid, Key, take};

/// The most that a blob may hold, in bytes: 128 MiB, by the server's own rule.
pub const LONGEST_BLOB: usize = 128 << 20;

/// The largest window that a compressed blob may ask for, as a power of two: 128 MiB, for which zstd takes as much memory.
const LARGEST_WINDOW: u32 = 27;

const WHAT: &str = "blob";

/// What is between the container and the contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// Nothing.
    Plain,
    /// Compression with zstd.
    Zstd,
    /// Encryption.
    Encrypted,
    /// Compression, and encryption over it.
    EncryptedZstd,
}

/// The first eight bytes of the SHA-256 of `Proxmox Backup … blob v1.0`.
const MAGICS: [([u8; 8], Container); 4] = [
    ([66, 171, 56, 7, 190, 131, 112, 161], Container::Plain),
    ([49, 185, 88, 66, 111, 182, 163, 127], Container::Zstd),
    ([123, 103, 133, 190, 34, 45, 76, 240], Container::Encrypted),
    (
        [230, 89, 27, 191, 11, 191, 216, 11],
        Container::EncryptedZstd,
    ),
];

impl Container {
    /// Whether a key is needed.
    pub fn is_encrypted(self) -> bool {
        matches!(self, Self::Encrypted | Self::EncryptedZstd)
    }

    /// Whether the contents are compressed.
    pub fn is_compressed(self) -> bool {
        matches!(self, Self::Zstd | Self::EncryptedZstd)
    }
}

/// A blob or chunk whose checksum is right. The checksum covers neither a key's nonce nor its tag, and proves nothing
/// against somebody who can write: of what is encrypted only opening it does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Blob<'a> {
    container: Container,
    seal: Option<Seal<'a>>,
    payload: &'a [u8],
}

/// What stands before an encrypted payload.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Seal<'a> {
    nonce: &'a [u8; 16],
    tag: &'a [u8; 16],
}

impl std::fmt::Debug for Blob<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Blob({:?}, {} bytes)",
            self.container,
            self.payload.len()
        )
    }
}

impl<'a> Blob<'a> {
    /// Reads a container.
    ///
    /// # Errors
    /// [`Invalid::Truncated`], [`Invalid::Unknown`], [`Invalid::Checksum`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Invalid> {
        let mut rest = bytes;
        let magic = take::<8>(&mut rest, WHAT)?;
        let (_, container) = MAGICS
            .iter()
            .find(|(known, _)| known == magic)
            .ok_or(Invalid::Unknown(WHAT))?;
        let sum = u32::from_le_bytes(*take(&mut rest, WHAT)?);
        let seal = if container.is_encrypted() {
            Some(Seal {
                nonce: take(&mut rest, WHAT)?,
                tag: take(&mut rest, WHAT)?,
            })
        } else {
            None
        };
        if crc32fast::hash(rest) != sum {
            return Err(Invalid::Checksum(WHAT));
        }
        Ok(Self {
            container: *container,
            seal,
            payload: rest,
        })
    }

    /// What is between the container and the contents.
    pub fn container(&self) -> Container {
        self.container
    }

    /// The contents, of which there may be at most `longest` bytes.
    ///
    /// # Errors
    /// [`Invalid::NeedsKey`] without the key of what is encrypted, [`Invalid::Unopened`] with another, or when it was
    /// changed; [`Invalid::TooLong`]; [`Invalid::Compression`].
    pub fn contents(&self, key: Option<&Key>, longest: usize) -> Result<Vec<u8>, Invalid> {
        let too_long = Invalid::TooLong {
            what: WHAT,
            limit: longest,
        };
        let inner: Cow<'_, [u8]> = match self.seal {
            None => Cow::Borrowed(self.payload),
            Some(Seal { nonce, tag }) => {
                let key = key.ok_or(Invalid::NeedsKey)?;
                Cow::Owned(key.open(nonce, tag, self.payload)?)
            }
        };
        if self.container.is_compressed() {
            return decompress(&inner, longest)?.ok_or(too_long);
        }
        if inner.len() > longest {
            return Err(too_long);
        }
        Ok(inner.into_owned())
    }
}

/// None when there is more.
fn decompress(bytes: &[u8], longest: usize) -> Result<Option<Vec<u8>>, Invalid> {
    let mut decoder =
        zstd::stream::read::Decoder::with_buffer(bytes).map_err(Invalid::Compression)?;
    decoder
        .window_log_max(LARGEST_WINDOW)
        .map_err(Invalid::Compression)?;
    // A frame need not say how much is in it; where it does, nobody has to believe it.
    let one_more = u64::try_from(longest).map_or(u64::MAX, |longest| longest.saturating_add(1));
    let mut contents = Vec::new();
    decoder
        .take(one_more)
        .read_to_end(&mut contents)
        .map_err(Invalid::Compression)?;
    Ok((contents.len() <= longest).then_some(contents))
}
