//! The volume report: what a guest's Docker engine has, as the in-guest controller tells it or `docker inspect` does.

mod limits;
mod redact;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::document::{Document, DocumentError};

/// What the Docker engine of one guest has.
///
/// Options and labels that may hold a password or a token are replaced by `[redacted]` wherever a report is made or read: a report is
/// stored and shown.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct VolumeReport {
    /// The engine; `None` when nobody asked it (`docker info`).
    #[serde(default)]
    pub engine: Option<Engine>,
    /// Volumes, in the order of their names.
    pub volumes: Vec<Volume>,
    /// Containers, running or not, in the order of their names.
    pub containers: Vec<Container>,
    /// Whether these are all.
    #[serde(default)]
    pub coverage: Coverage,
}

/// The Docker engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Engine {
    /// Its version: `28.5.1`.
    pub version: String,
    /// Where it keeps its own things inside the guest; `/var/lib/docker` as a rule.
    pub data_root: String,
    /// `overlay2`, `overlayfs`, `vfs`, `zfs`, …
    #[serde(default)]
    pub storage_driver: Option<String>,
}

/// Whether the report names all that there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Coverage {
    /// Volumes.
    #[serde(default)]
    pub volumes: Extent,
    /// Containers.
    #[serde(default)]
    pub containers: Extent,
}

/// How much of what there is a list shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Extent {
    /// All of it.
    All,
    /// Not all: there are some of which the report says little or nothing.
    Some,
    /// Nobody can say.
    #[default]
    Unknown,
}

/// A Docker volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// `local`, or a plug-in; empty when nobody said.
    #[serde(default)]
    pub driver: String,
    /// What it was made with: `type`, `o`, `device` for the `local` driver.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// Its labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Where the engine mounts it inside the guest; empty when nobody said, and for some plug-ins while nobody uses it.
    #[serde(default)]
    pub mountpoint: String,
    /// Whether the engine chose its name.
    #[serde(default)]
    pub anonymous: bool,
    /// Its bytes, where they were counted; to four digits when they come from `docker system df`.
    #[serde(default)]
    pub size: Option<u64>,
    /// Whether the engine described it. Of one that only a container or a list names, options and labels are not known.
    pub described: bool,
}

/// A container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// Its id, 64 hexadecimal digits.
    pub id: String,
    /// Its name, without the slash that Docker puts in front.
    pub name: String,
    /// The image as it was asked for: `postgres:16`.
    #[serde(default)]
    pub image: String,
    /// The image's digest in its registry, where it has one: `sha256:…`.
    #[serde(default)]
    pub image_digest: Option<String>,
    /// The compose project it belongs to (label `com.docker.compose.project`).
    #[serde(default)]
    pub project: Option<String>,
    /// Its service within the project (label `com.docker.compose.service`).
    #[serde(default)]
    pub service: Option<String>,
    /// Whether its processes exist, paused ones too.
    pub running: bool,
    /// `created`, `running`, `paused`, `restarting`, `removing`, `exited` or `dead`.
    #[serde(default)]
    pub state: String,
    /// `no`, `always`, `unless-stopped` or `on-failure`; empty when nobody said.
    #[serde(default)]
    pub restart_policy: String,
    /// Its labels, those of its image among them.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// What it mounts, in the order of the destinations.
    pub mounts: Vec<Mount>,
}

/// One mount of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// What is mounted.
    pub source: Source,
    /// Where, inside the container.
    pub destination: String,
    /// Whether the container may not write to it.
    #[serde(default)]
    pub read_only: bool,
}

/// What a mount shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Source {
    /// A volume of the engine.
    Volume {
        /// Its name.
        name: String,
    },
    /// A path of the guest.
    Bind {
        /// The path.
        path: String,
    },
    /// Memory.
    Tmpfs,
    /// Something else, by Docker's own word: `image`, `cluster`, `npipe`.
    Other {
        /// The word.
        word: String,
    },
}

impl Document for VolumeReport {
    const SCHEMA: &'static str = "felhom.volume-report";
    const VERSION: u64 = 1;

    fn checked(mut self) -> Result<Self, DocumentError> {
        self.volumes.sort_by(|one, other| one.name.cmp(&other.name));
        self.containers
            .sort_by(|one, other| one.name.cmp(&other.name));
        for container in &mut self.containers {
            let mounts = &mut container.mounts;
            mounts.sort_by(|one, other| one.destination.cmp(&other.destination));
        }
        limits::check(&self)?;
        redact::redact(&mut self);
        Ok(self)
    }
}
