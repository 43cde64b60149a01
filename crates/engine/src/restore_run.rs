//! The job that restores a guest for real: look, plan, restore under a free VMID, re-read, and start only what is as planned.
//!
//! Nothing is ever restored on top of a guest, and `force` is never sent. What a failed restore made is destroyed by proof:
//! it carries this job's mark, was never started, and no task but ours touched it.

mod beyond;
mod clashes;
mod compare;
mod drives;
mod ending;
mod features;
mod image;
mod machine;
mod plan;
mod preflight;
mod property;
mod records;
mod refusals;
mod settings;
mod space;
mod subject;
mod volumes;
mod words;

pub use beyond::Beyond;
pub use features::Feature;
pub(crate) use image::golden_features_missing;
pub use plan::{Lacking, Missing, RestoreRunPlan, RestoredVolume, plan_restore_run};
pub use records::{Identity, RestoreEnd, RestoreRunPolicy, RestoreRunReport, RestoreRunRequest};
pub use space::Space;
pub use subject::{
    Original, RestoreSubject, RestoredFacts, VolumesSeen, WrittenConfig, restore_paths,
};

use std::time::Duration;

use felhom_ids::{Vmid, VolumeId};
use serde::{Deserialize, Serialize};

use crate::finding::{Finding, codes};
use crate::job::Next;
use crate::mutating::{Ended, Mutating};
use crate::mutation::Mutation;
use crate::outcome::{Outcome, RemoteError, TaskVerdict};
use crate::restore_run::preflight::Preflight;
use crate::scratch::{CleanUp, Earlier, Standing, scratch_standing};
use crate::step::{Observe, Step};
use crate::time::Timestamp;
use crate::world::Existence;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    Observing,
    Restoring(Box<Mutating>),
    Checking,
    Starting(Box<Mutating>),
    Confirming,
    CleaningUp(Box<CleanUp>),
    Finished,
}

/// A restore on its way; see [`RestoreRunRequest`] for what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreRunJob {
    request: RestoreRunRequest,
    state: State,
    report: RestoreRunReport,
    planning: Vec<String>,
    not_before: Option<Timestamp>,
    tries: u8,
    starts: u8,
    /// Tasks of the VMID that were there before ours.
    #[serde(default)]
    earlier: Earlier,
    /// Whether the process was restarted since the job began: whoever asked for the guest may have another one by now.
    #[serde(default)]
    interrupted: bool,
    /// How the start's task ended, when it did not end well.
    start_trouble: Option<String>,
    paused: Option<RemoteError>,
}

/// How often a look that failed is tried again before the job waits for somebody to mend it.
const MAX_TRIES: u8 = 4;
/// How often the guest is checked and the start request tried anew.
const MAX_STARTS: u8 = 4;
/// How long to wait between two looks; doubled with every try.
const PAUSE: Duration = Duration::from_millis(500);

impl RestoreRunJob {
    /// A restore that has not begun.
    pub fn new(request: RestoreRunRequest) -> Self {
        let report = RestoreRunReport::new(&request);
        Self {
            request,
            state: State::Observing,
            report,
            planning: Vec::new(),
            not_before: None,
            tries: 0,
            starts: 0,
            earlier: Earlier::default(),
            interrupted: false,
            start_trouble: None,
            paused: None,
        }
    }

    /// The archive.
    pub fn volid(&self) -> &VolumeId {
        &self.request.volid
    }

    /// The VMID that the guest gets.
    pub fn to(&self) -> Vmid {
        self.request.to
    }

    /// The record, when the job has ended.
    pub fn report(&self) -> Option<&RestoreRunReport> {
        matches!(self.state, State::Finished).then_some(&self.report)
    }

