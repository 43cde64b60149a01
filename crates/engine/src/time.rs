//! A point in time as the engine sees it: a number it is given, never one it reads.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The longest that a job waits before it looks again.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Milliseconds since the Unix epoch, by the clock of whoever calls the engine.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since the epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// From seconds since the epoch.
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// Milliseconds since the epoch.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// This time and a duration later.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(millis))
    }

    /// The date in UTC, `2026-11-23`.
    pub fn date(self) -> String {
        jiff::Timestamp::from_millisecond(self.0).map_or_else(
            |_| "unknown date".to_owned(),
            |time| time.strftime("%Y-%m-%d").to_string(),
        )
    }

    /// Whether this is a time that is worth waiting for. No wait of the engine is longer than ten seconds: what lies
    /// further ahead was set before the clock went backwards, and is over.
    pub fn is_ahead_of(self, now: Self) -> bool {
        self > now && self.since(now) <= LONGEST_WAIT
    }

    /// The time that passed since `earlier`; zero when the clock went backwards.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
