//! Real `.tar` and `.tar.zst` files: written from guests' trees as `vzdump` orders them, read back as `tar` would,
//! so that a reader of archives meets real bytes, real damage included.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

#[cfg(test)]
mod tests;

/// How an archive is compressed; told by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Zstd,
}

impl Compression {
    pub(crate) fn of(path: &Path) -> Self {
        if path.extension().is_some_and(|ext| ext == "zst") {
            Self::Zstd
        } else {
            Self::None
        }
    }
}

/// One tree of an archive.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) root: PathBuf,
    /// Where it stands in the archive: empty for the root file system, else `mnt/data`.
    pub(crate) prefix: String,
}

/// What an archive is to contain, in this order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    /// Small files put in front: member name without `./`, content.
    pub(crate) head: Vec<(String, Vec<u8>)>,
    pub(crate) sources: Vec<Source>,
    /// Globs anchored at the container's root: `tmp/?*`.
    pub(crate) excludes: Vec<String>,
    /// Modification time of the head's files.
    pub(crate) now: u64,
}

/// GNU tar writes whole records of 20 blocks.
const RECORD: u64 = 20 * 512;

struct Counting<W> {
    inner: W,
    bytes: u64,
}

impl<W: Write> Write for Counting<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(data)?;
        self.bytes += u64::try_from(count).unwrap_or_default();
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Writes an archive; answers the uncompressed size, as `tar --totals` counts it.
pub(crate) fn write(path: &Path, compression: Compression, plan: &Plan) -> io::Result<u64> {
    let file = BufWriter::new(File::create(path)?);
    match compression {
        Compression::None => {
            let (mut file, bytes) = fill(file, plan)?;
            file.flush()?;
            Ok(bytes)
        }
        Compression::Zstd => {
            let mut encoder = zstd::Encoder::new(file, 3)?;
            encoder.include_checksum(true)?;
            let (encoder, bytes) = fill(encoder, plan)?;
            encoder.finish()?.flush()?;
            Ok(bytes)
        }
    }
}

fn fill<W: Write>(out: W, plan: &Plan) -> io::Result<(W, u64)> {
    let mut builder = tar::Builder::new(Counting {
        inner: out,
        bytes: 0,
    });
    builder.follow_symlinks(false);
    for (name, content) in &plan.head {
        let mut header = tar::Header::new_gnu();
        header.set_size(u64::try_from(content.len()).unwrap_or_default());
        header.set_mode(0o644);
        header.set_mtime(plan.now);
        put(
            &mut builder,
            &mut header,
            &format!("./{name}"),
            content.as_slice(),
        )?;
    }
    for source in &plan.sources {
        append_tree(&mut builder, source, Path::new(""), &plan.excludes)?;
    }
    let mut counting = builder.into_inner()?;
    let missing = (RECORD - counting.bytes % RECORD) % RECORD;
    counting.write_all(&vec![0; usize::try_from(missing).unwrap_or_default()])?;
    Ok((counting.inner, counting.bytes))
}

/// Appends under a name that starts with `./`, which the crate's own path setter would strip.
fn put<W: Write, R: Read>(
    builder: &mut tar::Builder<W>,
    header: &mut tar::Header,
    name: &str,
    content: R,
) -> io::Result<()> {
    let bytes = name.as_bytes();
    if let Some(gnu) = header.as_gnu_mut()
        && let Some(field) = gnu.name.get_mut(..bytes.len())
    {
        field.copy_from_slice(bytes);
        header.set_cksum();
        return builder.append(header, content);
    }
    // Longer than the field: GNU's long-name member comes first.
    let mut long = tar::Header::new_gnu();
    let text = [bytes, b"\0"].concat();
    if let Some(gnu) = long.as_gnu_mut()
        && let Some(field) = gnu.name.get_mut(..13)
    {
        field.copy_from_slice(b"././@LongLink");
    }
    long.set_mode(0o644);
    long.set_size(u64::try_from(text.len()).unwrap_or_default());
    long.set_entry_type(tar::EntryType::GNULongName);
    long.set_cksum();
    builder.append(&long, text.as_slice())?;
    if let Some(gnu) = header.as_gnu_mut() {
        let cut = bytes.get(..gnu.name.len()).unwrap_or_default();
        gnu.name.copy_from_slice(cut);
    }
    header.set_cksum();
    builder.append(header, content)
}

