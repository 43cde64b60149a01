//! Reading a virtual machine's archive (VMA): which drives are in it, whole or not. What the file systems inside hold is not
//! looked at.
//!
//! The form is that of pve-qemu's `vma_spec.txt` and `vma-reader.c`: a header with checksum, configurations and the list of
//! devices, then extents with checksums of their own that name every cluster of every device, also the empty ones. Numbers are
//! big-endian, except the lengths of blobs. Only headers have checksums; the data has that of the compressor.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};

use felhom_engine::{ArchiveContent, MountTally};
use md5::{Digest as _, Md5};

/// The header up to the blobs.
const TABLES: usize = 12_288;
/// `vma-writer.c` makes no bigger header.
const MOST_HEADER: usize = 2 << 20;
const EXTENT: usize = 512;
const CLUSTERS: usize = 59;
const CLUSTER: u64 = 65_536;
const BLOCK: u64 = 4096;
/// 16 TiB: what all devices together may have, so that no size asks for memory beyond reason (32 MiB). Thin drives may be larger
/// in all honesty: then the archive is not damaged, but not read.
const MOST_CLUSTERS: u64 = 1 << 28;
/// `virtio15`, `efidisk0`: none comes near.
const LONGEST_KEY: usize = 32;

/// The drives of an archive are larger together than what is kept count of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooLarge {
    /// What they have together.
    pub(super) bytes: u64,
}

impl TooLarge {
    /// What is read.
    pub(super) const MOST: u64 = MOST_CLUSTERS * CLUSTER;
}

/// Why reading ended early.
enum Stop {
    Damage(io::Error),
    TooLarge(TooLarge),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Damage(error)
    }
}

fn refused(text: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text.into())
}

fn bytes<const N: usize>(buffer: &[u8], at: usize) -> io::Result<[u8; N]> {
    let end = at.saturating_add(N);
    let found = buffer.get(at..end).and_then(|part| part.try_into().ok());
    found.ok_or_else(|| refused("the header of the VMA is too short"))
}

fn number(buffer: &[u8], at: usize) -> io::Result<u32> {
    bytes(buffer, at).map(u32::from_be_bytes)
}

/// Whether the checksum that stands at `at` is that of the rest.
fn is_sound(buffer: &mut [u8], at: usize) -> io::Result<bool> {
    let sum: [u8; 16] = bytes(buffer, at)?;
    if let Some(place) = buffer.get_mut(at..at.saturating_add(16)) {
        place.fill(0);
    }
    Ok(Md5::digest(&*buffer).as_slice() == sum.as_slice())
}

/// A drive of the archive while its clusters pass by.
struct Device {
    key: String,
    seen: Vec<u64>,
    clusters: u64,
    missing: u64,
    tally: MountTally,
}

impl Device {
    fn new(key: &str, size: u64) -> Self {
        let clusters = size.div_ceil(CLUSTER);
        let words = usize::try_from(clusters.div_ceil(64)).unwrap_or(usize::MAX);
        Self {
            key: key.to_owned(),
            seen: vec![0; words],
            clusters,
            missing: clusters,
            tally: MountTally::default(),
        }
    }

    fn take(&mut self, cluster: u64, blocks: u64) -> io::Result<()> {
        let word = usize::try_from(cluster / 64).unwrap_or(usize::MAX);
        let bit = 1_u64 << (cluster % 64);
        let seen = self.seen.get_mut(word).filter(|_| cluster < self.clusters);
        let seen =
            seen.ok_or_else(|| refused(format!("`{}` has a cluster beyond its end", self.key)))?;
        if *seen & bit != 0 {
            let key = &self.key;
            return Err(refused(format!(
                "cluster {cluster} of `{key}` is there twice"
            )));
        }
        *seen |= bit;
        self.missing = self.missing.saturating_sub(1);
        self.tally.members = self.tally.members.saturating_add(1);
        self.tally.bytes = self.tally.bytes.saturating_add(blocks * BLOCK);
        Ok(())
    }
}

/// What the front says.
struct Front {
    uuid: [u8; 16],
    has_config: bool,
    devices: BTreeMap<u8, Device>,
}

fn blob(buffer: &[u8], pointer: u32) -> Option<&[u8]> {
    let at = TABLES.checked_add(usize::try_from(pointer).ok()?)?;
    let size = usize::from(u16::from_le_bytes(bytes(buffer, at).ok()?));
    let start = at.checked_add(2)?;
    buffer.get(start..start.checked_add(size)?)
}

fn text(buffer: &[u8], pointer: u32) -> Option<&str> {
    std::str::from_utf8(blob(buffer, pointer)?.strip_suffix(b"\0")?).ok()
}

/// The drive that a device is called after: `drive-scsi0`, and `drive-tpmstate0-backup`, since the TPM's state is a device of its
/// own for the backup only (qemu-server VZDump/QemuServer.pm). Names are told in texts, so odd ones are refused.
fn drive(name: &str) -> io::Result<&str> {
    let key = name.strip_prefix("drive-").unwrap_or(name);
    let key = key.strip_suffix("-backup").unwrap_or(key);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if key.is_empty() || key.len() > LONGEST_KEY || !key.bytes().all(plain) {
        return Err(refused("a drive has a name that is none"));
    }
    Ok(key)
}

