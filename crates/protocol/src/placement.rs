//! The placement plan: what moves a guest's volumes to where their class belongs, step by step.
//!
//! The steps on the side of the guest are for the in-guest controller, which follows `action`; `what` and `commands` say the
//! same to people, who can type them.

use std::collections::BTreeMap;

use felhom_ids::Vmid;
use serde::{Deserialize, Serialize};

use crate::document::{Document, DocumentError};

/// What is to be done about a guest's volumes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacementPlan {
    /// The guest.
    pub vmid: Vmid,
    /// The storage on which new mount points are made.
    pub storage: String,
    /// Bytes that the new mount points may take, all together.
    pub space: u64,
    /// One by one, in order.
    pub moves: Vec<VolumeMove>,
    /// What cannot be planned for; with any of these the plan is not to be carried out as it is.
    #[serde(default)]
    pub refused: Vec<Refused>,
}

/// Something that cannot be planned for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// What stands in the way.
    pub what: String,
    /// What can be done.
    #[serde(default)]
    pub hint: Option<String>,
}

/// The way of one volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeMove {
    /// The volume; the path for a bind mount.
    pub volume: String,
    /// `hot` or `bulk`.
    pub class: String,
    /// Where its bytes lie now, inside the guest.
    pub from: String,
    /// Where they will lie.
    pub to: String,
    /// The mount point that is made for it: `mpN`.
    pub key: String,
    /// Bytes to copy, where they are known.
    #[serde(default)]
    pub bytes: Option<u64>,
    /// Bytes of the new mount point.
    pub size: u64,
    /// What the node's half needs, all steps together.
    pub privileges: Vec<Privilege>,
    /// Containers that stand still meanwhile.
    pub stops: Vec<String>,
    /// For how many seconds, at 100 MiB/s, without what a person takes meanwhile.
    #[serde(default)]
    pub downtime_s: Option<u64>,
    /// What becomes of the old copy, and who removes it.
    #[serde(default)]
    pub old_copy: String,
    /// In order.
    pub steps: Vec<Step>,
}

/// A privilege on a path of Proxmox's access control.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Privilege {
    /// `/vms/9010`.
    pub path: String,
    /// `VM.Config.Disk`.
    pub privilege: String,
}

/// Room that a step takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Space {
    /// A storage of the node, or a directory of the guest.
    pub place: String,
    /// Bytes, at most; nothing when nobody can say.
    #[serde(default)]
    pub bytes: Option<u64>,
}

/// Who carries a step out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The node: root, or a token with the step's privileges.
    Node,
    /// Root inside the guest.
    Guest,
    /// A person, who needs no privilege.
    Person,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Who carries it out.
    pub side: Side,
    /// What is done.
    #[serde(flatten)]
    pub action: Action,
    /// The same in words.
    pub what: String,
    /// The same in commands; none where a person must decide how.
    pub commands: Vec<String>,
    /// What is true, and what to do, when everything stops before this step is done.
    pub if_stopped: String,
    /// What a token needs for it on the node's side.
    #[serde(default)]
    pub privileges: Vec<Privilege>,
    /// The room it takes; empty when it takes none.
    #[serde(default)]
    pub space: Vec<Space>,
    /// Seconds by which the containers stand still longer; nothing when nobody can say.
    #[serde(default)]
    pub downtime_s: Option<u64>,
}

/// What a step does. Paths are absolute, inside the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "action")]
pub enum Action {
    /// Make a mount point of the guest.
    AddMount {
        /// `mpN`.
        key: String,
        /// Where its volume is made.
        storage: String,
        /// Its size in GiB.
        gib: u64,
        /// Where it is mounted.
        path: String,
        /// Whether backups hold it.
        backup: bool,
    },
    /// See that it is mounted, and make the data directory in it.
    PrepareMount {
        /// Where it is mounted.
        path: String,
        /// The directory for the data.
        data: String,
    },
    /// Stop containers.
    StopContainers {
        /// Their names.
        names: Vec<String>,
    },
    /// Copy everything that is in a directory.
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
    /// Remove containers, each when its description is kept.
    RemoveContainers {
        /// Their names.
        names: Vec<String>,
    },
    /// Move a directory aside, whole: a rename, never a copy to another file system.
    SetAside {
        /// From here.
        from: String,
        /// To there.
        to: String,
    },
    /// Make a Docker volume anew, on another directory. Docker removes what is in its own: it must be empty.
    RecreateVolume {
        /// Its name.
        name: String,
        /// The directory that holds its data.
        device: String,
        /// Its labels.
        labels: BTreeMap<String, String>,
        /// Labels that reports do not tell the values of.
        #[serde(default)]
        untold: Vec<String>,
    },
    /// Let containers mount another directory.
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
        #[serde(default)]
        idle: Vec<String>,
    },
    /// Tell the agent of the new place, back up, and see the proof.
    Prove,
    /// Back up as things are: no archive is known to hold the volume.
    BackUp,
    /// Protect the last archive that still holds the old copy, before any backup that prunes.
    ProtectArchive {
        /// The archive.
        volid: String,
    },
    /// Remove the old copy: only when a person says so and names the volume.
    DropOld {
        /// Where it is.
        path: String,
        /// Whether the directory itself stays.
        emptied: bool,
    },
}