fn append_tree<W: Write>(
    builder: &mut tar::Builder<W>,
    source: &Source,
    inside: &Path,
    excludes: &[String],
) -> io::Result<()> {
    let here = source.root.join(inside);
    let meta = fs::symlink_metadata(&here)?;
    let member = member_name(&source.prefix, inside, meta.is_dir());
    if excluded(
        member.trim_start_matches("./").trim_end_matches('/'),
        excludes,
    ) {
        return Ok(());
    }
    let mut header = tar::Header::new_gnu();
    header.set_metadata_in_mode(&meta, tar::HeaderMode::Complete);
    header.set_uid(0);
    header.set_gid(0);
    if meta.is_symlink() {
        header.set_size(0);
        header.set_link_name(fs::read_link(&here)?)?;
        return put(builder, &mut header, &member, io::empty());
    }
    if meta.is_file() {
        return put(builder, &mut header, &member, File::open(&here)?);
    }
    if !meta.is_dir() {
        return Ok(());
    }
    header.set_size(0);
    put(builder, &mut header, &member, io::empty())?;
    let names: BTreeSet<_> = fs::read_dir(&here)?
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<Result<_, _>>()?;
    for name in names.into_iter().filter(|name| name != "lost+found") {
        append_tree(builder, source, &inside.join(name), excludes)?;
    }
    Ok(())
}

fn member_name(prefix: &str, inside: &Path, dir: bool) -> String {
    let mut parts = vec![".".to_owned()];
    parts.extend(
        prefix
            .split('/')
            .filter(|part| !part.is_empty())
            .map(ToOwned::to_owned),
    );
    parts.extend(
        inside
            .iter()
            .map(|part| part.to_string_lossy().into_owned()),
    );
    let name = parts.join("/");
    if dir { format!("{name}/") } else { name }
}

/// Whether an anchored glob covers the member itself; a directory's content goes with it.
fn excluded(member: &str, globs: &[String]) -> bool {
    globs
        .iter()
        .any(|glob| matches(glob.trim_start_matches("./"), member))
}

/// `*` is any run of characters, `?` one, as `tar --exclude` reads them.
pub(crate) fn matches(glob: &str, text: &str) -> bool {
    let (glob, text): (Vec<char>, Vec<char>) = (glob.chars().collect(), text.chars().collect());
    let mut reach = vec![false; text.len() + 1];
    if let Some(first) = reach.first_mut() {
        *first = true;
    }
    for pattern in glob {
        let mut next = vec![false; text.len() + 1];
        let mut star = false;
        for (place, &was) in reach.iter().enumerate() {
            star |= was;
            if pattern == '*' {
                set(&mut next, place, star);
            } else if was
                && text
                    .get(place)
                    .is_some_and(|&c| pattern == '?' || pattern == c)
            {
                set(&mut next, place + 1, true);
            }
        }
        reach = next;
    }
    reach.last().copied().unwrap_or_default()
}

fn set(reach: &mut [bool], place: usize, value: bool) {
    if let Some(cell) = reach.get_mut(place) {
        *cell |= value;
    }
}

fn open(path: &Path) -> io::Result<Box<dyn Read>> {
    let file = BufReader::new(File::open(path)?);
    Ok(match Compression::of(path) {
        Compression::None => Box::new(file),
        Compression::Zstd => Box::new(zstd::Decoder::with_buffer(file)?),
    })
}

