//! Pruning by the server's own rules. Removed backups free no space before the next garbage collection.

use std::num::NonZeroU32;

use felhom_ids::{BackupGroup, BackupSnapshot, BackupType, DatastoreName, Namespace};
use serde::{Deserialize, Deserializer};

use super::snapshots::named;
use super::{Call, Pbs, Place, given, in_store, with_group};
use crate::decode;
use crate::encode::{Method, Request};
use crate::error::Error;
use crate::task::{Started, TaskHandle};

/// How many to keep of each sort. Without any, everything is kept; the server refuses zeros.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Keep {
    /// The newest.
    pub last: Option<NonZeroU32>,
    /// Of as many hours the newest each.
    pub hourly: Option<NonZeroU32>,
    /// Of as many days.
    pub daily: Option<NonZeroU32>,
    /// Of as many weeks.
    pub weekly: Option<NonZeroU32>,
    /// Of as many months.
    pub monthly: Option<NonZeroU32>,
    /// Of as many years.
    pub yearly: Option<NonZeroU32>,
}

impl Keep {
    /// Whether this removes nothing.
    pub fn keeps_all(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn add_to(self, request: Request) -> Request {
        request
            .maybe("keep-last", self.last)
            .maybe("keep-hourly", self.hourly)
            .maybe("keep-daily", self.daily)
            .maybe("keep-weekly", self.weekly)
            .maybe("keep-monthly", self.monthly)
            .maybe("keep-yearly", self.yearly)
    }
}

/// `POST /admin/datastore/S/prune`: `Datastore.Modify`; with `Datastore.Prune` only the caller's own. Carried out before it
/// is answered, without a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PruneGroup {
    /// Where.
    pub place: Place,
    /// Of which group.
    pub group: BackupGroup,
    /// What to keep.
    pub keep: Keep,
    /// Only say what would be removed.
    pub dry_run: bool,
}

/// What pruning does, or would do, with one backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pruned {
    /// Which.
    pub snapshot: BackupSnapshot,
    /// Whether it stays.
    pub keep: bool,
    /// Whether it is protected, and stays whatever the rules say.
    pub protected: bool,
}

impl<'de> Deserialize<'de> for Pruned {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "kebab-case")]
        struct Raw {
            backup_type: BackupType,
            #[serde(deserialize_with = "decode::text")]
            backup_id: String,
            #[serde(deserialize_with = "decode::number")]
            backup_time: i64,
            #[serde(deserialize_with = "decode::flag")]
            keep: bool,
            #[serde(default, deserialize_with = "decode::flag")]
            protected: bool,
        }
        let raw = Raw::deserialize(from)?;
        Ok(Self {
            snapshot: named(raw.backup_type, &raw.backup_id, raw.backup_time)
                .map_err(serde::de::Error::custom)?,
            keep: raw.keep,
            protected: raw.protected,
        })
    }
}

/// `POST /admin/datastore/S/prune-datastore`: `Datastore.Modify`; with `Datastore.Prune` only the caller's own. All groups
/// at once, as a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PruneDatastore {
    /// Which.
    pub store: DatastoreName,
    /// This namespace and those below it.
    pub namespace: Namespace,
    /// Only this many levels below it, at most 7; none for all.
    pub max_depth: Option<u8>,
    /// What to keep in each group.
    pub keep: Keep,
    /// Only log what would be removed.
    pub dry_run: bool,
}

impl Call for PruneGroup {
    type Response = Vec<Pruned>;

    fn request(&self) -> Request {
        let request = with_group(self.place.request(Method::Post, "prune"), &self.group);
        self.keep
            .add_to(request)
            .flag("dry-run", self.dry_run)
            .slow()
    }
}

impl Call for PruneDatastore {
    type Response = Started;

    fn request(&self) -> Request {
        let request = in_store(Method::Post, &self.store, "prune-datastore")
            .maybe("ns", given(&self.namespace))
            .maybe("max-depth", self.max_depth);
        self.keep.add_to(request).flag("dry-run", self.dry_run)
    }
}

impl Pbs {
    /// What pruning a group would remove; it removes nothing.
    pub async fn prune_dry_run(
        &self,
        place: &Place,
        group: &BackupGroup,
        keep: Keep,
    ) -> Result<Vec<Pruned>, Error> {
        self.call(&PruneGroup {
            place: place.clone(),
            group: group.clone(),
            keep,
            dry_run: true,
        })
        .await
    }

    /// Starts pruning a datastore, or saying what that would remove.
    pub async fn prune_datastore(&self, prune: &PruneDatastore) -> Result<TaskHandle, Error> {
        self.start(prune).await
    }
}
