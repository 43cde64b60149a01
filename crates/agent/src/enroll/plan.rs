//! From what is wanted and what is there to the steps between them, or to the reasons why there must be none. Pure.

use std::collections::BTreeSet;

use felhom_proxmox::pve::identities::{AclEntry, Change, IssueToken};

use super::abilities::{ROLES, variants};
use super::look::{Secret, Seen};
use super::{Ability, Guests, MADE, Principal, Step, Wanted};

/// The steps in their order: roles, pool, bridge, users, tokens, grants, configuration.
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
    planner.choices();
    planner.roles();
    if wanted.has(Ability::RestoreTest) {
        planner.pool();
        planner.bridge();
    }
    let principals = wanted.principals();
    planner.users(&principals);
    for principal in &principals {
        planner.token(principal);
    }
    for principal in &principals {
        planner.grants(principal);
    }
    if let (Some(text), None) = (&wanted.config_text, &seen.config) {
        planner.steps.push(Step::WriteConfig {
            path: wanted.config.clone(),
            text: text.clone(),
        });
    }
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
    fn change(&mut self, change: Change) {
        self.steps.push(Step::Change(change));
    }

    fn refuse(&mut self, reason: String) {
        self.refusals.push(reason);
    }

    /// What was chosen must fit together and be there.
    fn choices(&mut self) {
        let wanted = self.wanted;
        if wanted.has(Ability::SelfBackup) && wanted.guests == Guests::All {
            self.refuse(
                "a token for a guest's own backup is for single guests: name them with `--guests`"
                    .to_owned(),
            );
        }
        if let Guests::These(guests) = &wanted.guests
            && let Some(vmid) = guests
                .iter()
                .find(|vmid| (wanted.range.0..=wanted.range.1).contains(vmid))
        {
            self.refuse(format!(
                "guest {vmid} stands in the range of scratch guests"
            ));
        }
        let Some(storages) = &self.seen.storages else {
            return;
        };
        let mut needed = Vec::new();
        if wanted.has(Ability::Backup) || wanted.has(Ability::RestoreTest) {
            needed.push((&wanted.backup_storage, "backup", "--backup-storage"));
        }
        if wanted.has(Ability::RestoreTest) {
            needed.push((&wanted.target_storage, "rootdir", "--target-storage"));
        }
        for (storage, content, option) in needed {
            match storages.get(storage) {
                None => self.refuse(format!(
                    "there is no storage `{storage}`: name another with `{option}`"
                )),
                Some(takes) if !takes.contains(content) => self.refuse(format!(
                    "storage `{storage}` does not take `{content}`: name another with `{option}`"
                )),
                Some(_) => {}
            }
        }
    }

    fn roles(&mut self) {
        for (role, privs) in self.wanted.roles() {
            let listed = privs.iter().cloned().collect();
            match self.seen.roles.get(role) {
                None => self.change(Change::CreateRole {
                    role: role.to_owned(),
                    privs: listed,
                }),
                Some(there) if *there == privs => {}
                Some(there) if variants(role).contains(there) && self.only_ours_hold(role) => {
                    self.change(Change::SetRole {
                        role: role.to_owned(),
                        privs: listed,
                    });
                }
                Some(there) => {
                    let there: Vec<&str> = there.iter().map(String::as_str).collect();
                    self.refuse(format!(
                        "a role `{role}` with other privileges is there already ({})",
                        there.join(" ")
                    ));
                }
            }
        }
    }

    /// Whether nobody but principals that enrolling made holds the role.
    fn only_ours_hold(&self, role: &str) -> bool {
        let mut holders = self.seen.acl.iter().filter(|entry| entry.roleid == role);
        holders.all(|entry| is_ours(self.seen, entry))
    }

    fn pool(&mut self) {
        let (first, last) = self.wanted.range;
        let pool = self.wanted.pool.clone();
        let none = Vec::new();
        let members = self.seen.pools.get(&pool).map(|(_, members)| members);
        for member in members.unwrap_or(&none) {
            let scratch = member
                .split_once('/')
                .and_then(|(_, number)| number.parse().ok())
                .is_some_and(|vmid| (first..=last).contains(&vmid));
            if !scratch {
                self.refuse(format!(
                    "pool `{pool}` holds `{member}`, which the restore test could then destroy"
                ));
            }
        }
        let mut strangers = self.seen.guests.range(first..=last).map(|(vmid, _)| vmid);
        let is_member = |vmid: &felhom_ids::Vmid| {
            let ends = format!("/{vmid}");
            members.is_some_and(|members| members.iter().any(|member| member.ends_with(&ends)))
        };
        if let Some(vmid) = strangers.find(|vmid| !is_member(vmid)) {
            self.refuse(format!(
                "guest {vmid} stands in the range of scratch guests: choose another with `--scratch-vmids`"
            ));
        }
        if members.is_none() {
            self.change(Change::CreatePool {
                pool,
                comment: MADE.to_owned(),
            });
        }
    }

    fn bridge(&mut self) {
        let bridge = self.wanted.bridge.clone();
        let network = &self.seen.network;
        let there = network
            .interfaces
            .iter()
            .find(|interface| interface.iface == bridge.as_str());
        let foreign = foreign_changes(network.changes.as_deref(), bridge.as_str());
        match there {
            Some(interface) if !interface.is_isolated_bridge() => self.refuse(format!(
                "`{bridge}` is no bridge without ports and addresses: name another with `--bridge`"
            )),
            // In force, or at least not waiting for us.
            Some(interface) if interface.active || network.changes.is_none() => {}
            _ if foreign => self.refuse(
                "somebody's changes of the host's network are pending, and applying ours would apply them: apply or \
                 revert them first"
                    .to_owned(),
            ),
            Some(_) => self.steps.push(Step::ApplyNetwork),
            None if !can_be_made(bridge.as_str()) => self.refuse(format!(
                "`{bridge}` is not there, and Proxmox makes no bridge of that name (a letter, then one to 14 letters, digits \
                 or `_`): name another with `--bridge`, or make it by hand"
            )),
            None => {
                self.change(Change::CreateBridge {
                    bridge,
                    comment: MADE.to_owned(),
                });
                self.steps.push(Step::ApplyNetwork);
            }
        }
    }

    fn users(&mut self, principals: &[Principal]) {
        let users: BTreeSet<_> = principals
            .iter()
            .map(|one| one.identity.token.user().clone())
            .collect();
        for user in users {
            match self.seen.users.get(&user) {
                None => self.change(Change::CreateUser {
                    user,
                    comment: MADE.to_owned(),
                }),
                Some(there) if !is_made(there.comment.as_deref()) => self.refuse(format!(
                    "user `{user}` is there already and was not made by enrolling: remove it (`pveum user delete {user}`), \
                     or go on by hand"
                )),
                Some(there) if !there.enable => {
                    self.refuse(format!("user `{user}` has been disabled"));
                }
                Some(_) => {}
            }
        }
    }

    fn token(&mut self, principal: &Principal) {
        let token = principal.identity.token.clone();
        let secret = principal.identity.secret.clone();
        let worth = self.seen.secrets.get(&secret).unwrap_or(&Secret::Missing);
        if let Secret::Foreign(why) = worth {
            return self.refuse(why.clone());
        }
        let regenerate = match self.seen.token(&token) {
            None => false,
            Some(there) if !is_made(there.comment.as_deref()) => {
                return self.refuse(format!(
                    "token `{token}` is there already and was not made by enrolling"
                ));
            }
            Some(there) if !there.privsep => {
                return self.refuse(format!("token `{token}` has all rights of its user"));
            }
            Some(_) if *worth == Secret::Good => return,
            Some(_) => true,
        };
        let issue = IssueToken {
            token,
            regenerate,
            comment: MADE.to_owned(),
        };
        self.steps.push(Step::Issue { issue, secret });
    }

    /// Grants that are missing on either side, and grants of former choices that are too much.
    fn grants(&mut self, principal: &Principal) {
        let token = &principal.identity.token;
        let holds = |path: &str, role: &str, kind: &str, who: &str| {
            self.seen.acl.iter().any(|entry| {
                (entry.path.as_str(), entry.roleid.as_str()) == (path, role)
                    && (entry.kind.as_str(), entry.ugid.as_str()) == (kind, who)
                    && entry.propagate
            })
        };
        let acl = |path: &str, role: &str, delete: bool| {
            Step::Change(Change::Acl {
                path: path.to_owned(),
                role: role.to_owned(),
                token: token.clone(),
                delete,
            })
        };
        let user = token.user().to_string();
        let missing = principal.grants.iter().filter(|(path, role)| {
            !(holds(path, role, "user", &user) && holds(path, role, "token", &token.to_string()))
        });
        let mut steps: Vec<Step> = missing.map(|(path, role)| acl(path, role, false)).collect();
        let wanted = |entry: &AclEntry| {
            let is = |(path, role): &(String, &str)| *path == entry.path && *role == entry.roleid;
            principal.grants.iter().any(is)
        };
        let excess: BTreeSet<(&str, &str)> = self
            .seen
            .acl
            .iter()
            .filter(|entry| entry.kind == "token" && entry.ugid == token.to_string())
            .filter(|entry| ROLES.contains(&entry.roleid.as_str()) && !wanted(entry))
            .map(|entry| (entry.path.as_str(), entry.roleid.as_str()))
            .collect();
        steps.extend(excess.into_iter().map(|(path, role)| acl(path, role, true)));
        self.steps.extend(steps);
    }
}

