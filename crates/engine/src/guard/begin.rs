//! The promise: a snapshot that is there, whole, and ours; or none at all.

use super::age::Reading;
use super::open::OnExpiry;
use super::{GuardEnd, GuardJob, GuardPhase, State, preflight, proof, standing};
use crate::finding::{Finding, codes};
use crate::mutation::Mutation;
use crate::time::Timestamp;
use crate::world::GuardSubject;

impl GuardJob {
    pub(super) fn begin_it(&mut self, now: Timestamp, subject: &GuardSubject) {
        let guard = &self.report.guard;
        if guard.find(&subject.snapshots).is_some() {
            return self.verify(now, subject);
        }
        let vmid = guard.vmid();
        let may = preflight::may_begin(vmid, &self.policy, guard.on_expiry, subject);
        if let Err(refused) = self.once_more().and(may) {
            return self.refuse(refused);
        }
        self.sends = self.sends.saturating_add(1);
        self.report.findings = preflight::warnings(vmid, now, subject);
        let guard = &mut self.report.guard;
        guard.ran = subject.state.running;
        guard.volumes = preflight::volumes(subject);
        guard.beyond_backup = preflight::beyond_backup(subject);
        guard.rollbacks = proof::rollbacks(&subject.tasks);
        let (name, within) = (guard.snapshot.clone(), guard.confirm_within.as_secs());
        self.planning = vec![
            format!("snapshot guest {vmid} as `{name}`; to be confirmed within {within} s"),
            match guard.on_expiry {
                OnExpiry::Rollback => {
                    "  not confirmed by then, the guest is rolled back".to_owned()
                }
                OnExpiry::Keep => {
                    "  not confirmed by then, the snapshot is kept and a finding says so".to_owned()
                }
            },
        ];
        let description = format!(
            "made by felhom-agent before a change of guest {vmid}; remove it with `felhom-agent snapshot guard {vmid} \
             confirm`, go back with `abort`\n{}",
            guard.mark
        );
        let mutation = Mutation::Snapshot {
            vmid,
            name,
            description,
        };
        self.state = State::Snapshotting(self.mutating(mutation, subject));
    }

    /// Whether the promise can be made: the snapshot is there, whole, ours, and its task said so.
    pub(super) fn verify(&mut self, now: Timestamp, subject: &GuardSubject) {
        if self.interrupted {
            self.because("it was interrupted, and nobody was told that the guard stands");
        }
        let guard = &self.report.guard;
        match guard.find(&subject.snapshots) {
            Some(found) if !guard.owns(found) => {
                self.because("a snapshot of that name is there that does not carry our mark; it is left alone");
                self.finish(GuardEnd::Failed, false);
            }
            Some(found) if self.vouched && !self.interrupted && found.state.is_none() => {
                self.open(now, subject);
            }
            Some(_) => {
                self.because("the snapshot's task did not say that it is whole");
                self.remove_it(subject);
            }
            None => {
                self.because("the task was OK, but there is no snapshot");
                self.finish(GuardEnd::Failed, false);
            }
        }
    }

    pub(super) fn open(&mut self, now: Timestamp, subject: &GuardSubject) {
        let guard = &mut self.report.guard;
        guard.begun = Reading::of(now, &subject.node);
        guard.phase = GuardPhase::Open;
        let made = self
            .report
            .upids
            .iter()
            .rev()
            .find(|upid| upid.kind() == "vzsnapshot");
        guard.made_by = made.cloned();
        if guard.ran && !subject.state.running {
            let about = standing::subject(guard);
            let hint = format!("pct start {}", guard.vmid());
            let finding = Finding::new(
                codes::GUARD_GUEST_STATE,
                about,
                "it ran before the snapshot, and does not now",
            );
            self.report.findings.push(finding.hint(hint));
        }
        self.report.reasons.clear();
        self.finish(GuardEnd::Opened, true);
    }
}
