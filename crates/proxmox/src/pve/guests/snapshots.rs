//! Snapshots of containers. Whoever may make one may also roll back and delete any.

use felhom_ids::{NodeName, SnapshotName, Vmid};
use serde::{Deserialize, Deserializer};

use super::LxcConfig;
use crate::decode;
use crate::encode::{Endpoint, Method, Request};
use crate::error::Error;
use crate::pve::Pve;
use crate::task::{Started, TaskHandle};

/// `GET …/snapshot`: `VM.Audit`.
#[derive(Debug, Clone, Copy)]
pub struct ListSnapshots {
    /// Which container.
    pub vmid: Vmid,
}

/// `POST …/snapshot`: `VM.Snapshot`. A name in use fails only inside the task.
#[derive(Debug, Clone)]
pub struct CreateSnapshot {
    /// Which container.
    pub vmid: Vmid,
    /// The new snapshot.
    pub name: SnapshotName,
    /// What is written about it.
    pub description: Option<String>,
}

/// `POST …/snapshot/S/rollback`. Kills a running container, and rolls back every volume, also those
/// that no backup holds.
#[derive(Debug, Clone)]
pub struct RollbackSnapshot {
    /// Which container.
    pub vmid: Vmid,
    /// To which snapshot.
    pub name: SnapshotName,
    /// Start it afterwards.
    pub start: bool,
}

/// `DELETE …/snapshot/S`.
#[derive(Debug, Clone)]
pub struct DeleteSnapshot {
    /// Which container.
    pub vmid: Vmid,
    /// Which snapshot.
    pub name: SnapshotName,
}

/// `GET …/snapshot/S/config`.
#[derive(Debug, Clone)]
pub struct GetSnapshotConfig {
    /// Which container.
    pub vmid: Vmid,
    /// Which snapshot.
    pub name: SnapshotName,
}

/// `GET …/feature?feature=snapshot`: `VM.Audit`. Not possible as soon as one mount point cannot be snapshotted, be it a bind
/// mount or a volume that no backup holds (pve-container LXC/Config.pm `has_feature`).
#[derive(Debug, Clone, Copy)]
pub struct CanSnapshot {
    /// Which container.
    pub vmid: Vmid,
}

/// Whether a container can be snapshotted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct SnapshotFeature {
    /// Whether it can.
    #[serde(rename = "hasFeature", deserialize_with = "decode::flag")]
    pub available: bool,
}

/// A container's snapshots, without the entry `current` that PVE lists beside them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshots {
    /// The snapshots, oldest first.
    pub list: Vec<Snapshot>,
    /// The snapshot that the present state grew from.
    pub parent: Option<SnapshotName>,
}

/// A snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Its name; `vzdump` is one that a backup made, and left behind if no backup runs.
    pub name: SnapshotName,
    /// When it was made.
    pub time: Option<i64>,
    /// What is written about it, with the line end that PVE adds.
    pub description: Option<String>,
    /// The snapshot before it.
    pub parent: Option<SnapshotName>,
    /// `prepare` or `delete` where making or deleting it was cut off.
    pub state: Option<String>,
}

impl Snapshots {
    /// The snapshot of this name.
    pub fn get(&self, name: &SnapshotName) -> Option<&Snapshot> {
        self.list.iter().find(|snapshot| &snapshot.name == name)
    }
}

impl<'de> Deserialize<'de> for Snapshots {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Entry {
            #[serde(deserialize_with = "decode::text")]
            name: String,
            #[serde(default, deserialize_with = "decode::maybe_name")]
            parent: Option<SnapshotName>,
            #[serde(default, deserialize_with = "decode::maybe_number")]
            snaptime: Option<i64>,
            #[serde(default, deserialize_with = "decode::maybe_text")]
            description: Option<String>,
            #[serde(default, deserialize_with = "decode::maybe_text")]
            snapstate: Option<String>,
        }
        let mut snapshots = Self::default();
        for entry in Option::<Vec<Entry>>::deserialize(deserializer)?.unwrap_or_default() {
            if entry.name == "current" {
                snapshots.parent = entry.parent;
                continue;
            }
            snapshots.list.push(Snapshot {
                name: entry.name.parse().map_err(serde::de::Error::custom)?,
                time: entry.snaptime,
                description: entry.description,
                parent: entry.parent,
                state: entry.snapstate,
            });
        }
        snapshots
            .list
            .sort_by(|a, b| (a.time, &a.name).cmp(&(b.time, &b.name)));
        Ok(snapshots)
    }
}

impl Endpoint for ListSnapshots {
    type Response = Snapshots;

    fn request(&self, node: &NodeName) -> Request {
        Request::new(
            Method::Get,
            &[&"nodes", node, &"lxc", &self.vmid, &"snapshot"],
        )
    }
}

impl Endpoint for CanSnapshot {
    type Response = SnapshotFeature;

    fn request(&self, node: &NodeName) -> Request {
        Request::new(
            Method::Get,
            &[&"nodes", node, &"lxc", &self.vmid, &"feature"],
        )
        .with("feature", "snapshot")
    }
}

impl Endpoint for CreateSnapshot {
    type Response = Started;

    fn request(&self, node: &NodeName) -> Request {
        Request::new(
            Method::Post,
            &[&"nodes", node, &"lxc", &self.vmid, &"snapshot"],
        )
        .with("snapname", &self.name)
        .maybe("description", self.description.as_deref())
    }
}

impl Endpoint for RollbackSnapshot {
    type Response = Started;

    fn request(&self, node: &NodeName) -> Request {
        let path: [&dyn std::fmt::Display; 7] = [
            &"nodes",
            node,
            &"lxc",
            &self.vmid,
            &"snapshot",
            &self.name,
            &"rollback",
        ];
        let request = Request::new(Method::Post, &path);
        if self.start {
            request.flag("start", true)
        } else {
            request
        }
    }
}

impl Endpoint for DeleteSnapshot {
    type Response = Started;

    fn request(&self, node: &NodeName) -> Request {
        Request::new(
            Method::Delete,
            &[&"nodes", node, &"lxc", &self.vmid, &"snapshot", &self.name],
        )
    }
}

impl Endpoint for GetSnapshotConfig {
    type Response = LxcConfig;

    fn request(&self, node: &NodeName) -> Request {
        let path: [&dyn std::fmt::Display; 7] = [
            &"nodes",
            node,
            &"lxc",
            &self.vmid,
            &"snapshot",
            &self.name,
            &"config",
        ];
        Request::new(Method::Get, &path)
    }
}

impl Pve {
    /// A container's snapshots.
    pub async fn lxc_snapshots(&self, vmid: Vmid) -> Result<Snapshots, Error> {
        self.call(&ListSnapshots { vmid }).await
    }

    /// Whether a container can be snapshotted.
    pub async fn can_snapshot(&self, vmid: Vmid) -> Result<bool, Error> {
        Ok(self.call(&CanSnapshot { vmid }).await?.available)
    }

    /// Starts making a snapshot.
    pub async fn create_snapshot(&self, snapshot: &CreateSnapshot) -> Result<TaskHandle, Error> {
        self.start(snapshot).await
    }

    /// Starts rolling a container back.
    pub async fn rollback_snapshot(
        &self,
        rollback: &RollbackSnapshot,
    ) -> Result<TaskHandle, Error> {
        self.start(rollback).await
    }

    /// Starts deleting a snapshot.
    pub async fn delete_snapshot(
        &self,
        vmid: Vmid,
        name: &SnapshotName,
    ) -> Result<TaskHandle, Error> {
        self.start(&DeleteSnapshot {
            vmid,
            name: name.clone(),
        })
        .await
    }
}
