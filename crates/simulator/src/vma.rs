//! Real `.vma` and `.vma.zst` files, the archives of virtual machines (pve-qemu, `vma_spec.txt`, `vma-writer.c`,
//! `vma-reader.c`): a header with the configuration and the list of devices, then extents of up to 59 clusters, each
//! with a checksum. Every cluster is listed, also the empty ones; only blocks that hold something are stored.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use md5::{Digest as _, Md5};

use crate::archive::Compression;

mod read;
#[cfg(test)]
mod tests;

pub(crate) use read::{Extracted, Header, extract, header};

const BLOCK: usize = 4096;
const CLUSTER: usize = 16 * BLOCK;
const CLUSTERS: usize = 59;
/// The fixed part of the header: tables of 256 configurations and 256 devices.
const TABLES: usize = 12_288;
const EXTENT: usize = 512;
const MAGIC: &[u8; 4] = b"VMA\0";
const EXTENT_MAGIC: &[u8; 4] = b"VMAE";
const UUID: usize = 8;
const CTIME: usize = 24;
const MD5: usize = 32;
const BLOBS: usize = 48;
const CONFIG_NAMES: usize = 2044;
const CONFIG_DATA: usize = 3068;
const DEVICES: usize = 4096;
const DEVICE: usize = 32;

/// One disk of an archive.
#[derive(Debug, Clone)]
pub(crate) struct Device {
    /// `drive-scsi0`
    pub(crate) name: String,
    /// The raw image; bytes behind its end are zero.
    pub(crate) image: PathBuf,
    pub(crate) size: u64,
}

/// What an archive is to contain.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    pub(crate) uuid: [u8; 16],
    pub(crate) ctime: i64,
    /// Names and contents: `qemu-server.conf`, `qemu-server.fw`.
    pub(crate) configs: Vec<(String, Vec<u8>)>,
    pub(crate) devices: Vec<Device>,
}

/// What was written.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Written {
    /// Sizes of the devices.
    pub(crate) total: u64,
    /// Of them, in blocks that hold nothing.
    pub(crate) zero: u64,
}

fn put(buffer: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = buffer.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

fn refused(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

fn short<T>(number: impl TryInto<T>) -> io::Result<T> {
    number.try_into().map_err(|_| refused("too big for a VMA"))
}

/// The checksum over a header whose own field is zero.
fn checksum(bytes: &[u8]) -> [u8; 16] {
    Md5::digest(bytes).into()
}

/// Blobs begin at offset 1: zero means none. Their lengths are little-endian, unlike all other numbers.
struct Blobs(Vec<u8>);

impl Blobs {
    fn add(&mut self, bytes: &[u8]) -> io::Result<u32> {
        let at = short(self.0.len())?;
        self.0
            .extend_from_slice(&short::<u16>(bytes.len())?.to_le_bytes());
        self.0.extend_from_slice(bytes);
        Ok(at)
    }

    fn add_text(&mut self, text: &str) -> io::Result<u32> {
        self.add(&[text.as_bytes(), b"\0"].concat())
    }
}

fn head(plan: &Plan) -> io::Result<Vec<u8>> {
    let mut blobs = Blobs(vec![0]);
    let mut buffer = vec![0; TABLES];
    put(&mut buffer, 0, MAGIC);
    put(&mut buffer, 4, &1_u32.to_be_bytes());
    put(&mut buffer, UUID, &plan.uuid);
    put(&mut buffer, CTIME, &plan.ctime.to_be_bytes());
    for (place, (name, content)) in plan.configs.iter().enumerate() {
        let (name, content) = (blobs.add_text(name)?, blobs.add(content)?);
        put(&mut buffer, CONFIG_NAMES + 4 * place, &name.to_be_bytes());
        put(&mut buffer, CONFIG_DATA + 4 * place, &content.to_be_bytes());
    }
    for (place, device) in plan.devices.iter().enumerate() {
        // Device 0 is none.
        let at = DEVICES + DEVICE * (place + 1);
        let name = blobs.add_text(&device.name)?;
        put(&mut buffer, at, &name.to_be_bytes());
        put(&mut buffer, at + 8, &device.size.to_be_bytes());
    }
    let used: u32 = short(blobs.0.len())?;
    blobs.0.resize(blobs.0.len().next_multiple_of(512), 0);
    put(&mut buffer, BLOBS, &short::<u32>(TABLES)?.to_be_bytes());
    put(&mut buffer, BLOBS + 4, &used.to_be_bytes());
    let size: u32 = short(TABLES + blobs.0.len())?;
    put(&mut buffer, BLOBS + 8, &size.to_be_bytes());
    buffer.extend(blobs.0);
    let sum = checksum(&buffer);
    put(&mut buffer, MD5, &sum);
    Ok(buffer)
}

/// An extent while it fills.
struct Extent<'a> {
    uuid: &'a [u8; 16],
    infos: Vec<u64>,
    blocks: Vec<u8>,
}

impl Extent<'_> {
    fn flush<W: Write>(&mut self, out: &mut W) -> io::Result<()> {
        if self.infos.is_empty() {
            return Ok(());
        }
        let mut buffer = vec![0; EXTENT];
        put(&mut buffer, 0, EXTENT_MAGIC);
        let count: u16 = short(self.blocks.len() / BLOCK)?;
        put(&mut buffer, 6, &count.to_be_bytes());
        put(&mut buffer, UUID, self.uuid);
        for (place, info) in self.infos.iter().enumerate() {
            put(&mut buffer, 40 + 8 * place, &info.to_be_bytes());
        }
        let sum = checksum(&buffer);
        put(&mut buffer, 24, &sum);
        out.write_all(&buffer)?;
        out.write_all(&self.blocks)?;
        self.infos.clear();
        self.blocks.clear();
        Ok(())
    }

    /// Adds a cluster; answers how many of its blocks are zero. What is missing at its end is.
    fn add(&mut self, device: u8, number: u32, cluster: &[u8]) -> u64 {
        let mut mask = 0_u16;
        for (place, block) in cluster.chunks(BLOCK).enumerate() {
            if block.iter().any(|byte| *byte != 0) {
                mask |= 1 << place;
                self.blocks.extend_from_slice(block);
            }
        }
        let info = u64::from(mask) << 48 | u64::from(device) << 32 | u64::from(number);
        self.infos.push(info);
        u64::from(mask.count_zeros())
    }
}

