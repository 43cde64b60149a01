//! Archives that do not end soon: memory stays as it is, and whoever has enough can go.

use std::io::Read;
use std::ops::ControlFlow;

use felhom_agent::archive::{Packing, read_stream};

use super::built::{Header, Tar};
use super::{go_on, stopped, wanted};

/// Members that are made while they are read.
pub(super) struct Made<F> {
    next: F,
    ready: Vec<u8>,
    at: usize,
}

impl<F: FnMut() -> Option<Vec<u8>>> Made<F> {
    pub(super) fn new(next: F) -> Self {
        Self {
            next,
            ready: Vec::new(),
            at: 0,
        }
    }
}

impl<F: FnMut() -> Option<Vec<u8>>> Read for Made<F> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.at == self.ready.len() {
            let Some(ready) = (self.next)() else {
                return Ok(0);
            };
            (self.ready, self.at) = (ready, 0);
        }
        let count = buffer.len().min(self.ready.len() - self.at);
        buffer[..count].copy_from_slice(&self.ready[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

/// Bytes that this process holds in memory.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kib = line.split_whitespace().nth(1).unwrap();
    kib.parse::<u64>().unwrap() << 10
}

/// Other tests of this process may take memory meanwhile, though not hundreds of MiB.
const ROOM: u64 = 400 << 20;

#[test]
fn members_without_number_take_no_memory() {
    let mut left = 300u64;
    let before = resident();
    let archive = Made::new(|| {
        left = left.checked_sub(1)?;
        let mut tar = Tar::default();
        for at in 0..1000 {
            let (volume, file) = (left % 7, left * 1000 + at);
            let name = format!(
                "./var/lib/docker/volumes/v{volume}/_data/d{}/f{file}",
                file % 13
            );
            tar = tar.with(Header::new(name.as_bytes(), b'0', 0));
        }
        Some(if left == 0 { tar.end() } else { tar.0 })
    });
    let content = read_stream(archive, Packing::Plain, &wanted(), &mut go_on).unwrap();
    assert_eq!((content.complete, content.members), (true, 300_000));
    assert_eq!(content.docker_volumes.len(), 7);
    assert!(resident() < before + ROOM);
}

#[test]
fn headers_without_end_take_no_memory() {
    for kind in [b'L', b'K', b'x', b'g'] {
        let before = resident();
        let size = 1u64 << 30;
        let mut left = 1u64 << 10;
        let mut first = Some(Tar::default().with(Header::new(b"long", kind, size)).0);
        if matches!(kind, b'x' | b'g') {
            // One attribute that fills it all.
            let record = format!("{size} SCHILY.xattr.user.x=");
            let last = size - u64::try_from(record.len()).unwrap();
            let filled = vec![b'y'; usize::try_from(last % (1 << 20)).unwrap()];
            left -= 1;
            first = first.map(|header| [header, record.into_bytes(), filled].concat());
        }
        let mebibyte = vec![b'y'; 1 << 20];
        let archive = Made::new(|| {
            first.take().or_else(|| {
                left = left.checked_sub(1)?;
                let mut piece = mebibyte.clone();
                if left == 0 {
                    piece[(1 << 20) - 1] = b'\n';
                    piece.extend(Tar::default().file("./a", b"").end());
                }
                Some(piece)
            })
        });
        let content = read_stream(archive, Packing::Plain, &wanted(), &mut go_on).unwrap();
        assert_eq!(
            (content.complete, content.members),
            (true, 1),
            "{:?}",
            content.error
        );
        assert_eq!(content.odd_names.count, u64::from(kind == b'L'));
        assert!(resident() < before + ROOM);
    }
}

#[test]
fn a_small_file_that_unpacks_to_a_large_one_is_read_through_or_left() {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    let header = Tar::default()
        .with(Header::new(b"./zeros", b'0', 1 << 30))
        .0;
    std::io::Write::write_all(&mut encoder, &header).unwrap();
    std::io::copy(&mut std::io::repeat(0).take((1 << 30) + 1024), &mut encoder).unwrap();
    let bomb = encoder.finish().unwrap();
    assert!(bomb.len() < 1 << 20);
    let mut asked = 0u64;
    let mut enough = |_| {
        asked += 1;
        if asked == 100 {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    };
    let left = read_stream(bomb.as_slice(), Packing::Zstd, &wanted(), &mut enough);
    assert!(stopped(&left), "while next to nothing of the file was read");
    assert_eq!(asked, 100);
    let content = read_stream(bomb.as_slice(), Packing::Zstd, &wanted(), &mut go_on).unwrap();
    assert_eq!((content.complete, content.bytes), (true, 1 << 30));
}
