//! The kit: the page that rebuilds a box without our software, as a document.
//!
//! It holds names, addresses and stock commands, and never a secret. What could not be read stands in it as such.

use serde::{Deserialize, Serialize};

use crate::document::{Document, DocumentError};

/// Entries of the longest list in an honest kit.
const MOST_ENTRIES: usize = 10_000;

/// How to rebuild a box, step by step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kit {
    /// The installation that made it; none before the first job.
    #[serde(default)]
    pub installation: Option<String>,
    /// When it was made, in seconds since 1970 by the clock of the box.
    pub made_s: i64,
    /// The program's version.
    pub agent_version: String,
    /// The box.
    pub node: KitNode,
    /// The backup servers that it backs up to.
    #[serde(default)]
    pub servers: Vec<KitServer>,
    /// The guests, in the order in which they come back.
    #[serde(default)]
    pub guests: Vec<KitGuest>,
    /// What the page cannot do, one sentence each.
    #[serde(default)]
    pub gaps: Vec<String>,
    /// What is to be done, in order.
    #[serde(default)]
    pub steps: Vec<KitStep>,
    /// What makes the page worthless, one line each.
    #[serde(default)]
    pub stale_when: Vec<String>,
    /// What the files of the lost box said, to be compared and not to be typed.
    #[serde(default)]
    pub files: Vec<KitFile>,
}

/// The box that is to be rebuilt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KitNode {
    /// Its name.
    pub name: String,
    /// Such as `9.2.11`; none where it could not be read.
    #[serde(default)]
    pub pve_version: Option<String>,
    /// SHA-256 of its certificate; a rebuilt box has another.
    #[serde(default)]
    pub fingerprint: Option<String>,
}

/// A backup server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KitServer {
    /// The storage that it stands behind.
    pub storage: String,
    /// Its host name or address.
    pub server: String,
    /// The datastore.
    pub datastore: String,
    /// The namespace; empty for the root.
    #[serde(default)]
    pub namespace: String,
    /// SHA-256 of its certificate, where the storage pins it.
    #[serde(default)]
    pub fingerprint: Option<String>,
    /// The fingerprint of the key that encrypts the backups; none where they are in the clear.
    #[serde(default)]
    pub key: Option<String>,
    /// Who said when that the key is stored off the box.
    #[serde(default)]
    pub key_stored: Option<String>,
}

/// A guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KitGuest {
    /// Its VMID.
    pub vmid: u32,
    /// `lxc` or `qemu`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// The archive that the page restores.
    #[serde(default)]
    pub archive: Option<KitArchive>,
    /// A newer one that passed no restore test.
    #[serde(default)]
    pub newer: Option<KitArchive>,
}

/// An archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KitArchive {
    /// Its volume id.
    pub volid: String,
    /// When it was made, in seconds since 1970.
    pub made_s: i64,
    /// Bytes.
    pub size: u64,
    /// Where it lies, in words.
    pub place: String,
    /// Whether it is there when the box is not.
    pub off_box: bool,
    /// When it last passed a restore test, in seconds since 1970.
    #[serde(default)]
    pub proven_s: Option<i64>,
}

/// A numbered step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KitStep {
    /// What it is about.
    pub title: String,
    /// What is to be read and typed, in order.
    pub parts: Vec<KitPart>,
}

/// A part of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KitPart {
    /// To be read.
    Say(String),
    /// To be read, since something lacks or has to be done by hand.
    Warn(String),
    /// To be typed, as root: one command.
    Type(String),
    /// A file to be written.
    File(KitFile),
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KitFile {
    /// Where it lies.
    pub path: String,
    /// What stands in it.
    pub text: String,
}

impl Document for Kit {
    const SCHEMA: &'static str = "felhom.kit";
    const VERSION: u64 = 1;

    fn checked(self) -> Result<Self, DocumentError> {
        let lists = [
            ("servers", self.servers.len()),
            ("guests", self.guests.len()),
            ("gaps", self.gaps.len()),
            ("steps", self.steps.len()),
            ("stale_when", self.stale_when.len()),
            ("files", self.files.len()),
        ];
        match lists.into_iter().find(|(_, found)| *found > MOST_ENTRIES) {
            None => Ok(self),
            Some((what, found)) => Err(DocumentError::TooMuch {
                what: format!("`{what}`"),
                found,
                unit: "entries",
                limit: MOST_ENTRIES,
            }),
        }
    }
}
