//! Who asks: the credentials that the kernel vouches for, and the user that may.

use std::fmt;
use std::io;
use std::os::unix::net::UnixStream;

use rustix::net::sockopt::socket_peercred;

use crate::config::read_trusted;
use crate::layout::Layout;
use crate::refusal::{Code, Refusal};

/// A peer, as it was when it connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) uid: u32,
    pub(super) pid: i32,
}

impl Peer {
    pub(super) fn of(stream: &UnixStream) -> io::Result<Self> {
        let found = socket_peercred(stream)?;
        Ok(Self {
            uid: found.uid.as_raw(),
            pid: found.pid.as_raw_nonzero().get(),
        })
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "uid={} pid={}", self.uid, self.pid)
    }
}

/// The number of a user by `/etc/passwd`, which is root's. Users of a directory service are not known here.
pub(super) fn uid_of(layout: &Layout, user: &str) -> Result<u32, Refusal> {
    let path = layout.path("/etc/passwd");
    let text = read_trusted(layout, &path)
        .map_err(|error| Refusal::new(Code::NotConfigured, error.to_string()))?;
    let uid = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let is_it = fields.next() == Some(user);
        is_it.then(|| fields.nth(1)?.parse().ok()).flatten()
    });
    uid.ok_or_else(|| {
        let text = format!("there is no user `{user}` in /etc/passwd");
        Refusal::new(Code::NotConfigured, text)
    })
}
