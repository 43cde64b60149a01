//! What we ask of a PVE node: one struct per call, its answer as a type, and a handle to send it.
//!
//! Only what is called is here. Fields that a permission or a version may leave out are `Option`s;
//! fields that we do not know are ignored. Sizes are bytes and times seconds since 1970 unless a
//! field says otherwise.

pub mod access;
pub mod backup;
pub mod certificates;
pub mod cluster;
pub mod disks;
pub mod guests;
pub mod identities;
pub mod jobs;
pub mod network;
pub mod nodes;
pub mod packages;
pub mod pools;
pub mod probe;
pub mod storage;
pub mod tasks;
pub mod version;
pub mod written;

use felhom_ids::NodeName;

use crate::client::Client;
use crate::encode::Endpoint;
use crate::error::Error;
use crate::task::{Started, TaskHandle};

/// A node, seen through one client. Cloning it is cheap.
#[derive(Debug, Clone)]
pub struct Pve {
    client: Client,
    node: NodeName,
}

impl Pve {
    /// The node of this name behind this client.
    pub fn new(client: Client, node: NodeName) -> Self {
        Self { client, node }
    }

    /// The client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The node.
    pub fn node(&self) -> &NodeName {
        &self.node
    }

    /// Sends one call and reads its answer.
    pub async fn call<E: Endpoint>(&self, endpoint: &E) -> Result<E::Response, Error> {
        self.client.send(&endpoint.request(&self.node)).await
    }

    /// Sends a call that must start a task. A 200 without a UPID is an error.
    pub async fn start<E>(&self, endpoint: &E) -> Result<TaskHandle, Error>
    where
        E: Endpoint<Response = Started>,
    {
        let request = endpoint.request(&self.node);
        let started: Started = self.client.send(&request).await?;
        started.task(&request, &self.client.settings().credentials)
    }
}
