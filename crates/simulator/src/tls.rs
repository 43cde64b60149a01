//! The node's own certificate: self-signed, made at the first start, kept in the state directory, known to clients by
//! its SHA-256 fingerprint only.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest;
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// What the server needs of TLS.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) config: Arc<ServerConfig>,
    /// Upper-case pairs with colons, as PVE prints it.
    pub(crate) fingerprint: String,
}

/// Reads the certificate of a state directory; makes it if there is none.
pub(crate) fn identity(state_dir: &Path, node: &str) -> io::Result<Identity> {
    let (cert_file, key_file) = (state_dir.join("pve-ssl.pem"), state_dir.join("pve-ssl.key"));
    read(&cert_file, &key_file, node, "PVE Cluster Node")
}

/// Another certificate in the place of the one that is there.
pub(crate) fn renewed(state_dir: &Path, node: &str) -> io::Result<Identity> {
    fs::remove_file(state_dir.join("pve-ssl.pem"))?;
    identity(state_dir, node)
}

/// The backup server's certificate.
pub(crate) fn pbs_identity(state_dir: &Path, node: &str) -> io::Result<Identity> {
    let dir = state_dir.join("pbs");
    fs::create_dir_all(&dir)?;
    let (cert_file, key_file) = (dir.join("proxy.pem"), dir.join("proxy.key"));
    read(&cert_file, &key_file, node, "Proxmox Backup Server")
}

/// Another one in its place.
pub(crate) fn pbs_renewed(state_dir: &Path, node: &str) -> io::Result<Identity> {
    fs::remove_file(state_dir.join("pbs/proxy.pem"))?;
    pbs_identity(state_dir, node)
}

fn read(cert_file: &Path, key_file: &Path, node: &str, maker: &str) -> io::Result<Identity> {
    if !cert_file.is_file() || !key_file.is_file() {
        make(cert_file, key_file, node, maker).map_err(io::Error::other)?;
    }
    let cert = CertificateDer::from_pem_file(cert_file).map_err(io::Error::other)?;
    let key = PrivateKeyDer::from_pem_file(key_file).map_err(io::Error::other)?;
    let fingerprint = fingerprint(&cert);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(vec![cert], key)
        .map_err(io::Error::other)?;
    Ok(Identity {
        config: Arc::new(config),
        fingerprint,
    })
}

fn make(
    cert_file: &Path,
    key_file: &Path,
    node: &str,
    maker: &str,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec![
        node.to_owned(),
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
    ])?;
    params
        .distinguished_name
        .push(DnType::OrganizationName, maker);
    params.distinguished_name.push(DnType::CommonName, node);
    let cert = params.self_signed(&key)?;
    fs::write(key_file, key.serialize_pem())?;
    fs::write(cert_file, cert.pem())?;
    Ok(())
}

fn fingerprint(cert: &CertificateDer<'_>) -> String {
    let sum = digest::digest(&digest::SHA256, cert);
    let pairs: Vec<String> = sum
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect();
    pairs.join(":")
}
