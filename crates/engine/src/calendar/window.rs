//! A window: from when, and for how long, something may be begun.

use std::time::Duration;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::CalendarEvent;
use crate::time::Timestamp;

/// Opens at each of its events, and stays open for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeWindow {
    /// When it opens.
    pub opens: Vec<CalendarEvent>,
    /// For how long.
    pub lasts: Duration,
}

/// A window that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Open {
    /// When it was opened last.
    pub since: Timestamp,
    /// When it closes, when nothing opens it again.
    pub until: Timestamp,
}

impl Open {
    /// How long it is open still.
    pub fn left(&self, now: Timestamp) -> Duration {
        self.until.since(now)
    }
}

impl TimeWindow {
    /// Whether it is open at an instant. It is at the instant of its event, and no longer when its time is over.
    pub fn at(&self, now: Timestamp, zone: &TimeZone) -> Option<Open> {
        let lasts = i64::try_from(self.lasts.as_millis()).unwrap_or(i64::MAX);
        let after = Timestamp::from_millis(now.millis().saturating_sub(lasts));
        let latest = |event: &CalendarEvent| {
            let mut latest = None;
            let mut from = after;
            // At most one a second; a window of days with such an event is open from its first one on anyway.
            while let Some(next) = event.next_after(from, zone).filter(|next| *next <= now) {
                (latest, from) = (Some(next), next);
            }
            latest.filter(|since: &Timestamp| since.plus(self.lasts) > now)
        };
        let since = self.opens.iter().filter_map(latest).max()?;
        let until = since.plus(self.lasts);
        Some(Open { since, until })
    }

    /// When it opens next, after an instant.
    pub fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let next = |event: &CalendarEvent| event.next_after(after, zone);
        self.opens.iter().filter_map(next).min()
    }
}
