//! The container that a golden archive is taken of: looked for, made by the root helper, and looked at.

use std::time::Duration;

use felhom_ids::{StorageId, Vmid, VolumeId};
use serde::{Deserialize, Serialize};

use crate::job::Next;
use crate::mark::golden_container;
use crate::mutating::{Ended, Mutating};
use crate::mutation::Mutation;
use crate::outcome::{ErrorClass, Outcome, RemoteError};
use crate::restore_run::golden_features_missing;
use crate::step::{Observe, Step};
use crate::time::Timestamp;
use crate::world::{Existence, GuestConfig, ScratchFacts};

/// How often the helper is asked: it makes nothing twice, so that after a lost reply, and a look that shows nothing, it may be
/// asked again.
const MAX_ASKS: u8 = 3;
/// How often a look that failed is tried again.
const MAX_TRIES: u8 = 4;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoldenRequest {
    /// The number that the container gets.
    pub vmid: Vmid,
    /// What it is made from.
    pub template: VolumeId,
    /// A storage to look at when the container is looked for.
    pub storage: StorageId,
    /// How long a container that is being made is waited for.
    pub no_progress: Duration,
    /// How long "it is not there" must hold before it counts.
    pub settle: Duration,
}

/// The record of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoldenReport {
    /// The container.
    pub vmid: Vmid,
    /// What it was to be made from.
    pub template: VolumeId,
    /// Whether it is there, and what it should be.
    pub ready: bool,
    /// Whether it was there before.
    pub existed: bool,
    /// Its features as they stand in its configuration.
    pub features: Option<String>,
    /// Why it is not ready.
    pub reasons: Vec<String>,
    /// What kind of trouble that was.
    pub trouble: Option<ErrorClass>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    Looking,
    Creating(Box<Mutating>),
    Finished,
}

/// The making of a golden container on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoldenJob {
    request: GoldenRequest,
    state: State,
    report: GoldenReport,
    planning: Vec<String>,
    asks: u8,
    tries: u8,
    waiting_since: Option<Timestamp>,
    not_before: Option<Timestamp>,
    /// How the last request ended, when it did not end well.
    trouble: Option<String>,
}

impl GoldenJob {
    /// A golden container that is not there yet, as far as is known.
    pub fn new(request: GoldenRequest) -> Self {
        let report = GoldenReport {
            vmid: request.vmid,
            template: request.template.clone(),
            ready: false,
            existed: false,
            features: None,
            reasons: Vec::new(),
            trouble: None,
        };
        Self {
            request,
            state: State::Looking,
            report,
            planning: Vec::new(),
            asks: 0,
            tries: 0,
            waiting_since: None,
            not_before: None,
            trouble: None,
        }
    }

    /// The container.
    pub fn vmid(&self) -> Vmid {
        self.request.vmid
    }

    /// The record, when the job has ended.
    pub fn report(&self) -> Option<&GoldenReport> {
        matches!(self.state, State::Finished).then_some(&self.report)
    }

    pub(crate) fn planning(&self) -> &[String] {
        &self.planning
    }

    pub(crate) fn resume(&mut self) {
        self.tries = 0;
        self.not_before = None;
        self.waiting_since = None;
        if let State::Creating(mutating) = &mut self.state {
            mutating.resume();
        }
    }

    pub(crate) fn next(&self, now: Timestamp) -> Next {
        if let Some(until) = self.not_before.filter(|until| until.is_ahead_of(now)) {
            let reason = self.trouble.clone().unwrap_or_default();
            return Next::Wait { until, reason };
        }
        match &self.state {
            State::Looking => self.look(),
            State::Creating(mutating) if mutating.is_stale() => match mutating.next(now) {
                wait @ Next::Wait { .. } => wait,
                Next::Do(_) | Next::Pause(_) | Next::Done => self.look(),
            },
            State::Creating(mutating) => mutating.next(now),
            State::Finished => Next::Done,
        }
    }

    fn look(&self) -> Next {
        Next::Do(Step::Observe(Observe::Scratch {
            vmid: self.request.vmid,
            storage: self.request.storage.clone(),
        }))
    }

