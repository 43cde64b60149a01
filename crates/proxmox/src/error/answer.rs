//! From an answer that is refused or unreadable to an [`Error`]: where the text stands, what it means, and how much of it
//! may be shown. A server that echoes our secret must not get it into a log, nor fill one.

mod plain;

use std::collections::BTreeMap;

use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::{Denied, Error};
use crate::credentials::Credentials;
use crate::encode::Request;
use crate::product::Product;

/// How much of an unreadable answer, and of what is wrong with it, an error keeps.
const KEPT: usize = 400;

/// How much of a server's words an error repeats.
const TEXT: usize = 4_000;

/// What stands in place of a text that cannot be shown.
const NOT_SHOWN: &str = "[not shown]";

/// Refused parameters that an error names, and how much it says of each. PVE's own answers name a few; the longest texts
/// enumerate what would have been taken.
const FIELDS: usize = 20;
const FIELD: usize = 1_000;

/// Everything of an answer that an error can be made of.
pub(super) struct Refusal<'a> {
    pub(super) request: String,
    pub(super) status: u16,
    /// The text in the status line, when it is not the standard one.
    pub(super) reason: Option<&'a [u8]>,
    pub(super) body: &'a [u8],
    pub(super) credentials: &'a Credentials,
}

#[derive(Deserialize, Default)]
struct Body {
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    errors: Option<BTreeMap<String, Value>>,
}

impl Refusal<'_> {
    /// Reads the text from `message`, then `errors`, then a body that is nothing but text (as a backup server sends it),
    /// then the status line, which only holds the first line and gets lost behind HTTP/2 proxies.
    pub(super) fn into_error(self) -> Error {
        // Secrets are taken out of what was read, since JSON has many writings for a text.
        let shown = |text: &str, most| beginning(self.credentials, text, most);
        let body: Body = serde_json::from_slice(self.body).unwrap_or_default();
        let spoken = plain::text(self.body);
        let fields: BTreeMap<String, String> = body
            .errors
            .unwrap_or_default()
            .into_iter()
            .take(FIELDS)
            .map(|(field, value)| (shown(&field, FIELD), shown(plain(&value).trim_end(), FIELD)))
            .collect();
        let text = body
            .message
            .map(|message| message.trim_end().to_owned())
            .filter(|message| !message.is_empty())
            .or_else(|| first_field(&fields))
            .or_else(|| spoken.map(str::to_owned))
            .or_else(|| {
                self.reason
                    .map(|reason| String::from_utf8_lossy(reason).trim().to_owned())
            })
            .filter(|text| !text.is_empty())
            .unwrap_or_else(|| {
                StatusCode::from_u16(self.status)
                    .ok()
                    .and_then(|status| status.canonical_reason())
                    .unwrap_or("no reason given")
                    .to_owned()
            });
        let text = shown(&text, TEXT);
        let is_backup_server = self.credentials.product() == Some(Product::BackupServer);
        if is_backup_server && self.status == 400 && spoken.is_some() {
            return plain::sort(self.request, text);
        }
        sort(self.request, self.status, text, fields)
    }
}

fn sort(request: String, status: u16, text: String, fields: BTreeMap<String, String>) -> Error {
    // PVE says it with a plain 500. Where something stands between us and the daemon, its words settle nothing.
    if let Some(lock) = guest_lock(&text).filter(|_| matches!(status, 400 | 500)) {
        return Error::Locked {
            request,
            lock,
            text,
        };
    }
    match status {
        401 => Error::Unauthorized { request, text },
        403 => Error::Forbidden {
            request,
            denied: Denied::find_in(&text),
            text,
        },
        595..=599 => Error::Proxy {
            request,
            code: status,
            text,
        },
        // "no such task", "No such storage.": what is wrong with the parameter is that it names nothing.
        400 if fields.len() == 1 && fields.values().all(|text| is_no_such(text)) => {
            let what = fields.into_values().next().unwrap_or(text);
            Error::NotFound { request, what }
        }
        400 => Error::Parameter {
            request,
            fields,
            text,
        },
        500 if is_absence(&text) => Error::NotFound {
            request,
            what: text,
        },
        _ => Error::Api {
            request,
            status,
            text,
        },
    }
}

