//! Taking back what enrolling made, and nothing else: tokens, users (their grants go with them), roles, pool, bridge,
//! files. Backups, storages' definitions and the journal are never touched.

use std::collections::BTreeSet;

use felhom_ids::{TokenId, UserId};
use felhom_proxmox::pve::identities::{Change, User, UserToken};
use felhom_proxmox::pve::network::HostInterface;

use super::abilities::{ROLES, variants};
use super::look::{Secret, Seen};
use super::plan::{foreign_changes, is_made, is_ours};
use super::{Ability, MADE, Step, Wanted, files};

/// The steps of the removal, and what stays although it looks like ours, with the reason.
#[derive(Debug, Clone, Default)]
pub struct Removal {
    /// In their order.
    pub steps: Vec<Step>,
    /// One line each.
    pub left: Vec<String>,
}

/// Works the removal out. Pure.
pub fn plan(wanted: &Wanted, seen: &Seen) -> Removal {
    let mut removal = Removal::default();
    removal.users(wanted, seen);
    removal.roles(seen);
    removal.pool(wanted, seen);
    removal.bridge(wanted, seen);
    removal.files(wanted, seen);
    removal
}

impl Removal {
    fn change(&mut self, change: Change) {
        self.steps.push(Step::Change(change));
    }

    /// The secrets of a deleted user's tokens would stay behind, so the tokens go first.
    fn users(&mut self, wanted: &Wanted, seen: &Seen) {
        for user in users(wanted) {
            let Some(there) = seen.users.get(&user) else {
                continue;
            };
            if !is_made(there.comment.as_deref()) {
                self.left
                    .push(format!("user `{user}`: not made by enrolling"));
                continue;
            }
            let foreign = there
                .tokens
                .iter()
                .find(|token| !is_made(token.comment.as_deref()));
            for token in &there.tokens {
                let id = format!("{user}!{}", token.tokenid).parse::<TokenId>();
                if let (Ok(id), true) = (id, is_made(token.comment.as_deref())) {
                    self.change(Change::DeleteToken(id));
                }
            }
            match foreign {
                None => self.change(Change::DeleteUser(user)),
                Some(token) => self.left.push(format!(
                    "user `{user}`: somebody made the token `{}` for it",
                    token.tokenid
                )),
            }
        }
    }

    fn roles(&mut self, seen: &Seen) {
        for role in ROLES {
            let Some(there) = seen.roles.get(role) else {
                continue;
            };
            let held = seen
                .acl
                .iter()
                .find(|entry| entry.roleid == role && !is_ours(seen, entry));
            if !variants(role).contains(there) {
                self.left.push(format!(
                    "role `{role}`: has other privileges than enrolling gives"
                ));
            } else if let Some(entry) = held {
                self.left
                    .push(format!("role `{role}`: `{}` holds it", entry.ugid));
            } else {
                self.change(Change::DeleteRole(role.to_owned()));
            }
        }
    }

    fn pool(&mut self, wanted: &Wanted, seen: &Seen) {
        let pool = &wanted.pool;
        let Some((comment, members)) = seen.pools.get(pool) else {
            return;
        };
        let path = format!("/pool/{pool}");
        let held = seen
            .acl
            .iter()
            .find(|entry| entry.path == path && !is_ours(seen, entry));
        if !is_made(comment.as_deref()) {
            self.left
                .push(format!("pool `{pool}`: not made by enrolling"));
        } else if let Some(member) = members.first() {
            self.left.push(format!("pool `{pool}`: holds `{member}`"));
        } else if let Some(entry) = held {
            self.left
                .push(format!("pool `{pool}`: `{}` has rights on it", entry.ugid));
        } else {
            self.change(Change::DeletePool(pool.clone()));
        }
    }

    fn bridge(&mut self, wanted: &Wanted, seen: &Seen) {
        let bridge = &wanted.bridge;
        let changes = seen.network.changes.as_deref();
        let foreign = foreign_changes(changes, bridge.as_str());
        let there = seen
            .network
            .interfaces
            .iter()
            .find(|interface| interface.iface == bridge.as_str());
        let Some(there) = there else {
            // Its removal was interrupted before it came into force.
            if changes.is_some() && !foreign {
                self.steps.push(Step::ApplyNetwork);
            }
            return;
        };
        let user = seen
            .guests
            .iter()
            .find(|(_, bridges)| bridges.contains(bridge.as_str()));
        if !is_made(there.comments.as_deref()) {
            self.left
                .push(format!("bridge `{bridge}`: not made by enrolling"));
        } else if !there.is_isolated_bridge() {
            self.left.push(format!(
                "bridge `{bridge}`: somebody gave it ports or an address"
            ));
        } else if let Some((vmid, _)) = user {
            self.left.push(format!(
                "bridge `{bridge}`: guest {vmid} is plugged into it"
            ));
        } else if foreign {
            self.left.push(format!(
                "bridge `{bridge}`: somebody's changes of the host's network are pending"
            ));
        } else {
            self.change(Change::DeleteBridge(bridge.clone()));
            self.steps.push(Step::ApplyNetwork);
        }
    }

    /// A secret is worth nothing without its token; the configuration goes last, since it names everything else.
    fn files(&mut self, wanted: &Wanted, seen: &Seen) {
        for (path, worth) in &seen.secrets {
            match worth {
                Secret::Missing => {}
                Secret::Good | Secret::Dead => self.steps.push(Step::RemoveFile(path.clone())),
                Secret::Foreign(why) => self.left.push(why.clone()),
            }
        }
        let path = wanted.config.display();
        match &seen.config {
            None => {}
            Some(text) if files::is_sealed(text) => {
                self.steps.push(Step::RemoveFile(wanted.config.clone()));
            }
            Some(_) => self.left.push(format!(
                "`{path}`: written or edited by somebody else than enrolling"
            )),
        }
    }
}

fn users(wanted: &Wanted) -> BTreeSet<UserId> {
    let named = [&wanted.agent, &wanted.restore_test]
        .into_iter()
        .map(|identity| identity.token.user().clone());
    named.chain("felhom-ctl@pve".parse()).collect()
}

/// A box where everything that is wanted has been made: for the commands of a removal when nobody may be asked.
pub fn as_made(wanted: &Wanted) -> Seen {
    let made = || Some(MADE.to_owned());
    let mut seen = Seen {
        config: std::fs::read_to_string(&wanted.config).ok(),
        ..Seen::default()
    };
    for (role, privileges) in wanted.roles() {
        seen.roles.insert(role.to_owned(), privileges);
    }
    for principal in wanted.principals() {
        let token = principal.identity.token;
        let user = seen
            .users
            .entry(token.user().clone())
            .or_insert_with(|| User {
                userid: token.user().clone(),
                comment: made(),
                enable: true,
                tokens: Vec::new(),
            });
        user.tokens.push(UserToken {
            tokenid: token.name().to_owned(),
            privsep: true,
            comment: made(),
        });
        seen.secrets.insert(principal.identity.secret, Secret::Good);
    }
    if wanted.has(Ability::RestoreTest) {
        seen.pools.insert(wanted.pool.clone(), (made(), Vec::new()));
        seen.network.interfaces.push(HostInterface {
            iface: wanted.bridge.to_string(),
            kind: "bridge".to_owned(),
            active: true,
            autostart: true,
            bridge_ports: None,
            address: None,
            cidr: None,
            gateway: None,
            address6: None,
            method: None,
            method6: None,
            comments: made(),
        });
    }
    seen
}
