//! Whom we believe: exactly one pinned leaf, or exactly one CA file, never one after the other.
//!
//! The pin verifier replaces only the question "is this the right certificate"; that the peer also
//! holds its key is proven by the handshake's signature, which is checked in every mode.

mod pin;

use std::sync::Arc;
use std::time::Duration;

use felhom_ids::Fingerprint;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::client::Address;
use crate::error::{Error, Phase};

pub(crate) use pin::mismatch;

/// What makes a server the right one.
#[derive(Debug, Clone)]
pub enum Trust {
    /// The leaf certificate with this SHA-256, whatever its names and dates: the pin is the trust.
    PinnedLeaf(Fingerprint),
    /// Any certificate for the right name, valid today, issued by a CA of this PEM text.
    CaFile(Vec<u8>),
    /// Anyone. Signatures are still checked, which proves nothing; warned about at every start.
    Insecure,
}

impl Trust {
    fn verifier(
        &self,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ServerCertVerifier>, Error> {
        match self {
            Self::PinnedLeaf(expected) => Ok(Arc::new(pin::PinVerifier::new(
                Some(*expected),
                Arc::clone(provider),
            ))),
            Self::CaFile(pem) => {
                let unusable = |what: &dyn std::fmt::Display| Error::Trust {
                    what: format!("the CA file: {what}"),
                };
                let mut roots = RootCertStore::empty();
                for certificate in CertificateDer::pem_slice_iter(pem) {
                    let certificate = certificate.map_err(|error| unusable(&error))?;
                    roots.add(certificate).map_err(|error| unusable(&error))?;
                }
                let verifier = WebPkiServerVerifier::builder_with_provider(
                    Arc::new(roots),
                    Arc::clone(provider),
                )
                .build()
                .map_err(|error| unusable(&error))?;
                Ok(verifier)
            }
            Self::Insecure => {
                tracing::warn!(
                    "certificates are not checked (insecure mode): anyone can pose as the server"
                );
                Ok(Arc::new(pin::PinVerifier::new(None, Arc::clone(provider))))
            }
        }
    }

    /// Made once per client, so that a bad CA file is found before anything is connected.
    pub(crate) fn connector(&self) -> Result<TlsConnector, Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = self.verifier(&provider)?;
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::Trust {
                what: error.to_string(),
            })?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        // A resumed session shows no certificate: each connection shall prove itself.
        config.resumption = rustls::client::Resumption::disabled();
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

/// A certificate that a server showed, before anybody trusted it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// Its SHA-256, to compare with what the host itself shows.
    pub fingerprint: Fingerprint,
    /// The DNS names and addresses it is for.
    pub names: Vec<String>,
    /// The certificate itself, in DER.
    pub der: Vec<u8>,
}

/// Shakes hands with whoever answers and returns the certificate shown. Sends nothing else, and
/// nothing secret.
pub async fn fetch_leaf(address: &Address, patience: Duration) -> Result<Leaf, Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = Arc::new(pin::PinVerifier::new(None, Arc::clone(&provider)));
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Trust {
            what: error.to_string(),
        })?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    let stream = connect(&TlsConnector::from(Arc::new(config)), address, patience).await?;
    let (_, session) = stream.get_ref();
    let leaf = session
        .peer_certificates()
        .and_then(<[_]>::first)
        .ok_or_else(|| Error::Tls {
            address: address.to_string(),
            source: std::io::Error::other("the server showed no certificate"),
        })?;
    Ok(Leaf {
        fingerprint: pin::fingerprint(leaf),
        names: pin::names(leaf),
        der: leaf.to_vec(),
    })
}

/// The fingerprint of the certificate that a server with this PEM file shows: of the first one in it.
///
/// # Errors
/// When there is none in it.
pub fn leaf_of_pem(pem: &[u8]) -> Result<Fingerprint, Error> {
    let unusable = |what: &dyn std::fmt::Display| Error::Trust {
        what: format!("the certificate: {what}"),
    };
    match CertificateDer::pem_slice_iter(pem).next() {
        Some(Ok(leaf)) => Ok(pin::fingerprint(&leaf)),
        Some(Err(error)) => Err(unusable(&error)),
        None => Err(unusable(&"there is none in the file")),
    }
}

/// Opens a connection and shakes hands, each within `patience`.
pub(crate) async fn connect(
    connector: &TlsConnector,
    address: &Address,
    patience: Duration,
) -> Result<TlsStream<TcpStream>, Error> {
    let late = |phase| Error::Timeout {
        request: address.to_string(),
        phase,
        after: patience,
    };
    let tcp = tokio::time::timeout(
        patience,
        TcpStream::connect((address.host(), address.port())),
    )
    .await
    .map_err(|_| late(Phase::Connect))?
    .map_err(|source| Error::Connect {
        address: address.to_string(),
        source,
    })?;
    // Requests are small and answers awaited: nothing is gained by waiting for more to send.
    tcp.set_nodelay(true).map_err(|source| Error::Connect {
        address: address.to_string(),
        source,
    })?;
    tokio::time::timeout(
        patience,
        connector.connect(address.server_name().to_owned(), tcp),
    )
    .await
    .map_err(|_| late(Phase::Handshake))?
    .map_err(|source| match mismatch(&source) {
        Some((expected, seen)) => Error::PinMismatch {
            address: address.to_string(),
            expected,
            seen,
        },
        None => Error::Tls {
            address: address.to_string(),
            source,
        },
    })
}
