//! Why root did not do what it was asked for.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What kind of refusal it is; stable, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// The peer is not the agent's user.
    NotAllowed,
    /// The request could not be read.
    Malformed,
    /// Root's configuration does not provide for it, or cannot be trusted.
    NotConfigured,
    /// The VMID lies outside of the range of root's configuration.
    OutsideRange,
    /// There is no such target, guest, template or task.
    NotFound,
    /// It is there already, and otherwise than asked for.
    Exists,
    /// No disk with that file system is attached, or the target's disk is gone.
    Detached,
    /// Another disk stands where the target's was.
    Wrong,
    /// The disk cannot be a target: not removable, in use, a file system that is not supported, or two with the same UUID.
    Unsuitable,
    /// The file system takes no data: mounted read-only, or the disk is.
    ReadOnly,
    /// The file system is full.
    Full,
    /// Somebody holds it; the report says who.
    InUse,
    /// It is not proven to be what may be touched.
    NotProven,
    /// Another operation on the same thing has not ended.
    Busy,
    /// It was tried, and failed; what was tried last is told.
    Failed,
    /// It took too long and was given up; nobody knows how far it got.
    TimedOut,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAllowed => "not-allowed",
            Self::Malformed => "malformed",
            Self::NotConfigured => "not-configured",
            Self::OutsideRange => "outside-range",
            Self::NotFound => "not-found",
            Self::Exists => "exists",
            Self::Detached => "detached",
            Self::Wrong => "wrong",
            Self::Unsuitable => "unsuitable",
            Self::ReadOnly => "read-only",
            Self::Full => "full",
            Self::InUse => "in-use",
            Self::NotProven => "not-proven",
            Self::Busy => "busy",
            Self::Failed => "failed",
            Self::TimedOut => "timed-out",
        })
    }
}

/// A refusal, with the reason in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    /// Its kind.
    pub code: Code,
    /// The reason, for a person.
    pub text: String,
}

impl Refusal {
    /// A refusal.
    pub fn new(code: Code, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { code, text }
    }

    /// Whether nothing was done: everything but a failure or a time-out.
    pub fn is_clean(&self) -> bool {
        !matches!(self.code, Code::Failed | Code::TimedOut)
    }
}
