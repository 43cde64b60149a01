//! The way back: asked for once, judged by what is there afterwards.

use std::time::Duration;

use super::age::{Age, Past, Reading};
use super::preflight::{self, Refused};
use super::proof::{self, Attempt, Before};
use super::{GuardEnd, GuardJob, GuardPhase, GuardPurpose, MAX_LOSSES, State, standing};
use crate::finding::{Finding, codes};
use crate::mutating::Ended;
use crate::mutation::Mutation;
use crate::outcome::TaskVerdict;
use crate::time::Timestamp;
use crate::world::{GuardSubject, SnapshotFacts};

/// How long the guest is waited for after its rollback; PVE starts it by a task of its own.
const MAX_LOOKS: u8 = 60;
const LOOK_PAUSE: Duration = Duration::from_millis(500);

impl GuardJob {
    pub(super) fn roll_back(&mut self, now: Timestamp, subject: &GuardSubject) {
        if self.interrupted {
            // Who asked for it is gone, and may have gone on working.
            return self.unchanged(Refused {
                reasons: vec![
                    "it was interrupted before the rollback was asked for; nothing was rolled back"
                        .into(),
                ],
                trouble: None,
            });
        }
        let guard = &self.report.guard;
        let found = guard.find(&subject.snapshots);
        let Some(ours) = found.filter(|found| guard.owns(found)).cloned() else {
            return self.gone(found.is_some());
        };
        if let Err(refused) = self
            .once_more()
            .and_then(|()| self.may_still(now, &ours, subject))
            .and_then(|()| preflight::may_roll_back(guard, &ours, subject))
        {
            return self.unchanged(refused);
        }
        if self.report.purpose == GuardPurpose::Expire && !proof::reaches_back(guard, subject) {
            // A person may have rolled back and gone on working, and the server has forgotten it.
            return self.in_doubt(
                "the server no longer lists tasks as old as the snapshot, so whether somebody rolled back meanwhile cannot \
                 be told; nothing was rolled back",
            );
        }
        self.planning = preflight::rollback_plan(guard, &ours, subject);
        self.before = Some(Before {
            state: subject.state.clone(),
            rollbacks: proof::rollbacks(&subject.tasks),
        });
        let mutation = Mutation::Rollback {
            vmid: guard.vmid(),
            name: guard.snapshot.clone(),
            start: guard.ran,
        };
        self.sends = self.sends.saturating_add(1);
        self.state = State::RollingBack(self.mutating(mutation, subject));
    }

    /// Whether the guard is one to be rolled back; without a person's word only when every clock says so, and nobody rolled
    /// back meanwhile.
    fn may_still(
        &self,
        now: Timestamp,
        ours: &SnapshotFacts,
        subject: &GuardSubject,
    ) -> Result<(), Refused> {
        let guard = &self.report.guard;
        let refuse = |why: String| {
            Err(Refused {
                reasons: vec![why],
                trouble: None,
            })
        };
        if let GuardPhase::Removing(_) = guard.phase {
            return refuse("the guard has ended; only its snapshot is still there".into());
        }
        if self.report.purpose != GuardPurpose::Expire {
            return Ok(());
        }
        if guard.phase != GuardPhase::Open {
            return refuse(
                "whether it was rolled back is not known; only a person goes on from here".into(),
            );
        }
        let reading = Reading::of(now, &subject.node);
        let age = Age::between(&guard.begun, &reading).and_written(ours.taken_s, &reading);
        if age.is_past(guard.confirm_within) != Past::Yes {
            return refuse("the clocks do not agree that its time is over".into());
        }
        match proof::rollbacks(&subject.tasks)
            .difference(&guard.rollbacks)
            .next()
        {
            Some(upid) => refuse(format!(
                "`{upid}` rolled it back meanwhile; what was done since would be lost"
            )),
            None => Ok(()),
        }
    }

    fn gone(&mut self, foreign: bool) {
        let guard = &self.report.guard;
        let why = if foreign {
            format!(
                "snapshot `{}` no longer carries our mark; it is left alone",
                guard.snapshot
            )
        } else {
            format!("snapshot `{}` is no longer there", guard.snapshot)
        };
        let hint = "what the guest was can only come from a backup: `felhom-agent backup list`";
        let finding = Finding::new(
            codes::GUARD_SNAPSHOT_GONE,
            standing::subject(guard),
            why.clone(),
        );
        self.report.findings.push(finding.hint(hint));
        self.because(&why);
        self.finish(GuardEnd::Gone, false);
    }

