//! One mutator: an exclusive lock beside the journal, which names its holder to whoever comes second.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

/// The lock; gone with the process, whatever becomes of it.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

/// The lock cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else holds it.
    #[error("another felhom-agent works on this journal ({holder})")]
    Held {
        /// `pid 4711, restore-test of local:backup/…`
        holder: String,
    },
    /// The lock file cannot be used.
    #[error("the lock beside the journal cannot be taken")]
    Io(#[source] std::io::Error),
}

impl Lock {
    /// Takes the lock in `directory`, or says who has it.
    ///
    /// # Errors
    /// When another process holds it, or the file cannot be opened.
    pub fn take(directory: &Path, purpose: &str) -> Result<Self, LockError> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(directory.join("lock"))
            .map_err(LockError::Io)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(error) if error == rustix::io::Errno::WOULDBLOCK => {
                let mut holder = String::new();
                if file.read_to_string(&mut holder).is_err() || holder.trim().is_empty() {
                    "holder unknown".clone_into(&mut holder);
                }
                return Err(LockError::Held {
                    holder: holder.trim().to_owned(),
                });
            }
            Err(error) => return Err(LockError::Io(error.into())),
        }
        let mut lock = Self { file };
        // The lock is held, whether or not the file system has room for a word about it.
        if let Err(error) = lock.say(purpose) {
            tracing::debug!(%error, "the lock file does not take a purpose");
        }
        Ok(lock)
    }

    /// Writes down what the holder does now, for whoever comes second.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn say(&mut self, purpose: &str) -> Result<(), LockError> {
        let text = format!("pid {}, {purpose}\n", std::process::id());
        self.file
            .rewind()
            .and_then(|()| self.file.set_len(0))
            .and_then(|()| self.file.write_all(text.as_bytes()))
            .map_err(LockError::Io)
    }
}
