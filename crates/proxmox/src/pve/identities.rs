//! Users, tokens, roles and ACLs, and the login that may change them: what enrolling calls, and nothing else does.

use felhom_ids::{BridgeName, NodeName, PoolId, TokenId, UserId};
use secrecy::SecretString;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

use super::Pve;
use super::network::{HostInterface, ListInterfaces};
use crate::decode::{self, Done};
use crate::encode::{Endpoint, Method, Request};
use crate::error::Error;
use crate::error::answer::unreadable;
use crate::product::Product;
use crate::task::Started;

pub use crate::login::{Challenge, Door, Login};

/// `GET /access/roles`: any caller.
#[derive(Debug, Clone, Copy)]
pub struct ListRoles;

/// A named set of privileges.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Role {
    /// Its name.
    #[serde(deserialize_with = "decode::text")]
    pub roleid: String,
    /// Its privileges, sorted.
    #[serde(default, deserialize_with = "decode::csv")]
    pub privs: Vec<String>,
}

/// `GET /access/users?full=1`. Whoever may not manage users sees only itself.
#[derive(Debug, Clone, Copy)]
pub struct ListUsers;

/// A user with its tokens.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct User {
    /// `name@realm`.
    pub userid: UserId,
    /// What somebody wrote about it.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub comment: Option<String>,
    /// Whether it may log in; its tokens share that.
    #[serde(default = "decode::yes", deserialize_with = "decode::flag")]
    pub enable: bool,
    /// Its API tokens.
    #[serde(default, deserialize_with = "decode::list")]
    pub tokens: Vec<UserToken>,
}

/// A token's public half, as its user's list shows it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct UserToken {
    /// The part behind `!`.
    #[serde(deserialize_with = "decode::text")]
    pub tokenid: String,
    /// Whether it has only what is granted to it as well as to its user.
    #[serde(default, deserialize_with = "decode::flag")]
    pub privsep: bool,
    /// What somebody wrote about it.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub comment: Option<String>,
}

/// `GET /access/acl`: with `Sys.Audit` on `/access` all of it.
#[derive(Debug, Clone, Copy)]
pub struct ListAcl;

/// One grant.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AclEntry {
    /// Where.
    #[serde(deserialize_with = "decode::text")]
    pub path: String,
    /// `user`, `group` or `token`.
    #[serde(rename = "type", deserialize_with = "decode::text")]
    pub kind: String,
    /// To whom.
    #[serde(deserialize_with = "decode::text")]
    pub ugid: String,
    /// What.
    #[serde(deserialize_with = "decode::text")]
    pub roleid: String,
    /// Whether it also holds below.
    #[serde(default, deserialize_with = "decode::flag")]
    pub propagate: bool,
}

/// `GET /pools`: those that the caller may audit, without members.
#[derive(Debug, Clone, Copy)]
pub struct ListPools;

/// A pool's name and comment.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PoolName {
    /// Its id.
    pub poolid: PoolId,
    /// What somebody wrote about it.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub comment: Option<String>,
}

/// A change of what the API calls identities, pools and network: what an admin does once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// `POST /access/roles`
    CreateRole {
        /// Name.
        role: String,
        /// Privileges.
        privs: Vec<String>,
    },
    /// `PUT /access/roles/ROLE`: these privileges instead of those it has.
    SetRole {
        /// Name.
        role: String,
        /// Privileges.
        privs: Vec<String>,
    },
    /// `DELETE /access/roles/ROLE`. ACL entries that name it stay behind.
    DeleteRole(String),
    /// `POST /access/users`, without a password: nobody can log in as this user.
    CreateUser {
        /// Who.
        user: UserId,
        /// Comment.
        comment: String,
    },
    /// `DELETE /access/users/USER`; its ACL entries go with it.
    DeleteUser(UserId),
    /// `DELETE /access/users/USER/token/NAME`; its ACL entries go with it.
    DeleteToken(TokenId),
    /// `PUT /access/acl`: a role for a user and its token, here and below; or no longer.
    Acl {
        /// Where.
        path: String,
        /// What.
        role: String,
        /// The token; the user is its owner.
        token: TokenId,
        /// Take it away instead.
        delete: bool,
    },
    /// `POST /pools`
    CreatePool {
        /// Name.
        pool: PoolId,
        /// Comment.
        comment: String,
    },
    /// `DELETE /pools?poolid=`: refused by the server while it has members.
    DeletePool(PoolId),
    /// `POST /nodes/N/network`: a bridge without ports and addresses, pending until [`ApplyNetwork`].
    CreateBridge {
        /// Name.
        bridge: BridgeName,
        /// Comment.
        comment: String,
    },
    /// `DELETE /nodes/N/network/BRIDGE`, pending likewise.
    DeleteBridge(BridgeName),
}

/// `POST` or `PUT /access/users/USER/token/NAME`: a token whose secret this answer shows, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssueToken {
    /// Which.
    pub token: TokenId,
    /// It exists, and gets another secret instead.
    pub regenerate: bool,
    /// Comment of a new one.
    pub comment: String,
}

/// The secret of a token, shown once.
#[derive(Debug, Clone)]
pub struct IssuedSecret(pub SecretString);

impl<'de> Deserialize<'de> for IssuedSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Issued {
            value: Option<String>,
        }
        let issued = Issued::deserialize(deserializer)?;
        let value = issued.value.filter(|value| !value.is_empty());
        value
            .map(|value| Self(SecretString::from(value)))
            .ok_or_else(|| D::Error::custom("the answer shows no secret"))
    }
}

/// `PUT /nodes/N/network`: takes over every pending change of the host's network, whoever made it. A task.
#[derive(Debug, Clone, Copy)]
pub struct ApplyNetwork;

