//! The job that proves a backup: restore to a scratch guest, boot, gather evidence, remove, write the verdict down.
//!
//! Every way through it passes the clean-up, and the verdict is fixed before the clean-up begins.

mod booting;
mod ending;
mod judge;
mod keeping;
mod noting;
pub(crate) mod plan;
mod preflight;
mod records;

pub use keeping::FormerProof;
pub use records::{RestoreTestReport, RestoreTestRequest};

use std::collections::BTreeSet;

use felhom_ids::{Upid, Vmid, VolumeId};
use serde::{Deserialize, Serialize};

use crate::finding::{Finding, codes};
use crate::job::Next;
use crate::judgement::{Judgement, Verdict};
use crate::mutating::{Ended, Mutating};
use crate::mutation::Mutation;
use crate::outcome::{Outcome, RemoteError};
use crate::patience::Patience;
use crate::reap::Leftover;
use crate::restore_test::keeping::Keeping;
use crate::restore_test::noting::Noting;
use crate::restore_test::preflight::Preflight;
use crate::scratch::{CleanUp, Earlier};
use crate::step::{Observe, Step};
use crate::time::Timestamp;
use crate::world::{GuestFingerprint, TestSubject};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    Observing,
    Restoring(Box<Mutating>),
    Checking,
    Starting(Box<Mutating>),
    Probing,
    Doubting,
    CleaningUp(Box<CleanUp>),
    Noting(Noting),
    Keeping(Box<Keeping>),
    Finished,
}

/// A restore test on its way; see [`RestoreTestRequest`] for what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreTestJob {
    request: RestoreTestRequest,
    state: State,
    report: RestoreTestReport,
    planning: Vec<String>,
    started_at: Option<Timestamp>,
    /// Archives that earlier tests protected; `None` when the proof is not to be protected.
    #[serde(default)]
    proofs: Option<Vec<FormerProof>>,
    #[serde(default)]
    patience: Patience,
    #[serde(default)]
    course: Course,
    /// Tasks of the scratch VMID that were there before ours.
    #[serde(default)]
    earlier: Earlier,
    not_before: Option<Timestamp>,
    tries: u8,
    paused: Option<RemoteError>,
}

/// What happened on the way, as far as it decides what may be said at the end.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Course {
    /// For how long the node had been up before the restore, in seconds: it only gets less by a restart, whatever the clocks
    /// say.
    #[serde(default)]
    node_uptime_s: Option<u64>,
    /// How often the copy was about to be started.
    starts: u8,
    /// How long the start task took.
    start_ms: u64,
    /// Whether the process was restarted between the restore request and the evidence: then nobody measured it all.
    unmeasured: bool,
    /// Whether the process was restarted after the start request: then the node may have been restarted, too.
    interrupted: bool,
    /// Tasks of the scratch VMID that were there before the start.
    #[serde(default)]
    before_start: BTreeSet<Upid>,
}

/// How often the copy is checked and the start request tried anew.
const MAX_STARTS: u8 = 4;
/// How often a look that failed is tried again before the job gives the test up.
const MAX_TRIES: u8 = 4;

impl RestoreTestJob {
    /// A test that has not begun.
    pub fn new(request: RestoreTestRequest) -> Self {
        let report = RestoreTestReport {
            volid: request.volid.clone(),
            source: request.volid.guest(),
            fingerprint: GuestFingerprint::default(),
            scratch: None,
            judgement: Judgement {
                verdict: Verdict::Unverified,
                level: None,
                reasons: Vec::new(),
            },
            trouble: None,
            plan: None,
            evidence: None,
            checks: Vec::new(),
            rto_ms: None,
            restore_ms: None,
            data_age_s: None,
            restore_upid: None,
            start_upid: None,
            destroy_upid: None,
            nothing_left: false,
            noted: false,
            protected: false,
            released: Vec::new(),
            findings: Vec::new(),
        };
        Self {
            request,
            state: State::Observing,
            report,
            planning: Vec::new(),
            started_at: None,
            proofs: None,
            patience: Patience::default(),
            course: Course::default(),
            earlier: Earlier::default(),
            not_before: None,
            tries: 0,
            paused: None,
        }
    }

    /// The same, setting an archive that passes protected, and allowing the deletion of older ones of the same guest that
    /// earlier tests protected.
    #[must_use]
    pub fn protecting(mut self, former: Vec<FormerProof>) -> Self {
        self.proofs = Some(former);
        self
    }

    /// The archive.
    pub fn volid(&self) -> &VolumeId {
        &self.request.volid
    }

    /// The scratch VMID it holds, while it may have made something there.
    pub fn lease(&self) -> Option<Vmid> {
        self.report.scratch.filter(|_| !self.report.nothing_left)
    }

    /// What a later reap has to know of its scratch guest, while it may have left one.
    pub fn remains(&self) -> Option<Leftover> {
        let plan = self
            .report
            .plan
            .as_ref()
            .filter(|_| !self.report.nothing_left)?;
        Some(Leftover {
            mark: plan.mark.clone(),
            restore: self.report.restore_upid.clone(),
            destroy: self.report.destroy_upid.clone(),
            earlier: self.earlier.clone(),
        })
    }

