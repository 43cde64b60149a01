//! Datastores: which there are, how full they are, what their garbage collection did, and their namespaces.

use std::collections::BTreeMap;

use felhom_ids::{DatastoreName, Namespace, Upid};
use serde::{Deserialize, Deserializer};

use super::{Call, Pbs, given, in_store};
use crate::decode;
use crate::encode::{Method, Request};
use crate::error::Error;

/// `GET /admin/datastore`: those on which, or below which, the caller has any privilege. Without one the list is empty,
/// and a success.
#[derive(Debug, Clone, Copy)]
pub struct ListDatastores;

/// A datastore's name. That it is listed does not mean that it can be read: its disk may be missing.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct DatastoreEntry {
    /// Its name.
    pub store: DatastoreName,
    /// What somebody wrote about it.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub comment: Option<String>,
    /// A maintenance mode such as `read-only` or `offline`, with whatever message it was given.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub maintenance: Option<String>,
    /// Whether the disk of a removable one is there: `mounted`, `notmounted`, `nonremovable`; not told before 3.3.
    #[serde(
        default,
        rename = "mount-status",
        deserialize_with = "decode::maybe_text"
    )]
    pub mount_status: Option<String>,
}

/// `GET /admin/datastore/S/status`: `Datastore.Audit` or `Datastore.Backup` on the store or below.
#[derive(Debug, Clone)]
pub struct GetDatastoreStatus {
    /// Which.
    pub store: DatastoreName,
    /// Also count groups and snapshots, and tell of the garbage collection. With only `Datastore.Backup` both are left out.
    pub verbose: bool,
}

/// How full a datastore is. Bytes of the file system that it lies on, which others may use too.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct DatastoreStatus {
    /// Bytes in all.
    #[serde(deserialize_with = "decode::number")]
    pub total: u64,
    /// Bytes used.
    #[serde(deserialize_with = "decode::number")]
    pub used: u64,
    /// Bytes that may still be used.
    #[serde(deserialize_with = "decode::number")]
    pub avail: u64,
    /// `ct`, `vm`, `host`, `other` → how many; types of which there are none are left out.
    #[serde(default, deserialize_with = "counts")]
    pub counts: BTreeMap<String, Count>,
    /// The last garbage collection.
    #[serde(default, rename = "gc-status")]
    pub gc: Option<GarbageCollection>,
}

/// Groups and snapshots of one type, in all namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Count {
    /// Groups.
    #[serde(deserialize_with = "decode::number")]
    pub groups: u64,
    /// Snapshots.
    #[serde(deserialize_with = "decode::number")]
    pub snapshots: u64,
}

fn counts<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, Count>, D::Error> {
    let counts = Option::<BTreeMap<String, Option<Count>>>::deserialize(from)?.unwrap_or_default();
    let there = counts
        .into_iter()
        .filter_map(|(kind, count)| Some((kind, count?)));
    Ok(there.collect())
}

/// `GET /status/datastore-usage`: all datastores on which the caller has any privilege.
#[derive(Debug, Clone, Copy)]
pub struct GetDatastoreUsage;

/// How full a datastore is, and when it will be.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct DatastoreUsage {
    /// Its name.
    pub store: DatastoreName,
    /// Bytes in all; none where they cannot be told.
    #[serde(default, deserialize_with = "size")]
    pub total: Option<u64>,
    /// Bytes used.
    #[serde(default, deserialize_with = "size")]
    pub used: Option<u64>,
    /// Bytes that may still be used.
    #[serde(default, deserialize_with = "size")]
    pub avail: Option<u64>,
    /// When it will be full by the server's own estimate. 0 and times past mean that it does not grow.
    #[serde(
        default,
        rename = "estimated-full-date",
        deserialize_with = "decode::maybe_number"
    )]
    pub estimated_full_date: Option<i64>,
    /// Why nothing can be told.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub error: Option<String>,
    /// The last garbage collection.
    #[serde(default, rename = "gc-status")]
    pub gc: Option<GarbageCollection>,
}

/// Sizes that cannot be told are left out, or -1.
fn size<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    let size: Option<i64> = decode::maybe_number(from)?;
    Ok(size.and_then(|size| u64::try_from(size).ok()))
}

/// `GET /admin/datastore/S/gc`: `Datastore.Audit` on the store. What the last garbage collection found.
#[derive(Debug, Clone)]
pub struct GetGcStatus {
    /// Which.
    pub store: DatastoreName,
}

