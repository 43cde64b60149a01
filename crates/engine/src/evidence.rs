//! What a booted copy showed of itself, in levels that a policy can ask for.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How much a restored guest has shown. Ordered: a higher level includes the lower ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EvidenceLevel {
    /// The start task was OK; pid and uptime stayed stable for the asked time.
    Started,
    /// The guest's own init did something we asked for: it put our address on the interface.
    Booted,
    /// Something inside the guest replied: a virtual machine's guest agent, or the in-guest controller.
    Answered,
}

impl fmt::Display for EvidenceLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Started => "started",
            Self::Booted => "booted",
            Self::Answered => "answered",
        })
    }
}

/// The text is no evidence level.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no evidence level; expected `started`, `booted` or `answered`")]
pub struct ParseEvidenceLevelError(String);

impl FromStr for EvidenceLevel {
    type Err = ParseEvidenceLevelError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "started" => Ok(Self::Started),
            "booted" => Ok(Self::Booted),
            "answered" => Ok(Self::Answered),
            other => Err(ParseEvidenceLevelError(other.to_owned())),
        }
    }
}

/// What was seen of a booted copy.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Evidence {
    /// Whether the guest was still running, with the same pid, after the asked time.
    pub stable: bool,
    /// The pid of the guest's init on the host, where the server tells it.
    pub pid: Option<u64>,
    /// Uptime in seconds at the last look.
    pub uptime_s: u64,
    /// Addresses read back, by interface name.
    pub addresses: BTreeMap<String, Vec<String>>,
    /// The addresses of ours that were found.
    pub nonces_seen: Vec<String>,
    /// From the start of the guest to the first sight of a nonce, by a monotonic clock, in milliseconds.
    pub booted_after_ms: Option<u64>,
    /// Whether something inside replied: a virtual machine's guest agent.
    #[serde(default)]
    pub answered: bool,
    /// Why nothing did, where it was asked.
    #[serde(default)]
    pub unanswered: Option<String>,
    /// How long the node itself has been up, in seconds: a guest that is down after a reboot of the node says nothing.
    pub node_uptime_s: Option<u64>,
}

impl Evidence {
    /// The level this evidence reaches; `None` when the guest did not stay up.
    pub fn level(&self) -> Option<EvidenceLevel> {
        match (self.stable, self.nonces_seen.is_empty()) {
            (false, _) => None,
            (true, _) if self.answered => Some(EvidenceLevel::Answered),
            (true, true) => Some(EvidenceLevel::Started),
            (true, false) => Some(EvidenceLevel::Booted),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_is_read_as_it_is_written() {
        for level in [
            EvidenceLevel::Started,
            EvidenceLevel::Booted,
            EvidenceLevel::Answered,
        ] {
            assert_eq!(level.to_string().parse(), Ok(level));
        }
        let error = "alive".parse::<EvidenceLevel>().unwrap_err();
        assert!(error.to_string().contains("`answered`"), "{error}");
    }
}
