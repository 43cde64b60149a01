//! The verdict of a restore test, and why.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::evidence::EvidenceLevel;

/// What a restore test says. Only `Failed` is a statement about the backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The copy came back and showed the evidence that the policy asks for.
    Passed,
    /// The backup is bad.
    Failed,
    /// The test could not run; the previous verdict stands.
    Error,
    /// Never tested.
    Unverified,
}

impl Verdict {
    /// The word that journals and tables use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Error => "error",
            Self::Unverified => "unverified",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A verdict with its reasons, fixed before the clean-up begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// What the test says.
    pub verdict: Verdict,
    /// The evidence that was reached, where a boot took place.
    pub level: Option<EvidenceLevel>,
    /// Why, most important first.
    pub reasons: Vec<String>,
}

impl Judgement {
    pub(crate) fn failed(reason: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Failed,
            level: None,
            reasons: vec![reason.into()],
        }
    }

    pub(crate) fn error(reason: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Error,
            level: None,
            reasons: vec![reason.into()],
        }
    }
}
