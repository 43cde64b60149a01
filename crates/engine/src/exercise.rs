//! A reversible exercise against the live host: snapshot a guest, find the snapshot, remove it again.
//!
//! Removed is only a snapshot of the journaled name whose description carries our mark.

use std::time::Duration;

use felhom_ids::{SnapshotName, Upid, Vmid};
use serde::{Deserialize, Serialize};

use crate::finding::{Finding, codes};
use crate::job::Next;
use crate::mark::Mark;
use crate::mutating::{Ended, Mutating};
use crate::mutation::Mutation;
use crate::outcome::{ErrorClass, Outcome, RemoteError};
use crate::step::{Observe, Step};
use crate::time::Timestamp;
use crate::world::SnapshotFacts;

/// How the exercise ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExerciseReport {
    /// The guest.
    pub vmid: Vmid,
    /// The snapshot's name.
    pub snapshot: SnapshotName,
    /// Whether the snapshot was made, seen and removed.
    pub done: bool,
    /// Why not.
    pub reason: Option<String>,
    /// What kind of trouble a remote gave.
    pub trouble: Option<ErrorClass>,
    /// The tasks, in order.
    pub upids: Vec<Upid>,
    /// What a person should know.
    pub findings: Vec<Finding>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    Looking,
    Creating(Box<Mutating>),
    Created,
    Deleting(Box<Mutating>),
    Deleted,
    Finished,
}

/// The exercise on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExerciseJob {
    mark: Mark,
    no_progress: Duration,
    settle: Duration,
    state: State,
    report: ExerciseReport,
    tries: u8,
    deletes: u8,
    not_before: Option<Timestamp>,
    #[serde(default)]
    paused: Option<RemoteError>,
    /// Why the last removal never happened.
    #[serde(default)]
    unsent: Option<RemoteError>,
}

const MAX_TRIES: u8 = 4;
/// A removal that failed is tried again, because a snapshot left behind grows.
const MAX_DELETES: u8 = 3;

impl ExerciseJob {
    /// An exercise on the guest of the mark, with a snapshot of this name.
    pub fn new(
        mark: Mark,
        snapshot: SnapshotName,
        no_progress: Duration,
        settle: Duration,
    ) -> Self {
        let report = ExerciseReport {
            vmid: mark.vmid,
            snapshot,
            done: false,
            reason: None,
            trouble: None,
            upids: Vec::new(),
            findings: Vec::new(),
        };
        Self {
            mark,
            no_progress,
            settle,
            state: State::Looking,
            report,
            tries: 0,
            deletes: 0,
            not_before: None,
            paused: None,
            unsent: None,
        }
    }

    /// The guest.
    pub fn vmid(&self) -> Vmid {
        self.report.vmid
    }

    /// The record, when the job has ended.
    pub fn report(&self) -> Option<&ExerciseReport> {
        matches!(self.state, State::Finished).then_some(&self.report)
    }

    pub(crate) fn findings(&self) -> &[Finding] {
        &self.report.findings
    }

    pub(crate) fn resume(&mut self) {
        self.tries = 0;
        self.not_before = None;
        self.paused = None;
        if let State::Creating(mutating) | State::Deleting(mutating) = &mut self.state {
            mutating.resume();
        }
    }

    pub(crate) fn next(&self, now: Timestamp) -> Next {
        if let Some(error) = &self.paused {
            return Next::Pause(error.clone());
        }
        if let Some(until) = self.not_before.filter(|until| until.is_ahead_of(now)) {
            return Next::Wait {
                until,
                reason: "before looking again".into(),
            };
        }
        match &self.state {
            State::Looking | State::Created | State::Deleted => self.look(),
            // Right before the call, or not at all.
            State::Deleting(mutating) if mutating.is_stale() => match mutating.next(now) {
                wait @ Next::Wait { .. } => wait,
                Next::Do(_) | Next::Pause(_) | Next::Done => self.look(),
            },
            State::Creating(mutating) | State::Deleting(mutating) => mutating.next(now),
            State::Finished => Next::Done,
        }
    }

    fn look(&self) -> Next {
        Next::Do(Step::Observe(Observe::Snapshots {
            vmid: self.report.vmid,
        }))
    }

