//! What a placement plan is made of.

use std::collections::BTreeMap;

use felhom_ids::{NodeName, StorageId, Vmid, VolumeId};
use serde::{Deserialize, Serialize};

use super::needs::StepNeeds;

/// Who carries a step out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The node: an API token with the privileges named, or root.
    Node,
    /// The guest: root inside it.
    Guest,
    /// A person, by hand.
    Person,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "action")]
pub enum PlacementAction {
    /// Make a mount point of the guest.
    AddMount {
        /// `mpN`.
        key: String,
        /// Where its volume is made.
        storage: StorageId,
        /// Its size in GiB.
        gib: u64,
        /// Where it is mounted inside the guest.
        path: String,
        /// Whether backups hold it.
        backup: bool,
    },
    /// See that it is mounted, and make the data directory in it.
    PrepareMount {
        /// Where it is mounted.
        path: String,
        /// The directory below it that will hold the data; a fresh file system has a `lost+found` of its own.
        data: String,
    },
    /// Stop the containers that use the volume.
    StopContainers {
        /// Their names.
        names: Vec<String>,
    },
    /// Copy everything.
    CopyTree {
        /// From this directory.
        from: String,
        /// Into that one.
        to: String,
    },
    /// Hash every file on both sides, and count everything.
    CompareTrees {
        /// This directory.
        from: String,
        /// And that one.
        to: String,
    },
    /// Remove the containers, which are made anew from what they were made of.
    RemoveContainers {
        /// Their names.
        names: Vec<String>,
    },
    /// Move the old copy aside, whole: a rename on one file system.
    SetAside {
        /// From here.
        from: String,
        /// To there.
        to: String,
    },
    /// Make the Docker volume anew, on the new directory.
    RecreateVolume {
        /// Its name.
        name: String,
        /// The directory that holds its data.
        device: String,
        /// The labels it had, and its class.
        labels: BTreeMap<String, String>,
        /// Labels that reports do not tell the values of: a person adds them.
        untold: Vec<String>,
    },
    /// Let the containers mount another directory.
    Repoint {
        /// The directory they mount now.
        from: String,
        /// The one they shall mount.
        to: String,
        /// The compose projects that say so.
        projects: Vec<String>,
    },
    /// Start what was stopped.
    StartContainers {
        /// Compose projects to bring up.
        projects: Vec<String>,
        /// Containers that belong to none.
        names: Vec<String>,
        /// Services and containers that did not run before.
        idle: Vec<String>,
    },
    /// Tell the agent of the new place, back up, and see the proof.
    Prove {
        /// The guest.
        vmid: Vmid,
    },
    /// Back up as things are, because no archive is known to hold the volume.
    BackUp {
        /// The guest.
        vmid: Vmid,
    },
    /// Protect the last archive that holds the old copy, before any backup that prunes; later ones will not hold it.
    ProtectArchive {
        /// The node.
        node: NodeName,
        /// The archive.
        volid: VolumeId,
    },
    /// Remove the old copy: only when a person says so and names the volume.
    DropOld {
        /// Where it is.
        path: String,
        /// Whether the directory itself stays: it may be a mount point, or somebody else's.
        emptied: bool,
    },
}

/// A step of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacementStep {
    /// Who carries it out.
    pub side: Side,
    /// What is done.
    #[serde(flatten)]
    pub action: PlacementAction,
    /// What is true, and what to do, when everything stops before this step is done.
    pub if_stopped: String,
    /// What it takes.
    pub needs: StepNeeds,
}
