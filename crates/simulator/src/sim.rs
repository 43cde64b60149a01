//! The simulator's heart: the world, its clock, its tasks and its faults in one place that handlers and workers share.

use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::faults::Faults;
use crate::tasks::Tasks;
use crate::world::World;

/// One simulated node.
pub(crate) struct Sim {
    pub(crate) world: Mutex<World>,
    pub(crate) clock: Clock,
    pub(crate) tasks: Tasks,
    pub(crate) faults: Faults,
    pub(crate) state_dir: PathBuf,
    /// Cancelled when the power goes; a new one is made at boot.
    power: Mutex<CancellationToken>,
}

impl Sim {
    pub(crate) fn new(state_dir: PathBuf, clock: Clock, world: World) -> Arc<Self> {
        Arc::new(Self {
            world: Mutex::new(world),
            clock,
            tasks: Tasks::open(&state_dir),
            faults: Faults::default(),
            state_dir,
            power: Mutex::new(CancellationToken::new()),
        })
    }

    /// The world, for a moment: never across an await.
    pub(crate) fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a mutation took effect.
    pub(crate) fn count(&self, kind: &str, subject: &str) {
        let key = if subject.is_empty() { kind.to_owned() } else { format!("{kind} {subject}") };
        *self.lock().counts.entry(key).or_default() += 1;
    }

    /// Cancelled as soon as the power goes.
    pub(crate) fn power(&self) -> CancellationToken {
        self.power.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Runs something that lives in the node beside tasks (a guest's init, say) and dies with its power.
    pub(crate) fn spawn<F>(self: &Arc<Self>, work: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let power = self.power();
        let _detached = tokio::spawn(async move { power.run_until_cancelled_owned(work).await });
    }

    /// Sleeps in simulated time.
    pub(crate) async fn sleep(&self, span: Duration) {
        self.clock.sleep(span).await;
    }
}