/// As many moves as any guest has mount points for; the first of them may protect an archive for each of the others.
const MOVES: usize = 256;
const STEPS: usize = 32 + MOVES;

impl Action {
    /// The directories that it works on.
    fn paths(&self) -> Vec<&str> {
        match self {
            Self::AddMount { path, .. } | Self::DropOld { path, .. } => vec![path],
            Self::PrepareMount { path, data } => vec![path, data],
            Self::CopyTree { from, to }
            | Self::CompareTrees { from, to }
            | Self::SetAside { from, to }
            | Self::Repoint { from, to, .. } => vec![from, to],
            Self::RecreateVolume { device, .. } => vec![device],
            Self::StopContainers { .. }
            | Self::RemoveContainers { .. }
            | Self::StartContainers { .. }
            | Self::BackUp
            | Self::Prove
            | Self::ProtectArchive { .. } => Vec::new(),
        }
    }
}

/// Absolute, below the root, and without a way out.
fn is_inside(path: &str) -> bool {
    let Some(rest) = path.strip_prefix('/') else {
        return false;
    };
    !path.contains('\0') && rest.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

fn at_most(what: &str, found: usize, limit: usize) -> Result<(), DocumentError> {
    if found <= limit {
        return Ok(());
    }
    Err(DocumentError::TooMuch {
        what: what.to_owned(),
        found,
        unit: "entries",
        limit,
    })
}

impl Document for PlacementPlan {
    const SCHEMA: &'static str = "felhom.placement-plan";
    const VERSION: u64 = 1;

    /// Whoever follows it works as root: a path that leads elsewhere than it says is refused.
    fn checked(self) -> Result<Self, DocumentError> {
        at_most("the list of moves", self.moves.len(), MOVES)?;
        for moved in &self.moves {
            at_most("a list of steps", moved.steps.len(), STEPS)?;
            for path in moved.steps.iter().flat_map(|step| step.action.paths()) {
                if !is_inside(path) {
                    let shown: String = path.escape_debug().take(80).collect();
                    return Err(DocumentError::Names(format!(
                        "`{shown}` is no plain absolute path of a guest"
                    )));
                }
            }
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{read, write};

    fn plan(to: &str) -> PlacementPlan {
        let action = Action::CopyTree {
            from: "/srv/films".into(),
            to: to.into(),
        };
        PlacementPlan {
            vmid: Vmid::new(9010).unwrap(),
            storage: "local-lvm".into(),
            space: 1 << 30,
            moves: vec![VolumeMove {
                volume: "films".into(),
                class: "bulk".into(),
                from: "/srv/films".into(),
                to: to.into(),
                key: "mp4".into(),
                bytes: None,
                size: 1 << 30,
                privileges: Vec::new(),
                stops: Vec::new(),
                downtime_s: None,
                old_copy: "stays".into(),
                steps: vec![Step {
                    side: Side::Guest,
                    action,
                    what: "copy".into(),
                    commands: Vec::new(),
                    if_stopped: "nothing has changed".into(),
                    privileges: Vec::new(),
                    space: vec![Space {
                        place: to.into(),
                        bytes: Some(1 << 30),
                    }],
                    downtime_s: Some(0),
                }],
            }],
            refused: Vec::new(),
        }
    }

    #[test]
    fn a_plan_is_read_as_it_was_written() {
        let plan = plan("/mnt/felhom/films/data");
        assert_eq!(
            read::<PlacementPlan>(write(&plan).as_bytes()).unwrap(),
            plan
        );
    }

    #[test]
    fn a_path_that_leads_elsewhere_is_refused() {
        for path in [
            "",
            "/",
            "mnt",
            "/mnt/../etc",
            "/mnt//x",
            "/mnt/./x",
            "/mnt/\0",
        ] {
            let text = write(&plan(path));
            let told = read::<PlacementPlan>(text.as_bytes()).unwrap_err();
            assert!(
                told.to_string().contains("absolute path"),
                "{path:?}: {told}"
            );
        }
    }
}
