//! What may be done to a scratch guest, by proof only, and the way to its end.
//!
//! Destroyed is only what the journal says we made, what carries our mark for this very VMID, and what lies in the scratch
//! range, all re-read right before the call. Of a failed restore under a VMID that a command named, only what besides was
//! never started and was touched by no task but ours. Everything else is left alone and becomes a finding.

mod restored;

use std::collections::BTreeSet;
use std::time::Duration;

use felhom_ids::{GuestKind, StorageId, Upid, Vmid, VolumeId};
use serde::{Deserialize, Serialize};

use crate::finding::{Finding, codes};
use crate::job::Next;
use crate::mark::Mark;
use crate::mutating::{Ended, Mutating};
use crate::mutation::Mutation;
use crate::outcome::{Outcome, TaskVerdict};
use crate::policy::RestoreTestPolicy;
use crate::restore_run::VolumesSeen;
use crate::scratch::restored::{is_restore, unfinished_restore};
use crate::step::{Observe, Step};
use crate::time::Timestamp;
use crate::world::{Existence, GuestConfig, ScratchFacts};

/// How a scratch VMID stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// No guest, no volumes.
    Gone,
    /// No guest; whether volumes are left cannot be seen with the rights of this token.
    GoneUnseen,
    /// No guest, but volumes of the VMID are left.
    Orphans(Vec<VolumeId>),
    /// Our guest, proven.
    Ours {
        /// Whether it runs.
        running: bool,
        /// A lock that stands in the way.
        lock: Option<String>,
        /// The tasks of the VMID that were listed.
        tasks: BTreeSet<Upid>,
    },
    /// Our restore still works on it.
    Restoring(Upid),
    /// A stub that our restore or our removal left: no token can take its lock away.
    Unfinished(Upid),
    /// Something that we cannot prove to be ours.
    Foreign(String),
    /// It could not be looked at.
    Unknown(String),
}

/// What the journal says of a scratch VMID: who made the guest, and by which tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Lowest scratch VMID.
    pub first: Vmid,
    /// Highest scratch VMID.
    pub last: Vmid,
    /// What the description of the guest must carry; names the VMID.
    pub mark: Mark,
    /// The task that restored it, where it is known.
    pub restore: Option<Upid>,
    /// The task that was to destroy it, where there was one.
    pub destroy: Option<Upid>,
    /// Whether a command named the VMID: then it lies where it may, and the guest must never have been started.
    #[serde(default)]
    pub named: bool,
    /// Volumes that bore a named VMID before the restore.
    #[serde(default)]
    pub before: VolumesSeen,
}

impl Lease {
    /// A lease of the policy's range.
    pub fn new(policy: &RestoreTestPolicy, mark: Mark, restore: Option<Upid>) -> Self {
        Self {
            first: policy.first_vmid,
            last: policy.last_vmid,
            mark,
            restore,
            destroy: None,
            named: false,
            before: VolumesSeen::new(),
        }
    }
}

/// Judges a scratch VMID by what is there and by what the journal says of it.
pub fn scratch_standing(facts: &ScratchFacts, lease: &Lease) -> Standing {
    let vmid = lease.mark.vmid;
    let config = match &facts.existence {
        Existence::Absent => {
            return match &facts.volumes {
                None => Standing::GoneUnseen,
                Some(volumes) if volumes.is_empty() => Standing::Gone,
                Some(volumes) => Standing::Orphans(volumes.clone()),
            };
        }
        Existence::Unreadable(why) => return Standing::Unknown(why.clone()),
        Existence::Container(config) => config,
    };
    if vmid < lease.first || vmid > lease.last {
        return Standing::Foreign(format!("{vmid} lies outside the scratch range"));
    }
    if config.is_create_stub() || config.is_restore_stub() {
        return stub_standing(facts, lease);
    }
    if config.is_destroyed_stub() {
        return destroyed_standing(facts, lease.destroy.as_ref());
    }
    match config.description.as_deref().and_then(Mark::find) {
        Some(found) if found == lease.mark => match lease.touched(facts) {
            Some(why) => Standing::Foreign(why),
            None => Standing::Ours {
                running: facts.state.as_ref().is_some_and(|state| state.running),
                lock: config.lock.clone(),
                tasks: facts.tasks.clone(),
            },
        },
        Some(found) => Standing::Foreign(format!(
            "it carries the mark of {}",
            describe(&found, &lease.mark)
        )),
        None => Standing::Foreign(format!("it carries no mark of ours{}", name(config))),
    }
}