    /// The record, when the job has ended.
    pub fn report(&self) -> Option<&RestoreTestReport> {
        matches!(self.state, State::Finished).then_some(&self.report)
    }

    pub(crate) fn findings(&self) -> &[Finding] {
        &self.report.findings
    }

    pub(crate) fn planning(&self) -> &[String] {
        &self.planning
    }

    pub(crate) fn resume(&mut self) {
        self.paused = None;
        self.not_before = None;
        self.tries = 0;
        self.patience = Patience::default();
        match &mut self.state {
            State::Restoring(mutating) => {
                self.course.unmeasured = true;
                mutating.resume();
            }
            State::Starting(mutating) => {
                (self.course.unmeasured, self.course.interrupted) = (true, true);
                mutating.resume();
            }
            State::CleaningUp(clean_up) => clean_up.resume(),
            State::Noting(noting) => noting.resume(),
            State::Keeping(keeping) => keeping.resume(),
            State::Checking => self.course.unmeasured = true,
            State::Probing => (self.course.unmeasured, self.course.interrupted) = (true, true),
            State::Observing | State::Doubting | State::Finished => {}
        }
    }

    pub(crate) fn next(&self, now: Timestamp) -> Next {
        if let Some(error) = &self.paused {
            return Next::Pause(error.clone());
        }
        if let Some(until) = self.not_before.filter(|until| until.is_ahead_of(now)) {
            let reason = self.planning.last().cloned().unwrap_or_default();
            return Next::Wait { until, reason };
        }
        match &self.state {
            State::Observing => self.look_at_subject(),
            State::Restoring(mutating) if mutating.is_from_before() => self.look_at_subject(),
            // Right before the first boot, or not at all.
            State::Starting(mutating) if mutating.is_stale() => match mutating.next(now) {
                wait @ Next::Wait { .. } => wait,
                Next::Do(_) | Next::Pause(_) | Next::Done => self.look_at_scratch(),
            },
            State::Restoring(mutating) | State::Starting(mutating) => mutating.next(now),
            State::Checking | State::Doubting => self.look_at_scratch(),
            State::Probing => self.probe(),
            State::CleaningUp(clean_up) => clean_up.next(now),
            State::Noting(noting) => noting.next(now),
            State::Keeping(keeping) => keeping.next(now),
            State::Finished => Next::Done,
        }
    }

    fn look_at_subject(&self) -> Next {
        Next::Do(Step::Observe(Observe::TestSubject {
            volid: self.request.volid.clone(),
            policy: Box::new(self.request.policy.clone()),
        }))
    }

    fn look_at_scratch(&self) -> Next {
        self.report.plan.as_ref().map_or(Next::Done, |plan| {
            Next::Do(Step::Observe(Observe::Scratch {
                vmid: plan.vmid,
                storage: plan.storage.clone(),
            }))
        })
    }

    fn probe(&self) -> Next {
        let policy = &self.request.policy;
        self.report.plan.as_ref().map_or(Next::Done, |plan| {
            Next::Do(Step::Observe(Observe::Evidence {
                vmid: plan.vmid,
                nonces: plan
                    .nics
                    .iter()
                    .map(|nic| (nic.name.clone(), nic.address.to_string()))
                    .collect(),
                wanted: policy.evidence,
                stable_for: policy.stable_for,
                // A copy that runs well and was not given the time to be stable is no failed backup.
                timeout: policy
                    .evidence_timeout
                    .max(policy.stable_for.saturating_mul(2)),
            }))
        })
    }

    pub(crate) fn record(&mut self, now: Timestamp, outcome: Outcome) {
        self.not_before = None;
        if !matches!(outcome, Outcome::Sent(_)) {
            self.look_again();
        }
        match (&mut self.state, outcome) {
            (State::Observing, Outcome::TestSubject(subject)) => self.prepare(now, &subject),
            (State::Observing, Outcome::Failed(error)) => self.not_observed(now, error),
            (State::Restoring(mutating), outcome) => {
                mutating.record(now, outcome);
                // A task that could not be followed to its end has still been ours.
                let upid = mutating.upid().cloned();
                self.report.restore_upid = upid.or(self.report.restore_upid.take());
                self.earlier.restore = mutating.listed_before();
                if let Some(ended) = mutating.ended().cloned() {
                    self.restored(&ended);
                }
            }
            (State::Checking, Outcome::Scratch(facts)) => self.check(now, &facts),
            (State::Starting(mutating), outcome) => {
                mutating.record(now, outcome);
                let upid = mutating.upid().cloned();
                self.report.start_upid = upid.or(self.report.start_upid.take());
                self.course.before_start = mutating.listed_before().unwrap_or_default();
                if let Some(ended) = mutating.ended().cloned() {
                    self.started(&ended);
                }
            }
            (State::Probing, Outcome::Evidence(evidence)) => self.probed(now, &evidence),
            (State::Doubting, Outcome::Scratch(facts)) => self.doubted(&facts),
            (State::Checking | State::Probing | State::Doubting, Outcome::Failed(error)) => {
                self.look_failed(now, &error);
            }
            (State::CleaningUp(clean_up), outcome) => {
                clean_up.record(now, outcome);
                self.report.destroy_upid = clean_up.destroy_task().cloned();
                self.earlier = clean_up.earlier().clone();
                if let Some(end) = clean_up.ended().cloned() {
                    self.cleaned_up(now, end);
                }
            }
            (State::Noting(noting), outcome) => {
                noting.record(now, outcome);
                if let Some(end) = noting.ended().cloned() {
                    self.noted(end);
                }
            }
            (State::Keeping(keeping), outcome) => {
                keeping.record(now, outcome);
                self.kept();
            }
            _ => {}
        }
    }

