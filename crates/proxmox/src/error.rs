//! What can go wrong between us and a Proxmox server, sorted by what the caller may do next.
//!
//! The one question that matters after a failed mutation is whether it may have happened:
//! [`Error::delivery`] answers it, and never guesses towards "no".

pub(crate) mod answer;
mod denied;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use felhom_ids::Fingerprint;

use crate::credentials::Credentials;
use crate::encode::Request;

pub use denied::Denied;

/// How far a request got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Delivery {
    /// The server never saw the request: repeating it is safe.
    NotSent,
    /// It may have been carried out: look for its task and its effect before deciding anything.
    Unknown,
    /// The server said what became of it.
    Answered,
}

/// Where time ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Resolving the name and opening the connection.
    Connect,
    /// Agreeing on TLS.
    Handshake,
    /// From the first byte sent to the last byte received.
    Answer,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "the connection",
            Self::Handshake => "the TLS handshake",
            Self::Answer => "the answer",
        })
    }
}

/// A failed request. `request` is always its method and path.
#[derive(Debug, thiserror::Error)]
#[expect(
    clippy::error_impl_error,
    reason = "the one error of this crate, used as `proxmox::Error`"
)]
pub enum Error {
    /// No connection could be opened.
    #[error("cannot connect to {address}")]
    Connect {
        /// Host and port.
        address: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The peer does not speak TLS as we want it to, or its certificate is refused.
    #[error("no trusted TLS connection to {address}")]
    Tls {
        /// Host and port.
        address: String,
        /// What the handshake said.
        #[source]
        source: std::io::Error,
    },
    /// The peer shows another certificate than the pinned one.
    #[error(
        "{address} does not show the pinned certificate: expected {expected}, seen {seen}; \
         if the certificate was renewed on purpose, compare the seen fingerprint on the host and run \
         `felhom-agent trust repin`"
    )]
    PinMismatch {
        /// Host and port.
        address: String,
        /// The pinned fingerprint.
        expected: Fingerprint,
        /// That of the certificate shown.
        seen: Fingerprint,
    },
    /// The configured trust or secret cannot be used at all; nothing was connected.
    #[error("unusable settings: {what}")]
    Trust {
        /// What is wrong with it.
        what: String,
    },
    /// A deadline passed.
    #[error("{request}: timed out after {} s waiting for {phase}", after.as_secs_f32())]
    Timeout {
        /// Method and path, or the address when no request was under way yet.
        request: String,
        /// What was waited for.
        phase: Phase,
        /// How long.
        after: Duration,
    },
    /// The connection broke, before or after the request was sent.
    #[error("{request}: the connection broke {}", if *sent { "before the answer was complete" } else { "before the request was sent" })]
    ConnectionLost {
        /// Method and path.
        request: String,
        /// Whether any of the request may have left.
        sent: bool,
        /// What the HTTP layer said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// 401: the server does not know who we are.
    #[error("{request}: not authenticated: {text}")]
    Unauthorized {
        /// Method and path.
        request: String,
        /// The server's words.
        text: String,
    },
    /// 403: it knows us, and we may not.
    #[error("{request}: not permitted: {text}")]
    Forbidden {
        /// Method and path.
        request: String,
        /// What is missing where, when the server said so.
        denied: Option<Denied>,
        /// The server's words.
        text: String,
    },
    /// 400: parameters were refused; nothing was done.
    #[error("{request}: {text}{}", Fields(fields))]
    Parameter {
        /// Method and path.
        request: String,
        /// Parameter → what is wrong with it.
        fields: BTreeMap<String, String>,
        /// The server's words.
        text: String,
    },
    /// A guest, or a backup on a backup server, is locked by another operation.
    #[error("{request}: {text}")]
    Locked {
        /// Method and path.
        request: String,
        /// The lock's name, such as `backup`; of a backup that is being read or written, `in use`.
        lock: String,
        /// The server's words.
        text: String,
    },
    /// A thing that the request names does not exist.
    #[error("{request}: {what}")]
    NotFound {
        /// Method and path.
        request: String,
        /// The server's words.
        what: String,
    },
    /// 595 to 599: the front end could not get the answer from the daemon or node behind it.
    #[error("{request}: proxy error {code}: {text}")]
    Proxy {
        /// Method and path.
        request: String,
        /// 595 no connection, 596 TLS, request or headers, 597 body, 598 and 599 other.
        code: u16,
        /// The server's words.
        text: String,
    },
    /// Any other answer that is no success.
    #[error("{request}: {status}: {text}")]
    Api {
        /// Method and path.
        request: String,
        /// The HTTP status.
        status: u16,
        /// The server's words.
        text: String,
    },
    /// A success that we cannot read.
    #[error("{request}: the answer is not what it should be: {what} (it begins with `{kept}`)")]
    Decode {
        /// Method and path.
        request: String,
        /// What was expected.
        what: &'static str,
        /// The beginning of the body.
        kept: String,
        /// Where reading it failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The answer is longer than any that we expect.
    #[error("{request}: the answer is longer than {limit} bytes")]
    TooLong {
        /// Method and path.
        request: String,
        /// The limit.
        limit: usize,
    },
    /// A call that must start a task was answered 200 without one.
    #[error("{request}: accepted, but no task was started (the answer was `{answer}`)")]
    NoTask {
        /// Method and path.
        request: String,
        /// What came in place of a UPID.
        answer: String,
    },
}

impl Error {
    /// What an answer that is no success means. `reason` is the text of its status line. Bounded, and without the secrets
    /// of `credentials`, also when the server repeats them.
    pub fn refused(
        request: &Request,
        status: u16,
        reason: Option<&[u8]>,
        body: &[u8],
        credentials: &Credentials,
    ) -> Self {
        let refusal = answer::Refusal {
            request: request.to_string(),
            status,
            reason,
            body,
            credentials,
        };
        refusal.into_error()
    }

    /// How far the request got. `Answered` also for refusals.
    pub fn delivery(&self) -> Delivery {
        match self {
            Self::Connect { .. }
            | Self::Tls { .. }
            | Self::PinMismatch { .. }
            | Self::Trust { .. }
            | Self::Timeout { phase: Phase::Connect | Phase::Handshake, .. }
            | Self::ConnectionLost { sent: false, .. }
            // pveproxy found nobody to hand the request to.
            | Self::Proxy { code: 595, .. } => Delivery::NotSent,
            Self::Timeout { .. }
            | Self::ConnectionLost { .. }
            | Self::TooLong { .. }
            | Self::Decode { .. }
            // pveproxy gives up after 30 s; the daemon behind it goes on.
            | Self::Proxy { .. }
            // Not Proxmox's own: something between us and it lost the answer.
            | Self::Api { status: 502..=504, .. } => Delivery::Unknown,
            // "OK" is vzdump's way to say that no guest named is here; anything else says nothing.
            Self::NoTask { answer, .. } if answer != "OK" => Delivery::Unknown,
            Self::Unauthorized { .. }
            | Self::Forbidden { .. }
            | Self::Parameter { .. }
            | Self::Locked { .. }
            | Self::NotFound { .. }
            | Self::Api { .. }
            | Self::NoTask { .. } => Delivery::Answered,
        }
    }

    /// Whether the same request may well succeed a little later. Says nothing about whether
    /// repeating a mutation is safe: that is [`Error::delivery`].
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect { .. }
            | Self::Timeout { .. }
            | Self::ConnectionLost { .. }
            | Self::Locked { .. }
            | Self::Proxy { .. }
            | Self::Api {
                status: 502..=504, ..
            } => true,
            Self::Api { text, .. } => is_passing_trouble(text),
            Self::Tls { .. }
            | Self::PinMismatch { .. }
            | Self::Trust { .. }
            | Self::Unauthorized { .. }
            | Self::Forbidden { .. }
            | Self::Parameter { .. }
            | Self::NotFound { .. }
            | Self::Decode { .. }
            | Self::TooLong { .. }
            | Self::NoTask { .. } => false,
        }
    }

    /// What a person can do about it, where we know.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::PinMismatch { .. } => {
                Some("look at the certificate with `felhom-agent trust show`, then `felhom-agent trust repin`".to_owned())
            }
            Self::Tls { source, .. } => answer::tls_hint(source).map(str::to_owned),
            Self::Forbidden { denied: Some(denied), .. } => {
                Some(format!("grant {denied} to the user and to its token"))
            }
            Self::Unauthorized { .. } => {
                Some("check the token's id and secret, and that neither it nor its user is disabled or expired".to_owned())
            }
            Self::Connect { .. }
            | Self::Trust { .. }
            | Self::Timeout { .. }
            | Self::ConnectionLost { .. }
            | Self::Forbidden { .. }
            | Self::Parameter { .. }
            | Self::Locked { .. }
            | Self::NotFound { .. }
            | Self::Proxy { .. }
            | Self::Api { .. }
            | Self::Decode { .. }
            | Self::TooLong { .. }
            | Self::NoTask { .. } => None,
        }
    }
}

/// Texts of a plain 500 behind which waiting helps: file locks held for a moment by somebody
/// else, a worker that could not be forked in time, a cluster that has no quorum right now.
fn is_passing_trouble(text: &str) -> bool {
    text.ends_with("got timeout")
        || text.contains("got no worker upid")
        || text.contains("cluster not ready - no quorum?")
        || text.contains("replication running?")
}

struct Fields<'a>(&'a BTreeMap<String, String>);

impl fmt::Display for Fields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (field, text)) in self.0.iter().enumerate() {
            let separator = if index == 0 { " (" } else { "; " };
            write!(f, "{separator}{field}: {}", text.trim_end())?;
        }
        f.write_str(if self.0.is_empty() { "" } else { ")" })
    }
}
