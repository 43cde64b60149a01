//! Whether the storage that stands under a name is the one that stood there before, and whether it can be used.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::durable::{Backing, durable_id, place};

/// The state of a storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Attachment {
    /// It is there, and the one that was remembered.
    Attached,
    /// It is not there now.
    Detached,
    /// Another one stands under its name.
    Wrong,
    /// Nobody can say.
    Unknown,
}

impl fmt::Display for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Attached => "attached",
            Self::Detached => "detached",
            Self::Wrong => "wrong",
            Self::Unknown => "unknown",
        })
    }
}

/// What asking for a storage came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// It is not defined, and the list is whole.
    Undefined,
    /// It is defined, and PVE says whether it is active.
    Active(bool),
    /// There was no answer in time, or the list may be shortened, and why.
    None(String),
}

/// The state of a storage: what stands there now, against the durable id that was remembered of it.
pub fn attachment(
    answer: &Answer,
    backing: Option<&Backing>,
    remembered: Option<&str>,
) -> Attachment {
    let differs = difference(backing, remembered);
    match (answer, differs) {
        (Answer::Undefined, _) => Attachment::Detached,
        // A definition is read without the storage, so it is wrong whether or not that answers.
        (_, Difference::Other | Difference::Certificate) => Attachment::Wrong,
        (Answer::None(_), _) | (Answer::Active(true), Difference::Untold) => Attachment::Unknown,
        (Answer::Active(false), _) => Attachment::Detached,
        (Answer::Active(true), Difference::None) => Attachment::Attached,
    }
}

/// How far what stands there is from what was remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Difference {
    /// Not at all, or nothing was remembered.
    None,
    /// The same datastore under another certificate.
    Certificate,
    /// Something else.
    Other,
    /// One of the two is known by its path only: the file system's UUID could not be read.
    Untold,
}

pub(super) fn difference(backing: Option<&Backing>, remembered: Option<&str>) -> Difference {
    let (Some(backing), Some(remembered)) = (backing, remembered) else {
        return Difference::None;
    };
    match durable_id(backing) {
        None => Difference::Untold,
        Some(id) if id == remembered => Difference::None,
        Some(_) if same_place(backing, remembered) => Difference::Certificate,
        Some(id) if id.starts_with("path:") != remembered.starts_with("path:") => {
            // A directory that became an export is another storage; a directory whose UUID cannot be read may be the same.
            if id.starts_with("path:") && remembered.starts_with("UUID=")
                || id.starts_with("UUID=") && remembered.starts_with("path:")
            {
                Difference::Untold
            } else {
                Difference::Other
            }
        }
        Some(_) => Difference::Other,
    }
}

fn same_place(backing: &Backing, remembered: &str) -> bool {
    let known = remembered.split('#').next();
    place(backing).is_some_and(|place| known == Some(place.as_str()))
}
