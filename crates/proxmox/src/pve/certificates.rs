//! The certificates that the node serves its API with.

use felhom_ids::{Fingerprint, NodeName};
use serde::Deserialize;

use super::Pve;
use crate::decode;
use crate::encode::{Endpoint, Method, Request};
use crate::error::Error;

/// `GET /nodes/N/certificates/info`: any authenticated caller.
#[derive(Debug, Clone, Copy)]
pub struct ListCertificates;

/// A certificate of the node.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Certificate {
    /// `pve-root-ca.pem`, `pve-ssl.pem` (Proxmox's own), or `pveproxy-ssl.pem` (an admin's, or by ACME), which goes first.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub filename: Option<String>,
    /// Its SHA-256.
    #[serde(default, deserialize_with = "decode::maybe_name")]
    pub fingerprint: Option<Fingerprint>,
    /// When it expires, in seconds since 1970.
    #[serde(default, deserialize_with = "decode::maybe_number")]
    pub notafter: Option<i64>,
}

impl Endpoint for ListCertificates {
    type Response = Vec<Certificate>;

    fn request(&self, node: &NodeName) -> Request {
        Request::new(Method::Get, &[&"nodes", node, &"certificates", &"info"])
    }
}

impl Pve {
    /// The certificates of the node.
    pub async fn certificates(&self) -> Result<Vec<Certificate>, Error> {
        self.call(&ListCertificates).await
    }
}
