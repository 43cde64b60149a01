//! The jobs that tests torment, the worlds that they begin in, and what each of their mutations asks of the server.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use felhom_agent::journal::Journal;
use felhom_agent::perform::Performer;
use felhom_agent::progress::Silent;
use felhom_agent::runner::Runner;
use felhom_engine::*;
use felhom_ids::{GuestKind, VolumeId};
use felhom_simulator::{Fault, FaultKind};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::machines::machine;
use crate::support::*;

/// A job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    Backup,
    RestoreTest,
    /// A backup of the virtual machine 9200.
    MachineBackup,
    /// A restore test of it.
    MachineTest,
    /// A restore test whose pool is filled by somebody else, so that its task is stopped.
    FloorReached,
    /// The removal of what an earlier test left running.
    Reap,
    /// The removal of what a power cut left of an earlier test's restore, with the root helper.
    Unfinished,
    /// The making of a golden container by the root helper.
    Golden,
    Exercise,
    /// The removal of a superseded archive.
    Prune,
    /// The beginning of a guarded change of 9001.
    GuardBegin,
    /// Its good end.
    GuardConfirm,
    /// Its bad end.
    GuardAbort,
    /// Its end by time.
    GuardExpire,
    /// A restore that stays, and is started.
    Restore,
    /// A restore whose task ends without its last line, so that what it made is taken back.
    RestoreUndone,
    /// A backup server verifies a backup.
    Verify,
}

impl Subject {
    /// Of what kind the guest is that it is about.
    pub(crate) fn kind(self) -> GuestKind {
        match self {
            Self::MachineBackup | Self::MachineTest => GuestKind::Qemu,
            _ => GuestKind::Lxc,
        }
    }

    pub(crate) fn is_guard(self) -> bool {
        matches!(
            self,
            Self::GuardBegin | Self::GuardConfirm | Self::GuardAbort | Self::GuardExpire
        )
    }

    /// A task that is told to stop has five seconds before it is killed: in time that runs too fast a busy machine would
    /// kill a worker that was about to clean up.
    pub(crate) fn speed(self) -> f64 {
        if self == Self::FloorReached {
            10.0
        } else {
            SPEED
        }
    }
}

pub(crate) const SUBJECTS: [Subject; 17] = [
    Subject::Backup,
    Subject::RestoreTest,
    Subject::MachineBackup,
    Subject::MachineTest,
    Subject::FloorReached,
    Subject::Reap,
    Subject::Unfinished,
    Subject::Golden,
    Subject::Exercise,
    Subject::Prune,
    Subject::GuardBegin,
    Subject::GuardConfirm,
    Subject::GuardAbort,
    Subject::GuardExpire,
    Subject::Restore,
    Subject::RestoreUndone,
    Subject::Verify,
];

/// The request of a mutation, for holding its answer. A mutation without one here is not covered, and fails the test.
pub(crate) fn request_of(mutation: &str, kind: GuestKind) -> Option<(&'static str, &'static str)> {
    let machine = kind == GuestKind::Qemu;
    Some(match mutation {
        "backup" => ("POST", "*/vzdump"),
        "restore" if machine => ("POST", "*/qemu"),
        "destroy" if machine => ("DELETE", "*/qemu/*"),
        "restore" | "restore-guest" => ("POST", "*/lxc"),
        "start" | "start-restored" => ("POST", "*/status/start"),
        "stop" => ("POST", "*/status/stop"),
        "destroy" | "destroy-restored" | "destroy-stub" => ("DELETE", "*/lxc/*"),
        // Of the root helper, whose operations the simulator's faults know by these names.
        "release-unfinished" => ("ASK", "*/release-unfinished-restore"),
        "create-golden" => ("ASK", "*/create-golden-container"),
        "snapshot" => ("POST", "*/snapshot"),
        "delete-snapshot" => ("DELETE", "*/snapshot/*"),
        "rollback" => ("POST", "*/rollback"),
        "verify" => ("POST", "*/verify"),
        "stop-task" => ("DELETE", "*/tasks/*"),
        "set-notes" | "set-protected" => ("PUT", "*/content/*"),
        "delete-backup" => ("DELETE", "*/content/*"),
        _ => return None,
    })
}

