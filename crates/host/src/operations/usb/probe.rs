//! Whether a disk takes data and gives it back: written, brought to the disk, read from the disk, compared.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Advice, Mode, OFlags, fadvise, openat2};
use rustix::io::Errno;

use super::super::Root;
use super::canary;
use super::place::{self, INSIDE};
use super::record::{Record, random};
use super::standing::Seen;
use crate::refusal::{Code, Refusal};
use crate::report::{Report, Standing, Written};

const FILE: &str = ".felhom-probe";
const BLOCK: usize = 4096;
const BLOCKS: usize = 256;

/// Looks, and writes when it is asked to and the right disk is mounted. A target that stands otherwise is told, not refused.
pub(super) fn probe(root: Root<'_>, mut record: Record, write: bool) -> Result<Report, Refusal> {
    let seen = Seen::now(root, &record)?;
    let Some(dir) = seen.directory(&record)?.filter(|_| write) else {
        return Ok(seen.report(root, &record, Written::Unasked));
    };
    let tried = match write_and_read_back(&dir) {
        Ok(()) => canary::renew(root, &mut record, &dir)?,
        Err(error) => Err(error),
    };
    drop(dir);
    let errno = match &tried {
        Ok(()) => return Ok(seen.report(root, &record, Written::ReadBack)),
        Err(error) => error.raw_os_error().map(Errno::from_raw_os_error),
    };
    if matches!(errno, Some(Errno::NOSPC | Errno::DQUOT)) {
        return Ok(seen.report(root, &record, Written::Full));
    }
    // A disk that was pulled out shows itself by many errors; a journal that was cut off by a read-only file system.
    let now = Seen::now(root, &record)?;
    match (now.standing, errno) {
        (Standing::Mounted, Some(Errno::ROFS)) => Ok(now.report(root, &record, Written::ReadOnly)),
        (Standing::Detached | Standing::Wrong, _) => {
            Ok(now.report(root, &record, Written::Unasked))
        }
        (Standing::Mounted | Standing::Present, _) => {
            let why = tried
                .err()
                .map(|error| error.to_string())
                .unwrap_or_default();
            let text = format!(
                "target {}: writing to it failed, though its disk is attached: {why}",
                record.name
            );
            Err(Refusal::new(Code::Failed, text))
        }
    }
}

/// Writes a file into a directory, reads it back from the disk, and takes it away again.
pub(super) fn write_and_read_back(dir: &OwnedFd) -> io::Result<()> {
    let seed: [u8; BLOCK] = random().map_err(|refusal| io::Error::other(refusal.text))?;
    let tried = write_all(dir, &seed).and_then(|()| read_all(dir, &seed));
    let removed = place::unlink(dir, FILE);
    tried.and(removed)
}

/// Each block is the random one, turned by its number, so that none equals another.
fn block(seed: &[u8; BLOCK], number: usize) -> [u8; BLOCK] {
    let mut block = *seed;
    block.rotate_left(number);
    block
}

fn write_all(dir: &OwnedFd, seed: &[u8; BLOCK]) -> io::Result<()> {
    let mut file = place::create(dir, FILE, 0o600)?;
    for number in 0..BLOCKS {
        file.write_all(&block(seed, number))?;
    }
    file.sync_all()?;
    fadvise(&file, 0, None, Advice::DontNeed)?;
    Ok(())
}

fn read_all(dir: &OwnedFd, seed: &[u8; BLOCK]) -> io::Result<()> {
    // Past the cache of the kernel where the file system can.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = |flags| openat2(dir.as_fd(), FILE, flags, Mode::empty(), INSIDE);
    let file = match open(flags | OFlags::DIRECT) {
        Err(Errno::INVAL) => open(flags)?,
        opened => opened?,
    };
    let mut file = File::from(file);
    let mut bytes = vec![0; 2 * BLOCK];
    let start = bytes.as_ptr().align_offset(BLOCK);
    let aligned = bytes.get_mut(start..start.saturating_add(BLOCK));
    let aligned = aligned.ok_or_else(|| io::Error::other("no memory for a block"))?;
    for number in 0..BLOCKS {
        file.read_exact(aligned)?;
        if *aligned != block(seed, number) {
            let text = format!("block {number} came back otherwise than it was written");
            return Err(io::Error::other(text));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use rustix::fs::{CWD, ResolveFlags};

    use super::*;

    fn open(path: &std::path::Path) -> OwnedFd {
        openat2(
            CWD,
            path,
            OFlags::DIRECTORY,
            Mode::empty(),
            ResolveFlags::empty(),
        )
        .unwrap()
    }

    #[test]
    fn what_is_written_comes_back_and_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), "of an earlier probe").unwrap();
        write_and_read_back(&open(dir.path())).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_directory_in_its_place_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join(FILE)).unwrap();
        write_and_read_back(&open(dir.path())).unwrap_err();
    }

    #[test]
    fn blocks_that_came_back_swapped_are_seen() {
        let dir = tempfile::tempdir().unwrap();
        let fd = open(dir.path());
        let seed: [u8; BLOCK] = random().unwrap();
        write_all(&fd, &seed).unwrap();
        read_all(&fd, &seed).unwrap();
        let path = dir.path().join(FILE);
        let mut bytes = std::fs::read(&path).unwrap();
        let (first, rest) = bytes.split_at_mut(BLOCK);
        first.swap_with_slice(&mut rest[..BLOCK]);
        std::fs::write(&path, bytes).unwrap();
        let error = read_all(&fd, &seed).unwrap_err();
        assert!(error.to_string().contains("block 0"), "{error}");
    }

    /// Somebody puts links in place of the files and of their directory all the while.
    #[test]
    fn links_put_in_between_check_and_use_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (disk, victim) = (dir.path().join("disk"), dir.path().join("victim"));
        let outside = dir.path().join("outside");
        for path in [&disk, &victim, &outside] {
            std::fs::create_dir(path).unwrap();
        }
        let secret = victim.join("secret");
        std::fs::write(&secret, "untouched").unwrap();
        std::os::unix::fs::symlink(&victim, dir.path().join("link")).unwrap();
        let fd = open(&disk);
        let is_done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let new = outside.join("new");
                while !is_done.load(Ordering::SeqCst) {
                    for name in [FILE, ".felhom-target", ".felhom-target.new"] {
                        let _raced = std::os::unix::fs::symlink(&secret, &new);
                        let _raced = std::fs::rename(&new, disk.join(name));
                    }
                    let moved = dir.path().join("moved");
                    let _raced = std::fs::rename(&disk, &moved);
                    let _raced = std::fs::rename(dir.path().join("link"), &disk);
                    let _raced = std::fs::rename(&disk, dir.path().join("link"));
                    let _raced = std::fs::rename(&moved, &disk);
                }
            });
            for _ in 0..200 {
                let _raced = write_and_read_back(&fd);
                let _raced = canary::read(&fd).map(|found| assert!(found.is_none()));
                let _raced = place::write(&fd, ".felhom-target", "x", 0o600);
            }
            is_done.store(true, Ordering::SeqCst);
        });
        assert_eq!(std::fs::read_to_string(&secret).unwrap(), "untouched");
        let names: Vec<_> = std::fs::read_dir(&victim).unwrap().flatten().collect();
        assert_eq!(names.len(), 1, "nothing was made outside: {names:?}");
    }
}
