//! The permission algorithm (pve-access-control, `RPCEnvironment.pm` and `AccessControl.pm`): deeper entries replace
//! inherited ones, a privilege-separated token has what both it and its user have, pools lend their roles to members.

use std::collections::BTreeMap;

use crate::access::{Principal, Privileges, Subject};
use crate::world::World;

/// Roles that apply somewhere, and whether they go on to deeper paths.
type Roles = BTreeMap<String, bool>;

/// What somebody holds on a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Granted {
    pub(crate) all: Privileges,
    /// The part of `all` that goes on to deeper paths.
    pub(crate) propagated: Privileges,
}

impl Granted {
    pub(crate) const EVERYTHING: Self = Self {
        all: Privileges::ALL,
        propagated: Privileges::ALL,
    };

    pub(crate) fn has(self, privilege: &str) -> bool {
        Privileges::named(privilege).is_some_and(|one| self.all.covers(one))
    }
}

impl World {
    /// The privileges of a user or token on a path.
    pub(crate) fn granted(&self, who: &Principal, path: &str) -> Granted {
        if who.is_root() {
            return Granted::EVERYTHING;
        }
        let Some(name) = who.token() else {
            return self.by_roles(who, path);
        };
        let Some(token) = self
            .access
            .users
            .get(who.owner())
            .and_then(|user| user.tokens.get(name))
        else {
            return Granted::default();
        };
        let owner = Principal::new(who.owner());
        if !token.privsep {
            return self.granted(&owner, path);
        }
        let own = self.by_roles(who, path);
        if owner.is_root() {
            return own;
        }
        let owners = self.granted(&owner, path);
        Granted {
            all: own.all.intersection(owners.all),
            propagated: own.propagated.intersection(owners.propagated),
        }
    }

    fn by_roles(&self, who: &Principal, path: &str) -> Granted {
        let mut roles = self.roles_on(who, path);
        if !roles.contains_key("NoAccess") {
            let lent = self.pool_roles(who, path);
            if lent.contains_key("NoAccess") {
                roles = lent;
            } else {
                for role in lent.into_keys() {
                    roles.entry(role).or_insert(false);
                }
            }
        }
        if roles.contains_key("NoAccess") {
            return Granted::default();
        }
        let mut granted = Granted::default();
        for (role, propagate) in roles {
            let privileges = self.access.role(&role).unwrap_or_default();
            granted.all = granted.all.union(privileges);
            if propagate {
                granted.propagated = granted.propagated.union(privileges);
            }
        }
        granted
    }

    /// The roles that pools lend to their members: never further than the member itself.
    fn pool_roles(&self, who: &Principal, path: &str) -> Roles {
        let member_of = |pool: &crate::access::Pool| {
            let Some((kind, id)) = path.strip_prefix('/').and_then(|rest| rest.split_once('/'))
            else {
                return false;
            };
            match kind {
                "vms" => id.parse().is_ok_and(|vmid: u32| pool.vms.contains(&vmid)),
                "storage" => pool.storages.contains(id),
                _ => false,
            }
        };
        let pools = self.pools.iter().filter(|(_, pool)| member_of(pool));
        pools
            .flat_map(|(name, _)| self.roles_on(who, &format!("/pool/{name}")))
            .map(|(role, _)| (role, false))
            .collect()
    }

    /// The roles by ACL alone.
    fn roles_on(&self, who: &Principal, path: &str) -> Roles {
        let mut found = Roles::new();
        let mut level = String::new();
        let components: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        for depth in 0..=components.len() {
            if let Some(part) = depth.checked_sub(1).and_then(|index| components.get(index)) {
                level.push('/');
                level.push_str(part);
            }
            let is_last = depth == components.len();
            let here = self.roles_at(who, if level.is_empty() { "/" } else { &level }, is_last);
            if !here.is_empty() {
                found = here;
            }
        }
        if let Some(propagate) = found.get("NoAccess") {
            return Roles::from([("NoAccess".to_owned(), *propagate)]);
        }
        found
    }

