//! Directories of the host, opened step by step below the layout's root without following a link, and files written so that a
//! power cut leaves the old or the new.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, fstat, mkdirat, openat, openat2};
use rustix::io::Errno;

use crate::layout::Layout;
use crate::refusal::{Code, Refusal};

/// No link is followed, and the way does not lead out of the directory that it begins in.
pub(super) const STRAIGHT: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS);
/// The same, and it stays on one file system.
pub(super) const INSIDE: ResolveFlags = STRAIGHT.union(ResolveFlags::NO_XDEV);

const DIRECTORY: OFlags = OFlags::DIRECTORY
    .union(OFlags::CLOEXEC)
    .union(OFlags::NOFOLLOW);

/// Opens a directory of the host that nobody but root writes; `None` when it is not there.
pub(super) fn open(layout: &Layout, absolute: &str) -> Result<Option<OwnedFd>, Refusal> {
    walk(layout, absolute, false)
}

/// The same; what of it is missing is made, mode 0755.
pub(super) fn make(layout: &Layout, absolute: &str) -> Result<OwnedFd, Refusal> {
    let opened = walk(layout, absolute, true)?;
    opened.ok_or_else(|| failed(absolute, "it went away"))
}

fn walk(layout: &Layout, absolute: &str, make: bool) -> Result<Option<OwnedFd>, Refusal> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut dir = openat(CWD, layout.root(), flags, Mode::empty())
        .map_err(|error| failed(absolute, error))?;
    for part in absolute.split('/').filter(|part| !part.is_empty()) {
        if make {
            match mkdirat(&dir, part, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(failed(absolute, error)),
            }
        }
        dir = match openat2(
            &dir,
            part,
            OFlags::RDONLY | DIRECTORY,
            Mode::empty(),
            STRAIGHT,
        ) {
            Ok(dir) => dir,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP | Errno::NOTDIR) => {
                return Err(failed(absolute, "a part of it is a link or a file"));
            }
            Err(error) => return Err(failed(absolute, error)),
        };
        let found = fstat(&dir).map_err(|error| failed(absolute, error))?;
        if found.st_uid != layout.owner() || found.st_mode & 0o022 != 0 {
            let why = "others than root may write a part of it: chown root:root, chmod go-w";
            return Err(failed(absolute, why));
        }
    }
    Ok(Some(dir))
}

/// A small file in a directory; `None` when it is not there. What is no plain file is an error.
pub(super) fn read(dir: impl AsFd, name: &str, most: u64) -> io::Result<Option<String>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match openat2(dir, name, flags, Mode::empty(), INSIDE) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::LOOP | Errno::XDEV) => return Err(io::Error::other("it is a link or a mount")),
        Err(error) => return Err(error.into()),
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no plain file"));
    }
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    let is_short = u64::try_from(bytes.len()).is_ok_and(|length| length <= most);
    let text = String::from_utf8(bytes).ok().filter(|_| is_short);
    text.map(Some)
        .ok_or_else(|| io::Error::other("it is no short text"))
}

/// Creates a file that is not there, whatever stands in its place: what an interrupted writing left is taken away before.
pub(super) fn create(dir: impl AsFd, name: &str, mode: u32) -> io::Result<File> {
    unlink(dir.as_fd(), name)?;
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat2(dir, name, flags, Mode::from_raw_mode(mode), INSIDE)?;
    Ok(File::from(file))
}

/// Writes a file so that it is the old or the new at any instant, and stays the new when this returns.
pub(super) fn write(dir: impl AsFd, name: &str, text: &str, mode: u32) -> io::Result<()> {
    let dir = dir.as_fd();
    let new = format!("{name}.new");
    let written = create(dir, &new, mode).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    let renamed = written.and_then(|()| Ok(rustix::fs::renameat(dir, &new, dir, name)?));
    if let Err(error) = renamed {
        let _left = unlink(dir, &new);
        return Err(error);
    }
    Ok(rustix::fs::fsync(dir)?)
}

/// Takes a name away; one that is not there is gone already. A link is taken away itself.
pub(super) fn unlink(dir: impl AsFd, name: &str) -> io::Result<()> {
    match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn failed(what: &str, error: impl std::fmt::Display) -> Refusal {
    Refusal::new(Code::Failed, format!("{what}: {error}"))
}
