//! The peers of the configuration: of the node one client per principal, of each backup server one.

use std::collections::BTreeMap;
use std::time::Duration;

use felhom_engine::Principal;
use felhom_ids::StorageId;
use felhom_proxmox::{
    Address, Client, Error as PveError, Pbs, Product, Pve, Settings, Timeouts, Token, Trust,
};

use crate::config::{Config, PbsConfig, PrincipalConfig, TrustConfig};
use crate::credentials::{self, CredentialError};

/// The clients cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// A secret cannot be used.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// The CA file cannot be read.
    #[error("the CA file `{}` cannot be read", path.display())]
    CaFile {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The address makes no sense.
    #[error("{0}")]
    Address(String),
    /// The client refuses its settings.
    #[error("no client can be made of the configuration")]
    Client(#[from] PveError),
}

/// A backup server that cannot be asked, whatever it would answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoPbs {
    /// Nobody configured one.
    #[error("no backup server is configured for storage `{0}`")]
    Unconfigured(StorageId),
    /// Its section cannot be made use of now.
    #[error("pbs.{storage}: {why}")]
    Unusable {
        /// The storage that it is behind.
        storage: StorageId,
        /// Why.
        why: String,
        /// What to do about it.
        hint: Option<String>,
    },
}

impl NoPbs {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Unconfigured(storage) => {
                format!("`felhom-agent enroll pbs` writes the section [pbs.{storage}]")
            }
            Self::Unusable {
                hint: Some(hint), ..
            } => hint.clone(),
            Self::Unusable { storage, .. } => {
                format!("mend the section [pbs.{storage}] of the configuration")
            }
        }
    }
}

/// The clients of one configuration.
#[derive(Debug, Clone)]
pub struct Remotes {
    agent: Pve,
    restore_test: Pve,
    /// The client of the principal that restores for real, or why there is none now; `None` where the agent's own token serves.
    restore: Option<Result<Pve, String>>,
    /// The backup servers, or why one cannot be asked now: whoever does something else does without it.
    pbs: BTreeMap<StorageId, Result<Pbs, NoPbs>>,
}

impl Remotes {
    /// Reads the secrets and makes the clients. Speaks to nobody yet.
    ///
    /// # Errors
    /// When a secret or the CA file cannot be used.
    pub fn new(config: &Config) -> Result<Self, RemoteError> {
        let trust = trust(&config.trust)?;
        if matches!(trust, Trust::Insecure) {
            tracing::warn!(
                "TLS verification is switched off by the configuration: anybody between us and the server can read \
                 the token; `felhom-agent trust show` prints the fingerprint to write in place of `insecure`"
            );
        }
        Ok(Self {
            agent: pve(config, &config.agent, trust.clone())?,
            restore_test: pve(config, &config.restore_test, trust.clone())?,
            // Its secret is there for the occasion: whoever does something else does without it.
            restore: config.restore.as_ref().map(|principal| {
                pve(config, principal, trust)
                    .map_err(|error| format!("principals.restore: {}", chain(&error)))
            }),
            pbs: config
                .pbs
                .iter()
                .map(|(storage, section)| {
                    let client = pbs(config, section).map_err(|error| NoPbs::Unusable {
                        storage: storage.clone(),
                        why: chain(&error),
                        hint: hint(&error),
                    });
                    (storage.clone(), client)
                })
                .collect(),
        })
    }

    /// The backup server behind a storage.
    ///
    /// # Errors
    /// When none is configured, or its secret or CA file cannot be used.
    pub fn pbs(&self, storage: &StorageId) -> Result<&Pbs, NoPbs> {
        match self.pbs.get(storage) {
            Some(Ok(pbs)) => Ok(pbs),
            Some(Err(why)) => Err(why.clone()),
            None => Err(NoPbs::Unconfigured(storage.clone())),
        }
    }

    /// Why a principal cannot speak now.
    pub fn mute(&self, principal: Principal) -> Option<&str> {
        match (principal, &self.restore) {
            (Principal::Restore, Some(Err(why))) => Some(why),
            _ => None,
        }
    }

    /// The client that a principal speaks with.
    pub fn of(&self, principal: Principal) -> &Pve {
        match principal {
            Principal::Agent => &self.agent,
            Principal::RestoreTest => &self.restore_test,
            Principal::Restore => match &self.restore {
                Some(Ok(restore)) => restore,
                Some(Err(_)) | None => &self.agent,
            },
        }
    }
}

/// Host and port of the configuration.
///
/// # Errors
/// When they make no address.
pub fn address(config: &Config) -> Result<Address, RemoteError> {
    config
        .address
        .parse()
        .map_err(|error: felhom_proxmox::client::InvalidAddress| {
            RemoteError::Address(format!("pve.url: {error}"))
        })
}

/// Host and port of a backup server.
///
/// # Errors
/// When they make no address.
pub fn pbs_address(section: &PbsConfig) -> Result<Address, RemoteError> {
    Address::of(Product::BackupServer, &section.address)
        .map_err(|error| RemoteError::Address(error.to_string()))
}

/// An error with what caused it.
fn chain(error: &RemoteError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

fn hint(error: &RemoteError) -> Option<String> {
    match error {
        RemoteError::Credential(error) => Some(error.hint()),
        RemoteError::CaFile { path, .. } => {
            Some(format!("put the server's CA into `{}`", path.display()))
        }
        RemoteError::Address(_) | RemoteError::Client(_) => None,
    }
}

/// Whom to trust, the certificate authority read from its file.
///
/// # Errors
/// When that file cannot be read.
pub fn trust(trust: &TrustConfig) -> Result<Trust, RemoteError> {
    Ok(match trust {
        TrustConfig::Fingerprint(fingerprint) => Trust::PinnedLeaf(*fingerprint),
        TrustConfig::CaFile(path) => {
            Trust::CaFile(std::fs::read(path).map_err(|source| RemoteError::CaFile {
                path: path.clone(),
                source,
            })?)
        }
        TrustConfig::Insecure => Trust::Insecure,
    })
}

fn pve(config: &Config, principal: &PrincipalConfig, trust: Trust) -> Result<Pve, RemoteError> {
    let secret = credentials::read_secret(&principal.secret_file)?;
    let token = Token::new(principal.token.clone(), &secret);
    let mut settings = Settings::new(address(config)?, token, trust);
    settings.timeouts = timeouts(config);
    Ok(Pve::new(Client::new(settings)?, config.node.clone()))
}

fn pbs(config: &Config, section: &PbsConfig) -> Result<Pbs, RemoteError> {
    let secret = credentials::read_secret(&section.identity.secret_file)?;
    let token = Token::pbs(section.identity.token.clone(), &secret);
    let mut settings = Settings::new(pbs_address(section)?, token, trust(&section.trust)?);
    settings.timeouts = timeouts(config);
    Ok(Pbs::new(Client::new(settings)?))
}

fn timeouts(config: &Config) -> Timeouts {
    Timeouts {
        request: config.request_timeout,
        connect: config.request_timeout.min(Duration::from_secs(10)),
        // What looks into a storage takes as much longer by default too.
        slow_request: config.request_timeout.saturating_mul(3),
    }
}
