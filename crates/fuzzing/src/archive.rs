//! Archives: the guest's root writes nearly everything in them.

use std::collections::BTreeSet;
use std::io::Read;
use std::ops::ControlFlow;

use felhom_agent::archive::{ArchiveError, Packing, SAMPLED_FILES, read_stream};
use felhom_engine::{ArchiveContent, ArchivedVolume, VolumeRoot, WantedContent};

/// How a zstd frame begins.
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Whatever the bytes are, they are read to an end; what is told of them adds up, is bounded, and does not depend on how the
/// bytes come.
pub fn archive(data: &[u8]) {
    let packing = if data.starts_with(&ZSTD) {
        Packing::Zstd
    } else {
        Packing::Plain
    };
    check(data, packing);
    if packing == Packing::Plain {
        // A changed byte makes nearly every header's sum wrong; what is behind the sum is to be tried, too.
        check(&with_right_sums(data), packing);
    }
}

fn check(data: &[u8], packing: Packing) {
    let wanted = wanted();
    let content = read_stream(data, packing, &wanted, &mut go_on).unwrap();
    adds_up(&content);
    if packing == Packing::Plain {
        let blocks = u64::try_from(data.len() / 512).unwrap();
        assert!(
            content.members <= blocks,
            "{} in {blocks} blocks",
            content.members
        );
    }
    let mut slowly = read_stream(Slowly(data, 0), packing, &wanted, &mut go_on).unwrap();
    assert_eq!(content.complete, slowly.complete);
    // How far a broken archive was read ahead or unpacked before that was noticed is nobody's promise.
    if content.complete || packing == Packing::Plain {
        slowly.compressed_bytes = content.compressed_bytes;
        assert_eq!(content, slowly, "it matters in which pieces it comes");
    }
    let stopped = read_stream(data, packing, &wanted, &mut |_| ControlFlow::Break(()));
    match stopped {
        Err(ArchiveError::Stopped) => {}
        Err(error) => panic!("{error}"),
        Ok(content) => assert!(!content.complete, "nobody was asked"),
    }
}

fn go_on(_: u64) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn wanted() -> WantedContent {
    let mount = |key: &str, path: &str| (key.to_owned(), path.to_owned());
    WantedContent {
        mounts: vec![mount("rootfs", "/"), mount("mp0", "/mnt/mp0")],
        volumes: vec![VolumeRoot {
            name: "asked".into(),
            path: "/mnt/mp0/asked".into(),
        }],
        data_root: "/d".into(),
    }
}

fn adds_up(content: &ArchiveContent) {
    assert_eq!(content.complete, content.error.is_none());
    assert!(!content.complete || content.members > 0);
    let error = content.error.as_deref().unwrap_or_default();
    assert!(
        error.len() < 200 && !error.contains(char::is_control),
        "{error:?}"
    );
    let of_mounts: u64 = content.mounts.values().map(|tally| tally.members).sum();
    let odd = &content.odd_names;
    assert!(of_mounts + odd.count <= content.members);
    assert!(odd.first.len() <= 8 && (odd.count == 0) == odd.first.is_empty());
    assert!(odd.first.iter().all(|name| name.chars().count() <= 200));
    let places: BTreeSet<_> = content
        .docker_volumes
        .iter()
        .map(|v| (&v.name, &v.path))
        .collect();
    assert_eq!(
        places.len(),
        content.docker_volumes.len(),
        "each is told once"
    );
    let asked = content.docker_volumes.iter().filter(|v| v.name == "asked");
    assert_eq!(asked.count(), 1);
    let inside: u64 = content.docker_volumes.iter().map(|v| v.tally.members).sum();
    assert!(inside <= of_mounts);
    content.docker_volumes.iter().for_each(volume_adds_up);
}

fn volume_adds_up(volume: &ArchivedVolume) {
    assert!(volume.files <= volume.tally.members);
    assert_eq!(volume.newest_mtime_s.is_some(), volume.files > 0);
    let samples = u64::try_from(volume.samples.len()).unwrap();
    assert!(samples <= volume.files && volume.samples.len() <= SAMPLED_FILES);
    assert!(!volume.name.contains(|c: char| c == '/' || c.is_control()));
    for sample in &volume.samples {
        assert!(Some(sample.mtime_s) <= volume.newest_mtime_s);
        assert!(
            sample.sha256.len() == 64 && !sample.sha256.contains(|c: char| !c.is_ascii_hexdigit())
        );
        let parts = sample.path.split('/');
        assert!(
            parts
                .into_iter()
                .all(|part| !matches!(part, "" | "." | "..")),
            "{:?}",
            sample.path
        );
    }
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

/// With the sums that the headers should have, as far as blocks look like headers.
fn with_right_sums(data: &[u8]) -> Vec<u8> {
    let mut bytes = data.to_vec();
    for block in bytes.chunks_exact_mut(512) {
        if block.get(257..262) != Some(b"ustar".as_slice()) {
            continue;
        }
        if let Some(field) = block.get_mut(148..156) {
            field.fill(b' ');
        }
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        if let Some(field) = block.get_mut(148..156) {
            field.copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
    bytes
}