    pub(crate) fn record(&mut self, now: Timestamp, outcome: Outcome) {
        self.not_before = None;
        if let State::Creating(mutating) = &self.state
            && mutating.is_stale()
            && !matches!(outcome, Outcome::Sent(_))
        {
            self.trouble = mutating.unsent().map(|error| error.text.clone());
            self.state = State::Looking;
        }
        match (&mut self.state, outcome) {
            (State::Looking, Outcome::Scratch(facts)) => self.looked(now, &facts),
            (State::Looking, Outcome::Failed(error)) => self.look_failed(now, error),
            (State::Creating(mutating), outcome) => {
                mutating.record(now, outcome);
                if let Some(ended) = mutating.ended().cloned() {
                    self.created(ended);
                }
            }
            (State::Looking | State::Finished, _) => {}
        }
    }

    fn created(&mut self, ended: Ended) {
        if let Ended::Refused(error) = ended {
            return self.refuse(error.text, error.class);
        }
        self.trouble = ended.trouble();
        self.state = State::Looking;
    }

    fn looked(&mut self, now: Timestamp, facts: &ScratchFacts) {
        self.tries = 0;
        let vmid = self.request.vmid;
        match &facts.existence {
            Existence::Absent if self.asks < MAX_ASKS => self.ask(),
            Existence::Absent => {
                let why = self.trouble.take();
                let why = why.unwrap_or_else(|| "the helper said that it is done".to_owned());
                let text = format!("there is no container {vmid}: {why}");
                self.refuse(text, ErrorClass::Garbage);
            }
            // Made before, and hidden from the token: the helper tells.
            Existence::Unreadable(_) if self.asks == 0 => self.ask(),
            Existence::Unreadable(why) => {
                let text = format!(
                    "container {vmid} is there, and our token may not look at it ({why}); it needs VM.Audit and VM.Backup on \
                     /vms/{vmid}, or the pool that `golden.pool` of /etc/felhom/hostd.toml names"
                );
                self.refuse(text, ErrorClass::Forbidden);
            }
            Existence::Guest(config) => self.judge(now, config),
        }
    }

    fn ask(&mut self) {
        let (vmid, template) = (self.request.vmid, self.request.template.clone());
        if self.asks == 0 {
            self.planning.push(format!(
                "the root helper makes container {vmid} from {template}: unprivileged, nesting=1, keyctl=1, never started"
            ));
        }
        self.asks = self.asks.saturating_add(1);
        let create = Mutation::CreateGolden { vmid, template };
        let mutating = Mutating::new(create, self.request.no_progress, self.request.settle);
        self.state = State::Creating(Box::new(mutating));
    }

    fn judge(&mut self, now: Timestamp, config: &GuestConfig) {
        let vmid = self.request.vmid;
        if let Some(lock) = &config.lock {
            return self.wait(now, &format!("container {vmid} is locked ({lock})"));
        }
        let of = config.description.as_deref().and_then(golden_container);
        if of != Some(vmid) {
            let text = format!("there is a guest {vmid}, and it is no golden container");
            return self.refuse(text, ErrorClass::Refused);
        }
        let missing = golden_features_missing(config);
        if !missing.is_empty() {
            let text = format!("container {vmid} lacks {}", missing.join(", "));
            return self.refuse(text, ErrorClass::Refused);
        }
        self.report.ready = true;
        self.report.existed = self.asks == 0;
        self.report.features.clone_from(&config.features);
        self.planning
            .push(format!("container {vmid} is there, as it should be"));
        self.state = State::Finished;
    }

    /// A reply that was lost may be of a container that is still being made.
    fn wait(&mut self, now: Timestamp, why: &str) {
        let since = *self.waiting_since.get_or_insert(now);
        self.trouble = Some(why.to_owned());
        if now.since(since) <= self.request.no_progress {
            self.not_before = Some(now.plus(self.request.settle.max(Duration::from_millis(100))));
        } else {
            let vmid = self.request.vmid;
            let text = format!(
                "{why}; when nothing makes it any more, as root on the node: pct unlock {vmid} && pct destroy {vmid}"
            );
            self.refuse(text, ErrorClass::Locked);
        }
    }

    fn look_failed(&mut self, now: Timestamp, error: RemoteError) {
        self.tries = self.tries.saturating_add(1);
        if self.tries < MAX_TRIES && !error.class.is_lasting() {
            self.trouble = Some(error.text);
            self.not_before = Some(now.plus(Duration::from_millis(250 << self.tries)));
        } else {
            self.refuse(error.text, error.class);
        }
    }

    fn refuse(&mut self, why: String, class: ErrorClass) {
        self.report.reasons.push(why);
        self.report.trouble = Some(class);
        self.state = State::Finished;
    }
}