/// A world with a backup of 9010, and one in which an earlier restore test left its copy running.
pub(crate) struct Origins {
    directory: tempfile::TempDir,
    volid: VolumeId,
    installation: InstallationId,
    leftover: Leftover,
    unfinished: Leftover,
    superseded: PruneRequest,
    guard: OpenGuard,
    /// Of the virtual machine, and who made it.
    machine: (VolumeId, InstallationId),
}

impl Origins {
    pub(crate) async fn prepare() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let bench = Bench::new().await;
        let volid = bench.backup(9010).await;
        let installation = bench.journal().await.installation().clone();
        let plain = directory.path().join("plain");
        let left = directory.path().join("left");
        let path = bench.world.state_dir().to_owned();
        let Bench {
            world,
            directory: first,
            ..
        } = bench;
        world.stop().await.unwrap();
        copy(&path, &plain);
        drop(first);

        let bench = Bench::with(FAST, Some(&plain)).await;
        let journal = bench.journal().await;
        let performer = bench.performer();
        let job = test_job(&bench, &journal, &volid, 0xabcd);
        let leftover = until_started(&journal, &performer, job).await;
        let path = bench.world.state_dir().to_owned();
        bench.world.stop().await.unwrap();
        copy(&path, &left);
        let unfinished = cut_off(&plain, &volid, &directory.path().join("cut")).await;
        let superseded = several(&directory.path().join("several")).await;
        let guard = guarded(&directory.path().join("guarded")).await;
        let machine = with_machine(&directory.path().join("machine")).await;
        let site = crate::pbs::Site::with_backup().await;
        let path = site.bench.world.state_dir().to_owned();
        site.bench.world.stop().await.unwrap();
        copy(&path, &directory.path().join("offsite"));
        Self {
            directory,
            volid,
            installation,
            leftover,
            unfinished,
            superseded,
            guard,
            machine,
        }
    }

    /// A box beside the world in which the subject begins.
    pub(crate) async fn bench(&self, subject: Subject) -> Bench {
        let bench = Bench::at(subject.speed(), FAST, Some(&self.of(subject))).await;
        if subject == Subject::Verify {
            crate::pbs::equip(&bench);
        }
        bench
    }

    fn of(&self, subject: Subject) -> PathBuf {
        let name = match subject {
            Subject::Reap => "left",
            Subject::Unfinished => "cut",
            Subject::Prune => "several",
            Subject::Verify => "offsite",
            Subject::MachineBackup | Subject::MachineTest => "machine",
            Subject::GuardConfirm | Subject::GuardAbort | Subject::GuardExpire => "guarded",
            _ => "plain",
        };
        self.directory.path().join(name)
    }
}

/// A world in which the power went in the middle of a restore test's restore.
async fn cut_off(
    plain: &std::path::Path,
    volid: &VolumeId,
    directory: &std::path::Path,
) -> Leftover {
    let bench = Bench::at(10.0, FAST, Some(plain)).await;
    let journal = bench.journal().await;
    let performer = bench.performer();
    let mut job = test_job(&bench, &journal, volid, 0xabce);
    loop {
        match job.next(felhom_agent::clock::now()) {
            Next::Do(Step::Follow { .. }) => break,
            Next::Do(step) => {
                let outcome = performer.perform(&step, &Silent).await;
                job.record(felhom_agent::clock::now(), outcome);
            }
            other => panic!("{other:?}"),
        }
    }
    eventually("the restore works", || !bench.scratch_volumes().is_empty()).await;
    bench.world.power_cut(Duration::from_secs(1)).await;
    settled(&bench).await;
    let path = bench.world.state_dir().to_owned();
    bench.world.stop().await.unwrap();
    copy(&path, directory);
    let JobKind::RestoreTest(test) = &job.kind else {
        unreachable!()
    };
    let mut leftover = test.remains().unwrap();
    // The job knows the task, and has not written it into its record yet.
    leftover.restore = leftover.restore.or_else(|| followed(&job));
    leftover
}

/// The task that a job follows next.
fn followed(job: &Job) -> Option<felhom_ids::Upid> {
    match job.next(felhom_agent::clock::now()) {
        Next::Do(Step::Follow { upid, .. }) => Some(upid),
        _ => None,
    }
}

/// A world with a virtual machine and a backup of it.
async fn with_machine(directory: &std::path::Path) -> (VolumeId, InstallationId) {
    let bench = Bench::new().await;
    machine(&bench, serde_json::json!({})).await;
    let volid = bench.backup(9200).await;
    let installation = bench.journal().await.installation().clone();
    let path = bench.world.state_dir().to_owned();
    bench.world.stop().await.unwrap();
    copy(&path, directory);
    (volid, installation)
}

