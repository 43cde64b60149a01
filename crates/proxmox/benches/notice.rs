//! How soon following notices that a task has ended, beside pollers with a fixed pause, and what each asks of the server.
//!
//! Tasks of a simulated server run for about the wanted time; the server itself is looked at every few milliseconds, and a
//! task counts as ended when it was last seen running, so that lateness is overstated rather than understated. Prints one
//! tab-separated line per length and poller: length, poller, tasks, median, 95th percentile and worst lateness in ms,
//! tasks noticed within 250 ms or 5 % of their length, requests per task.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use felhom_ids::{ByteSize, StorageId, TokenId, Upid, Vmid};
use felhom_proxmox::property::RootFs;
use felhom_proxmox::pve::guests::{CreateLxc, CreateSnapshot, LxcSettings};
use felhom_proxmox::pve::tasks::TaskState;
use felhom_proxmox::{Client, FollowOptions, Pve, Settings, Silent, TaskHandle, Token, Trust};
use felhom_simulator::{Fault, FaultKind, Options, Running, Simulator, Time};
use secrecy::SecretString;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Simulated seconds in a real one, so that what a task does by itself takes next to no time.
const SPEED: f64 = 20.0;
/// Tasks at once, each on a guest of its own.
const GUESTS: u32 = 16;
/// Real seconds of the tasks, and how often all guests have one.
const LENGTHS: [(f64, usize); 4] = [(0.1, 20), (1.0, 8), (10.0, 1), (60.0, 1)];
const FIXED: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(2)];
const BUDGET: Duration = Duration::from_millis(250);
const LOOK: Duration = Duration::from_millis(4);
const AGENT: &str = "felhom-agent@pve!agent";

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let requests = counting::Requests::install();
    let state = tempfile::tempdir()?;
    let options = Options {
        time: Time::Scaled(SPEED),
        ..Options::new(state.path())
    };
    let bench = Arc::new(Bench {
        sim: Simulator::start(options).await?,
        running: Mutex::default(),
        dice: AtomicU64::new(4711),
    });
    bench.make_guests().await?;
    let watcher = tokio::spawn(Arc::clone(&bench).watch());
    for (length, rounds) in LENGTHS {
        let before = requests.seen();
        let mut late: BTreeMap<&str, Vec<Late>> = BTreeMap::new();
        for round in 0..rounds {
            bench.round(length, round, &mut late).await?;
        }
        // All pollers share a client's code; what is not the fixed ones' is the follower's, but for one POST a task.
        let fixed: u64 = late.values().flatten().map(|one| one.polls).sum();
        let tasks = late
            .get("follow")
            .map_or(0, Vec::len)
            .try_into()
            .unwrap_or(0);
        let followed = requests.seen().saturating_sub(before + fixed + tasks);
        report(length, &late, followed)?;
    }
    watcher.abort();
    Ok(())
}

/// One task's end, noticed by one poller.
struct Late {
    by: Duration,
    length: Duration,
    polls: u64,
}

struct Bench {
    sim: Running,
    /// When a task was last seen running; the first time is when it was started.
    running: Mutex<BTreeMap<String, Seen>>,
    dice: AtomicU64,
}

#[derive(Clone, Copy)]
struct Seen {
    started: Instant,
    last: Instant,
}

