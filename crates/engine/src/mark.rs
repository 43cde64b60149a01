//! The mark by which we know our own: written into descriptions and notes, and compared before anything is destroyed.
//!
//! A clone copies the description of its origin, so the mark carries the VMID it was made for.

use std::fmt;
use std::str::FromStr;

use felhom_ids::Vmid;
use serde::{Deserialize, Serialize};

use crate::job::JobId;

/// Names one installation of the agent: 32 lower-case hexadecimal digits, drawn once when the journal is made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InstallationId(String);

impl InstallationId {
    /// Thirty-two zeros: for plans that are made before there is a journal. No journal ever has this name.
    pub fn unnamed() -> Self {
        Self("0".repeat(32))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The text is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no {what}")]
pub struct ParseMarkError {
    text: String,
    what: &'static str,
}

impl ParseMarkError {
    fn new(text: &str, what: &'static str) -> Self {
        Self {
            text: text.to_owned(),
            what,
        }
    }
}

impl FromStr for InstallationId {
    type Err = ParseMarkError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ParseMarkError::new(
                text,
                "installation id (32 hexadecimal digits)",
            ))
        }
    }
}

impl TryFrom<String> for InstallationId {
    type Error = ParseMarkError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<InstallationId> for String {
    fn from(id: InstallationId) -> Self {
        id.0
    }
}

impl fmt::Display for InstallationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What we write into the description of a scratch guest and into the notes of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Whose it is.
    pub installation: InstallationId,
    /// The job that made it.
    pub job: JobId,
    /// The guest it was made for: the scratch VMID, or the VMID that was backed up.
    pub vmid: Vmid,
}

const PREFIX: &str = "felhom-mark:v1:";

impl Mark {
    /// The mark in a description or in notes, if there is one. Two different marks are none: we cannot tell whose it is.
    pub fn find(text: &str) -> Option<Self> {
        let mut marks = text
            .split_whitespace()
            .filter_map(|word| word.parse::<Self>().ok());
        let first = marks.next()?;
        marks.all(|other| other == first).then_some(first)
    }
}

/// What the root helper writes into the description of a golden container, before its number.
const GOLDEN: &str = "felhom: golden container ";

/// The golden container that a description tells of; a restored guest's tells of none.
pub(crate) fn golden_container(description: &str) -> Option<Vmid> {
    let mut lines = description.lines();
    lines.find_map(|line| line.trim().strip_prefix(GOLDEN)?.parse().ok())
}

/// Whether this line of a description makes the guest a golden container.
pub(crate) fn is_golden(line: &str) -> bool {
    line.trim().starts_with(GOLDEN)
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{PREFIX}{}:{}:{}",
            self.installation, self.job, self.vmid
        )
    }
}

impl FromStr for Mark {
    type Err = ParseMarkError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || ParseMarkError::new(text, "mark of felhom-agent");
        let mut parts = text.strip_prefix(PREFIX).ok_or_else(refuse)?.split(':');
        let (Some(installation), Some(job), Some(vmid), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(refuse());
        };
        Ok(Self {
            installation: installation.parse()?,
            job: job.parse().map_err(|_| refuse())?,
            vmid: vmid.parse().map_err(|_| refuse())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(vmid: u32) -> Mark {
        Mark {
            installation: "0123456789abcdef0123456789abcdef".parse().unwrap(),
            job: "6b03a1f2c4d5e6f7".parse().unwrap(),
            vmid: Vmid::new(vmid).unwrap(),
        }
    }

    #[test]
    fn a_mark_is_found_again_among_other_words() {
        let text = format!("scratch guest\nmade by felhom-agent\n\n{}\n", mark(9100));
        assert_eq!(Mark::find(&text), Some(mark(9100)));
    }

    #[test]
    fn two_different_marks_are_none() {
        let text = format!("{} {}", mark(9100), mark(9101));
        assert_eq!(Mark::find(&text), None);
        assert_eq!(
            Mark::find(&format!("{0} {0}", mark(9100))),
            Some(mark(9100))
        );
    }

    #[test]
    fn half_a_mark_is_none() {
        let whole = mark(9100).to_string();
        for cut in 0..whole.len() - 1 {
            let half: String = whole.chars().take(cut).collect();
            assert_eq!(Mark::find(&half).filter(|found| *found == mark(9100)), None);
        }
    }
}
