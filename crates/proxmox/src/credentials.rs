//! Ways of telling a server who asks: an API token, or the ticket of somebody who has logged in.

use std::fmt;

use felhom_ids::{TokenId, UserId};
use http::HeaderValue;
use http::header::{AUTHORIZATION, COOKIE, HeaderName};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};

use crate::Error;
use crate::product::Product;
use crate::token::Token;

/// What a ticket's writes must carry besides the cookie; tokens need none (pve-http-server,
/// proxmox-rest-server).
pub(crate) const CSRF: HeaderName = HeaderName::from_static("csrfpreventiontoken");

/// So much of a secret shows by no chance. A third of a token's 36 characters leaves more than anybody can try.
const STRETCH: usize = 12;

/// Who we are to a server.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// Nobody: enough to log in, and for nothing else.
    Anonymous,
    /// An API token: everyday use.
    Token(Token),
    /// A login that ends by itself after two hours.
    Ticket(Ticket),
}

/// The proof of a login. Its values never show in `Debug` output.
#[derive(Clone)]
pub struct Ticket {
    product: Product,
    user: UserId,
    proof: SecretString,
    csrf: SecretString,
}

impl Ticket {
    /// Joins what a login to Proxmox VE answers.
    pub fn new(user: UserId, proof: SecretString, csrf: SecretString) -> Self {
        Self::of(Product::VirtualEnvironment, user, proof, csrf)
    }

    /// Joins what a login answers.
    pub fn of(product: Product, user: UserId, proof: SecretString, csrf: SecretString) -> Self {
        Self {
            product,
            user,
            proof,
            csrf,
        }
    }

    /// Who logged in.
    pub fn user(&self) -> &UserId {
        &self.user
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticket({}, [redacted])", self.user)
    }
}

impl From<Token> for Credentials {
    fn from(token: Token) -> Self {
        Self::Token(token)
    }
}

impl From<Ticket> for Credentials {
    fn from(ticket: Ticket) -> Self {
        Self::Ticket(ticket)
    }
}

impl Credentials {
    /// The token's public half, where it is one.
    pub fn token_id(&self) -> Option<&TokenId> {
        match self {
            Self::Token(token) => Some(token.id()),
            Self::Anonymous | Self::Ticket(_) => None,
        }
    }

    /// Whose they are, where they are anybody's.
    pub(crate) fn product(&self) -> Option<Product> {
        match self {
            Self::Anonymous => None,
            Self::Token(token) => Some(token.product()),
            Self::Ticket(ticket) => Some(ticket.product),
        }
    }

    /// The header that every request carries.
    pub(crate) fn header(&self) -> Result<Option<(HeaderName, HeaderValue)>, Error> {
        Ok(match self {
            Self::Anonymous => None,
            Self::Token(token) => Some((AUTHORIZATION, token.header()?)),
            Self::Ticket(ticket) => {
                let encoded = utf8_percent_encode(ticket.proof.expose_secret(), NON_ALPHANUMERIC);
                let value = secret_value(&format!("{}={encoded}", ticket.product.cookie()))?;
                Some((COOKIE, value))
            }
        })
    }

    /// The value of [`CSRF`], which a ticket's writes carry.
    pub(crate) fn csrf(&self) -> Result<Option<HeaderValue>, Error> {
        match self {
            Self::Anonymous | Self::Token(_) => Ok(None),
            Self::Ticket(ticket) => secret_value(ticket.csrf.expose_secret()).map(Some),
        }
    }

    /// Takes the secrets out of a text that came from elsewhere and will be shown.
    pub(crate) fn redact(&self, text: String) -> String {
        let secrets = self.secrets().into_iter().flatten();
        secrets.fold(text, |text, secret| match secret.expose_secret() {
            secret if secret.is_empty() || !text.contains(secret) => text,
            secret => text.replace(secret, "[redacted]"),
        })
    }

    /// Whether a text still holds a stretch of a secret, as one does in which it was cut or written in other letters.
    pub(crate) fn shows_in_part(&self, text: &str) -> bool {
        self.secrets().into_iter().flatten().any(|secret| {
            let secret = secret.expose_secret();
            let starts = 0..secret.len().saturating_sub(STRETCH - 1);
            starts
                .filter_map(|start| secret.get(start..start + STRETCH))
                .any(|stretch| text.contains(stretch))
        })
    }

    fn secrets(&self) -> [Option<&SecretString>; 2] {
        match self {
            Self::Anonymous => [None, None],
            Self::Token(token) => [Some(token.secret()), None],
            Self::Ticket(ticket) => [Some(&ticket.proof), Some(&ticket.csrf)],
        }
    }
}

fn secret_value(text: &str) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::from_str(text).map_err(|_| Error::Trust {
        what: "the server's ticket holds characters that no header may have".to_owned(),
    })?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket() -> Credentials {
        Ticket::new(
            "root@pam".parse().unwrap(),
            "PVE:root@pam:6A::ab+c/d=".to_owned().into(),
            "6A:x+y".to_owned().into(),
        )
        .into()
    }

    #[test]
    fn a_ticket_travels_as_a_cookie_that_gets_through_whole() {
        let (name, value) = ticket().header().unwrap().unwrap();
        assert_eq!(name, COOKIE);
        assert_eq!(
            value.to_str().unwrap(),
            "PVEAuthCookie=PVE%3Aroot%40pam%3A6A%3A%3Aab%2Bc%2Fd%3D"
        );
        assert!(value.is_sensitive());
        assert_eq!(ticket().csrf().unwrap().unwrap(), "6A:x+y");
        assert!(Credentials::Anonymous.header().unwrap().is_none());
    }

    #[test]
    fn a_backup_server_has_a_cookie_of_its_own() {
        let ticket = Ticket::of(
            Product::BackupServer,
            "felhom@pbs".parse().unwrap(),
            "PBS:felhom@pbs:6B::a/b".to_owned().into(),
            "6B:x".to_owned().into(),
        );
        let (_, value) = Credentials::from(ticket).header().unwrap().unwrap();
        assert_eq!(
            value.to_str().unwrap(),
            "PBSAuthCookie=PBS%3Afelhom%40pbs%3A6B%3A%3Aa%2Fb"
        );
    }

    #[test]
    fn neither_debug_nor_texts_show_it() {
        assert!(!format!("{:?}", ticket()).contains("ab+c"));
        let shown = ticket().redact("a PVE:root@pam:6A::ab+c/d= b 6A:x+y".to_owned());
        assert_eq!(shown, "a [redacted] b [redacted]");
        assert!(ticket().shows_in_part("it begins with `PVE:root@pam:`"));
        assert!(!ticket().shows_in_part(&shown));
    }
}
