//! The one loop: ask the engine for a step, write the intent down, perform it, write down what became of it.

use std::time::Duration;

use felhom_engine::{
    ErrorClass, Job, JobKind, Next, Outcome, RemoteError, RestoreTestJob, Sent, Timestamp, Verdict,
};

use crate::clock;
use crate::journal::{Journal, JournalError, Remains, Unfinished};
use crate::perform::Performer;
use crate::progress::{Event, Progress};

/// A job did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The journal failed; nothing more is done.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The job waits for something to be mended, and goes on at the next start.
    #[error("the job waits: {}", .0.text)]
    Paused(RemoteError),
}

/// Performs jobs.
pub struct Runner<'a> {
    /// Where intents and outcomes go.
    pub journal: &'a Journal,
    /// Who acts.
    pub performer: &'a Performer,
    /// Who listens.
    pub progress: &'a dyn Progress,
}

impl Runner<'_> {
    /// Writes a new job down and performs it to its end.
    ///
    /// # Errors
    /// When the journal fails, or the job has to pause.
    pub async fn start(&self, job: Job) -> Result<Job, RunError> {
        self.journal.insert(&job).await?;
        tracing::info!(job.id = %job.id, job.kind = job.kind_name(), subject = job.subject(), "job begun");
        self.run(job, 0).await
    }

    /// Goes on with a job that did not end.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn resume(&self, unfinished: Unfinished) -> Result<Job, RunError> {
        let Unfinished {
            mut job,
            next_seq,
            mutation_pending,
            cut_off: _,
        } = unfinished;
        tracing::info!(job.id = %job.id, job.kind = job.kind_name(), "job resumed");
        job.resume();
        if mutation_pending {
            // The request may have left: nobody knows, so it counts as lost and is looked for.
            let lost = Outcome::Sent(Sent::Lost(RemoteError {
                class: ErrorClass::Local,
                text: "the program ended before the answer was written down".to_owned(),
            }));
            job.record(clock::now(), lost);
            let seq = next_seq.saturating_sub(1);
            self.journal
                .conclude(&job, seq, "lost with the process", clock::now())
                .await?;
        }
        self.run(job, next_seq).await
    }

    async fn run(&self, mut job: Job, mut seq: i64) -> Result<Job, RunError> {
        let mut planned = 0;
        loop {
            for line in job.planning().iter().skip(planned) {
                self.progress.event(&Event::Planned(line));
            }
            planned = job.planning().len();
            match job.next(clock::now()) {
                Next::Do(step) => {
                    self.journal
                        .intend(&job.id, seq, &step, clock::now())
                        .await?;
                    self.progress.event(&Event::Intended { seq, step: &step });
                    let outcome = Box::pin(self.performer.perform(&step, self.progress)).await;
                    self.progress.event(&Event::Performed {
                        seq,
                        step: &step,
                        outcome: &outcome,
                    });
                    let told = describe(&outcome);
                    tracing::debug!(job.id = %job.id, step = step.name(), outcome = told, "step performed");
                    job.record(clock::now(), outcome);
                    self.journal.conclude(&job, seq, told, clock::now()).await?;
                    self.progress.event(&Event::Concluded { seq });
                    seq = seq.saturating_add(1);
                }
                Next::Wait { until, reason } => {
                    self.progress.event(&Event::Waiting(&reason));
                    wait_until(until).await;
                }
                Next::Pause(error) => return Err(RunError::Paused(error)),
                Next::Done => {
                    self.finish(&job).await?;
                    return Ok(job);
                }
            }
        }
    }

    async fn finish(&self, job: &Job) -> Result<(), RunError> {
        let now = clock::now();
        match &job.kind {
            JobKind::Backup(backup) => {
                if let Some(report) = backup.report() {
                    self.journal.finish_backup(job, report, now).await?;
                }
            }
            JobKind::RestoreTest(test) => self.finish_test(job, test, now).await?,
            JobKind::RestoreRun(restore) => {
                if let Some(report) = restore.report() {
                    self.journal.finish_restore(job, report, now).await?;
                }
            }
            JobKind::Guard(guard) => {
                if let Some(report) = guard.report() {
                    self.journal.finish_guard(job, report, now).await?;
                }
            }
            JobKind::Verify(verify) => {
                if let Some(report) = verify.report() {
                    self.journal.finish_verify(job, report, now).await?;
                }
            }
            JobKind::Golden(golden) => {
                if let Some(report) = golden.report() {
                    self.journal.finish_golden(job, report, now).await?;
                }
            }
            JobKind::Exercise(_) | JobKind::Prune(_) => {
                self.journal.finish_job(job, now).await?;
            }
            JobKind::Reap(reap) => {
                if let Some(report) = reap.report() {
                    let remains = report
                        .findings
                        .first()
                        .filter(|_| !report.gone)
                        .map(|finding| Remains {
                            leftover: reap.leftover(),
                            finding: finding.clone(),
                        });
                    self.journal
                        .finish_reap(job, report.vmid, remains.as_ref(), now)
                        .await?;
                }
            }
        }
        self.journal.settle().await;
        tracing::info!(job.id = %job.id, job.kind = job.kind_name(), "job ended");
        Ok(())
    }

    async fn finish_test(
        &self,
        job: &Job,
        test: &RestoreTestJob,
        now: Timestamp,
    ) -> Result<(), RunError> {
        let Some(report) = test.report() else {
            return Ok(());
        };
        let remains = test.remains().and_then(|leftover| {
            let subject = format!("scratch {}", leftover.mark.vmid);
            let finding = report
                .findings
                .iter()
                .find(|finding| finding.subject == subject)?
                .clone();
            Some(Remains { leftover, finding })
        });
        self.journal
            .finish_test(job, report, remains.as_ref(), now)
            .await?;
        log_verdict(report.judgement.verdict, job);
        Ok(())
    }

    /// Looks as far as reading goes, and stops before the first change: what a job would do.
    ///
    /// # Errors
    /// When the job has to pause.
    pub async fn rehearse(
        performer: &Performer,
        progress: &dyn Progress,
        mut job: Job,
    ) -> Result<Job, RunError> {
        loop {
            match job.next(clock::now()) {
                Next::Do(step @ felhom_engine::Step::Observe(_)) => {
                    let outcome = Box::pin(performer.perform(&step, progress)).await;
                    job.record(clock::now(), outcome);
                }
                Next::Do(_) | Next::Wait { .. } | Next::Done => return Ok(job),
                Next::Pause(error) => return Err(RunError::Paused(error)),
            }
        }
    }
}

