//! The files of a backup as the server has them: blobs and indexes. Chunks are not among them; only the reader protocol
//! hands out those.

use bytes::Bytes;
use felhom_ids::BackupSnapshot;

use super::{Pbs, Place, with_snapshot};
use crate::client::Head;
use crate::encode::{Method, Request};
use crate::error::Error;

/// `GET /admin/datastore/S/download` or `…/download-decoded`: `Datastore.Read`; with `Datastore.Backup` only the caller's
/// own.
///
/// No length is announced. A missing file or backup is [`Error::NotFound`]. Decoded, a blob comes without its container
/// and an index as the whole data that it describes, which may be terabytes; what is encrypted is then refused with a
/// 400. `index.json.blob` never is encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Download {
    /// Where.
    pub place: Place,
    /// Of which backup.
    pub snapshot: BackupSnapshot,
    /// The file's name on the server, such as `index.json.blob`.
    pub file: String,
    /// What it holds, instead of what stands on disk.
    pub decoded: bool,
}

impl Download {
    /// A file as it stands on the server's disk.
    pub fn raw(place: Place, snapshot: BackupSnapshot, file: impl Into<String>) -> Self {
        Self {
            place,
            snapshot,
            file: file.into(),
            decoded: false,
        }
    }

    /// The request. Its answer is no JSON.
    pub fn request(&self) -> Request {
        let word = if self.decoded {
            "download-decoded"
        } else {
            "download"
        };
        with_snapshot(self.place.request(Method::Get, word), &self.snapshot)
            .with("file-name", &self.file)
            .slow()
    }
}

impl Pbs {
    /// A whole file, of at most `longest` bytes.
    ///
    /// # Errors
    /// [`Error::TooLong`] when there are more; nothing of it is kept.
    pub async fn download(&self, download: &Download, longest: usize) -> Result<Bytes, Error> {
        let request = download.request().at_most(longest);
        self.client().exchange(&request).await
    }

    /// The first bytes of a file, `most` of them or all there are. The rest is not sent: the connection is given up.
    pub async fn download_head(&self, download: &Download, most: usize) -> Result<Head, Error> {
        self.client().head(&download.request(), most).await
    }
}
