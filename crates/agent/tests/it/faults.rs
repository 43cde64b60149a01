//! The fault matrix: every step of every job × everything that can go wrong there, and in each case the end that is due:
//! the right verdict, or an honest "could not" or "cannot say"; nothing done twice, nothing left, nobody else's touched.

mod disk_full;
mod drawn;
mod guard;
mod oracle;
mod schedules;
mod trouble;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use felhom_agent::progress::{Event, Progress};
use felhom_agent::runner::Runner;
use felhom_engine::*;
use felhom_ids::GuestKind;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::block_in_place;

use crate::scene::*;
use crate::support::*;
use oracle::{Before, End, check, due, end_of, why};
use trouble::{Trouble, accompany, begin, mend};

/// The jobs of the matrix. A floor that is reached is trouble by itself.
const JOBS: [Subject; 14] = [
    Subject::Backup,
    Subject::RestoreTest,
    Subject::MachineBackup,
    Subject::MachineTest,
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
];

/// One trouble at one step of one job.
#[derive(Debug, Clone)]
struct Case {
    subject: Subject,
    seq: i64,
    step: &'static str,
    trouble: Trouble,
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            subject,
            seq,
            step,
            trouble,
        } = self;
        write!(f, "{subject:?}, {step} ({seq}), {trouble:?}")
    }
}

/// Writes down every step of a job.
#[derive(Default)]
struct Scribe(Mutex<Vec<(i64, Step)>>);

impl Progress for Scribe {
    fn event(&self, event: &Event<'_>) {
        if let Event::Intended { seq, step } = event {
            self.0.lock().unwrap().push((*seq, (*step).clone()));
        }
    }
}

/// Brings a trouble about right before one step.
struct Saboteur<'a> {
    case: &'a Case,
    bench: &'a Bench,
    begun: AtomicBool,
    noticed: Notify,
}

impl Progress for Saboteur<'_> {
    fn event(&self, event: &Event<'_>) {
        let Event::Intended { seq, step } = event else {
            return;
        };
        if *seq == self.case.seq && !self.begun.swap(true, Ordering::Relaxed) {
            // The trouble must be there before the step is performed.
            block_in_place(|| {
                Handle::current().block_on(begin(self.case.trouble, step, self.bench));
            });
            self.noticed.notify_one();
        }
    }
}

/// The steps of a job's undisturbed run, in order.
async fn steps(subject: Subject, origins: &Origins) -> Vec<(i64, Step)> {
    let bench = origins.bench(subject).await;
    let journal = bench.journal().await;
    let performer = bench.performer();
    let scribe = Scribe::default();
    let runner = Runner {
        journal: &journal,
        performer: &performer,
        progress: &scribe,
    };
    let job = runner
        .start(make(subject, &bench, &journal, origins))
        .await
        .unwrap();
    assert_eq!(end_of(&job), End::Right, "{subject:?} undisturbed");
    bench.world.stop().await.unwrap();
    scribe.0.into_inner().unwrap()
}

async fn cases(origins: &Origins) -> Vec<Case> {
    let mut cases = Vec::new();
    for subject in JOBS {
        for (seq, step) in steps(subject, origins).await {
            // What virtual machines have in common with containers is tormented with these.
            let of_machine = step.is_mutation() || step.name() == "gather-evidence";
            if subject.kind() == GuestKind::Qemu && !of_machine {
                continue;
            }
            let troubles = Trouble::ALL.into_iter().filter(|one| one.hits(&step));
            cases.extend(troubles.map(|trouble| Case {
                subject,
                seq,
                step: step.name(),
                trouble,
            }));
        }
    }
    cases
}

/// Performs the job with its trouble until it ends; an admin mends what does not end by itself.
async fn play(case: &Case, origins: &Origins) -> Result<(End, String), String> {
    let bench = origins.bench(case.subject).await;
    let before = Before::look(&bench);
    let first = disturbed(case, &bench, origins).await;
    mend(case.trouble, &bench).await;
    let ended = match first? {
        Some(job) => job,
        None => restart(&bench)
            .await?
            .ok_or("it neither ended nor waited")?,
    };
    let end = end_of(&ended);
    let judged = check(&ended, &before, &bench).await;
    let stopped = bench.world.stop().await;
    stopped.map_err(|error| error.to_string())?;
    judged.map(|()| (end, why(&ended)))
}

/// The first run; `None` when the job waits for something.
async fn disturbed(case: &Case, bench: &Bench, origins: &Origins) -> Result<Option<Job>, String> {
    let journal = bench.journal().await;
    let performer = bench.performer();
    let saboteur = Saboteur {
        case,
        bench,
        begun: AtomicBool::new(false),
        noticed: Notify::new(),
    };
    let job = make(case.subject, bench, &journal, origins);
    let runner = Runner {
        journal: &journal,
        performer: &performer,
        progress: &saboteur,
    };
    let beside = async {
        saboteur.noticed.notified().await;
        accompany(case.trouble, bench).await;
    };
    let mut beside = std::pin::pin!(beside);
    let mut over = false;
    let running = runner.start(job);
    let mut running = std::pin::pin!(running);
    let first = loop {
        tokio::select! {
            first = &mut running => break first,
            () = &mut beside, if !over => over = true,
        }
    };
    if !saboteur.begun.load(Ordering::Relaxed) {
        return Err("the step was never reached".into());
    }
    if !over {
        beside.await;
    }
    Ok(first.ok())
}

/// How often each trouble led to which end.
#[derive(Default)]
struct Tally(BTreeMap<Trouble, BTreeMap<End, u32>>);

impl Tally {
    fn print(&self, total: usize) {
        let lines = self
            .0
            .iter()
            .map(|(trouble, ends)| format!("\n  {trouble:?}: {ends:?}"));
        tell(&format!(
            "fault matrix: {total} cases{}",
            lines.collect::<String>()
        ));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_goes_wrong_at_any_step_ends_as_it_should() {
    let origins = Arc::new(Origins::prepare().await);
    let mut cases = cases(&origins).await;
    let only = std::env::var("FELHOM_FAULT_ONLY").unwrap_or_default();
    cases.retain(|case| case.to_string().contains(&only));
    let total = cases.len();
    let played = side_by_side((8, Duration::from_mins(1)), cases, |case| {
        let origins = Arc::clone(&origins);
        async move { play(&case, &origins).await }
    });
    let (mut tally, mut failures) = (Tally::default(), Vec::new());
    for (case, result) in played.await {
        match result {
            Err(error) => failures.push(format!("{case}: {error}")),
            Ok((end, why)) => {
                *tally
                    .0
                    .entry(case.trouble)
                    .or_default()
                    .entry(end)
                    .or_default() += 1;
                let due = if case.subject.is_guard() {
                    guard::due(case.trouble, case.step)
                } else {
                    due(case.trouble, case.step)
                };
                if !due.contains(&end) {
                    failures.push(format!("{case}: ended {end:?}, due is {due:?}: {why}"));
                }
            }
        }
    }
    tally.print(total);
    failures.sort();
    assert!(
        failures.is_empty(),
        "{} of {total} failed:\n{}",
        failures.len(),
        failures.join("\n")
    );
}
