//! From the first byte to the last: opening, unpacking, counting.

use std::cell::{Cell, RefCell};
use std::io::{self, BufRead, BufReader, Read};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use felhom_engine::{ArchiveContent, WantedContent};

use super::ArchiveError;
use super::count::Counter;
use super::input::Damage;
use super::locate::open;
use super::members::Members;
use super::name::tell;
use super::sample::{DIGESTED_BYTES, Digest};
use super::vma::{self, TooLarge};

/// Bytes that are taken from the file, and from the unpacker, at once.
const PIECE: usize = 256 << 10;

/// The window that a frame may ask for, as a power of two: 128 MiB, the most that the `zstd` program unpacks without being
/// told to, so that what is refused here could not be restored either. vzdump starts it with no level (pve-manager,
/// `PVE/VZDump.pm`), which makes windows of 2 MiB.
const WINDOW_LOG_MAX: u32 = 27;

/// How an archive is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    Plain,
    /// By zstd.
    Zstd,
}

/// What is packed: the files of a container, or the drives of a virtual machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Tar,
    Vma,
}

/// By a file's name; PVE itself knows its archives by these very endings.
fn form(name: &str) -> Option<(Form, Packing)> {
    let (rest, packing) = match name.strip_suffix(".zst") {
        Some(rest) => (rest, Packing::Zstd),
        None => (name, Packing::Plain),
    };
    let forms = [(".tar", Form::Tar), (".vma", Form::Vma)];
    let found = forms.iter().find(|(ending, _)| rest.ends_with(ending));
    found.map(|(_, form)| (*form, packing))
}

/// Reads the whole archive. Blocking: minutes for a large archive. `progress` is told how many bytes of the file were read,
/// at least once for each 256 KiB that is unpacked, and can stop it.
///
/// An archive that breaks off or is damaged is no error but content that is not `complete`.
///
/// # Errors
/// When the file cannot be opened or read, is compressed in a way we do not read, changes meanwhile, or when `progress` says so.
pub fn read(
    path: &Path,
    wanted: &WantedContent,
    progress: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<ArchiveContent, ArchiveError> {
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let (form, packing) = form(&name).ok_or(ArchiveError::Format { name })?;
    let (file, before) = open(path)?;
    let started = tokio::time::Instant::now();
    // No further: a file that somebody keeps writing to would have no end.
    let bytes = (&file).take(before);
    let mut content = match form {
        Form::Tar => read_stream(bytes, packing, wanted, progress)?,
        Form::Vma => read_machine_stream(bytes, packing, progress)?,
    };
    let now = file.metadata().map_err(|source| ArchiveError::Storage {
        at: content.compressed_bytes,
        source,
    })?;
    if now.len() != before {
        return Err(ArchiveError::Changed {
            before,
            after: now.len(),
        });
    }
    content.elapsed_ms = millis(started.elapsed());
    Ok(content)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Reads an archive from wherever its bytes come. Memory is bounded whatever they are.
///
/// # Errors
/// When `source` gives an error, or `progress` stops it.
pub fn read_stream(
    source: impl Read,
    packing: Packing,
    wanted: &WantedContent,
    progress: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<ArchiveContent, ArchiveError> {
    unpacked(source, packing, progress, |bytes| Ok(tally(bytes, wanted)))
}

/// The same for an archive of a virtual machine.
///
/// # Errors
/// As [`read_stream`].
pub fn read_machine_stream(
    source: impl Read,
    packing: Packing,
    progress: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<ArchiveContent, ArchiveError> {
    unpacked(source, packing, progress, |bytes| {
        vma::tally(bytes).map_err(|TooLarge { bytes }| ArchiveError::TooLarge {
            bytes,
            most: TooLarge::MOST,
        })
    })
}

fn unpacked(
    source: impl Read,
    packing: Packing,
    progress: &mut dyn FnMut(u64) -> ControlFlow<()>,
    count: impl FnOnce(&mut dyn BufRead) -> Result<ArchiveContent, ArchiveError>,
) -> Result<ArchiveContent, ArchiveError> {
    let state = State::default();
    let counted = Counted {
        inner: source,
        state: &state,
    };
    let counted = match packing {
        Packing::Plain => count(&mut watched(counted, &state, progress)),
        Packing::Zstd => match unpacker(BufReader::with_capacity(PIECE, counted)) {
            Ok(unpacker) => count(&mut watched(unpacker, &state, progress)),
            Err(error) => Ok(ArchiveContent {
                error: Some(error.to_string()),
                ..ArchiveContent::default()
            }),
        },
    };
    if state.stopped.get() {
        return Err(ArchiveError::Stopped);
    }
    let at = state.read.get();
    if let Some(source) = state.failed.take() {
        return Err(ArchiveError::Storage { at, source });
    }
    let mut content = counted?;
    content.compressed_bytes = at;
    Ok(content)
}

fn unpacker<'a, R: BufRead>(packed: R) -> io::Result<zstd::stream::read::Decoder<'a, R>> {
    let mut unpacker = zstd::stream::read::Decoder::with_buffer(packed)?;
    unpacker.window_log_max(WINDOW_LOG_MAX)?;
    Ok(unpacker)
}

fn watched<'a, R: Read>(
    inner: R,
    state: &'a State,
    progress: &'a mut dyn FnMut(u64) -> ControlFlow<()>,
) -> impl BufRead + use<'a, R> {
    let watched = Watched {
        inner,
        state,
        progress,
    };
    BufReader::with_capacity(PIECE, watched)
}

/// What both ends of the unpacker have to know.
#[derive(Default)]
struct State {
    read: Cell<u64>,
    stopped: Cell<bool>,
    failed: RefCell<Option<io::Error>>,
}

/// The archive's own bytes. What goes wrong here is the storage's doing, not the archive's.
struct Counted<'a, R> {
    inner: R,
    state: &'a State,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.inner.read(buffer) {
            Ok(count) => {
                let more = u64::try_from(count).unwrap_or(u64::MAX);
                let read = &self.state.read;
                read.set(read.get().saturating_add(more));
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                let kind = error.kind();
                self.state.failed.replace(Some(error));
                Err(kind.into())
            }
        }
    }
}

