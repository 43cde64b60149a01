//! A message: one notice in the words that a person reads, the same on every channel.

use felhom_engine::incident::Event as Why;
use felhom_engine::{Severity, Timestamp};
use felhom_protocol::host;
use felhom_protocol::notice::{Event, Notice};

use crate::clock;
use crate::journal::Pending;

/// The name of a notice: installation, incident, and the how manieth notice of it.
pub(super) fn id(installation: &str, incident: u64, count: u32) -> String {
    format!("{}-{incident}-{count}", short(installation))
}

fn short(installation: &str) -> String {
    installation.chars().take(12).collect()
}

/// The engine's word in the words of the report.
pub(super) fn severity(severity: Severity) -> host::Severity {
    match severity {
        Severity::Notice => host::Severity::Notice,
        Severity::Warning => host::Severity::Warning,
        Severity::Critical => host::Severity::Critical,
    }
}

/// One notice in the words that a person reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub(crate) notice: Notice,
    /// The notice that began the incident, to which this one belongs.
    pub(super) thread: Option<String>,
}

/// A text no longer than a telephone shows and a mail server takes.
const LONGEST: usize = 2000;

fn bounded(text: &str) -> String {
    let mut told: String = text.chars().take(LONGEST).collect();
    if told.len() < text.len() {
        told.push('…');
    }
    told
}

impl Message {
    /// Of a notice that waits.
    pub(super) fn of(pending: &Pending, installation: &str, node: &str) -> Self {
        let (kept, incident) = (&pending.notice, &pending.notice.incident);
        let event = match kept.event {
            Why::Opened => Event::Opened,
            Why::Worsened => Event::Worsened,
            Why::Reminder => Event::Reminder,
            Why::Resolved => Event::Resolved,
        };
        let first = id(installation, incident.number, 1);
        Self {
            thread: Some(first).filter(|first| *first != kept.id),
            notice: Notice {
                id: kept.id.clone(),
                repeated: pending.unsure,
                event,
                installation: installation.to_owned(),
                node: node.to_owned(),
                severity: severity(incident.severity),
                code: incident.code.clone(),
                subject: incident.subject.clone(),
                headline: bounded(&incident.headline),
                detail: bounded(&incident.detail),
                remedy: incident.remedy.as_deref().map(bounded),
                since_s: incident.opened.secs(),
                made_s: kept.made.secs(),
            },
        }
    }

    /// One that says nothing but that it arrived.
    pub fn test(installation: &str, node: &str, now: Timestamp) -> Self {
        Self {
            thread: None,
            notice: Notice {
                id: format!("{}-test-{}", short(installation), now.millis()),
                repeated: false,
                event: Event::Test,
                installation: installation.to_owned(),
                node: node.to_owned(),
                severity: host::Severity::Notice,
                code: "test".to_owned(),
                subject: "notifications".to_owned(),
                headline: "notices arrive here".to_owned(),
                detail: "somebody ran `felhom-agent notify test`; nothing is wrong".to_owned(),
                remedy: None,
                since_s: now.secs(),
                made_s: now.secs(),
            },
        }
    }

    /// Of what no journal knows, and what therefore belongs to no incident.
    pub(super) fn unwritten(
        code: &str,
        detail: &str,
        remedy: Option<&str>,
        node: &str,
        now: Timestamp,
    ) -> Self {
        Self {
            thread: None,
            notice: Notice {
                id: format!("unwritten-{}", now.millis()),
                repeated: false,
                event: Event::Opened,
                installation: "unwritten".to_owned(),
                node: node.to_owned(),
                severity: host::Severity::Critical,
                code: code.to_owned(),
                subject: "node".to_owned(),
                headline: format!("node: {}", code.replace('-', " ")),
                detail: bounded(detail),
                remedy: remedy.map(bounded),
                since_s: now.secs(),
                made_s: now.secs(),
            },
        }
    }

    /// Its name, the same whenever it is sent.
    pub fn id(&self) -> &str {
        &self.notice.id
    }

    /// One line, with the node in front.
    pub fn title(&self) -> String {
        let (node, headline) = (&self.notice.node, &self.notice.headline);
        match self.notice.event {
            Event::Opened => format!("{node}: {headline}"),
            Event::Worsened => format!("{node}: worse: {headline}"),
            Event::Reminder => format!("{node}: still: {headline}"),
            Event::Resolved => format!("{node}: over: {headline}"),
            Event::Test => format!("{node}: test: {headline}"),
        }
    }

    /// What was seen, what to do, and since when.
    pub fn body(&self) -> String {
        let notice = &self.notice;
        let since = clock::local(Timestamp::from_secs(notice.since_s));
        let mut lines = vec![match notice.event {
            Event::Resolved => format!("It is over. It was: {}", notice.detail),
            Event::Opened | Event::Worsened | Event::Reminder | Event::Test => {
                notice.detail.clone()
            }
        }];
        let remedy = notice
            .remedy
            .iter()
            .filter(|_| notice.event != Event::Resolved);
        lines.extend(remedy.map(|remedy| format!("What to do: {remedy}")));
        if notice.event != Event::Test {
            let (severity, code) = (notice.severity, &notice.code);
            lines.push(format!("{severity}, `{code}`, since {since}"));
        }
        if notice.repeated {
            lines.push(
                "This may have arrived before: how the first attempt ended was not noted."
                    .to_owned(),
            );
        }
        lines.push(format!("notice {}", notice.id));
        lines.join("\n")
    }
}
