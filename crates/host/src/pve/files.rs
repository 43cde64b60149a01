//! Files that are read whole, but never more of them than is meant.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rustix::fs::{Mode, OFlags, open};

use crate::config::{ConfigError, read_trusted_within};
use crate::layout::Layout;
use crate::refusal::{Code, Refusal};

/// Debian's number of `www-data`, as whom PVE's proxy runs (base-passwd); task logs are its (pve-common `UPID.pm` `open_log`).
pub(crate) const WWW_DATA: u32 = 33;

/// A file that root or one of `besides` wrote; `None` when it is not there.
pub(crate) fn trusted(
    layout: &Layout,
    absolute: &str,
    besides: &[u32],
    most: u64,
) -> Result<Option<String>, Refusal> {
    let odd = |why: String| {
        let text = format!("{absolute} proves nothing: {why}");
        Refusal::new(Code::NotProven, text)
    };
    match read_trusted_within(layout, &layout.path(absolute), besides, most) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(ConfigError::Missing(_)) => Ok(None),
        Err(ConfigError::Unreadable(_, error)) => Err(odd(error.to_string())),
        Err(ConfigError::Untrusted(_, why)) => Err(odd(why.to_owned())),
        Err(ConfigError::Invalid(_, why)) => Err(odd(why)),
    }
}

/// A file of the kernel's, whose links are followed as the kernel has them; never waited for.
pub(crate) fn of_kernel(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = File::from(open(path, flags, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no plain file"));
    }
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= most) {
        Ok(bytes)
    } else {
        let text = format!("it is longer than {most} bytes");
        Err(io::Error::other(text))
    }
}
