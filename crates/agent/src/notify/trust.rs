//! Whom to trust on a channel: the system's certificate authorities, or exactly those of a file.

use std::path::Path;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio_rustls::TlsConnector;

use super::error::SendError;

/// The text of a file of certificate authorities.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, SendError> {
    std::fs::read(path).map_err(|error| {
        SendError::unsent(format!("the CA file `{}`: {error}", path.display()))
            .because("`ca_file` names the certificate authorities that the receiver's certificate comes from")
    })
}

fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, SendError> {
    let mut roots = RootCertStore::empty();
    let Some(path) = ca_file else {
        // Authorities that cannot be read are as good as not there.
        let (taken, _) =
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if taken == 0 {
            return Err(
                SendError::unsent("the system has no certificate authorities")
                    .because("apt install ca-certificates, or name a `ca_file`"),
            );
        }
        return Ok(roots);
    };
    let unusable =
        |error: String| SendError::unsent(format!("the CA file `{}`: {error}", path.display()));
    for certificate in CertificateDer::pem_slice_iter(&read(path)?) {
        let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
        roots
            .add(certificate)
            .map_err(|error| unusable(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(unusable("there is no certificate in it".to_owned()));
    }
    Ok(roots)
}

pub(super) fn connector(ca_file: Option<&Path>) -> Result<TlsConnector, SendError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| SendError::unsent(error.to_string()))?
        .with_root_certificates(roots(ca_file)?)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
