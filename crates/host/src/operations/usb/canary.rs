//! The canary: a file on the target's disk with the target's id and a number that every writing probe draws anew. A copy of
//! the disk that was made before the last probe carries an old one, whatever its serial number says.
//!
//! The file is looked at without the file system's journal (`look.rs`), so the number must never be in the journal alone: the
//! file is made once, and written over in place from then on. Data written over goes to its place on the disk at once (ext4
//! in its default mode, XFS), or is part of a transaction that `syncfs` completes (btrfs); one sector is written whole or not.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, MetadataExt};

use rustix::fs::{Mode, OFlags, openat2};
use serde::{Deserialize, Serialize};

use super::super::Root;
use super::place::{self, INSIDE};
use super::record::{Record, random_hex};
use crate::refusal::Refusal;

const FILE: &str = ".felhom-target";
const HEAD: &str =
    "# felhom-agent knows this disk by this file. Without it, it does not write here any more.\n";
/// A whole block, so that no file system keeps it anywhere but in a block of its own.
const LENGTH: usize = 4096;
const LONGEST: u64 = 4096;

/// What a canary says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Canary {
    target: String,
    nonce: String,
}

impl Canary {
    /// Whether it is of this target, of whatever time.
    pub(super) fn is_of(&self, record: &Record) -> bool {
        self.target == record.id
    }
}

/// Reads the canary at the root of a file system. What is no canary counts as none, an error of the disk as an error.
pub(super) fn read(dir: impl AsFd) -> io::Result<Option<Canary>> {
    let text = match place::read(dir, FILE, LONGEST) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::Other && error.raw_os_error().is_none() => {
            None
        }
        Err(error) => return Err(error),
    };
    Ok(text.and_then(|text| toml::from_str(&text).ok()))
}

/// Whether this is what the target's disk has to say; if not, why not.
pub(super) fn check(record: &Record, found: Option<&Canary>) -> Result<(), String> {
    if record.current.is_none() {
        return Ok(());
    }
    let Some(found) = found else {
        return Err(format!(
            "the disk with its UUID has no {FILE}: it was formatted anew, or is a copy from before it was a target"
        ));
    };
    if !found.is_of(record) {
        return Err(format!(
            "{FILE} on the disk with its UUID is of another target"
        ));
    }
    let nonce = Some(&found.nonce);
    if nonce == record.current.as_ref() || nonce == record.next.as_ref() {
        return Ok(());
    }
    Err(format!(
        "{FILE} on the disk with its UUID is of an earlier time: it is a copy, or was put back from one"
    ))
}

/// Draws a new number and writes it: into the record as the next, onto the disk, and into the record as the current one. Cut
/// off between two of these, either number is accepted.
///
/// The outer error is of the host, the inner one of the disk.
pub(super) fn renew(
    root: Root<'_>,
    record: &mut Record,
    dir: impl AsFd,
) -> Result<io::Result<()>, Refusal> {
    if let Ok(Some(found)) = read(dir.as_fd())
        && Some(&found.nonce) == record.next.as_ref()
        && found.is_of(record)
    {
        record.current = record.next.take();
    }
    let nonce = random_hex()?;
    record.next = Some(nonce.clone());
    record.save(root)?;
    let canary = Canary {
        target: record.id.clone(),
        nonce,
    };
    let text = toml::to_string(&canary).map_err(|error| place::failed(FILE, error))?;
    let mut bytes = format!("{HEAD}{text}").into_bytes();
    bytes.resize(LENGTH, b'\n');
    let file = if let Some(file) = existing(dir.as_fd()) {
        file
    } else {
        record.settle(root, false)?;
        match make(dir.as_fd()) {
            Ok(file) => file,
            Err(error) => return Ok(Err(error)),
        }
    };
    let written = file.write_all_at(&bytes, 0).and_then(|()| {
        file.sync_all()?;
        Ok(rustix::fs::syncfs(&dir)?)
    });
    if written.is_err() {
        return Ok(written);
    }
    record.current = record.next.take();
    record.save(root)?;
    Ok(Ok(()))
}

/// The canary's file, when it can be written over: plain, of its length, with no other name.
fn existing(dir: impl AsFd) -> Option<File> {
    let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(openat2(dir, FILE, flags, Mode::empty(), INSIDE).ok()?);
    let found = file.metadata().ok()?;
    let is_fit = found.is_file() && found.nlink() == 1 && u64::try_from(LENGTH) == Ok(found.len());
    is_fit.then_some(file)
}

