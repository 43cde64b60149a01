//! Credentials, and what a route asks of whoever has them.

use hyper::Method;
use hyper::header::{self, HeaderMap};
use percent_encoding::percent_decode_str;

use crate::pbs::http::{Route, Rule};
use crate::sim::Sim;

/// Who asks; `Err` is what stands behind `authentication failed - `.
pub(super) fn identify(
    sim: &Sim,
    method: &Method,
    headers: &HeaderMap,
) -> Result<String, &'static str> {
    let now = sim.pbs_now();
    let cookies = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let ticket = cookies
        .flat_map(|line| line.split(';'))
        .find_map(|pair| pair.trim().strip_prefix("PBSAuthCookie="))
        .map(|value| percent_decode_str(value).decode_utf8_lossy().into_owned());
    let world = sim.lock();
    let access = &world.pbs.access;
    if let Some(ticket) = ticket {
        let user = access
            .user_of_ticket(&ticket, now)
            .ok_or("invalid ticket - signature verification failed")?;
        if !access.is_alive(&user, now) {
            return Err("user account disabled or expired.");
        }
        if method != Method::GET {
            let token = headers
                .get("CSRFPreventionToken")
                .and_then(|value| value.to_str().ok());
            if !token.is_some_and(|token| access.accepts_csrf(token, &user)) {
                return Err("invalid CSRF token");
            }
        }
        return Ok(user);
    }
    let header = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let header = header.and_then(|text| text.strip_prefix("PBSAPIToken"));
    let header = header
        .and_then(|text| text.strip_prefix(['=', ' ']))
        .ok_or("no authentication credentials provided.")?;
    let header = percent_decode_str(header.trim()).decode_utf8_lossy();
    let (id, secret) = header
        .split_once(':')
        .ok_or("failed to split API token header")?;
    if !access.is_alive(id, now) {
        return Err("user account or token disabled or expired.");
    }
    if !access.accepts_token(id, secret) {
        return Err("invalid API token");
    }
    Ok(id.to_owned())
}

/// Whether the route's own rule lets somebody in.
pub(super) fn is_allowed(
    sim: &Sim,
    route: &Route,
    auth: &str,
    variables: &[(String, String)],
) -> bool {
    let fill = |template: &str| {
        variables
            .iter()
            .fold(template.to_owned(), |path, (name, value)| {
                path.replace(&format!("{{{name}}}"), value)
            })
    };
    let world = sim.lock();
    let access = &world.pbs.access;
    match &route.rule {
        Rule::World | Rule::User => true,
        Rule::Superuser => auth == "root@pam",
        Rule::Rights(path, wanted, partial) => {
            access.require(auth, &fill(path), *wanted, *partial).is_ok()
        }
        Rule::Self_(path, wanted) => {
            let named = variables.iter().find(|(name, _)| name == "userid");
            named.is_some_and(|(_, user)| user == auth)
                || access.require(auth, &fill(path), *wanted, false).is_ok()
        }
    }
}