fn first_field(fields: &BTreeMap<String, String>) -> Option<String> {
    fields
        .iter()
        .next()
        .map(|(field, text)| format!("{field}: {text}"))
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// `CT is locked (backup)`, `VM is locked (snapshot-delete)`, with or without words before it.
fn guest_lock(text: &str) -> Option<String> {
    let (before, rest) = text.split_once(" is locked (")?;
    let guest = before.ends_with("CT") || before.ends_with("VM");
    let (lock, _) = rest.split_once(')')?;
    guest.then(|| lock.to_owned())
}

/// The one status of PVE for a missing thing is 500, so the words decide. A missing *bridge* is
/// left out on purpose: PVE says so after it has written the configuration.
fn is_absence(text: &str) -> bool {
    let line = text.lines().next().unwrap_or(text);
    let named = [
        "Configuration file '",
        "storage '",
        "volume '",
        "snapshot '",
        "pool '",
        "CT ",
    ];
    line.ends_with(" does not exist") && named.iter().any(|word| line.starts_with(word))
        || is_no_such(line)
}

fn is_no_such(text: &str) -> bool {
    text.get(..8)
        .is_some_and(|start| start.eq_ignore_ascii_case("no such "))
}

/// A success whose body is not what it should be, without what would spoil a terminal.
pub(crate) fn unreadable(
    request: &Request,
    what: &'static str,
    body: &[u8],
    source: &serde_json::Error,
    credentials: &Credentials,
) -> Error {
    let shown = |text: &str| {
        if request.is_confidential() {
            return NOT_SHOWN.to_owned();
        }
        let start = beginning(credentials, text, KEPT);
        start.escape_debug().to_string()
    };
    let kept = shown(&String::from_utf8_lossy(body));
    // serde and our own types repeat what they did not expect, some of it cut.
    let place = format!("at line {} column {}", source.line(), source.column());
    let source = Some(shown(&source.to_string()))
        .filter(|words| words != NOT_SHOWN)
        .unwrap_or(place);
    Error::Decode {
        request: request.to_string(),
        what,
        kept,
        source: source.into(),
    }
}

/// The beginning of a text for an error, without our secrets: they go before it is cut, since nobody would know the half
/// of one; and where such a half was made elsewhere, nothing is shown.
pub(crate) fn beginning(credentials: &Credentials, text: &str, most: usize) -> String {
    let clean = credentials.redact(text.to_owned());
    let start: String = clean.chars().take(most).collect();
    if credentials.shows_in_part(&start) {
        NOT_SHOWN.to_owned()
    } else {
        start
    }
}

/// Turns rustls' words into something that an admin can act on.
pub(super) fn tls_hint(source: &std::io::Error) -> Option<&'static str> {
    use rustls::CertificateError as Bad;
    let error = source.get_ref()?.downcast_ref::<rustls::Error>()?;
    if matches!(error, rustls::Error::InvalidMessage(_)) {
        return Some(
            "the peer does not speak TLS; is this the port of the HTTPS API (8006, or 8007 of a backup server)?",
        );
    }
    let rustls::Error::InvalidCertificate(bad) = error else {
        return None;
    };
    if matches!(bad, Bad::Expired | Bad::ExpiredContext { .. }) {
        return Some("the certificate has expired; renew it on the host, or pin it by fingerprint");
    }
    if matches!(
        bad,
        Bad::NotValidForName | Bad::NotValidForNameContext { .. }
    ) {
        return Some(
            "the certificate is for another name; use one of its names, or pin it by fingerprint",
        );
    }
    matches!(bad, Bad::UnknownIssuer)
        .then_some("the certificate was not issued by the configured CA")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Delivery;

    fn refused(status: u16, reason: &str, body: &str) -> Error {
        Refusal {
            request: "GET /x".to_owned(),
            status,
            reason: Some(reason.as_bytes()),
            body: body.as_bytes(),
            credentials: &Credentials::Anonymous,
        }
        .into_error()
    }

    #[test]
    fn the_body_speaks_before_the_status_line() {
        let body = r#"{"data":null,"message":"ACL update failed: 400 Parameter verification failed.\nrole: no\n"}"#;
        let error = refused(
            500,
            "ACL update failed: 400 Parameter verification failed.",
            body,
        );
        assert!(
            matches!(&error, Error::Api { status: 500, text, .. } if text.ends_with("role: no"))
        );
        let error = refused(501, "Method 'GET /nope' not implemented", "");
        assert_eq!(
            error.to_string(),
            "GET /x: 501: Method 'GET /nope' not implemented"
        );
        let error = refused(500, "", "<html>");
        assert_eq!(error.to_string(), "GET /x: 500: Internal Server Error");
        let error = refused(500, "", r#"{"data":null,"message":"","errors":{"a":"b"}}"#);
        assert_eq!(error.to_string(), "GET /x: 500: a: b");
    }

    #[test]
    fn parameters_are_named() {
        let body = r#"{"data":null,"errors":{"vmid":"invalid format - value does not look like a valid VM ID\n","x":["odd"]},"message":"Parameter verification failed.\n"}"#;
        let error = refused(400, "Parameter verification failed.", body);
        assert_eq!(
            error.to_string(),
            "GET /x: Parameter verification failed. (vmid: invalid format - value does not look like a valid VM ID; x: [\"odd\"])"
        );
        assert_eq!(error.delivery(), Delivery::Answered);
    }

    #[test]
    fn however_much_is_wrong_an_error_is_bounded() {
        let many: Vec<String> = (0..1_000)
            .map(|n| format!("\"{n}{0}\":\"{0}\"", "x".repeat(5_000)))
            .collect();
        let body = format!("{{\"errors\":{{{}}}}}", many.join(","));
        for status in [400, 500] {
            let length = refused(status, "", &body).to_string().len();
            assert!(length < 50_000, "{length}");
        }
    }

    #[test]
    fn things_that_are_not_there_are_not_found() {
        for (status, text) in [
            (
                500,
                "Configuration file 'nodes/demo-felhom/lxc/9036.conf' does not exist",
            ),
            (500, "storage 'nope' does not exist"),
            (500, "no such user ('x@pam')"),
        ] {
            assert!(
                matches!(refused(status, text, ""), Error::NotFound { .. }),
                "{text}"
            );
        }
        let body = r#"{"data":null,"errors":{"upid":"no such task"},"message":"Parameter verification failed.\n"}"#;
        assert!(
            matches!(refused(400, "", body), Error::NotFound { what, .. } if what == "no such task")
        );
        // PVE has written the configuration when it says this.
        let error = refused(500, "bridge 'vmbr99' does not exist", "");
        assert!(matches!(error, Error::Api { status: 500, .. }));
    }

    #[test]
    fn locks_are_told_from_lock_files() {
        let error = refused(500, "unable to restore CT 101 - CT is locked (backup)", "");
        assert!(matches!(&error, Error::Locked { lock, .. } if lock == "backup"));
        assert!(error.is_transient());
        let error = refused(
            500,
            "can't lock file '/run/lock/lxc/pve-config-9020.lock' - got timeout",
            "",
        );
        assert!(matches!(&error, Error::Api { .. }) && error.is_transient());
        assert!(!refused(500, "CT 9020 already running", "").is_transient());
    }

    #[test]
    fn proxy_errors_say_whether_the_daemon_may_go_on() {
        let lost = refused(596, "Connection timed out", "");
        assert_eq!(
            (lost.delivery(), lost.is_transient()),
            (Delivery::Unknown, true)
        );
        assert_eq!(
            refused(595, "Connection refused", "").delivery(),
            Delivery::NotSent
        );
        assert_eq!(refused(504, "", "<html>").delivery(), Delivery::Unknown);
    }

    #[test]
    fn an_empty_401_is_still_a_401() {
        let error = refused(401, "Authentication failed!", "");
        assert_eq!(
            error.to_string(),
            "GET /x: not authenticated: Authentication failed!"
        );
        assert_eq!(error.delivery(), Delivery::Answered);
    }
}
