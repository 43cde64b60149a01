//! Waiting for something of somebody else's to end: longer from look to look, and never longer in all than the policy says.
//!
//! What has been waited for is counted and not read off a clock, which may be set back meanwhile.

use std::time::Duration;

use serde::{Deserialize, Serialize};

const FIRST: Duration = Duration::from_millis(500);
/// Half a second sixteenfold: a look is a dozen requests, and a backup of somebody else's takes minutes.
const MOST_DOUBLINGS: u32 = 4;

/// How long a job has waited so far; part of its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Patience {
    waits: u32,
    waited: Duration,
}

impl Patience {
    /// The next pause, or `None` when `limit` is used up.
    pub(crate) fn pause(&mut self, limit: Duration) -> Option<Duration> {
        let left = limit
            .checked_sub(self.waited)
            .filter(|left| !left.is_zero())?;
        let pause = (FIRST * (1 << self.waits.min(MOST_DOUBLINGS))).min(left);
        self.waits = self.waits.saturating_add(1);
        self.waited = self.waited.saturating_add(pause);
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_pauses_together_are_the_limit_and_there_are_few_of_them() {
        let limit = Duration::from_mins(15);
        let mut patience = Patience::default();
        let mut pauses = Vec::new();
        while let Some(pause) = patience.pause(limit) {
            pauses.push(pause);
        }
        assert_eq!(pauses.iter().sum::<Duration>(), limit);
        assert!(pauses.len() < 130, "{}", pauses.len());
        assert!(Patience::default().pause(Duration::ZERO).is_none());
    }
}
