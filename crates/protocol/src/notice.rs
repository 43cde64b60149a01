//! A notice: something that a person should know, as a webhook gets it.
//!
//! Each has an id that stays the same however often it is sent, so that whoever receives it can tell a repetition. It holds
//! names and verdicts, never what is in a guest.

use serde::{Deserialize, Serialize};

use crate::document::{Document, DocumentError};
use crate::host::Severity;

/// Bytes of the longest text in an honest notice.
const LONGEST: usize = 16 << 10;

/// Something that a person should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Its name, the same whenever it is sent.
    pub id: String,
    /// Whether it may have arrived before: it was sent, and nobody noted how that ended.
    #[serde(default)]
    pub repeated: bool,
    /// Why it is sent.
    pub event: Event,
    /// The installation that sends it.
    pub installation: String,
    /// The node.
    pub node: String,
    /// How much it matters.
    pub severity: Severity,
    /// A code of the reference; `test` for a test.
    pub code: String,
    /// What it is about: `guest 101`, `storage local`.
    pub subject: String,
    /// What is wrong, in a few words.
    pub headline: String,
    /// What was seen.
    pub detail: String,
    /// What to do.
    #[serde(default)]
    pub remedy: Option<String>,
    /// Since when it is wrong, in seconds since 1970.
    pub since_s: i64,
    /// When the notice was made, in seconds since 1970.
    pub made_s: i64,
}

/// Why a notice is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// Something is wrong.
    Opened,
    /// It has become graver.
    Worsened,
    /// It is still wrong.
    Reminder,
    /// It is over.
    Resolved,
    /// Somebody tries whether notices arrive.
    Test,
}

impl Document for Notice {
    const SCHEMA: &'static str = "felhom.notice";
    const VERSION: u64 = 1;

    fn checked(self) -> Result<Self, DocumentError> {
        let remedy = self.remedy.as_ref().map_or(0, String::len);
        let lengths = [
            ("`id`", self.id.len()),
            ("`subject`", self.subject.len()),
            ("`headline`", self.headline.len()),
            ("`detail`", self.detail.len()),
            ("`remedy`", remedy),
        ];
        match lengths.into_iter().find(|(_, length)| *length > LONGEST) {
            None => Ok(self),
            Some((what, found)) => Err(DocumentError::TooMuch {
                what: what.to_owned(),
                found,
                unit: "bytes",
                limit: LONGEST,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{read, write};

    #[test]
    fn a_notice_is_read_as_it_was_written() {
        let notice = Notice {
            id: "0011-7-1".to_owned(),
            repeated: false,
            event: Event::Opened,
            installation: "0011".to_owned(),
            node: "pve".to_owned(),
            severity: Severity::Critical,
            code: "backup-failed".to_owned(),
            subject: "guest 101".to_owned(),
            headline: "guest 101: backup failed".to_owned(),
            detail: "the task failed".to_owned(),
            remedy: None,
            since_s: 1_795_392_000,
            made_s: 1_795_392_000,
        };
        assert_eq!(read::<Notice>(write(&notice).as_bytes()).unwrap(), notice);
        let long = Notice {
            detail: "x".repeat(LONGEST + 1),
            ..notice
        };
        assert!(read::<Notice>(write(&long).as_bytes()).is_err());
    }
}
