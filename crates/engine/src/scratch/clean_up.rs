//! The way of a guest of ours to its end: look, stop, destroy, and look again.

use std::collections::BTreeSet;
use std::time::Duration;

use felhom_ids::{GuestKind, StorageId, Upid, Vmid};
use serde::{Deserialize, Serialize};

use crate::finding::Finding;
use crate::job::Next;
use crate::mark::Mark;
use crate::mutating::{Ended, Mutating};
use crate::mutation::Mutation;
use crate::outcome::{Outcome, TaskVerdict};
use crate::policy::RestoreTestPolicy;
use crate::scratch::earlier::Earlier;
use crate::scratch::release::Release;
use crate::scratch::standing::{Lease, Standing, scratch_standing};
use crate::scratch::told;
use crate::step::Step;
use crate::time::Timestamp;
use crate::world::Existence;

/// How a clean-up ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CleanUpEnd {
    /// Nothing is left.
    Gone,
    /// The guest is gone; whether volumes of it are left cannot be seen.
    GoneUnseen(Finding),
    /// Something is left that we may not or cannot remove.
    LeftBehind(Finding),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Stage {
    Look,
    Acting(Box<Mutating>),
    Ended(CleanUpEnd),
}

/// The way of a scratch guest to its end; part of a job's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CleanUp {
    pub(super) vmid: Vmid,
    pub(super) storage: StorageId,
    /// Where volumes of a restore that stays may be besides.
    #[serde(default)]
    pub(super) others: Vec<StorageId>,
    pub(super) lease: Lease,
    pub(super) no_progress: Duration,
    pub(super) settle: Duration,
    pub(super) stage: Stage,
    pub(super) rounds: u8,
    pub(super) not_before: Option<Timestamp>,
    pub(super) trouble: Option<String>,
    /// The cut-off task that the last look showed.
    #[serde(default)]
    pub(super) unfinished: Option<Upid>,
    /// Whether a task of ours destroyed the guest and said so.
    #[serde(default)]
    pub(super) destroyed: bool,
    /// How far the release of what was cut off has come.
    #[serde(default)]
    pub(super) release: Release,
    /// Since when a restore under a named VMID is waited for.
    #[serde(default)]
    pub(super) waiting_since: Option<Timestamp>,
    /// What was to be restored under a named VMID.
    #[serde(default)]
    pub(super) kind: GuestKind,
}

/// Looks, stops, destroys, and looks again: a guest needs three rounds, the rest is patience with locks.
const MAX_ROUNDS: u8 = 8;

impl CleanUp {
    /// A clean-up of what the job with this mark may have made under `vmid`, by the restore task `restore` where it is known.
    pub fn new(policy: &RestoreTestPolicy, mark: Mark, restore: Option<Upid>) -> Self {
        Self {
            vmid: mark.vmid,
            storage: policy.target.clone(),
            others: Vec::new(),
            lease: Lease::new(policy, mark, restore),
            no_progress: policy.no_progress,
            settle: policy.settle,
            stage: Stage::Look,
            rounds: 0,
            not_before: None,
            trouble: None,
            unfinished: None,
            destroyed: false,
            release: Release::default(),
            waiting_since: None,
            kind: GuestKind::Lxc,
        }
    }

    /// The task that was to destroy the guest, where there was one.
    pub fn destroy_task(&self) -> Option<&Upid> {
        self.lease.destroy.as_ref()
    }

    /// The same clean-up, knowing the task that was to destroy the guest before.
    #[must_use]
    pub fn after_destroy(mut self, destroy: Option<Upid>) -> Self {
        self.lease.destroy = destroy;
        self
    }

    /// The tasks of the VMID that were there before ours.
    pub fn earlier(&self) -> &Earlier {
        &self.lease.earlier
    }

    /// The same clean-up, knowing the tasks of the VMID that were there before ours.
    #[must_use]
    pub fn later_than(mut self, earlier: Earlier) -> Self {
        self.lease.earlier = earlier;
        self
    }

    /// How it ended, when it has.
    pub fn ended(&self) -> Option<&CleanUpEnd> {
        match &self.stage {
            Stage::Ended(end) => Some(end),
            Stage::Look | Stage::Acting(_) => None,
        }
    }

    /// What to do next; `Next::Done` when it has ended.
    pub fn next(&self, now: Timestamp) -> Next {
        if let Some(until) = self.not_before.filter(|until| until.is_ahead_of(now)) {
            let reason = self.trouble.clone().unwrap_or_default();
            return Next::Wait { until, reason };
        }
        match &self.stage {
            Stage::Look => self.look(),
            // Right before the call, or not at all.
            Stage::Acting(mutating) if mutating.is_stale() => match mutating.next(now) {
                wait @ Next::Wait { .. } => wait,
                Next::Do(_) | Next::Pause(_) | Next::Done => self.look(),
            },
            Stage::Acting(mutating) => mutating.next(now),
            Stage::Ended(_) => Next::Done,
        }
    }

    fn look(&self) -> Next {
        let others = self.others.iter().cloned();
        let storages = std::iter::once(self.storage.clone()).chain(others);
        let look = self.lease.tenure.look(self.vmid, storages.collect());
        look.map_or(Next::Done, |look| Next::Do(Step::Observe(look)))
    }

