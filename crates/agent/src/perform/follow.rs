//! Following a task to its end, with an eye on what it could use up.

use std::collections::VecDeque;
use std::time::Duration;

use felhom_engine::{Followed, Guard, Outcome, TaskVerdict};
use felhom_ids::{StorageId, Upid};
use felhom_proxmox::task::{
    Ending, FollowOptions, Left, LogLine, Outcome as PveOutcome, Progress as Polled, Seen, Watch,
};
use felhom_proxmox::{Error, Pbs, Pve};
use tokio::time::Instant;

use crate::observe::remote_error;
use crate::progress::{Event, Progress};

/// Lines kept from the beginning of a log, where vzdump says what it puts in, and from its end, where it says what failed.
const KEPT: usize = 400;
/// How often a guarded storage is looked at. A pool that fills at 1 GiB/s loses half a GiB between two looks, which the
/// floor is there for.
const GUARD_PAUSE: Duration = Duration::from_millis(300);
/// How long a guard may be blind before the task is stopped: what cannot be seen is not fine.
const BLIND: Duration = Duration::from_secs(10);
/// How often a storage is looked at for signs of life of a task whose log is silent.
const LIFE_PAUSE: Duration = Duration::from_secs(15);

/// What is looked at while a task of the node runs.
#[derive(Clone, Copy)]
pub(super) struct Watched<'a> {
    agent: &'a Pve,
    guard: Option<&'a Guard>,
    fills: Option<&'a StorageId>,
}

impl<'a> Watched<'a> {
    /// Nothing, where there is neither a guard nor a storage that fills.
    pub(super) fn of(
        agent: &'a Pve,
        guard: Option<&'a Guard>,
        fills: Option<&'a StorageId>,
    ) -> Option<Self> {
        (guard.is_some() || fills.is_some()).then_some(Self {
            agent,
            guard,
            fills,
        })
    }
}

pub(super) struct Following<'a> {
    watched: Option<Watched<'a>>,
    progress: &'a dyn Progress,
    head: Vec<String>,
    tail: VecDeque<String>,
    looked: Option<Instant>,
    /// Since when the guarded storage could not be looked at.
    blind_since: Option<Instant>,
    /// When the filling storage was looked at last, and its free bytes then.
    life: Option<(Instant, Option<u64>)>,
}

impl<'a> Following<'a> {
    pub(super) fn new(watched: Option<Watched<'a>>, progress: &'a dyn Progress) -> Self {
        Self {
            watched,
            progress,
            head: Vec::new(),
            tail: VecDeque::new(),
            looked: None,
            blind_since: None,
            life: None,
        }
    }

    fn guard(&self) -> Option<&'a Guard> {
        self.watched?.guard
    }

    /// A task of the node.
    pub(super) async fn follow(&mut self, pve: &Pve, upid: &Upid, silence: Duration) -> Outcome {
        let options = self.options(silence);
        let ended = pve.follow(upid, &options, self).await;
        self.outcome(ended)
    }

    /// A task of a backup server.
    pub(super) async fn follow_on(&mut self, pbs: &Pbs, upid: &Upid, silence: Duration) -> Outcome {
        let options = self.options(silence);
        let ended = pbs.follow(upid, &options, self).await;
        self.outcome(ended)
    }

    fn options(&self, no_progress: Duration) -> FollowOptions {
        let mut options = FollowOptions {
            no_progress,
            ..FollowOptions::default()
        };
        if self.guard().is_some() {
            options.longest_pause = GUARD_PAUSE;
        }
        options
    }

    fn outcome(&mut self, ended: Result<Ending, Error>) -> Outcome {
        match ended {
            Ok(Ending::Finished(finished)) => Outcome::Followed(Followed::Ended {
                verdict: verdict(finished.outcome),
                log: self.log(),
                elapsed_ms: u64::try_from(finished.took.as_millis()).unwrap_or(u64::MAX),
            }),
            Ok(Ending::LeftRunning {
                why: Left::Watch(reason),
                ..
            }) => Outcome::Followed(Followed::Tripped { reason }),
            Ok(Ending::LeftRunning {
                why: Left::NoProgress(silent),
                ..
            }) => {
                let silent_ms = u64::try_from(silent.as_millis()).unwrap_or(u64::MAX);
                Outcome::Followed(Followed::Stuck { silent_ms })
            }
            Err(error) => Outcome::Failed(remote_error(&error)),
        }
    }

    fn log(&mut self) -> Vec<String> {
        let mut log = std::mem::take(&mut self.head);
        log.extend(self.tail.drain(..));
        log
    }
}

