//! The planning of one pass: what is due by policy, in which order, and what is left undone until when; each with its reason.
//!
//! It is planned anew after each job, since the world moves on; so a plan needs no memory but its facts. Windows bound the
//! beginning of a job. Jobs that failed are tried again after a while, and at most [`MOST_TRIES`] times a window or a day; what
//! could not begin is tried again after the same while.

mod backup;
mod proof;
mod verify;

use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use felhom_ids::{GuestKind, StorageId, Vmid, VolumeId};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::calendar::{Open, TimeWindow};
use crate::job::{Job, JobKind};
use crate::judgement::Verdict;
use crate::selection::{Selectable, Selection};
use crate::time::Timestamp;

/// How often what fails is tried within a window, or within a day where no window is open.
pub const MOST_TRIES: usize = 3;
/// What is dated further ahead than this was dated by a clock that was wrong.
const FUTURE: Duration = Duration::from_hours(6);
const DAY: Duration = Duration::from_hours(24);

/// What is due when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Schedule {
    /// The guests that are backed up and proven.
    pub guests: Selection,
    /// When backups may begin.
    pub backup: TimeWindow,
    /// A good backup is at most this old, as far as the windows allow.
    pub backup_every: Duration,
    /// When restore tests may begin.
    pub proof: TimeWindow,
    /// Each guest is proven at least this often, as far as the windows allow.
    pub proof_every: Duration,
    /// When backup servers may be had to verify.
    pub verify: TimeWindow,
    /// How long after a failure it is tried again.
    pub retry_after: Duration,
    /// Whether a guest without a good backup, and a box without a proof, waits for no window.
    pub first_at_once: bool,
    /// How many restore tests one pass begins at most.
    pub proofs_per_pass: usize,
}

/// A guest, as the node and the journal know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassGuest {
    /// Its VMID.
    pub vmid: Vmid,
    /// Its kind.
    pub kind: GuestKind,
    /// Whether it is a template, which has no data of its own that changes.
    pub template: bool,
    /// Its tags.
    pub tags: Vec<String>,
    /// The pool that it is in.
    pub pool: Option<String>,
    /// When our backups of this very guest ended that were good.
    pub good: Vec<Timestamp>,
    /// When our backups of it ended that were not.
    pub failed: Vec<Timestamp>,
    /// Its newest archive that no backup of ours calls bad.
    pub archive: Option<VolumeId>,
    /// When restore tests of it passed or failed, and of which archive.
    pub proofs: Vec<(Timestamp, Verdict, VolumeId)>,
    /// When restore tests of it ended without a verdict.
    pub errors: Vec<Timestamp>,
    /// Archives of its VMID that were tested and turned out to be of another guest, or of nobody that is known.
    pub strangers: BTreeSet<VolumeId>,
    /// Where this pass made a good backup of it, after which nothing was pruned yet.
    pub fresh: Option<StorageId>,
}

/// A backup server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassServer {
    /// The storage that it stands behind.
    pub storage: StorageId,
    /// When verifies of ours ended that did all they could.
    pub verified: Vec<Timestamp>,
    /// When verifies of ours ended early.
    pub failed: Vec<Timestamp>,
}

/// Something that was tried and could not even begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedWork {
    /// What.
    pub work: Work,
    /// When it was tried last.
    pub at: Timestamp,
    /// What was in the way.
    pub why: String,
}

/// What a pass is planned from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassFacts {
    /// What time it is.
    pub now: Timestamp,
    /// Why the clocks cannot be believed.
    pub clock: Option<String>,
    /// The guests of the node.
    pub guests: Vec<PassGuest>,
    /// The backup servers of the configuration.
    pub servers: Vec<PassServer>,
    /// Numbers of scratch guests.
    pub scratch: RangeInclusive<Vmid>,
    /// Whether restore tests are set up.
    pub tests: bool,
    /// Whether rules say which backups are kept.
    pub prunes: bool,
    /// What passes tried lately and could not begin.
    pub refused: Vec<RefusedWork>,
    /// What jobs were to do that are left aside, since every process that went on with them was cut off.
    pub stuck: Vec<Work>,
    /// What this pass has begun already.
    pub begun: BTreeSet<Work>,
    /// Whether windows count.
    pub windows: bool,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "work", rename_all = "kebab-case")]
pub enum Work {
    /// Back a guest up.
    Backup {
        /// The guest.
        vmid: Vmid,
    },
    /// Remove archives of a guest that the rules no longer keep.
    Prune {
        /// The guest.
        vmid: Vmid,
        /// Where.
        storage: StorageId,
    },
    /// Restore-test an archive of a guest.
    Proof {
        /// The guest.
        vmid: Vmid,
        /// The archive; `None` while it has none.
        volid: Option<VolumeId>,
    },
    /// Have a backup server read backups back.
    Verify {
        /// The storage that it stands behind.
        storage: StorageId,
        /// When no further backup is begun.
        until: Option<Timestamp>,
    },
}