    /// The plan, once there is one.
    pub fn plan(&self) -> Option<&RestoreRunPlan> {
        self.report.plan.as_ref()
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
        self.interrupted = true;
        match &mut self.state {
            State::Restoring(mutating) | State::Starting(mutating) => mutating.resume(),
            State::CleaningUp(clean_up) => clean_up.resume(),
            State::Observing | State::Checking | State::Confirming | State::Finished => {}
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
            // Nothing is begun that was asked for before the process was restarted; what became of it is looked at.
            State::Restoring(mutating) if mutating.is_from_before() => self.look_at_subject(),
            // Right before the start, or not at all.
            State::Starting(mutating) if mutating.is_stale() => match mutating.next(now) {
                wait @ Next::Wait { .. } => wait,
                Next::Do(_) | Next::Pause(_) | Next::Done => self.look_at_guest(),
            },
            State::Restoring(mutating) | State::Starting(mutating) => mutating.next(now),
            State::Checking | State::Confirming => self.look_at_guest(),
            State::CleaningUp(clean_up) => clean_up.next(now),
            State::Finished => Next::Done,
        }
    }

    fn look_at_subject(&self) -> Next {
        Next::Do(Step::Observe(Observe::RestoreSubject {
            volid: self.request.volid.clone(),
            to: self.request.to,
        }))
    }

    fn look_at_guest(&self) -> Next {
        self.report.plan.as_ref().map_or(Next::Done, |plan| {
            Next::Do(Step::Observe(Observe::Restored {
                vmid: plan.vmid,
                storages: plan.storages(),
            }))
        })
    }

    pub(crate) fn record(&mut self, now: Timestamp, outcome: Outcome) {
        self.not_before = None;
        if !matches!(outcome, Outcome::Sent(_)) {
            if self.interrupted && self.is_abandoned() {
                return self.abandon();
            }
            self.look_again();
        }
        match (&mut self.state, outcome) {
            (State::Observing, Outcome::RestoreSubject(subject)) => self.prepare(now, &subject),
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
            (State::Checking, Outcome::Restored(facts)) => self.check(&facts),
            (State::Starting(mutating), outcome) => {
                mutating.record(now, outcome);
                let upid = mutating.upid().cloned();
                self.report.start_upid = upid.or(self.report.start_upid.take());
                if let Some(ended) = mutating.ended().cloned() {
                    self.start_ended(&ended);
                }
            }
            (State::Confirming, Outcome::Restored(facts)) => self.confirm(&facts),
            (State::Checking | State::Confirming, Outcome::Failed(error)) => {
                self.look_failed(now, error);
            }
            (State::CleaningUp(clean_up), outcome) => {
                clean_up.record(now, outcome);
                self.report.destroy_upid = clean_up.destroy_task().cloned();
                if let Some(end) = clean_up.ended().cloned() {
                    self.cleaned_up(end);
                }
            }
            _ => {}
        }
    }

    /// A request that is still to be sent, and was decided on what may have changed since, is decided anew.
    fn look_again(&mut self) {
        if matches!(&self.state, State::Starting(mutating) if mutating.is_stale()) {
            self.state = State::Checking;
        }
    }

    fn prepare(&mut self, now: Timestamp, subject: &RestoreSubject) {
        self.tries = 0;
        if let Some(archive) = &subject.archive {
            let node_now = subject.node.now_s.unwrap_or_else(|| now.secs());
            self.report.data_age_s = Some(node_now.saturating_sub(archive.ctime));
        }
        match preflight::check(&self.request, subject) {
            Preflight::Go { plan, guard } => {
                self.planning.extend(plan.lines());
                self.report.plan = Some(plan.as_ref().clone());
                self.report.nothing_left = false;
                let policy = &self.request.policy;
                let mut mutating = Mutating::new(
                    Mutation::RestoreGuest(plan),
                    policy.no_progress,
                    policy.settle,
                );
                if let Some(guard) = guard {
                    mutating = mutating.guarded(guard);
                }
                self.state = State::Restoring(Box::new(mutating));
            }
            Preflight::Stop {
                reasons,
                hints,
                lacking,
                trouble,
                plan,
            } => {
                if let Some(plan) = &plan {
                    self.planning.extend(plan.lines());
                }
                self.report.plan = plan.map(|plan| *plan);
                self.report.trouble = trouble;
                self.report.hints = hints;
                self.report.lacking = lacking;
                self.refuse(reasons);
            }
        }
    }

