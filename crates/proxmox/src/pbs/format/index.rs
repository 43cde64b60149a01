//! Indexes: which chunks make up an archive, by their digests. A dynamic one (`.didx`) cuts a stream where its contents
//! suggest it, a fixed one (`.fidx`) a disk into equal pieces.

use super::{Invalid, sha256, take};

/// Bytes before the first entry. The head is a part of them, the rest is zeros.
pub const HEAD: usize = 4096;

/// The first eight bytes of the SHA-256 of `Proxmox Backup dynamic sized chunk index v1.0`, and of the fixed one's name.
const DYNAMIC: [u8; 8] = [28, 145, 78, 165, 25, 186, 179, 205];
const FIXED: [u8; 8] = [47, 127, 65, 237, 145, 253, 15, 205];

const WHAT: &str = "index";

/// How an index cuts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// At any byte.
    Dynamic,
    /// Into equal pieces, of which the last may be shorter.
    Fixed {
        /// Bytes of the whole.
        size: u64,
        /// Bytes of a piece.
        chunk_size: u64,
    },
}

/// What an index says about itself. For this much the first [`HEAD`] bytes are enough, and of those the first 80.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexHead {
    /// How it cuts.
    pub layout: Layout,
    /// A random id.
    pub uuid: [u8; 16],
    /// When it was begun.
    pub ctime: i64,
    /// The SHA-256 of all its entries, which is also what the manifest says.
    pub csum: [u8; 32],
}

impl IndexHead {
    /// Reads the beginning of an index.
    ///
    /// # Errors
    /// [`Invalid::Truncated`], [`Invalid::Unknown`], [`Invalid::Contradiction`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Invalid> {
        let mut rest = bytes;
        let magic = take::<8>(&mut rest, WHAT)?;
        if *magic != DYNAMIC && *magic != FIXED {
            return Err(Invalid::Unknown(WHAT));
        }
        let uuid = *take(&mut rest, WHAT)?;
        let ctime = i64::from_le_bytes(*take(&mut rest, WHAT)?);
        let csum = *take(&mut rest, WHAT)?;
        let layout = if *magic == FIXED {
            let size = u64::from_le_bytes(*take(&mut rest, WHAT)?);
            let chunk_size = u64::from_le_bytes(*take(&mut rest, WHAT)?);
            if chunk_size == 0 {
                return Err(contradiction("chunks of no length"));
            }
            Layout::Fixed { size, chunk_size }
        } else {
            Layout::Dynamic
        };
        Ok(Self {
            layout,
            uuid,
            ctime,
            csum,
        })
    }
}

/// A whole index whose checksum is right and whose entries follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Index<'a> {
    head: IndexHead,
    entries: &'a [u8],
}

/// A chunk of the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Where it begins.
    pub start: u64,
    /// Where the next one begins.
    pub end: u64,
    /// By what the server finds it.
    pub digest: [u8; 32],
}

impl<'a> Index<'a> {
    /// Reads an index and holds it against itself.
    ///
    /// # Errors
    /// As of [`IndexHead::parse`], and [`Invalid::Checksum`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Invalid> {
        let head = IndexHead::parse(bytes)?;
        let entries = bytes.get(HEAD..).ok_or(Invalid::Truncated(WHAT))?;
        let index = Self { head, entries };
        if !entries.len().is_multiple_of(index.width()) {
            return Err(Invalid::Truncated(WHAT));
        }
        if sha256(entries) != head.csum {
            return Err(Invalid::Checksum(WHAT));
        }
        index.check()?;
        Ok(index)
    }

    /// What it says about itself.
    pub fn head(&self) -> &IndexHead {
        &self.head
    }

    /// How many chunks there are, each counted as often as it occurs.
    pub fn len(&self) -> usize {
        self.entries.len() / self.width()
    }

    /// Whether it describes nothing.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of what it describes.
    pub fn size(&self) -> u64 {
        match self.head.layout {
            Layout::Fixed { size, .. } => size,
            Layout::Dynamic => self.entries().last().map_or(0, |entry| entry.end),
        }
    }

    /// The chunks in their order.
    pub fn entries(&self) -> impl Iterator<Item = Entry> + 'a {
        let (layout, mut start) = (self.head.layout, 0_u64);
        self.entries
            .chunks_exact(self.width())
            .filter_map(move |entry| {
                let (end, digest) = match layout {
                    Layout::Dynamic => {
                        let (end, digest) = entry.split_first_chunk::<8>()?;
                        (u64::from_le_bytes(*end), digest)
                    }
                    Layout::Fixed { size, chunk_size } => {
                        (start.saturating_add(chunk_size).min(size), entry)
                    }
                };
                let entry = Entry {
                    start,
                    end,
                    digest: *digest.first_chunk::<32>()?,
                };
                start = end;
                Some(entry)
            })
    }

    fn width(&self) -> usize {
        match self.head.layout {
            Layout::Dynamic => 40,
            Layout::Fixed { .. } => 32,
        }
    }

    fn check(&self) -> Result<(), Invalid> {
        match self.head.layout {
            Layout::Fixed { size, chunk_size } => {
                let fits = u64::try_from(self.len()) == Ok(size.div_ceil(chunk_size));
                fits.then_some(())
                    .ok_or(contradiction("size and number of chunks"))
            }
            Layout::Dynamic => {
                let ascends = self.entries().all(|entry| entry.start < entry.end);
                ascends
                    .then_some(())
                    .ok_or(contradiction("chunks that do not follow each other"))
            }
        }
    }
}

fn contradiction(why: &'static str) -> Invalid {
    Invalid::Contradiction { what: WHAT, why }
}
