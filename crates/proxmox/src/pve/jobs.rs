//! Backup jobs that the cluster runs by itself.

use felhom_ids::NodeName;
use serde::Deserialize;

use super::Pve;
use crate::decode;
use crate::encode::{Endpoint, Method, Request};
use crate::error::Error;

/// `GET /cluster/backup`: `Sys.Audit` on `/`.
#[derive(Debug, Clone, Copy)]
pub struct ListBackupJobs;

/// A backup job, as far as it says which guests it covers.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct BackupJob {
    /// Its id.
    #[serde(deserialize_with = "decode::text")]
    pub id: String,
    /// Whether it runs.
    #[serde(default = "runs", deserialize_with = "decode::flag")]
    pub enabled: bool,
    /// Whether it covers all guests but the excluded.
    #[serde(default, deserialize_with = "decode::flag")]
    pub all: bool,
    /// The guests that it leaves out.
    #[serde(default, deserialize_with = "decode::csv")]
    pub exclude: Vec<String>,
    /// The guests that it covers.
    #[serde(default, deserialize_with = "decode::csv")]
    pub vmid: Vec<String>,
    /// The pool that it covers.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub pool: Option<String>,
    /// When it runs, as a calendar event.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub schedule: Option<String>,
    /// The only node that it runs on.
    #[serde(default, deserialize_with = "decode::maybe_name")]
    pub node: Option<NodeName>,
}

fn runs() -> bool {
    true
}

impl Endpoint for ListBackupJobs {
    type Response = Vec<BackupJob>;

    fn request(&self, _node: &NodeName) -> Request {
        Request::new(Method::Get, &[&"cluster", &"backup"])
    }
}

impl Pve {
    /// The cluster's backup jobs.
    pub async fn backup_jobs(&self) -> Result<Vec<BackupJob>, Error> {
        self.call(&ListBackupJobs).await
    }
}
