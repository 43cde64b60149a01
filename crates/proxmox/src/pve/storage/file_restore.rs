//! Looking into backups on a backup server, through PVE, which has the key.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use felhom_ids::{NodeName, VolumeId};
use serde::Deserialize;

use crate::decode;
use crate::encode::{Endpoint, Method, Request};
use crate::error::Error;
use crate::pve::Pve;

/// `GET /nodes/N/storage/S/file-restore/list`: one directory of a backup. Access to the backup is all it takes, the same as for
/// its configuration (pve-storage API2/Storage/FileRestore.pm).
///
/// PVE starts a program for each call and gives it 25 s. A path begins with the name of an archive, such as
/// `/root.pxar.didx/etc`; `/` lists the archives themselves. Paths are bytes, and travel in base64.
#[derive(Debug, Clone)]
pub struct ListBackupFiles {
    /// The backup.
    pub volume: VolumeId,
    /// The directory.
    pub path: Vec<u8>,
}

/// An entry of a directory of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct BackupFile {
    /// Its name. Bytes that are no text are replaced.
    #[serde(deserialize_with = "decode::text")]
    pub text: String,
    /// `d` a directory, `f` a file, `l` a link, `v` an archive, and others for what else file systems have.
    #[serde(rename = "type", deserialize_with = "decode::text")]
    pub kind: String,
    /// Bytes.
    #[serde(default, deserialize_with = "decode::maybe_number")]
    pub size: Option<u64>,
    /// When it was last changed.
    #[serde(default, deserialize_with = "decode::maybe_number")]
    pub mtime: Option<i64>,
}

impl Endpoint for ListBackupFiles {
    type Response = Vec<BackupFile>;

    fn request(&self, node: &NodeName) -> Request {
        let path = if self.path == b"/" {
            "/".to_owned()
        } else {
            STANDARD.encode(&self.path)
        };
        let storage = self.volume.storage();
        Request::new(
            Method::Get,
            &[
                &"nodes",
                node,
                &"storage",
                storage,
                &"file-restore",
                &"list",
            ],
        )
        .with("volume", &self.volume)
        .with("filepath", path)
        .slow()
    }
}

impl Pve {
    /// What lies in one directory of a backup on a backup server.
    pub async fn backup_files(
        &self,
        volume: &VolumeId,
        path: &str,
    ) -> Result<Vec<BackupFile>, Error> {
        self.call(&ListBackupFiles {
            volume: volume.clone(),
            path: path.as_bytes().to_vec(),
        })
        .await
    }
}
