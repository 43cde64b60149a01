//! Logging in by password, for what no token may do: making tokens.

use std::time::Duration;

use felhom_ids::UserId;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::client::{Address, Client, Settings};
use crate::credentials::{Credentials, Ticket};
use crate::decode;
use crate::encode::{Method, Request};
use crate::error::Error;
use crate::product::Product;
use crate::tls::Trust;

/// How a login went.
#[derive(Debug)]
pub enum Login {
    /// Done.
    Ticket(Ticket),
    /// The password was right, and a second factor is wanted.
    SecondFactor(Challenge),
}

/// What the server wants a second factor for.
#[derive(Debug)]
pub struct Challenge(SecretString);

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    ticket: Option<String>,
    #[serde(default, rename = "CSRFPreventionToken")]
    csrf: Option<String>,
    #[serde(default, rename = "NeedTFA", deserialize_with = "decode::flag")]
    needs_tfa: bool,
}

/// Where a login goes.
#[derive(Debug, Clone)]
pub struct Door {
    /// The server.
    pub address: Address,
    /// What makes it the right one; a password is sent to no other.
    pub trust: Trust,
    /// Deadline of a request. A wrong password is answered after three seconds.
    pub timeout: Duration,
}

/// `POST /access/ticket`: logs in by password.
pub(crate) async fn login(
    product: Product,
    door: &Door,
    user: &UserId,
    password: &SecretString,
) -> Result<Login, Error> {
    let request = Request::new(Method::Post, &[&"access", &"ticket"])
        .confidential()
        .with("username", user)
        .with("password", password.expose_secret());
    read(product, user, ask(door, &request).await?, &request)
}

/// The same request with a second factor.
pub(crate) async fn answer_challenge(
    product: Product,
    door: &Door,
    user: &UserId,
    challenge: &Challenge,
    factor: &SecretString,
) -> Result<Login, Error> {
    let request = Request::new(Method::Post, &[&"access", &"ticket"])
        .confidential()
        .with("username", user)
        .with("tfa-challenge", challenge.0.expose_secret())
        .with("password", factor.expose_secret());
    read(product, user, ask(door, &request).await?, &request)
}

async fn ask(door: &Door, request: &Request) -> Result<Answer, Error> {
    let mut settings = Settings::new(
        door.address.clone(),
        Credentials::Anonymous,
        door.trust.clone(),
    );
    settings.timeouts.request = door.timeout;
    Client::new(settings)?.send(request).await
}

fn read(
    product: Product,
    user: &UserId,
    answer: Answer,
    request: &Request,
) -> Result<Login, Error> {
    let ticket = answer.ticket.unwrap_or_default();
    // The ticket of a login that is not complete says so in itself (pve-access-control,
    // `PVE::API2::AccessControl`; proxmox-auth-api, `ticket.rs`).
    if answer.needs_tfa || ticket.starts_with(product.incomplete_ticket()) {
        return Ok(Login::SecondFactor(Challenge(ticket.into())));
    }
    match answer.csrf {
        Some(csrf) if !ticket.is_empty() => Ok(Login::Ticket(Ticket::of(
            product,
            user.clone(),
            ticket.into(),
            csrf.into(),
        ))),
        _ => Err(Error::Unauthorized {
            request: request.to_string(),
            text: "the server answers no ticket".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incomplete_login_is_no_login() {
        let user: UserId = "root@pam".parse().unwrap();
        let request = Request::new(Method::Post, &[&"access", &"ticket"]);
        for (product, name) in [
            (Product::VirtualEnvironment, "PVE"),
            (Product::BackupServer, "PBS"),
        ] {
            let asked = |text: &str| {
                let text = text.replace("PVE", name);
                read(
                    product,
                    &user,
                    serde_json::from_str(&text).unwrap(),
                    &request,
                )
            };
            let tfa =
                r#"{"ticket":"PVE:!tfa!%7B%7D:1::x","NeedTFA":1,"CSRFPreventionToken":"a:b"}"#;
            assert!(matches!(asked(tfa).unwrap(), Login::SecondFactor(_)));
            let tfa = r#"{"ticket":"PVE:!tfa!%7B%7D:1::x","CSRFPreventionToken":"invalid"}"#;
            assert!(matches!(asked(tfa).unwrap(), Login::SecondFactor(_)));
            let done = r#"{"ticket":"PVE:root@pam:1::x","CSRFPreventionToken":"a:b"}"#;
            assert!(matches!(asked(done).unwrap(), Login::Ticket(_)));
            assert!(asked(r#"{"username":"root@pam"}"#).is_err());
        }
    }
}