/// Makes the canary's file, whatever stood there.
fn make(dir: impl AsFd) -> io::Result<File> {
    let file = place::create(dir.as_fd(), FILE, 0o600)?;
    file.write_all_at(&[b'\n'; LENGTH], 0)?;
    file.sync_all()?;
    rustix::fs::fsync(dir)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use super::*;
    use crate::config::Config;
    use crate::layout::Layout;
    use crate::perform::Performer;

    struct Host {
        dir: tempfile::TempDir,
        config: Config,
        performer: Performer,
        layout: Layout,
    }

    impl Host {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let layout = Layout::under(dir.path(), rustix::process::geteuid().as_raw());
            std::fs::create_dir(dir.path().join("disk")).unwrap();
            Self {
                config: Config::parse("").unwrap(),
                performer: Performer::new(layout.clone(), std::time::Duration::from_mins(1), false),
                layout,
                dir,
            }
        }

        fn root(&self) -> Root<'_> {
            Root {
                layout: &self.layout,
                config: &self.config,
                performer: &self.performer,
            }
        }

        fn disk(&self) -> OwnedFd {
            File::open(self.dir.path().join("disk")).unwrap().into()
        }

        /// The record as it is on the host's disk.
        fn record(&self) -> Record {
            Record::load(self.root(), &"usb1".parse().unwrap())
                .unwrap()
                .unwrap()
        }
    }

    fn record() -> Record {
        let text =
            "name = \"usb1\"\nuuid = \"6A1C-93D0\"\nfstype = \"vfat\"\nsize = 1\nid = \"mine\"\n";
        toml::from_str(text).unwrap()
    }

    fn says(target: &str, nonce: &str) -> Canary {
        Canary {
            target: target.to_owned(),
            nonce: nonce.to_owned(),
        }
    }

    #[test]
    fn either_number_of_a_cut_off_writing_is_accepted_and_no_other() {
        let mut record = record();
        check(&record, None).unwrap();
        check(&record, Some(&says("other", "a"))).unwrap();
        record.current = Some("a".to_owned());
        record.next = Some("b".to_owned());
        check(&record, Some(&says("mine", "a"))).unwrap();
        check(&record, Some(&says("mine", "b"))).unwrap();
        let wrong = |found: Option<&Canary>| check(&record, found).unwrap_err();
        assert!(wrong(Some(&says("mine", "older"))).contains("earlier time"));
        assert!(wrong(Some(&says("other", "a"))).contains("another target"));
        assert!(wrong(None).contains("has no"));
    }

    #[test]
    fn every_renewal_draws_a_number_and_remembers_it() {
        let (host, mut record) = (Host::new(), record());
        let mut seen = Vec::new();
        for _ in 0..3 {
            renew(host.root(), &mut record, host.disk())
                .unwrap()
                .unwrap();
            let found = read(host.disk()).unwrap().unwrap();
            assert_eq!(host.record(), record);
            assert_eq!(
                (&record.current, &record.next),
                (&Some(found.nonce.clone()), &None)
            );
            check(&record, Some(&found)).unwrap();
            assert!(!seen.contains(&found), "{found:?}");
            seen.push(found);
        }
        for old in seen.iter().rev().skip(1) {
            assert!(check(&record, Some(old)).is_err());
        }
    }

    #[test]
    fn a_death_between_two_steps_leaves_the_disk_the_right_one() {
        let (host, mut record) = (Host::new(), record());
        renew(host.root(), &mut record, host.disk())
            .unwrap()
            .unwrap();
        let before = read(host.disk()).unwrap().unwrap();
        let old = record.clone();
        renew(host.root(), &mut record, host.disk())
            .unwrap()
            .unwrap();
        let after = read(host.disk()).unwrap().unwrap();

        // The record had the next number, and the disk the old one, or the new one already.
        let mut cut = old;
        cut.next.clone_from(&record.current);
        cut.save(host.root()).unwrap();
        check(&host.record(), Some(&before)).unwrap();
        check(&host.record(), Some(&after)).unwrap();

        // The next renewal begins with what the disk has, and both numbers are old after it.
        let disk = host.disk();
        let mut record = host.record();
        renew(host.root(), &mut record, &disk).unwrap().unwrap();
        assert!(check(&record, Some(&before)).is_err());
        assert!(check(&record, Some(&after)).is_err());
        check(&record, read(&disk).unwrap().as_ref()).unwrap();
    }

    #[test]
    fn a_disk_that_takes_nothing_keeps_its_number() {
        let (host, mut record) = (Host::new(), record());
        renew(host.root(), &mut record, host.disk())
            .unwrap()
            .unwrap();
        let before = read(host.disk()).unwrap().unwrap();
        // A directory cannot be written over; it stands for whatever may fail.
        let file = host.dir.path().join("disk").join(FILE);
        std::fs::remove_file(&file).unwrap();
        std::fs::create_dir(&file).unwrap();
        renew(host.root(), &mut record, host.disk())
            .unwrap()
            .unwrap_err();
        let record = host.record();
        assert!(record.next.is_some());
        check(&record, Some(&before)).unwrap();
    }

    #[test]
    fn a_file_that_is_no_canary_is_none_and_is_made_anew() {
        let (host, mut record) = (Host::new(), record());
        let path = host.dir.path().join("disk").join(FILE);
        let other = host.dir.path().join("other");
        for text in ["", "target = 1", "\0", &"x".repeat(LENGTH + 1)] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(read(host.disk()).unwrap(), None, "{text:?}");
        }
        // One with a second name elsewhere is not written over.
        std::fs::write(&path, "x".repeat(LENGTH)).unwrap();
        std::fs::hard_link(&path, &other).unwrap();
        renew(host.root(), &mut record, host.disk())
            .unwrap()
            .unwrap();
        assert_eq!(std::fs::read_to_string(other).unwrap(), "x".repeat(LENGTH));
        assert!(read(host.disk()).unwrap().is_some());
    }
}