    /// The roles that one level yields: of the token, else of the user, else of the user's groups.
    fn roles_at(&self, who: &Principal, level: &str, is_last: bool) -> Roles {
        let Some(acl) = self.access.acl.get(level) else {
            return Roles::new();
        };
        let applicable = |kind: Subject, id: &str| -> Roles {
            let entries = acl.of(kind).get(id).into_iter().flatten();
            entries
                .filter(|(_, propagate)| is_last || **propagate)
                .map(|(role, propagate)| (role.clone(), *propagate))
                .collect()
        };
        if who.token().is_some() {
            return applicable(Subject::Token, who.as_str());
        }
        let own = applicable(Subject::User, who.as_str());
        if !own.is_empty() {
            return own;
        }
        let groups = self
            .access
            .users
            .get(who.as_str())
            .map(|user| &user.groups)
            .into_iter()
            .flatten();
        let mut union = Roles::new();
        for (role, propagate) in groups.flat_map(|group| applicable(Subject::Group, group)) {
            *union.entry(role).or_default() |= propagate;
        }
        union
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::User;

    fn world(acl: &[(&str, Subject, &str, &str, bool)]) -> World {
        let mut world = World::default();
        world.add_user("u@pve");
        world.add_token("u@pve", "t", true);
        world.access.users.insert(
            "member@pve".into(),
            User {
                groups: ["g".to_owned()].into(),
                ..User::default()
            },
        );
        world
            .access
            .groups
            .insert("g".into(), crate::access::Group::default());
        for (path, kind, id, role, propagate) in acl {
            world.grant(path, *kind, id, role, *propagate);
        }
        world
    }

    fn allows(world: &World, who: &str, path: &str, privilege: &str) -> bool {
        world.has(&Principal::new(who), path, privilege)
    }

    #[test]
    fn a_deeper_entry_replaces_what_was_inherited() {
        let world = world(&[
            ("/", Subject::User, "u@pve", "Administrator", true),
            ("/vms/100", Subject::User, "u@pve", "PVEAuditor", true),
        ]);
        assert!(allows(&world, "u@pve", "/vms/101", "VM.Backup"));
        assert!(!allows(&world, "u@pve", "/vms/100", "VM.Backup"));
        assert!(allows(&world, "u@pve", "/vms/100", "VM.Audit"));
    }

    #[test]
    fn an_entry_that_does_not_propagate_holds_on_its_own_path_only() {
        let world = world(&[("/vms", Subject::User, "u@pve", "PVEAuditor", false)]);
        assert!(allows(&world, "u@pve", "/vms", "VM.Audit"));
        assert!(!allows(&world, "u@pve", "/vms/100", "VM.Audit"));
    }

    #[test]
    fn a_grant_on_the_token_alone_is_worth_nothing() {
        let world = world(&[("/", Subject::Token, "u@pve!t", "Administrator", true)]);
        assert!(!allows(&world, "u@pve!t", "/vms/100", "VM.Audit"));
    }

    #[test]
    fn a_deeper_group_entry_overrides_the_users_own_higher_up() {
        let world = world(&[
            ("/", Subject::User, "member@pve", "Administrator", true),
            ("/vms", Subject::Group, "g", "PVEAuditor", true),
        ]);
        assert!(!allows(&world, "member@pve", "/vms/100", "VM.Backup"));
        assert!(allows(&world, "member@pve", "/vms/100", "VM.Audit"));
    }

    #[test]
    fn no_access_wins_over_every_other_role_of_its_level() {
        let world = world(&[
            ("/", Subject::User, "u@pve", "Administrator", true),
            ("/", Subject::User, "u@pve", "NoAccess", true),
        ]);
        assert!(!allows(&world, "u@pve", "/", "VM.Audit"));
    }

    #[test]
    fn a_pool_adds_to_what_its_members_grant_anyway() {
        let mut world = world(&[
            ("/pool/p", Subject::User, "u@pve", "PVEVMAdmin", true),
            ("/vms/100", Subject::User, "u@pve", "PVEAuditor", true),
        ]);
        world.pools.entry("p".into()).or_default().vms.insert(100);
        assert!(allows(&world, "u@pve", "/vms/100", "VM.Backup"));
        assert!(allows(&world, "u@pve", "/vms/100", "Sys.Audit"));
        assert!(!allows(&world, "u@pve", "/vms/101", "VM.Backup"));
        world.guest_destroyed(100);
        assert!(!allows(&world, "u@pve", "/vms/100", "VM.Backup"));
    }

    #[test]
    fn a_separated_token_of_root_has_its_own_acl_and_no_more() {
        let mut world = world(&[]);
        world.add_token("root@pam", "sep", true);
        world.add_token("root@pam", "full", false);
        world.grant("/", Subject::Token, "root@pam!sep", "PVEAuditor", true);
        assert!(allows(&world, "root@pam!sep", "/vms/1", "VM.Audit"));
        assert!(!allows(&world, "root@pam!sep", "/vms/1", "VM.Backup"));
        assert!(allows(&world, "root@pam!full", "/vms/1", "VM.Backup"));
    }
}
