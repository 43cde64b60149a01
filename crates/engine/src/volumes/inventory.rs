//! What a guest's Docker engine has, in the engine's own words: volumes, containers, and what mounts what.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// What the Docker engine of one guest told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// When it was told, by the clock of whoever took it up.
    pub taken: Timestamp,
    /// Where Docker keeps its own things inside the guest; `/var/lib/docker` as a rule.
    pub data_root: String,
    /// `overlay2`, `vfs`, `zfs`, …; `None` when `docker info` was not told.
    pub storage_driver: Option<String>,
    /// Volumes, named and anonymous, in the order of their names.
    pub volumes: Vec<DockerVolume>,
    /// Containers, running or not, in the order of their names.
    pub containers: Vec<Container>,
    /// Whether these are all.
    #[serde(default)]
    pub coverage: Coverage,
}

/// Whether an inventory names all that there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Coverage {
    /// Volumes.
    pub volumes: Extent,
    /// Containers.
    pub containers: Extent,
}

/// How much of what there is a list shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Extent {
    /// All of it.
    All,
    /// Not all: there are some of which little or nothing was told.
    Some,
    /// Nobody can say.
    #[default]
    Unknown,
}

/// A Docker volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DockerVolume {
    /// Its name; 64 hexadecimal digits when Docker chose it.
    pub name: String,
    /// `local`, or a plug-in.
    pub driver: String,
    /// What it was made with: `type`, `o`, `device` for the `local` driver.
    pub options: BTreeMap<String, String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Where Docker mounts it inside the guest; empty when nobody said.
    pub mountpoint: String,
    /// Whether Docker chose its name.
    pub anonymous: bool,
    /// Its bytes, where they were counted.
    pub size: Option<u64>,
    /// Whether the engine described it. Of one that only a container or a list names, options and labels are not known.
    pub described: bool,
}

/// A container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// Its name, without the slash.
    pub name: String,
    /// The image as it was asked for: `postgres:16`.
    pub image: String,
    /// The image's digest, where it has one.
    pub image_digest: Option<String>,
    /// The compose project it belongs to.
    pub project: Option<String>,
    /// Its service within the project.
    pub service: Option<String>,
    /// Whether it runs.
    pub running: bool,
    /// `no`, `always`, `unless-stopped` or `on-failure`; empty when nobody said.
    pub restart_policy: String,
    /// Its labels, those of its image among them.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// What it mounts.
    pub mounts: Vec<ContainerMount>,
}

/// What a container's mount point shows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mounted {
    /// The volume of that name.
    Volume(String),
    /// A path of the guest.
    Bind(String),
    /// Memory: gone with the container.
    Tmpfs,
    /// Something else, by Docker's own word.
    Other(String),
}

/// One mount of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerMount {
    /// What is mounted.
    pub source: Mounted,
    /// Where, inside the container.
    pub destination: String,
    /// Whether the container may not write to it.
    pub read_only: bool,
}
