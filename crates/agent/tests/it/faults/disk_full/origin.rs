//! The box on which the disk gets full, and how much each command writes when it does not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use felhom_agent::journal::{Journal, Suppression};
use felhom_agent::progress::{Event, Progress};
use felhom_agent::runner::Runner;
use felhom_engine::*;
use felhom_ids::VolumeId;

use super::{End, end_of, why};
use crate::scene::*;
use crate::support::*;

const JOURNAL: &str = "journal.sqlite";
const LOG: &str = "journal.sqlite-wal";
/// What `ulimit -f` counts in (POSIX).
const BLOCK: u64 = 512;
/// A page in the journal's log, with its header: the least that is written.
const FRAME: u64 = 4096 + 24;
/// `SQLite` makes the index of the log this large before it writes anything: a smaller limit never hits the log.
const INDEX: u64 = 32 << 10;

/// How often what took effect in the world.
pub(super) type Counts = BTreeMap<String, u64>;

/// What took effect since.
pub(super) fn fresh(before: &Counts, bench: &Bench) -> Counts {
    let mut counts = bench.world.counts();
    for (what, count) in &mut counts {
        *count -= before.get(what).copied().unwrap_or(0);
    }
    counts.retain(|_, count| *count > 0);
    counts
}

/// A world with a backup of 9010 and three of 9001, and the journal of the agent that made them.
pub(super) struct Origin {
    directory: tempfile::TempDir,
    volid: VolumeId,
    superseded: PruneRequest,
}

impl Origin {
    pub(super) async fn prepare() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let bench = Bench::new().await;
        let volid = bench.backup(9010).await;
        for _ in 0..3 {
            bench.backup(9001).await;
        }
        let journal = bench.journal().await;
        let superseded = superseded(&bench, &journal).await;
        // As a killed process leaves it: with a log beyond its index, so that the next write is what a limit hits.
        while length(&bench.state_dir().join(LOG)) < INDEX + FRAME {
            let now = felhom_agent::clock::now();
            let known = Suppression {
                code: "known".into(),
                subject: None,
                until: now,
                reason: "accepted".into(),
            };
            journal.suppress(&known, now).await.unwrap();
        }
        let kept = directory.path().join("journal");
        std::fs::create_dir(&kept).unwrap();
        for file in [JOURNAL, LOG] {
            std::fs::copy(bench.state_dir().join(file), kept.join(file)).unwrap();
        }
        let world = bench.world.state_dir().to_owned();
        bench.world.stop().await.unwrap();
        copy(&world, &directory.path().join("world"));
        Self {
            directory,
            volid,
            superseded,
        }
    }

    /// A copy of all that.
    pub(super) async fn bench(&self, subject: Subject) -> Bench {
        let bench = self.without_journal(subject).await;
        copy(&self.directory.path().join("journal"), &bench.state_dir());
        if subject == Subject::RestoreTest {
            // The command looks into the journal first, and who closes it folds the log away, unless the disk is full.
            drop(bench.run(&["restore-test", "list"]).await);
            let log = bench.state_dir().join(LOG);
            eventually("the log is folded away", || length(&log) == 0).await;
        }
        bench
    }

    /// The same world, and an agent that was never started.
    pub(super) async fn without_journal(&self, subject: Subject) -> Bench {
        let rules = if subject == Subject::Prune {
            "[backup]\nkeep_last = 1\nkeep_at_least = 1\n"
        } else {
            "[backup]\n"
        };
        let extra = FAST.replace("[backup]\n", rules);
        Bench::with(&extra, Some(&self.directory.path().join("world"))).await
    }

    /// The command line.
    pub(super) fn args(&self, subject: Subject) -> Vec<String> {
        let line = match subject {
            Subject::Backup => "backup run 9010".to_owned(),
            Subject::RestoreTest => format!("restore-test run {}", self.volid),
            Subject::Exercise => "selftest task 9001".to_owned(),
            Subject::Prune => "backup prune 9001".to_owned(),
            _ => unreachable!("not among the commands"),
        };
        line.split(' ').map(str::to_owned).collect()
    }

    /// The job that the command makes.
    async fn job(&self, subject: Subject, bench: &Bench, journal: &Journal) -> Job {
        let bits = u64::MAX;
        match subject {
            Subject::Backup => {
                let rows = journal.backups(Some(vmid(9010))).await.unwrap();
                let former = FormerBackup::among(rows.into_iter().map(|row| row.report));
                backup_job_after(former, bench, journal, 9010, bits)
            }
            Subject::Exercise => exercise_job(bench, journal, 9001, bits),
            Subject::Prune => Job {
                id: JobId::from_bits(bits),
                created: felhom_agent::clock::now(),
                kind: JobKind::Prune(Box::new(PruneJob::new(self.superseded.clone()))),
            },
            Subject::RestoreTest => {
                let job = test_job(bench, journal, &self.volid, bits);
                let JobKind::RestoreTest(test) = job.kind else {
                    unreachable!()
                };
                let kind = JobKind::RestoreTest(Box::new(test.protecting(vec![])));
                Job { kind, ..job }
            }
            _ => unreachable!("not among the commands"),
        }
    }
}

fn length(file: &Path) -> u64 {
    std::fs::metadata(file).map_or(0, |file| file.len())
}

/// Measures the journal's log while a job runs: where the intent of each mutation is durable, and where all but the end is.
struct Ruler {
    log: PathBuf,
    intents: Mutex<Vec<u64>>,
    end: Mutex<u64>,
}

impl Progress for Ruler {
    fn event(&self, event: &Event<'_>) {
        match event {
            Event::Intended { step, .. } if step.is_mutation() => {
                self.intents.lock().unwrap().push(length(&self.log));
            }
            Event::Concluded { .. } => *self.end.lock().unwrap() = length(&self.log),
            _ => {}
        }
    }
}

/// The limits for the files of a command, in blocks, and what the command does in the world when nothing is in its way.
/// The limits: nothing at all, nothing beyond what is there, all but a mutation's intent, the intent and not its outcome, all
/// but the end, enough, and what lies half-way between two of these that are apart.
pub(super) async fn measure(subject: Subject, origin: &Origin) -> (Vec<u64>, Counts) {
    let bench = origin.bench(subject).await;
    let before = bench.world.counts();
    let log = bench.state_dir().join(LOG);
    let there = length(&log).max(INDEX);
    let journal = bench.journal().await;
    let ruler = Ruler {
        log,
        intents: Mutex::default(),
        end: Mutex::default(),
    };
    let performer = bench.performer();
    let runner = Runner {
        journal: &journal,
        performer: &performer,
        progress: &ruler,
    };
    let job = origin.job(subject, &bench, &journal).await;
    let job = runner.start(job).await.unwrap();
    assert_eq!(end_of(&job), End::Right, "{subject:?}: {}", why(&job));
    let counts = fresh(&before, &bench);
    bench.world.stop().await.unwrap();
    let end = ruler.end.into_inner().unwrap();
    let intents = ruler.intents.into_inner().unwrap();
    let bytes = [0, there].into_iter();
    let bytes = bytes.chain(
        intents
            .iter()
            .flat_map(|intent| [intent - BLOCK, intent + FRAME]),
    );
    let blocks = bytes.chain([end, end * 2]).map(|one| one.div_ceil(BLOCK));
    let mut limits: Vec<u64> = blocks.collect();
    let apart = limits.windows(2).filter(|two| two[1] - two[0] > 32);
    let halves: Vec<u64> = apart.map(|two| u64::midpoint(two[0], two[1])).collect();
    limits.extend(halves);
    (limits, counts)
}
