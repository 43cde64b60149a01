//! One channel's turn in a pass: what waits for it is sent, in order, and what becomes of it is written down.

use std::collections::BTreeSet;
use std::time::Duration;

use felhom_engine::Timestamp;
use serde::Serialize;
use tokio::time::Instant;

use super::error::{Blame, SendError};
use super::message::Message;
use super::{Sender, told};
use crate::journal::{IN_VAIN, Journal, JournalError, Miss, Pending};

/// What became of a channel's notices in a pass.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ChannelEnd {
    /// The channel.
    pub channel: String,
    /// Notices that arrived.
    pub delivered: usize,
    /// Notices that wait for a later pass.
    pub waiting: usize,
    /// Notices that are not tried any more.
    pub given_up: usize,
    /// Why the last one did not arrive.
    pub error: Option<String>,
}

impl ChannelEnd {
    /// What a person should know of it.
    pub(super) fn line(&self) -> Option<String> {
        let name = &self.channel;
        let counts = [
            (self.delivered, "delivered"),
            (self.waiting, "waiting"),
            (self.given_up, "given up"),
        ];
        let counts = counts.iter().filter(|(count, _)| *count > 0);
        let counts: Vec<String> = counts
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        let counts = counts.join(", ");
        match &self.error {
            Some(error) if counts.is_empty() => Some(format!("channel {name}: {error}")),
            Some(error) => Some(format!("channel {name}: {counts}: {error}")),
            None if counts.is_empty() => None,
            None => Some(format!("channel {name}: {counts}")),
        }
    }
}

/// So long one channel may take in a pass.
const TURN: Duration = Duration::from_mins(2);

/// An older one is not tried again, when it was tried often enough.
const OLDEST: Duration = Duration::from_hours(7 * 24);
const ENOUGH_ATTEMPTS: u32 = 3;

/// The first pause after a failure; it doubles with each further one.
const PAUSE: Duration = Duration::from_mins(2);
const LONGEST_PAUSE: Duration = Duration::from_hours(6);

/// A pause that ends later than this was set before the clock went backwards, and is over.
const LONGEST_WAIT: Duration = Duration::from_hours(24);

pub(super) async fn deliver(sender: &Sender<'_>, journal: &Journal, now: Timestamp) -> ChannelEnd {
    let mut end = ChannelEnd {
        channel: sender.name().to_owned(),
        ..ChannelEnd::default()
    };
    if let Err(error) = turn(sender, journal, now, &mut end).await {
        end.error = Some(told(&error));
    }
    end
}

async fn turn(
    sender: &Sender<'_>,
    journal: &Journal,
    now: Timestamp,
    end: &mut ChannelEnd,
) -> Result<(), JournalError> {
    let pending = journal.pending(sender.name()).await?;
    let installation = journal.installation().as_str();
    let node = sender.config.node.as_str();
    let began = Instant::now();
    let mut failed: Option<SendError> = None;
    // Nobody hears that something is over before that it began, nor that it began again before that it was over.
    let mut held = BTreeSet::new();
    for pending in pending {
        let incident = &pending.notice.incident;
        let key = (incident.code.clone(), incident.subject.clone());
        let waits = is_ahead(pending.next, now) || held.contains(&key);
        if waits || began.elapsed() > TURN {
            held.insert(key);
            end.waiting = end.waiting.saturating_add(1);
            continue;
        }
        let id = &pending.notice.id;
        // What a channel refused once in a pass it would refuse again: the others share that without being sent.
        let sent = if let Some(error) = &failed {
            Err(error.shared())
        } else {
            journal.begin_delivery(id, sender.name(), now).await?;
            let message = Message::of(&pending, installation, node);
            sender.send(&message, now).await
        };
        let Err(error) = sent else {
            journal.delivered(id, sender.name(), now).await?;
            end.delivered = end.delivered.saturating_add(1);
            continue;
        };
        let miss = miss(&pending, &error, now);
        journal.missed(id, sender.name(), &miss, now).await?;
        if miss.next.is_some() {
            held.insert(key);
            end.waiting = end.waiting.saturating_add(1);
        } else {
            end.given_up = end.given_up.saturating_add(1);
        }
        end.error = Some(miss.error);
        if error.blame == Blame::Channel {
            failed = Some(error);
        }
    }
    Ok(())
}

fn is_ahead(next: Timestamp, now: Timestamp) -> bool {
    next > now && next.since(now) <= LONGEST_WAIT
}

/// What a failure makes of a notice.
fn miss(pending: &Pending, error: &SendError, now: Timestamp) -> Miss {
    let attempts = pending.attempts.saturating_add(1);
    let old = now.since(pending.notice.made) >= OLDEST && attempts >= ENOUGH_ATTEMPTS;
    // What the channel does not want it will never want; one that is down may come back.
    let spent = error.blame != Blame::Channel && attempts >= IN_VAIN;
    let doubled = PAUSE.saturating_mul(1_u32 << pending.attempts.min(16));
    let pause = error
        .wait
        .unwrap_or_default()
        .max(doubled.min(LONGEST_PAUSE));
    Miss {
        error: match error.hint() {
            Some(hint) => format!("{error} ({hint})"),
            None => error.to_string(),
        },
        // A former attempt that may have arrived still may have.
        unsure: error.unsure || pending.unsure,
        next: (!spent && !old).then(|| now.plus(pause)),
    }
}