/// A world with three backups of 9001, and the request to remove all but the last.
async fn several(directory: &std::path::Path) -> PruneRequest {
    let bench = Bench::new().await;
    for _ in 0..3 {
        bench.backup(9001).await;
    }
    let journal = bench.journal().await;
    let request = superseded(&bench, &journal).await;
    let path = bench.world.state_dir().to_owned();
    bench.world.stop().await.unwrap();
    copy(&path, directory);
    request
}

/// A world in which a guard of 9001 was opened long ago.
async fn guarded(directory: &std::path::Path) -> OpenGuard {
    let bench = Bench::new().await;
    let journal = bench.journal().await;
    let performer = bench.performer();
    let job = guard_job(&bench, guard_draft(&journal, 9001), GuardJob::begin);
    let runner = Runner {
        journal: &journal,
        performer: &performer,
        progress: &Silent,
    };
    drop(runner.start(job).await.unwrap());
    let mut guards = journal.guards().await.unwrap();
    let mut guard = guards.remove(0);
    bench.world.advance(Duration::from_hours(1));
    // Our own clock cannot be advanced.
    guard.begun.ours = Timestamp::from_millis(guard.begun.ours.millis() - 3_600_000);
    let path = bench.world.state_dir().to_owned();
    bench.world.stop().await.unwrap();
    copy(&path, directory);
    guard
}

/// The request to remove all backups of 9001 but the last.
pub(crate) async fn superseded(bench: &Bench, journal: &Journal) -> PruneRequest {
    let storage = "local".parse().unwrap();
    let records = journal.archive_records(vmid(9001), &storage).await.unwrap();
    let config = felhom_agent::config::load(&bench.config).unwrap();
    PruneRequest {
        vmid: vmid(9001),
        storage,
        installation: journal.installation().clone(),
        policy: KeepPolicy {
            last: 1,
            at_least: 1,
            ..KeepPolicy::keep_all()
        },
        records,
        no_progress: config.backup.no_progress,
        settle: config.backup.settle,
    }
}

/// Performs a restore test up to the moment its copy runs, and no further.
async fn until_started(journal: &Journal, performer: &Performer, mut job: Job) -> Leftover {
    journal.insert(&job).await.unwrap();
    loop {
        match job.next(felhom_agent::clock::now()) {
            Next::Do(Step::Observe(Observe::Evidence { .. })) => break,
            Next::Do(step) => {
                let outcome = performer.perform(&step, &Silent).await;
                job.record(felhom_agent::clock::now(), outcome);
            }
            other => panic!("{other:?}"),
        }
    }
    let JobKind::RestoreTest(test) = &job.kind else {
        unreachable!()
    };
    test.remains().unwrap()
}

pub(crate) fn make(subject: Subject, bench: &Bench, journal: &Journal, origins: &Origins) -> Job {
    match subject {
        Subject::Backup => backup_job(bench, journal, 9010, 1),
        Subject::RestoreTest | Subject::FloorReached => {
            protecting_test_job(bench, &origins.volid, &origins.installation)
        }
        Subject::MachineBackup => backup_job(bench, journal, 9200, 1),
        Subject::MachineTest => {
            let (volid, installation) = &origins.machine;
            protecting_test_job(bench, volid, installation)
        }
        Subject::Prune => Job {
            id: JobId::from_bits(5),
            created: felhom_agent::clock::now(),
            kind: JobKind::Prune(Box::new(PruneJob::new(origins.superseded.clone()))),
        },
        Subject::Exercise => exercise_job(bench, journal, 9001, 3),
        Subject::GuardBegin => guard_job(bench, guard_draft(journal, 9001), GuardJob::begin),
        Subject::GuardConfirm => guard_job(bench, origins.guard.clone(), GuardJob::confirm),
        Subject::GuardAbort => guard_job(bench, origins.guard.clone(), GuardJob::abort),
        Subject::GuardExpire => guard_job(bench, origins.guard.clone(), GuardJob::expire),
        Subject::Restore | Subject::RestoreUndone => {
            restore_job(bench, &origins.installation, &origins.volid, 6)
        }
        Subject::Verify => crate::pbs::verify_job(bench, 7),
        Subject::Reap => reap_job(bench, &origins.leftover),
        Subject::Unfinished => reap_job(bench, &origins.unfinished),
        Subject::Golden => golden_job(bench, 8),
    }
}

