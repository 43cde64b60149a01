//! Backups: groups of them, each one with its files, and the notes and the protection that they carry.

mod entry;

use felhom_ids::{BackupSnapshot, BackupType};
use serde::{Deserialize, Deserializer};

use super::{Call, Pbs, Place, with_snapshot};
use crate::decode::{self, Done};
use crate::encode::{Method, Request};
use crate::error::Error;

pub(in crate::pbs) use entry::named;
pub use entry::{CryptMode, FileEntry, Group, Snapshot, Verification, VerifyState};

/// The longest list of backups that is read one by one, in bytes: half a million backups.
const LONGEST_LIST: usize = 512 << 20;

/// `GET /admin/datastore/S/groups`: `Datastore.Audit`; with `Datastore.Backup` only the caller's own. A backup in progress
/// counts, and is the last.
#[derive(Debug, Clone)]
pub struct ListGroups {
    /// Where; not in namespaces below.
    pub place: Place,
}

/// `GET /admin/datastore/S/snapshots`: `Datastore.Audit`; with `Datastore.Backup` only the caller's own, so that an empty
/// list proves nothing.
///
/// A type of which there is no backup is [`Error::NotFound`], and so is a missing namespace; a missing group is an empty
/// list.
#[derive(Debug, Clone)]
pub struct ListSnapshots {
    /// Where; not in namespaces below.
    pub place: Place,
    /// Only those of this type.
    pub kind: Option<BackupType>,
    /// Only those with this id: of a VMID, say.
    pub id: Option<String>,
}

impl ListSnapshots {
    /// All in one place.
    pub fn all(place: Place) -> Self {
        Self {
            place,
            kind: None,
            id: None,
        }
    }
}

/// `GET /admin/datastore/S/files`: the files of one backup, by its manifest.
#[derive(Debug, Clone)]
pub struct ListFiles {
    /// Where.
    pub place: Place,
    /// Of which.
    pub snapshot: BackupSnapshot,
}

/// `GET /admin/datastore/S/notes`: `Datastore.Audit`, or the owner.
#[derive(Debug, Clone)]
pub struct GetNotes {
    /// Where.
    pub place: Place,
    /// Of which.
    pub snapshot: BackupSnapshot,
}

/// The whole notes; empty when there are none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notes(pub String);

impl<'de> Deserialize<'de> for Notes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        decode::maybe_text(from).map(|text| Self(text.unwrap_or_default()))
    }
}

/// `PUT /admin/datastore/S/notes`: `Datastore.Modify`, or the owner. Changes `index.json.blob`.
#[derive(Debug, Clone)]
pub struct SetNotes {
    /// Where.
    pub place: Place,
    /// Of which.
    pub snapshot: BackupSnapshot,
    /// The notes; empty removes them.
    pub notes: String,
}

/// `GET /admin/datastore/S/protected`: `Datastore.Audit`, or the owner. Of a backup that is not there it is false.
#[derive(Debug, Clone)]
pub struct GetProtected {
    /// Where.
    pub place: Place,
    /// Of which.
    pub snapshot: BackupSnapshot,
}

/// Whether a backup is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Protected(#[serde(deserialize_with = "decode::flag")] pub bool);

/// `PUT /admin/datastore/S/protected`: `Datastore.Modify`, or the owner. A protected backup is neither pruned nor removed.
/// [`Error::Locked`] while it is being read.
#[derive(Debug, Clone)]
pub struct SetProtected {
    /// Where.
    pub place: Place,
    /// Of which.
    pub snapshot: BackupSnapshot,
    /// Protect it, or no longer.
    pub protected: bool,
}

impl Call for ListGroups {
    type Response = Vec<Group>;

    fn request(&self) -> Request {
        self.place.request(Method::Get, "groups").slow()
    }
}

impl Call for ListSnapshots {
    type Response = Vec<Snapshot>;

    fn request(&self) -> Request {
        self.place
            .request(Method::Get, "snapshots")
            .maybe("backup-type", self.kind)
            .maybe("backup-id", self.id.as_deref())
            .slow()
    }
}

impl Call for ListFiles {
    type Response = Vec<FileEntry>;

    fn request(&self) -> Request {
        with_snapshot(self.place.request(Method::Get, "files"), &self.snapshot)
    }
}

impl Call for GetNotes {
    type Response = Notes;

    fn request(&self) -> Request {
        with_snapshot(self.place.request(Method::Get, "notes"), &self.snapshot)
    }
}

impl Call for SetNotes {
    type Response = Done;

    fn request(&self) -> Request {
        with_snapshot(self.place.request(Method::Put, "notes"), &self.snapshot)
            .with("notes", &self.notes)
    }
}

impl Call for GetProtected {
    type Response = Protected;

    fn request(&self) -> Request {
        with_snapshot(self.place.request(Method::Get, "protected"), &self.snapshot)
    }
}

impl Call for SetProtected {
    type Response = Done;

    fn request(&self) -> Request {
        with_snapshot(self.place.request(Method::Put, "protected"), &self.snapshot)
            .flag("protected", self.protected)
    }
}

impl Pbs {
    /// The groups in one place.
    pub async fn groups(&self, place: &Place) -> Result<Vec<Group>, Error> {
        self.call(&ListGroups {
            place: place.clone(),
        })
        .await
    }

    /// Backups in one place, in no order. For some ten thousand: the answer may have as many bytes as the client's settings
    /// allow, and is in memory as a whole. [`Pbs::each_snapshot`] has no such limit.
    pub async fn snapshots(&self, list: &ListSnapshots) -> Result<Vec<Snapshot>, Error> {
        self.call(list).await
    }

    /// Hands on the backups in one place, in no order and one by one as they come: a list of any length takes no more
    /// memory than one backup, and what `each` keeps. Up to 512 MiB of list are read. Returns how many there were.
    ///
    /// # Errors
    /// Those of any request; what was handed on before is then not all.
    pub async fn each_snapshot(
        &self,
        list: &ListSnapshots,
        each: impl FnMut(Snapshot) + Send,
    ) -> Result<u64, Error> {
        let request = list.request().at_most(LONGEST_LIST);
        self.client().each(&request, each).await
    }

    /// A backup's whole notes; lists show their first line.
    pub async fn notes(&self, place: &Place, snapshot: &BackupSnapshot) -> Result<String, Error> {
        let Notes(text) = self
            .call(&GetNotes {
                place: place.clone(),
                snapshot: snapshot.clone(),
            })
            .await?;
        Ok(text)
    }

    /// Sets a backup's notes.
    pub async fn set_notes(
        &self,
        place: &Place,
        snapshot: &BackupSnapshot,
        notes: &str,
    ) -> Result<(), Error> {
        self.call(&SetNotes {
            place: place.clone(),
            snapshot: snapshot.clone(),
            notes: notes.to_owned(),
        })
        .await
        .map(|Done| ())
    }
}