fn stub_standing(facts: &ScratchFacts, lease: &Lease) -> Standing {
    let Some(last) = &facts.last_task else {
        return Standing::Foreign(
            "a stub without a mark, and no task that made it is known".into(),
        );
    };
    match &lease.restore {
        // Whose it is, its mark will tell when it has ended.
        None if lease.named && last.running && is_restore(&last.upid) => {
            Standing::Restoring(last.upid.clone())
        }
        Some(ours) if *ours == last.upid && last.running => Standing::Restoring(last.upid.clone()),
        Some(_) if lease.may_destroy_stub(facts) => Standing::Ours {
            running: false,
            lock: None,
            tasks: facts.tasks.clone(),
        },
        Some(ours) if *ours == last.upid => Standing::Unfinished(last.upid.clone()),
        _ => Standing::Foreign(format!(
            "a stub without a mark, last touched by `{}`",
            last.upid
        )),
    }
}

fn destroyed_standing(facts: &ScratchFacts, destroy: Option<&Upid>) -> Standing {
    match (&facts.last_task, destroy) {
        (Some(last), Some(ours)) if *ours == last.upid && !last.running => {
            Standing::Unfinished(last.upid.clone())
        }
        (Some(last), _) => Standing::Foreign(format!(
            "a stub with `lock: destroyed`, last touched by `{}`",
            last.upid
        )),
        (None, _) => Standing::Foreign(
            "a stub with `lock: destroyed`, and no task that made it is known".into(),
        ),
    }
}

fn describe(found: &Mark, ours: &Mark) -> String {
    if found.installation != ours.installation {
        format!("another installation ({})", found.installation)
    } else if found.vmid != ours.vmid {
        format!("guest {} (a clone copies descriptions)", found.vmid)
    } else {
        format!("another job ({})", found.job)
    }
}

fn name(config: &GuestConfig) -> String {
    config
        .hostname
        .as_deref()
        .map(|name| format!(" (`{name}`)"))
        .unwrap_or_default()
}

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
enum Stage {
    Look,
    Acting(Box<Mutating>),
    Ended(CleanUpEnd),
}

