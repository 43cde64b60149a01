//! Reading archives of virtual machines, as suspicious as PVE's own `vma` is and in its words.

use super::*;

/// What the front of an archive says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) uuid: [u8; 16],
    pub(crate) ctime: i64,
    pub(crate) configs: Vec<(String, Vec<u8>)>,
    /// Number, name and size of each device.
    pub(crate) devices: Vec<(u8, String, u64)>,
}

impl Header {
    /// A configuration by its name.
    pub(crate) fn config(&self, name: &str) -> Option<String> {
        let found = self.configs.iter().find(|(have, _)| have == name)?;
        Some(String::from_utf8_lossy(&found.1).into_owned())
    }
}

fn open(path: &Path) -> io::Result<Box<dyn Read>> {
    let file = BufReader::new(File::open(path)?);
    Ok(match Compression::of(path) {
        Compression::None => Box::new(file),
        Compression::Zstd => Box::new(zstd::Decoder::with_buffer(file)?),
    })
}

fn bytes<const N: usize>(buffer: &[u8], at: usize) -> io::Result<[u8; N]> {
    let found = buffer.get(at..at + N).and_then(|part| part.try_into().ok());
    found.ok_or_else(|| refused("wrong vma header size"))
}

fn number(buffer: &[u8], at: usize) -> io::Result<u32> {
    bytes(buffer, at).map(u32::from_be_bytes)
}

fn exactly(input: &mut impl Read, size: usize, text: &str) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; size];
    input
        .read_exact(&mut buffer)
        .map_err(|_| refused(text))
        .map(|()| buffer)
}

fn read_head(input: &mut impl Read) -> io::Result<Vec<u8>> {
    let text = "can't read vma header - got EOF";
    let mut buffer = exactly(input, TABLES, text)?;
    if !buffer.starts_with(MAGIC) {
        return Err(refused("not a vma file - wrong magic number"));
    }
    let size = usize::try_from(number(&buffer, BLOBS + 8)?).unwrap_or_default();
    let more = size
        .checked_sub(TABLES)
        .filter(|more| *more > 0 && *more < 2 << 20);
    let more = more.ok_or_else(|| refused(&format!("wrong vma header size {size}")))?;
    buffer.extend(exactly(
        input,
        more,
        "can't read vma header data - got EOF",
    )?);
    let sum: [u8; 16] = bytes(&buffer, MD5)?;
    put(&mut buffer, MD5, &[0; 16]);
    if checksum(&buffer) != sum {
        return Err(refused("wrong vma header chechsum"));
    }
    Ok(buffer)
}

fn blob(buffer: &[u8], pointer: u32) -> Option<&[u8]> {
    let at = TABLES + usize::try_from(pointer).ok()?;
    let size = usize::from(u16::from_le_bytes(bytes(buffer, at).ok()?));
    buffer.get(at + 2..at + 2 + size)
}

fn text(buffer: &[u8], pointer: u32) -> Option<String> {
    let text = blob(buffer, pointer)?.strip_suffix(b"\0")?;
    String::from_utf8(text.to_vec()).ok()
}

fn parse(buffer: &[u8]) -> io::Result<Header> {
    let mut header = Header {
        uuid: bytes(buffer, UUID)?,
        ctime: i64::from_be_bytes(bytes(buffer, CTIME)?),
        ..Header::default()
    };
    for place in 0..256 {
        let name = number(buffer, CONFIG_NAMES + 4 * place)?;
        let data = number(buffer, CONFIG_DATA + 4 * place)?;
        if name == 0 || data == 0 {
            continue;
        }
        let found = text(buffer, name).zip(blob(buffer, data));
        let (name, data) = found.ok_or_else(|| refused("vma contains invalid data pointers"))?;
        header.configs.push((name, data.to_vec()));
    }
    for place in 1..=255_u8 {
        let at = DEVICES + DEVICE * usize::from(place);
        let size = u64::from_be_bytes(bytes(buffer, at + 8)?);
        if let Some(name) = text(buffer, number(buffer, at)?).filter(|_| size > 0) {
            header.devices.push((place, name, size));
        }
    }
    Ok(header)
}

/// Reads the front of an archive.
pub(crate) fn header(path: &Path) -> io::Result<Header> {
    parse(&read_head(&mut open(path)?)?)
}

/// What an extraction came to.
#[derive(Debug, Default)]
pub(crate) struct Extracted {
    /// Bytes that each device received, by its name.
    pub(crate) stored: BTreeMap<String, u64>,
    /// Clusters that were read, and the bytes of them that are zero.
    pub(crate) clusters: u64,
    pub(crate) zero: u64,
    /// What stopped it, if it did not reach the end.
    pub(crate) error: Option<String>,
}

