//! From the copy that is there to its evidence: checked before the first boot, started, looked at.

use crate::evidence::Evidence;
use crate::isolation::isolation_violations;
use crate::judgement::Judgement;
use crate::mutating::{Ended, Mutating};
use crate::mutation::Mutation;
use crate::outcome::RemoteError;
use crate::restore_test::{MAX_STARTS, MAX_TRIES, RestoreTestJob, State, judge, preflight};
use crate::scratch::{Earlier, Lease, Standing, scratch_standing};
use crate::time::Timestamp;
use crate::world::{Existence, ScratchFacts};

impl RestoreTestJob {
    pub(super) fn check(&mut self, now: Timestamp, facts: &ScratchFacts) {
        self.tries = 0;
        let Some(plan) = self.report.plan.clone() else {
            return;
        };
        let restore = self.report.restore_upid.clone();
        let lease = Lease::new(&self.request.policy, plan.mark.clone(), restore)
            .later_than(self.earlier.clone());
        let standing = scratch_standing(facts, &lease);
        let (
            Existence::Guest(config),
            Standing::Ours {
                running: false,
                tasks,
                ..
            },
        ) = (&facts.existence, standing)
        else {
            return self.clean_up(Judgement::error(
                "after the restore the scratch guest is not there as ours",
            ));
        };
        let violations = isolation_violations(config, &plan);
        if !violations.is_empty() {
            let mut judgement = Judgement::error("the copy must not be booted");
            judgement
                .reasons
                .extend(violations.iter().map(ToString::to_string));
            return self.clean_up(judgement);
        }
        for nic in &config.nics {
            self.report.checks.push(format!(
                "net{} is on `{}`, link down, before the first boot",
                nic.index, plan.bridge
            ));
        }
        self.report
            .checks
            .push("configuration re-read against the allow-list".to_owned());
        self.course.starts = self.course.starts.saturating_add(1);
        if self.course.starts > MAX_STARTS {
            return self.clean_up(Judgement::error("the start request does not get through"));
        }
        let policy = &self.request.policy;
        let mutating = Mutating::new(
            Mutation::start(plan.kind, plan.vmid),
            policy.no_progress,
            policy.settle,
        )
        .knowing(tasks);
        self.started_at = Some(now);
        self.state = State::Starting(Box::new(mutating));
    }

    pub(super) fn started(&mut self, ended: &Ended) {
        if let Ended::Task { elapsed_ms, .. } = ended {
            self.course.start_ms = *elapsed_ms;
        }
        match judge::start(ended) {
            Some(judgement) => self.clean_up(judgement),
            None => self.state = State::Probing,
        }
    }

    pub(super) fn probed(&mut self, now: Timestamp, evidence: &Evidence) {
        self.tries = 0;
        let level = evidence.level();
        let since_start = self.started_at.map_or(0, |at| now.since(at).as_secs());
        let before = self.course.node_uptime_s.unwrap_or_default();
        let rebooted = evidence
            .node_uptime_s
            .is_some_and(|uptime| uptime < since_start || uptime < before);
        let measured = self.report.restore_ms.zip(evidence.booted_after_ms);
        self.report.rto_ms = measured
            .filter(|_| !self.course.unmeasured)
            .map(|(restore, boot)| {
                restore
                    .saturating_add(self.course.start_ms)
                    .saturating_add(boot)
            });
        self.report.evidence = Some(evidence.clone());
        // A copy that runs and shows what is asked for needs no excuse. One that is down is no statement about the backup
        // when the node may have gone down with it, whatever the clocks say.
        if level.is_none() && (rebooted || self.course.interrupted) {
            return self.clean_up(Judgement::error(
                "the node or the agent was restarted while the copy ran",
            ));
        }
        match judge::evidence(evidence, self.request.policy.evidence) {
            Some(judgement) => {
                self.report
                    .checks
                    .extend(judge::evidence_checks(evidence, level));
                self.clean_up(judgement);
            }
            None => self.state = State::Doubting,
        }
    }

    /// The copy did not stay up. That is only a statement about the backup when nobody else touched it.
    pub(super) fn doubted(&mut self, facts: &ScratchFacts) {
        let before_start = Earlier {
            restore: Some(self.course.before_start.clone()),
            ..Earlier::default()
        };
        let last = before_start.last(facts).map(|task| &task.upid);
        let judgement = match (last, &self.report.start_upid) {
            (Some(last), Some(ours)) if last == ours => {
                Judgement::failed("the copy did not stay up after its start")
            }
            (Some(last), _) => Judgement::error(format!(
                "the copy was touched by `{last}` while it was tested"
            )),
            (None, _) => Judgement::error("the copy did not stay up, and its last task is unknown"),
        };
        self.clean_up(judgement);
    }

    pub(super) fn look_failed(&mut self, now: Timestamp, error: &RemoteError) {
        self.tries = self.tries.saturating_add(1);
        if self.tries < MAX_TRIES {
            self.not_before = Some(now.plus(preflight::WAIT_STEP));
        } else {
            self.report.trouble = Some(error.class);
            self.clean_up(Judgement::error(error.text.clone()));
        }
    }
}