/// What a garbage collection found. All zeros and no UPID before the first.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct GarbageCollection {
    /// Its task.
    #[serde(default, deserialize_with = "decode::maybe_name")]
    pub upid: Option<Upid>,
    /// Index files that were read.
    #[serde(default, deserialize_with = "decode::number")]
    pub index_file_count: u64,
    /// Bytes that all backups would have without deduplication.
    #[serde(default, deserialize_with = "decode::number")]
    pub index_data_bytes: u64,
    /// Bytes on disk.
    #[serde(default, deserialize_with = "decode::number")]
    pub disk_bytes: u64,
    /// Chunks on disk.
    #[serde(default, deserialize_with = "decode::number")]
    pub disk_chunks: u64,
    /// Bytes that were removed.
    #[serde(default, deserialize_with = "decode::number")]
    pub removed_bytes: u64,
    /// Chunks that were removed.
    #[serde(default, deserialize_with = "decode::number")]
    pub removed_chunks: u64,
    /// Bytes that no backup uses and that are too young to be removed.
    #[serde(default, deserialize_with = "decode::number")]
    pub pending_bytes: u64,
    /// Chunks that no backup uses and that are too young to be removed.
    #[serde(default, deserialize_with = "decode::number")]
    pub pending_chunks: u64,
    /// Damaged chunks that were removed, since a new backup had replaced them.
    #[serde(default, deserialize_with = "decode::number")]
    pub removed_bad: u64,
    /// Damaged chunks that are still there.
    #[serde(default, deserialize_with = "decode::number")]
    pub still_bad: u64,
}

/// `GET /admin/datastore/S/namespace`: those that the caller may see, the root among them.
#[derive(Debug, Clone)]
pub struct ListNamespaces {
    /// In which.
    pub store: DatastoreName,
    /// This one and those below it.
    pub parent: Namespace,
    /// Only this many levels below it; at most 7, and all of them when none is given.
    pub max_depth: Option<u8>,
}

/// A namespace.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct NamespaceEntry {
    /// Its whole name.
    #[serde(rename = "ns")]
    pub namespace: Namespace,
}

impl Call for ListDatastores {
    type Response = Vec<DatastoreEntry>;

    fn request(&self) -> Request {
        Request::new(Method::Get, &[&"admin", &"datastore"])
    }
}

impl Call for GetDatastoreStatus {
    type Response = DatastoreStatus;

    fn request(&self) -> Request {
        let request = in_store(Method::Get, &self.store, "status")
            .maybe_flag("verbose", self.verbose.then_some(true));
        // Counting walks through all groups.
        if self.verbose {
            request.slow()
        } else {
            request
        }
    }
}

impl Call for GetDatastoreUsage {
    type Response = Vec<DatastoreUsage>;

    fn request(&self) -> Request {
        Request::new(Method::Get, &[&"status", &"datastore-usage"])
    }
}

impl Call for GetGcStatus {
    type Response = GarbageCollection;

    fn request(&self) -> Request {
        in_store(Method::Get, &self.store, "gc")
    }
}

impl Call for ListNamespaces {
    type Response = Vec<NamespaceEntry>;

    fn request(&self) -> Request {
        in_store(Method::Get, &self.store, "namespace")
            .maybe("parent", given(&self.parent))
            .maybe("max-depth", self.max_depth)
            .slow()
    }
}

impl Pbs {
    /// The datastores that this token sees. None is no proof that there are none.
    pub async fn datastores(&self) -> Result<Vec<DatastoreEntry>, Error> {
        self.call(&ListDatastores).await
    }

    /// How full a datastore is.
    pub async fn datastore_status(&self, store: &DatastoreName) -> Result<DatastoreStatus, Error> {
        self.call(&GetDatastoreStatus {
            store: store.clone(),
            verbose: false,
        })
        .await
    }

    /// All namespaces of a datastore that this token sees, the root among them.
    pub async fn namespaces(&self, store: &DatastoreName) -> Result<Vec<Namespace>, Error> {
        let list = ListNamespaces {
            store: store.clone(),
            parent: Namespace::root(),
            max_depth: None,
        };
        let entries = self.call(&list).await?;
        Ok(entries.into_iter().map(|entry| entry.namespace).collect())
    }
}
