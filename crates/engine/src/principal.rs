//! Who performs a step. Every step names its principal, so that a right that is missing or too much is visible.

use std::fmt;

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

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Agent => "agent",
            Self::RestoreTest => "restore-test",
            Self::Restore => "restore",
        })
    }
}