/// The content of one member near the front (`etc/vzdump/pct.conf`); none when the archive ends without it.
pub(crate) fn read_member(path: &Path, member: &str) -> io::Result<Option<Vec<u8>>> {
    let mut archive = tar::Archive::new(open(path)?);
    for entry in archive.entries()? {
        let mut entry = entry?;
        if entry
            .path()?
            .strip_prefix("./")
            .is_ok_and(|path| path == Path::new(member))
        {
            let mut content = Vec::new();
            entry.read_to_end(&mut content)?;
            return Ok(Some(content));
        }
    }
    Ok(None)
}

/// Where a part of the guest's tree goes.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Path inside the guest without leading slash; empty for the root file system.
    pub(crate) prefix: PathBuf,
    pub(crate) root: PathBuf,
}

/// What an extraction came to.
#[derive(Debug, Default)]
pub(crate) struct Extracted {
    /// Uncompressed bytes read.
    pub(crate) read: u64,
    /// File bytes that each target received, by its place in the list.
    pub(crate) stored: Vec<u64>,
    /// What stopped it, if it did not reach the end.
    pub(crate) error: Option<String>,
}

/// Unpacks an archive as `tar x --skip-old-files --anchored --exclude ./dev/*` does, onto several file systems.
pub(crate) fn extract(path: &Path, targets: &[Target]) -> Extracted {
    let mut out = Extracted {
        stored: vec![0; targets.len()],
        ..Extracted::default()
    };
    if let Err(error) = unpack(path, targets, &mut out) {
        out.error = Some(error.to_string());
    }
    out
}

fn unpack(path: &Path, targets: &[Target], out: &mut Extracted) -> io::Result<()> {
    // Mounting made the mount points inside the root file system.
    if let Some(root) = targets
        .iter()
        .find(|target| target.prefix.as_os_str().is_empty())
    {
        for target in targets {
            fs::create_dir_all(root.root.join(&target.prefix))?;
        }
    }
    let mut reader = CountingReader {
        inner: open(path)?,
        bytes: 0,
    };
    let mut archive = tar::Archive::new(&mut reader);
    archive.set_overwrite(false);
    let mut result = Ok(());
    for entry in archive.entries()? {
        result = entry.and_then(|mut entry| unpack_one(&mut entry, targets, out));
        if result.is_err() {
            break;
        }
    }
    if result.is_ok() {
        // The rest of the last record, and with it the compressor's checksum.
        result = io::copy(&mut reader, &mut io::sink()).map(drop);
    }
    out.read = reader.bytes;
    result
}

fn unpack_one<R: Read>(
    entry: &mut tar::Entry<'_, R>,
    targets: &[Target],
    out: &mut Extracted,
) -> io::Result<()> {
    let path = entry.path()?.into_owned();
    let inside = path.strip_prefix("./").unwrap_or(&path).to_owned();
    if inside.starts_with("dev") && inside.components().count() > 1 {
        return Ok(());
    }
    let place = targets
        .iter()
        .enumerate()
        .filter(|(_, target)| inside.starts_with(&target.prefix))
        .max_by_key(|(_, target)| target.prefix.components().count())
        .map(|(place, _)| place);
    let Some((place, target)) = place.and_then(|place| Some((place, targets.get(place)?))) else {
        return Ok(());
    };
    let rest = inside.strip_prefix(&target.prefix).unwrap_or(&inside);
    let plain = rest
        .components()
        .all(|part| matches!(part, std::path::Component::Normal(_)));
    if rest.as_os_str().is_empty() || !plain {
        return Ok(());
    }
    let goal = target.root.join(rest);
    if entry.header().entry_type().is_dir() {
        return fs::create_dir_all(&goal);
    }
    if fs::symlink_metadata(&goal).is_ok() {
        return Ok(());
    }
    if let Some(parent) = goal.parent() {
        fs::create_dir_all(parent)?;
    }
    entry.unpack(&goal)?;
    if let Some(stored) = out.stored.get_mut(place) {
        *stored += entry.size();
    }
    Ok(())
}

struct CountingReader<R> {
    inner: R,
    bytes: u64,
}

impl<R: Read> Read for CountingReader<R> {
    fn read(&mut self, data: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(data)?;
        self.bytes += u64::try_from(count).unwrap_or_default();
        Ok(count)
    }
}
