//! Where an expectation comes from: a real server's recorded answer, its source, or nothing better than our own mind.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

/// What an expectation rests on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Evidence {
    /// Exchanges of these names with a real server.
    Recorded(Vec<String>),
    /// Subroutines of Proxmox's source: `FILE:sub`.
    Source(Vec<String>),
    /// Points of the written account of a running server: `§1.4`.
    Facts(Vec<String>),
    /// Nobody has looked.
    Assumed,
}

/// Evidence that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is none of `recorded NAME…`, `source FILE:sub…`, `facts §POINT…`, `assumed`")]
pub struct InvalidEvidence(String);

impl Evidence {
    /// One word for counting.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Recorded(_) => "recorded",
            Self::Source(_) => "source",
            Self::Facts(_) => "facts",
            Self::Assumed => "assumed",
        }
    }
}

impl FromStr for Evidence {
    type Err = InvalidEvidence;

    fn from_str(text: &str) -> Result<Self, InvalidEvidence> {
        let mut words = text.split_whitespace();
        let kind = words.next();
        let names: Vec<String> = words.map(str::to_owned).collect();
        match kind {
            Some("recorded") if !names.is_empty() => Ok(Self::Recorded(names)),
            Some("source") if !names.is_empty() && names.iter().all(|name| name.contains(':')) => {
                Ok(Self::Source(names))
            }
            Some("facts")
                if !names.is_empty() && names.iter().all(|name| name.starts_with('§')) =>
            {
                Ok(Self::Facts(names))
            }
            Some("assumed") if names.is_empty() => Ok(Self::Assumed),
            _ => Err(InvalidEvidence(text.to_owned())),
        }
    }
}

impl TryFrom<String> for Evidence {
    type Error = InvalidEvidence;

    fn try_from(text: String) -> Result<Self, InvalidEvidence> {
        text.parse()
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Recorded(names) | Self::Source(names) | Self::Facts(names) => {
                write!(out, "{} {}", self.kind(), names.join(" "))
            }
            Self::Assumed => out.write_str("assumed"),
        }
    }
}
