//! What this token, or somebody else, may do.

use felhom_ids::UserId;

use super::{Call, Pbs};
use crate::encode::{Method, Request};
use crate::error::Error;

pub use crate::pve::access::Permissions;

/// `GET /access/permissions`: any caller about itself, and a user about its tokens; about others with `Sys.Audit` on
/// `/access`.
///
/// A token has the privileges that both it and its user were given. Where one of the two has no grant the answer is
/// empty, and a success.
#[derive(Debug, Clone, Default)]
pub struct GetPermissions {
    /// Of this user instead.
    pub user: Option<UserId>,
    /// Only this ACL path, which need not be one with a grant.
    pub path: Option<String>,
}

impl Call for GetPermissions {
    type Response = Permissions;

    fn request(&self) -> Request {
        Request::new(Method::Get, &[&"access", &"permissions"])
            .maybe("auth-id", self.user.as_ref())
            .maybe("path", self.path.as_deref())
    }
}

impl Pbs {
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