    fn not_observed(&mut self, now: Timestamp, error: RemoteError) {
        self.tries = self.tries.saturating_add(1);
        if error.class.is_transient() && self.tries < MAX_TRIES {
            // A `pveproxy` that is restarted is away for some seconds.
            self.planning.push(format!("trying again: {}", error.text));
            self.not_before = Some(now.plus(PAUSE * 2_u32.pow(self.tries.into())));
        } else {
            self.report.trouble = Some(error.class);
            self.refuse(vec![error.text]);
        }
    }

    /// Takes up how the restore's task ended. Only a task that ended well, and the effect of one whose answer was lost, lead
    /// to a guest that stays.
    fn restored(&mut self, ended: &Ended) {
        match ended {
            Ended::Task {
                verdict: verdict @ (TaskVerdict::Succeeded | TaskVerdict::Warnings(_)),
                log,
                elapsed_ms,
                ..
            } => {
                self.report.restore_ms = Some(*elapsed_ms);
                self.note_warnings(verdict, log);
                self.state = State::Checking;
            }
            Ended::EffectOnly => self.state = State::Checking,
            Ended::Task { verdict, .. } => {
                self.clean_up(format!("the restore failed: {verdict}"));
            }
            Ended::Refused(error) => {
                self.report.trouble = Some(error.class);
                self.clean_up(format!("the restore was refused: {}", error.text));
            }
            Ended::Stopped { reason, floor, .. } => {
                if *floor {
                    let subject = format!("guest {}", self.request.to);
                    self.report.findings.push(
                        Finding::new(codes::FLOOR_REACHED, subject, reason.clone())
                            .hint("free space, or name another storage with `--storage`"),
                    );
                }
                self.clean_up(format!("the restore was stopped: {reason}"));
            }
            Ended::Undetermined(text) => self.clean_up(text.clone()),
        }
    }

    /// Looks at what the restore made, before anything else happens to it.
    fn check(&mut self, facts: &RestoredFacts) {
        self.tries = 0;
        let Some(plan) = self.report.plan.clone() else {
            return;
        };
        let lease = self.named_lease(&plan);
        let standing = scratch_standing(&facts.guest, &lease);
        // Somebody may have started it, or begun a backup of it, as soon as it was there: then it is as little ours to judge
        // as to destroy, and the comparison still holds.
        let ours = match (&standing, &facts.guest.existence) {
            (Standing::Ours { .. }, _) => true,
            (Standing::Foreign(_), Existence::Guest(config)) => {
                let mark = config
                    .description
                    .as_deref()
                    .and_then(crate::mark::Mark::find);
                mark.as_ref() == Some(&plan.mark) && !config.is_create_stub()
            }
            _ => false,
        };
        let Some(written) = facts.written.as_ref().filter(|_| ours) else {
            return self.clean_up("after the restore the guest is not there as ours".to_owned());
        };
        let differences = compare::differences(&plan, written);
        if !differences.is_empty() {
            return self.differs(differences);
        }
        self.as_planned(&plan);
        let Standing::Ours { tasks, running, .. } = standing else {
            let state = facts.guest.state.as_ref();
            self.report.started = state.is_some_and(|state| state.running);
            // With the node, when it booted in between: that is what was asked for.
            if self.report.started {
                return self.finish(RestoreEnd::Restored);
            }
            return self.not_started("somebody else works on it");
        };
        if !self.request.start {
            return self.finish(RestoreEnd::Restored);
        }
        // Whoever asked for it may have brought the guest back by other means since: two of them would clash.
        if self.interrupted && !running {
            return self.not_started("it was interrupted before its start");
        }
        self.starts = self.starts.saturating_add(1);
        if self.starts > MAX_STARTS {
            return self.not_started("the start request does not get through");
        }
        let policy = &self.request.policy;
        let start = Mutation::start_restored(plan.kind, plan.vmid);
        let mutating = Mutating::new(start, policy.no_progress, policy.settle).knowing(tasks);
        self.state = State::Starting(Box::new(mutating));
    }

    fn look_failed(&mut self, now: Timestamp, error: RemoteError) {
        self.tries = self.tries.saturating_add(1);
        if self.tries < MAX_TRIES {
            self.not_before = Some(now.plus(PAUSE * 2_u32.pow(self.tries.into())));
        } else {
            // The guest is there, and nothing presses: it is looked at when the cause is mended.
            self.tries = 0;
            self.paused = Some(error);
        }
    }
}
