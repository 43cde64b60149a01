//! The job that removes superseded archives of one guest from one storage, one at a time.
//!
//! Before every deletion everything is read anew and decided anew; after it the list says whether the archive is gone. A job
//! that was interrupted sees to the deletion it began, and begins no other: what it knew of the journal may be old.

use std::collections::BTreeMap;
use std::time::Duration;

use felhom_ids::{StorageId, Upid, Vmid, VolumeId};
use serde::{Deserialize, Serialize};

use crate::finding::{Finding, codes};
use crate::job::Next;
use crate::mark::InstallationId;
use crate::mutating::{Ended, Mutating};
use crate::mutation::Mutation;
use crate::outcome::{ErrorClass, Outcome, RemoteError, TaskVerdict};
use crate::retention::{ArchiveRecord, Decision, GuestArchives, KeepPolicy, plan_retention};
use crate::step::{Observe, Step};
use crate::time::Timestamp;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PruneRequest {
    /// The guest.
    pub vmid: Vmid,
    /// Where its archives lie.
    pub storage: StorageId,
    /// Whose journal this is in.
    pub installation: InstallationId,
    /// What is kept.
    pub policy: KeepPolicy,
    /// All that the journal knows of the guest's archives.
    pub records: Vec<ArchiveRecord>,
    /// How long a task may show neither a new log line nor an end.
    pub no_progress: Duration,
    /// How long "there is no such task" must hold before it counts.
    pub settle: Duration,
}

/// The record of one pruning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PruneReport {
    /// The guest.
    pub vmid: Vmid,
    /// Where its archives lie.
    pub storage: StorageId,
    /// What was decided about each archive, newest first, before the first deletion.
    pub decisions: Vec<Decision>,
    /// What is gone, in order.
    pub deleted: Vec<VolumeId>,
    /// What should be gone and is not, and why.
    pub left: BTreeMap<VolumeId, String>,
    /// Why it ended early.
    pub reason: Option<String>,
    /// What kind of trouble a remote gave.
    pub trouble: Option<ErrorClass>,
    /// The tasks, in order.
    pub upids: Vec<Upid>,
    /// What a person should know.
    pub findings: Vec<Finding>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    Looking,
    Deleting {
        volid: VolumeId,
        mutating: Box<Mutating>,
    },
    /// The request or its task has ended; the list says what became of the archive.
    Verifying {
        volid: VolumeId,
        /// Why it may still be there.
        why: String,
        /// Whether nobody can say what became of the request: then it is not sent again.
        doubt: bool,
    },
    Finished,
}

/// A pruning on its way; see [`PruneRequest`] for what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PruneJob {
    request: PruneRequest,
    state: State,
    report: PruneReport,
    planning: Vec<String>,
    sends: BTreeMap<VolumeId, u8>,
    resumed: bool,
    tries: u8,
    not_before: Option<Timestamp>,
}

/// How often a look that failed is tried again.
const MAX_TRIES: u8 = 4;
/// How often one archive's deletion is asked for, when its task failed.
const MAX_SENDS: u8 = 2;

impl PruneJob {
    /// A pruning that has not begun.
    pub fn new(request: PruneRequest) -> Self {
        let report = PruneReport {
            vmid: request.vmid,
            storage: request.storage.clone(),
            decisions: Vec::new(),
            deleted: Vec::new(),
            left: BTreeMap::new(),
            reason: None,
            trouble: None,
            upids: Vec::new(),
            findings: Vec::new(),
        };
        Self {
            request,
            state: State::Looking,
            report,
            planning: Vec::new(),
            sends: BTreeMap::new(),
            resumed: false,
            tries: 0,
            not_before: None,
        }
    }

    /// The guest.
    pub fn vmid(&self) -> Vmid {
        self.request.vmid
    }

    /// Where its archives lie.
    pub fn storage(&self) -> &StorageId {
        &self.request.storage
    }

    /// What was decided about each archive, as soon as it was looked at.
    pub fn decisions(&self) -> &[Decision] {
        &self.report.decisions
    }

    /// The record, when the job has ended.
    pub fn report(&self) -> Option<&PruneReport> {
        matches!(self.state, State::Finished).then_some(&self.report)
    }

    pub(crate) fn findings(&self) -> &[Finding] {
        &self.report.findings
    }

    pub(crate) fn planning(&self) -> &[String] {
        &self.planning
    }

    pub(crate) fn resume(&mut self) {
        self.resumed = true;
        self.tries = 0;
        self.not_before = None;
        if let State::Deleting { mutating, .. } = &mut self.state {
            mutating.resume();
        }
    }

    pub(crate) fn next(&self, now: Timestamp) -> Next {
        if let Some(until) = self.not_before.filter(|until| until.is_ahead_of(now)) {
            let reason = "before looking again".to_owned();
            return Next::Wait { until, reason };
        }
        match &self.state {
            State::Looking | State::Verifying { .. } => self.look(),
            // Right before the request, or not at all.
            State::Deleting { mutating, .. } if mutating.is_stale() => match mutating.next(now) {
                wait @ Next::Wait { .. } => wait,
                Next::Do(_) | Next::Pause(_) | Next::Done => self.look(),
            },
            State::Deleting { mutating, .. } => mutating.next(now),
            State::Finished => Next::Done,
        }
    }

    fn look(&self) -> Next {
        let records = self.request.records.iter();
        Next::Do(Step::Observe(Observe::Archives {
            vmid: self.request.vmid,
            storage: self.request.storage.clone(),
            whole: records.map(|record| record.volid.clone()).collect(),
        }))
    }

