//! What a volume should be: in the backup or out of it, by whose word, and never by a guess.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a volume should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VolumeClass {
    /// Belongs in the guest's backup.
    Hot,
    /// Must not be in it.
    Bulk,
}

impl fmt::Display for VolumeClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hot => "hot",
            Self::Bulk => "bulk",
        })
    }
}

/// The text is no class.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no class; expected `hot` or `bulk`")]
pub struct ParseVolumeClassError(String);

impl FromStr for VolumeClass {
    type Err = ParseVolumeClassError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "hot" => Ok(Self::Hot),
            "bulk" => Ok(Self::Bulk),
            other => Err(ParseVolumeClassError(other.chars().take(64).collect())),
        }
    }
}

/// Somebody's word that a volume may be lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptedLoss {
    /// Who said so.
    pub by: String,
    /// On which day, `2026-11-23`.
    pub on: String,
}

/// What protects a bulk volume, since its guest's backup does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cover {
    /// Something else backs it up, in the admin's words.
    ProtectedBy(String),
    /// It may be lost.
    AcceptedLoss(AcceptedLoss),
}

impl fmt::Display for Cover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ProtectedBy(what) => write!(f, "protected by {what}"),
            Self::AcceptedLoss(loss) => write!(f, "loss accepted by {} on {}", loss.by, loss.on),
        }
    }
}

/// What a volume was found to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Classed {
    /// Somebody said so.
    As {
        /// What.
        class: VolumeClass,
        /// Who said so, and why.
        why: String,
        /// What protects it, when that is not the guest's backup.
        cover: Option<Cover>,
    },
    /// Nobody said anything, or nothing that can be followed.
    Unknown {
        /// Why not.
        why: String,
    },
}

impl Classed {
    /// The class, where there is one.
    pub fn class(&self) -> Option<VolumeClass> {
        match self {
            Self::As { class, .. } => Some(*class),
            Self::Unknown { .. } => None,
        }
    }

    /// Who said so and why; or why nobody did.
    pub fn why(&self) -> &str {
        match self {
            Self::As { why, .. } | Self::Unknown { why } => why,
        }
    }

    /// What protects it besides the guest's backup.
    pub fn cover(&self) -> Option<&Cover> {
        match self {
            Self::As { cover, .. } => cover.as_ref(),
            Self::Unknown { .. } => None,
        }
    }
}
