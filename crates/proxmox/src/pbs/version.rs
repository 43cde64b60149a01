//! Which backup server this is, and whether it is there.

use serde::Deserialize;

use super::{Call, Pbs};
use crate::decode;
use crate::encode::{Method, Request};
use crate::error::Error;

/// `GET /version`: any authenticated caller.
#[derive(Debug, Clone, Copy)]
pub struct GetVersion;

/// The version of the server.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Version {
    /// Major and minor number, such as `3.2`.
    #[serde(deserialize_with = "decode::text")]
    pub version: String,
    /// The number behind them, such as `4`.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub release: Option<String>,
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

/// `GET /ping`: the one call for which nobody has to say who he is.
#[derive(Debug, Clone, Copy)]
pub struct Ping;

/// The answer to [`Ping`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Pong {
    /// Always true.
    #[serde(deserialize_with = "decode::flag")]
    pub pong: bool,
}

impl Call for GetVersion {
    type Response = Version;

    fn request(&self) -> Request {
        Request::new(Method::Get, &[&"version"])
    }
}

impl Call for Ping {
    type Response = Pong;

    fn request(&self) -> Request {
        Request::new(Method::Get, &[&"ping"])
    }
}

impl Pbs {
    /// Which backup server this is.
    pub async fn version(&self) -> Result<Version, Error> {
        self.call(&GetVersion).await
    }

    /// Whether it answers at all; says nothing about our credentials.
    pub async fn ping(&self) -> Result<(), Error> {
        self.call(&Ping).await.map(|Pong { .. }| ())
    }
}
