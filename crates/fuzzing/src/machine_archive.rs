//! Archives of virtual machines: PVE writes their headers, the guest what the blocks hold, and anybody both once a storage is
//! shared.

mod drawn;

use std::io::Read;
use std::ops::ControlFlow;

use felhom_agent::archive::{ArchiveError, Packing, read_machine_stream};
use felhom_engine::ArchiveContent;
use md5::{Digest as _, Md5};

use drawn::draw;

/// The header up to the blobs.
const TABLES: usize = 12_288;

/// Whatever the bytes are, they are read to an end; what is told of them adds up, is bounded, and does not depend on how the
/// bytes come. Bytes that do not begin as an archive are taken for the drawing of one, whose end is known beforehand.
pub fn machine_archive(data: &[u8]) {
    let packing = if data.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Packing::Zstd
    } else {
        Packing::Plain
    };
    check(data, packing);
    if data.starts_with(b"VMA") {
        // A changed byte makes a sum wrong; what is behind the sums is to be tried, too.
        check(&with_right_sums(data), packing);
    } else if packing == Packing::Plain {
        let (bytes, is_whole) = draw(data);
        let content = check(&bytes, packing);
        assert_eq!(content.complete, is_whole, "{:?}", content.error);
    }
}

fn go_on(_: u64) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn check(data: &[u8], packing: Packing) -> ArchiveContent {
    let content = match read_machine_stream(data, packing, &mut go_on) {
        // Sizes beyond what is counted are told before anything is read, and cost no memory.
        Err(ArchiveError::TooLarge { bytes, most }) => {
            assert!(bytes > most);
            return ArchiveContent::default();
        }
        read => read.unwrap(),
    };
    adds_up(&content);
    if packing == Packing::Plain {
        // Of an extent's 512 bytes, 59 name clusters; a block of 4 KiB that counts is there.
        let length = u64::try_from(data.len()).unwrap();
        assert!(content.members <= length / 512 * 59, "{}", content.members);
        assert!(!content.complete || content.bytes <= length);
        cut(data, &content);
    }
    let mut slowly = read_machine_stream(Slowly(data, 0), packing, &mut go_on).unwrap();
    assert_eq!(content.complete, slowly.complete);
    // How far a broken archive was read ahead or unpacked before that was noticed is nobody's promise.
    if content.complete || packing == Packing::Plain {
        slowly.compressed_bytes = content.compressed_bytes;
        assert_eq!(content, slowly, "it matters in which pieces it comes");
    }
    match read_machine_stream(data, packing, &mut |_| ControlFlow::Break(())) {
        Err(ArchiveError::Stopped) => {}
        Err(error) => panic!("{error}"),
        Ok(content) => assert!(!content.complete, "nobody was asked"),
    }
    content
}

/// What is complete before its end holds no cluster behind it; what tells a mistake tells it however long it goes on.
fn cut(data: &[u8], whole: &ArchiveContent) {
    let step = 1999.max(data.len() / 16);
    for at in (TABLES..data.len()).step_by(step) {
        let part = data.get(..at).unwrap_or_default();
        let part = read_machine_stream(part, Packing::Plain, &mut go_on).unwrap();
        adds_up(&part);
        assert!(part.members <= whole.members, "cut at {at}");
        if part.complete && whole.complete {
            assert_eq!(part.mounts, whole.mounts, "cut at {at}");
        }
    }
}

fn adds_up(content: &ArchiveContent) {
    assert_eq!(content.complete, content.error.is_none());
    let error = content.error.as_deref().unwrap_or_default();
    assert!(
        error.len() < 200 && !error.contains(char::is_control),
        "{error:?}"
    );
    assert!(content.mounts.len() <= 255);
    for key in content.mounts.keys() {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        assert!(key.len() <= 32 && key.bytes().all(plain), "{key:?}");
    }
    let members: u64 = content.mounts.values().map(|tally| tally.members).sum();
    let bytes: u64 = content.mounts.values().map(|tally| tally.bytes).sum();
    assert_eq!((content.members, content.bytes), (members, bytes));
    assert!(bytes <= members * 65_536);
    assert!(content.docker_volumes.is_empty() && content.odd_names.count == 0);
}

/// The same bytes in uneven pieces.
struct Slowly<'a>(&'a [u8], usize);

impl Read for Slowly<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.1 = (self.1 * 7 + 3) % 611;
        let count = buffer.len().min(self.1 + 1);
        let piece = buffer.get_mut(..count).unwrap_or_default();
        self.0.read(piece)
    }
}

/// Writes the sum over a piece to its place within.
fn sum(piece: &mut [u8], at: usize) {
    if let Some(place) = piece.get_mut(at..at + 16) {
        place.fill(0);
    }
    let sum = Md5::digest(&*piece);
    if let Some(place) = piece.get_mut(at..at + 16) {
        place.copy_from_slice(&sum);
    }
}

/// With the sums that the header and whatever looks like an extent should have.
fn with_right_sums(data: &[u8]) -> Vec<u8> {
    let mut bytes = data.to_vec();
    let size = bytes.get(56..60).and_then(|size| size.try_into().ok());
    let size = usize::try_from(size.map_or(0, u32::from_be_bytes)).unwrap();
    if let Some(head) = bytes.get_mut(..size).filter(|head| head.len() > TABLES) {
        sum(head, 32);
    }
    let mut at = size;
    while at < bytes.len() {
        match bytes.get_mut(at..at + 512) {
            Some(extent) if extent.starts_with(b"VMAE") => {
                sum(extent, 24);
                at += 512;
            }
            Some(_) => at += 1,
            None => break,
        }
    }
    bytes
}
