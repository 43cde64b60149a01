//! What the two servers write differently, in one place: headers, cookies, where an error text stands, lines of a log.

use secrecy::{ExposeSecret, SecretString};

use crate::http::Answer;

/// Which kind of server is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Product {
    /// Proxmox VE.
    #[default]
    Pve,
    /// Proxmox Backup Server.
    Pbs,
}

impl Product {
    /// As people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pve => "PVE",
            Self::Pbs => "PBS",
        }
    }

    /// The port it listens on where an address names none.
    pub(crate) fn port(self) -> u16 {
        match self {
            Self::Pve => 8006,
            Self::Pbs => 8007,
        }
    }

    /// The realm of the accounts that it keeps itself.
    pub(crate) fn realm(self) -> &'static str {
        match self {
            Self::Pve => "pve",
            Self::Pbs => "pbs",
        }
    }

    /// The header of an API token.
    pub(crate) fn token_header(self, id: &str, secret: &SecretString) -> (String, SecretString) {
        let secret = secret.expose_secret();
        let value = match self {
            Self::Pve => format!("PVEAPIToken={id}={secret}"),
            Self::Pbs => format!("PBSAPIToken={id}:{secret}"),
        };
        ("Authorization".into(), SecretString::from(value))
    }

    /// An `Authorization` of its scheme that names no token.
    pub(crate) fn nonsense(self) -> String {
        format!("{}APIToken=nonsense", self.name())
    }

    /// The cookie that carries a ticket.
    pub(crate) fn cookie(self, ticket: &str) -> String {
        format!("{}AuthCookie={ticket}", self.name())
    }

    /// A ticket that was never given out, as it stands in a cookie.
    pub(crate) fn false_ticket(self) -> String {
        format!("{}%3Aroot%40pam%3A00000000%3A%3Anonsense", self.name())
    }

    /// The error text: the envelope's message or else the status line's; of a backup server the whole body.
    pub(crate) fn error_text(self, answer: &Answer) -> String {
        let text = match self {
            Self::Pve => {
                let body = answer.json();
                let message = body.as_ref().and_then(|body| body.get("message"));
                let message = message.and_then(serde_json::Value::as_str);
                message.unwrap_or(&answer.reason).to_owned()
            }
            Self::Pbs if answer.status >= 400 => answer.body.clone(),
            Self::Pbs => answer.reason.clone(),
        };
        text.trim_end().to_owned()
    }

    /// A line of a task's log without the date that a backup server puts in front.
    pub(crate) fn log_line(self, line: &str) -> &str {
        match self {
            Self::Pve => line,
            Self::Pbs => line.split_once(": ").map_or(line, |(_, text)| text),
        }
    }
}
