//! An API token with its secret, and the one header in which the secret may appear.

use std::fmt;

use felhom_ids::TokenId;
use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};

use crate::Error;
use crate::product::Product;

/// Who we are to a Proxmox server. The secret never shows in `Debug` output.
#[derive(Clone)]
pub struct Token {
    product: Product,
    id: TokenId,
    secret: SecretString,
}

impl Token {
    /// Joins the id of a token of Proxmox VE with its secret; blanks and line ends around the secret are dropped, as
    /// files end with one.
    pub fn new(id: TokenId, secret: &SecretString) -> Self {
        Self::of(Product::VirtualEnvironment, id, secret)
    }

    /// The same for a token of a Proxmox Backup Server.
    pub fn pbs(id: TokenId, secret: &SecretString) -> Self {
        Self::of(Product::BackupServer, id, secret)
    }

    fn of(product: Product, id: TokenId, secret: &SecretString) -> Self {
        Self {
            product,
            id,
            secret: SecretString::from(secret.expose_secret().trim().to_owned()),
        }
    }

    /// Whose token it is.
    pub fn product(&self) -> Product {
        self.product
    }

    /// The public half.
    pub fn id(&self) -> &TokenId {
        &self.id
    }

    /// The header's value, marked so that nothing prints it.
    pub(crate) fn header(&self) -> Result<HeaderValue, Error> {
        let (scheme, separator) = self.product.token_scheme();
        let text = format!(
            "{scheme}={}{separator}{}",
            self.id,
            self.secret.expose_secret()
        );
        let mut value = HeaderValue::from_str(&text).map_err(|_| Error::Trust {
            what: format!(
                "the secret of {} holds characters that no token has",
                self.id
            ),
        })?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// The other half.
    pub(crate) fn secret(&self) -> &SecretString {
        &self.secret
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({}=[redacted])", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::Credentials;

    fn token(secret: &str) -> Token {
        Token::new(
            "felhom-agent@pve!agent".parse().unwrap(),
            &SecretString::from(secret.to_owned()),
        )
    }

    #[test]
    fn the_header_is_what_pve_reads_and_hides_itself() {
        let header = token("0f0f-1234\n").header().unwrap();
        assert_eq!(
            header.to_str().unwrap(),
            "PVEAPIToken=felhom-agent@pve!agent=0f0f-1234"
        );
        assert!(header.is_sensitive());
        assert!(!format!("{header:?}").contains("0f0f"));
    }

    #[test]
    fn a_backup_server_has_another_separator() {
        let secret = SecretString::from("0f0f-1234".to_owned());
        let token = Token::pbs("felhom@pbs!n100".parse().unwrap(), &secret);
        let header = token.header().unwrap();
        assert_eq!(
            header.to_str().unwrap(),
            "PBSAPIToken=felhom@pbs!n100:0f0f-1234"
        );
        assert!(!format!("{header:?} {token:?}").contains("0f0f"));
    }

    #[test]
    fn neither_debug_nor_errors_show_the_secret() {
        assert!(!format!("{:?}", token("0f0f-1234")).contains("0f0f"));
        let refused = token("0f0f\n1234").header().unwrap_err();
        assert!(!format!("{refused:?} {refused}").contains("0f0f"));
        let credentials = Credentials::from(token("0f0f-1234"));
        assert_eq!(
            credentials.redact("a 0f0f-1234 b".to_owned()),
            "a [redacted] b"
        );
    }
}