    pub(crate) fn record(&mut self, now: Timestamp, outcome: Outcome) {
        self.not_before = None;
        if let State::Deleting { mutating, .. } = &self.state
            && mutating.is_stale()
            && !matches!(outcome, Outcome::Sent(_))
        {
            self.state = State::Looking;
        }
        match (&mut self.state, outcome) {
            (State::Deleting { volid, mutating }, outcome) => {
                mutating.record(now, outcome);
                if let Some(ended) = mutating.ended() {
                    self.report.upids.extend(mutating.upid().cloned());
                    let (why, doubt) = told(ended);
                    let volid = volid.clone();
                    self.state = State::Verifying { volid, why, doubt };
                }
            }
            (State::Looking | State::Verifying { .. }, Outcome::Archives(seen)) => {
                self.tries = 0;
                self.looked(now, &seen);
            }
            (State::Looking | State::Verifying { .. }, Outcome::Failed(error)) => {
                self.look_failed(now, &error);
            }
            _ => {}
        }
    }

    fn looked(&mut self, now: Timestamp, seen: &GuestArchives) {
        if let State::Verifying { volid, why, doubt } = &self.state {
            if seen.archives.iter().any(|facts| facts.volid == *volid) {
                self.report.left.insert(volid.clone(), why.clone());
                if *doubt {
                    return self.finish(Some("nobody can say whether a deletion is on its way"));
                }
            } else {
                self.report.left.remove(volid);
                self.report.deleted.push(volid.clone());
            }
        }
        if self.resumed {
            return self.finish(Some(
                "interrupted; what is left to do is decided anew next time",
            ));
        }
        let request = &self.request;
        let plan = plan_retention(
            &request.policy,
            &request.installation,
            request.vmid,
            &request.records,
            seen,
            now,
        );
        if self.report.decisions.is_empty() {
            self.planning = lines(request, &plan);
            self.report.decisions.clone_from(&plan);
        }
        // The oldest first: whatever stops us, the newest are there.
        let due = plan.into_iter().rev().find(|decision| {
            let sent = self.sends.get(&decision.volid).copied().unwrap_or(0);
            let planned = self.report.decisions.iter();
            decision.delete
                && sent < MAX_SENDS
                && planned
                    .filter(|planned| planned.delete)
                    .any(|planned| planned.volid == decision.volid)
        });
        match due {
            Some(decision) => self.delete(decision.volid, seen),
            None => self.done(),
        }
    }

    /// Nothing is due any more. What was asked for in vain is told.
    fn done(&mut self) {
        for volid in self.sends.keys() {
            if !self.report.deleted.contains(volid) {
                let left = self.report.left.entry(volid.clone());
                left.or_insert_with(|| "the request does not get through".to_owned());
            }
        }
        self.finish(None);
    }

    fn delete(&mut self, volid: VolumeId, seen: &GuestArchives) {
        let sent = self.sends.entry(volid.clone()).or_default();
        *sent = sent.saturating_add(1);
        let mutation = Mutation::DeleteBackup {
            volid: volid.clone(),
        };
        let (no_progress, settle) = (self.request.no_progress, self.request.settle);
        let mutating = Mutating::new(mutation, no_progress, settle).knowing(seen.tasks.clone());
        self.state = State::Deleting {
            volid,
            mutating: Box::new(mutating),
        };
    }

    fn look_failed(&mut self, now: Timestamp, error: &RemoteError) {
        self.tries = self.tries.saturating_add(1);
        if self.tries < MAX_TRIES && error.class.is_transient() {
            self.not_before = Some(now.plus(Duration::from_millis(250 << self.tries)));
            return;
        }
        if let State::Verifying { volid, .. } = &self.state {
            let why = "nobody can say whether it is gone".to_owned();
            self.report.left.insert(volid.clone(), why);
        }
        self.report.trouble = Some(error.class);
        self.finish(Some(&error.text));
    }

    fn finish(&mut self, why: Option<&str>) {
        self.report.reason = why.map(str::to_owned);
        for (volid, why) in &self.report.left {
            let subject = volid.to_string();
            let hint = "`felhom-agent backup prune` tries again";
            let finding = Finding::new(codes::PRUNE_INCOMPLETE, subject, why.clone()).hint(hint);
            self.report.findings.push(finding);
        }
        self.state = State::Finished;
    }
}

/// Why the archive may still be there, and whether nobody can say.
fn told(ended: &Ended) -> (String, bool) {
    match ended {
        Ended::Task {
            verdict: TaskVerdict::Succeeded | TaskVerdict::Warnings(_),
            ..
        }
        | Ended::EffectOnly => (
            "the task was OK, but the archive is still there".into(),
            false,
        ),
        Ended::Task {
            verdict: verdict @ TaskVerdict::Undetermined(_),
            ..
        } => (verdict.to_string(), true),
        Ended::Task { verdict, .. } => (verdict.to_string(), false),
        Ended::Refused(error) => (error.text.clone(), false),
        Ended::Stopped { reason, .. } => (reason.clone(), true),
        Ended::Undetermined(text) => (text.clone(), true),
    }
}

fn lines(request: &PruneRequest, plan: &[Decision]) -> Vec<String> {
    let gone = plan.iter().filter(|decision| decision.delete).count();
    let mut lines = vec![format!(
        "remove {gone} of {} archives of guest {} from `{}`",
        plan.len(),
        request.vmid,
        request.storage
    )];
    lines.extend(plan.iter().map(|decision| {
        let verb = if decision.delete { "remove" } else { "keep" };
        format!("  {verb} {}: {}", decision.volid, decision.reason)
    }));
    lines
}
