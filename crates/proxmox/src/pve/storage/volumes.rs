//! What lies on a storage.

use felhom_ids::{ByteSize, GuestKind, NodeName, StorageId, Upid, Vmid, VolumeId};
use serde::Deserialize;

use crate::decode::{self, Done};
use crate::encode::{Endpoint, Method, Request};
use crate::error::Error;
use crate::pve::Pve;
use crate::task::{Started, TaskHandle};

/// `GET /nodes/N/storage/S/content`. Volumes that the caller may not access are left out silently:
/// an empty list proves nothing.
#[derive(Debug, Clone)]
pub struct ListContent {
    /// Which storage.
    pub storage: StorageId,
    /// Only this sort: `backup`, `rootdir`, `images`, …
    pub content: Option<String>,
    /// Only volumes of this guest.
    pub vmid: Option<Vmid>,
}

/// A volume as the list shows it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct StoredVolume {
    /// Its id.
    pub volid: VolumeId,
    /// `backup`, `rootdir`, `images`, `vztmpl`, …
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub content: Option<String>,
    /// `raw`, `tar.zst`, `pbs-ct`, …
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub format: Option<String>,
    /// Bytes.
    #[serde(default, deserialize_with = "decode::maybe_number")]
    pub size: Option<u64>,
    /// When it was made. Of an archive on a directory: the time in its name, read as local time.
    #[serde(default, deserialize_with = "decode::maybe_number")]
    pub ctime: Option<i64>,
    /// Whose it is.
    #[serde(default, deserialize_with = "decode::maybe_number")]
    pub vmid: Option<u32>,
    /// What kind of guest a backup is of: `lxc`, `qemu`, `openvz`, `unknown`.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub subtype: Option<String>,
    /// The first line of a backup's notes.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub notes: Option<String>,
    /// Whether a backup is safe from pruning (and from deletion, until somebody clears this).
    #[serde(default, deserialize_with = "decode::flag")]
    pub protected: bool,
    /// What a backup server found when it last verified the backup.
    #[serde(default)]
    pub verification: Option<Verification>,
    /// The key's fingerprint, or `1`, if the backup is encrypted.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub encrypted: Option<String>,
}

impl StoredVolume {
    /// What kind of guest a backup is of.
    pub fn guest_kind(&self) -> Option<GuestKind> {
        self.subtype.as_deref()?.parse().ok()
    }
}

/// A backup server's verdict on a backup's chunks.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Verification {
    /// `ok`, `failed` or `none`.
    #[serde(deserialize_with = "decode::text")]
    pub state: String,
    /// The task that found out.
    #[serde(default, deserialize_with = "decode::maybe_name")]
    pub upid: Option<Upid>,
}

/// `GET /nodes/N/storage/S/content/VOL`.
#[derive(Debug, Clone)]
pub struct GetVolume {
    /// Which.
    pub volume: VolumeId,
}

/// A volume looked at by itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Volume {
    /// Where it lies, as PVE itself would open it.
    #[serde(deserialize_with = "decode::text")]
    pub path: String,
    /// `raw` also for archives.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub format: Option<String>,
    /// Bytes.
    #[serde(default, deserialize_with = "decode::maybe_number")]
    pub size: Option<u64>,
    /// Bytes really used, where the storage knows.
    #[serde(default, deserialize_with = "decode::maybe_number")]
    pub used: Option<u64>,
    /// The whole of a backup's notes.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub notes: Option<String>,
    /// Whether a backup is safe from pruning.
    #[serde(default, deserialize_with = "decode::flag")]
    pub protected: bool,
}

/// `PUT /nodes/N/storage/S/content/VOL`. Access to the volume is all it takes.
#[derive(Debug, Clone)]
pub struct SetVolumeAttributes {
    /// Which.
    pub volume: VolumeId,
    /// New notes; empty removes them.
    pub notes: Option<String>,
    /// Protect or unprotect.
    pub protected: Option<bool>,
}

