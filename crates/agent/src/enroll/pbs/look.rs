//! What is there already: on the backup server, in PVE, and in the files.

use felhom_ids::TokenId;
use felhom_proxmox::pbs::identities::{AclEntry, Door, ListAcl, ListUsers, User};
use felhom_proxmox::pve::storage::StorageConfig;
use felhom_proxmox::{Client, Error, Pbs, Pve, Settings, Token};
use secrecy::SecretString;

use super::super::look::{Secret, read_secret};
use super::kit::{self, KitSeen};
use super::page::page;
use super::{Identity, Wanted};

/// Everything that the plan is made from.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Users and grants of the backup server, seen with an admin's rights; none where nobody logged in.
    pub server: Option<ServerSeen>,
    /// What the file of the agent's token is worth.
    pub reader: Secret,
    /// What the file of the storage's token is worth.
    pub writer: Secret,
    /// The storage of this name, if PVE has one; the outer none where PVE was not asked.
    pub definition: Option<Option<StorageConfig>>,
    /// The recovery kit.
    pub kit: KitSeen,
    /// Whether the configuration has a section for the storage.
    pub configured: bool,
}

/// Users and grants of the backup server.
#[derive(Debug, Clone, Default)]
pub struct ServerSeen {
    /// Users with their tokens.
    pub users: Vec<User>,
    /// All grants.
    pub acl: Vec<AclEntry>,
}

impl Seen {
    /// A world in which nothing was made yet, for the runbook.
    pub fn nothing() -> Self {
        Self {
            server: Some(ServerSeen::default()),
            reader: Secret::Missing,
            writer: Secret::Missing,
            definition: Some(None),
            kit: KitSeen::Missing,
            configured: false,
        }
    }
}

/// Looks at everything. Nothing is changed.
///
/// # Errors
/// When a server does not answer, or the admin may not look.
pub async fn look(
    wanted: &Wanted,
    door: &Door,
    admin: Option<&Pbs>,
    pve: Option<&Pve>,
    configured: bool,
) -> Result<Seen, Error> {
    let server = match admin {
        Some(admin) => Some(ServerSeen {
            users: admin.call(&ListUsers).await?,
            acl: admin.call(&ListAcl::default()).await?,
        }),
        None => None,
    };
    let exists = |token: &TokenId| {
        server.as_ref().is_none_or(|server| {
            let mut tokens = server.users.iter().flat_map(|user| &user.tokens);
            tokens.any(|one| one.tokenid == *token)
        })
    };
    let reader = worth(door, &wanted.reader, exists(&wanted.reader.token)).await?;
    let writer = worth(door, &wanted.writer, exists(&wanted.writer.token)).await?;
    let definition = match pve {
        Some(pve) => {
            let mut all = pve.storage_configs().await?.into_iter();
            Some(all.find(|one| one.storage == wanted.storage))
        }
        None => None,
    };
    let escrow = wanted.has_escrow(definition.as_ref().and_then(Option::as_ref));
    let kit = kit::look(&wanted.kit, |key, text| {
        page(wanted, (key, text), escrow, "")
    });
    Ok(Seen {
        server,
        reader,
        writer,
        definition,
        kit,
        configured,
    })
}

/// Only asked of the server when the token exists: a wrong secret costs three seconds.
async fn worth(door: &Door, identity: &Identity, exists: bool) -> Result<Secret, Error> {
    let secret = match read_secret(&identity.secret) {
        Ok(secret) => secret,
        Err(worth) => return Ok(worth),
    };
    if !exists {
        return Ok(Secret::Dead);
    }
    match as_token(door, &identity.token, &secret)?
        .permissions()
        .await
    {
        Ok(_) => Ok(Secret::Good),
        Err(Error::Unauthorized { .. }) => Ok(Secret::Dead),
        Err(error) => Err(error),
    }
}

/// The backup server, asked by a token.
pub(crate) fn as_token(door: &Door, token: &TokenId, secret: &SecretString) -> Result<Pbs, Error> {
    let token = Token::pbs(token.clone(), secret);
    let mut settings = Settings::new(door.address.clone(), token, door.trust.clone());
    settings.timeouts.request = door.timeout;
    Ok(Pbs::new(Client::new(settings)?))
}
