//! Who asks: the target's principals, the ones that nobody should be, and roles that stand for several.

use std::collections::btree_map::Entry;

use secrecy::SecretString;

use crate::http::{Answer, Request};
use crate::peer::Client;
use crate::runner::{Halt, Runner};
use crate::target::Principal;

/// A secret that no token has.
const WRONG: &str = "00000000-0000-0000-0000-000000000000";

impl Runner<'_> {
    /// The principal behind a name: `maker` is the mightiest there is, `observer` the mightiest token.
    pub(crate) fn principal_name(&self, by: &str) -> String {
        let order: &[&str] = match by {
            "maker" => &["root", "root-token", "agent"],
            "observer" => &["root-token", "root", "agent"],
            "admin" => &["root", "root-token"],
            _ => return by.to_owned(),
        };
        let known = order
            .iter()
            .find(|name| self.target.principals.contains_key(**name));
        known.map_or_else(|| by.to_owned(), |name| (*name).to_owned())
    }

    /// Whether there is such a principal, and what the server calls it.
    pub(crate) fn principal_id(&self, by: &str) -> Option<String> {
        let name = self.principal_name(by);
        self.target
            .principals
            .get(&name)
            .map(|who| who.id().to_owned())
    }

    /// Sends a request as a principal, within the bounds of the run.
    pub(crate) async fn send(&mut self, by: &str, request: &Request) -> Result<Answer, Halt> {
        self.bounds.permit(request).map_err(Halt::NotApplicable)?;
        let client = self.client(by).await?;
        Ok(client.send(request).await?)
    }

    /// The voice of a principal.
    pub(crate) async fn client(&mut self, by: &str) -> Result<&mut Client, Halt> {
        let name = self.principal_name(by);
        let made = if self.clients.contains_key(&name) {
            None
        } else {
            Some(self.new_client(&name).await?)
        };
        match (self.clients.entry(name), made) {
            (Entry::Occupied(known), _) => Ok(known.into_mut()),
            (Entry::Vacant(place), Some(client)) => Ok(place.insert(client)),
            (Entry::Vacant(_), None) => Err(Halt::Broken("a principal got lost".into())),
        }
    }

    async fn new_client(&mut self, name: &str) -> Result<Client, Halt> {
        if let Some(who) = self.target.principals.get(name) {
            return Ok(self.peer.client(who).await?);
        }
        let header = |name: &str, value: String| (name.to_owned(), SecretString::from(value));
        let headers = match name {
            "nobody" => Vec::new(),
            "wrong-secret" => vec![self.of_token(|id| (id.to_owned(), WRONG.to_owned()))?],
            "unknown-token" => vec![self.of_token(|id| {
                let user = id.split('!').next().unwrap_or_default();
                (format!("{user}!felhom-contract-none"), WRONG.to_owned())
            })?],
            "unknown-user" => vec![self.of_token(|_| (self.stranger(), WRONG.to_owned()))?],
            "malformed-token" => {
                vec![header("Authorization", self.peer.product.nonsense())]
            }
            "foreign-scheme" => vec![header("Authorization", "Bearer nonsense".into())],
            "bad-ticket" => {
                let product = self.peer.product;
                vec![header("Cookie", product.cookie(&product.false_ticket()))]
            }
            "no-csrf" => return self.without_csrf().await,
            identity if self.catalogue.identities.contains_key(identity) => {
                return self.identity(identity).await;
            }
            _ => return Err(Halt::NotApplicable(format!("no principal `{name}`"))),
        };
        Ok(self.peer.with_headers(headers))
    }

    /// A token of a user that no server has.
    fn stranger(&self) -> String {
        format!("felhom-contract-none@{}!none", self.peer.product.realm())
    }

    fn of_token(
        &self,
        change: impl Fn(&str) -> (String, String),
    ) -> Result<(String, SecretString), Halt> {
        let token = self.target.principals.values().find_map(|who| match who {
            Principal::Token { id, .. } => Some(id),
            Principal::Ticket { .. } => None,
        });
        let id = token.ok_or_else(|| Halt::NotApplicable("no principal with a token".into()))?;
        let (id, secret) = change(id);
        Ok(self
            .peer
            .product
            .token_header(&id, &SecretString::from(secret)))
    }

    /// A ticket, without the token that protects it against forged requests.
    async fn without_csrf(&mut self) -> Result<Client, Halt> {
        let ticket = self
            .target
            .principals
            .values()
            .find(|who| matches!(who, Principal::Ticket { .. }));
        let who = ticket.ok_or_else(|| Halt::NotApplicable("no principal with a ticket".into()))?;
        Ok(self.peer.client(who).await?.without_csrf())
    }

    async fn identity(&mut self, name: &str) -> Result<Client, Halt> {
        let Some(wanted) = self.catalogue.identities.get(name) else {
            return Err(Halt::NotApplicable(format!("no principal `{name}`")));
        };
        let made = Box::pin(crate::fixture::identity(self, wanted)).await?;
        Ok(self.peer.with_headers(vec![
            self.peer.product.token_header(&made.token, &made.secret),
        ]))
    }
}
