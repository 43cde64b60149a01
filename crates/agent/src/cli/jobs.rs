//! Performing jobs for the command line: a new one, one that was interrupted, or one only as far as reading goes.

use std::future::Future;

use felhom_engine::{InstallationId, Job, JobId, Principal, Timestamp};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::context::{Context, engine_failure, journal_failure, pve_failure};
use super::terminal::Terminal;
use crate::clock;
use crate::exit::{Exit, Failure};
use crate::journal::{Journal, Unfinished};
use crate::perform::Performer;
use crate::runner::{RunError, Runner};

/// The code of the failure of a job that waits in the journal.
pub(crate) const WAITS: &str = "waits";
/// The code of the failure of a job that a person, or the service manager, broke off.
pub(crate) const INTERRUPTED: &str = "interrupted";

/// A name for a new job.
pub(crate) fn new_job_id() -> Result<JobId, Failure> {
    random_u64().map(JobId::from_bits)
}

pub(crate) fn random_u64() -> Result<u64, Failure> {
    clock::random::<8>()
        .map(u64::from_be_bytes)
        .map_err(|error| Failure::new(Exit::Unexpected, "randomness", error.to_string()))
}

/// Stands for "no journal yet" where nothing is changed and a plan has to name an installation.
pub(crate) fn no_installation() -> InstallationId {
    InstallationId::unnamed()
}

pub(crate) fn now() -> Timestamp {
    clock::now()
}

/// What is said of an interrupted job, before it is gone on with and where that is only planned.
pub(crate) fn resumption(job: &Job) -> String {
    format!(
        "go on with {} of {} ({}), which was interrupted",
        job.kind_name(),
        job.subject(),
        job.id
    )
}

/// Who has interrupted jobs gone on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AskedBy {
    /// A person, who sees what comes of it.
    Person,
    /// A timer, which would do so again and again.
    Timer,
}

/// What is said of a job that nobody goes on with unasked.
pub(crate) fn set_aside(one: &Unfinished) -> String {
    format!(
        "{} of {} ({}) is left aside: the program was cut off {} times in a row while it went on with it; `felhom-agent restore-test reap` goes on with it",
        one.job.kind_name(),
        one.job.subject(),
        one.job.id,
        one.cut_off
    )
}

/// Goes on with every job that did not end; returns those that came to their end, in the order they were begun. One that has
/// to wait for something stands in nobody else's way: it is told, and stays in the journal. So does, for a timer, one that
/// every process was cut off by.
pub(crate) async fn resume_interrupted(
    context: &Context,
    journal: &Journal,
    performer: &Performer,
    asked: AskedBy,
) -> Result<Vec<Job>, Failure> {
    let unfinished = journal
        .unfinished()
        .await
        .map_err(|error| journal_failure(&error))?;
    let mut ended = Vec::new();
    for one in unfinished {
        if asked == AskedBy::Timer && one.is_stuck() {
            context.printer.narrate(&set_aside(&one));
            continue;
        }
        context.printer.narrate(&resumption(&one.job));
        let subject = one.job.subject();
        match resume(context, journal, performer, one).await {
            Ok(job) => ended.push(job),
            Err(failure) if failure.code == WAITS => {
                context
                    .printer
                    .narrate(&format!("{subject}: {}", failure.message));
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(ended)
}

async fn resume(
    context: &Context,
    journal: &Journal,
    performer: &Performer,
    one: Unfinished,
) -> Result<Job, Failure> {
    let fail = |error| journal_failure(&error);
    let id = one.job.id.clone();
    let terminal = Terminal::new(context.printer.clone());
    let runner = Runner {
        journal,
        performer,
        progress: &terminal,
    };
    journal.begin_resumption(&id).await.map_err(fail)?;
    let resumed = interruptible(runner.resume(one)).await;
    let noted = journal.end_resumption(&id).await.map_err(fail);
    let job = resumed?;
    noted.map(|()| job)
}

/// Refuses to change anything where more than one node could: two agents would not see each other's locks.
pub(crate) async fn single_node(performer: &Performer) -> Result<(), Failure> {
    let nodes = performer
        .remotes()
        .of(Principal::Agent)
        .nodes()
        .await
        .map_err(|error| pve_failure(&error))?;
    match nodes.len() {
        1 => Ok(()),
        count => Err(Failure::new(
            Exit::Refused,
            "cluster",
            format!("the cluster has {count} nodes; only single nodes are supported"),
        )),
    }
}

/// Performs a new job to its end.
pub(crate) async fn perform(
    context: &Context,
    journal: &Journal,
    performer: &Performer,
    job: Job,
) -> Result<Job, Failure> {
    let terminal = Terminal::new(context.printer.clone());
    let runner = Runner {
        journal,
        performer,
        progress: &terminal,
    };
    interruptible(runner.start(job)).await
}

/// Looks as far as reading goes.
pub(crate) async fn rehearse(
    context: &Context,
    performer: &Performer,
    job: Job,
) -> Result<Job, Failure> {
    let terminal = Terminal::new(context.printer.clone());
    interruptible(Runner::rehearse(performer, &terminal, job)).await
}

/// Ends early when the person says so: the journal holds the job, and the remote task, if one runs, runs on.
async fn interruptible(work: impl Future<Output = Result<Job, RunError>>) -> Result<Job, Failure> {
    tokio::select! {
        result = work => result.map_err(|error| run_failure(&error)),
        () = told_to_stop() => Err(Failure::new(
            Exit::Undetermined,
            INTERRUPTED,
            "interrupted; the job is in the journal, and a task that was started on the server goes on there",
        )
        .hint("`felhom-agent restore-test reap` goes on with it and cleans up")),
    }
}

/// Returns when somebody types ctrl-c, or the service manager ends the program.
async fn told_to_stop() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        drop(tokio::signal::ctrl_c().await);
        return;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

/// Whether somebody wants the program to end, asked between two jobs.
pub(crate) struct StopSign {
    signals: Vec<Signal>,
}

impl StopSign {
    /// Watches from now on.
    pub(crate) fn watch() -> Self {
        let kinds = [SignalKind::terminate(), SignalKind::interrupt()];
        let signals = kinds.into_iter().filter_map(|kind| signal(kind).ok());
        Self {
            signals: signals.collect(),
        }
    }

    /// Whether it was told since.
    pub(crate) fn is_shown(&mut self) -> bool {
        let mut nobody = std::task::Context::from_waker(std::task::Waker::noop());
        let mut signals = self.signals.iter_mut();
        signals.any(|signal| signal.poll_recv(&mut nobody).is_ready())
    }
}

fn run_failure(error: &RunError) -> Failure {
    match error {
        RunError::Journal(error) => journal_failure(error),
        RunError::Paused(cause) => {
            let mut failure = engine_failure(cause);
            failure.code = WAITS;
            failure.message = error.to_string();
            failure
                .hint("the job is in the journal; `felhom-agent restore-test reap` goes on with it")
        }
    }
}
