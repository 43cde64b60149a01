//! Who holds what: asked of the server as each principal about itself, and as the everyday principal about users and grants
//! where it may see them.

use std::collections::{BTreeMap, BTreeSet};

use felhom_engine::Principal;
use felhom_engine::privileges::{
    AclGrant, HeldAt, Holder, Rules, Setting, SubjectKind, paths_that_matter,
};
use felhom_ids::{TokenId, Vmid};
use felhom_proxmox::pve::access::GetPermissions;
use felhom_proxmox::pve::identities::{AclEntry, ListAcl, ListRoles, ListUsers};
use felhom_proxmox::{Error, Pve};

use crate::config::{Config, PrincipalConfig};
use crate::remote::Remotes;

/// Roles, and the grants where the list is not shortened.
pub(super) async fn rules(agent: &Pve) -> Result<Rules, Error> {
    let roles = agent.call(&ListRoles).await?;
    let acl = if sees_identities(agent).await? {
        let listed = agent.call(&ListAcl).await?;
        Some(listed.into_iter().filter_map(grant).collect())
    } else {
        None
    };
    Ok(Rules {
        roles: roles
            .into_iter()
            .map(|role| (role.roleid, role.privs.into_iter().collect()))
            .collect(),
        acl,
    })
}

/// Users and grants are shown whole, and what others hold is told, with `Sys.Audit` on `/access` only.
async fn sees_identities(agent: &Pve) -> Result<bool, Error> {
    let held = agent.permissions_at(ACCESS).await?;
    Ok(held.has(ACCESS, "Sys.Audit"))
}

const ACCESS: &str = "/access";

fn grant(entry: AclEntry) -> Option<AclGrant> {
    let kind = match entry.kind.as_str() {
        "user" => SubjectKind::User,
        "group" => SubjectKind::Group,
        "token" => SubjectKind::Token,
        _ => return None,
    };
    Some(AclGrant {
        path: entry.path,
        kind,
        subject: entry.ugid,
        role: entry.roleid,
        propagate: entry.propagate,
    })
}

/// VMIDs that somebody was given rights on.
pub(super) fn guests_with_grants(rules: &Rules) -> BTreeSet<Vmid> {
    let paths = rules.acl.iter().flatten().map(|grant| &grant.path);
    paths
        .filter_map(|path| path.strip_prefix("/vms/")?.parse().ok())
        .collect()
}

/// What each identity holds; one where one token serves both principals.
pub(super) async fn holders(
    config: &Config,
    remotes: &Remotes,
    setting: &Setting,
) -> Result<Vec<Holder>, Error> {
    let agent = remotes.of(Principal::Agent);
    let seen = sees_identities(agent).await?;
    let separated = if seen {
        tokens(agent).await?
    } else {
        BTreeMap::new()
    };
    let mut holders = Vec::new();
    for (principal, identity) in config.identities() {
        let who = Who {
            principal,
            identity,
            both: !config.separated,
            separated: separated.get(&identity.token.to_string()).copied(),
        };
        let asked_by = seen.then_some(agent);
        holders.push(who.holder(remotes.of(principal), asked_by, setting).await?);
    }
    Ok(holders)
}

/// Whether each token is privilege-separated.
async fn tokens(agent: &Pve) -> Result<BTreeMap<String, bool>, Error> {
    let mut tokens = BTreeMap::new();
    for user in agent.call(&ListUsers).await? {
        for token in &user.tokens {
            let id = format!("{}!{}", user.userid, token.tokenid);
            tokens.insert(id, token.privsep);
        }
    }
    Ok(tokens)
}

struct Who<'a> {
    principal: Principal,
    identity: &'a PrincipalConfig,
    both: bool,
    separated: Option<bool>,
}

impl Who<'_> {
    async fn holder(
        &self,
        own: &Pve,
        asked_by: Option<&Pve>,
        setting: &Setting,
    ) -> Result<Holder, Error> {
        let token: &TokenId = &self.identity.token;
        let mut effective: HeldAt = own.permissions().await?.0;
        let mut by_user = asked_by.map(|_| HeldAt::new());
        for path in paths_that_matter(setting) {
            effective.extend(own.permissions_at(&path).await?.0);
            if let Some((held, pve)) = by_user.as_mut().zip(asked_by) {
                held.extend(user_at(pve, token, &path).await?);
            }
        }
        Ok(Holder {
            principal: self.principal,
            both: self.both,
            user: token.user().to_string(),
            token: token.to_string(),
            separated: self.separated,
            effective,
            by_user,
        })
    }
}

async fn user_at(pve: &Pve, token: &TokenId, path: &str) -> Result<HeldAt, Error> {
    let ask = GetPermissions {
        user: Some(token.user().clone()),
        path: Some(path.to_owned()),
    };
    Ok(pve.call(&ask).await?.0)
}
