//! The end of a guard's snapshot, by name and mark, read right before.

use super::{GuardJob, GuardPhase, GuardPurpose, MAX_DELETES, State, preflight, standing};
use crate::finding::{Finding, codes};
use crate::mutation::Mutation;
use crate::world::GuardSubject;

impl GuardJob {
    /// Removes our snapshot, by name and mark.
    pub(super) fn remove_it(&mut self, subject: &GuardSubject) {
        self.report.guard.phase = GuardPhase::Removing(self.closing);
        let guard = &self.report.guard;
        let found = guard.find(&subject.snapshots);
        if found.is_some_and(|found| guard.owns(found)) {
            return self.delete(subject);
        }
        if self.report.purpose == GuardPurpose::Confirm {
            let detail = match found {
                Some(_) => format!(
                    "snapshot `{}` no longer carries our mark; it is left alone",
                    guard.snapshot
                ),
                None => format!("somebody removed snapshot `{}` before", guard.snapshot),
            };
            let finding =
                Finding::new(codes::GUARD_SNAPSHOT_GONE, standing::subject(guard), detail);
            self.report.findings.push(finding);
        }
        self.finish(self.closing, false);
    }

    pub(super) fn delete(&mut self, subject: &GuardSubject) {
        // A locked guest refuses it in the task, and who holds the lock knows why.
        if let Some(lock) = preflight::lock(subject) {
            let why = format!("guest {} is locked ({lock})", self.vmid());
            return self.leave(&why);
        }
        self.deletes = self.deletes.saturating_add(1);
        let (vmid, name) = (self.vmid(), self.report.guard.snapshot.clone());
        let mutation = Mutation::DeleteSnapshot { vmid, name };
        self.state = State::Deleting(self.mutating(mutation, subject));
    }

    pub(super) fn deleted(&mut self, subject: &GuardSubject) {
        let guard = &self.report.guard;
        let found = guard
            .find(&subject.snapshots)
            .filter(|found| guard.owns(found));
        match found {
            None => self.finish(self.closing, false),
            Some(_) if self.deletes < MAX_DELETES => self.delete(subject),
            Some(_) => self.leave("it could not be removed"),
        }
    }

    /// The guard has ended, and the journal keeps its snapshot's name until it is gone.
    pub(super) fn leave(&mut self, why: &str) {
        let finding = standing::left(&self.report.guard, why);
        self.report.findings.push(finding);
        self.finish(self.closing, true);
    }
}
