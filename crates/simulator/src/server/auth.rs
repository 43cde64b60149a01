//! Credentials: tickets by cookie or header, API tokens by header, and who needs none.

use hyper::header::{self, HeaderMap};
use percent_encoding::percent_decode_str;

use crate::access::Principal;
use crate::sim::Sim;

/// Who asks, and how they said so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) who: Principal,
    /// By token, for methods that tokens may not call at all.
    pub(crate) by_token: bool,
}

/// The text of a 401.
pub(crate) type Refusal = &'static str;

const NO_TICKET: Refusal = "No ticket";
const FAILED: Refusal = "Authentication failed!";
const BAD_CSRF: Refusal = "Permission denied - invalid csrf token";

/// Calls that are answered without credentials.
const OPEN: [(&str, &str); 3] = [
    ("GET", "/access/domains"),
    ("GET", "/access/ticket"),
    ("POST", "/access/ticket"),
];

/// Finds out who asks. `path` begins behind the format.
pub(crate) fn identify(
    sim: &Sim,
    method: &str,
    path: &str,
    headers: &HeaderMap,
) -> Result<Caller, Refusal> {
    let ticket = find(headers, header::COOKIE, "PVEAuthCookie")
        .or_else(|| find(headers, header::AUTHORIZATION, "PVEAuthCookie"));
    let token = find(headers, header::AUTHORIZATION, "PVEAPIToken").filter(|_| ticket.is_none());
    if OPEN.contains(&(method, path)) {
        return Ok(Caller {
            who: Principal::new(""),
            by_token: token.is_some(),
        });
    }
    let now = sim.clock.shown();
    if let Some(token) = token {
        let (id, secret) = token.rsplit_once('=').ok_or(FAILED)?;
        let accepted = sim.lock().access.accepts_token(id, secret, now);
        return accepted
            .then(|| Caller {
                who: Principal::new(id),
                by_token: true,
            })
            .ok_or(FAILED);
    }
    let ticket = ticket.ok_or(NO_TICKET)?;
    let world = sim.lock();
    let user = world.access.user_of_ticket(&ticket, now).ok_or(FAILED)?;
    if method != "GET" {
        let csrf = headers
            .get("CSRFPreventionToken")
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        if !world.access.accepts_csrf(csrf, &user, now) {
            return Err(BAD_CSRF);
        }
    }
    Ok(Caller {
        who: Principal::new(user),
        by_token: false,
    })
}

/// The value behind `NAME=` or `NAME `, up to a semicolon, percent-decoded.
fn find(headers: &HeaderMap, header: header::HeaderName, name: &str) -> Option<String> {
    headers.get_all(header).iter().find_map(|value| {
        let text = value.to_str().ok()?;
        let (_, rest) = text.split_once(name)?;
        let value = rest.strip_prefix(['=', ' '])?.split(';').next()?.trim();
        let value = percent_decode_str(value).decode_utf8_lossy().into_owned();
        (!value.is_empty()).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_found_where_clients_put_them() {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::COOKIE,
            "a=b; PVEAuthCookie=PVE%3Aroot@pam:1::x=; c=d"
                .parse()
                .unwrap(),
        );
        headers.insert(
            header::AUTHORIZATION,
            "PVEAPIToken=u@pve!t=secret".parse().unwrap(),
        );
        assert_eq!(
            find(&headers, header::COOKIE, "PVEAuthCookie").as_deref(),
            Some("PVE:root@pam:1::x=")
        );
        assert_eq!(
            find(&headers, header::AUTHORIZATION, "PVEAPIToken").as_deref(),
            Some("u@pve!t=secret")
        );
        assert_eq!(find(&headers, header::AUTHORIZATION, "PVEAuthCookie"), None);
        headers.insert(
            header::AUTHORIZATION,
            "PVEAPIToken u@pve!t=secret".parse().unwrap(),
        );
        assert_eq!(
            find(&headers, header::AUTHORIZATION, "PVEAPIToken").as_deref(),
            Some("u@pve!t=secret")
        );
    }
}
