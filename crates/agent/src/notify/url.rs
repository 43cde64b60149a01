//! Where something is sent: an address of the web, encrypted unless it is this host.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// `https://host[:port][/path][?query]`, or `http://` to this host. It names nobody: no user, no password.
#[derive(Clone, PartialEq, Eq)]
pub struct WebUrl {
    pub(super) secure: bool,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) path: String,
}

impl WebUrl {
    /// `host:port`, which may be told even where the path is a secret.
    pub fn place(&self) -> String {
        format!("{}:{}", bracketed(&self.host), self.port)
    }

    fn whole(&self) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        let host = bracketed(&self.host);
        match (self.secure, self.port) {
            (true, 443) | (false, 80) => format!("{scheme}://{host}{}", self.path),
            (_, port) => format!("{scheme}://{host}:{port}{}", self.path),
        }
    }
}

fn bracketed(host: &str) -> String {
    if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}

/// Paths can be secrets: only the configuration itself is shown as a whole.
impl fmt::Debug for WebUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place())
    }
}

impl Serialize for WebUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.whole())
    }
}

/// Why a text is no such address. It is not repeated, for it may hold a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseUrlError {
    /// It is no address.
    #[error("this is no address like `https://host/path`")]
    NoUrl,
    /// It names a user.
    #[error("an address with a user or password in it is not taken: use `secret_file`")]
    User,
    /// It would be sent in the clear.
    #[error("`https://` is needed; `http://` goes to this host only")]
    Open,
}

impl FromStr for WebUrl {
    type Err = ParseUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let uri: http::Uri = text.parse().map_err(|_| ParseUrlError::NoUrl)?;
        let authority = uri.authority().ok_or(ParseUrlError::NoUrl)?;
        if authority.as_str().contains('@') {
            return Err(ParseUrlError::User);
        }
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(ParseUrlError::NoUrl),
        };
        if host.is_empty() {
            return Err(ParseUrlError::NoUrl);
        }
        if !secure && !is_loopback(&host) {
            return Err(ParseUrlError::Open);
        }
        let path = uri.path_and_query();
        Ok(Self {
            secure,
            port: authority
                .port_u16()
                .unwrap_or(if secure { 443 } else { 80 }),
            host,
            path: path.map_or("/", |path| path.as_str()).to_owned(),
        })
    }
}

/// Whether a host is this one, whatever a name server says.
pub fn is_loopback(host: &str) -> bool {
    let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    host == "localhost" || address.is_some_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_host_is_spoken_to_in_the_clear() {
        for (text, whole) in [
            ("https://ntfy.sh", "https://ntfy.sh/"),
            (
                "https://a.example:8443/x?y=1",
                "https://a.example:8443/x?y=1",
            ),
            ("http://127.0.0.1:8080/hook", "http://127.0.0.1:8080/hook"),
            ("http://[::1]/hook", "http://[::1]/hook"),
            ("http://localhost/", "http://localhost/"),
        ] {
            assert_eq!(text.parse::<WebUrl>().unwrap().whole(), whole);
        }
        for (text, error) in [
            ("http://ntfy.sh", ParseUrlError::Open),
            ("http://127.0.0.1.example.org/", ParseUrlError::Open),
            ("http://localhost.example.org/", ParseUrlError::Open),
            ("https://me:hunter2@a.example/", ParseUrlError::User),
            ("ftp://a.example/", ParseUrlError::NoUrl),
            ("ntfy.sh", ParseUrlError::NoUrl),
            ("/hook", ParseUrlError::NoUrl),
            ("", ParseUrlError::NoUrl),
        ] {
            assert_eq!(text.parse::<WebUrl>(), Err(error), "{text}");
        }
    }

    #[test]
    fn a_path_is_not_told_by_accident() {
        let url: WebUrl = "https://hc-ping.com/5f2c-secret".parse().unwrap();
        assert_eq!(format!("{url:?}"), "hc-ping.com:443");
    }
}
