//! The job that has a server verify snapshots, one task each, and believes nothing but the list afterwards.
//!
//! One snapshot a task, since a task over many ends early when one is locked or gone, and nobody can tell which it left out.
//! Verifying twice does no harm, so a job that was interrupted goes on where it was.

use std::collections::VecDeque;
use std::time::Duration;

use felhom_ids::{BackupGroup, BackupSnapshot, Upid};
use serde::{Deserialize, Serialize};

use super::aftermath::{findings_of, sharing};
use super::due::plan_verify;
use super::facts::{Listing, Sight, Target};
use super::request::{VerifyReport, VerifyRequest, Wanted};
use super::verdict::{SnapshotVerdict, judge};
use crate::finding::Finding;
use crate::job::Next;
use crate::mutating::{Ended, Mutating};
use crate::mutation::Mutation;
use crate::outcome::{ErrorClass, Outcome, RemoteError};
use crate::step::{Observe, Step};
use crate::time::Timestamp;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    Looking,
    Verifying {
        snapshot: BackupSnapshot,
        mutating: Box<Mutating>,
        /// Our task, from the moment it is known: the server may forget it, the list does not.
        task: Option<Upid>,
    },
    Reading {
        snapshot: BackupSnapshot,
        task: Option<Upid>,
        ended: Box<Ended>,
    },
    Finished,
}

/// A verify on its way; see [`VerifyRequest`] for what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyJob {
    request: VerifyRequest,
    state: State,
    queue: VecDeque<BackupSnapshot>,
    report: VerifyReport,
    planning: Vec<String>,
    refusals: u8,
    tries: u8,
    not_before: Option<Timestamp>,
    paused: Option<RemoteError>,
}

/// How often a look that failed is tried again.
const MAX_TRIES: u8 = 4;
/// After how many refusals in a row no further snapshot is asked for.
const MAX_REFUSALS: u8 = 3;
/// Lines of the plan that are told one by one.
const TOLD: usize = 40;

impl VerifyJob {
    /// A job that has not begun.
    pub fn new(request: VerifyRequest) -> Self {
        let report = VerifyReport {
            target: request.target.clone(),
            verdicts: Vec::new(),
            left: Vec::new(),
            reason: None,
            trouble: None,
            sight: Sight::Unknown,
            findings: Vec::new(),
        };
        Self {
            request,
            state: State::Looking,
            queue: VecDeque::new(),
            report,
            planning: Vec::new(),
            refusals: 0,
            tries: 0,
            not_before: None,
            paused: None,
        }
    }

    /// Where the snapshots are.
    pub fn target(&self) -> &Target {
        &self.request.target
    }

    /// The snapshot that is verified now.
    pub fn current(&self) -> Option<&BackupSnapshot> {
        match &self.state {
            State::Verifying { snapshot, .. } | State::Reading { snapshot, .. } => Some(snapshot),
            State::Looking | State::Finished => None,
        }
    }

    /// The verdicts so far.
    pub fn verdicts(&self) -> &[SnapshotVerdict] {
        &self.report.verdicts
    }

    /// What will be verified next, in order, as soon as it was looked at.
    pub fn queue(&self) -> impl Iterator<Item = &BackupSnapshot> {
        self.queue.iter()
    }

    /// The record, when the job has ended.
    pub fn report(&self) -> Option<&VerifyReport> {
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
        self.not_before = None;
        self.paused = None;
        if let State::Verifying { mutating, .. } = &mut self.state {
            mutating.resume();
        }
    }

