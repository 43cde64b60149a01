//! What this token, or somebody else, may do.

use std::collections::BTreeMap;

use felhom_ids::{NodeName, UserId};
use serde::{Deserialize, Deserializer};

use super::Pve;
use crate::encode::{Endpoint, Method, Request};
use crate::error::Error;

/// `GET /access/permissions`: any caller about itself; about others with `Sys.Audit` on `/access`.
#[derive(Debug, Clone, Default)]
pub struct GetPermissions {
    /// Of this user instead.
    pub user: Option<UserId>,
    /// Only this ACL path, which need not be one with a grant.
    pub path: Option<String>,
}

/// ACL path → privilege → whether it also holds below that path. A privilege-separated token has
/// what both it and its user have; a grant on the token alone gives nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Permissions(pub BTreeMap<String, BTreeMap<String, bool>>);

impl Permissions {
    /// Whether the answer shows the privilege at exactly this path. Ask for the path: a list
    /// without it leaves out what is inherited.
    pub fn has(&self, path: &str, privilege: &str) -> bool {
        self.0
            .get(path)
            .is_some_and(|privileges| privileges.contains_key(privilege))
    }
}

impl<'de> Deserialize<'de> for Permissions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(transparent)]
        struct Flag(#[serde(deserialize_with = "crate::decode::flag")] bool);
        let paths = Option::<BTreeMap<String, BTreeMap<String, Flag>>>::deserialize(deserializer)?;
        let plain = |(path, privileges): (String, BTreeMap<String, Flag>)| {
            (
                path,
                privileges
                    .into_iter()
                    .map(|(name, Flag(set))| (name, set))
                    .collect(),
            )
        };
        Ok(Self(
            paths.unwrap_or_default().into_iter().map(plain).collect(),
        ))
    }
}

impl Endpoint for GetPermissions {
    type Response = Permissions;

    fn request(&self, _node: &NodeName) -> Request {
        Request::new(Method::Get, &[&"access", &"permissions"])
            .maybe("userid", self.user.as_ref())
            .maybe("path", self.path.as_deref())
    }
}

impl Pve {
    /// All paths with a grant for this token.
    pub async fn permissions(&self) -> Result<Permissions, Error> {
        self.call(&GetPermissions::default()).await
    }

    /// What this token may do at one path, inherited or not.
    pub async fn permissions_at(&self, path: &str) -> Result<Permissions, Error> {
        self.call(&GetPermissions {
            user: None,
            path: Some(path.to_owned()),
        })
        .await
    }
}