    pub(crate) fn record(&mut self, now: Timestamp, outcome: Outcome) {
        self.not_before = None;
        if let State::Deleting(mutating) = &self.state
            && mutating.is_stale()
            && !matches!(outcome, Outcome::Sent(_))
        {
            self.unsent = mutating.unsent().cloned();
            self.state = State::Deleted;
        }
        match (&mut self.state, outcome) {
            (State::Creating(mutating) | State::Deleting(mutating), outcome) => {
                mutating.record(now, outcome);
                if let Some(ended) = mutating.ended().cloned() {
                    self.report.upids.extend(mutating.upid().cloned());
                    self.acted(&ended);
                }
            }
            (State::Looking | State::Created | State::Deleted, Outcome::Snapshots(all)) => {
                self.tries = 0;
                self.looked(&all);
            }
            (State::Looking | State::Created | State::Deleted, Outcome::Failed(error)) => {
                self.look_failed(now, &error);
            }
            _ => {}
        }
    }

    fn looked(&mut self, all: &[SnapshotFacts]) {
        let found = all
            .iter()
            .find(|snapshot| snapshot.name == self.report.snapshot);
        match (&self.state, found) {
            (State::Looking, None) => {
                let description = format!("felhom-agent selftest\n{}", self.mark);
                let (vmid, name) = (self.report.vmid, self.report.snapshot.clone());
                self.state = State::Creating(self.mutating(Mutation::Snapshot {
                    vmid,
                    name,
                    description,
                }));
            }
            (State::Looking, Some(_)) => self.give_up("a snapshot of that name is there already"),
            (State::Created, Some(snapshot)) if self.is_ours(snapshot) => self.delete(),
            (State::Created, Some(_)) => {
                self.give_up("the snapshot does not carry our mark; it is left alone");
            }
            (State::Created, None) => {
                let why = self.report.reason.take();
                self.give_up(
                    why.as_deref()
                        .unwrap_or("the task was OK, but there is no snapshot"),
                );
            }
            (State::Deleted, None) => {
                self.report.done = self.report.reason.is_none();
                self.state = State::Finished;
            }
            (State::Deleted, Some(snapshot))
                if self.is_ours(snapshot) && self.deletes < MAX_DELETES =>
            {
                self.report.reason = None;
                self.delete();
            }
            (State::Deleted, Some(_)) if self.unsent.is_some() => {
                // Nobody listens: the job stays until somebody does.
                self.deletes = 0;
                self.paused = self.unsent.take();
            }
            (State::Deleted, Some(_)) => {
                let subject = format!("guest {}", self.report.vmid);
                let detail = format!("snapshot `{}` could not be removed", self.report.snapshot);
                let hint = format!(
                    "pct delsnapshot {} {}",
                    self.report.vmid, self.report.snapshot
                );
                self.report
                    .findings
                    .push(Finding::new(codes::CLEAN_UP_INCOMPLETE, subject, detail).hint(hint));
                self.give_up("the snapshot is still there");
            }
            (State::Creating(_) | State::Deleting(_) | State::Finished, _) => {}
        }
    }

    fn delete(&mut self) {
        self.unsent = None;
        self.deletes = self.deletes.saturating_add(1);
        let (vmid, name) = (self.report.vmid, self.report.snapshot.clone());
        self.state = State::Deleting(self.mutating(Mutation::DeleteSnapshot { vmid, name }));
    }

    fn is_ours(&self, snapshot: &SnapshotFacts) -> bool {
        snapshot
            .description
            .as_deref()
            .and_then(Mark::find)
            .as_ref()
            == Some(&self.mark)
    }

    fn mutating(&self, mutation: Mutation) -> Box<Mutating> {
        Box::new(Mutating::new(mutation, self.no_progress, self.settle))
    }

    fn acted(&mut self, ended: &Ended) {
        if let Ended::Refused(error) = ended {
            self.report.trouble = Some(error.class);
        }
        let reason = self.report.reason.take();
        self.report.reason = reason.or_else(|| ended.trouble());
        // Whatever the task said, only the list says whether there is a snapshot to remove.
        self.state = if matches!(self.state, State::Creating(_)) {
            State::Created
        } else {
            State::Deleted
        };
    }

    fn look_failed(&mut self, now: Timestamp, error: &RemoteError) {
        self.tries = self.tries.saturating_add(1);
        if self.tries < MAX_TRIES && error.class.is_transient() {
            self.not_before = Some(now.plus(Duration::from_millis(250 << self.tries)));
        } else if !matches!(self.state, State::Looking) && error.class != ErrorClass::NotFound {
            // There may be a snapshot of ours on somebody's guest: the job stays until it can be looked for.
            self.tries = 0;
            self.paused = Some(error.clone());
        } else {
            self.report.trouble = Some(error.class);
            self.give_up(&error.text);
        }
    }

    fn give_up(&mut self, why: &str) {
        self.report.reason.get_or_insert_with(|| why.to_owned());
        self.state = State::Finished;
    }
}
