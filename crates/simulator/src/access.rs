//! Who may do what: users, tokens, roles, ACLs, pools, and the questions that handlers ask of them.

mod acl_path;
mod permissions;
mod privileges;
mod setup;
mod ticket;

use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};

pub(crate) use acl_path::{is_acl_path, normalized};
pub(crate) use permissions::Granted;
pub(crate) use privileges::{PREDEFINED, Privileges, predefined};

use crate::call::ApiError;
use crate::hex;
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
        self.0
            .split_once('!')
            .map_or(self.0.as_str(), |(user, _)| user)
    }

    /// The token's own name, if this is one.
    pub(crate) fn token(&self) -> Option<&str> {
        self.0.split_once('!').map(|(_, token)| token)
    }
}

/// Users, groups, roles and ACLs: what stands in `user.cfg` and in the private files beside it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct State {
    pub(crate) users: BTreeMap<String, User>,
    pub(crate) groups: BTreeMap<String, Group>,
    /// Without the predefined ones.
    pub(crate) roles: BTreeMap<String, Privileges>,
    pub(crate) acl: BTreeMap<String, PathAcl>,
    /// What tickets are signed with, as hexadecimal text.
    ticket_key: String,
}

impl Default for State {
    fn default() -> Self {
        Self {
            users: BTreeMap::from([("root@pam".to_owned(), User::default())]),
            groups: BTreeMap::new(),
            roles: BTreeMap::new(),
            acl: BTreeMap::new(),
            ticket_key: random_hex(32),
        }
    }
}

/// A user of a realm.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct User {
    pub(crate) enable: bool,
    /// Seconds since the epoch; 0 is never.
    pub(crate) expire: i64,
    pub(crate) comment: Option<String>,
    pub(crate) email: Option<String>,
    pub(crate) firstname: Option<String>,
    pub(crate) lastname: Option<String>,
    pub(crate) groups: BTreeSet<String>,
    pub(crate) tokens: BTreeMap<String, Token>,
    /// In clear: this world has nothing to protect, and whoever starts it must be told.
    pub(crate) password: Option<String>,
}

impl Default for User {
    fn default() -> Self {
        Self {
            enable: true,
            expire: 0,
            comment: None,
            email: None,
            firstname: None,
            lastname: None,
            groups: BTreeSet::new(),
            tokens: BTreeMap::new(),
            password: None,
        }
    }
}

/// An API token of a user.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Token {
    pub(crate) secret: String,
    /// Privilege separation: the token has at most its user's rights, and only those granted to itself.
    pub(crate) privsep: bool,
    pub(crate) expire: i64,
    pub(crate) comment: Option<String>,
}

/// A group of users.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Group {
    pub(crate) comment: Option<String>,
}

/// The ACL entries of one path: subject → role → propagate.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct PathAcl {
    pub(crate) users: BTreeMap<String, BTreeMap<String, bool>>,
    pub(crate) groups: BTreeMap<String, BTreeMap<String, bool>>,
    pub(crate) tokens: BTreeMap<String, BTreeMap<String, bool>>,
}

impl PathAcl {
    pub(crate) fn of(&self, kind: Subject) -> &BTreeMap<String, BTreeMap<String, bool>> {
        match kind {
            Subject::User => &self.users,
            Subject::Group => &self.groups,
            Subject::Token => &self.tokens,
        }
    }

    pub(crate) fn of_mut(
        &mut self,
        kind: Subject,
    ) -> &mut BTreeMap<String, BTreeMap<String, bool>> {
        match kind {
            Subject::User => &mut self.users,
            Subject::Group => &mut self.groups,
            Subject::Token => &mut self.tokens,
        }
    }

    fn is_empty(&self) -> bool {
        self.users.is_empty() && self.groups.is_empty() && self.tokens.is_empty()
    }
}

/// Whom an ACL entry names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    User,
    Group,
    Token,
}

impl Subject {
    pub(crate) const ALL: [Self; 3] = [Self::User, Self::Group, Self::Token];

    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Group => "group",
            Self::Token => "token",
        }
    }
}

/// A resource pool.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Pool {
    pub(crate) comment: Option<String>,
    pub(crate) vms: BTreeSet<u32>,
    pub(crate) storages: BTreeSet<String>,
}

impl State {
    /// What a role grants; an unknown one grants nothing.
    pub(crate) fn role(&self, id: &str) -> Option<Privileges> {
        self.roles.get(id).copied().or_else(|| predefined(id))
    }

    /// Drops ACL entries of subjects that are gone, as writing `user.cfg` does, and paths without entries.
    pub(crate) fn tidy(&mut self) {
        let Self {
            users, groups, acl, ..
        } = self;
        for entry in acl.values_mut() {
            entry.users.retain(|user, _| users.contains_key(user));
            entry.groups.retain(|group, _| groups.contains_key(group));
            entry.tokens.retain(|id, _| {
                id.split_once('!').is_some_and(|(user, token)| {
                    users
                        .get(user)
                        .is_some_and(|user| user.tokens.contains_key(token))
                })
            });
        }
        acl.retain(|_, entry| !entry.is_empty());
    }

