//! The caller's half: one connection, one request, one reply.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::operation::Operation;
use crate::refusal::Refusal;
use crate::report::Report;
use crate::wire::{LONGEST_REPLY, Reply, Request, Timed, WireError, read_line, write_line};

/// Where the daemon is, and how long it is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    socket: PathBuf,
    patience: Duration,
}

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The daemon is not there: nothing was done.
    #[error("felhom-hostd does not listen at {0}: {1}")]
    Absent(PathBuf, io::Error),
    /// The request did not leave: nothing was done.
    #[error("the request to felhom-hostd could not be sent: {0}")]
    Unsent(io::Error),
    /// The reply did not come. Nobody knows whether it was done.
    #[error("felhom-hostd did not answer: {0}")]
    Lost(WireError),
}

impl Connection {
    /// A daemon at a socket, of which each reply is waited for this long.
    pub fn new(socket: impl Into<PathBuf>, patience: Duration) -> Self {
        let socket = socket.into();
        Self { socket, patience }
    }

    /// The socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Asks for one operation, and waits for its end. Blocks for as long as the patience lasts, never longer.
    ///
    /// The outer error says that there is no reply, the inner one that root refused.
    pub fn ask(&self, operation: &Operation) -> Result<Result<Report, Refusal>, ConnectError> {
        let absent = |error| ConnectError::Absent(self.socket.clone(), error);
        let stream = UnixStream::connect(&self.socket).map_err(absent)?;
        let unsent = ConnectError::Unsent;
        stream
            .set_write_timeout(Some(self.patience))
            .map_err(unsent)?;
        let mut timed = Timed::new(&stream, self.patience);
        // A daemon that refuses the caller says so before it reads; then writing fails, and the reply is there all the same.
        let sent = write_line(&mut &stream, &Request::new(operation.clone()));
        let line = match (read_line(&mut timed, LONGEST_REPLY), sent) {
            (Ok(line), _) => line,
            (Err(_), Err(error)) => return Err(ConnectError::Unsent(error)),
            (Err(error), Ok(())) => return Err(ConnectError::Lost(error)),
        };
        let reply: Reply = serde_json::from_slice(&line)
            .map_err(|error| ConnectError::Lost(WireError::Unreadable(error.to_string())))?;
        Ok(reply.into_result())
    }
}
