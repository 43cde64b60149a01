//! Storages: their configuration, their state, and the volumes on them.

mod definition;
mod file_restore;
mod volumes;

use felhom_ids::{NodeName, StorageId};
use serde::Deserialize;

use super::Pve;
use crate::decode;
use crate::encode::{Endpoint, Method, Request};
use crate::error::Error;
use crate::property::PruneBackups;

pub use definition::{
    ChangeStorage, CreateStorage, CreatedStorage, GetStorageConfig, PbsPlace, StoragePlace,
};
pub use file_restore::{BackupFile, ListBackupFiles};
pub use volumes::{
    Allocate, DeleteVolume, GetVolume, ListContent, SetVolumeAttributes, StoredVolume,
    Verification, Volume,
};

/// `GET /nodes/N/storage`. Storages that the caller may neither audit nor use are missing.
#[derive(Debug, Clone, Default)]
pub struct ListStorages {
    /// Only those that may hold this, such as `backup`.
    pub content: Option<String>,
}

/// `GET /nodes/N/storage/S/status`.
#[derive(Debug, Clone)]
pub struct GetStorageStatus {
    /// Which.
    pub storage: StorageId,
}

/// `GET /storage`: the configuration of those that the caller may audit or use.
#[derive(Debug, Clone, Copy)]
pub struct ListStorageConfigs;

/// A storage as a node sees it. Out of reach it answers with zeros, not with an error.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct StorageStatus {
    /// Its id; the status call of one storage leaves it out.
    #[serde(default, deserialize_with = "decode::maybe_name")]
    pub storage: Option<StorageId>,
    /// `dir`, `lvmthin`, `pbs`, …
    #[serde(rename = "type", deserialize_with = "decode::text")]
    pub kind: String,
    /// What it may hold.
    #[serde(default, deserialize_with = "decode::csv")]
    pub content: Vec<String>,
    /// Whether it is within reach.
    #[serde(default, deserialize_with = "decode::flag")]
    pub active: bool,
    /// Whether it is switched on.
    #[serde(default, deserialize_with = "decode::flag")]
    pub enabled: bool,
    /// Whether all nodes see the same.
    #[serde(default, deserialize_with = "decode::flag")]
    pub shared: bool,
    /// Bytes in all.
    #[serde(default, deserialize_with = "decode::maybe_number")]
    pub total: Option<u64>,
    /// Bytes used.
    #[serde(default, deserialize_with = "decode::maybe_number")]
    pub used: Option<u64>,
    /// Bytes that may still be used.
    #[serde(default, deserialize_with = "decode::maybe_number")]
    pub avail: Option<u64>,
}

/// A storage as the cluster configures it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct StorageConfig {
    /// Its id.
    pub storage: StorageId,
    /// `dir`, `lvmthin`, `pbs`, …
    #[serde(rename = "type", deserialize_with = "decode::text")]
    pub kind: String,
    /// What it may hold.
    #[serde(default, deserialize_with = "decode::csv")]
    pub content: Vec<String>,
    /// Where it lies on the host, if it is a directory.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub path: Option<String>,
    /// Its retention; none written means that everything is kept.
    #[serde(
        default,
        rename = "prune-backups",
        deserialize_with = "decode::maybe_name"
    )]
    pub prune_backups: Option<PruneBackups>,
    /// Protected backups allowed for each guest; -1 for any number. Not written: 5 for callers
    /// without `Datastore.Allocate`.
    #[serde(
        default,
        rename = "max-protected-backups",
        deserialize_with = "decode::maybe_number"
    )]
    pub max_protected_backups: Option<i64>,
    /// The nodes that see it; none written means all.
    #[serde(default, deserialize_with = "decode::csv")]
    pub nodes: Vec<String>,
    /// Whether it is switched off.
    #[serde(default, deserialize_with = "decode::flag")]
    pub disable: bool,
    /// The volume group of an LVM storage.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub vgname: Option<String>,
    /// The thin pool of an LVM-thin storage.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub thinpool: Option<String>,
    /// Whether a ZFS pool reserves nothing for a virtual machine's volume.
    #[serde(default, deserialize_with = "decode::flag")]
    pub sparse: bool,
    /// How files of volumes are made: `off`, `metadata`, `falloc`, `full`.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub preallocation: Option<String>,
    /// The server of a network storage.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub server: Option<String>,
    /// The datastore of a backup server.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub datastore: Option<String>,
    /// The namespace in it.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub namespace: Option<String>,
    /// The port of a backup server, where it is not 8007.
    #[serde(default, deserialize_with = "decode::maybe_number")]
    pub port: Option<u16>,
    /// The pinned certificate of a backup server.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub fingerprint: Option<String>,
    /// Whom PVE is to the server.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub username: Option<String>,
    /// The fingerprint of the key that encrypts backups; `1` for a key that carries none.
    #[serde(
        default,
        rename = "encryption-key",
        deserialize_with = "decode::maybe_text"
    )]
    pub encryption_key: Option<String>,
    /// Whether a copy of the key goes with each backup, under a master key.
    #[serde(
        default,
        rename = "master-pubkey",
        deserialize_with = "decode::maybe_text"
    )]
    pub master_key: Option<String>,
    /// The path that an NFS server exports.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub export: Option<String>,
    /// The share of a CIFS server.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub share: Option<String>,
    /// Whether the directory must be a mount point (a path means: that one).
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub is_mountpoint: Option<String>,
}

impl StorageConfig {
    /// Whether a volume's file has its whole size from the start.
    pub fn preallocates(&self) -> bool {
        matches!(self.preallocation.as_deref(), Some("falloc" | "full"))
    }

    /// Whether PVE uses the directory only while something is mounted there.
    pub fn must_be_mounted(&self) -> bool {
        let said = self.is_mountpoint.as_deref();
        said.is_some_and(|text| !matches!(text, "0" | "no" | "off" | "false"))
    }

    /// Whether its own retention deletes nothing.
    pub fn keeps_all(&self) -> bool {
        self.prune_backups
            .as_ref()
            .is_none_or(PruneBackups::keeps_all)
    }
}

impl Endpoint for ListStorages {
    type Response = Vec<StorageStatus>;

    fn request(&self, node: &NodeName) -> Request {
        // One dead network storage holds up the whole list.
        Request::new(Method::Get, &[&"nodes", node, &"storage"])
            .maybe("content", self.content.as_deref())
            .slow()
    }
}

impl Endpoint for GetStorageStatus {
    type Response = StorageStatus;

    fn request(&self, node: &NodeName) -> Request {
        Request::new(
            Method::Get,
            &[&"nodes", node, &"storage", &self.storage, &"status"],
        )
        .slow()
    }
}

impl Endpoint for ListStorageConfigs {
    type Response = Vec<StorageConfig>;

    fn request(&self, _node: &NodeName) -> Request {
        Request::new(Method::Get, &[&"storage"])
    }
}

impl Pve {
    /// The storages that this node and this token see.
    pub async fn storages(&self) -> Result<Vec<StorageStatus>, Error> {
        self.call(&ListStorages::default()).await
    }

    /// One storage's state.
    pub async fn storage_status(&self, storage: &StorageId) -> Result<StorageStatus, Error> {
        self.call(&GetStorageStatus {
            storage: storage.clone(),
        })
        .await
    }

    /// The configuration of all storages that this token sees.
    pub async fn storage_configs(&self) -> Result<Vec<StorageConfig>, Error> {
        self.call(&ListStorageConfigs).await
    }
}