/// Reads one cluster of an image; what is behind its end is zero.
fn cluster(image: &File, number: u64, buffer: &mut [u8]) -> io::Result<()> {
    buffer.fill(0);
    let mut at = number * u64::try_from(buffer.len()).unwrap_or_default();
    let mut rest = buffer;
    while !rest.is_empty() {
        let count = image.read_at(rest, at)?;
        if count == 0 {
            break;
        }
        at += u64::try_from(count).unwrap_or_default();
        rest = rest.get_mut(count..).unwrap_or_default();
    }
    Ok(())
}

/// The clusters of an image that can hold anything: the file's end, in clusters.
fn filled(image: &File, clusters: u64) -> io::Result<u64> {
    let unit = u64::try_from(CLUSTER).unwrap_or(1);
    Ok(image.metadata()?.len().div_ceil(unit).min(clusters))
}

fn fill<W: Write>(mut out: W, plan: &Plan) -> io::Result<(W, Written)> {
    out.write_all(&head(plan)?)?;
    let mut written = Written::default();
    let mut extent = Extent {
        uuid: &plan.uuid,
        infos: Vec::new(),
        blocks: Vec::new(),
    };
    let mut buffer = vec![0; CLUSTER];
    for (place, device) in plan.devices.iter().enumerate() {
        let id: u8 = short(place + 1)?;
        let image = File::open(&device.image)?;
        let clusters = device.size.div_ceil(u64::try_from(CLUSTER).unwrap_or(1));
        let end = filled(&image, clusters)?;
        for number in 0..clusters {
            let content = if number < end {
                cluster(&image, number, &mut buffer)?;
                buffer.as_slice()
            } else {
                &[]
            };
            let zero = extent.add(id, short(number)?, content);
            written.zero += zero * u64::try_from(BLOCK).unwrap_or_default();
            if extent.infos.len() == CLUSTERS {
                extent.flush(&mut out)?;
            }
        }
        written.total += device.size;
    }
    extent.flush(&mut out)?;
    written.zero = written.zero.min(written.total);
    Ok((out, written))
}

/// Writes an archive.
pub(crate) fn write(path: &Path, compression: Compression, plan: &Plan) -> io::Result<Written> {
    let file = BufWriter::new(File::create(path)?);
    match compression {
        Compression::None => {
            let (mut file, written) = fill(file, plan)?;
            file.flush()?;
            Ok(written)
        }
        Compression::Zstd => {
            let mut encoder = zstd::Encoder::new(file, 3)?;
            encoder.include_checksum(true)?;
            let (encoder, written) = fill(encoder, plan)?;
            encoder.finish()?.flush()?;
            Ok(written)
        }
    }
}
