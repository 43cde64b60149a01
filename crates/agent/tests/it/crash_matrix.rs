//! The crash matrix: every mutating step of every job × three instants of death × every fault, and after the restart the
//! same end: nothing left, nothing foreign touched, one verdict, every mutation carried out at most once.

mod faults;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use felhom_agent::progress::{Event, Progress};
use felhom_agent::runner::Runner;
use felhom_engine::*;
use felhom_ids::GuestKind;
use felhom_simulator::{Fault, FaultKind};

use self::faults::faults_for;
use crate::scene::*;
use crate::support::*;

/// The instant of death.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Death {
    /// The intent is durable, nothing was sent.
    Intended,
    /// The server carried it out; its answer was never read.
    Unread,
    /// The answer was read, and never written down.
    Unwritten,
}

const DEATHS: [Death; 3] = [Death::Intended, Death::Unread, Death::Unwritten];

/// Dies at an instant: unwinding without a trace is as near to a kill as one process can come to another's.
struct Killer {
    /// At which of the job's mutating steps: how often it looks in between depends on how busy the machine is.
    at: Option<(usize, Death)>,
    /// Every mutating step that was begun.
    trace: Mutex<Vec<&'static str>>,
}

impl Killer {
    fn new(at: Option<(usize, Death)>) -> Arc<Self> {
        Arc::new(Self {
            at,
            trace: Mutex::new(vec![]),
        })
    }

    fn kill_at(&self, place: usize, death: Death) {
        if self.at == Some((place, death)) {
            std::panic::resume_unwind(Box::new("killed"));
        }
    }
}

impl Progress for Killer {
    fn event(&self, event: &Event<'_>) {
        match event {
            Event::Intended { step, .. } if step.is_mutation() => {
                let place = {
                    let mut trace = self.trace.lock().unwrap();
                    trace.push(step.name());
                    trace.len()
                };
                self.kill_at(place, Death::Intended);
            }
            Event::Performed { step, .. } if step.is_mutation() => {
                let place = self.trace.lock().unwrap().len();
                self.kill_at(place, Death::Unwritten);
            }
            _ => {}
        }
    }
}

/// The mutating steps of a job's undisturbed run, in order.
async fn trace(subject: Subject, origins: &Origins) -> Vec<&'static str> {
    let bench = origins.bench(subject).await;
    let journal = bench.journal().await;
    let performer = bench.performer();
    let killer = Killer::new(None);
    let job = make(subject, &bench, &journal, origins);
    let runner = Runner {
        journal: &journal,
        performer: &performer,
        progress: &*killer,
    };
    tokio::select! {
        ended = runner.start(job) => drop(ended.unwrap()),
        never = disturb(subject, &bench) => match never {},
    }
    let trace = killer.trace.lock().unwrap().clone();
    bench.world.stop().await.unwrap();
    trace
}

struct Case {
    subject: Subject,
    /// Which of the job's mutating steps, from 1.
    place: usize,
    step: &'static str,
    /// How many earlier steps of the job send a request like this one's.
    earlier: u32,
    death: Death,
    fault: (&'static str, Option<FaultKind>, bool),
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:?}, {} ({}), {:?}, {}",
            self.subject, self.step, self.place, self.death, self.fault.0
        )
    }
}

async fn play(case: &Case, origins: &Origins) -> Result<(), String> {
    let bench = origins.bench(case.subject).await;
    let production = bench.production();
    let counts_before = bench.world.counts();
    let dying_and_rising = async {
        die(case, &bench, origins).await?;
        inject(case, &bench);
        restart(&bench).await.map(drop)
    };
    tokio::select! {
        ended = dying_and_rising => ended?,
        never = disturb(case.subject, &bench) => match never {},
    }
    let judged = check(case, &bench, &production, &counts_before).await;
    bench
        .world
        .stop()
        .await
        .map_err(|error| error.to_string())?;
    judged
}

