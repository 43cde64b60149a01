//! How a restore test ends: the verdict is fixed, the copy is removed, the verdict is written into the archive's notes.

use crate::finding::{Finding, codes};
use crate::judgement::{Judgement, Verdict};
use crate::restore_test::keeping::Keeping;
use crate::restore_test::noting::{self, Noting};
use crate::restore_test::{RestoreTestJob, State};
use crate::scratch::{CleanUp, CleanUpEnd};
use crate::time::Timestamp;

impl RestoreTestJob {
    pub(super) fn clean_up(&mut self, judgement: Judgement) {
        self.report.judgement = judgement;
        let Some(plan) = &self.report.plan else {
            self.state = State::Finished;
            return;
        };
        let clean_up = CleanUp::new(
            &self.request.policy,
            plan.mark.clone(),
            self.report.restore_upid.clone(),
        )
        .later_than(self.earlier.clone());
        self.state = State::CleaningUp(Box::new(clean_up));
    }

    pub(super) fn cleaned_up(&mut self, now: Timestamp, end: CleanUpEnd) {
        match end {
            CleanUpEnd::Gone => self.report.nothing_left = true,
            CleanUpEnd::GoneUnseen(finding) => {
                self.report.nothing_left = true;
                self.report.findings.push(finding);
            }
            CleanUpEnd::LeftBehind(finding) => self.report.findings.push(finding),
        }
        let statement = matches!(
            self.report.judgement.verdict,
            Verdict::Passed | Verdict::Failed
        );
        self.state = if statement {
            State::Noting(self.noting(now))
        } else {
            State::Finished
        };
    }

    pub(super) fn noting(&self, now: Timestamp) -> Noting {
        Noting::new(
            self.request.volid.clone(),
            noting::line(now, &self.report.judgement, self.report.rto_ms),
            self.request.policy.no_progress,
            self.request.policy.settle,
        )
    }

    pub(super) fn noted(&mut self, end: Result<(), String>) {
        match end {
            Ok(()) => self.report.noted = true,
            Err(why) => {
                let subject = self.request.volid.to_string();
                self.report
                    .findings
                    .push(Finding::new(codes::NOTES_NOT_WRITTEN, subject, why));
            }
        }
        self.state = match (&self.proofs, self.report.source) {
            (Some(former), Some(vmid)) if self.report.judgement.verdict == Verdict::Passed => {
                State::Keeping(Box::new(Keeping::new(
                    &self.request,
                    vmid,
                    &self.report.fingerprint,
                    former,
                )))
            }
            _ => State::Finished,
        };
    }

    /// Takes up how the protection ended, when it has.
    pub(super) fn kept(&mut self) {
        let State::Keeping(keeping) = &self.state else {
            return;
        };
        self.report.released = keeping.released().to_vec();
        let Some(end) = keeping.ended().cloned() else {
            return;
        };
        match end {
            Ok(protected) => self.report.protected = protected,
            Err(why) => {
                let subject = self.request.volid.to_string();
                self.report
                    .findings
                    .push(Finding::new(codes::PROOF_NOT_PROTECTED, subject, why));
            }
        }
        self.state = State::Finished;
    }
}
