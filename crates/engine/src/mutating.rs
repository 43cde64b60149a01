//! Changing the world, once: list what is there, send one request, and after a lost answer look before anything else.
//!
//! "A task of our own that was not in the list before" is the only proof that our request started it: clocks jump, sets do not.

mod ended;

pub use ended::Ended;

use std::collections::BTreeSet;
use std::time::Duration;

use felhom_ids::Upid;
use serde::{Deserialize, Serialize};

use crate::job::Next;
use crate::mutation::Mutation;
use crate::outcome::{EffectSeen, ErrorClass, Followed, Outcome, RemoteError, Sent, TaskVerdict};
use crate::step::{Guard, Observe, Step};
use crate::time::Timestamp;

/// How often a request that certainly did not happen is sent again.
const MAX_SENDS: u8 = 3;
/// How often a step that could not be performed is tried again before the job pauses.
const MAX_TRIES: u8 = 4;
/// A task that is told to stop has five seconds before PVE kills it (pve-manager API2/Tasks.pm); what still runs well after
/// that was never told.
const STOP_PATIENCE: Duration = Duration::from_secs(12);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Stage {
    List,
    Send {
        known: BTreeSet<Upid>,
    },
    Find {
        known: BTreeSet<Upid>,
    },
    Follow {
        upid: Upid,
    },
    Stop {
        upid: Upid,
        reason: String,
        floor: bool,
    },
    FollowStopped {
        upid: Upid,
        reason: String,
        floor: bool,
    },
    Ended(Box<Ended>),
}

/// The way of one mutation from its first look to its end; part of a job's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mutating {
    mutation: Mutation,
    guard: Option<Guard>,
    no_progress: Duration,
    settle: Duration,
    stage: Stage,
    sends: u8,
    stops: u8,
    tries: u8,
    not_before: Option<Timestamp>,
    paused: Option<RemoteError>,
    /// Whether the process was restarted since the caller's last look.
    #[serde(default)]
    resumed: bool,
    /// Whether a first attempt was lost on the way.
    #[serde(default)]
    retried: bool,
    /// Why the last attempt certainly did not happen.
    #[serde(default)]
    unsent: Option<RemoteError>,
    /// The UPIDs that were listed before the first attempt that was lost.
    #[serde(default)]
    before: Option<BTreeSet<Upid>>,
    /// The UPIDs that were listed before the first attempt.
    #[serde(default)]
    first_listed: Option<BTreeSet<Upid>>,
    /// What a later attempt was answered with, while the lost one is looked for once more.
    #[serde(default)]
    refusal: Option<RemoteError>,
}

impl Mutating {
    /// A mutation that has not begun.
    pub fn new(mutation: Mutation, no_progress: Duration, settle: Duration) -> Self {
        let stage = if mutation.task().is_some() {
            Stage::List
        } else {
            Stage::Send {
                known: BTreeSet::new(),
            }
        };
        Self {
            mutation,
            guard: None,
            no_progress,
            settle,
            stage,
            sends: 0,
            stops: 0,
            tries: 0,
            not_before: None,
            paused: None,
            resumed: false,
            retried: false,
            unsent: None,
            before: None,
            first_listed: None,
            refusal: None,
        }
    }

    /// The same, with the UPIDs that were listed by the look right before.
    #[must_use]
    pub fn knowing(mut self, known: BTreeSet<Upid>) -> Self {
        self.first_listed = Some(known.clone());
        self.stage = Stage::Send { known };
        self
    }

    /// The same, stopped when something runs short.
    #[must_use]
    pub fn guarded(mut self, guard: Guard) -> Self {
        self.guard = Some(guard);
        self
    }

    /// Whether the request is still to be sent (or to be sent once more), and what the caller saw before it is no longer
    /// fresh: the process was restarted, or a first attempt was lost on the way. Whoever needs a proof right before the
    /// request looks again and begins anew.
    pub fn is_stale(&self) -> bool {
        (self.resumed || self.retried) && self.is_unsent()
    }

    /// Whether the process was restarted before the request was sent: what was seen may be days old.
    pub fn is_from_before(&self) -> bool {
        self.resumed && self.is_unsent()
    }

    /// Whether an attempt was sent whose answer nobody read, and whose task was not found.
    pub fn was_lost(&self) -> bool {
        self.before.is_some()
    }

    /// The UPIDs that were listed before anything was sent; `None` before the first look.
    pub fn listed_before(&self) -> Option<BTreeSet<Upid>> {
        self.first_listed.clone()
    }

    /// Why the request has not happened yet, when it was tried.
    pub fn unsent(&self) -> Option<&RemoteError> {
        self.unsent.as_ref().filter(|_| self.is_unsent())
    }

