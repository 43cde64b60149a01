//! Who may do what: users and tokens, roles on paths, and the rights that follow (proxmox-backup, `pbs-config/acl.rs`,
//! `cached_user_info.rs`): a token never has more than its user, and nothing at all of its own accord.

mod roles;

use std::collections::BTreeMap;

use aws_lc_rs::hmac;
use data_encoding::BASE64_NOPAD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::http::Error;
use crate::access::random_hex;

use roles::{ALL, bits};
pub(crate) use roles::{
    ALLOCATE, AUDIT, BACKUP, MODIFY, PERMISSIONS, PRUNE, READ, ROLES, SEES_NAMESPACE, SYS_AUDIT,
    SYS_MODIFY, VERIFY, names,
};

/// Roles by who has them, and whether they hold below their path.
type Granted = BTreeMap<String, BTreeMap<String, bool>>;

/// Users and grants.
#[derive(Debug, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Access {
    pub(crate) users: BTreeMap<String, User>,
    /// By path; the root is `/`.
    pub(crate) acl: BTreeMap<String, Granted>,
    ticket_key: String,
}

impl Default for Access {
    fn default() -> Self {
        Self {
            users: BTreeMap::from([("root@pam".to_owned(), User::default())]),
            acl: BTreeMap::new(),
            ticket_key: random_hex(32),
        }
    }
}

/// A user.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct User {
    pub(crate) password: Option<String>,
    pub(crate) enable: Option<bool>,
    pub(crate) expire: Option<i64>,
    pub(crate) comment: Option<String>,
    pub(crate) email: Option<String>,
    pub(crate) tokens: BTreeMap<String, Token>,
}

/// An API token.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Token {
    pub(crate) secret: String,
    pub(crate) enable: Option<bool>,
    pub(crate) expire: Option<i64>,
    pub(crate) comment: Option<String>,
}

fn is_active(enable: Option<bool>, expire: Option<i64>, now: i64) -> bool {
    enable.unwrap_or(true) && expire.is_none_or(|until| until == 0 || until > now)
}

/// Components of an ACL path, empty ones left out.
pub(crate) fn split(path: &str) -> Vec<&str> {
    path.split('/').filter(|part| !part.is_empty()).collect()
}

/// Where the rights on a namespace of a datastore are looked for.
pub(crate) fn space(store: &str, ns: &str) -> String {
    let end = if ns.is_empty() {
        String::new()
    } else {
        format!("/{ns}")
    };
    format!("/datastore/{store}{end}")
}

impl Access {
    /// All tokens with their secrets.
    pub(crate) fn secrets(&self) -> BTreeMap<String, String> {
        let tokens = self.users.iter().flat_map(|(user, entry)| {
            let tokens = entry.tokens.iter();
            tokens.map(move |(name, token)| (format!("{user}!{name}"), token.secret.clone()))
        });
        tokens.collect()
    }

    /// The users that have a password.
    pub(crate) fn passwords(&self) -> BTreeMap<String, String> {
        let users = self.users.iter();
        users
            .filter_map(|(user, entry)| Some((user.clone(), entry.password.clone()?)))
            .collect()
    }

    /// The user or token that exists, is enabled and has not expired.
    pub(crate) fn is_alive(&self, auth: &str, now: i64) -> bool {
        let (user, token) = auth
            .split_once('!')
            .map_or((auth, None), |(user, token)| (user, Some(token)));
        let Some(user) = self.users.get(user) else {
            return false;
        };
        is_active(user.enable, user.expire, now)
            && token.is_none_or(|token| {
                let token = user.tokens.get(token);
                token.is_some_and(|token| is_active(token.enable, token.expire, now))
            })
    }

    pub(crate) fn accepts_token(&self, id: &str, secret: &str) -> bool {
        let found = id
            .split_once('!')
            .and_then(|(user, token)| self.users.get(user)?.tokens.get(token));
        found.is_some_and(|token| token.secret == secret)
    }

    pub(crate) fn accepts_password(&self, user: &str, password: &str) -> bool {
        let known = self
            .users
            .get(user)
            .and_then(|user| user.password.as_deref());
        known == Some(password)
    }

