//! The machine that the server runs on, and the certificate that it shows. Neither is for a token that only has rights on
//! datastores: both need `Sys.Audit`.

use felhom_ids::Fingerprint;
use serde::Deserialize;

use super::{Call, NODE};
use crate::decode;
use crate::encode::{Method, Request};

/// `GET /nodes/{node}/status`: `Sys.Audit` on `/system/status`.
#[derive(Debug, Clone, Copy)]
pub struct GetNodeStatus;

/// The state of the machine.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct NodeStatus {
    /// Seconds since it booted.
    #[serde(deserialize_with = "decode::number")]
    pub uptime: u64,
    /// Its file system `/`.
    pub root: Usage,
    /// Its memory.
    pub memory: Memory,
    /// What the server says of itself.
    pub info: NodeInfo,
}

/// A file system's space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Usage {
    /// Bytes in all.
    #[serde(deserialize_with = "decode::number")]
    pub total: u64,
    /// Bytes used.
    #[serde(deserialize_with = "decode::number")]
    pub used: u64,
    /// Bytes that may still be used.
    #[serde(deserialize_with = "decode::number")]
    pub avail: u64,
}

/// A machine's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Memory {
    /// Bytes in all.
    #[serde(deserialize_with = "decode::number")]
    pub total: u64,
    /// Bytes used.
    #[serde(deserialize_with = "decode::number")]
    pub used: u64,
    /// Bytes free.
    #[serde(deserialize_with = "decode::number")]
    pub free: u64,
}

/// What the server says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct NodeInfo {
    /// The SHA-256 of the certificate that it shows.
    pub fingerprint: Fingerprint,
}

/// `GET /nodes/{node}/certificates/info`: `Sys.Audit` on `/system/certificates`.
#[derive(Debug, Clone, Copy)]
pub struct ListCertificates;

/// A certificate of the server.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Certificate {
    /// Its file, `proxy.pem`.
    #[serde(deserialize_with = "decode::text")]
    pub filename: String,
    /// Its SHA-256.
    #[serde(default, deserialize_with = "decode::maybe_name")]
    pub fingerprint: Option<Fingerprint>,
    /// The last second in which it is valid.
    #[serde(
        default,
        rename = "notafter",
        deserialize_with = "decode::maybe_number"
    )]
    pub not_after: Option<i64>,
}

impl Call for GetNodeStatus {
    type Response = NodeStatus;

    fn request(&self) -> Request {
        Request::new(Method::Get, &[&"nodes", &NODE, &"status"])
    }
}

impl Call for ListCertificates {
    type Response = Vec<Certificate>;

    fn request(&self) -> Request {
        Request::new(Method::Get, &[&"nodes", &NODE, &"certificates", &"info"])
    }
}