fn log_verdict(verdict: Verdict, job: &Job) {
    match verdict {
        Verdict::Passed => {
            tracing::info!(job.id = %job.id, verdict = %verdict, "restore test ended");
        }
        Verdict::Failed | Verdict::Error | Verdict::Unverified => {
            tracing::warn!(job.id = %job.id, verdict = %verdict, "restore test ended");
        }
    }
}

async fn wait_until(until: Timestamp) {
    let left = until.since(clock::now());
    // A step of the clock must not make a wait of minutes out of one of milliseconds.
    tokio::time::sleep(left.min(Duration::from_secs(30))).await;
}

/// What the journal keeps of an outcome: its kind, never its payload.
fn describe(outcome: &Outcome) -> &'static str {
    use felhom_engine::{Followed, TaskVerdict};
    match outcome {
        Outcome::Failed(error) => match error.class {
            ErrorClass::Unreachable => "failed: unreachable",
            ErrorClass::Untrusted => "failed: not the pinned one",
            ErrorClass::Unauthorized => "failed: unauthorized",
            ErrorClass::Forbidden => "failed: forbidden",
            ErrorClass::NotFound => "failed: not found",
            ErrorClass::Locked => "failed: locked",
            ErrorClass::Refused => "failed: refused",
            ErrorClass::Garbage => "failed: garbage",
            ErrorClass::Local => "failed: local",
        },
        Outcome::Sent(Sent::Started(_)) => "started",
        Outcome::Sent(Sent::Done) => "done",
        Outcome::Sent(Sent::Refused(_)) => "refused",
        Outcome::Sent(Sent::NotSent(_)) => "not sent",
        Outcome::Sent(Sent::Lost(_)) => "answer lost",
        Outcome::Found { upid: Some(_), .. } => "task found",
        Outcome::Found { upid: None, .. } => "no task found",
        Outcome::Followed(Followed::Ended { verdict, .. }) => match verdict {
            TaskVerdict::Succeeded => "task succeeded",
            TaskVerdict::Warnings(_) => "task succeeded with warnings",
            TaskVerdict::Failed(_) => "task failed",
            TaskVerdict::Undetermined(_) => "task undetermined",
        },
        Outcome::Followed(Followed::Tripped { .. }) => "guard tripped",
        Outcome::Followed(Followed::Stuck { .. }) => "no progress",
        Outcome::BackupSubject(_)
        | Outcome::BackupResult(_)
        | Outcome::ArchiveContent(_)
        | Outcome::TestSubject(_)
        | Outcome::Scratch(_)
        | Outcome::RestoreSubject(_)
        | Outcome::PbsSnapshots(_)
        | Outcome::Restored(_)
        | Outcome::Evidence(_)
        | Outcome::Archive(_)
        | Outcome::Archives(_)
        | Outcome::Snapshots(_)
        | Outcome::GuardSubject(_)
        | Outcome::Tasks(_) => "seen",
    }
}
