//! How long something has taken, by a clock that nobody sets.

use std::time::{Duration, Instant};

/// A stopwatch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watch(Instant);

impl Watch {
    /// One that runs from now on.
    #[expect(
        clippy::disallowed_methods,
        reason = "the daemon is synchronous, and this is its one reader of the monotonic clock"
    )]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    /// What is left of a time; `None` when it has passed.
    pub(crate) fn left_of(&self, whole: Duration) -> Option<Duration> {
        whole
            .checked_sub(self.elapsed())
            .filter(|left| !left.is_zero())
    }
}
