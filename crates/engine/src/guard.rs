//! A snapshot as a lease: made before somebody changes a guest, and removed when the change is confirmed; rolled back to
//! when it is not, by a person's word or, where the guard was begun so, when its time is over.
//!
//! Removed and rolled back to is only the snapshot of the journaled name whose description carries our mark, read right
//! before. A rollback destroys what came after the snapshot: it is asked for only by the process in which it was decided,
//! and once more only when it is proven that the first did nothing.

mod age;
mod begin;
mod open;
mod preflight;
mod proof;
mod removal;
mod rolling;
mod standing;

use std::time::Duration;

use felhom_ids::{Upid, Vmid};
use serde::{Deserialize, Serialize};

use crate::finding::Finding;
use crate::job::Next;
use crate::mutating::{Ended, Mutating};
use crate::mutation::Mutation;
use crate::outcome::{ErrorClass, Outcome, RemoteError, TaskVerdict};
use crate::step::{Observe, Step};
use crate::time::Timestamp;
use crate::world::GuardSubject;

pub use age::{Age, Past, Reading};
pub use open::{
    GuardEnd, GuardPhase, GuardPolicy, OnExpiry, OnMaxAge, OpenGuard, ParsePolicyError,
};
pub use standing::{GuardDue, GuardStanding, guard_standing};

use preflight::Refused;
use proof::{Attempt, Before};

/// What a guard's job is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GuardPurpose {
    /// Snapshot the guest and open the guard.
    Begin,
    /// A person is content: remove the snapshot.
    Confirm,
    /// A person is not: roll back.
    Abort,
    /// Nobody said anything in time: roll back, when every clock says so.
    Expire,
    /// The guard has ended: remove the snapshot.
    Remove,
}

/// How a guard's job ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardReport {
    /// What was to be done.
    pub purpose: GuardPurpose,
    /// How it ended.
    pub end: GuardEnd,
    /// Why, where it is not what was asked for.
    pub reasons: Vec<String>,
    /// What kind of trouble stood in the way.
    pub trouble: Option<ErrorClass>,
    /// Whether a task of Proxmox VE failed.
    pub task_failed: bool,
    /// The tasks, in order.
    pub upids: Vec<Upid>,
    /// What a person should know.
    pub findings: Vec<Finding>,
    /// The guard as it was; as it is, where it stays open.
    pub guard: OpenGuard,
    /// Whether the guard stays in the journal.
    pub stays: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    /// Nothing was done yet.
    Looking,
    Snapshotting(Box<Mutating>),
    /// Whether there is a snapshot, whatever its task said.
    Verifying,
    RollingBack(Box<Mutating>),
    /// Whether a rollback that did not end well did anything.
    Doubting(Attempt),
    /// Whether the guest is as a rollback leaves it.
    Settling,
    Deleting(Box<Mutating>),
    Deleted,
    Finished,
}

/// One step in a guard's life, on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardJob {
    policy: GuardPolicy,
    state: State,
    report: GuardReport,
    planning: Vec<String>,
    /// The guest right before a rollback.
    before: Option<Before>,
    /// Whether a snapshot's task said that all is well.
    vouched: bool,
    /// Whether the process was restarted since the job began.
    interrupted: bool,
    /// How the guard ends when its snapshot is gone.
    closing: GuardEnd,
    /// Why the last request never left.
    unsent: Option<RemoteError>,
    tries: u8,
    sends: u8,
    losses: u8,
    deletes: u8,
    looks: u8,
    not_before: Option<Timestamp>,
    paused: Option<RemoteError>,
}

const MAX_TRIES: u8 = 4;
/// A removal that failed is tried again, because a snapshot left behind grows.
const MAX_DELETES: u8 = 3;
/// How often a request that certainly did not happen is decided and sent again.
const MAX_SENDS: u8 = 4;
/// A rollback whose answer was lost, and that is proven not to have happened, is asked for once more.
const MAX_LOSSES: u8 = 1;

impl GuardJob {
    /// A guard that is to be opened: `guard` says what is asked for, the rest is filled in when the snapshot is there.
    pub fn begin(guard: OpenGuard, policy: GuardPolicy) -> Self {
        Self::of(GuardPurpose::Begin, guard, policy, GuardEnd::Failed)
    }

    /// The end of a guard that somebody confirmed. From here on it is never rolled back.
    pub fn confirm(mut guard: OpenGuard, policy: GuardPolicy) -> Self {
        guard.phase = GuardPhase::Removing(GuardEnd::Confirmed);
        Self::of(GuardPurpose::Confirm, guard, policy, GuardEnd::Confirmed)
    }

