//! What is there already: on the server, seen with the admin's rights, and in the files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use felhom_ids::{GuestKind, PoolId, StorageId, TokenId, UserId, Vmid};
use felhom_proxmox::pve::cluster::ListResources;
use felhom_proxmox::pve::guests::GetGuestConfig;
use felhom_proxmox::pve::identities::{
    AclEntry, Door, ListAcl, ListPools, ListRoles, ListUsers, NetworkPlan, User,
};
use felhom_proxmox::{Client, Error, Pve, Settings, Token};
use secrecy::{ExposeSecret, SecretString};

use super::{Privileges, Wanted};
use crate::credentials::{self, CredentialError};

/// Everything that the plan is made from.
#[derive(Debug, Default)]
pub struct Seen {
    /// Roles by name.
    pub roles: BTreeMap<String, Privileges>,
    /// Users with their tokens.
    pub users: BTreeMap<UserId, User>,
    /// All grants.
    pub acl: Vec<AclEntry>,
    /// Comment and members of each pool.
    pub pools: BTreeMap<PoolId, (Option<String>, Vec<String>)>,
    /// The host's network.
    pub network: NetworkPlan,
    /// Storages and what each takes; none where nobody was asked.
    pub storages: Option<BTreeMap<StorageId, BTreeSet<String>>>,
    /// Guests and the bridges that each is plugged into.
    pub guests: BTreeMap<Vmid, BTreeSet<String>>,
    /// What each secret's file is worth.
    pub secrets: BTreeMap<PathBuf, Secret>,
    /// The configuration's text, where there is one.
    pub config: Option<String>,
}

/// What a secret's file is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Secret {
    /// There is none.
    Missing,
    /// The server takes it.
    Good,
    /// It looks like a secret, and the server does not take it.
    Dead,
    /// It is something else, or not to be read; why.
    Foreign(String),
}

impl Seen {
    /// The token as its user's list shows it.
    pub fn token(&self, token: &TokenId) -> Option<&felhom_proxmox::pve::identities::UserToken> {
        let user = self.users.get(token.user())?;
        user.tokens.iter().find(|one| one.tokenid == token.name())
    }
}

/// Looks at everything. Nothing is changed.
///
/// # Errors
/// When the server does not answer, or the admin may not look.
pub async fn look(pve: &Pve, door: &Door, wanted: &Wanted) -> Result<Seen, Error> {
    let roles = pve.call(&ListRoles).await?;
    let users = pve.call(&ListUsers).await?;
    let mut seen = Seen {
        roles: roles
            .into_iter()
            .map(|role| (role.roleid, role.privs.into_iter().collect()))
            .collect(),
        users: users
            .into_iter()
            .map(|user| (user.userid.clone(), user))
            .collect(),
        acl: pve.call(&ListAcl).await?,
        network: pve.network_plan().await?,
        config: std::fs::read_to_string(&wanted.config).ok(),
        ..Seen::default()
    };
    for pool in pve.call(&ListPools).await? {
        let members = pve.pool(&pool.poolid).await?.map(|pool| pool.members);
        let members = members.unwrap_or_default().into_iter().map(|one| one.id);
        seen.pools
            .insert(pool.poolid, (pool.comment, members.collect()));
    }
    let storages = pve.storages().await?.into_iter();
    seen.storages = Some(
        storages
            .filter_map(|one| Some((one.storage?, one.content.into_iter().collect())))
            .collect(),
    );
    seen.guests = guests(pve).await?;
    for principal in wanted.principals() {
        let identity = principal.identity;
        let exists = seen.token(&identity.token).is_some();
        let worth = secret(door, pve, &identity.token, &identity.secret, exists).await?;
        seen.secrets.insert(identity.secret, worth);
    }
    Ok(seen)
}

async fn guests(pve: &Pve) -> Result<BTreeMap<Vmid, BTreeSet<String>>, Error> {
    let listed = pve.call(&ListResources { kind: Some("vm") }).await?;
    let mut guests = BTreeMap::new();
    for guest in listed {
        let vmid = guest.vmid.and_then(|number| Vmid::new(number).ok());
        let (Some(vmid), Ok(kind)) = (vmid, guest.kind.parse::<GuestKind>()) else {
            continue;
        };
        let config = pve.call(&GetGuestConfig { kind, vmid }).await?;
        let bridges = config
            .iter()
            .filter(|(key, _)| key.starts_with("net"))
            .filter_map(|(_, value)| value.as_str())
            .flat_map(|value| value.split(','))
            .filter_map(|part| part.strip_prefix("bridge="))
            .map(str::to_owned)
            .collect();
        guests.insert(vmid, bridges);
    }
    Ok(guests)
}

/// What is in the file. Only asked of the server when the token exists: a wrong secret costs three seconds.
async fn secret(
    door: &Door,
    pve: &Pve,
    token: &TokenId,
    path: &Path,
    exists: bool,
) -> Result<Secret, Error> {
    let secret = match read_secret(path) {
        Ok(secret) => secret,
        Err(worth) => return Ok(worth),
    };
    if !exists {
        return Ok(Secret::Dead);
    }
    match as_token(door, pve, token, &secret)?.permissions().await {
        Ok(_) => Ok(Secret::Good),
        Err(Error::Unauthorized { .. }) => Ok(Secret::Dead),
        Err(error) => Err(error),
    }
}

/// A token's secret from its file, or what is there instead.
pub(super) fn read_secret(path: &Path) -> Result<SecretString, Secret> {
    let secret = match credentials::read_secret(path) {
        Ok(secret) => secret,
        Err(CredentialError::Read { source, .. })
            if source.kind() == std::io::ErrorKind::NotFound =>
        {
            return Err(Secret::Missing);
        }
        Err(error) => return Err(Secret::Foreign(error.to_string())),
    };
    if is_uuid(&secret) {
        return Ok(secret);
    }
    let text = format!(
        "`{}` holds something that is no token's secret",
        path.display()
    );
    Err(Secret::Foreign(text))
}

/// Secrets of tokens are UUIDs.
fn is_uuid(secret: &SecretString) -> bool {
    let text = secret.expose_secret();
    text.len() == 36
        && text
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

/// The same server, asked by a token.
pub(crate) fn as_token(
    door: &Door,
    pve: &Pve,
    token: &TokenId,
    secret: &SecretString,
) -> Result<Pve, Error> {
    let token = Token::new(token.clone(), secret);
    let mut settings = Settings::new(door.address.clone(), token, door.trust.clone());
    settings.timeouts.request = door.timeout;
    Ok(Pve::new(Client::new(settings)?, pve.node().clone()))
}