/// `DELETE /nodes/N/storage/S/content/VOL`: a task. Deleting what is not there ends well; nothing
/// stops the deletion of a disk in use.
#[derive(Debug, Clone)]
pub struct DeleteVolume {
    /// Which.
    pub volume: VolumeId,
}

/// `POST /nodes/N/storage/S/content`: makes an empty volume, at once.
#[derive(Debug, Clone)]
pub struct Allocate {
    /// Where.
    pub storage: StorageId,
    /// Whose; any number will do.
    pub vmid: Vmid,
    /// Its name, `vm-VMID-…`.
    pub name: String,
    /// Its size, cut to whole KiB.
    pub size: ByteSize,
    /// Its format; the storage's own if not given.
    pub format: Option<String>,
}

/// `…/content/VOL`, with the storage named twice as PVE wants it.
fn volume_request(method: Method, node: &NodeName, volume: &VolumeId) -> Request {
    Request::new(
        method,
        &[
            &"nodes",
            node,
            &"storage",
            volume.storage(),
            &"content",
            volume,
        ],
    )
}

impl Endpoint for ListContent {
    type Response = Vec<StoredVolume>;

    fn request(&self, node: &NodeName) -> Request {
        Request::new(
            Method::Get,
            &[&"nodes", node, &"storage", &self.storage, &"content"],
        )
        .maybe("content", self.content.as_deref())
        .maybe("vmid", self.vmid)
        .slow()
    }
}

impl Endpoint for GetVolume {
    type Response = Volume;

    fn request(&self, node: &NodeName) -> Request {
        volume_request(Method::Get, node, &self.volume).slow()
    }
}

impl Endpoint for SetVolumeAttributes {
    type Response = Done;

    fn request(&self, node: &NodeName) -> Request {
        volume_request(Method::Put, node, &self.volume)
            .maybe("notes", self.notes.as_deref())
            .maybe_flag("protected", self.protected)
            .slow()
    }
}

impl Endpoint for DeleteVolume {
    type Response = Started;

    fn request(&self, node: &NodeName) -> Request {
        volume_request(Method::Delete, node, &self.volume).slow()
    }
}

impl Endpoint for Allocate {
    type Response = VolumeId;

    fn request(&self, node: &NodeName) -> Request {
        // A bare number is KiB here, unlike everywhere else.
        Request::new(
            Method::Post,
            &[&"nodes", node, &"storage", &self.storage, &"content"],
        )
        .with("vmid", self.vmid)
        .with("filename", &self.name)
        .with("size", self.size.bytes() / 1024)
        .maybe("format", self.format.as_deref())
        .slow()
    }
}

impl Pve {
    /// The backups on a storage that this token may access, of one guest or of all.
    pub async fn backups(
        &self,
        storage: &StorageId,
        vmid: Option<Vmid>,
    ) -> Result<Vec<StoredVolume>, Error> {
        let content = Some("backup".to_owned());
        self.call(&ListContent {
            storage: storage.clone(),
            content,
            vmid,
        })
        .await
    }

    /// Everything on a storage that this token may access.
    pub async fn storage_content(&self, storage: &StorageId) -> Result<Vec<StoredVolume>, Error> {
        self.call(&ListContent {
            storage: storage.clone(),
            content: None,
            vmid: None,
        })
        .await
    }

    /// One volume by itself: path, full notes, protection.
    pub async fn volume(&self, volume: &VolumeId) -> Result<Volume, Error> {
        self.call(&GetVolume {
            volume: volume.clone(),
        })
        .await
    }

    /// Changes a backup's notes or protection.
    pub async fn set_volume_attributes(&self, change: &SetVolumeAttributes) -> Result<(), Error> {
        self.call(change).await.map(|Done| ())
    }

    /// Starts deleting a volume.
    pub async fn delete_volume(&self, volume: &VolumeId) -> Result<TaskHandle, Error> {
        self.start(&DeleteVolume {
            volume: volume.clone(),
        })
        .await
    }

    /// Makes an empty volume.
    pub async fn allocate(&self, volume: &Allocate) -> Result<VolumeId, Error> {
        self.call(volume).await
    }
}