    fn may_begin(&self, now: Timestamp) -> bool {
        self.request.window.is_none_or(|window| window.is_open(now))
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
            State::Looking => self.look(self.only_group()),
            State::Reading { snapshot, .. } => self.look(Some(snapshot.group().clone())),
            // The window has closed before the request: a look ends it, and nothing is begun.
            State::Verifying {
                snapshot, mutating, ..
            } if mutating.is_unsent() && !self.may_begin(now) => {
                self.look(Some(snapshot.group().clone()))
            }
            State::Verifying { mutating, .. } => mutating.next(now),
            State::Finished => Next::Done,
        }
    }

    fn look(&self, group: Option<BackupGroup>) -> Next {
        Next::Do(Step::Observe(Observe::PbsSnapshots {
            target: Box::new(self.request.target.clone()),
            group,
        }))
    }

    /// The one group that all wanted snapshots are of.
    fn only_group(&self) -> Option<BackupGroup> {
        let named = match &self.request.wanted {
            Wanted::Named(named) => named,
            Wanted::Group(group) => return Some(group.clone()),
            Wanted::Due { .. } => return None,
        };
        let first = named.first()?.group();
        let same = named.iter().all(|one| one.group() == first);
        same.then(|| first.clone())
    }

    pub(crate) fn record(&mut self, now: Timestamp, outcome: Outcome) {
        self.not_before = None;
        let stopped = matches!(
            &self.state,
            State::Verifying { mutating, .. } if mutating.is_unsent() && !self.may_begin(now)
        );
        match (&mut self.state, outcome) {
            (State::Looking, Outcome::PbsSnapshots(seen)) => self.looked(now, &seen),
            (State::Reading { .. }, Outcome::PbsSnapshots(seen)) => self.read(now, &seen),
            (State::Verifying { .. }, Outcome::PbsSnapshots(_) | Outcome::Failed(_)) if stopped => {
                self.give_up_current();
                self.start(now);
            }
            (State::Looking | State::Reading { .. }, Outcome::Failed(error)) => {
                self.look_failed(now, error);
            }
            (
                State::Verifying {
                    snapshot,
                    mutating,
                    task,
                },
                outcome,
            ) => {
                mutating.record(now, outcome);
                if let Some(upid) = mutating.upid() {
                    *task = Some(upid.clone());
                }
                if let Some(ended) = mutating.ended() {
                    self.state = State::Reading {
                        snapshot: snapshot.clone(),
                        task: task.take(),
                        ended: Box::new(ended.clone()),
                    };
                }
            }
            // An outcome of another step than the one asked for: ask again.
            (State::Looking | State::Reading { .. } | State::Finished, _) => {}
        }
    }

    /// The window closed before the request was sent, or before it was sent once more.
    fn give_up_current(&mut self) {
        if let State::Verifying {
            snapshot, mutating, ..
        } = &self.state
        {
            if mutating.was_lost() {
                let why =
                    "an answer was lost, no task of ours can be found, and the window is over";
                let told = SnapshotVerdict::undetermined(snapshot.clone(), why);
                self.report.verdicts.push(told);
            } else {
                self.queue.push_front(snapshot.clone());
            }
        }
    }

    fn looked(&mut self, now: Timestamp, seen: &Listing) {
        self.tries = 0;
        self.report.sight = seen.sight;
        let target = &self.request.target;
        match &self.request.wanted {
            Wanted::Named(named) => {
                self.planning = vec![format!("verify {} snapshots on {target}", named.len())];
                for name in named {
                    match doubt(seen, name) {
                        None => self.queue.push_back(name.clone()),
                        Some(why) => {
                            let told = SnapshotVerdict::undetermined(name.clone(), &why);
                            self.report.verdicts.push(told);
                        }
                    }
                }
            }
            Wanted::Group(group) => {
                let mut backups = seen.group(group);
                backups.retain(|one| one.is_backup());
                let count = backups.len();
                self.planning = vec![format!("verify {count} backups {group} on {target}")];
                if count == 0 {
                    let why = match seen.sight.shortened() {
                        Some(shortened) => format!(
                            "the list holds no backup {group}, and may be shortened: {shortened}"
                        ),
                        None => format!("the server lists no backup {group}"),
                    };
                    return self.finish(Some(&why), Some(ErrorClass::NotFound));
                }
                self.queue
                    .extend(backups.into_iter().map(|one| one.name.clone()));
            }
            Wanted::Due {
                outdated_after,
                most,
            } => {
                let due = plan_verify(seen, *outdated_after, now);
                self.planning = vec![format!(
                    "verify {} of {} snapshots that are due, of {} on {target}",
                    due.len().min(*most),
                    due.len(),
                    seen.snapshots.len(),
                )];
                let told = due.iter().take((*most).min(TOLD));
                let lines = told.map(|due| format!("  {}: {}", due.snapshot, due.why));
                self.planning.extend(lines);
                let first = due.into_iter().take(*most);
                self.queue.extend(first.map(|due| due.snapshot));
            }
        }
        self.start(now);
    }

    /// Begins the next one, or ends.
    fn start(&mut self, now: Timestamp) {
        if self.queue.is_empty() {
            return self.finish(None, None);
        }
        if !self.may_begin(now) {
            return self.finish(Some("the window for verifying is not open"), None);
        }
        if let Some(snapshot) = self.queue.pop_front() {
            let mutation = Mutation::Verify {
                target: Box::new(self.request.target.clone()),
                snapshot: snapshot.clone(),
            };
            let (no_progress, settle) = (self.request.no_progress, self.request.settle);
            self.state = State::Verifying {
                snapshot,
                mutating: Box::new(Mutating::new(mutation, no_progress, settle)),
                task: None,
            };
        }
    }

    fn read(&mut self, now: Timestamp, seen: &Listing) {
        self.tries = 0;
        let State::Reading {
            snapshot,
            task,
            ended,
        } = &self.state
        else {
            return;
        };
        let told = judge(snapshot, task.as_ref(), ended, seen);
        let refused = match &**ended {
            Ended::Refused(error) => Some(error.clone()),
            Ended::Task { .. }
            | Ended::Stopped { .. }
            | Ended::EffectOnly
            | Ended::Undetermined(_) => None,
        };
        self.report.verdicts.push(told);
        match refused {
            None => self.refusals = 0,
            Some(error) => {
                self.refusals = self.refusals.saturating_add(1);
                // What the server says to one snapshot it says to all, and takes its time over it.
                let of_one = matches!(error.class, ErrorClass::Refused | ErrorClass::Locked);
                if self.refusals >= MAX_REFUSALS || !of_one {
                    return self.finish(Some(&error.text), Some(error.class));
                }
            }
        }
        self.start(now);
    }

    fn look_failed(&mut self, now: Timestamp, error: RemoteError) {
        self.tries = self.tries.saturating_add(1);
        if self.tries < MAX_TRIES && !error.class.is_lasting() {
            self.not_before = Some(now.plus(Duration::from_millis(250 << self.tries)));
            return;
        }
        self.tries = 0;
        let State::Reading { snapshot, .. } = &self.state else {
            // Nothing was begun.
            return self.finish(Some(&error.text), Some(error.class));
        };
        if !error.class.is_lasting() {
            // The verdict stands in the list, and waits there.
            self.paused = Some(error);
            return;
        }
        let why = format!("the list cannot be read after the verify: {}", error.text);
        let told = SnapshotVerdict::undetermined(snapshot.clone(), &why);
        self.report.verdicts.push(told);
        if error.class == ErrorClass::Forbidden {
            return self.finish(Some(&error.text), Some(error.class));
        }
        self.start(now);
    }

    fn finish(&mut self, why: Option<&str>, trouble: Option<ErrorClass>) {
        self.report.reason = why.map(str::to_owned);
        self.report.trouble = trouble;
        self.report.left = self.queue.drain(..).collect();
        sharing(&mut self.report.verdicts, &self.request.known_damage);
        self.report.findings = findings_of(&self.report);
        self.state = State::Finished;
    }
}

/// Why no task is started for a snapshot that was named.
fn doubt(seen: &Listing, name: &BackupSnapshot) -> Option<String> {
    let Some(one) = seen.get(name) else {
        let why = "the list does not hold the snapshot";
        return Some(match seen.sight.shortened() {
            Some(shortened) => format!("{why}, and may be shortened: {shortened}"),
            None => why.to_owned(),
        });
    };
    if one.is_in_progress() {
        return Some("the snapshot is in progress: it has no manifest yet".to_owned());
    }
    (!one.is_backup()).then(|| "the snapshot is empty".to_owned())
}