/// The way of a scratch guest to its end; part of a job's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CleanUp {
    vmid: Vmid,
    storage: StorageId,
    /// Where volumes of a restore that stays may be besides.
    #[serde(default)]
    others: Vec<StorageId>,
    lease: Lease,
    no_progress: Duration,
    settle: Duration,
    stage: Stage,
    rounds: u8,
    not_before: Option<Timestamp>,
    trouble: Option<String>,
    /// The cut-off task that the last look showed.
    #[serde(default)]
    unfinished: Option<Upid>,
    /// Whether a task of ours destroyed the guest and said so.
    #[serde(default)]
    destroyed: bool,
    /// Since when a restore under a named VMID is waited for.
    #[serde(default)]
    waiting_since: Option<Timestamp>,
    /// What was to be restored under a named VMID.
    #[serde(default)]
    kind: GuestKind,
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
        let (vmid, storage) = (self.vmid, self.storage.clone());
        Next::Do(Step::Observe(if self.lease.named {
            let others = self.others.iter().cloned();
            let storages = std::iter::once(storage).chain(others).collect();
            Observe::Restored { vmid, storages }
        } else {
            Observe::Scratch { vmid, storage }
        }))
    }

    /// Takes up what became of the step that [`Self::next`] asked for.
    pub fn record(&mut self, now: Timestamp, outcome: Outcome) {
        self.not_before = None;
        let told = matches!(outcome, Outcome::Sent(_));
        match &mut self.stage {
            Stage::Look => self.looked(now, outcome),
            Stage::Acting(mutating) if mutating.is_stale() && !told => {
                self.stage = Stage::Look;
                self.looked(now, outcome);
            }
            Stage::Acting(mutating) => {
                mutating.record(now, outcome);
                let destroys = matches!(mutating.mutation_name(), "destroy" | "destroy-restored");
                if destroys {
                    self.lease.destroy = mutating.upid().cloned().or(self.lease.destroy.take());
                }
                if let Some(ended) = mutating.ended() {
                    self.destroyed = destroys && did(ended);
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
            Existence::Container(config) => config.kind,
            Existence::Absent | Existence::Unreadable(_) => GuestKind::Lxc,
        };
        match scratch_standing(&facts, &self.lease) {
            Standing::Gone => self.stage = Stage::Ended(CleanUpEnd::Gone),
            // A destruction frees every volume of the configuration before it removes that, and dies with the first that it
            // cannot free (pve-container LXC.pm `destroy_lxc_container`): its OK vouches for what the token may not see.
            Standing::GoneUnseen if self.destroyed => self.stage = Stage::Ended(CleanUpEnd::Gone),
            Standing::GoneUnseen => {
                let finding = unseen(self.subject(), self.vmid, &self.storage);
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
            } => self.act(self.removal(kind), tasks),
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
            Standing::Unfinished(upid) => self.leave(self.cut_off(kind, &upid, &facts)),
            Standing::Orphans(volumes) => self.leave(self.orphans(&volumes)),
            Standing::Foreign(why) => self.leave(self.foreign(kind, why)),
        }
    }

    fn removal(&self, kind: GuestKind) -> Mutation {
        if self.lease.named {
            Mutation::destroy_restored(kind, self.vmid)
        } else {
            Mutation::destroy(kind, self.vmid)
        }
    }

    fn cut_off(&self, kind: GuestKind, upid: &Upid, facts: &ScratchFacts) -> Finding {
        let subject = self.subject();
        match (self.lease.named, kind) {
            (true, _) => unfinished_restore(subject, &self.lease, upid, facts),
            (false, GuestKind::Lxc) => unfinished(subject, self.vmid, upid),
            (false, GuestKind::Qemu) => unfinished_machine(subject, self.vmid, upid),
        }
    }

    fn foreign(&self, kind: GuestKind, why: String) -> Finding {
        let tool = kind.tool();
        let code = if self.lease.named {
            codes::RESTORE_LEFTOVER
        } else {
            codes::SCRATCH_FOREIGN
        };
        Finding::new(code, self.subject(), why).hint(format!(
            "look at it with `{tool} config {}`; it is left alone",
            self.vmid
        ))
    }

    fn act(&mut self, mutation: Mutation, tasks: BTreeSet<Upid>) {
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
        let vmid = self.vmid;
        let (code, hint) = if self.lease.named {
            let tool = self.kind.tool();
            let hint = format!(
                "when the cause is gone, and `{tool} config {vmid}` shows what the failed restore made: {tool} destroy {vmid}"
            );
            (codes::RESTORE_LEFTOVER, hint)
        } else {
            let hint = "run `felhom-agent restore-test reap` when the cause is gone";
            (codes::CLEAN_UP_INCOMPLETE, hint.to_owned())
        };
        self.leave(Finding::new(code, self.subject(), why).hint(hint));
    }

    fn leave(&mut self, finding: Finding) {
        self.stage = Stage::Ended(CleanUpEnd::LeftBehind(finding));
    }

    fn subject(&self) -> String {
        let what = if self.lease.named { "guest" } else { "scratch" };
        format!("{what} {}", self.vmid)
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

fn unseen(subject: String, vmid: Vmid, storage: &StorageId) -> Finding {
    Finding::new(
        codes::LIST_MAY_BE_SHORTENED,
        subject,
        format!("whether volumes of it are left on `{storage}` cannot be seen"),
    )
    .hint(format!(
        "as root on the node: pvesm list {storage} --vmid {vmid}"
    ))
}

fn unfinished(subject: String, vmid: Vmid, upid: &Upid) -> Finding {
    Finding::new(
        codes::UNFINISHED_RESTORE,
        subject,
        format!("`{upid}` was cut off and left a locked stub; no API token can remove it"),
    )
    .hint(format!(
        "as root on the node: pct unlock {vmid} && pct destroy {vmid} --destroy-unreferenced-disks 1; \
         then `felhom-agent restore-test reap`"
    ))
}

/// What a failed or cut-off restore of a virtual machine leaves: a configuration without a mark, outside of the pool from which
/// the restore-test principal has its rights (qemu-server API2/Qemu.pm: "state is NOT cleaned up").
fn unfinished_machine(subject: String, vmid: Vmid, upid: &Upid) -> Finding {
    Finding::new(
        codes::UNFINISHED_RESTORE,
        subject,
        format!("`{upid}` did not come to its end and left an empty virtual machine, which our principal may not remove"),
    )
    .hint(format!(
        "as root on the node: qm unlock {vmid}; qm destroy {vmid} --destroy-unreferenced-disks 1; \
         then `felhom-agent restore-test reap`"
    ))
}

fn orphans(subject: String, volumes: &[&VolumeId]) -> Finding {
    let names: Vec<String> = volumes.iter().map(ToString::to_string).collect();
    Finding::new(
        codes::ORPHAN_VOLUMES,
        subject,
        format!("left without a guest: {}", names.join(", ")),
    )
    .hint(
        names
            .iter()
            .map(|name| format!("pvesm free {name}"))
            .collect::<Vec<_>>()
            .join(" && "),
    )
}
