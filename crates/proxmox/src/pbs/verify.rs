//! Verification: the server reads chunks back and compares them with their names.
//!
//! Three traps: a task that ends `OK` may have looked at nothing (it skips what has any earlier state, also a failed one,
//! unless told otherwise, and what is missing or locked); of encrypted chunks only the checksum can be checked; and
//! damaged chunks are renamed, so that a second look finds them missing. After the task, read the list again: only
//! [`Snapshot::verified_by`](super::snapshots::Snapshot::verified_by) with the task's own UPID says what came of it.

use felhom_ids::{BackupGroup, BackupSnapshot, DatastoreName, Namespace};

use super::{Call, Pbs, given, in_store, with_group, with_snapshot};
use crate::encode::{Method, Request};
use crate::error::Error;
use crate::task::{Started, TaskHandle};

/// `POST /admin/datastore/S/verify`: `Datastore.Verify`; with `Datastore.Backup` only the caller's own. A task, of type
/// `verify`, `verify_group` or `verify_snapshot`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verify {
    /// In which.
    pub store: DatastoreName,
    /// What of it.
    pub scope: Scope,
    /// Skip what was verified before, whatever came of it. The server's own default is to do so; this is always said.
    pub ignore_verified: bool,
    /// Days after which an earlier verification no longer counts as one, with `ignore_verified`.
    pub outdated_after: Option<u32>,
}

/// What of a datastore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// A namespace, and those below it. One that is missing fails the task.
    Below {
        /// Where to begin; the root for the whole datastore.
        namespace: Namespace,
        /// Only this many levels below it, at most 7; 0 for the namespace alone, none for all.
        max_depth: Option<u8>,
    },
    /// A group. One that is missing is no error.
    Group(Namespace, BackupGroup),
    /// One backup. One that is missing is no error.
    Snapshot(Namespace, BackupSnapshot),
}

impl Verify {
    /// One backup, whatever was said of it before.
    pub fn snapshot(store: DatastoreName, namespace: Namespace, snapshot: BackupSnapshot) -> Self {
        Self {
            store,
            scope: Scope::Snapshot(namespace, snapshot),
            ignore_verified: false,
            outdated_after: None,
        }
    }
}

impl Call for Verify {
    type Response = Started;

    fn request(&self) -> Request {
        let request = in_store(Method::Post, &self.store, "verify");
        let request = match &self.scope {
            Scope::Below {
                namespace,
                max_depth,
            } => request
                .maybe("ns", given(namespace))
                .maybe("max-depth", *max_depth),
            Scope::Group(namespace, group) => {
                with_group(request.maybe("ns", given(namespace)), group)
            }
            Scope::Snapshot(namespace, snapshot) => {
                with_snapshot(request.maybe("ns", given(namespace)), snapshot)
            }
        };
        request
            .flag("ignore-verified", self.ignore_verified)
            .maybe("outdated-after", self.outdated_after)
    }
}

impl Pbs {
    /// Starts a verification.
    pub async fn verify(&self, verify: &Verify) -> Result<TaskHandle, Error> {
        self.start(verify).await
    }
}
