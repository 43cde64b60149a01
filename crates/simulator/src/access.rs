//! Who may do what: principals and the permission algorithm of Proxmox VE.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::call::ApiError;
use crate::world::World;

/// An authenticated identity: `root@pam` or `user@realm!token`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Principal(String);

impl Principal {
    pub(crate) fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Literally `root@pam`: none of its tokens is.
    pub(crate) fn is_root(&self) -> bool {
        self.0 == "root@pam"
    }

    /// The user behind a token; a user itself otherwise.
    pub(crate) fn owner(&self) -> &str {
        self.0.split_once('!').map_or(self.0.as_str(), |(user, _)| user)
    }
}

/// Users, tokens, roles, ACLs.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct State {
    placeholder: BTreeMap<String, String>,
}

/// A resource pool.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Pool {
    pub(crate) comment: Option<String>,
    pub(crate) vms: BTreeSet<u32>,
    pub(crate) storages: BTreeSet<String>,
}

impl World {
    /// All of the privileges on a path, else 403 naming the first one missing.
    pub(crate) fn check(&self, who: &Principal, path: &str, privs: &[&str]) -> Result<(), ApiError> {
        match privs.iter().find(|privilege| !self.has(who, path, privilege)) {
            Some(missing) => Err(ApiError::forbidden(&format!("{path}, {missing}"))),
            None => Ok(()),
        }
    }

    /// At least one of the privileges on a path, else 403 naming them all.
    pub(crate) fn check_any(&self, who: &Principal, path: &str, privs: &[&str]) -> Result<(), ApiError> {
        if privs.iter().any(|privilege| self.has(who, path, privilege)) {
            return Ok(());
        }
        Err(ApiError::forbidden(&format!("{path}, {}", privs.join("|"))))
    }

    pub(crate) fn has(&self, who: &Principal, _path: &str, _privilege: &str) -> bool {
        who.is_root()
    }

    /// The privileges a guest needs at its creation: by its pool or by its own path.
    pub(crate) fn check_vm(&self, who: &Principal, vmid: u32, pool: Option<&str>, privs: &[&str]) -> Result<(), ApiError> {
        if let Some(pool) = pool
            && self.check(who, &format!("/pool/{pool}"), privs).is_ok()
        {
            return Ok(());
        }
        self.check(who, &format!("/vms/{vmid}"), privs)
    }

    /// Forgets the ACLs and the pool membership of a guest that is gone.
    pub(crate) fn guest_destroyed(&mut self, vmid: u32) {
        for pool in self.pools.values_mut() {
            pool.vms.remove(&vmid);
        }
    }

    /// Forgets the ACLs and the pool membership of a storage that is gone.
    pub(crate) fn storage_removed(&mut self, id: &str) {
        for pool in self.pools.values_mut() {
            pool.storages.remove(id);
        }
    }
}
