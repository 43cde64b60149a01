//! The verifier behind a pin: one fingerprint decides, and the handshake's signature is checked by
//! the same code as everywhere else.

use std::fmt;
use std::sync::Arc;

use felhom_ids::Fingerprint;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, OtherError, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

/// Accepts one leaf, or any when there is no pin.
#[derive(Debug)]
pub(super) struct PinVerifier {
    expected: Option<Fingerprint>,
    provider: Arc<CryptoProvider>,
}

impl PinVerifier {
    pub(super) fn new(expected: Option<Fingerprint>, provider: Arc<CryptoProvider>) -> Self {
        Self { expected, provider }
    }
}

impl ServerCertVerifier for PinVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let seen = fingerprint(leaf);
        match self.expected {
            Some(expected) if expected != seen => {
                let mismatch = Arc::new(Mismatch { expected, seen });
                Err(CertificateError::Other(OtherError(mismatch)).into())
            }
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, leaf, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, leaf, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Carries both fingerprints out of the handshake.
#[derive(Debug)]
struct Mismatch {
    expected: Fingerprint,
    seen: Fingerprint,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pinned {}, seen {}", self.expected, self.seen)
    }
}

impl std::error::Error for Mismatch {}

/// The pinned and the seen fingerprint, when that is why the handshake failed.
pub(crate) fn mismatch(error: &std::io::Error) -> Option<(Fingerprint, Fingerprint)> {
    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    let rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(inner))) = error
    else {
        return None;
    };
    inner
        .downcast_ref::<Mismatch>()
        .map(|found| (found.expected, found.seen))
}

pub(super) fn fingerprint(certificate: &CertificateDer<'_>) -> Fingerprint {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate);
    let mut bytes = [0; 32];
    for (byte, value) in bytes.iter_mut().zip(digest.as_ref()) {
        *byte = *value;
    }
    Fingerprint::from_bytes(bytes)
}

/// The names in a certificate, asked for by comparing it with one that nobody has: the refusal
/// lists those that it does have.
pub(super) fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let (Ok(parsed), Ok(nobody)) = (
        ParsedCertificate::try_from(certificate),
        ServerName::try_from("nobody.invalid"),
    ) else {
        return Vec::new();
    };
    match verify_server_name(&parsed, &nobody) {
        Err(rustls::Error::InvalidCertificate(CertificateError::NotValidForNameContext {
            presented,
            ..
        })) => presented,
        _ => Vec::new(),
    }
}