/// What ran short, if anything. A look that fails proves nothing; the next one comes soon.
async fn shortage(agent: &Pve, guard: &Guard) -> Result<Option<String>, Error> {
    for one in std::iter::once(guard).chain(&guard.others) {
        if let Some(short) = shortage_of(agent, one).await? {
            return Ok(Some(short));
        }
    }
    Ok(None)
}

async fn shortage_of(agent: &Pve, guard: &Guard) -> Result<Option<String>, Error> {
    let storage = agent.storage_status(&guard.storage).await?;
    let avail = storage.avail.unwrap_or(0);
    if avail < guard.min_avail {
        return Ok(Some(format!(
            "storage `{}` has {} MiB left, below the floor of {} MiB",
            guard.storage,
            avail >> 20,
            guard.min_avail >> 20
        )));
    }
    if let Some(short) = metadata_shortage(agent, guard).await? {
        return Ok(Some(short));
    }
    let root = agent.node_status().await?.rootfs.avail;
    Ok((root < guard.min_root_avail).then(|| {
        format!(
            "the root disk has {} MiB left, below the floor of {} MiB",
            root >> 20,
            guard.min_root_avail >> 20
        )
    }))
}

async fn metadata_shortage(agent: &Pve, guard: &Guard) -> Result<Option<String>, Error> {
    let Some((vg, lv, most)) = &guard.max_metadata else {
        return Ok(None);
    };
    let pools = agent.thin_pools().await?;
    let Some(pool) = pools.iter().find(|pool| pool.vg == *vg && pool.lv == *lv) else {
        return Ok(Some(format!("thin pool `{vg}/{lv}` is no longer listed")));
    };
    Ok((pool.metadata_used > *most).then(|| {
        format!(
            "thin pool `{vg}/{lv}` has used {} of {} bytes of its metadata",
            pool.metadata_used, pool.metadata_size
        )
    }))
}

impl Watch for Following<'_> {
    fn line(&mut self, line: &LogLine) {
        self.progress.event(&Event::LogLine(&line.text));
        if self.head.len() < KEPT {
            self.head.push(line.text.clone());
            return;
        }
        if self.tail.len() == KEPT {
            self.tail.pop_front();
        }
        self.tail.push_back(line.text.clone());
    }

    async fn check(&mut self, _progress: Polled) -> Seen {
        if let Some(reason) = self.guarded().await {
            return Seen::Leave(reason);
        }
        if self.gets_on().await {
            Seen::Progress
        } else {
            Seen::Nothing
        }
    }
}

impl Following<'_> {
    /// Why the task must be stopped.
    async fn guarded(&mut self) -> Option<String> {
        let Watched { agent, guard, .. } = self.watched?;
        let guard = guard?;
        if self.looked.is_some_and(|at| at.elapsed() < GUARD_PAUSE) {
            return None;
        }
        self.looked = Some(Instant::now());
        match shortage(agent, guard).await {
            Ok(shortage) => {
                self.blind_since = None;
                shortage
            }
            Err(error) => {
                tracing::warn!(%error, "the guarded storage could not be looked at");
                let since = *self.blind_since.get_or_insert_with(Instant::now);
                (since.elapsed() >= BLIND).then(|| {
                    format!(
                        "storage `{}` could not be looked at for {} s",
                        guard.storage,
                        BLIND.as_secs()
                    )
                })
            }
        }
    }

    /// Whether the storage that the task writes to has changed since the last look: tar says nothing until it is done.
    async fn gets_on(&mut self) -> bool {
        let Some((agent, storage)) = self.watched.and_then(|one| Some((one.agent, one.fills?)))
        else {
            return false;
        };
        if self.life.is_some_and(|(at, _)| at.elapsed() < LIFE_PAUSE) {
            return false;
        }
        let before = self.life.and_then(|(_, avail)| avail);
        let status = agent.storage_status(storage).await;
        let avail = status.ok().and_then(|status| status.avail);
        self.life = Some((Instant::now(), avail.or(before)));
        before.is_some() && avail.is_some() && before != avail
    }
}

fn verdict(outcome: PveOutcome) -> TaskVerdict {
    match outcome {
        PveOutcome::Succeeded => TaskVerdict::Succeeded,
        PveOutcome::Warnings(count) => TaskVerdict::Warnings(u64::from(count)),
        PveOutcome::Failed(text) => TaskVerdict::Failed(text),
        PveOutcome::Undetermined(text) => TaskVerdict::Undetermined(text),
    }
}
