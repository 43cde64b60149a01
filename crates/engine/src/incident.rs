//! Incidents: what is wrong for longer than one look. Each is told once when it begins, again only when it becomes graver,
//! and once when it is over.
//!
//! An incident is known by its code and its subject. Numbers and ages in its text may change from look to look: that is no
//! other incident. What nobody could look at neither ends one nor says that it is still there.

mod blind;
mod once;

pub use blind::{Blind, Silence};
pub use once::{EXPLAINS_POSTURE, POSTURE_FAMILY, mark_explained};

use std::collections::BTreeMap;
use std::time::Duration;

use felhom_ids::Vmid;
use serde::{Deserialize, Serialize};

use crate::finding::Severity;
use crate::time::Timestamp;

/// Something that is wrong now, as one look saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// A code of the catalogue.
    pub code: String,
    /// What it is about: `guest 101`, `storage local`.
    pub subject: String,
    /// The guest whose protection it tells of, whatever the subject.
    pub guest: Option<Vmid>,
    /// How much it matters.
    pub severity: Severity,
    /// What is wrong, in a few words that stay the same while it lasts.
    pub headline: String,
    /// What was seen this time.
    pub detail: String,
    /// What to do.
    pub remedy: Option<String>,
    /// Whether another condition of the same look tells it already. Such a one opens nothing, and keeps open what is.
    pub explained: bool,
}

/// A condition that was told and is not known to be over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// Never given to another one.
    pub number: u64,
    /// A code of the catalogue.
    pub code: String,
    /// What it is about.
    pub subject: String,
    /// The gravest that was told of it.
    pub severity: Severity,
    /// What is wrong, in a few words.
    pub headline: String,
    /// What was seen last.
    pub detail: String,
    /// What to do.
    pub remedy: Option<String>,
    /// Since when it is open.
    pub opened: Timestamp,
    /// When it was last seen.
    pub seen: Timestamp,
    /// When it was last told.
    pub told: Timestamp,
    /// How often it was told.
    pub notices: u32,
}

/// Why an incident is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// It begins.
    Opened,
    /// It has become graver.
    Worsened,
    /// It is still there, and was told long ago.
    Reminder,
    /// It is over.
    Resolved,
}

impl Event {
    /// Its name, as it is written down.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Worsened => "worsened",
            Self::Reminder => "reminder",
            Self::Resolved => "resolved",
        }
    }
}

/// Something to be told. `incident.notices` counts it, so that number and count name it for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Why.
    pub event: Event,
    /// The incident as it is after it.
    pub incident: Incident,
}

/// When something is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoticePolicy {
    /// What is less grave opens no incident.
    pub at_least: Severity,
    /// After how long a critical incident is told again.
    pub remind_after: Option<Duration>,
    /// What comes back so soon after it was last seen has not been over.
    pub flap: Duration,
}

/// What one look saw.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    /// What is wrong.
    pub conditions: Vec<Condition>,
    /// What could not be looked at.
    pub blind: Blind,
    /// What somebody does not want to hear of.
    pub silenced: Vec<Silence>,
}

/// How incidents stand after a look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Those that are open.
    pub open: Vec<Incident>,
    /// Those that are not open any more. They are told only where `notices` says so.
    pub closed: Vec<Incident>,
    /// What is to be told, in this order.
    pub notices: Vec<Notice>,
}

/// Holds a look against the incidents that are open. `last` is the highest number that was ever given.
///
/// The answer has to be written down as a whole before anything of it is told: then each incident is told once, however
/// often the program dies in between.
pub fn reconcile(
    open: Vec<Incident>,
    last: u64,
    look: &Look,
    now: Timestamp,
    policy: &NoticePolicy,
) -> Reconciled {
    let silenced =
        |code: &str, subject: &str| look.silenced.iter().any(|s| s.covers(code, subject));
    let mut conditions = by_key(&look.conditions);
    let mut after = Reconciled::default();
    for mut incident in open {
        // A clock that was ahead and was put right must not keep an incident for ever.
        incident.seen = incident.seen.min(now);
        incident.told = incident.told.min(now);
        let key = (incident.code.clone(), incident.subject.clone());
        let condition = conditions.remove(&key);
        if silenced(&key.0, &key.1) {
            after.closed.push(incident);
        } else if let Some(condition) = condition {
            after.still(incident, condition, now, policy);
        } else if look.blind.covers(&key.0, &key.1) || now.since(incident.seen) < policy.flap {
            after.open.push(incident);
        } else {
            after.over(incident, now, policy);
        }
    }
    let mut number = last;
    for ((code, subject), condition) in conditions {
        let heard = condition.severity >= policy.at_least && !condition.explained;
        if heard && !silenced(&code, &subject) {
            number = number.saturating_add(1);
            after.begin(number, condition, now);
        }
    }
    after.notices.sort_by_key(urgency);
    after
}

/// The gravest first, and what is over last.
fn urgency(notice: &Notice) -> (bool, std::cmp::Reverse<Severity>, u64) {
    let incident = &notice.incident;
    let over = notice.event == Event::Resolved;
    (over, std::cmp::Reverse(incident.severity), incident.number)
}

/// One condition a key, the gravest.
fn by_key(conditions: &[Condition]) -> BTreeMap<(String, String), &Condition> {
    let mut by_key = BTreeMap::new();
    for condition in conditions {
        let key = (condition.code.clone(), condition.subject.clone());
        by_key
            .entry(key)
            .and_modify(|held: &mut &Condition| {
                if condition.severity > held.severity {
                    *held = condition;
                }
            })
            .or_insert(condition);
    }
    by_key
}

impl Reconciled {
    fn begin(&mut self, number: u64, condition: &Condition, now: Timestamp) {
        let incident = Incident {
            number,
            code: condition.code.clone(),
            subject: condition.subject.clone(),
            severity: condition.severity,
            headline: condition.headline.clone(),
            detail: condition.detail.clone(),
            remedy: condition.remedy.clone(),
            opened: now,
            seen: now,
            told: now,
            notices: 0,
        };
        let told = self.tell(Event::Opened, incident, now);
        self.open.push(told);
    }

    fn still(
        &mut self,
        mut incident: Incident,
        condition: &Condition,
        now: Timestamp,
        policy: &NoticePolicy,
    ) {
        incident.seen = now;
        incident.headline.clone_from(&condition.headline);
        incident.detail.clone_from(&condition.detail);
        incident.remedy.clone_from(&condition.remedy);
        let heard = condition.severity >= policy.at_least && !condition.explained;
        let graver = condition.severity > incident.severity;
        let long_ago = policy
            .remind_after
            .is_some_and(|after| now.since(incident.told) >= after);
        let event = if heard && graver {
            incident.severity = condition.severity;
            Some(Event::Worsened)
        } else if heard && long_ago && condition.severity == Severity::Critical {
            Some(Event::Reminder)
        } else {
            None
        };
        let incident = match event {
            Some(event) => self.tell(event, incident, now),
            None => incident,
        };
        self.open.push(incident);
    }

    fn over(&mut self, incident: Incident, now: Timestamp, policy: &NoticePolicy) {
        let heard = incident.severity >= policy.at_least;
        let incident = if heard {
            self.tell(Event::Resolved, incident, now)
        } else {
            incident
        };
        self.closed.push(incident);
    }

    fn tell(&mut self, event: Event, mut incident: Incident, now: Timestamp) -> Incident {
        incident.told = now;
        incident.notices = incident.notices.saturating_add(1);
        self.notices.push(Notice {
            event,
            incident: incident.clone(),
        });
        incident
    }
}
