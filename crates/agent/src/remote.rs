//! The peers of the configuration, one client per principal.

use std::time::Duration;

use felhom_engine::Principal;
use felhom_proxmox::{Address, Client, Error as PveError, Pve, Settings, Timeouts, Token, Trust};

use crate::config::{Config, PrincipalConfig, TrustConfig};
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
    #[error("pve.url: {0}")]
    Address(String),
    /// The client refuses its settings.
    #[error("no client can be made of the configuration")]
    Client(#[from] PveError),
}

/// The clients of one configuration.
#[derive(Debug, Clone)]
pub struct Remotes {
    agent: Pve,
    restore_test: Pve,
    /// The client of the principal that restores for real, or why there is none now; `None` where the agent's own token serves.
    restore: Option<Result<Pve, String>>,
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
                 the token; pin the certificate with `felhom-agent trust repin`"
            );
        }
        Ok(Self {
            agent: pve(config, &config.agent, trust.clone())?,
            restore_test: pve(config, &config.restore_test, trust.clone())?,
            // Its secret is there for the occasion: whoever does something else does without it.
            restore: config.restore.as_ref().map(|principal| {
                pve(config, principal, trust).map_err(|error| {
                    match std::error::Error::source(&error) {
                        Some(cause) => format!("principals.restore: {error}: {cause}"),
                        None => format!("principals.restore: {error}"),
                    }
                })
            }),
        })
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
            RemoteError::Address(error.to_string())
        })
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
    settings.timeouts = Timeouts {
        request: config.request_timeout,
        connect: config.request_timeout.min(Duration::from_secs(10)),
        // What looks into a storage takes as much longer by default too.
        slow_request: config.request_timeout.saturating_mul(3),
    };
    Ok(Pve::new(Client::new(settings)?, config.node.clone()))
}
