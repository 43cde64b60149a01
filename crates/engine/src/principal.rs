//! Who performs a step. Every step names its principal, so that a right that is missing or too much is visible.

use std::fmt;

use felhom_ids::StorageId;
use serde::{Deserialize, Serialize};

/// The identities a step can run as. One token may serve both on a small box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Principal {
    /// Observes and backs up.
    Agent,
    /// Restores into, boots and destroys scratch guests; has no right over production guests but to read their backups.
    RestoreTest,
    /// Restores a guest for real; its rights are given for the occasion and taken back afterwards.
    Restore,
}

/// Who a step speaks to. On a backup server the agent has a token of its own, whoever it is on the node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Remote {
    /// The node itself.
    #[default]
    Node,
    /// The Proxmox Backup Server behind this storage of PVE: a box may have several.
    Pbs(StorageId),
    /// The root helper on the node, which answers to the agent's user and knows no tokens.
    Host,
}

impl Remote {
    /// Whether this is the node.
    pub fn is_node(&self) -> bool {
        *self == Self::Node
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Agent => "agent",
            Self::RestoreTest => "restore-test",
            Self::Restore => "restore",
        })
    }
}