    /// The way back, because a person asks for it.
    pub fn abort(guard: OpenGuard, policy: GuardPolicy) -> Self {
        Self::of(GuardPurpose::Abort, guard, policy, GuardEnd::RolledBack)
    }

    /// The way back, because the guard's time is over.
    pub fn expire(guard: OpenGuard, policy: GuardPolicy) -> Self {
        Self::of(GuardPurpose::Expire, guard, policy, GuardEnd::RolledBack)
    }

    /// The removal of a snapshot whose guard has ended in this way.
    pub fn remove(mut guard: OpenGuard, end: GuardEnd, policy: GuardPolicy) -> Self {
        guard.phase = GuardPhase::Removing(end);
        Self::of(GuardPurpose::Remove, guard, policy, end)
    }

    fn of(purpose: GuardPurpose, guard: OpenGuard, policy: GuardPolicy, closing: GuardEnd) -> Self {
        let report = GuardReport {
            purpose,
            end: GuardEnd::Unchanged,
            reasons: Vec::new(),
            trouble: None,
            task_failed: false,
            upids: Vec::new(),
            findings: Vec::new(),
            guard,
            stays: false,
        };
        Self {
            policy,
            state: State::Looking,
            report,
            planning: Vec::new(),
            before: None,
            vouched: false,
            interrupted: false,
            closing,
            unsent: None,
            tries: 0,
            sends: 0,
            losses: 0,
            deletes: 0,
            looks: 0,
            not_before: None,
            paused: None,
        }
    }

    /// The guest.
    pub fn vmid(&self) -> Vmid {
        self.report.guard.vmid()
    }

    /// The guard that it is about.
    pub fn guard(&self) -> &OpenGuard {
        &self.report.guard
    }

    /// The record, when the job has ended.
    pub fn report(&self) -> Option<&GuardReport> {
        matches!(self.state, State::Finished).then_some(&self.report)
    }

    pub(crate) fn findings(&self) -> &[Finding] {
        &self.report.findings
    }

    pub(crate) fn planning(&self) -> &[String] {
        &self.planning
    }

    pub(crate) fn resume(&mut self) {
        self.tries = 0;
        self.looks = 0;
        self.not_before = None;
        self.paused = None;
        self.interrupted = true;
        if let State::Snapshotting(mutating)
        | State::RollingBack(mutating)
        | State::Deleting(mutating) = &mut self.state
        {
            mutating.resume();
        }
        // Nobody was told that the guard stands: it does not.
        if matches!(self.state, State::Finished) && self.report.end == GuardEnd::Opened {
            self.state = State::Verifying;
        }
    }

    pub(crate) fn next(&self, now: Timestamp) -> Next {
        if let Some(error) = &self.paused {
            return Next::Pause(error.clone());
        }
        if let Some(until) = self.not_before.filter(|until| until.is_ahead_of(now)) {
            let reason = "before looking again".to_owned();
            return Next::Wait { until, reason };
        }
        match &self.state {
            State::Looking
            | State::Verifying
            | State::Doubting(_)
            | State::Settling
            | State::Deleted => self.look(),
            State::Snapshotting(mutating)
            | State::RollingBack(mutating)
            | State::Deleting(mutating) => match mutating.next(now) {
                // Right before the call, or not at all.
                Next::Do(_) | Next::Done if mutating.is_stale() => self.look(),
                next @ (Next::Do(_) | Next::Wait { .. } | Next::Pause(_) | Next::Done) => next,
            },
            State::Finished => Next::Done,
        }
    }

    fn look(&self) -> Next {
        let vmid = self.vmid();
        Next::Do(Step::Observe(Observe::GuardSubject { vmid }))
    }

    pub(crate) fn record(&mut self, now: Timestamp, outcome: Outcome) {
        self.not_before = None;
        if !matches!(outcome, Outcome::Sent(_)) {
            self.look_again();
        }
        match (&mut self.state, outcome) {
            (
                State::Snapshotting(mutating)
                | State::RollingBack(mutating)
                | State::Deleting(mutating),
                outcome,
            ) => {
                mutating.record(now, outcome);
                if let Some(ended) = mutating.ended().cloned() {
                    self.report.upids.extend(mutating.upid().cloned());
                    self.acted(ended);
                }
            }
            (State::Finished, _) => {}
            (_, Outcome::GuardSubject(subject)) => {
                self.tries = 0;
                self.looked(now, &subject);
            }
            (_, Outcome::Failed(error)) => self.look_failed(now, error),
            _ => {}
        }
    }