impl Endpoint for ListRoles {
    type Response = Vec<Role>;

    fn request(&self, _node: &NodeName) -> Request {
        Request::new(Method::Get, &[&"access", &"roles"])
    }
}

impl Endpoint for ListUsers {
    type Response = Vec<User>;

    fn request(&self, _node: &NodeName) -> Request {
        Request::new(Method::Get, &[&"access", &"users"]).flag("full", true)
    }
}

impl Endpoint for ListAcl {
    type Response = Vec<AclEntry>;

    fn request(&self, _node: &NodeName) -> Request {
        Request::new(Method::Get, &[&"access", &"acl"])
    }
}

impl Endpoint for ListPools {
    type Response = Vec<PoolName>;

    fn request(&self, _node: &NodeName) -> Request {
        Request::new(Method::Get, &[&"pools"])
    }
}

impl Endpoint for Change {
    type Response = Done;

    fn request(&self, node: &NodeName) -> Request {
        match self {
            Self::CreateRole { role, privs } => Request::new(Method::Post, &[&"access", &"roles"])
                .with("roleid", role)
                .joined("privs", privs),
            Self::SetRole { role, privs } => {
                Request::new(Method::Put, &[&"access", &"roles", role]).joined("privs", privs)
            }
            Self::DeleteRole(role) => Request::new(Method::Delete, &[&"access", &"roles", role]),
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
            Self::Acl {
                path,
                role,
                token,
                delete,
            } => Request::new(Method::Put, &[&"access", &"acl"])
                .with("path", path)
                .with("roles", role)
                .with("users", token.user())
                .with("tokens", token)
                .maybe_flag("delete", delete.then_some(true)),
            Self::CreatePool { pool, comment } => Request::new(Method::Post, &[&"pools"])
                .with("poolid", pool)
                .with("comment", comment),
            Self::DeletePool(pool) => {
                Request::new(Method::Delete, &[&"pools"]).with("poolid", pool)
            }
            Self::CreateBridge { bridge, comment } => {
                Request::new(Method::Post, &[&"nodes", node, &"network"])
                    .with("iface", bridge)
                    .with("type", "bridge")
                    .flag("autostart", true)
                    .with("comments", comment)
            }
            Self::DeleteBridge(bridge) => {
                Request::new(Method::Delete, &[&"nodes", node, &"network", bridge])
            }
        }
    }
}

impl Endpoint for IssueToken {
    type Response = IssuedSecret;

    fn request(&self, _node: &NodeName) -> Request {
        let method = if self.regenerate {
            Method::Put
        } else {
            Method::Post
        };
        let (user, name) = (self.token.user(), self.token.name());
        let request =
            Request::new(method, &[&"access", &"users", user, &"token", &name]).confidential();
        if self.regenerate {
            request.flag("regenerate", true)
        } else {
            request.flag("privsep", true).with("comment", &self.comment)
        }
    }
}

impl Endpoint for ApplyNetwork {
    type Response = Started;

    fn request(&self, node: &NodeName) -> Request {
        Request::new(Method::Put, &[&"nodes", node, &"network"])
    }
}

/// The host's interfaces as they will be, and what of that is still pending.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct NetworkPlan {
    /// With pending changes taken into account.
    #[serde(rename = "data", default, deserialize_with = "decode::list")]
    pub interfaces: Vec<HostInterface>,
    /// The difference to what is in force, in diff's form; none when nothing is pending.
    #[serde(default, deserialize_with = "decode::maybe_text")]
    pub changes: Option<String>,
}

impl Pve {
    /// The host's interfaces and what is pending, which stands beside `data` in this answer only.
    pub async fn network_plan(&self) -> Result<NetworkPlan, Error> {
        let request = ListInterfaces.request(self.node());
        let body = self.client().exchange(&request).await?;
        serde_json::from_slice(&body).map_err(|source| {
            let credentials = &self.client().settings().credentials;
            unreadable(
                &request,
                "a list of interfaces",
                &body,
                &source,
                credentials,
            )
        })
    }
}

/// `POST /access/ticket`: logs in by password.
///
/// # Errors
/// [`Error::Unauthorized`] for a wrong password, user or realm alike.
pub async fn login(door: &Door, user: &UserId, password: &SecretString) -> Result<Login, Error> {
    crate::login::login(Product::VirtualEnvironment, door, user, password).await
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
    crate::login::answer_challenge(Product::VirtualEnvironment, door, user, challenge, factor).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(change: &impl Endpoint) -> (String, String) {
        let request = change.request(&"pve".parse().unwrap());
        (request.to_string(), request.params().to_owned())
    }

    #[test]
    fn grants_go_to_user_and_token_in_one_request() {
        let grant = Change::Acl {
            path: "/pool/p".to_owned(),
            role: "R".to_owned(),
            token: "u@pve!tok".parse().unwrap(),
            delete: false,
        };
        let (line, params) = request(&grant);
        assert_eq!(line, "PUT /access/acl");
        assert_eq!(
            params,
            "path=%2Fpool%2Fp&roles=R&users=u%40pve&tokens=u%40pve%21tok"
        );
    }

    #[test]
    fn a_lost_secret_is_made_anew_without_touching_the_token() {
        let mut issue = IssueToken {
            token: "u@pve!tok".parse().unwrap(),
            regenerate: true,
            comment: "c".to_owned(),
        };
        let expected = "/access/users/u%40pve/token/tok";
        let put = (format!("PUT {expected}"), "regenerate=1".to_owned());
        assert_eq!(request(&issue), put);
        issue.regenerate = false;
        let post = (format!("POST {expected}"), "privsep=1&comment=c".to_owned());
        assert_eq!(request(&issue), post);
        assert!(serde_json::from_str::<IssuedSecret>(r#"{"info":{}}"#).is_err());
    }
}
