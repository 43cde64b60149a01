//! Which PVE this is.

use felhom_ids::NodeName;
use serde::Deserialize;

use super::Pve;
use crate::decode;
use crate::encode::{Endpoint, Method, Request};
use crate::error::Error;

/// `GET /version`: any authenticated caller.
#[derive(Debug, Clone, Copy)]
pub struct GetVersion;

/// The version of the management stack.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Version {
    /// Such as `9.2.11`.
    #[serde(deserialize_with = "decode::text")]
    pub version: String,
    /// Such as `9.2`.
    #[serde(deserialize_with = "decode::text")]
    pub release: String,
    /// The build's hash.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub repoid: Option<String>,
}

impl Version {
    /// Major and minor number, for features that came with a version.
    pub fn major_minor(&self) -> Option<(u32, u32)> {
        let mut parts = self.version.split(['.', '-']);
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    }
}

impl Endpoint for GetVersion {
    type Response = Version;

    fn request(&self, _node: &NodeName) -> Request {
        Request::new(Method::Get, &[&"version"])
    }
}

impl Pve {
    /// Which PVE this is.
    pub async fn version(&self) -> Result<Version, Error> {
        self.call(&GetVersion).await
    }
}
