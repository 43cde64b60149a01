//! The simulated clock, and the crate's only reader of wall-clock time: everything else asks it, so that a test
//! can let a night pass in a moment.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// How simulated time passes.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Time {
    /// As on the wall.
    #[default]
    Real,
    /// So many simulated seconds in one real one.
    Scaled(f64),
    /// Only when told to.
    Stepped,
}

/// Simulated time since the Unix epoch.
#[derive(Debug)]
pub(crate) struct Clock {
    time: Time,
    /// Simulated time at `started`, and the steps taken since.
    base: Duration,
    started: Instant,
    steps: watch::Sender<Duration>,
    /// How many seconds the node's wall clock shows beyond the time that passed.
    shift: AtomicI64,
}

impl Clock {
    /// Starts at the wall's time, or at `not_before` where that is later (a world that was scaled ahead).
    pub(crate) fn start(time: Time, not_before: Duration) -> Self {
        let (steps, _) = watch::channel(Duration::ZERO);
        Self {
            time,
            base: wall().max(not_before),
            started: Instant::now(),
            steps,
            shift: AtomicI64::new(0),
        }
    }

    /// Seconds since the epoch as the node's wall clock shows them, which may be wrong and may jump: for whatever PVE dates.
    pub(crate) fn shown(&self) -> i64 {
        self.now()
            .saturating_add(self.shift.load(Ordering::Relaxed))
    }

    /// Sets the wall clock forward, or back; time itself passes as before.
    pub(crate) fn shift(&self, seconds: i64) {
        self.shift.fetch_add(seconds, Ordering::Relaxed);
    }

    /// Seconds since the epoch as they passed: for whatever lasts.
    pub(crate) fn now(&self) -> i64 {
        i64::try_from(self.since_epoch().as_secs()).unwrap_or(i64::MAX)
    }

    pub(crate) fn now_f64(&self) -> f64 {
        self.since_epoch().as_secs_f64()
    }

    pub(crate) fn since_epoch(&self) -> Duration {
        let passed = match self.time {
            Time::Real => self.started.elapsed(),
            Time::Scaled(factor) => self.started.elapsed().mul_f64(factor.max(0.0)),
            Time::Stepped => Duration::ZERO,
        };
        self.base + passed + *self.steps.borrow()
    }

    /// Returns after `span` of simulated time.
    pub(crate) async fn sleep(&self, span: Duration) {
        let due = self.since_epoch() + span;
        let mut steps = self.steps.subscribe();
        loop {
            let left = due.saturating_sub(self.since_epoch());
            if left.is_zero() {
                return;
            }
            let real = match self.time {
                Time::Real => Some(left),
                Time::Scaled(factor) => Some(left.div_f64(factor.max(1e-6))),
                Time::Stepped => None,
            };
            tokio::select! {
                () = wait(real) => {}
                _ = steps.changed() => {}
            }
        }
    }

    /// Lets `span` pass at once; sleepers that are due wake up. Works with every kind of time.
    pub(crate) fn advance(&self, span: Duration) {
        self.steps.send_modify(|steps| *steps += span);
    }
}

async fn wait(real: Option<Duration>) {
    match real {
        // A timer of the runtime rounds up to a millisecond anyway; the short end keeps a scaled clock from spinning.
        Some(left) => tokio::time::sleep(left.max(Duration::from_micros(500))).await,
        None => std::future::pending().await,
    }
}

#[expect(
    clippy::disallowed_types,
    reason = "the clock is the one reader of wall-clock time"
)]
fn wall() -> Duration {
    std::time::SystemTime::now()
        .duration_since(std::time::SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}