/// The unpacked bytes: a small file can unpack to a very large one, so whoever waits is asked here whether to go on.
struct Watched<'a, R> {
    inner: R,
    state: &'a State,
    progress: &'a mut dyn FnMut(u64) -> ControlFlow<()>,
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        if (self.progress)(self.state.read.get()).is_break() {
            self.state.stopped.set(true);
            return Err(io::Error::other("stopped"));
        }
        Ok(count)
    }
}

fn tally(reader: impl BufRead, wanted: &WantedContent) -> ArchiveContent {
    let mut content = ArchiveContent::default();
    let mut counter = Counter::new(wanted);
    let mut members = Members::new(reader);
    match walk(&mut members, &mut counter, &mut content) {
        Ok(()) => content.complete = true,
        Err(damage) => {
            let at = members.at();
            content.error = Some(format!("{damage} (at byte {at} of what it unpacks to)"));
        }
    }
    counter.finish(&mut content);
    content
}

fn walk<R: BufRead>(
    members: &mut Members<R>,
    counter: &mut Counter<'_>,
    content: &mut ArchiveContent,
) -> Result<(), Damage> {
    while let Some(member) = members.next()? {
        let first = content.members == 0;
        content.members = content.members.saturating_add(1);
        content.bytes = content.bytes.saturating_add(member.size);
        let Some(path) = members.name().inside() else {
            tell(&mut content.odd_names, members.name());
            continue;
        };
        if first {
            content.config_first = path == b"etc/vzdump/pct.conf";
        }
        if let Some(sampled) = counter.count(path, &member) {
            let mut digest = Digest::new();
            members.content(&member, DIGESTED_BYTES, &mut |piece| digest.update(piece))?;
            counter.take_sample(&sampled, &member, digest.hex());
        }
    }
    if content.members == 0 {
        return Err(Damage::Malformed("the archive is empty"));
    }
    Ok(())
}
