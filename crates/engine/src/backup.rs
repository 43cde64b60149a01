//! The job that backs one guest up and proves what is in the archive.

mod excludes;
mod forecast;
mod preflight;
mod report;
mod verdict;
mod volumes;

use std::collections::BTreeSet;

use felhom_ids::{GuestKind, StorageId, Vmid, VolumeId};
use serde::{Deserialize, Serialize};

pub use crate::backup::forecast::FormerBackup;
use crate::backup::preflight::Preflight;
pub use crate::backup::report::{BackupReport, BackupVerdict, Consistency};
pub use crate::backup::volumes::KnownVolumes;
use crate::finding::Finding;
use crate::inclusion::Inclusion;
use crate::job::Next;
use crate::mark::Mark;
use crate::mutating::{Ended, Mutating};
use crate::mutation::Mutation;
use crate::outcome::{ErrorClass, Outcome, RemoteError};
use crate::patience::Patience;
use crate::policy::BackupPolicy;
use crate::step::{Observe, Step};
use crate::time::Timestamp;
use crate::volumes::{JudgedVolumes, PlannedVolume};
use crate::world::{ArchiveContent, BackupResult, BackupSubject, GuestFingerprint, GuestState};

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupRequest {
    /// The guest.
    pub vmid: Vmid,
    /// Goes into the notes.
    pub mark: Mark,
    /// How.
    pub policy: BackupPolicy,
    /// What is known of the guest's Docker volumes; `None` when nobody told.
    #[serde(default)]
    pub volumes: Option<Box<KnownVolumes>>,
    /// The guest's last good backup.
    #[serde(default)]
    pub former: Option<Box<FormerBackup>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    Observing,
    Dumping {
        prepared: Box<Prepared>,
        mutating: Box<Mutating>,
    },
    ReadingBack {
        prepared: Box<Prepared>,
        ended: Ended,
    },
    ReadingArchive {
        prepared: Box<Prepared>,
        ended: Ended,
        result: Box<BackupResult>,
    },
    Finished(Box<BackupReport>),
}

/// What was known before the request, kept for the comparison afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Prepared {
    #[serde(default)]
    kind: GuestKind,
    name: Option<String>,
    plan: Vec<Inclusion>,
    #[serde(default)]
    volumes: Option<Vec<PlannedVolume>>,
    before: GuestState,
    fingerprint: GuestFingerprint,
    known: BTreeSet<VolumeId>,
}

/// A backup on its way; see [`BackupRequest`] for what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupJob {
    request: BackupRequest,
    state: State,
    findings: Vec<Finding>,
    planning: Vec<String>,
    #[serde(default)]
    patience: Patience,
    not_before: Option<Timestamp>,
    tries: u8,
    paused: Option<RemoteError>,
    /// Whether the archive stays until a person takes its protection off.
    #[serde(default)]
    protect: bool,
}

/// How often a look that failed is tried again before the job gives up or pauses.
const MAX_TRIES: u8 = 3;

impl BackupJob {
    /// A backup that has not begun.
    pub fn new(request: BackupRequest) -> Self {
        Self {
            request,
            state: State::Observing,
            findings: Vec::new(),
            planning: Vec::new(),
            patience: Patience::default(),
            not_before: None,
            tries: 0,
            paused: None,
            protect: false,
        }
    }

    /// The same, whose archive no retention removes.
    #[must_use]
    pub fn protecting(mut self) -> Self {
        self.protect = true;
        self
    }

    /// The guest.
    pub fn vmid(&self) -> Vmid {
        self.request.vmid
    }

    /// The record, when the job has ended.
    pub fn report(&self) -> Option<&BackupReport> {
        match &self.state {
            State::Finished(report) => Some(report),
            State::Observing
            | State::Dumping { .. }
            | State::ReadingBack { .. }
            | State::ReadingArchive { .. } => None,
        }
    }

    pub(crate) fn findings(&self) -> &[Finding] {
        &self.findings
    }

    pub(crate) fn planning(&self) -> &[String] {
        &self.planning
    }

    pub(crate) fn resume(&mut self) {
        self.paused = None;
        self.not_before = None;
        self.tries = 0;
        self.patience = Patience::default();
        if let State::Dumping { mutating, .. } = &mut self.state {
            mutating.resume();
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
            State::Observing => self.look(),
            State::Dumping { mutating, .. } if mutating.is_from_before() => self.look(),
            State::Dumping { mutating, .. } => mutating.next(now),
            State::ReadingBack { prepared, ended } => observe(Observe::BackupResult {
                vmid: self.request.vmid,
                storage: self.storage(),
                known: prepared.known.clone(),
                file: ended.log().and_then(verdict::archive_file),
                task: ended.upid().cloned(),
            }),
            State::ReadingArchive {
                prepared, result, ..
            } => self
                .read_archive(prepared, result)
                .map_or(Next::Done, observe),
            State::Finished(_) => Next::Done,
        }
    }

