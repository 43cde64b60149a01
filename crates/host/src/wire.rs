//! What goes over the socket: one line of JSON each way, then the connection ends.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::operation::Operation;
use crate::refusal::Refusal;
use crate::report::Report;
use crate::watch::Watch;

/// Where the daemon listens.
pub const SOCKET: &str = "/run/felhom-hostd.sock";
/// The version of what goes over the socket. A daemon refuses a request of another version.
pub(crate) const VERSION: u32 = 1;
/// The longest request.
pub(crate) const LONGEST_REQUEST: usize = 4 * 1024;
/// The longest reply.
pub(crate) const LONGEST_REPLY: usize = 4 * 1024 * 1024;

/// A request, as it goes over the socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The version.
    pub version: u32,
    /// What is asked for.
    pub request: Operation,
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum Reply {
    /// It was carried out.
    Done {
        /// What came of it.
        done: Report,
    },
    /// It was not.
    Refused {
        /// Why.
        refusal: Refusal,
    },
}

/// What is wrong with what came over the socket.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// It did not come, or not in time.
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    /// It is longer than anything that is meant.
    #[error("it is longer than {0} bytes")]
    TooLong(usize),
    /// It ended before its line did.
    #[error("it ended in the middle")]
    CutShort,
    /// It says nothing that is known.
    #[error("it says nothing that is known: {0}")]
    Unreadable(String),
    /// It is of another version.
    #[error("it is of version {0}, and this is version {VERSION}")]
    Version(u32),
}

impl Request {
    /// A request of this version.
    pub fn new(request: Operation) -> Self {
        let version = VERSION;
        Self { version, request }
    }

    /// Reads a request from one line, without its end.
    ///
    /// The version is looked at first, so that a newer caller hears that, and not of an operation that is unknown.
    pub fn parse(line: &[u8]) -> Result<Self, WireError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        if line.len() > LONGEST_REQUEST {
            return Err(WireError::TooLong(LONGEST_REQUEST));
        }
        let unreadable = |error: serde_json::Error| WireError::Unreadable(error.to_string());
        let Versioned { version } = serde_json::from_slice(line).map_err(unreadable)?;
        if version != VERSION {
            return Err(WireError::Version(version));
        }
        serde_json::from_slice(line).map_err(unreadable)
    }
}

impl Reply {
    /// What came of it, or why not.
    pub fn into_result(self) -> Result<Report, Refusal> {
        match self {
            Self::Done { done } => Ok(done),
            Self::Refused { refusal } => Err(refusal),
        }
    }
}

impl From<Result<Report, Refusal>> for Reply {
    fn from(result: Result<Report, Refusal>) -> Self {
        match result {
            Ok(done) => Self::Done { done },
            Err(refusal) => Self::Refused { refusal },
        }
    }
}

/// Reads one line of at most `most` bytes; what follows is not read.
pub(crate) fn read_line(from: &mut impl Read, most: usize) -> Result<Vec<u8>, WireError> {
    let mut line = Vec::new();
    let mut chunk = [0; 1024];
    loop {
        let count = from.read(&mut chunk)?;
        let read = chunk.get(..count).unwrap_or_default();
        let end = read.iter().position(|byte| *byte == b'\n');
        line.extend_from_slice(read.get(..end.unwrap_or(count)).unwrap_or_default());
        if line.len() > most {
            return Err(WireError::TooLong(most));
        }
        if end.is_some() {
            return Ok(line);
        }
        if count == 0 {
            return Err(WireError::CutShort);
        }
    }
}

/// Writes one value as a line.
pub(crate) fn write_line(to: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value).map_err(io::Error::other)?;
    line.push(b'\n');
    to.write_all(&line)?;
    to.flush()
}

/// A stream that is read until a point in time, however slowly its bytes come.
pub(crate) struct Timed<'a> {
    stream: &'a UnixStream,
    watch: Watch,
    whole: Duration,
}

impl<'a> Timed<'a> {
    pub(crate) fn new(stream: &'a UnixStream, whole: Duration) -> Self {
        let watch = Watch::start();
        Self {
            stream,
            watch,
            whole,
        }
    }
}

impl Read for Timed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let late = || io::Error::new(io::ErrorKind::TimedOut, "it did not come in time");
        let left = self.watch.left_of(self.whole).ok_or_else(late)?;
        self.stream.set_read_timeout(Some(left))?;
        (&*self.stream).read(buffer).map_err(|error| {
            if error.kind() == io::ErrorKind::WouldBlock {
                late()
            } else {
                error
            }
        })
    }
}