    /// A request that was not sent yet is decided anew by what is there now.
    fn look_again(&mut self) {
        if let State::Snapshotting(one) | State::RollingBack(one) | State::Deleting(one) =
            &self.state
        {
            self.unsent = one.unsent().cloned();
        }
        self.state = match &self.state {
            State::Snapshotting(one) if one.is_stale() && !self.interrupted => State::Looking,
            State::Snapshotting(one) if one.is_stale() => State::Verifying,
            State::RollingBack(one) if one.is_stale() => State::Looking,
            State::Deleting(one) if one.is_stale() => State::Deleted,
            State::Looking
            | State::Snapshotting(_)
            | State::Verifying
            | State::RollingBack(_)
            | State::Doubting(_)
            | State::Settling
            | State::Deleting(_)
            | State::Deleted
            | State::Finished => return,
        };
    }

    fn looked(&mut self, now: Timestamp, subject: &GuardSubject) {
        match (self.state.clone(), self.report.purpose) {
            (State::Looking, GuardPurpose::Begin) if !self.interrupted => {
                self.begin_it(now, subject);
            }
            (State::Looking | State::Verifying, GuardPurpose::Begin) => self.verify(now, subject),
            (State::Looking, GuardPurpose::Confirm | GuardPurpose::Remove) => {
                self.remove_it(subject);
            }
            (State::Looking, GuardPurpose::Abort | GuardPurpose::Expire) => {
                self.roll_back(now, subject);
            }
            (State::Doubting(attempt), _) => self.doubted(now, &attempt, subject),
            (State::Settling, _) => self.settled(now, subject),
            (State::Deleted, _) => self.deleted(subject),
            _ => {}
        }
    }

    /// Whether a request that did not happen may be sent again.
    fn once_more(&self) -> Result<(), Refused> {
        match &self.unsent {
            Some(error) if self.sends >= MAX_SENDS => Err(Refused {
                reasons: vec![error.text.clone()],
                trouble: Some(error.class),
            }),
            _ => Ok(()),
        }
    }

    fn mutating(&self, mutation: Mutation, subject: &GuardSubject) -> Box<Mutating> {
        let mutating = Mutating::new(mutation, self.policy.no_progress, self.policy.settle);
        Box::new(mutating.knowing(subject.tasks.clone()))
    }

    fn acted(&mut self, ended: Ended) {
        if let Ended::Refused(error) = &ended {
            self.report.trouble = Some(error.class);
        }
        self.report.task_failed |= matches!(
            &ended,
            Ended::Task {
                verdict: TaskVerdict::Failed(_),
                ..
            } | Ended::Stopped { .. }
        );
        match &self.state {
            State::Snapshotting(_) => {
                match ended.trouble() {
                    None => self.vouched = true,
                    Some(why) => self.because(&why),
                }
                self.state = State::Verifying;
            }
            State::RollingBack(_) => self.rolled(ended),
            // Whatever the task said, only the list says whether it is gone.
            State::Deleting(_) => self.state = State::Deleted,
            State::Looking
            | State::Verifying
            | State::Doubting(_)
            | State::Settling
            | State::Deleted
            | State::Finished => {}
        }
    }

    fn look_failed(&mut self, now: Timestamp, error: RemoteError) {
        self.tries = self.tries.saturating_add(1);
        if self.tries < MAX_TRIES && error.class.is_transient() {
            self.not_before = Some(now.plus(Duration::from_millis(250 << self.tries)));
            return;
        }
        self.tries = 0;
        let refused = Refused {
            reasons: vec![error.text.clone()],
            trouble: Some(error.class),
        };
        match (&self.state, self.report.purpose) {
            (State::Looking, GuardPurpose::Begin) if !self.interrupted => self.refuse(refused),
            (State::Looking, GuardPurpose::Abort | GuardPurpose::Expire) => self.unchanged(refused),
            // The word is given; what is left to do needs nobody.
            (State::Looking | State::Deleted, GuardPurpose::Confirm | GuardPurpose::Remove)
            | (State::Deleted, _) => {
                self.report.trouble = Some(error.class);
                self.leave(&error.text);
            }
            // Something of ours may be on somebody's guest: the job stays until it can be looked for.
            _ => self.paused = Some(error),
        }
    }

    fn because(&mut self, why: &str) {
        if self.report.reasons.is_empty() {
            self.report.reasons.push(why.to_owned());
        }
    }

    fn refuse(&mut self, refused: Refused) {
        self.report.reasons = refused.reasons;
        self.report.trouble = refused.trouble;
        self.finish(GuardEnd::Refused, false);
    }

    fn finish(&mut self, end: GuardEnd, stays: bool) {
        self.report.end = end;
        self.report.stays = stays;
        self.state = State::Finished;
    }
}