    /// Whether the request is still to be sent, for the first time or once more.
    pub(crate) fn is_unsent(&self) -> bool {
        matches!(self.stage, Stage::List | Stage::Send { .. })
    }

    /// The name of the mutation.
    pub fn mutation_name(&self) -> &'static str {
        self.mutation.name()
    }

    /// How it ended, when it has.
    pub fn ended(&self) -> Option<&Ended> {
        match &self.stage {
            Stage::Ended(ended) => Some(ended),
            Stage::List
            | Stage::Send { .. }
            | Stage::Find { .. }
            | Stage::Follow { .. }
            | Stage::Stop { .. }
            | Stage::FollowStopped { .. } => None,
        }
    }

    /// The task it runs as, when that is known.
    pub fn upid(&self) -> Option<&Upid> {
        match &self.stage {
            Stage::Follow { upid }
            | Stage::Stop { upid, .. }
            | Stage::FollowStopped { upid, .. } => Some(upid),
            Stage::Ended(ended) => ended.upid(),
            Stage::List | Stage::Send { .. } | Stage::Find { .. } => None,
        }
    }

    /// What to do next; `Next::Done` when it has ended.
    pub fn next(&self, now: Timestamp) -> Next {
        if let Some(error) = &self.paused {
            return Next::Pause(error.clone());
        }
        if let Some(until) = self.not_before.filter(|until| until.is_ahead_of(now)) {
            return Next::Wait {
                until,
                reason: format!("before trying `{}` again", self.mutation.name()),
            };
        }
        match &self.stage {
            Stage::List => self.mutation.task().map_or(Next::Done, |(kind, id)| {
                Next::Do(Step::Observe(Observe::Tasks {
                    principal: self.mutation.principal(),
                    kind: kind.to_owned(),
                    id,
                    remote: self.mutation.remote(),
                }))
            }),
            Stage::Send { .. } => Next::Do(Step::Mutate(self.mutation.clone())),
            Stage::Find { known } => Next::Do(Step::FindTask {
                mutation: self.mutation.clone(),
                known: known.clone(),
                settle: self.settle,
            }),
            Stage::Follow { upid } => Next::Do(self.follow(upid, self.guard.clone())),
            Stage::Stop { upid, .. } => Next::Do(Step::Mutate(Mutation::StopTask {
                principal: self.mutation.principal(),
                upid: upid.clone(),
                remote: self.mutation.remote(),
            })),
            Stage::FollowStopped { upid, .. } => Next::Do(Step::Follow {
                principal: self.mutation.principal(),
                upid: upid.clone(),
                guard: None,
                fills: None,
                no_progress: self.no_progress.min(STOP_PATIENCE),
                remote: self.mutation.remote(),
            }),
            Stage::Ended(_) => Next::Done,
        }
    }

    fn follow(&self, upid: &Upid, guard: Option<Guard>) -> Step {
        Step::Follow {
            principal: self.mutation.principal(),
            upid: upid.clone(),
            guard: guard.map(Box::new),
            fills: self.mutation.fills(),
            no_progress: self.no_progress,
            remote: self.mutation.remote(),
        }
    }

    /// Takes up what became of the step that [`Self::next`] asked for.
    pub fn record(&mut self, now: Timestamp, outcome: Outcome) {
        self.not_before = None;
        match (self.stage.clone(), outcome) {
            (Stage::List, Outcome::Tasks(known)) => {
                self.first_listed.get_or_insert_with(|| known.clone());
                self.stage = Stage::Send { known };
            }
            (Stage::Send { known }, Outcome::Sent(sent)) => self.sent(now, known, sent),
            (Stage::Find { .. }, Outcome::Found { upid, effect }) => self.found(upid, effect),
            (Stage::Follow { upid }, Outcome::Followed(followed)) => self.followed(upid, followed),
            (
                Stage::Stop {
                    upid,
                    reason,
                    floor,
                },
                Outcome::Sent(_),
            ) => {
                // Whatever the answer, the task itself tells how it ended; one that runs on is told again.
                self.stops = self.stops.saturating_add(1);
                self.stage = Stage::FollowStopped {
                    upid,
                    reason,
                    floor,
                };
            }
            (
                Stage::FollowStopped {
                    upid,
                    reason,
                    floor,
                },
                Outcome::Followed(followed),
            ) => {
                self.followed_stopped(upid, reason, floor, followed);
            }
            (_, Outcome::Failed(error)) => self.failed(now, error),
            // An outcome of another step than the one asked for: ask again.
            (stage, _) => self.stage = stage,
        }
    }

    /// Begins again after a pause: the process was restarted, the remote may be back.
    pub fn resume(&mut self) {
        self.paused = None;
        self.not_before = None;
        self.tries = 0;
        self.resumed = true;
    }

    fn sent(&mut self, now: Timestamp, known: BTreeSet<Upid>, sent: Sent) {
        self.sends = self.sends.saturating_add(1);
        match sent {
            Sent::Started(upid) => self.stage = Stage::Follow { upid },
            Sent::Done => {
                self.end(Ended::Task {
                    upid: None,
                    verdict: TaskVerdict::Succeeded,
                    log: Vec::new(),
                    elapsed_ms: 0,
                });
            }
            Sent::Refused(error)
                if error.class != ErrorClass::Locked || self.sends >= MAX_SENDS =>
            {
                // What was lost may have begun late, and be the very reason of the refusal.
                if let Some(known) = self.before.take() {
                    self.refusal = Some(error);
                    self.stage = Stage::Find { known };
                } else {
                    self.end(Ended::Refused(error));
                }
            }
            Sent::Refused(error) | Sent::NotSent(error) if self.sends < MAX_SENDS => {
                self.retried = true;
                self.not_before = Some(now.plus(Duration::from_millis(250 << self.sends)));
                self.unsent = Some(error);
            }
            Sent::Refused(error) | Sent::NotSent(error) => {
                self.sends = 0;
                self.paused = Some(error);
            }
            Sent::Lost(_) if self.mutation.task().is_some() => {
                self.before.get_or_insert_with(|| known.clone());
                self.stage = Stage::Find { known };
            }
            // Requests without a task are idempotent, and whoever asked re-reads their effect.
            Sent::Lost(error) => self.end(Ended::Undetermined(error.text)),
        }
    }

    fn found(&mut self, upid: Option<Upid>, effect: EffectSeen) {
        if let (None, Some(error)) = (&upid, self.refusal.take()) {
            return self.end(Ended::Refused(error));
        }
        match (upid, effect) {
            (Some(upid), _) => self.stage = Stage::Follow { upid },
            (None, EffectSeen::Yes) => self.end(Ended::EffectOnly),
            // Neither a task nor the effect after the settle time: it did not happen, and may be sent once more.
            (None, EffectSeen::No) if self.sends < MAX_SENDS => {
                self.retried = true;
                self.stage = Stage::List;
            }
            (None, EffectSeen::No | EffectSeen::Unknown) => {
                self.end(Ended::Undetermined(
                    "the answer was lost, and no task of ours can be found".into(),
                ));
            }
        }
    }

    fn followed(&mut self, upid: Upid, followed: Followed) {
        match followed {
            Followed::Ended {
                verdict,
                log,
                elapsed_ms,
            } => {
                self.end(Ended::Task {
                    upid: Some(upid),
                    verdict,
                    log,
                    elapsed_ms,
                });
            }
            Followed::Tripped { reason } => {
                self.stage = Stage::Stop {
                    upid,
                    reason,
                    floor: true,
                }
            }
            Followed::Stuck { silent_ms } => {
                let reason = format!("no progress for {} s", silent_ms / 1000);
                self.stage = Stage::Stop {
                    upid,
                    reason,
                    floor: false,
                };
            }
        }
    }

    fn followed_stopped(&mut self, upid: Upid, reason: String, floor: bool, followed: Followed) {
        match followed {
            Followed::Ended { verdict, log, .. } => {
                self.end(Ended::Stopped {
                    upid,
                    reason,
                    verdict,
                    log,
                    floor,
                });
            }
            Followed::Tripped { .. } | Followed::Stuck { .. } if self.stops < MAX_SENDS => {
                self.stage = Stage::Stop {
                    upid,
                    reason,
                    floor,
                };
            }
            Followed::Tripped { .. } | Followed::Stuck { .. } => {
                self.end(Ended::Undetermined(format!(
                    "{upid} was told to stop ({reason}) and still runs"
                )));
            }
        }
    }

    fn failed(&mut self, now: Timestamp, error: RemoteError) {
        self.tries = self.tries.saturating_add(1);
        // A look after the request costs nothing; a task that is left alone may cost the box.
        let looking = !self.is_unsent();
        if let (ErrorClass::NotFound, Some(upid)) = (error.class, self.upid()) {
            // The server forgets old tasks; waiting does not bring them back.
            let text = format!("the server does not know `{upid}` any more: {}", error.text);
            self.end(Ended::Undetermined(text));
        } else if (looking || error.class.is_transient()) && self.tries < MAX_TRIES {
            self.not_before = Some(now.plus(Duration::from_millis(250 << self.tries)));
        } else if matches!(self.stage, Stage::List) && !error.class.is_transient() {
            self.end(Ended::Refused(error));
        } else {
            self.tries = 0;
            self.paused = Some(error);
        }
    }

    fn end(&mut self, ended: Ended) {
        self.stage = Stage::Ended(Box::new(ended));
    }
}
