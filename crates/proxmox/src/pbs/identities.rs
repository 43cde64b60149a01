//! Users, tokens and ACLs, and the login that may change them: what enrolling calls, and nothing else does.

use felhom_ids::{TokenId, UserId};
use secrecy::SecretString;
use serde::Deserialize;

use super::Call;
use crate::decode::{self, Done};
use crate::encode::{Method, Request};
use crate::error::Error;
use crate::product::Product;

pub use crate::login::{Challenge, Door, Login};
pub use crate::pve::identities::IssuedSecret;

/// `GET /access/users`: with `Sys.Audit` on `/access/users` all of them, else oneself and one's owner.
#[derive(Debug, Clone, Copy)]
pub struct ListUsers;

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct User {
    /// Its id.
    pub userid: UserId,
    /// What somebody wrote about it.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub comment: Option<String>,
    /// Whether it may log in; its tokens share that. Not written: it may.
    #[serde(default = "decode::yes", deserialize_with = "decode::flag")]
    pub enable: bool,
    /// When it expires; 0 or none for never.
    #[serde(default, deserialize_with = "decode::maybe_number")]
    pub expire: Option<i64>,
    /// Its API tokens.
    #[serde(default, deserialize_with = "decode::list")]
    pub tokens: Vec<UserToken>,
}

/// A token's public half. All tokens of a backup server have only what is granted to them as well as to their user.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct UserToken {
    /// Its whole id.
    pub tokenid: TokenId,
    /// What somebody wrote about it.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub comment: Option<String>,
    /// Whether it is accepted. Not written: it is.
    #[serde(default = "decode::yes", deserialize_with = "decode::flag")]
    pub enable: bool,
    /// When it expires; 0 or none for never.
    #[serde(default, deserialize_with = "decode::maybe_number")]
    pub expire: Option<i64>,
}

/// `GET /access/users/USER/token`: with `Sys.Audit` on the user, or as the user.
#[derive(Debug, Clone)]
pub struct ListTokens {
    /// Whose.
    pub user: UserId,
}

/// `GET /access/acl`: with `Sys.Audit` on `/access/acl` all of it, else what concerns oneself, which for most tokens is
/// an empty list.
#[derive(Debug, Clone, Default)]
pub struct ListAcl {
    /// Only entries at exactly this path.
    pub path: Option<String>,
}

/// One grant.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AclEntry {
    /// Where.
    #[serde(deserialize_with = "decode::text")]
    pub path: String,
    /// `user` or `group`; a token is a user here.
    #[serde(rename = "ugid_type", deserialize_with = "decode::text")]
    pub kind: String,
    /// To whom: `name@realm` or `name@realm!token`.
    #[serde(deserialize_with = "decode::text")]
    pub ugid: String,
    /// What.
    #[serde(deserialize_with = "decode::text")]
    pub roleid: String,
    /// Whether it also holds below.
    #[serde(default, deserialize_with = "decode::flag")]
    pub propagate: bool,
}

/// A change of users, tokens and grants: what an admin does once, logged in. No token may grant anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// `POST /access/users`, without a password: nobody can log in as this user.
    CreateUser {
        /// Who.
        user: UserId,
        /// Comment, in one line of at most 128 characters.
        comment: String,
    },
    /// `DELETE /access/users/USER`, with its tokens and ACL entries.
    DeleteUser(UserId),
    /// `DELETE /access/users/USER/token/NAME`, with its ACL entries.
    DeleteToken(TokenId),
    /// `PUT /access/acl` for a user: one of two grants that its token needs.
    GrantUser(Grant, UserId),
    /// `PUT /access/acl` for a token: the other one.
    GrantToken(Grant, TokenId),
}

/// What is granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Where, such as [`super::Place::acl_path`].
    pub path: String,
    /// One of the server's roles, such as `DatastoreReader`; it has no others.
    pub role: String,
    /// Take it away instead.
    pub delete: bool,
}