    /// A request that is still to be sent, and was planned on what may have changed since, is planned anew.
    fn look_again(&mut self) {
        match &self.state {
            State::Restoring(mutating) if mutating.is_from_before() => {
                self.report.plan = None;
                self.report.scratch = None;
                self.course = Course::default();
                self.state = State::Observing;
            }
            State::Starting(mutating) if mutating.is_stale() => self.state = State::Checking,
            State::Restoring(_)
            | State::Starting(_)
            | State::Observing
            | State::Checking
            | State::Probing
            | State::Doubting
            | State::CleaningUp(_)
            | State::Noting(_)
            | State::Keeping(_)
            | State::Finished => {}
        }
    }

    fn prepare(&mut self, now: Timestamp, subject: &TestSubject) {
        self.tries = 0;
        self.course.node_uptime_s = subject.node.uptime_s;
        if let Some(archive) = &subject.archive {
            let node_now = subject.node.now_s.unwrap_or_else(|| now.secs());
            self.report.data_age_s = Some(node_now.saturating_sub(archive.ctime));
        }
        self.report.fingerprint = subject.archived.fingerprint();
        match preflight::check(&self.request, subject) {
            Preflight::Go {
                plan,
                guard,
                report,
            } => {
                self.planning.extend(report);
                self.report.scratch = Some(plan.vmid);
                self.report.plan = Some(plan.clone());
                let policy = &self.request.policy;
                let mut mutating = Mutating::new(
                    Mutation::Restore(Box::new(plan)),
                    policy.no_progress,
                    policy.settle,
                );
                if let Some(guard) = guard {
                    mutating = mutating.guarded(guard);
                }
                self.state = State::Restoring(Box::new(mutating));
            }
            Preflight::Wait(reason) => {
                let Some(pause) = self.patience.pause(self.request.policy.wait_limit) else {
                    return self
                        .end_early(now, Judgement::error(format!("gave up waiting: {reason}")));
                };
                let line = format!("waiting: {reason}");
                if self.planning.last() != Some(&line) {
                    self.planning.push(line);
                }
                self.not_before = Some(now.plus(pause));
            }
            Preflight::Stop {
                judgement,
                trouble,
                plan,
            } => {
                if let Some(plan) = &plan {
                    self.planning.extend(plan.lines());
                }
                self.report.trouble = trouble;
                self.end_early(now, judgement);
            }
        }
    }

    /// Ends a test that made nothing. A statement about the backup is still written into its notes.
    fn end_early(&mut self, now: Timestamp, judgement: Judgement) {
        self.report.nothing_left = true;
        self.report.plan = None;
        self.report.scratch = None;
        let write = judgement.verdict == Verdict::Failed;
        self.report.judgement = judgement;
        self.state = if write {
            State::Noting(self.noting(now))
        } else {
            State::Finished
        };
    }

    fn not_observed(&mut self, now: Timestamp, error: RemoteError) {
        self.tries = self.tries.saturating_add(1);
        if error.class.is_transient() && self.tries < MAX_TRIES {
            // A `pveproxy` that is restarted is away for some seconds.
            self.planning.push(format!("trying again: {}", error.text));
            self.not_before = Some(now.plus(preflight::WAIT_STEP * 2_u32.pow(self.tries.into())));
        } else {
            self.report.trouble = Some(error.class);
            self.end_early(now, Judgement::error(error.text));
        }
    }

    fn restored(&mut self, ended: &Ended) {
        if let Ended::Task { elapsed_ms, .. } = ended {
            self.report.restore_ms = Some(*elapsed_ms);
        }
        if let Ended::Refused(error) = ended {
            self.report.trouble = Some(error.class);
        }
        if let Ended::Stopped {
            reason,
            floor: true,
            ..
        } = ended
        {
            let subject = format!("storage {}", self.request.policy.target);
            self.report.findings.push(
                Finding::new(codes::FLOOR_REACHED, subject, reason.clone())
                    .hint("free space on the target storage, or find out what fills it"),
            );
        }
        if let Some(judgement) = judge::restore(ended) {
            self.clean_up(judgement);
        } else {
            if let Some(finding) = judge::warnings(ended, &self.request.volid) {
                self.report.findings.push(finding);
            }
            self.state = State::Checking;
        }
    }
}