fn reap_job(bench: &Bench, leftover: &Leftover) -> Job {
    let config = felhom_agent::config::load(&bench.config).unwrap();
    let reap = ReapJob::new(&config.restore_test_policy, leftover.clone());
    Job {
        id: JobId::from_bits(4),
        created: felhom_agent::clock::now(),
        kind: JobKind::Reap(Box::new(reap)),
    }
}

/// The template that the simulated node has.
pub(crate) const TEMPLATE: &str = "local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst";
/// The VMID of golden containers.
pub(crate) const GOLDEN: u32 = 9900;

fn golden_job(bench: &Bench, bits: u64) -> Job {
    let config = felhom_agent::config::load(&bench.config).unwrap();
    let request = GoldenRequest {
        vmid: vmid(GOLDEN),
        template: TEMPLATE.parse().unwrap(),
        storage: config.restore_test_policy.target,
        no_progress: config.backup.no_progress,
        settle: config.backup.settle,
    };
    Job {
        id: JobId::from_bits(bits),
        created: felhom_agent::clock::now(),
        kind: JobKind::Golden(Box::new(GoldenJob::new(request))),
    }
}

/// As the installation that made the archive, so that its mark is ours.
fn protecting_test_job(bench: &Bench, volid: &VolumeId, installation: &InstallationId) -> Job {
    let config = felhom_agent::config::load(&bench.config).unwrap();
    let id = JobId::from_bits(2);
    let request = RestoreTestRequest {
        volid: volid.clone(),
        installation: installation.clone(),
        job: id.clone(),
        nonce: 77,
        policy: config.restore_test_policy,
        leased: vec![],
        content_bytes: Some(8 << 20),
    };
    let test = RestoreTestJob::new(request).protecting(vec![]);
    Job {
        id,
        created: felhom_agent::clock::now(),
        kind: JobKind::RestoreTest(Box::new(test)),
    }
}

/// For a floor to be reached: the restore stands still at its archive, and the pool is filled past the floor as soon as it
/// works. Never ends.
pub(crate) async fn disturb(subject: Subject, bench: &Bench) -> std::convert::Infallible {
    if subject == Subject::FloorReached {
        bench
            .world
            .inject(Fault::task("vzrestore:extract", FaultKind::TaskStall));
        while !bench.world.state()["running_tasks"]
            .to_string()
            .contains(":vzrestore:")
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let size = bench.world.state()["world"]["pool"]["size"]
            .as_u64()
            .unwrap();
        bench.world.fill_pool(size / 100 * 92).await.unwrap();
    }
    if subject == Subject::RestoreUndone {
        bench
            .world
            .inject(Fault::task("vzrestore:end", FaultKind::TaskVanish));
    }
    std::future::pending().await
}

/// A restore that is over has left the guest as it was planned, or nothing of it; what no token can remove is told with the
/// commands.
pub(crate) fn restored_or_nothing(bench: &Bench, report: &RestoreRunReport) -> Result<(), String> {
    let state = bench.world.state();
    let guest = &state["world"]["guests"][RESTORED.to_string()];
    let config = guest["config"].as_str();
    let volumes = bench.restored_volumes();
    if report.end == RestoreEnd::Restored {
        let text = config.ok_or("restored, and not there")?;
        let whole = text.contains("hostname: demo-guest-restored") && volumes.len() == 3;
        let told = (guest["status"] == "running") == report.started;
        return if whole && told && !text.contains("lock:") {
            Ok(())
        } else {
            Err(format!(
                "not what the record says: {guest} {volumes:?} {report:?}"
            ))
        };
    }
    if config.is_none() && volumes.is_empty() {
        return Ok(());
    }
    let command = format!("pct unlock {RESTORED} && pct destroy {RESTORED}");
    let hints = report.findings.iter().filter_map(|one| one.hint.as_deref());
    let commands = hints
        .filter(|hint| hint.contains(&command))
        .collect::<Vec<_>>();
    let stub = config.is_some_and(|text| matches!(text, "lock: create\n" | "lock: destroyed\n"));
    let named = |name: &String| {
        let disk = name.rsplit(':').next().unwrap_or_default();
        commands.iter().any(|hint| hint.contains(disk))
    };
    if stub && !commands.is_empty() && volumes.iter().all(named) {
        return Ok(());
    }
    Err(format!(
        "left behind: {guest} {volumes:?}, told: {:?}",
        report.findings
    ))
}

