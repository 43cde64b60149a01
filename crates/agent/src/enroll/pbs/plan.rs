//! From what is wanted and what is there to the steps between them, or to the reasons why there must be none. Pure.

use felhom_proxmox::pbs::identities::{Change, Grant};

use super::super::look::Secret;
use super::kit::KitSeen;
use super::look::{Seen, ServerSeen};
use super::{Step, Wanted, made_with};
use crate::enroll::MADE;

/// The steps in their order: kit, users, tokens and grants on the server, the storage, the configuration.
///
/// # Errors
/// Every reason why what is there does not allow it.
pub fn plan(wanted: &Wanted, seen: &Seen) -> Result<Vec<Step>, Vec<String>> {
    let mut planner = Planner {
        wanted,
        seen,
        steps: Vec::new(),
        refusals: Vec::new(),
    };
    planner.kit();
    planner.definition();
    match &seen.server {
        Some(server) => planner.server(server),
        None => planner.tokens_by_hand(),
    }
    planner.storage();
    if planner.refusals.is_empty() {
        Ok(planner.steps)
    } else {
        Err(planner.refusals)
    }
}

struct Planner<'a> {
    wanted: &'a Wanted,
    seen: &'a Seen,
    steps: Vec<Step>,
    refusals: Vec<String>,
}