    /// The guard stands as before.
    pub(super) fn unchanged(&mut self, refused: Refused) {
        self.report.reasons.extend(refused.reasons);
        self.report.trouble = refused.trouble.or(self.report.trouble);
        self.finish(GuardEnd::Unchanged, true);
    }

    pub(super) fn rolled(&mut self, ended: Ended) {
        let attempt = match ended {
            Ended::Task {
                verdict: TaskVerdict::Succeeded | TaskVerdict::Warnings(_),
                ..
            } => {
                self.state = State::Settling;
                return;
            }
            Ended::Refused(error) => {
                return self.unchanged(Refused {
                    reasons: vec![error.text],
                    trouble: Some(error.class),
                });
            }
            Ended::Task {
                verdict: TaskVerdict::Failed(text),
                ..
            } => Attempt::Failed(text),
            Ended::Task { verdict, .. } => Attempt::Unknown(verdict.to_string()),
            Ended::Stopped { reason, .. } => Attempt::Unknown(reason),
            Ended::EffectOnly => Attempt::Unknown("its task was not found".into()),
            Ended::Undetermined(text) if self.report.upids.is_empty() => Attempt::Lost(text),
            Ended::Undetermined(text) => Attempt::Unknown(text),
        };
        self.state = State::Doubting(attempt);
    }

    pub(super) fn doubted(&mut self, now: Timestamp, attempt: &Attempt, subject: &GuardSubject) {
        let Some(before) = &self.before else {
            return self.in_doubt(attempt.text());
        };
        match proof::nothing_happened(&self.report.guard, before, attempt, subject) {
            Err(why) => self.in_doubt(&format!("{}; {why}", attempt.text())),
            Ok(())
                if matches!(attempt, Attempt::Lost(_))
                    && !self.interrupted
                    && self.losses < MAX_LOSSES =>
            {
                self.losses = self.losses.saturating_add(1);
                self.state = State::Looking;
                self.roll_back(now, subject);
            }
            Ok(()) => {
                // What is proven to have done nothing stands in no later rollback's way.
                let listed = proof::rollbacks(&subject.tasks);
                let own = listed
                    .into_iter()
                    .filter(|upid| self.report.upids.contains(upid));
                let own: Vec<_> = own.collect();
                self.report.guard.rollbacks.extend(own);
                self.unchanged(Refused {
                    reasons: vec![attempt.text().to_owned()],
                    trouble: None,
                });
            }
        }
    }

    fn in_doubt(&mut self, why: &str) {
        self.report.guard.phase = GuardPhase::Doubtful;
        self.because(why);
        let finding = standing::undetermined(&self.report.guard, why);
        self.report.findings.push(finding);
        self.finish(GuardEnd::Undetermined, true);
    }

    /// The task said OK: the guest must be as a rollback leaves it.
    pub(super) fn settled(&mut self, now: Timestamp, subject: &GuardSubject) {
        let guard = &self.report.guard;
        if subject.parent.as_ref() != Some(&guard.snapshot) {
            return self.in_doubt(
                "the task said OK, and the guest's state does not descend from the snapshot",
            );
        }
        let was = self.before.as_ref().map(|before| &before.state);
        let same = |was: &crate::world::GuestState| {
            was.pid.is_some()
                && was.pid == subject.state.pid
                && subject.state.uptime_s >= was.uptime_s
        };
        if was.is_some_and(same) {
            return self.in_doubt("the task said OK, and the guest was never stopped");
        }
        if guard.ran && !subject.state.running {
            self.looks = self.looks.saturating_add(1);
            if self.looks < MAX_LOOKS {
                self.not_before = Some(now.plus(LOOK_PAUSE));
                return;
            }
            let (about, vmid) = (standing::subject(guard), guard.vmid());
            let detail = "it ran when the snapshot was made, and does not after the rollback";
            let finding = Finding::new(codes::GUARD_GUEST_STATE, about, detail);
            self.report
                .findings
                .push(finding.hint(format!("as root on the node: pct start {vmid}")));
        }
        self.report.reasons.clear();
        self.remove_it(subject);
    }
}