    /// Takes up what became of the step that [`Self::next`] asked for.
    pub fn record(&mut self, now: Timestamp, outcome: Outcome) {
        self.not_before = None;
        let told = matches!(outcome, Outcome::Sent(_));
        match &mut self.stage {
            Stage::Look => self.looked(now, outcome),
            Stage::Acting(mutating) if mutating.is_stale() && !told => {
                let unsent = mutating.unsent().map(|error| error.text.clone());
                self.trouble = unsent.or(self.trouble.take());
                self.stage = Stage::Look;
                self.looked(now, outcome);
            }
            Stage::Acting(mutating) => {
                mutating.record(now, outcome);
                let name = mutating.mutation_name();
                let destroys = matches!(name, "destroy" | "destroy-restored");
                if destroys || name == "destroy-stub" {
                    self.lease.destroy = mutating.upid().cloned().or(self.lease.destroy.take());
                }
                if let Some(ended) = mutating.ended() {
                    self.destroyed = destroys && did(ended);
                    self.release.acted(name, ended);
                    self.trouble = ended.trouble().or(self.trouble.take());
                    self.stage = Stage::Look;
                }
            }
            Stage::Ended(_) => {}
        }
    }

    /// Begins again after a pause.
    pub fn resume(&mut self) {
        if let Stage::Acting(mutating) = &mut self.stage {
            mutating.resume();
        }
        self.not_before = None;
        self.rounds = 0;
        // Whoever was missing or unwilling may have been mended.
        self.release = Release::default();
    }

    fn looked(&mut self, now: Timestamp, outcome: Outcome) {
        self.rounds = self.rounds.saturating_add(1);
        if let Outcome::Failed(error) = outcome {
            return self.again(now, error.text);
        }
        let facts = if let Outcome::Scratch(facts) = outcome {
            *facts
        } else if let Outcome::Restored(facts) = outcome {
            facts.guest
        } else {
            return;
        };
        let kind = match &facts.existence {
            Existence::Guest(config) => config.kind,
            Existence::Absent | Existence::Unreadable(_) => GuestKind::Lxc,
        };
        match scratch_standing(&facts, &self.lease) {
            Standing::Gone => self.stage = Stage::Ended(CleanUpEnd::Gone),
            // A destruction frees every volume of the configuration before it removes that, and dies with the first that it
            // cannot free (pve-container LXC.pm `destroy_lxc_container`): its OK vouches for what the token may not see.
            Standing::GoneUnseen if self.destroyed => self.stage = Stage::Ended(CleanUpEnd::Gone),
            Standing::GoneUnseen => {
                let finding = told::unseen(self.subject(), self.vmid, &self.storage);
                self.stage = Stage::Ended(CleanUpEnd::GoneUnseen(finding));
            }
            Standing::Ours {
                running: true,
                lock: None,
                tasks,
            } => self.act(Mutation::stop(kind, self.vmid), tasks),
            Standing::Ours {
                running: false,
                lock: None,
                tasks,
            } => {
                self.lease.earlier.destroy.clone_from(&tasks);
                self.act(self.lease.tenure.removal(kind, self.vmid), tasks);
            }
            Standing::Ours {
                lock: Some(lock), ..
            } => self.again(now, format!("locked ({lock})")),
            Standing::Restoring(upid) => {
                self.be_patient(now);
                self.again(now, format!("`{upid}` still runs"));
            }
            Standing::Unknown(why) => self.again(now, why),
            // Configuration and tasks are read one after the other: a restore that ends in between looks like one that was
            // cut off, and only a second look tells them apart.
            Standing::Unfinished(upid) if self.unfinished.as_ref() != Some(&upid) => {
                let why = format!("`{upid}` seems to have been cut off");
                self.unfinished = Some(upid);
                self.again(now, why);
            }
            Standing::Unfinished(upid) => self.unfinished(kind, upid, &facts),
            Standing::Orphans(volumes) => self.leave(self.orphans(&volumes)),
            Standing::Foreign(why) => self.leave(self.foreign(kind, why)),
        }
    }

    fn foreign(&self, kind: GuestKind, why: String) -> Finding {
        let tool = kind.tool();
        let code = self.lease.tenure.foreign();
        Finding::new(code, self.subject(), why).hint(format!(
            "look at it with `{tool} config {}`; it is left alone",
            self.vmid
        ))
    }

    pub(super) fn act(&mut self, mutation: Mutation, tasks: BTreeSet<Upid>) {
        if self.rounds > MAX_ROUNDS {
            return self.give_up();
        }
        let mutating = Mutating::new(mutation, self.no_progress, self.settle).knowing(tasks);
        self.stage = Stage::Acting(Box::new(mutating));
    }

    fn again(&mut self, now: Timestamp, why: String) {
        self.trouble = Some(why);
        if self.rounds > MAX_ROUNDS {
            self.give_up();
        } else {
            self.not_before = Some(now.plus(Duration::from_millis(100 << self.rounds.min(6))));
        }
    }

    fn give_up(&mut self) {
        let why = self
            .trouble
            .clone()
            .unwrap_or_else(|| "it is still there".to_owned());
        let (code, hint) = self.lease.tenure.incomplete(self.kind, self.vmid);
        self.leave(Finding::new(code, self.subject(), why).hint(hint));
    }

    pub(super) fn leave(&mut self, finding: Finding) {
        self.stage = Stage::Ended(CleanUpEnd::LeftBehind(finding));
    }

    pub(super) fn subject(&self) -> String {
        self.lease.tenure.subject(self.vmid)
    }
}

fn did(ended: &Ended) -> bool {
    matches!(
        ended,
        Ended::Task {
            verdict: TaskVerdict::Succeeded,
            ..
        }
    )
}
