//! Enrolling: the roles, users, tokens, grants, pool, bridge and files that the agent needs for chosen abilities, worked
//! out from what is there already, and told as a plan before anything is changed.
//!
//! What enrolling made carries [`MADE`] as its comment (a role, which has no comment, is known by its privileges). What
//! somebody else made is used where it fits, refused where it does not, and never changed.

pub mod abilities;
pub mod files;
pub mod look;
pub mod pbs;
pub mod perform;
pub mod plan;
pub mod remove;
pub mod runbook;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use felhom_ids::{BridgeName, NodeName, PoolId, StorageId, TokenId, Vmid};
use felhom_proxmox::pve::identities::{ApplyNetwork, Change, IssueToken};
use felhom_proxmox::{Endpoint, Request};

pub use abilities::{Ability, Guests};

/// The comment of whatever enrolling made.
pub const MADE: &str = "made by felhom-agent enroll";

/// What the box shall look like.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The node; a placeholder of the shell where nobody has been asked.
    pub node: String,
    /// What the agent shall be able to do.
    pub abilities: BTreeSet<Ability>,
    /// The guests that it works on.
    pub guests: Guests,
    /// Where backups go.
    pub backup_storage: StorageId,
    /// Storages of backup servers, where backups may go as well, and be tested from.
    pub further_storages: BTreeSet<StorageId>,
    /// Where scratch guests live.
    pub target_storage: StorageId,
    /// The pool of scratch guests.
    pub pool: PoolId,
    /// The bridge that leads nowhere.
    pub bridge: BridgeName,
    /// The VMIDs of scratch guests.
    pub range: (Vmid, Vmid),
    /// Everyday token and its secret file.
    pub agent: Identity,
    /// Restore test's token and its secret file.
    pub restore_test: Identity,
    /// The configuration file.
    pub config: PathBuf,
    /// What to write into it; none where it exists.
    pub config_text: Option<String>,
}

/// A token and the file for its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// `user@realm!name`.
    pub token: TokenId,
    /// Its secret's file.
    pub secret: PathBuf,
}

/// A token with all that is granted to it and to its user.
#[derive(Debug, Clone)]
pub struct Principal {
    /// Token and file.
    pub identity: Identity,
    /// ACL path and role.
    pub grants: Vec<(String, &'static str)>,
}

/// Privileges of a role.
pub type Privileges = BTreeSet<String>;

/// Roles by name.
pub type Roles = BTreeMap<&'static str, Privileges>;

/// One change of the box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Of identities, pools, or the host's network.
    Change(Change),
    /// A token or a new secret for it, and the file for that secret.
    Issue {
        /// Which, and how.
        issue: IssueToken,
        /// The file.
        secret: PathBuf,
    },
    /// Pending changes of the host's network come into force.
    ApplyNetwork,
    /// The configuration file.
    WriteConfig {
        /// Where.
        path: PathBuf,
        /// What.
        text: String,
    },
    /// A file of ours goes.
    RemoveFile(PathBuf),
}

impl Step {
    /// Method and path of the request that it is, where it is one.
    pub fn request(&self, node: &NodeName) -> Option<Request> {
        match self {
            Self::Change(change) => Some(change.request(node)),
            Self::Issue { issue, .. } => Some(issue.request(node)),
            Self::ApplyNetwork => Some(ApplyNetwork.request(node)),
            Self::WriteConfig { .. } | Self::RemoveFile(_) => None,
        }
    }

    /// Whether it is about the bridge.
    pub fn is_network(&self) -> bool {
        matches!(
            self,
            Self::ApplyNetwork
                | Self::Change(Change::CreateBridge { .. } | Change::DeleteBridge(_))
        )
    }
}

/// Why enrolling did not go on. What was done until then stays, and the next run goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum EnrollError {
    /// What is there does not allow it; nothing was changed.
    #[error("what is there already stands in the way: {}", .0.join("; "))]
    Refused(Vec<String>),
    /// The server.
    #[error(transparent)]
    Server(Box<felhom_proxmox::Error>),
    /// The answer to a change was lost.
    #[error("nobody can say whether `{step}` was carried out")]
    Undetermined {
        /// The command of the step.
        step: String,
        /// What happened.
        #[source]
        source: Box<felhom_proxmox::Error>,
    },
    /// The task that applies the network failed.
    #[error("applying the network failed: {0}")]
    Network(String),
    /// A file.
    #[error("`{}` cannot be written or removed", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The recovery kit.
    #[error("the recovery kit: {0}")]
    Kit(String),
    /// It was made, and yet does not do what it is for.
    #[error("what was made does not prove itself: {}", .0.join("; "))]
    Unproven(Vec<String>),
}

impl From<felhom_proxmox::Error> for EnrollError {
    fn from(error: felhom_proxmox::Error) -> Self {
        Self::Server(Box::new(error))
    }
}

impl EnrollError {
    /// For `map_err` on a file.
    pub(crate) fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        |source| Self::File {
            path: path.to_owned(),
            source,
        }
    }
}
