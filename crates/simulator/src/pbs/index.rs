//! Index files: which chunks, in which order, make up an archive (proxmox-backup, `dynamic_index.rs`, `fixed_index.rs`).

use super::crypt::sha256;
use crate::hex;

/// First eight bytes of SHA-256 of the format's name.
const DYNAMIC: [u8; 8] = [28, 145, 78, 165, 25, 186, 179, 205];
const FIXED: [u8; 8] = [47, 127, 65, 237, 145, 253, 15, 205];
const HEAD: usize = 4096;
/// Chunks of virtual machines' drives.
pub(crate) const FIXED_CHUNK: usize = 4 << 20;
/// Chunks of containers' trees: 4 MiB on average on a real server, smaller here, as its guests are.
pub(crate) const DYNAMIC_CHUNK: usize = 256 << 10;

/// One chunk of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) digest: [u8; 32],
    pub(crate) size: u64,
}

/// An index as it was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Index {
    pub(crate) entries: Vec<Entry>,
    /// Over the entries, as the manifest has it.
    pub(crate) csum: String,
    /// Bytes of the archive.
    pub(crate) size: u64,
}

/// Writes an index; answers its bytes and the checksum over its entries.
pub(crate) fn write(
    fixed: bool,
    uuid: [u8; 16],
    ctime: i64,
    entries: &[Entry],
) -> (Vec<u8>, String) {
    let mut body = Vec::new();
    let mut end = 0_u64;
    for entry in entries {
        end += entry.size;
        if !fixed {
            body.extend(end.to_le_bytes());
        }
        body.extend(entry.digest);
    }
    let csum = sha256(&[&body]);
    let magic = if fixed { FIXED } else { DYNAMIC };
    let mut raw = [magic.as_slice(), &uuid, &ctime.to_le_bytes(), &csum].concat();
    if fixed {
        raw.extend(end.to_le_bytes());
        raw.extend(u64::try_from(FIXED_CHUNK).unwrap_or_default().to_le_bytes());
    }
    raw.resize(HEAD, 0);
    raw.extend(body);
    (raw, hex::lower(&csum))
}

fn number(raw: &[u8], at: usize) -> u64 {
    let bytes = raw.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
    u64::from_le_bytes(bytes.unwrap_or_default())
}

/// Reads an index of either kind.
pub(crate) fn read(raw: &[u8]) -> Result<Index, String> {
    let body = raw.get(HEAD..).ok_or("index too small")?;
    let fixed = match raw.first_chunk::<8>() {
        Some(&FIXED) => true,
        Some(&DYNAMIC) => false,
        _ => return Err("got unknown magic number".into()),
    };
    let (total, chunk) = (number(raw, 64), number(raw, 72));
    let (mut entries, mut end) = (Vec::new(), 0_u64);
    for item in body.chunks_exact(if fixed { 32 } else { 40 }) {
        let digest = item.last_chunk::<32>().copied().unwrap_or_default();
        let size = if fixed {
            chunk.min(total.saturating_sub(end))
        } else {
            number(item, 0).saturating_sub(end)
        };
        end += size;
        entries.push(Entry { digest, size });
    }
    let csum = hex::lower(&sha256(&[body]));
    Ok(Index {
        entries,
        csum,
        size: end,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_of_both_kinds_come_back() {
        let big = u64::try_from(FIXED_CHUNK).unwrap();
        let entries: Vec<Entry> = [(1, big), (2, big), (3, 77)]
            .map(|(byte, size)| Entry {
                digest: [byte; 32],
                size,
            })
            .to_vec();
        for fixed in [false, true] {
            let (raw, csum) = write(fixed, [9; 16], 1_795_390_562, &entries);
            let index = read(&raw).unwrap();
            assert_eq!((index.size, index.csum), (2 * big + 77, csum));
            assert_eq!(index.entries, entries);
        }
        assert!(read(b"short").is_err());
    }
}