impl Bench {
    fn pve(&self) -> Result<Pve, Failure> {
        let id: TokenId = AGENT.parse()?;
        let tokens = self.sim.tokens();
        let secret = SecretString::from(tokens.get(AGENT).ok_or("no token")?.clone());
        let trust = Trust::PinnedLeaf(self.sim.fingerprint().parse()?);
        let settings = Settings::new(self.sim.url().parse()?, Token::new(id, &secret), trust);
        Ok(Pve::new(Client::new(settings)?, self.sim.node().parse()?))
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Seen>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes who runs, for ever.
    async fn watch(self: Arc<Self>) {
        loop {
            self.look();
            tokio::time::sleep(LOOK).await;
        }
    }

    fn look(&self) {
        let now = Instant::now();
        let state = self.sim.state();
        let list = state
            .get("running_tasks")
            .and_then(|tasks| tasks.as_array());
        let mut seen = self.seen();
        for upid in list.into_iter().flatten().filter_map(|task| task.as_str()) {
            seen.entry(upid.to_owned())
                .or_insert(Seen {
                    started: now,
                    last: now,
                })
                .last = now;
        }
    }

    async fn make_guests(&self) -> Result<(), Failure> {
        let pve = self.pve()?;
        let storage: StorageId = "local-lvm".parse()?;
        for vmid in vmids() {
            let container = CreateLxc {
                vmid: vmid?,
                template: "local:vztmpl/debian-13-mini_13.1-1_amd64.tar.zst".parse()?,
                storage: storage.clone(),
                nesting: false,
                settings: LxcSettings {
                    rootfs: Some(RootFs::new(storage.clone(), ByteSize::from_bytes(1 << 30))),
                    ..LxcSettings::default()
                },
            };
            let task = pve.create_lxc(&container).await?;
            let outcome = pve.finish(task, &FollowOptions::default()).await?;
            if !outcome.is_good() {
                return Err(format!("a guest cannot be made: {outcome}").into());
            }
        }
        Ok(())
    }

    /// A task on every guest at once, each with all pollers.
    async fn round(
        self: &Arc<Self>,
        length: f64,
        round: usize,
        late: &mut BTreeMap<&'static str, Vec<Late>>,
    ) -> Result<(), Failure> {
        let mut tasks = JoinSet::new();
        for vmid in vmids() {
            let (bench, vmid) = (Arc::clone(self), vmid?);
            // Millisecond names: one guest's snapshots of several rounds and lengths must differ.
            let name = format!("s{:.0}x{round}", length * 1e3);
            tasks.spawn(async move { Box::pin(bench.one(vmid, length, &name)).await });
        }
        while let Some(done) = tasks.join_next().await {
            for (poller, one) in done?? {
                late.entry(poller).or_default().push(one);
            }
        }
        Ok(())
    }

    async fn one(
        &self,
        vmid: Vmid,
        length: f64,
        name: &str,
    ) -> Result<Vec<(&'static str, Late)>, Failure> {
        let pve = self.pve()?;
        let kind = FaultKind::TaskDelay {
            seconds: length * self.spread() * SPEED,
        };
        self.sim.inject(Fault {
            id: Some(vmid.to_string()),
            ..Fault::task("vzsnapshot", kind)
        });
        let snapshot = CreateSnapshot {
            vmid,
            name: name.parse()?,
            description: None,
        };
        let task: TaskHandle = pve.create_snapshot(&snapshot).await?;
        let upid = task.into_upid();
        let [one, two] = FIXED;
        let options = FollowOptions::default();
        let follow = async {
            pve.follow(&upid, &options, &mut Silent).await?;
            Ok::<_, Failure>((Instant::now(), 0))
        };
        let (ours, one, two) = tokio::join!(follow, self.fixed(&upid, one), self.fixed(&upid, two));
        let seen = self
            .seen()
            .get(upid.as_str())
            .copied()
            .ok_or("a task was never seen running")?;
        let late = |(noticed, polls): (Instant, u64)| Late {
            by: noticed.saturating_duration_since(seen.last),
            length: seen.last.saturating_duration_since(seen.started),
            polls,
        };
        Ok(vec![
            ("follow", late(ours?)),
            ("every 1 s", late(one?)),
            ("every 2 s", late(two?)),
        ])
    }

    /// Looks at the status, sleeps, looks again.
    async fn fixed(&self, upid: &Upid, pause: Duration) -> Result<(Instant, u64), Failure> {
        let pve = self.pve()?;
        let mut polls = 1;
        while pve.task_status(upid).await?.state != TaskState::Stopped {
            tokio::time::sleep(pause).await;
            polls += 1;
        }
        Ok((Instant::now(), polls))
    }

    /// A factor between 0.8 and 1.2, so that tasks do not end on anybody's beat.
    fn spread(&self) -> f64 {
        let step = |dice: u64| Some(dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
        let dice = self
            .dice
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, step)
            .unwrap_or(0);
        0.8 + f64::from(u16::try_from(dice >> 48).unwrap_or(0)) / f64::from(u16::MAX) * 0.4
    }
}

fn vmids() -> impl Iterator<Item = Result<Vmid, felhom_ids::InvalidName>> {
    (9200..9200 + GUESTS).map(Vmid::new)
}

fn report(length: f64, late: &BTreeMap<&str, Vec<Late>>, followed: u64) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for (poller, all) in late {
        let mut by: Vec<f64> = all.iter().map(|one| one.by.as_secs_f64() * 1e3).collect();
        by.sort_by(f64::total_cmp);
        let at = |share: usize| {
            by.get((by.len() * share / 100).min(by.len() - 1))
                .copied()
                .unwrap_or(0.0)
        };
        let within = all
            .iter()
            .filter(|one| one.by <= BUDGET.max(one.length / 20))
            .count();
        let polls: u64 = if *poller == "follow" {
            followed
        } else {
            all.iter().map(|one| one.polls).sum()
        };
        let count = u32::try_from(all.len()).unwrap_or(u32::MAX);
        let per_task =
            f64::from(u32::try_from(polls).unwrap_or(u32::MAX)) / f64::from(count.max(1));
        writeln!(
            out,
            "{length}\t{poller}\t{count}\t{:.0}\t{:.0}\t{:.0}\t{within}\t{per_task:.1}",
            at(50),
            at(95),
            at(100)
        )?;
    }
    out.flush()
}

/// Counts the client's requests by the event that it logs for each.
mod counting {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Level, Metadata, Subscriber};

    #[derive(Clone, Default)]
    pub(super) struct Requests(Arc<AtomicU64>);

    impl Requests {
        pub(super) fn install() -> Self {
            let requests = Self::default();
            if tracing::subscriber::set_global_default(requests.clone()).is_err() {
                // Nobody else is there to have installed one.
            }
            requests
        }

        pub(super) fn seen(&self) -> u64 {
            self.0.load(Ordering::Relaxed)
        }
    }

    impl Subscriber for Requests {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            metadata.target() == "felhom_proxmox::client" && *metadata.level() == Level::DEBUG
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn event(&self, _: &Event<'_>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}
    }
}
