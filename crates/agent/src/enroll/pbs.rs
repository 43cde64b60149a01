//! Enrolling with a Proxmox Backup Server: the key and its recovery kit first, then a user with two tokens on the server, and
//! only then the storage of PVE that is given the key.
//!
//! The order is the point. PVE shows a key that it made itself exactly once, and deletes it with the storage's definition;
//! a key that lies in the kit already survives every lost answer. Nothing here deletes or replaces a definition or a key.

pub mod kit;
pub mod look;
pub mod page;
pub mod perform;
pub mod plan;
pub mod prove;
pub mod runbook;

use std::path::PathBuf;

use felhom_ids::{Fingerprint, KeyFingerprint, StorageId, TokenId, UserId};
use felhom_proxmox::pbs::Place;
use felhom_proxmox::pbs::identities::{Change, Grant};
use felhom_proxmox::pve::storage::StorageConfig;

use super::Identity;

/// The role of the storage's token: it makes backups and reads its own, and can neither prune nor delete anything. A box that
/// was taken over cannot take its backups with it.
pub const WRITER_ROLE: &str = "DatastoreBackup";
/// The role of the agent's token: it lists, has verified, and reads.
pub const READER_ROLE: &str = "DatastoreReader";

/// The comment of a token that was made beside this key's kit.
pub fn made_with(key: &KeyFingerprint) -> String {
    format!("{}, key {}", super::MADE, key.short())
}

/// What shall be there.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The storage's name in PVE.
    pub storage: StorageId,
    /// The backup server as PVE reaches it.
    pub server: String,
    /// Its port.
    pub port: u16,
    /// Its certificate.
    pub fingerprint: Fingerprint,
    /// Datastore and namespace.
    pub place: Place,
    /// The token that makes backups, and the file for its secret until PVE has it.
    pub writer: Identity,
    /// The agent's own token.
    pub reader: Identity,
    /// The directory of the recovery kit.
    pub kit: PathBuf,
    /// A public key in PEM form; a copy of the backups' key under it goes with each backup.
    pub master_key: Option<String>,
    /// The configuration file.
    pub config: PathBuf,
}

impl Wanted {
    /// The user that both tokens are of.
    pub fn user(&self) -> &UserId {
        self.writer.token.user()
    }

    /// Whether a copy of the key goes with each backup: by the definition that is there, else by what is wanted.
    pub fn has_escrow(&self, there: Option<&StorageConfig>) -> bool {
        there.map_or(self.master_key.is_some(), |there| {
            there.master_key.is_some()
        })
    }

    /// All grants: a token has only what is granted to it *and* to its user.
    pub fn grants(&self) -> Vec<Change> {
        let grant = |role: &str| Grant {
            path: self.place.acl_path(),
            role: role.to_owned(),
            delete: false,
        };
        let each = [(WRITER_ROLE, &self.writer), (READER_ROLE, &self.reader)];
        let users = each.map(|(role, _)| Change::GrantUser(grant(role), self.user().clone()));
        let tokens =
            each.map(|(role, identity)| Change::GrantToken(grant(role), identity.token.clone()));
        users.into_iter().chain(tokens).collect()
    }

    /// What of a definition that is there contradicts this one.
    pub fn contradictions(&self, there: &StorageConfig) -> Vec<String> {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let namespace = self.place.namespace.to_string();
        let pairs = [
            ("type", there.kind.clone(), "pbs".to_owned()),
            ("server", text(&there.server), self.server.clone()),
            (
                "port",
                there.port.unwrap_or(8007).to_string(),
                self.port.to_string(),
            ),
            (
                "datastore",
                text(&there.datastore),
                self.place.store.to_string(),
            ),
            ("namespace", text(&there.namespace), namespace),
            (
                "username",
                text(&there.username),
                self.writer.token.to_string(),
            ),
        ];
        pairs
            .into_iter()
            .filter(|(_, there, wanted)| there != wanted)
            .map(|(key, there, wanted)| {
                format!(
                    "storage `{}` is defined already, with {key} `{there}` instead of `{wanted}`",
                    self.storage
                )
            })
            .collect()
    }
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A key is made and written into the kit.
    MakeKit,
    /// The page of a kit whose key is there is written (again).
    WritePage,
    /// Of the backup server's users and grants.
    Change(Change),
    /// A token of the backup server, and the file for its secret.
    Issue {
        /// Which.
        token: TokenId,
        /// Whether there is one whose secret nobody has: it is deleted first.
        again: bool,
        /// The file.
        secret: PathBuf,
    },
    /// PVE gets the storage, and with it the key.
    Define,
    /// The agent's configuration gets its section.
    WriteConfig,
    /// The storage's secret, which PVE has now, goes from here.
    Forget(PathBuf),
}