impl Grant {
    fn request(&self, to: &dyn std::fmt::Display) -> Request {
        Request::new(Method::Put, &[&"access", &"acl"])
            .with("path", &self.path)
            .with("role", &self.role)
            .with("auth-id", to)
            .maybe_flag("delete", self.delete.then_some(true))
    }
}

/// `POST /access/users/USER/token/NAME`: a token whose secret this answer shows, once. A lost secret cannot be made anew
/// (up to version 3.2): delete the token and issue it again, with its grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssueToken {
    /// Which.
    pub token: TokenId,
    /// Comment, in one line of at most 128 characters.
    pub comment: String,
}

impl Call for ListUsers {
    type Response = Vec<User>;

    fn request(&self) -> Request {
        Request::new(Method::Get, &[&"access", &"users"]).flag("include_tokens", true)
    }
}

impl Call for ListTokens {
    type Response = Vec<UserToken>;

    fn request(&self) -> Request {
        Request::new(Method::Get, &[&"access", &"users", &self.user, &"token"])
    }
}

impl Call for ListAcl {
    type Response = Vec<AclEntry>;

    fn request(&self) -> Request {
        // The server looks at whole subtrees unless told otherwise.
        Request::new(Method::Get, &[&"access", &"acl"])
            .maybe("path", self.path.as_deref())
            .maybe_flag("exact", self.path.as_ref().map(|_| true))
    }
}

impl Call for Change {
    type Response = Done;

    fn request(&self) -> Request {
        match self {
            Self::CreateUser { user, comment } => {
                Request::new(Method::Post, &[&"access", &"users"])
                    .with("userid", user)
                    .with("comment", comment)
            }
            Self::DeleteUser(user) => Request::new(Method::Delete, &[&"access", &"users", user]),
            Self::DeleteToken(token) => Request::new(
                Method::Delete,
                &[&"access", &"users", token.user(), &"token", &token.name()],
            ),
            Self::GrantUser(grant, user) => grant.request(user),
            Self::GrantToken(grant, token) => grant.request(token),
        }
    }
}

impl Call for IssueToken {
    type Response = IssuedSecret;

    fn request(&self) -> Request {
        let (user, name) = (self.token.user(), self.token.name());
        Request::new(Method::Post, &[&"access", &"users", user, &"token", &name])
            .confidential()
            .with("comment", &self.comment)
    }
}

/// `POST /access/ticket`: logs in by password. A token's secret is no password.
///
/// # Errors
/// [`Error::Unauthorized`] for a wrong password, user or realm alike.
pub async fn login(door: &Door, user: &UserId, password: &SecretString) -> Result<Login, Error> {
    crate::login::login(Product::BackupServer, door, user, password).await
}

/// The same request with a second factor: `totp:123456`, `recovery:KEY`.
///
/// # Errors
/// [`Error::Unauthorized`] for a wrong one.
pub async fn answer_challenge(
    door: &Door,
    user: &UserId,
    challenge: &Challenge,
    factor: &SecretString,
) -> Result<Login, Error> {
    crate::login::answer_challenge(Product::BackupServer, door, user, challenge, factor).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_goes_to_user_and_token_each_on_its_own() {
        let grant = Grant {
            path: "/datastore/store/ns".to_owned(),
            role: "DatastoreReader".to_owned(),
            delete: false,
        };
        let user = Change::GrantUser(grant.clone(), "u@pbs".parse().unwrap()).request();
        assert_eq!(user.to_string(), "PUT /access/acl");
        assert_eq!(
            user.params(),
            "path=%2Fdatastore%2Fstore%2Fns&role=DatastoreReader&auth-id=u%40pbs"
        );
        let token = Change::GrantToken(grant, "u@pbs!t1".parse().unwrap()).request();
        assert!(token.params().ends_with("&auth-id=u%40pbs%21t1"));
    }
}