impl Work {
    /// What a job does, where it is something that passes do.
    pub fn of(job: &Job) -> Option<Self> {
        match &job.kind {
            JobKind::Backup(job) => Some(Self::Backup { vmid: job.vmid() }),
            JobKind::RestoreTest(job) => job.volid().guest().map(|vmid| Self::Proof {
                vmid,
                volid: Some(job.volid().clone()),
            }),
            JobKind::Prune(job) => Some(Self::Prune {
                vmid: job.vmid(),
                storage: job.storage().clone(),
            }),
            JobKind::Verify(job) => Some(Self::Verify {
                storage: job.target().storage.clone(),
                until: None,
            }),
            JobKind::RestoreRun(_)
            | JobKind::Reap(_)
            | JobKind::Exercise(_)
            | JobKind::Guard(_)
            | JobKind::Golden(_) => None,
        }
    }

    /// Whether both are the same thing to do, if perhaps with another archive or another end.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Backup { vmid: one }, Self::Backup { vmid: other })
            | (Self::Proof { vmid: one, .. }, Self::Proof { vmid: other, .. }) => one == other,
            (Self::Verify { storage: one, .. }, Self::Verify { storage: other, .. }) => {
                one == other
            }
            (Self::Prune { .. }, Self::Prune { .. }) => self == other,
            (
                Self::Backup { .. } | Self::Prune { .. } | Self::Proof { .. } | Self::Verify { .. },
                _,
            ) => false,
        }
    }
}

/// Something that is due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
    /// What.
    #[serde(flatten)]
    pub work: Work,
    /// Why now.
    pub reason: String,
}

/// Something that is not done now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// What.
    #[serde(flatten)]
    pub work: Work,
    /// Why not.
    pub reason: String,
    /// When it will be looked at again, in milliseconds since 1970.
    pub next: Option<Timestamp>,
    /// Whether policy wanted it by now.
    pub overdue: bool,
}

/// A guest that the policy leaves out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// The guest.
    pub vmid: Vmid,
    /// Why.
    pub reason: String,
}

/// What passes are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Chore {
    /// Backing guests up.
    Backups,
    /// Removing superseded archives.
    Pruning,
    /// Restore tests.
    Proofs,
    /// Having backup servers verify.
    Verifies,
}

impl fmt::Display for Chore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Backups => "backups",
            Self::Pruning => "pruning",
            Self::Proofs => "restore tests",
            Self::Verifies => "verifies",
        })
    }
}

/// Something that no pass does, because the configuration does not ask for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unasked {
    /// What.
    pub chore: Chore,
    /// What the configuration lacks.
    pub reason: String,
}

/// What one pass does, in this order, and what it does not.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PassPlan {
    /// What is due.
    pub due: Vec<Due>,
    /// What is not.
    pub left: Vec<Left>,
    /// Guests that are nobody's business here.
    pub out: Vec<LeftOut>,
    /// What no pass does as long as the configuration stays as it is.
    #[serde(default)]
    pub unasked: Vec<Unasked>,
}

/// Plans a pass. Pruning follows the backup that made it possible; then come the other backups, then proofs, then verifies.
pub fn plan_pass(schedule: &Schedule, facts: &PassFacts, zone: &TimeZone) -> PassPlan {
    let mut plan = PassPlan::default();
    let mut guests = Vec::new();
    for guest in &facts.guests {
        match reason_out(schedule, facts, guest) {
            None => guests.push(guest),
            Some(reason) => plan.out.push(LeftOut {
                vmid: guest.vmid,
                reason,
            }),
        }
    }
    let mut desk = Desk {
        schedule,
        facts,
        zone,
        plan,
    };
    desk.prunings(&guests);
    desk.backups(&guests);
    desk.proofs(&guests);
    desk.verifies();
    desk.plan
}

fn reason_out(schedule: &Schedule, facts: &PassFacts, guest: &PassGuest) -> Option<String> {
    if facts.scratch.contains(&guest.vmid) {
        return Some("its VMID is one of the scratch range".to_owned());
    }
    if guest.template {
        return Some("it is a template".to_owned());
    }
    let (is_in, by) = schedule.guests.of(&Selectable {
        vmid: guest.vmid,
        kind: guest.kind,
        tags: &guest.tags,
        pool: guest.pool.as_deref(),
    });
    if is_in {
        return None;
    }
    Some(by.map_or_else(
        || "schedule.guests does not name it".to_owned(),
        |term| format!("schedule.guests has `{term}`"),
    ))
}

/// What a plan is made on.
struct Desk<'a> {
    schedule: &'a Schedule,
    facts: &'a PassFacts,
    zone: &'a TimeZone,
    plan: PassPlan,
}

/// A window at this instant.
#[derive(Clone, Copy)]
struct Now {
    open: Option<Open>,
    /// Whether something may begin by it.
    may: bool,
    next: Option<Timestamp>,
}