/// Whether enrolling left this comment.
pub(super) fn is_made(comment: Option<&str>) -> bool {
    comment.is_some_and(|comment| comment.trim() == MADE)
}

/// Whether a grant is to a user or token that enrolling made.
pub(super) fn is_ours(seen: &Seen, entry: &AclEntry) -> bool {
    let user = entry
        .ugid
        .split_once('!')
        .map_or(entry.ugid.as_str(), |(user, _)| user);
    entry.kind != "group"
        && seen
            .users
            .iter()
            .any(|(id, there)| id.as_str() == user && is_made(there.comment.as_deref()))
}

/// Whether Proxmox takes the name for a new bridge (pve-common JSONSchema.pm `pve-iface`), and the kernel, too (15 bytes).
pub(super) fn can_be_made(bridge: &str) -> bool {
    let mut characters = bridge.chars();
    characters.next().is_some_and(|c| c.is_ascii_alphabetic())
        && characters.all(|c| c.is_ascii_alphanumeric() || c == '_')
        && (2..=15).contains(&bridge.len())
}

/// Whether pending changes are about anything but this bridge coming or going: applying takes them all over.
pub(super) fn foreign_changes(changes: Option<&str>, bridge: &str) -> bool {
    let ours = [
        format!("auto {bridge}"),
        format!("iface {bridge} inet manual"),
        "bridge-ports none".to_owned(),
        "bridge-stp off".to_owned(),
        "bridge-fd 0".to_owned(),
        format!("#{MADE}"),
        String::new(),
    ];
    changes
        .unwrap_or_default()
        .lines()
        .filter(|line| !line.starts_with("---") && !line.starts_with("+++"))
        .filter_map(|line| line.strip_prefix(['+', '-']))
        .any(|line| !ours.iter().any(|own| own == line.trim()))
}