async fn die(case: &Case, bench: &Bench, origins: &Origins) -> Result<(), String> {
    let journal = bench.journal().await;
    let performer = bench.performer();
    let job = make(case.subject, bench, &journal, origins);
    let killer = Killer::new(Some((case.place, case.death)));
    let (method, path) =
        request_of(case.step, case.subject.kind()).ok_or("no request is known for this step")?;
    if case.death == Death::Unread {
        // An earlier step may use the same path: only the one that dies is held.
        bench.world.inject(Fault {
            count: Some(1),
            skip: case.earlier,
            ..Fault::request(method, path, FaultKind::HoldAnswer)
        });
    }
    let watched = Arc::clone(&killer);
    let task = tokio::spawn(async move {
        let runner = Runner {
            journal: &journal,
            performer: &performer,
            progress: &*watched,
        };
        runner
            .start(job)
            .await
            .map(|job| format!("{:?}", job.findings()))
            .map_err(|error| error.to_string())
    });
    if case.death == Death::Unread {
        eventually("the answer is held", || {
            bench.world.held_answers() == 1 || task.is_finished()
        })
        .await;
        if task.is_finished() {
            return Err(format!(
                "the job ended before it could be killed: {:?}",
                task.await
            ));
        }
        task.abort();
    }
    if let Ok(ended) = task.await {
        return Err(format!("the job was not killed, it ended: {ended:?}"));
    }
    bench.world.release();
    Ok(())
}

fn inject(case: &Case, bench: &Bench) {
    let (_, kind, task) = &case.fault;
    let Some(kind) = kind.clone() else { return };
    if *task {
        bench.world.inject(Fault::task("*", kind));
    } else {
        // The first request after the restart may be a look; the second is hit as well.
        bench.world.inject(Fault {
            count: Some(2),
            skip: 1,
            ..Fault::request("*", "*", kind)
        });
    }
}

async fn check(
    case: &Case,
    bench: &Bench,
    production: &std::collections::BTreeMap<String, serde_json::Value>,
    before: &std::collections::BTreeMap<String, u64>,
) -> Result<(), String> {
    let scratch = bench.scratch_guests();
    if !scratch.is_empty() || !bench.scratch_volumes().is_empty() {
        let told = half_made_and_told(bench).await;
        told.map_err(|error| {
            format!(
                "left behind: {scratch:?} {:?}: {error}",
                bench.scratch_volumes()
            )
        })?;
    }
    let (now, was) = (
        without_guards(bench.production()),
        without_guards(production.clone()),
    );
    if now != was {
        return Err(format!(
            "a production guest was changed: {now:?} was {was:?}"
        ));
    }
    guard_and_snapshot(bench).await?;
    if matches!(case.subject, Subject::Restore | Subject::RestoreUndone) {
        let rows = bench.journal().await.restores(None).await.unwrap();
        let row = rows.first().ok_or("no record of the restore")?;
        restored_or_nothing(bench, &row.report)?;
        sent_or_not(case, row.report.end)?;
    }
    if case.subject == Subject::Golden {
        let config = &bench.world.state()["world"]["guests"][GOLDEN.to_string()]["config"];
        let config = config.as_str().ok_or("there is no golden container")?;
        if !config.contains("keyctl=1") || config.contains("lock:") {
            return Err(format!("no golden container: {config}"));
        }
        let known = bench.journal().await.golden().await;
        if known.map_err(|error| error.to_string())?.len() != 1 {
            return Err("the journal does not know it".into());
        }
    }
    if case.subject == Subject::Verify {
        crate::pbs::verified_or_undetermined(bench, case.fault.0 == "none").await?;
    }
    let verdicts = verdicts(case.subject, bench).await;
    if verdicts != 1 {
        return Err(format!("{verdicts} verdicts"));
    }
    for (what, count) in bench.world.counts() {
        let fresh = count.saturating_sub(before.get(&what).copied().unwrap_or(0));
        // What took effect in the world; requests that were answered with a failure may be sent again.
        let effect = ["vz", "qm", "imgdel"]
            .iter()
            .any(|task| what.starts_with(task));
        if effect && fresh > 1 {
            return Err(format!("`{what}` was carried out {fresh} times"));
        }
    }
    Ok(())
}

