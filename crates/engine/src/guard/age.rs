//! How long ago something was, when clocks may have been set meanwhile: what several witnesses have in common.
//!
//! A rollback that nobody asked for right then destroys work, so it is never done because one clock jumped. The node's
//! uptime is a monotonic clock (`/proc/uptime`): it only ever tells too little, when the node was restarted meanwhile. The
//! node's wall clock, ours, and the time that PVE wrote beside the snapshot must say the same.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;
use crate::world::NodeFacts;

/// What every clock showed at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Reading {
    /// Ours.
    pub ours: Timestamp,
    /// The node's, in seconds since the epoch.
    pub node_s: Option<i64>,
    /// For how long the node had been up, in seconds.
    pub uptime_s: Option<u64>,
}

impl Reading {
    /// What our clock and the node's show now.
    pub fn of(now: Timestamp, node: &NodeFacts) -> Self {
        Self {
            ours: now,
            node_s: node.now_s,
            uptime_s: node.uptime_s,
        }
    }

    /// Seconds between our clock and the node's, when both are known.
    pub fn apart_s(&self) -> Option<u64> {
        self.node_s.map(|node| self.ours.secs().abs_diff(node))
    }
}

/// Whether a length of time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Past {
    /// All witnesses say so.
    Yes,
    /// None does.
    No,
    /// They differ, or one of them is missing: nothing is done by it.
    Unsure,
}

/// How long ago something was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Age {
    /// What all witnesses have in common; `None` when one of them is missing.
    at_least: Option<Duration>,
    /// What the most generous witness says.
    at_most: Duration,
}

impl Age {
    /// From one reading to a later one.
    pub fn between(then: &Reading, now: &Reading) -> Self {
        let ours = now.ours.since(then.ours);
        let node = then
            .node_s
            .zip(now.node_s)
            .map(|(then, now)| seconds(then, now));
        let up = then
            .uptime_s
            .zip(now.uptime_s)
            .map(|(then, now)| up(then, now));
        let least = node.zip(up).map(|(node, up)| ours.min(node).min(up));
        let most = [Some(ours), node, up].into_iter().flatten().max();
        Self {
            at_least: least,
            at_most: most.unwrap_or_default(),
        }
    }

    /// The same with one more witness: what the node's clock says of a time that the node itself wrote down.
    #[must_use]
    pub fn and_written(mut self, written_s: Option<i64>, now: &Reading) -> Self {
        let witness = written_s
            .zip(now.node_s)
            .map(|(then, now)| seconds(then, now));
        self.at_least = self
            .at_least
            .zip(witness)
            .map(|(least, one)| least.min(one));
        self.at_most = witness.map_or(self.at_most, |one| self.at_most.max(one));
        self
    }

    /// Whether this length of time is over.
    pub fn is_past(&self, span: Duration) -> Past {
        match self.at_least {
            Some(least) if least >= span => Past::Yes,
            _ if self.at_most < span => Past::No,
            _ => Past::Unsure,
        }
    }

    /// The most generous witness, for people.
    pub fn at_most(&self) -> Duration {
        self.at_most
    }
}

/// Both ends are cut to whole seconds, so one of them may be missing.
fn whole(seconds: u64) -> Duration {
    Duration::from_secs(seconds.saturating_sub(1))
}

fn seconds(then: i64, now: i64) -> Duration {
    whole(u64::try_from(now.saturating_sub(then)).unwrap_or(0))
}

/// An uptime that became shorter began anew meanwhile: all of it is later than the moment then.
fn up(then: u64, now: u64) -> Duration {
    match now.checked_sub(then) {
        Some(difference) => whole(difference),
        None => whole(now),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600;
    const DEADLINE: Duration = Duration::from_mins(15);

    fn reading(ours: i64, node: i64, uptime: u64) -> Reading {
        Reading {
            ours: Timestamp::from_secs(ours),
            node_s: Some(node),
            uptime_s: Some(uptime),
        }
    }

    fn past(now: Reading) -> Past {
        let then = reading(1_000_000, 1_000_000, 50 * HOUR);
        Age::between(&then, &now).is_past(DEADLINE)
    }

    #[test]
    fn time_that_all_clocks_saw_pass_has_passed() {
        assert_eq!(
            past(reading(1_000_800, 1_000_800, 50 * HOUR + 800)),
            Past::No
        );
        assert_eq!(
            past(reading(1_000_901, 1_000_901, 50 * HOUR + 901)),
            Past::Yes
        );
    }

    #[test]
    fn a_clock_that_jumped_proves_nothing() {
        let minute = 50 * HOUR + 60;
        let far = 1_000_060 + 7200;
        for (ours, node) in [(far, 1_000_060), (1_000_060, far), (far, far)] {
            assert_eq!(past(reading(ours, node, minute)), Past::Unsure);
        }
        let back = 1_000_000 - 7200;
        for (ours, node) in [(back, 1_001_000), (1_001_000, back), (back, back)] {
            assert_eq!(past(reading(ours, node, 50 * HOUR + 1000)), Past::Unsure);
        }
    }

    #[test]
    fn after_a_restart_of_the_node_its_uptime_alone_counts() {
        // Nobody can say how long the node was down; what it has been up since is certain.
        assert_eq!(past(reading(1_002_000, 1_002_000, 60)), Past::Unsure);
        assert_eq!(past(reading(1_003_000, 1_003_000, 901)), Past::Yes);
    }

    #[test]
    fn a_witness_that_is_missing_proves_nothing() {
        let then = reading(0, 0, 0);
        let mute = Reading {
            uptime_s: None,
            ..reading(2000, 2000, 0)
        };
        assert_eq!(Age::between(&then, &mute).is_past(DEADLINE), Past::Unsure);
        let now = reading(2000, 2000, 2000);
        let age = Age::between(&then, &now);
        assert_eq!(age.is_past(DEADLINE), Past::Yes);
        assert_eq!(age.and_written(None, &now).is_past(DEADLINE), Past::Unsure);
        // A snapshot that is younger than the guard is not the guard's.
        assert_eq!(
            age.and_written(Some(1900), &now).is_past(DEADLINE),
            Past::Unsure
        );
        assert_eq!(age.and_written(Some(1), &now).is_past(DEADLINE), Past::Yes);
    }
}
