//! The simulator's heart: the world, its clock, its tasks and its faults in one place that handlers and workers share.

use std::io;
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::faults::Faults;
use crate::hostd;
use crate::pbs;
use crate::tasks::Tasks;
use crate::tls::{self, Identity};
use crate::workers;
use crate::world::World;

/// One simulated node.
pub(crate) struct Sim {
    pub(crate) world: Mutex<World>,
    pub(crate) clock: Clock,
    pub(crate) tasks: Tasks,
    pub(crate) faults: Faults,
    /// The backup server beside the node.
    pub(crate) pbs: pbs::Runtime,
    /// The root helper on the node.
    pub(crate) host: hostd::Runtime,
    pub(crate) state_dir: PathBuf,
    /// What clients see of the node.
    identity: Mutex<Identity>,
    /// The certificate that stands in the file and is not shown yet.
    placed: Mutex<Option<Identity>>,
    /// Cancelled when every connection is closed; a new one is made for those to come.
    lines: Mutex<CancellationToken>,
    /// Whether the world has changed since it was last written.
    dirty: AtomicBool,
    /// Cancelled when the power goes; a new one is made at boot.
    power: Mutex<CancellationToken>,
    /// Whether the node is off: nobody listens.
    off: AtomicBool,
}

/// The locked world. Whoever changes it through here marks it as to be written.
pub(crate) struct WorldGuard<'a> {
    world: MutexGuard<'a, World>,
    dirty: &'a AtomicBool,
}

impl Deref for WorldGuard<'_> {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

impl DerefMut for WorldGuard<'_> {
    fn deref_mut(&mut self) -> &mut World {
        self.dirty.store(true, Ordering::Relaxed);
        &mut self.world
    }
}

impl Sim {
    pub(crate) fn new(
        state_dir: PathBuf,
        clock: Clock,
        world: World,
        identity: Identity,
    ) -> Arc<Self> {
        Arc::new(Self {
            tasks: Tasks::open(&state_dir, clock.now()),
            world: Mutex::new(world),
            clock,
            faults: Faults::default(),
            pbs: pbs::Runtime::default(),
            host: hostd::Runtime::default(),
            state_dir,
            identity: Mutex::new(identity),
            placed: Mutex::new(None),
            lines: Mutex::new(CancellationToken::new()),
            dirty: AtomicBool::new(true),
            power: Mutex::new(CancellationToken::new()),
            off: AtomicBool::new(false),
        })
    }

    /// The world, for a moment: never across an await.
    pub(crate) fn lock(&self) -> WorldGuard<'_> {
        let world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        WorldGuard {
            world,
            dirty: &self.dirty,
        }
    }

    /// Whether the world changed since this was last asked.
    pub(crate) fn take_dirty(&self) -> bool {
        self.dirty.swap(false, Ordering::Relaxed)
    }

    /// Notes that a mutation took effect.
    pub(crate) fn count(&self, kind: &str, subject: &str) {
        let key = if subject.is_empty() {
            kind.to_owned()
        } else {
            format!("{kind} {subject}")
        };
        *self.lock().counts.entry(key).or_default() += 1;
    }

    /// The certificate in use, and how it is known.
    pub(crate) fn identity(&self) -> Identity {
        let identity = self.identity.lock();
        identity.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What stands in the node's certificate file: what is shown from the next start of `pveproxy` on.
    pub(crate) fn placed_fingerprint(&self) -> String {
        let placed = self.placed.lock().unwrap_or_else(PoisonError::into_inner);
        match placed.as_ref() {
            Some(placed) => placed.fingerprint.clone(),
            None => self.identity().fingerprint,
        }
    }

    /// The node gets another certificate of its own, and `pveproxy` goes on to show the old one.
    pub(crate) fn place_certificate(&self) -> io::Result<String> {
        let name = self.lock().node.name.clone();
        let identity = tls::renewed(&self.state_dir, &name)?;
        let fingerprint = identity.fingerprint.clone();
        *self.placed.lock().unwrap_or_else(PoisonError::into_inner) = Some(identity);
        Ok(fingerprint)
    }

    /// The node gets another certificate of its own, and `pveproxy` is restarted.
    pub(crate) fn renew_certificate(&self) -> io::Result<String> {
        self.place_certificate()?;
        Ok(self.restart_proxy())
    }

    /// `pveproxy` is restarted and shows what stands in the file: every connection ends.
    pub(crate) fn restart_proxy(&self) -> String {
        let placed = {
            let mut placed = self.placed.lock().unwrap_or_else(PoisonError::into_inner);
            placed.take()
        };
        if let Some(identity) = placed {
            *self.identity.lock().unwrap_or_else(PoisonError::into_inner) = identity;
        }
        let old = {
            let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *lines, CancellationToken::new())
        };
        old.cancel();
        self.identity().fingerprint
    }

    /// Cancelled when `pveproxy` closes every connection.
    pub(crate) fn lines(&self) -> CancellationToken {
        let lines = self.lines.lock();
        lines.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Cancelled as soon as the power goes.
    pub(crate) fn power(&self) -> CancellationToken {
        self.power
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Whether the node is off.
    pub(crate) fn is_off(&self) -> bool {
        self.off.load(Ordering::Relaxed)
    }

    /// The host's power goes and comes back after `down` of simulated time: connections break, workers die without a
    /// last line, guests stop where they are; then the node boots and starts what is to start by itself.
    pub(crate) async fn power_cut(self: &Arc<Self>, down: Duration) {
        self.off.store(true, Ordering::Relaxed);
        let old = {
            let mut power = self.power.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *power, CancellationToken::new())
        };
        old.cancel();
        self.tasks.kill_all().await;
        workers::power_cut(&mut self.lock());
        self.clock.sleep(down).await;
        {
            let mut world = self.lock();
            world.node.boot = self.clock.now();
            world.node.boots += 1;
        }
        self.off.store(false, Ordering::Relaxed);
        workers::boot(self);
    }
}