/// What no token can remove of a scratch guest: the command of the admin's that does. Anything else that is left is a fault.
pub(crate) fn left_to_the_admin(bench: &Bench, vmid: &str) -> Result<&'static str, String> {
    let state = bench.world.state();
    let world = &state["world"];
    let container = world["guests"][vmid]["config"].as_str();
    let machine = world["machines"][vmid]["config"].as_str();
    let volumes = bench.scratch_volumes();
    match (container, machine) {
        (Some("lock: destroyed\n"), None) if volumes.is_empty() => {
            Ok("pct unlock 9100 && pct destroy 9100")
        }
        (None, Some("" | "\n" | "lock: create\n" | "memory: 128\n")) => Ok("qm destroy 9100"),
        // A removal that broke off after the drives were gone (qemu-server API2/Qemu.pm leaves the lock).
        (None, Some("lock: destroyed\n")) if volumes.is_empty() => Ok("qm destroy 9100"),
        other => Err(format!("{other:?} {volumes:?}")),
    }
}

/// Starts again, as often as it takes: a job that has to pause goes on at the next start. The job that ended last.
pub(crate) async fn restart(bench: &Bench) -> Result<Option<Job>, String> {
    let (mut last, mut ended) = (String::new(), None);
    for _ in 0..6 {
        let journal = bench.journal().await;
        let performer = bench.performer();
        let unfinished = journal
            .unfinished()
            .await
            .map_err(|error| error.to_string())?;
        if unfinished.is_empty() {
            return Ok(ended);
        }
        for one in unfinished {
            let runner = Runner {
                journal: &journal,
                performer: &performer,
                progress: &Silent,
            };
            match runner.resume(one).await {
                Ok(job) => ended = Some(job),
                Err(error) => last = error.to_string(),
            }
        }
    }
    Err(format!("the job does not come to its end: {last}"))
}

/// Says what a test counted, also when the test passes and its output is swallowed.
pub(crate) fn tell(text: &str) {
    use std::io::Write;
    let told = writeln!(std::io::stderr().lock(), "{text}");
    told.unwrap();
}

/// Plays cases side by side, so many at a time and none for longer than the limit; each with what became of it.
pub(crate) async fn side_by_side<C, T, F, Played>(
    (slots, limit): (usize, Duration),
    cases: Vec<C>,
    play: F,
) -> Vec<(Arc<C>, Result<T, String>)>
where
    C: Send + Sync + 'static,
    T: Send + 'static,
    F: Fn(Arc<C>) -> Played,
    Played: Future<Output = Result<T, String>> + Send + 'static,
{
    let slots = Arc::new(Semaphore::new(slots));
    let mut running = JoinSet::new();
    for case in cases {
        let case = Arc::new(case);
        let (slots, played) = (Arc::clone(&slots), play(Arc::clone(&case)));
        running.spawn(async move {
            let _slot = slots.acquire_owned().await.unwrap();
            let played = tokio::time::timeout(limit, played).await;
            let late = |_| Err(format!("did not end within {} s", limit.as_secs()));
            (case, played.unwrap_or_else(late))
        });
    }
    running.join_all().await
}

/// A reap of what is left, as a job of its own; the job when it has ended.
pub(crate) async fn reap(
    leftover: Leftover,
    journal: &Journal,
    bench: &Bench,
) -> Result<Job, String> {
    let config = felhom_agent::config::load(&bench.config).unwrap();
    let kind = JobKind::Reap(Box::new(ReapJob::new(
        &config.restore_test_policy,
        leftover,
    )));
    let job = Job {
        id: JobId::from_bits(u64::from_le_bytes(felhom_agent::clock::random().unwrap())),
        created: felhom_agent::clock::now(),
        kind,
    };
    let performer = bench.performer();
    let runner = Runner {
        journal,
        performer: &performer,
        progress: &Silent,
    };
    runner.start(job).await.map_err(|error| error.to_string())
}

/// The archives on the storage, as files.
pub(crate) fn archives(bench: &Bench) -> BTreeSet<String> {
    let dump = bench.world.state_dir().join("storage/local/dump");
    let entries = std::fs::read_dir(dump).into_iter().flatten();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let is_archive = |name: &String| name.ends_with(".tar.zst") || name.ends_with(".vma.zst");
    names.filter(is_archive).collect()
}
