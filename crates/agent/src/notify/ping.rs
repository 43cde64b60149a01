//! Signs of life: an address is asked for when all is well, and whoever watches it misses it when it is not.
//!
//! They are given of success only. A box that burns down says nothing, and that is noticed.

use std::time::Duration;

use bytes::Bytes;
use felhom_engine::Timestamp;
use felhom_protocol::host::{Guest, HostReport};
use http::Method;
use secrecy::ExposeSecret;
use serde::Serialize;

use super::LONGEST;
use super::error::SendError;
use super::http::{Letter, send};
use super::reach::Patience;
use super::url::WebUrl;
use crate::config::{Concern, Config};
use crate::credentials::read_secret;

/// What became of one sign of life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pinged {
    /// Of what it was.
    pub concern: Concern,
    /// Why it did not arrive.
    pub error: Option<String>,
}

/// Gives the signs of life that are earned and set up.
pub async fn ping(config: &Config, earned: &[Concern]) -> Vec<Pinged> {
    let mut all = Vec::new();
    for (concern, path) in &config.notify.ping {
        if !earned.contains(concern) {
            continue;
        }
        let patience = Patience::new(config.request_timeout.min(LONGEST));
        let given = async {
            let url = read_secret(path).map_err(|error| SendError::secret(&error))?;
            let url: WebUrl = url.expose_secret().parse().map_err(|error| {
                SendError::unsent(format!("the address in `{}`: {error}", path.display()))
            })?;
            let letter = Letter {
                method: Method::GET,
                headers: Vec::new(),
                body: Bytes::new(),
            };
            Box::pin(send(&url, None, letter, patience)).await
        };
        let given = given.await;
        all.push(Pinged {
            concern: *concern,
            error: given.err().map(|error| error.to_string()),
        });
    }
    all
}

/// How a pass ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PassEnd {
    /// It came to its end by itself, whatever it found.
    pub ended: bool,
    /// A good backup was made since the last one that came to its end so.
    pub backed_up: bool,
    /// A proof passed since then.
    pub proved: bool,
    /// How old a selected guest's last good backup may be.
    pub backup_within: Duration,
    /// How old a selected guest's last proof may be.
    pub proof_within: Duration,
}

/// The signs of life that a pass earned. Where nothing of a kind was done since the pass before, none of that kind is; without any selected guest
/// there is nothing that could be well.
pub fn earned(report: &HostReport, pass: &PassEnd, now: Timestamp) -> Vec<Concern> {
    if !pass.ended {
        return Vec::new();
    }
    let selected = || report.guests.iter().filter(|guest| guest.selected);
    let any = selected().next().is_some();
    let within = |ended_s: i64, limit: Duration| now.since(Timestamp::from_secs(ended_s)) <= limit;
    let is_backed_up = |guest: &Guest| {
        let last = guest.last_backup.as_ref();
        last.is_some_and(|last| last.verdict == "good" && within(last.ended_s, pass.backup_within))
    };
    let is_proven = |guest: &Guest| {
        let last = guest.last_proof.as_ref();
        last.is_some_and(|last| last.verdict == "passed" && within(last.ended_s, pass.proof_within))
    };
    let mut earned = vec![Concern::Alive];
    if any && pass.backed_up && selected().all(is_backed_up) {
        earned.push(Concern::Backup);
    }
    if any && pass.proved && selected().all(is_proven) {
        earned.push(Concern::Proof);
    }
    earned
}