impl Planner<'_> {
    fn refuse(&mut self, reason: String) {
        self.refusals.push(reason);
    }

    fn is_defined(&self) -> bool {
        matches!(&self.seen.definition, Some(Some(_)))
    }

    fn kit(&mut self) {
        match &self.seen.kit {
            KitSeen::Foreign(why) => self.refuse(why.clone()),
            KitSeen::Missing if self.is_defined() => {
                let (storage, kit) = (&self.wanted.storage, self.wanted.kit.display());
                self.refuse(format!(
                    "storage `{storage}` is defined already and its key is in no kit at `{kit}`: as root on the node, \
                     `install -d -m 700 {kit} && install -m 600 /etc/pve/priv/storage/{storage}.enc {kit}/key.json`, then run \
                     this again"
                ));
            }
            KitSeen::Missing => self.steps.extend([Step::MakeKit, Step::WritePage]),
            KitSeen::Key { page: false, .. } => self.steps.push(Step::WritePage),
            KitSeen::Key { page: true, .. } => {}
        }
    }

    /// A definition that is there is used as it is, or not at all: to change its key would be to lose the old one.
    fn definition(&mut self) {
        let Some(Some(there)) = &self.seen.definition else {
            return;
        };
        let storage = &self.wanted.storage;
        self.refusals.extend(self.wanted.contradictions(there));
        let pinned = there
            .fingerprint
            .as_deref()
            .and_then(|text| text.parse::<felhom_ids::Fingerprint>().ok());
        if pinned.is_some_and(|pinned| pinned != self.wanted.fingerprint) {
            self.refuse(format!(
                "storage `{storage}` pins another certificate than `--fingerprint` names: if the server has a new one, \
                 `pvesm set {storage} --fingerprint {}`",
                self.wanted.fingerprint
            ));
        }
        if self.wanted.master_key.is_some() && there.master_key.is_none() {
            self.refuse(format!(
                "storage `{storage}` was defined without a master key: `pvesm set {storage} --master-pubkey FILE` gives it one, \
                 and only backups from then on carry a copy of the key"
            ));
        }
        let key = there.encryption_key.as_deref();
        match (&self.seen.kit, key) {
            (_, None) => self.refuse(format!(
                "storage `{storage}` encrypts nothing: take another name with `--storage`, so that what is in the clear and \
                 what is not stay apart"
            )),
            (KitSeen::Key { fingerprint, .. }, Some(key))
                if key.parse().ok() != Some(*fingerprint) =>
            {
                self.refuse(format!(
                    "storage `{storage}` has the key {key}, and the kit at `{}` holds {fingerprint}: nothing was changed; \
                     name the kit of that key with `--kit`",
                    self.wanted.kit.display()
                ));
            }
            _ => {}
        }
    }

    /// User, tokens and grants, by an admin of the backup server.
    fn server(&mut self, server: &ServerSeen) {
        let user = self.wanted.user();
        match server.users.iter().find(|one| one.userid == *user) {
            None => self.steps.push(Step::Change(Change::CreateUser {
                user: user.clone(),
                comment: MADE.to_owned(),
            })),
            Some(there) if !there.enable => {
                self.refuse(format!(
                    "user `{user}` of the backup server has been disabled"
                ));
            }
            Some(_) => {}
        }
        self.token(server, &self.wanted.reader, &self.seen.reader, true);
        // Once PVE has its secret, nobody else needs it.
        let needed = !self.is_defined();
        self.token(server, &self.wanted.writer, &self.seen.writer, needed);
        for grant in self.wanted.grants() {
            let holds =
                |entry: &felhom_proxmox::pbs::identities::AclEntry, wanted: &Grant, who: &str| {
                    entry.path == wanted.path
                        && entry.roleid == wanted.role
                        && entry.ugid == who
                        && entry.propagate
                };
            let there = match &grant {
                Change::GrantUser(wanted, user) => {
                    let who = user.to_string();
                    server.acl.iter().any(|entry| holds(entry, wanted, &who))
                }
                Change::GrantToken(wanted, token) => {
                    let who = token.to_string();
                    // A token that is made anew has lost its grants with the old one.
                    let anew = self.steps.iter().any(
                        |step| matches!(step, Step::Issue { token: other, .. } if other == token),
                    );
                    !anew && server.acl.iter().any(|entry| holds(entry, wanted, &who))
                }
                Change::CreateUser { .. } | Change::DeleteUser(_) | Change::DeleteToken(_) => true,
            };
            if !there {
                self.steps.push(Step::Change(grant));
            }
        }
    }

    /// Two boxes may have the same name: ours is only what was made with the key of this kit.
    fn is_of_this_kit(&self, comment: Option<&str>) -> bool {
        match &self.seen.kit {
            KitSeen::Key { fingerprint, .. } => {
                comment.map(str::trim) == Some(made_with(fingerprint).as_str())
            }
            KitSeen::Missing | KitSeen::Foreign(_) => false,
        }
    }

    fn token(
        &mut self,
        server: &ServerSeen,
        identity: &super::Identity,
        worth: &Secret,
        needed: bool,
    ) {
        let token = &identity.token;
        if let Secret::Foreign(why) = worth {
            return self.refuse(why.clone());
        }
        let listed = server.users.iter().flat_map(|user| &user.tokens);
        let there = listed.into_iter().find(|one| one.tokenid == *token);
        let again = match there {
            None if needed => false,
            None => {
                return self.refuse(format!(
                    "the backup server has no token `{token}` any more, with which storage `{}` writes",
                    self.wanted.storage
                ));
            }
            Some(there) if !there.enable => {
                return self.refuse(format!(
                    "token `{token}` of the backup server has been disabled"
                ));
            }
            Some(_) if !needed || *worth == Secret::Good => return,
            Some(there) if !self.is_of_this_kit(there.comment.as_deref()) => {
                return self.refuse(format!(
                    "token `{token}` is there already, was not made with the key of this kit, and its secret is not in `{}`: put it \
                     there, or name another `--user` or `--storage`",
                    identity.secret.display()
                ));
            }
            Some(_) => true,
        };
        self.steps.push(Step::Issue {
            token: token.clone(),
            again,
            secret: identity.secret.clone(),
        });
    }

    /// Without an admin there both secrets must lie here.
    fn tokens_by_hand(&mut self) {
        let writer = (!self.is_defined()).then_some((&self.wanted.writer, &self.seen.writer));
        let reader = Some((&self.wanted.reader, &self.seen.reader));
        for (identity, worth) in [reader, writer].into_iter().flatten() {
            let file = identity.secret.display();
            match worth {
                Secret::Good => {}
                Secret::Missing | Secret::Dead => self.refuse(format!(
                    "`{file}` does not hold the secret of `{}`: give `--pbs-admin`, or have the server's admin run what \
                     `enroll pbs --print` prints and put it there",
                    identity.token
                )),
                Secret::Foreign(why) => self.refuse(why.clone()),
            }
        }
    }

    fn storage(&mut self) {
        if self.seen.definition == Some(None) {
            self.steps.push(Step::Define);
        }
        if !self.seen.configured {
            self.steps.push(Step::WriteConfig);
        }
        if self.is_defined() && self.seen.writer != Secret::Missing {
            self.steps
                .push(Step::Forget(self.wanted.writer.secret.clone()));
        }
    }
}
