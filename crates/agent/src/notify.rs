//! Telling a person: what is wrong is held against what was told, and what is new goes out on every channel.
//!
//! It is the only room that speaks to anybody but the pinned servers. What is to be told is written down before it leaves,
//! under a name that it keeps: when the program dies in between, it is sent again under the same name, and says so.

mod alarm;
mod conditions;
mod deliver;
mod error;
mod http;
mod message;
mod ntfy;
mod ping;
mod reach;
mod smtp;
mod trust;
mod url;
mod webhook;

use std::time::Duration;

use felhom_engine::incident::{Event, reconcile};
use felhom_engine::{Finding, Timestamp, codes};
use felhom_protocol::host::HostReport;
use serde::Serialize;

use crate::config::{ChannelConfig, ChannelKind, Config};
use crate::journal::{ChannelRecord, Journal, JournalError, KeptNotice};

pub use crate::config::Concern;
pub use alarm::alarm;
pub use conditions::look;
pub use deliver::ChannelEnd;
pub use error::SendError;
pub use message::Message;
pub use ping::{PassEnd, Pinged, earned, ping};
use reach::Patience;
pub(crate) use smtp::is_mailbox;
pub use url::{ParseUrlError, WebUrl, is_loopback};

/// Whoever waits for a person's telephone waits for no more than this.
const LONGEST: Duration = Duration::from_secs(30);

/// What was told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Announced {
    /// Incidents that are open now.
    pub open: usize,
    /// Incidents that began.
    pub opened: usize,
    /// Incidents that became graver.
    pub worsened: usize,
    /// Incidents that were told again after a while.
    pub reminded: usize,
    /// Incidents that are over.
    pub resolved: usize,
    /// What became of it on each channel.
    pub channels: Vec<ChannelEnd>,
    /// Why nothing could be told.
    pub trouble: Option<String>,
}

impl Announced {
    /// What a person should know of it, a line each.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let told = [
            (self.opened, "began"),
            (self.worsened, "became graver"),
            (self.reminded, "told again"),
            (self.resolved, "over"),
        ];
        let told = told.iter().filter(|(count, _)| *count > 0);
        let told: Vec<String> = told
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        if !told.is_empty() {
            lines.push(format!(
                "incidents: {}; {} open",
                told.join(", "),
                self.open
            ));
        }
        lines.extend(self.channels.iter().filter_map(ChannelEnd::line));
        lines.extend(
            self.trouble
                .iter()
                .map(|why| format!("nothing could be told: {why}")),
        );
        lines
    }
}

/// Holds a report against the incidents that are open, and tells what is new. What did not arrive before is tried again.
/// It never fails: what went wrong is part of the answer.
pub async fn announce(
    config: &Config,
    journal: &Journal,
    report: &HostReport,
    now: Timestamp,
) -> Announced {
    let mut announced = Announced::default();
    if let Err(error) = note(config, journal, report, now, &mut announced).await {
        announced.trouble = Some(told(&error));
        return announced;
    }
    for channel in &config.notify.channels {
        let sender = Sender::new(config, channel);
        let end = deliver::deliver(&sender, journal, now).await;
        announced.channels.push(end);
    }
    announced
}

fn told(error: &JournalError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

async fn note(
    config: &Config,
    journal: &Journal,
    report: &HostReport,
    now: Timestamp,
    announced: &mut Announced,
) -> Result<(), JournalError> {
    let suppressions = journal.suppressions(now).await?;
    let (open, last) = journal.incidents().await?;
    let look = look(report, &suppressions);
    let after = reconcile(open, last, &look, now, &config.notify.policy());
    let installation = journal.installation().as_str();
    let notices: Vec<KeptNotice> = after
        .notices
        .iter()
        .map(|notice| KeptNotice {
            id: message::id(
                installation,
                notice.incident.number,
                notice.incident.notices,
            ),
            event: notice.event,
            incident: notice.incident.clone(),
            made: now,
        })
        .collect();
    let channels: Vec<&str> = config
        .notify
        .channels
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    journal
        .note_incidents(&after, &notices, &channels, now)
        .await?;
    announced.open = after.open.len();
    for notice in &after.notices {
        let count = match notice.event {
            Event::Opened => &mut announced.opened,
            Event::Worsened => &mut announced.worsened,
            Event::Reminder => &mut announced.reminded,
            Event::Resolved => &mut announced.resolved,
        };
        *count = count.saturating_add(1);
    }
    Ok(())
}

/// One channel, and what is needed to use it.
#[derive(Debug, Clone, Copy)]
pub struct Sender<'a> {
    config: &'a Config,
    channel: &'a ChannelConfig,
}

impl<'a> Sender<'a> {
    /// For a channel of this configuration.
    pub fn new(config: &'a Config, channel: &'a ChannelConfig) -> Self {
        Self { config, channel }
    }

    /// Its name.
    pub fn name(&self) -> &'a str {
        &self.channel.name
    }

    /// Where it leads, as far as that may be told.
    pub fn place(&self) -> String {
        match &self.channel.kind {
            ChannelKind::Ntfy { url, .. } | ChannelKind::Webhook { url } => url.place(),
            ChannelKind::Smtp { server, port, .. } => format!("{server}:{port}"),
        }
    }

    /// Sends one message, and waits until it is taken.
    ///
    /// # Errors
    /// When it was not taken, or nobody can say.
    pub async fn send(&self, message: &Message, now: Timestamp) -> Result<(), SendError> {
        let patience = Patience::new(self.config.request_timeout.min(LONGEST));
        match &self.channel.kind {
            ChannelKind::Ntfy { url, topic } => {
                Box::pin(ntfy::send(self.channel, url, topic, message, patience)).await
            }
            ChannelKind::Webhook { url } => {
                Box::pin(webhook::send(self.channel, url, message, now, patience)).await
            }
            ChannelKind::Smtp { .. } => Box::pin(smtp::send(self.channel, message, patience)).await,
        }
    }
}

/// What stands in for findings where nobody asked to be told.
pub(crate) const UNTOLD: &str = "--   nobody is told when something is wrong: no [[notify.channels]] is set up \
     (/usr/share/doc/felhom-agent/operations/notifications.md)";

/// What a person should know of the channels that are set up.
///
/// # Errors
/// When the journal cannot be read.
pub async fn findings(config: &Config, journal: &Journal) -> Result<Vec<Finding>, JournalError> {
    let records = journal.channel_records().await?;
    let is_used = |name: &str| config.notify.channels.iter().any(|one| one.name == name);
    let lost = records
        .iter()
        .filter(|one| one.given_up + one.in_vain > 0 && is_used(&one.channel));
    Ok(lost.map(undelivered).collect())
}

fn undelivered(record: &ChannelRecord) -> Finding {
    let error = record.error.as_deref().unwrap_or("nobody noted why");
    let detail = format!(
        "{} notices did not arrive: {error}",
        record.given_up.saturating_add(record.in_vain)
    );
    let subject = format!("channel {}", record.channel);
    let hint = format!(
        "felhom-agent notify list; then felhom-agent notify test {}: the first notice that arrives ends this",
        record.channel
    );
    Finding::new(codes::NOTIFICATION_UNDELIVERED, subject, detail).hint(hint)
}
