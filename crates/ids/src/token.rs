//! An API token's public half: whose it is, and its name. The secret is no part of this.

use std::fmt;
use std::str::FromStr;

use crate::text::{is_config_id, serde_as_text};
use crate::{InvalidName, UserId};

/// An API token's id, `name@realm!token`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId {
    user: UserId,
    name: String,
}

impl TokenId {
    /// The user whose rights bound this token's.
    pub fn user(&self) -> &UserId {
        &self.user
    }

    /// The token's own name, the part behind `!`.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl FromStr for TokenId {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let parse = || {
            let (user, name) = text.rsplit_once('!')?;
            let user = user.parse().ok()?;
            is_config_id(name, &['.', '-', '_']).then(|| Self {
                user,
                name: name.to_owned(),
            })
        };
        parse().ok_or_else(|| {
            InvalidName::new(
                "token id",
                "`name@realm!token` (as in `felhom-agent@pve!agent`)",
                public_half(text),
            )
        })
    }
}

/// What may be shown of a text that is no token id: people paste the secret along, behind `=` as PVE's header has it or
/// behind `:` as that of Proxmox Backup Server, or nothing but the secret.
fn public_half(text: &str) -> &str {
    let text = text
        .strip_prefix("PVEAPIToken=")
        .or_else(|| text.strip_prefix("PBSAPIToken="))
        .unwrap_or(text);
    let end = text.find(['=', ':']).unwrap_or(text.len());
    text.get(..end)
        .filter(|half| half.contains('@'))
        .unwrap_or("…")
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}!{}", self.user, self.name)
    }
}

serde_as_text!(TokenId, "a token id `name@realm!token`");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_a_user_and_a_name() {
        let token: TokenId = "felhom-agent@pve!agent".parse().unwrap();
        assert_eq!(token.user().as_str(), "felhom-agent@pve");
        assert_eq!(token.name(), "agent");
        assert_eq!(token.to_string(), "felhom-agent@pve!agent");
    }

    #[test]
    fn a_secret_does_not_slip_in() {
        for odd in [
            "",
            "root@pam",
            "root@pam!",
            "root@pam!t",
            "!x",
            "root@pam!tok=0000-1111",
            "PVEAPIToken=root@pam!tok=0000-1111",
            "root@pam!tok:0000-1111",
            "0000-1111",
        ] {
            let refused = odd.parse::<TokenId>().unwrap_err().to_string();
            assert!(!refused.contains("0000-1111"), "{refused}");
        }
        let refused = "root@pam!tok=0000-1111".parse::<TokenId>().unwrap_err();
        assert_eq!(refused.input(), "root@pam!tok");
    }
}