/// Writes the devices to the images that are named for them; every cluster has to come, once.
pub(crate) fn extract(path: &Path, images: &BTreeMap<String, PathBuf>) -> Extracted {
    let mut out = Extracted::default();
    if let Err(error) = unpack(path, images, &mut out) {
        out.error = Some(error.to_string());
    }
    out
}

/// A device that is being restored.
struct Restoring {
    name: String,
    image: File,
    size: u64,
    seen: Vec<bool>,
}

fn unpack(path: &Path, images: &BTreeMap<String, PathBuf>, out: &mut Extracted) -> io::Result<()> {
    let mut input = open(path)?;
    let header = parse(&read_head(&mut input)?)?;
    let mut devices = BTreeMap::new();
    for (id, name, size) in &header.devices {
        let Some(path) = images.get(name) else {
            return Err(refused(&format!("got wrong dev id {id}")));
        };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let clusters = size.div_ceil(u64::try_from(CLUSTER).unwrap_or(1));
        let device = Restoring {
            name: name.clone(),
            image: File::create(path)?,
            size: *size,
            seen: vec![false; short(clusters)?],
        };
        devices.insert(*id, device);
    }
    while one_extent(&mut input, &header, &mut devices, out)? {}
    for device in devices.values() {
        if let Some(place) = device.seen.iter().position(|seen| !seen) {
            let name = &device.name;
            let text = format!("detected missing cluster {place} for stream {name}");
            return Err(refused(&text));
        }
    }
    Ok(())
}

/// The header of the next extent; none at the end.
fn next_extent(input: &mut impl Read, header: &Header) -> io::Result<Option<Vec<u8>>> {
    let mut buffer = Vec::new();
    let most = u64::try_from(EXTENT).unwrap_or_default();
    input.by_ref().take(most).read_to_end(&mut buffer)?;
    if buffer.is_empty() {
        return Ok(None);
    }
    if buffer.len() < EXTENT {
        let text = format!("read short extent ({} bytes)", buffer.len());
        return Err(refused(&text));
    }
    let sum: [u8; 16] = bytes(&buffer, 24)?;
    put(&mut buffer, 24, &[0; 16]);
    if checksum(&buffer) != sum {
        return Err(refused("wrong vma extent header chechsum"));
    }
    if bytes::<16>(&buffer, UUID)? != header.uuid {
        return Err(refused("wrong vma extent uuid"));
    }
    if !buffer.starts_with(EXTENT_MAGIC) {
        return Err(refused("wrong vma extent header magic"));
    }
    Ok(Some(buffer))
}

fn one_extent(
    input: &mut impl Read,
    header: &Header,
    devices: &mut BTreeMap<u8, Restoring>,
    out: &mut Extracted,
) -> io::Result<bool> {
    let Some(front) = next_extent(input, header)? else {
        return Ok(false);
    };
    let count = usize::from(u16::from_be_bytes(bytes(&front, 6)?));
    let blocks = exactly(input, count * BLOCK, "short vma extent")?;
    let mut blocks = blocks.chunks(BLOCK);
    for place in 0..CLUSTERS {
        let info = u64::from_be_bytes(bytes(&front, 40 + 8 * place)?);
        let [high, low, _, id, rest @ ..] = info.to_be_bytes();
        if id == 0 {
            continue;
        }
        let number = u64::from(u32::from_be_bytes(rest));
        let device = devices
            .get_mut(&id)
            .ok_or_else(|| refused(&format!("got wrong dev id {id}")))?;
        let name = &device.name;
        let seen = device
            .seen
            .get_mut(usize::try_from(number).unwrap_or(usize::MAX));
        let seen = seen.ok_or_else(|| refused("got wrong block address - write beyond end"))?;
        if std::mem::replace(seen, true) {
            let text = format!("found duplicated cluster {number} for stream {name}");
            return Err(refused(&text));
        }
        out.clusters += 1;
        let mask = u16::from_be_bytes([high, low]);
        for bit in 0..16_u64 {
            if mask & 1 << bit == 0 {
                out.zero += u64::try_from(BLOCK).unwrap_or_default();
                continue;
            }
            let block = blocks
                .next()
                .ok_or_else(|| refused("short vma extent - too many blocks"))?;
            let at = number * u64::try_from(CLUSTER).unwrap_or_default()
                + bit * u64::try_from(BLOCK).unwrap_or_default();
            let most = usize::try_from(device.size.saturating_sub(at)).unwrap_or(BLOCK);
            let part = block.get(..most.min(BLOCK)).unwrap_or_default();
            device.image.write_all_at(part, at)?;
            *out.stored.entry(device.name.clone()).or_default() += 4096;
        }
    }
    if blocks.next().is_some() {
        return Err(refused("vma extent error - missing blocks"));
    }
    Ok(true)
}
