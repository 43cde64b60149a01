//! How a restore ends: there as planned, there and different, refused, or failed and taken back.

use crate::finding::{Finding, codes};
use crate::mutating::Ended;
use crate::outcome::TaskVerdict;
use crate::restore_run::plan::RestoreRunPlan;
use crate::restore_run::records::RestoreEnd;
use crate::restore_run::subject::RestoredFacts;
use crate::restore_run::{RestoreRunJob, State};
use crate::scratch::{CleanUp, CleanUpEnd, Lease};

impl RestoreRunJob {
    /// Nothing was begun.
    pub(super) fn refuse(&mut self, reasons: Vec<String>) {
        self.report.reasons = reasons;
        self.report.nothing_left = true;
        self.finish(RestoreEnd::Refused);
    }

    /// Whether the request for the restore is still to be sent, or to be sent once more.
    pub(super) fn is_abandoned(&self) -> bool {
        match &self.state {
            State::Observing => true,
            State::Restoring(mutating) => mutating.is_from_before(),
            State::Checking
            | State::Starting(_)
            | State::Confirming
            | State::CleaningUp(_)
            | State::Finished => false,
        }
    }

    /// Ends what nobody waits for any more: meanwhile the guest may have been brought back in another way.
    pub(super) fn abandon(&mut self) {
        let sent = matches!(&self.state, State::Restoring(mutating) if mutating.was_lost());
        self.report.hints = vec!["run it again, if the guest is still missing".to_owned()];
        if sent {
            self.clean_up(
                "it was interrupted while it asked for the restore, and no task of it is found"
                    .to_owned(),
            );
        } else {
            self.refuse(vec!["interrupted before anything was sent".to_owned()]);
        }
    }

    pub(super) fn finish(&mut self, end: RestoreEnd) {
        self.report.end = end;
        // What is written down for good holds nothing that a guest keeps to itself.
        self.report.plan = self.report.plan.as_ref().map(RestoreRunPlan::told);
        self.state = State::Finished;
    }

    /// Takes back what the restore may have made.
    pub(super) fn clean_up(&mut self, reason: String) {
        self.report.end = RestoreEnd::Failed;
        self.report.reasons.push(reason);
        let clean_up = self.report.plan.as_ref().and_then(|plan| {
            let lease = self.named_lease(plan);
            CleanUp::of_restore(
                plan.kind,
                &plan.storages(),
                &self.request.policy,
                lease.after(plan.before.clone()),
            )
        });
        match clean_up {
            Some(clean_up) => self.state = State::CleaningUp(Box::new(clean_up)),
            None => self.finish(RestoreEnd::Failed),
        }
    }

    /// What is ours of the guest under the named VMID, as far as it is known by now.
    pub(super) fn named_lease(&self, plan: &RestoreRunPlan) -> Lease {
        Lease::named(plan.mark.clone(), self.report.restore_upid.clone())
            .later_than(self.earlier.clone())
    }

    pub(super) fn cleaned_up(&mut self, end: CleanUpEnd) {
        match end {
            CleanUpEnd::Gone => self.report.nothing_left = true,
            CleanUpEnd::GoneUnseen(finding) => {
                self.report.nothing_left = true;
                self.report.findings.push(finding);
            }
            CleanUpEnd::LeftBehind(finding) => self.report.findings.push(finding),
        }
        self.finish(RestoreEnd::Failed);
    }

    /// Raw `lxc.*` lines are dropped with a warning, as the plan says; any other warning is told.
    pub(super) fn note_warnings(&mut self, verdict: &TaskVerdict, log: &[String]) {
        let TaskVerdict::Warnings(count) = verdict else {
            return;
        };
        let warned: Vec<&str> = log
            .iter()
            .filter_map(|line| {
                line.strip_prefix("WARN: ")
                    .or_else(|| line.strip_prefix("WARNING: "))
            })
            .filter(|line| !line.contains("skipping custom lxc options"))
            .collect();
        let expected = self
            .report
            .plan
            .as_ref()
            .is_some_and(|plan| plan.missing.iter().any(|one| one.key.starts_with("lxc.")));
        if expected && *count == 1 && warned.is_empty() {
            return;
        }
        let detail = format!(
            "the restore ended with {count} warning(s): {}",
            warned.join("; ")
        );
        let subject = format!("guest {}", self.request.to);
        self.report
            .findings
            .push(Finding::new(codes::TASK_WARNINGS, subject, detail));
    }

    /// The data is back and the configuration is another one: that is for a person to judge, and nothing to destroy.
    pub(super) fn differs(&mut self, differences: Vec<String>) {
        let (to, tool) = (self.request.to, self.request.kind().tool());
        self.report.findings.push(
            Finding::new(
                codes::RESTORE_DIFFERS,
                format!("guest {to}"),
                differences.join("; "),
            )
            .hint(format!(
                "look at it with `{tool} config {to}` before it is started"
            )),
        );
        self.report.reasons = differences;
        self.finish(RestoreEnd::Differs);
    }

    pub(super) fn as_planned(&mut self, plan: &RestoreRunPlan) {
        let keys = plan.set.len().saturating_add(plan.kept.len());
        self.report.checks = vec![
            format!("{keys} keys re-read against the plan"),
            format!("{} volumes re-read against the plan", plan.volumes.len()),
        ];
    }

    /// The guest is there as planned; only its start is missing.
    pub(super) fn not_started(&mut self, why: &str) {
        let (to, tool) = (self.request.to, self.request.kind().tool());
        if self.request.start {
            self.report.findings.push(
                Finding::new(
                    codes::RESTORED_NOT_STARTED,
                    format!("guest {to}"),
                    why.to_owned(),
                )
                .hint(format!("when the cause is gone: {tool} start {to}")),
            );
        }
        self.finish(RestoreEnd::Restored);
    }

    /// Takes up how the start's task ended. Whether the guest runs is looked at, unless nothing was begun.
    pub(super) fn start_ended(&mut self, ended: &Ended) {
        if let Ended::Refused(error) = ended {
            return self.not_started(&error.text);
        }
        self.start_trouble = ended.trouble();
        self.state = State::Confirming;
    }

    /// Whether the guest runs.
    pub(super) fn confirm(&mut self, facts: &RestoredFacts) {
        self.tries = 0;
        let state = facts.guest.state.as_ref();
        if state.is_some_and(|state| state.running) {
            self.report.started = true;
            self.finish(RestoreEnd::Restored);
        } else {
            let why = self.start_trouble.take();
            self.not_started(&why.unwrap_or_else(|| "after the start it does not run".to_owned()));
        }
    }
}