impl Desk<'_> {
    fn window(&self, window: &TimeWindow) -> Now {
        let open = window.at(self.facts.now, self.zone);
        Now {
            open,
            may: open.is_some() || !self.facts.windows,
            next: window.next(self.facts.now, self.zone),
        }
    }

    /// What clocks that can be believed have dated.
    fn believed<'t>(
        &self,
        times: impl IntoIterator<Item = &'t Timestamp>,
    ) -> impl Iterator<Item = Timestamp> {
        let latest = self.facts.now.plus(FUTURE);
        times
            .into_iter()
            .copied()
            .filter(move |time| *time <= latest)
    }

    /// Why something that failed is not tried now, and when it is.
    fn resting<'t>(
        &self,
        failures: impl IntoIterator<Item = &'t Timestamp>,
        since_good: Option<Timestamp>,
        window: Now,
    ) -> Option<(String, Option<Timestamp>)> {
        let now = self.facts.now;
        let a_day_ago = Timestamp::from_millis(now.millis() - 86_400_000);
        let opened = window.open.map(|open| open.since);
        let from = opened.max(since_good).unwrap_or(a_day_ago).max(a_day_ago);
        let mut tries: Vec<Timestamp> = self.believed(failures).collect();
        tries.retain(|failed| *failed >= from && Some(*failed) >= since_good);
        tries.sort_unstable();
        let last = *tries.last()?;
        if tries.len() >= MOST_TRIES {
            let first = tries.first().copied().unwrap_or(last);
            let next = match window.open {
                Some(_) => window.next,
                None => Some(first.plus(DAY)),
            };
            let reason = format!("it failed {} times, and is left until later", tries.len());
            return Some((reason, next));
        }
        let again = last.plus(self.schedule.retry_after);
        (again > now).then(|| {
            let minutes = again.since(now).as_secs().div_ceil(60);
            let reason = format!("it failed lately, and is tried again in {minutes} min");
            (reason, Some(again))
        })
    }

    /// Why something that is due is not done now, and when it is looked at again.
    fn withheld(&self, work: &Work) -> Option<(String, Option<Timestamp>)> {
        if self.facts.begun.iter().any(|one| one.is_same(work)) {
            let next = self.facts.now.plus(self.schedule.retry_after);
            return Some(("this pass has tried it".to_owned(), Some(next)));
        }
        if self.facts.stuck.iter().any(|one| one.is_same(work)) {
            let reason = "a job of it was cut off again and again, and is left to a person";
            return Some((reason.to_owned(), None));
        }
        self.refused(work)
    }

    /// What could not begin is tried again for as long as that lasts, since a look is all that it costs, and nobody says when
    /// a disk will be back.
    fn refused(&self, work: &Work) -> Option<(String, Option<Timestamp>)> {
        let now = self.facts.now;
        let same = self.facts.refused.iter().filter(|one| {
            // Pruning follows a backup, and a verify has a record of its own.
            matches!(work, Work::Backup { .. } | Work::Proof { .. }) && one.work.is_same(work)
        });
        let last = same
            .filter(|one| one.at <= now.plus(FUTURE))
            .max_by_key(|one| one.at)?;
        let again = last.at.plus(self.schedule.retry_after);
        (again > now).then(|| {
            let (why, minutes) = (&last.why, again.since(now).as_secs().div_ceil(60));
            let reason = format!("it was held up, and is tried again in {minutes} min: {why}");
            (reason, Some(again))
        })
    }

    fn due(&mut self, work: Work, reason: impl Into<String>) {
        let reason = reason.into();
        match self.withheld(&work) {
            Some((reason, next)) => self.left(work, reason, next, true),
            None => self.plan.due.push(Due { work, reason }),
        }
    }

    fn left(
        &mut self,
        work: Work,
        reason: impl Into<String>,
        next: Option<Timestamp>,
        overdue: bool,
    ) {
        let reason = reason.into();
        self.plan.left.push(Left {
            work,
            reason,
            next,
            overdue,
        });
    }

    fn unasked(&mut self, chore: Chore, reason: &str) {
        let reason = reason.to_owned();
        self.plan.unasked.push(Unasked { chore, reason });
    }

    /// Nothing is pruned but after a good backup of this very pass, and by clocks that can be believed.
    fn prunings(&mut self, guests: &[&PassGuest]) {
        if !self.facts.prunes {
            // Where others make the backups there is nothing of ours to remove.
            if !self.schedule.backup.opens.is_empty() {
                let reason = "no `[backup] keep_*` says what to keep, so nothing is removed";
                self.unasked(Chore::Pruning, reason);
            }
            return;
        }
        for guest in guests {
            let Some(storage) = guest.fresh.clone() else {
                continue;
            };
            let work = Work::Prune {
                vmid: guest.vmid,
                storage,
            };
            match &self.facts.clock {
                None => self.due(work, "this pass made a good backup of it"),
                Some(why) => {
                    let reason = format!("nothing is pruned while the clocks disagree: {why}");
                    self.left(work, reason, None, false);
                }
            }
        }
    }
}

/// The cadence, before the next window: whether what happened `last` would be older than `every` when the window opens again.
fn would_be_late(last: Timestamp, every: Duration, next: Option<Timestamp>) -> bool {
    next.is_none_or(|next| last.plus(every) <= next)
}

/// For people: `26 h`, `3 d`.
fn ago(now: Timestamp, then: Timestamp) -> String {
    let hours = now.since(then).as_secs() / 3600;
    match hours {
        0..72 => format!("{hours} h"),
        _ => format!("{} d", hours / 24),
    }
}
