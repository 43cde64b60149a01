//! Reading an archive on a thread of its own: the loop must stay awake for signals.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use felhom_engine::{ArchiveContent, WantedContent};

use crate::archive::{self, ArchiveError};
use crate::progress::{Event, Progress};

/// Reads an archive, and tells how far it is. When the future is dropped the thread stops at the next piece that it reads.
pub(super) async fn read(
    path: PathBuf,
    wanted: WantedContent,
    progress: &dyn Progress,
) -> Result<ArchiveContent, ArchiveError> {
    let (sender, mut receiver) = tokio::sync::watch::channel(0);
    let asked = Asked::default();
    let unwanted = Arc::clone(&asked.unwanted);
    let reading = tokio::task::spawn_blocking(move || {
        archive::read(&path, &wanted, &mut |bytes| {
            sender.send_replace(bytes);
            if unwanted.load(Ordering::Relaxed) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
    });
    loop {
        match tokio::time::timeout(PATIENCE, receiver.changed()).await {
            Ok(Ok(())) => progress.event(&Event::Bytes {
                done: *receiver.borrow_and_update(),
            }),
            Ok(Err(_)) => return reading.await.map_err(ArchiveError::Thread)?,
            // The thread is left behind; nothing can wake it but the storage.
            Err(_) => {
                return Err(ArchiveError::Storage {
                    at: *receiver.borrow(),
                    source: std::io::ErrorKind::TimedOut.into(),
                });
            }
        }
    }
}

/// A storage that gives nothing for so long is not waited for: one that is mounted hard may never answer.
const PATIENCE: Duration = Duration::from_mins(10);

/// Somebody waits for the answer, until this is dropped.
#[derive(Default)]
struct Asked {
    unwanted: Arc<AtomicBool>,
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.unwanted.store(true, Ordering::Relaxed);
    }
}
