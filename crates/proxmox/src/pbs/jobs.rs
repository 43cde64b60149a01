//! Jobs that the server runs by itself: verification and pruning. `Datastore.Verify` or `Datastore.Modify` on a store is
//! enough to make and remove those for it; lists show only what one has such a right on.

use std::num::NonZeroU32;

use felhom_ids::{DatastoreName, Namespace};
use serde::Deserialize;

use super::prune::Keep;
use super::{Call, given};
use crate::decode::{self, Done};
use crate::encode::{Method, Request};

/// `GET /config/verify`
#[derive(Debug, Clone, Copy)]
pub struct ListVerifyJobs;

/// A verification that the server runs by itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct VerifyJob {
    /// Its id.
    #[serde(deserialize_with = "decode::text")]
    pub id: String,
    /// In which datastore.
    pub store: DatastoreName,
    /// This namespace and those below it; none written means the root.
    #[serde(default, rename = "ns")]
    pub namespace: Option<Namespace>,
    /// Only this many levels below it.
    #[serde(default, deserialize_with = "decode::maybe_number")]
    pub max_depth: Option<u8>,
    /// A systemd calendar event; without one it never runs by itself.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub schedule: Option<String>,
    /// Whether it skips what was verified before; none written means that it does.
    #[serde(default, deserialize_with = "decode::maybe_flag")]
    pub ignore_verified: Option<bool>,
    /// Days after which an earlier verification no longer counts as one.
    #[serde(default, deserialize_with = "decode::maybe_number")]
    pub outdated_after: Option<u32>,
    /// What somebody wrote about it.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub comment: Option<String>,
}

/// `POST /config/verify`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateVerifyJob {
    /// Its id: 3 to 32 letters, digits, `_`, `.`, `-`.
    pub id: String,
    /// In which datastore.
    pub store: DatastoreName,
    /// This namespace and those below it.
    pub namespace: Namespace,
    /// Only this many levels below it, at most 7.
    pub max_depth: Option<u8>,
    /// A systemd calendar event.
    pub schedule: Option<String>,
    /// Skip what was verified before.
    pub ignore_verified: bool,
    /// Days after which an earlier verification no longer counts as one.
    pub outdated_after: Option<u32>,
    /// One line of at most 128 characters.
    pub comment: Option<String>,
}

/// `DELETE /config/verify/ID`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteVerifyJob {
    /// Which.
    pub id: String,
}

/// `GET /config/prune`
#[derive(Debug, Clone, Copy)]
pub struct ListPruneJobs;

/// A pruning that the server runs by itself: with it, backups go though nobody of ours asked for that.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PruneJob {
    /// Its id.
    #[serde(deserialize_with = "decode::text")]
    pub id: String,
    /// In which datastore.
    pub store: DatastoreName,
    /// This namespace and those below it; none written means the root.
    #[serde(default, rename = "ns")]
    pub namespace: Option<Namespace>,
    /// Only this many levels below it.
    #[serde(default, deserialize_with = "decode::maybe_number")]
    pub max_depth: Option<u8>,
    /// A systemd calendar event.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub schedule: Option<String>,
    /// Whether it is switched off.
    #[serde(default, deserialize_with = "decode::flag")]
    pub disable: bool,
    /// What somebody wrote about it.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub comment: Option<String>,
    /// The newest to keep.
    #[serde(default, deserialize_with = "decode::maybe_number")]
    pub keep_last: Option<u32>,
    /// Hours to keep the newest of.
    #[serde(default, deserialize_with = "decode::maybe_number")]
    pub keep_hourly: Option<u32>,
    /// Days to keep the newest of.
    #[serde(default, deserialize_with = "decode::maybe_number")]
    pub keep_daily: Option<u32>,
    /// Weeks to keep the newest of.
    #[serde(default, deserialize_with = "decode::maybe_number")]
    pub keep_weekly: Option<u32>,
    /// Months to keep the newest of.
    #[serde(default, deserialize_with = "decode::maybe_number")]
    pub keep_monthly: Option<u32>,
    /// Years to keep the newest of.
    #[serde(default, deserialize_with = "decode::maybe_number")]
    pub keep_yearly: Option<u32>,
}

impl PruneJob {
    /// What it keeps.
    pub fn keep(&self) -> Keep {
        let number = |number: Option<u32>| number.and_then(NonZeroU32::new);
        Keep {
            last: number(self.keep_last),
            hourly: number(self.keep_hourly),
            daily: number(self.keep_daily),
            weekly: number(self.keep_weekly),
            monthly: number(self.keep_monthly),
            yearly: number(self.keep_yearly),
        }
    }
}

/// `POST /config/prune`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatePruneJob {
    /// Its id: 3 to 32 letters, digits, `_`, `.`, `-`.
    pub id: String,
    /// In which datastore.
    pub store: DatastoreName,
    /// This namespace and those below it.
    pub namespace: Namespace,
    /// Only this many levels below it, at most 7.
    pub max_depth: Option<u8>,
    /// A systemd calendar event.
    pub schedule: String,
    /// What to keep in each group.
    pub keep: Keep,
    /// One line of at most 128 characters.
    pub comment: Option<String>,
}

/// `DELETE /config/prune/ID`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletePruneJob {
    /// Which.
    pub id: String,
}

impl Call for ListVerifyJobs {
    type Response = Vec<VerifyJob>;

    fn request(&self) -> Request {
        Request::new(Method::Get, &[&"config", &"verify"])
    }
}

impl Call for CreateVerifyJob {
    type Response = Done;

    fn request(&self) -> Request {
        Request::new(Method::Post, &[&"config", &"verify"])
            .with("id", &self.id)
            .with("store", &self.store)
            .maybe("ns", given(&self.namespace))
            .maybe("max-depth", self.max_depth)
            .maybe("schedule", self.schedule.as_deref())
            .flag("ignore-verified", self.ignore_verified)
            .maybe("outdated-after", self.outdated_after)
            .maybe("comment", self.comment.as_deref())
    }
}

impl Call for DeleteVerifyJob {
    type Response = Done;

    fn request(&self) -> Request {
        Request::new(Method::Delete, &[&"config", &"verify", &self.id])
    }
}

impl Call for ListPruneJobs {
    type Response = Vec<PruneJob>;

    fn request(&self) -> Request {
        Request::new(Method::Get, &[&"config", &"prune"])
    }
}

impl Call for CreatePruneJob {
    type Response = Done;

    fn request(&self) -> Request {
        let request = Request::new(Method::Post, &[&"config", &"prune"])
            .with("id", &self.id)
            .with("store", &self.store)
            .maybe("ns", given(&self.namespace))
            .maybe("max-depth", self.max_depth)
            .with("schedule", &self.schedule)
            .maybe("comment", self.comment.as_deref());
        self.keep.add_to(request)
    }
}

impl Call for DeletePruneJob {
    type Response = Done;

    fn request(&self) -> Request {
        Request::new(Method::Delete, &[&"config", &"prune", &self.id])
    }
}