    /// Whether the user may log in at all.
    pub(crate) fn is_enabled(&self, user: &str, now: i64) -> bool {
        self.users
            .get(user)
            .is_some_and(|user| user.enable && (user.expire == 0 || user.expire > now))
    }

    /// Whether `id` with this secret is a token that may be used now.
    pub(crate) fn accepts_token(&self, id: &str, secret: &str, now: i64) -> bool {
        let Some((owner, name)) = id.split_once('!') else {
            return false;
        };
        self.is_enabled(owner, now)
            && self
                .users
                .get(owner)
                .and_then(|user| user.tokens.get(name))
                .is_some_and(|token| {
                    (token.expire == 0 || token.expire > now)
                        && !secret.is_empty()
                        && token.secret == secret
                })
    }
}

impl World {
    /// All of the privileges on a path, else 403 naming the first one missing.
    pub(crate) fn check(
        &self,
        who: &Principal,
        path: &str,
        privs: &[&str],
    ) -> Result<(), ApiError> {
        if who.is_root() {
            return Ok(());
        }
        let granted = self.granted(who, path);
        match privs.iter().find(|privilege| !granted.has(privilege)) {
            Some(missing) => Err(ApiError::forbidden(&format!("{path}, {missing}"))),
            None => Ok(()),
        }
    }

    /// At least one of the privileges on a path, else 403 naming them all.
    pub(crate) fn check_any(
        &self,
        who: &Principal,
        path: &str,
        privs: &[&str],
    ) -> Result<(), ApiError> {
        if who.is_root() {
            return Ok(());
        }
        let granted = self.granted(who, path);
        if privs.iter().any(|privilege| granted.has(privilege)) {
            return Ok(());
        }
        Err(ApiError::forbidden(&format!("{path}, {}", privs.join("|"))))
    }

    pub(crate) fn has(&self, who: &Principal, path: &str, privilege: &str) -> bool {
        self.granted(who, path).has(privilege)
    }

    /// The privileges a guest needs at its creation: by its pool or by its own path.
    pub(crate) fn check_vm(
        &self,
        who: &Principal,
        vmid: u32,
        pool: Option<&str>,
        privs: &[&str],
    ) -> Result<(), ApiError> {
        if let Some(pool) = pool
            && self.check(who, &format!("/pool/{pool}"), privs).is_ok()
        {
            return Ok(());
        }
        self.check(who, &format!("/vms/{vmid}"), privs)
    }

    /// Whether a local bridge may be used (`SDN.Use`); `tag` is the VLAN of the NIC.
    pub(crate) fn check_bridge(
        &self,
        who: &Principal,
        bridge: &str,
        tag: Option<&str>,
    ) -> Result<(), ApiError> {
        let zone = format!("/sdn/zones/localnetwork/{bridge}");
        match tag {
            Some(tag) => self.check(who, &format!("{zone}/{tag}"), &["SDN.Use"]),
            None => self.check(who, &zone, &["SDN.Use"]),
        }
    }

    pub(crate) fn check_pool_exists(&self, pool: &str) -> Result<(), ApiError> {
        if self.pools.contains_key(pool) {
            return Ok(());
        }
        Err(ApiError::forbidden(&format!(
            "pool '{pool}' does not exist"
        )))
    }

    /// The pool of a guest; a guest is in one at most.
    pub(crate) fn pool_of(&self, vmid: u32) -> Option<&str> {
        self.pools
            .iter()
            .find(|(_, pool)| pool.vms.contains(&vmid))
            .map(|(name, _)| name.as_str())
    }

    /// Forgets the ACLs and the pool membership of a guest that is gone.
    pub(crate) fn guest_destroyed(&mut self, vmid: u32) {
        self.access.acl.remove(&format!("/vms/{vmid}"));
        for pool in self.pools.values_mut() {
            pool.vms.remove(&vmid);
        }
    }

    /// Forgets the ACLs and the pool membership of a storage that is gone.
    pub(crate) fn storage_removed(&mut self, id: &str) {
        self.access.acl.remove(&format!("/storage/{id}"));
        for pool in self.pools.values_mut() {
            pool.storages.remove(id);
        }
    }
}

/// Random bytes as hexadecimal text.
pub(crate) fn random_hex(bytes: usize) -> String {
    let mut buffer = vec![0; bytes];
    if SystemRandom::new().fill(&mut buffer).is_err() {
        tracing::warn!("no randomness; the simulator's secrets are guessable");
    }
    hex::lower(&buffer)
}

/// A random UUID, which is what token secrets look like.
pub(crate) fn random_uuid() -> String {
    let digits = random_hex(16);
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    format!(
        "{}-{}-4{}-a{}-{}",
        part(0, 8),
        part(8, 12),
        part(13, 16),
        part(17, 20),
        part(20, 32)
    )
}
