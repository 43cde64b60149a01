//! A Proxmox Backup Server beside the node: its own port, certificate, users, tokens and tasks; real manifests, blobs,
//! indexes and chunks on disk. What it knows stems from a server of version 3.2.4, from recordings of that, and from
//! its sources; where a recording differs, this is wrong.

#![expect(
    clippy::unnecessary_wraps,
    reason = "handlers share one type, also those that cannot fail"
)]

mod access;
mod api;
mod blob;
mod client;
mod control;
mod crypt;
mod gc;
mod http;
mod index;
mod params;
mod prune;
mod server;
mod state;
mod store;
mod tasks;
pub(crate) mod tree;
mod verify;

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

pub(crate) use client::{Remote, parse_name};
pub(crate) use control::{catalog, control};
pub(crate) use crypt::Key;
pub(crate) use server::Server;
pub(crate) use state::{SnapshotId, State, rfc3339};
pub(crate) use store::{Content, Order, Source};

use crate::tls::{self, Identity};
use tasks::Aborts;

/// What of the server does not survive a restart.
#[derive(Default)]
pub(crate) struct Runtime {
    identity: Mutex<Option<Identity>>,
    /// Cancelled when every connection is closed; a new one is made for those to come.
    lines: Mutex<CancellationToken>,
    aborts: Aborts,
    /// Counts lists, so that no two come in the same order.
    lists: AtomicU64,
}

impl Runtime {
    /// Takes the certificate of a state directory; makes it if there is none.
    pub(crate) fn prepare(&self, state_dir: &Path, node: &str) -> io::Result<()> {
        let identity = tls::pbs_identity(state_dir, node)?;
        *self.identity.lock().unwrap_or_else(PoisonError::into_inner) = Some(identity);
        Ok(())
    }

    fn identity(&self) -> Option<Identity> {
        self.identity
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// SHA-256 of its certificate: lower-case pairs with colons.
    pub(crate) fn fingerprint(&self) -> String {
        self.identity()
            .map(|identity| identity.fingerprint.to_ascii_lowercase())
            .unwrap_or_default()
    }

    fn lines(&self) -> CancellationToken {
        self.lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Another certificate; every connection ends.
    fn renew(&self, state_dir: &Path, node: &str) -> io::Result<String> {
        let identity = tls::pbs_renewed(state_dir, node)?;
        *self.identity.lock().unwrap_or_else(PoisonError::into_inner) = Some(identity);
        self.close_lines();
        Ok(self.fingerprint())
    }

    /// Every connection ends.
    fn close_lines(&self) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *lines).cancel();
    }

    /// The order of a list: another one each time, as directories are read in, though always the same for the same
    /// number of lists before it.
    fn shuffle<T>(&self, list: &mut [T]) {
        let mut seed = self
            .lists
            .fetch_add(1, Ordering::Relaxed)
            .wrapping_add(0x9e37_79b9_7f4a_7c15);
        for place in (1..list.len()).rev() {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            let bound = u64::try_from(place + 1).unwrap_or(1);
            let other = usize::try_from(seed % bound).unwrap_or_default();
            list.swap(place, other);
        }
    }
}
