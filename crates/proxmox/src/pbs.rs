//! What we ask of a Proxmox Backup Server: one struct per call, its answer as a type, and a handle to send it.
//!
//! Parameters travel as a form or a query, never as JSON, whose types the server checks strictly; none is sent that
//! version 3.2 does not know, since an unknown one is refused. Fields of answers that we do not know are ignored, and an
//! explicit `null` is as good as none. Lists come in no order that one could rely on, and nothing here sorts them.
//! Sizes are bytes and times seconds since 1970 unless a field says otherwise.
//!
//! A grant needs both halves: a token has what is granted to it *and* to its user, and where one lacks, lists are empty
//! and still a success. Nearly every refusal is a 400 in plain words; [`Error`] sorts them by these.

pub mod access;
pub mod datastore;
pub mod download;
pub mod format;
pub mod identities;
pub mod jobs;
pub mod node;
pub mod prune;
pub mod snapshots;
pub mod tasks;
pub mod verify;
pub mod version;

use std::fmt;

use felhom_ids::{BackupGroup, BackupSnapshot, DatastoreName, Namespace};
use serde::de::DeserializeOwned;

use crate::client::Client;
use crate::encode::{Method, Request};
use crate::error::Error;
use crate::task::{Started, TaskHandle};

/// Something that the API offers: how to ask for it, and what comes back. Unlike a cluster, a backup server has no node
/// that a request would have to name; where a path has one, any does.
pub trait Call {
    /// The shape of `data` in the answer.
    type Response: DeserializeOwned;

    /// The request.
    fn request(&self) -> Request;
}

/// The name that every backup server answers to in `/nodes/{node}`.
const NODE: &str = "localhost";

/// A backup server, seen through one client. Cloning it is cheap.
#[derive(Debug, Clone)]
pub struct Pbs {
    client: Client,
}

impl Pbs {
    /// The server behind this client, whose credentials must be those of a backup server.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// The client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Sends one call and reads its answer.
    pub async fn call<C: Call>(&self, call: &C) -> Result<C::Response, Error> {
        self.client.send(&call.request()).await
    }

    /// The same, with what the server's clock showed when it answered (`Date`), in seconds since 1970.
    pub async fn call_dated<C: Call>(&self, call: &C) -> Result<(C::Response, Option<i64>), Error> {
        self.client.send_dated(&call.request()).await
    }

    /// Sends a call that must start a task. A 200 without a UPID is an error.
    pub async fn start<C>(&self, call: &C) -> Result<TaskHandle, Error>
    where
        C: Call<Response = Started>,
    {
        let request = call.request();
        let started: Started = self.client.send(&request).await?;
        started.task(&request, &self.client.settings().credentials)
    }
}

/// Where backups lie: a datastore's root, or a namespace in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The datastore.
    pub store: DatastoreName,
    /// The namespace, without those below it.
    pub namespace: Namespace,
}

impl Place {
    /// The root of a datastore.
    pub fn root(store: DatastoreName) -> Self {
        Self {
            store,
            namespace: Namespace::root(),
        }
    }

    /// Where grants for it stand: `/datastore/STORE` or `/datastore/STORE/NS`.
    pub fn acl_path(&self) -> String {
        format!("/datastore/{self}")
    }

    fn request(&self, method: Method, word: &str) -> Request {
        in_store(method, &self.store, word).maybe("ns", given(&self.namespace))
    }
}

/// `STORE` or `STORE/NS`, as paths of grants have it.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_root() {
            write!(f, "{}", self.store)
        } else {
            write!(f, "{}/{}", self.store, self.namespace)
        }
    }
}

/// `/admin/datastore/STORE/WORD`
fn in_store(method: Method, store: &DatastoreName, word: &str) -> Request {
    Request::new(method, &[&"admin", &"datastore", store, &word])
}

/// The root is said by saying nothing.
fn given(namespace: &Namespace) -> Option<&Namespace> {
    (!namespace.is_root()).then_some(namespace)
}

fn with_group(request: Request, group: &BackupGroup) -> Request {
    request
        .with("backup-type", group.kind())
        .with("backup-id", group.id())
}

fn with_snapshot(request: Request, snapshot: &BackupSnapshot) -> Request {
    with_group(request, snapshot.group()).with("backup-time", snapshot.time())
}