/// A restore that was never sent is not carried out by another process; one that was is gone on with.
fn sent_or_not(case: &Case, end: RestoreEnd) -> Result<(), String> {
    let unsent = case.step == "restore-guest" && case.death == Death::Intended;
    let goes_on = case.subject == Subject::Restore && case.fault.0 == "none";
    match end {
        RestoreEnd::Restored if unsent => Err("it was begun after the restart".to_owned()),
        RestoreEnd::Restored => Ok(()),
        other if goes_on && !unsent => Err(format!("it was not gone on with: {other}")),
        _ => Ok(()),
    }
}

/// An open guard in the journal and its snapshot, or neither.
async fn guard_and_snapshot(bench: &Bench) -> Result<(), String> {
    let guards = bench.journal().await.guards().await;
    let guards = guards.map_err(|error| error.to_string())?;
    let snapshots = guard_snapshots(bench, 9001);
    if guards.len() == snapshots {
        return Ok(());
    }
    Err(format!(
        "{snapshots} snapshots, and the journal knows {guards:?}"
    ))
}

/// A destruction that broke off after its volumes were gone leaves a stub locked `destroyed`, which no token can remove, and a
/// restore of a virtual machine that failed leaves one without a mark: then the journal must hold it, with the commands.
async fn half_made_and_told(bench: &Bench) -> Result<(), String> {
    let command = left_to_the_admin(bench, "9100")?;
    let remains = bench
        .journal()
        .await
        .remains()
        .await
        .map_err(|error| error.to_string())?;
    let hint = remains
        .first()
        .and_then(|remains| remains.finding.hint.clone())
        .unwrap_or_default();
    if hint.contains(command) {
        Ok(())
    } else {
        Err(format!("not told: {remains:?}"))
    }
}

async fn verdicts(subject: Subject, bench: &Bench) -> usize {
    let journal = bench.journal().await;
    match subject {
        Subject::Backup | Subject::MachineBackup => journal.backups(None).await.unwrap().len(),
        Subject::RestoreTest | Subject::FloorReached | Subject::MachineTest => {
            journal.tests(None).await.unwrap().len()
        }
        Subject::Restore | Subject::RestoreUndone => journal.restores(None).await.unwrap().len(),
        _ => usize::from(journal.unfinished().await.unwrap().is_empty()),
    }
}

/// Every case there is; each mutation has one.
async fn cases(origins: &Origins) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut covered = BTreeSet::new();
    for subject in SUBJECTS {
        let trace = trace(subject, origins).await;
        for (before, step) in trace.iter().copied().enumerate() {
            covered.insert(step);
            let request = |step| request_of(step, subject.kind());
            let like = |other: &&&'static str| request(other) == request(step);
            let earlier = u32::try_from(trace[..before].iter().filter(like).count()).unwrap();
            for death in DEATHS {
                for fault in faults_for(subject) {
                    cases.push(Case {
                        subject,
                        place: before + 1,
                        step,
                        earlier,
                        death,
                        fault,
                    });
                }
            }
        }
    }
    let missing: Vec<_> = Mutation::NAMES
        .iter()
        .filter(|name| !covered.contains(*name))
        .collect();
    assert!(missing.is_empty(), "mutations without a case: {missing:?}");
    cases
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_crash_anywhere_the_same_end_is_reached() {
    let origins = Arc::new(Origins::prepare().await);
    let mut cases = cases(&origins).await;
    let only = std::env::var("FELHOM_CRASH_ONLY").unwrap_or_default();
    cases.retain(|case| case.to_string().contains(&only));
    let total = cases.len();
    let played = side_by_side((6, Duration::from_mins(1)), cases, |case| {
        let origins = Arc::clone(&origins);
        async move { play(&case, &origins).await }
    });
    let failures: Vec<String> = played
        .await
        .into_iter()
        .filter_map(|(case, result)| Some(format!("{case}: {}", result.err()?)))
        .collect();
    tell(&format!(
        "crash matrix: {total} cases, {} failed",
        failures.len()
    ));
    assert!(
        failures.is_empty(),
        "{} of {total} failed:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

#[test]
fn every_mutation_has_a_request_to_hold() {
    for name in Mutation::NAMES {
        assert!(request_of(name, GuestKind::Lxc).is_some(), "{name}");
    }
}