    fn look(&self) -> Next {
        observe(Observe::BackupSubject {
            vmid: self.request.vmid,
            storage: self.storage(),
        })
    }

    fn storage(&self) -> StorageId {
        self.request.policy.storage.clone()
    }

    pub(crate) fn record(&mut self, now: Timestamp, outcome: Outcome) {
        self.not_before = None;
        if !matches!(outcome, Outcome::Sent(_)) {
            self.look_again();
        }
        match (
            std::mem::replace(&mut self.state, State::Observing),
            outcome,
        ) {
            (State::Observing, Outcome::BackupSubject(subject)) => self.prepare(now, &subject),
            (State::Observing, Outcome::Failed(error)) => self.not_observed(now, error),
            (
                State::Dumping {
                    prepared,
                    mut mutating,
                },
                outcome,
            ) => {
                mutating.record(now, outcome);
                self.dumped(prepared, mutating);
            }
            (State::ReadingBack { prepared, ended }, Outcome::BackupResult(result)) => {
                self.state = self.read_back(now, prepared, ended, result);
            }
            (State::ReadingBack { prepared, ended }, Outcome::Failed(error)) => {
                self.not_read_back(now, prepared, ended, error);
            }
            (
                State::ReadingArchive {
                    prepared,
                    ended,
                    result,
                },
                Outcome::ArchiveContent(content),
            ) => {
                self.state = self.finish(&prepared, &ended, Some(&result), Some(Ok(&content)));
            }
            (
                State::ReadingArchive {
                    prepared,
                    ended,
                    result,
                },
                Outcome::Failed(error),
            ) => {
                self.state = self.finish(&prepared, &ended, Some(&result), Some(Err(&error)));
            }
            (state, _) => self.state = state,
        }
    }

    /// Nothing was sent, and what was seen before the restart may be days old.
    fn look_again(&mut self) {
        if let State::Dumping { mutating, .. } = &self.state
            && mutating.is_from_before()
        {
            self.findings.clear();
            self.state = State::Observing;
        }
    }

    fn prepare(&mut self, now: Timestamp, subject: &BackupSubject) {
        self.tries = 0;
        match preflight::check(&self.request, subject) {
            Preflight::Go { protected } => self.begin(now, subject, protected),
            Preflight::Wait(reason) => {
                let Some(pause) = self.patience.pause(self.request.policy.wait_limit) else {
                    self.refuse(
                        subject.config.hostname.clone(),
                        vec![format!("gave up waiting: {reason}")],
                        None,
                    );
                    return;
                };
                self.plan_line(format!("waiting: {reason}"));
                self.not_before = Some(now.plus(pause));
            }
            Preflight::Refuse(reasons) => {
                self.refuse(subject.config.hostname.clone(), reasons, None);
            }
        }
    }

    fn begin(&mut self, now: Timestamp, subject: &BackupSubject, protected: bool) {
        let judged = volumes::judged(&self.request, &subject.config);
        let prepared = Prepared {
            kind: subject.config.kind,
            name: subject.config.hostname.clone(),
            plan: crate::inclusion::planned_inclusion(&subject.config),
            volumes: judged.as_ref().map(JudgedVolumes::planned),
            before: subject.state.clone(),
            fingerprint: subject.config.fingerprint(),
            known: subject.known_backups.clone(),
        };
        for line in preflight::report(&self.request, subject, &prepared.plan, protected) {
            self.plan_line(line);
        }
        if self.protect {
            self.plan_line("  set protected, so that no retention removes it".to_owned());
        }
        self.take_volumes(now, subject, judged.as_ref());
        match &subject.excludes {
            Ok(patterns) => self.findings.extend(excludes::findings(
                &format!("guest {}", self.request.vmid),
                patterns,
                &prepared.plan,
                prepared.volumes.as_deref().unwrap_or_default(),
            )),
            Err(error) => self.plan_line(format!(
                "what the node's own configuration leaves out of every backup cannot be told: {error}"
            )),
        }
        // What was waited for before is none of what is waited for after.
        self.patience = Patience::default();
        let mutation = Mutation::Backup {
            vmid: self.request.vmid,
            storage: self.storage(),
            mode: self.request.policy.mode,
            protected: protected || self.protect,
            notes: preflight::notes(&self.request, &subject.config),
            lockwait_min: self.request.policy.lockwait_min,
            known: subject.known_backups.clone(),
        };
        let policy = &self.request.policy;
        let mutating = Mutating::new(mutation, policy.no_progress, policy.settle)
            .knowing(subject.tasks.clone());
        self.state = State::Dumping {
            prepared: Box::new(prepared),
            mutating: Box::new(mutating),
        };
    }