/// The drives that the header lists.
fn devices(buffer: &[u8]) -> Result<BTreeMap<u8, Device>, Stop> {
    let mut listed = Vec::new();
    let mut keys = BTreeSet::new();
    let (mut clusters, mut bytes_together) = (0_u64, 0_u64);
    for id in 1..=255_u8 {
        let at = 4096 + 32 * usize::from(id);
        let size = u64::from_be_bytes(bytes(buffer, at + 8)?);
        let Some(name) = text(buffer, number(buffer, at)?).filter(|_| size > 0) else {
            continue;
        };
        let key = drive(name)?;
        if !keys.insert(key) {
            return Err(refused(format!("there are two drives `{key}`")).into());
        }
        clusters = clusters.saturating_add(size.div_ceil(CLUSTER));
        bytes_together = bytes_together.saturating_add(size);
        listed.push((id, key, size));
    }
    if clusters > MOST_CLUSTERS {
        let bytes = bytes_together;
        return Err(Stop::TooLarge(TooLarge { bytes }));
    }
    let device = |(id, key, size)| (id, Device::new(key, size));
    Ok(listed.into_iter().map(device).collect())
}

fn front(input: &mut impl Read) -> Result<Front, Stop> {
    let mut buffer = vec![0; TABLES];
    input.read_exact(&mut buffer)?;
    if !buffer.starts_with(b"VMA\0\0\0\0\x01") {
        return Err(refused("this is no VMA of version 1").into());
    }
    let size = usize::try_from(number(&buffer, 56)?).unwrap_or(usize::MAX);
    if size <= TABLES || size > MOST_HEADER {
        return Err(refused(format!("the VMA's header cannot have {size} bytes")).into());
    }
    buffer.resize(size, 0);
    input.read_exact(buffer.get_mut(TABLES..).unwrap_or_default())?;
    if !is_sound(&mut buffer, 32)? {
        return Err(refused("the checksum of the VMA's header is wrong").into());
    }
    let mut front = Front {
        uuid: bytes(&buffer, 8)?,
        has_config: false,
        devices: devices(&buffer)?,
    };
    for place in 0..256 {
        let name = number(&buffer, 2044 + 4 * place)?;
        let data = number(&buffer, 3068 + 4 * place)?;
        let held = blob(&buffer, data).is_some_and(|data| !data.is_empty());
        front.has_config |= name > 0 && held && text(&buffer, name) == Some("qemu-server.conf");
    }
    Ok(front)
}

/// Reads one extent; false at the end.
fn extent(input: &mut impl Read, front: &mut Front) -> io::Result<bool> {
    let mut buffer = Vec::with_capacity(EXTENT);
    let most = u64::try_from(EXTENT).unwrap_or(512);
    input.by_ref().take(most).read_to_end(&mut buffer)?;
    if buffer.is_empty() {
        return Ok(false);
    }
    if buffer.len() < EXTENT {
        return Err(refused("the VMA ends inside an extent"));
    }
    if !is_sound(&mut buffer, 24)? {
        return Err(refused("the checksum of an extent is wrong"));
    }
    if !buffer.starts_with(b"VMAE") || bytes::<16>(&buffer, 8)? != front.uuid {
        return Err(refused("an extent is not of this archive"));
    }
    let stored = u64::from(u16::from_be_bytes(bytes(&buffer, 6)?));
    let mut listed = 0;
    for place in 0..CLUSTERS {
        let [high, low, _, id, cluster @ ..]: [u8; 8] = bytes(&buffer, 40 + 8 * place)?;
        if id == 0 {
            continue;
        }
        let blocks = u64::from(u16::from_be_bytes([high, low]).count_ones());
        listed += blocks;
        let device = front.devices.get_mut(&id);
        let device =
            device.ok_or_else(|| refused(format!("an extent names device {id}, which is none")))?;
        device.take(u64::from(u32::from_be_bytes(cluster)), blocks)?;
    }
    if listed != stored {
        return Err(refused("an extent holds other blocks than it lists"));
    }
    let passed = io::copy(&mut input.by_ref().take(stored * BLOCK), &mut io::sink())?;
    if passed < stored * BLOCK {
        return Err(refused("the VMA ends inside an extent"));
    }
    Ok(true)
}

/// Reads the whole archive and tallies its clusters by drive. One that breaks off is content that is not `complete`.
///
/// # Errors
/// When there is more to count than is counted.
pub(super) fn tally(mut input: impl Read) -> Result<ArchiveContent, TooLarge> {
    let mut content = ArchiveContent::default();
    match read(&mut input, &mut content) {
        Ok(()) => content.complete = true,
        Err(Stop::Damage(error)) => content.error = Some(error.to_string()),
        Err(Stop::TooLarge(error)) => return Err(error),
    }
    Ok(content)
}

fn read(input: &mut impl Read, content: &mut ArchiveContent) -> Result<(), Stop> {
    let mut front = front(input)?;
    content.config_first = front.has_config;
    let mut result = Ok(());
    loop {
        match extent(input, &mut front) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                result = Err(error);
                break;
            }
        }
    }
    for device in front.devices.into_values() {
        content.members = content.members.saturating_add(device.tally.members);
        content.bytes = content.bytes.saturating_add(device.tally.bytes);
        if device.missing > 0 && result.is_ok() {
            let (key, missing) = (&device.key, device.missing);
            result = Err(refused(format!(
                "{missing} clusters of `{key}` are missing"
            )));
        }
        content.mounts.insert(device.key, device.tally);
    }
    result.map_err(Stop::Damage)
}

#[cfg(test)]
mod tests;