    fn sign(&self, text: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.ticket_key.as_bytes());
        BASE64_NOPAD.encode(hmac::sign(&key, text.as_bytes()).as_ref())
    }

    /// What a login answers.
    pub(crate) fn ticket(&self, user: &str, now: i64) -> Value {
        let plain = format!("PBS:{user}:{now:08X}");
        let ticket = format!("{plain}::{}", self.sign(&plain));
        let csrf = format!("{now:08X}:{}", self.sign(&format!("{now:08X}:{user}")));
        json!({ "CSRFPreventionToken": csrf, "ticket": ticket, "username": user })
    }

    /// The user of a good ticket: two hours old at most.
    pub(crate) fn user_of_ticket(&self, ticket: &str, now: i64) -> Option<String> {
        let (plain, signature) = ticket.split_once("::")?;
        let (user, stamp) = plain.strip_prefix("PBS:")?.rsplit_once(':')?;
        let age = now - i64::from_str_radix(stamp, 16).ok()?;
        let good = self.sign(plain) == signature && (-300..=7200).contains(&age);
        good.then(|| user.to_owned())
    }

    pub(crate) fn accepts_csrf(&self, token: &str, user: &str) -> bool {
        token
            .split_once(':')
            .is_some_and(|(stamp, signature)| self.sign(&format!("{stamp}:{user}")) == signature)
    }

    /// The rights that entries for exactly this user or token give on a path, and those of them that hold below.
    fn granted(&self, auth: &str, path: &str) -> (u32, u32) {
        let parts = split(path);
        let mut roles: BTreeMap<&str, bool> = BTreeMap::new();
        for depth in 0..=parts.len() {
            let here = format!("/{}", parts.get(..depth).unwrap_or_default().join("/"));
            let Some(entries) = self.acl.get(&here).and_then(|entries| entries.get(auth)) else {
                continue;
            };
            let leaf = depth == parts.len();
            let mut found: BTreeMap<&str, bool> = entries
                .iter()
                .filter(|(_, propagate)| leaf || **propagate)
                .map(|(role, propagate)| (role.as_str(), *propagate))
                .collect();
            if found.contains_key("NoAccess") {
                found.retain(|role, _| *role == "NoAccess");
            }
            // Whatever stands nearer replaces what stands above.
            if !found.is_empty() {
                roles = found;
            }
        }
        let mut rights = (0, 0);
        for (role, propagate) in roles {
            let known = ROLES.iter().find(|(name, _, _)| *name == role);
            let bits = known
                .map(|(_, _, privileges)| bits(privileges))
                .unwrap_or_default();
            rights.0 |= bits;
            rights.1 |= if propagate { bits } else { 0 };
        }
        rights
    }

    /// The rights of a user, or of a token and its user together, on a path; and those that hold below.
    pub(crate) fn lookup(&self, auth: &str, path: &str) -> (u32, u32) {
        if auth == "root@pam" {
            return (ALL, ALL);
        }
        let own = self.granted(auth, path);
        match auth.split_once('!') {
            None => own,
            Some((user, _)) => {
                let users = self.lookup(user, path);
                (own.0 & users.0, own.1 & users.1)
            }
        }
    }

    /// Whether it has any of these rights there.
    pub(crate) fn has(&self, auth: &str, path: &str, wanted: u32) -> bool {
        self.lookup(auth, path).0 & wanted != 0
    }

    /// Whether it has any of these rights somewhere below a path.
    pub(crate) fn has_below(&self, auth: &str, path: &str, wanted: u32) -> bool {
        let inside = format!("{path}/");
        let paths = self
            .acl
            .keys()
            .filter(|known| *known == path || known.starts_with(&inside));
        paths.into_iter().any(|known| self.has(auth, known, wanted))
    }

    /// Refuses whoever has not all (with `partial`: any) of the rights, as code does that no route declares: 400.
    pub(crate) fn require(
        &self,
        auth: &str,
        path: &str,
        wanted: u32,
        partial: bool,
    ) -> Result<(), Error> {
        let held = self.lookup(auth, path).0 & wanted;
        if held == wanted || (partial && held != 0) {
            return Ok(());
        }
        let names = names(wanted).join(if partial { "|" } else { "&" });
        Err(Error::plain(format!(
            "missing permissions '{names}' on '{path}'"
        )))
    }

    /// Forgets the grants on a path that is no more.
    pub(crate) fn forget_path(&mut self, path: &str) {
        self.acl.remove(path);
    }

    /// Forgets the grants to a user or token that is no more.
    pub(crate) fn forget(&mut self, auth: &str) {
        let tokens = format!("{auth}!");
        for entries in self.acl.values_mut() {
            entries.retain(|known, _| known != auth && !known.starts_with(&tokens));
        }
        self.acl.retain(|_, entries| !entries.is_empty());
    }

    /// Gives or takes a role.
    pub(crate) fn grant(
        &mut self,
        path: &str,
        auth: &str,
        role: &str,
        propagate: bool,
        delete: bool,
    ) {
        let path = format!("/{}", split(path).join("/"));
        let entries = self
            .acl
            .entry(path)
            .or_default()
            .entry(auth.to_owned())
            .or_default();
        if delete {
            entries.remove(role);
        } else if role == "NoAccess" {
            *entries = BTreeMap::from([(role.to_owned(), propagate)]);
        } else {
            entries.remove("NoAccess");
            entries.insert(role.to_owned(), propagate);
        }
        for entries in self.acl.values_mut() {
            entries.retain(|_, roles| !roles.is_empty());
        }
        self.acl.retain(|_, entries| !entries.is_empty());
    }
}

/// An owner is whoever made the group, and the user of the token that made it.
pub(crate) fn check_owner(owner: &str, auth: &str) -> Result<(), String> {
    let is_owner = owner == auth || owner.split_once('!').is_some_and(|(user, _)| user == auth);
    if is_owner {
        return Ok(());
    }
    Err(format!("backup owner check failed ({auth} != {owner})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_what_it_and_its_user_were_both_given() {
        let mut access = Access::default();
        let path = "/datastore/a";
        access.grant(path, "u@pbs!t", "DatastoreAdmin", true, false);
        assert_eq!(access.lookup("u@pbs!t", path).0, 0);
        access.grant("/datastore", "u@pbs", "DatastoreReader", true, false);
        assert_eq!(access.lookup("u@pbs!t", path).0, AUDIT | READ | VERIFY);
        access.grant(path, "u@pbs!t", "DatastoreAdmin", true, true);
        assert_eq!(access.lookup("u@pbs!t", path).0, 0);
        assert_eq!(access.lookup("root@pam", "/anything").0, ALL);
    }

    #[test]
    fn what_stands_nearer_replaces_what_stands_above() {
        let mut access = Access::default();
        access.grant("/", "u@pbs", "Admin", true, false);
        access.grant("/datastore/a", "u@pbs", "NoAccess", true, false);
        access.grant("/datastore/b", "u@pbs", "DatastoreAudit", false, false);
        assert_eq!(access.lookup("u@pbs", "/datastore/a/ns").0, 0);
        assert_eq!(access.lookup("u@pbs", "/datastore/b").0, AUDIT);
        assert_eq!(access.lookup("u@pbs", "/datastore/b/ns").0, ALL);
    }
}