    fn plan_line(&mut self, line: String) {
        if self.planning.last() != Some(&line) {
            self.planning.push(line);
        }
    }

    fn read_back(
        &mut self,
        now: Timestamp,
        prepared: Box<Prepared>,
        ended: Ended,
        result: Box<BackupResult>,
    ) -> State {
        if self.waits_for_another(now, &result) {
            State::ReadingBack { prepared, ended }
        } else if self.read_archive(&prepared, &result).is_some() {
            State::ReadingArchive {
                prepared,
                ended,
                result,
            }
        } else {
            self.finish(&prepared, &ended, Some(&result), None)
        }
    }

    /// Somebody else's backup that began when ours ended locks the guest and snapshots it, which says nothing about ours.
    fn waits_for_another(&mut self, now: Timestamp, result: &BackupResult) -> bool {
        let Some(upid) = &result.other_backup else {
            return false;
        };
        let Some(pause) = self.patience.pause(self.request.policy.wait_limit) else {
            return false;
        };
        self.plan_line(format!(
            "waiting: another backup works on the guest (`{upid}`)"
        ));
        self.not_before = Some(now.plus(pause));
        true
    }

    /// A refused request left nothing to read back.
    fn dumped(&mut self, prepared: Box<Prepared>, mutating: Box<Mutating>) {
        self.state = match mutating.ended() {
            Some(ended) => State::ReadingBack {
                prepared,
                ended: ended.clone(),
            },
            None => State::Dumping { prepared, mutating },
        };
        if let State::ReadingBack {
            prepared,
            ended: Ended::Refused(error),
        } = &self.state
        {
            let (name, reasons, class) =
                (prepared.name.clone(), vec![error.text.clone()], error.class);
            self.refuse(name, reasons, Some(class));
        }
    }

    fn refuse(&mut self, name: Option<String>, reasons: Vec<String>, class: Option<ErrorClass>) {
        let mut report = verdict::empty(&self.request, BackupVerdict::Refused);
        report.name = name;
        report.reasons = reasons;
        report.refusal = class;
        report.findings.clone_from(&self.findings);
        self.state = State::Finished(Box::new(report));
    }

    fn not_observed(&mut self, now: Timestamp, error: RemoteError) {
        self.tries = self.tries.saturating_add(1);
        if error.class.is_transient() && self.tries < MAX_TRIES {
            // A `pveproxy` that is restarted is away for some seconds.
            self.plan_line(format!("trying again: {}", error.text));
            self.not_before = Some(now.plus(preflight::WAIT_STEP * 2_u32.pow(self.tries.into())));
        } else {
            // Nothing has happened yet, so there is nothing to come back for.
            self.refuse(None, vec![error.text], Some(error.class));
        }
    }

    fn not_read_back(
        &mut self,
        now: Timestamp,
        prepared: Box<Prepared>,
        ended: Ended,
        error: RemoteError,
    ) {
        if self.tries.saturating_add(1) >= MAX_TRIES && error.class.is_lasting() {
            self.state = self.finish_unread(&prepared, &ended, &error);
        } else {
            self.state = State::ReadingBack { prepared, ended };
            self.retry_or_pause(now, error);
        }
    }

    fn retry_or_pause(&mut self, now: Timestamp, error: RemoteError) {
        self.tries = self.tries.saturating_add(1);
        if self.tries < MAX_TRIES {
            self.not_before = Some(now.plus(preflight::WAIT_STEP));
        } else {
            self.tries = 0;
            self.paused = Some(error);
        }
    }

    /// The guest or the storage is gone, or hidden from us now: no later look will tell what the backup left.
    fn finish_unread(&mut self, prepared: &Prepared, ended: &Ended, error: &RemoteError) -> State {
        let mut report =
            verdict::report(&self.request, prepared, ended, None, None, &self.findings);
        report.worsen(
            BackupVerdict::Undetermined,
            format!("what the backup left cannot be looked at: {}", error.text),
        );
        self.findings.clone_from(&report.findings);
        State::Finished(Box::new(report))
    }

    fn finish(
        &mut self,
        prepared: &Prepared,
        ended: &Ended,
        result: Option<&BackupResult>,
        content: Option<Result<&ArchiveContent, &RemoteError>>,
    ) -> State {
        let report = verdict::report(
            &self.request,
            prepared,
            ended,
            result,
            content,
            &self.findings,
        );
        self.findings.clone_from(&report.findings);
        State::Finished(Box::new(report))
    }
}

fn observe(observe: Observe) -> Next {
    Next::Do(Step::Observe(observe))
}
