//! Which of our own archives may go. Whatever cannot be proven to be ours, and to be superseded, stays.
//!
//! The rules of Proxmox's own pruning decide what is kept; they decide among good archives of one guest only, so that a
//! bad backup never takes the place of a good one, and a guest that was given the same VMID later never takes the place
//! of the one before.

use std::collections::BTreeSet;

use felhom_ids::{Upid, Vmid, VolumeId};
use serde::{Deserialize, Serialize};

use crate::job::JobId;
use crate::mark::{InstallationId, Mark};
use crate::time::Timestamp;
use crate::world::{ArchiveFacts, GuestFingerprint};

/// How many good archives of a guest are kept on one storage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeepPolicy {
    /// The newest ones.
    pub last: u32,
    /// The newest of a day, for so many days.
    pub daily: u32,
    /// The newest of a week, for so many weeks.
    pub weekly: u32,
    /// The newest of a month, for so many months.
    pub monthly: u32,
    /// So many good ones stay in any case, and nothing goes that is not older than all of them.
    pub at_least: u32,
}

impl KeepPolicy {
    /// Keeps everything.
    pub fn keep_all() -> Self {
        Self {
            last: 0,
            daily: 0,
            weekly: 0,
            monthly: 0,
            at_least: Self::AT_LEAST,
        }
    }

    /// What [`Self::at_least`] is where nobody says anything else.
    pub const AT_LEAST: u32 = 2;

    /// Whether no rule is set, so that everything is kept.
    pub fn keeps_all(&self) -> bool {
        (self.last, self.daily, self.weekly, self.monthly) == (0, 0, 0, 0)
    }
}

/// What the journal knows of an archive that one of its jobs made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveRecord {
    /// The archive.
    pub volid: VolumeId,
    /// The job that made it.
    pub job: JobId,
    /// When that job ended, by our clock.
    pub finished: Timestamp,
    /// Bytes that it had on the storage then.
    pub size: Option<u64>,
    /// Who the guest was.
    pub fingerprint: GuestFingerprint,
    /// Whether what is in it was proven, and no restore test has failed on it since.
    pub good: bool,
    /// When a restore test passed on it last.
    pub proven: Option<Timestamp>,
}

/// A guest's archives on one storage, read right before something happens to one of them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct GuestArchives {
    /// All that can be seen; those that were asked for by name with their whole notes.
    pub archives: Vec<ArchiveFacts>,
    /// Every deletion task that the server lists.
    pub tasks: BTreeSet<Upid>,
    /// The node's clock, in seconds since the epoch; `None` when the token may not read it.
    pub now_s: Option<i64>,
    /// How many seconds the node's local time is ahead of UTC.
    pub offset_s: i64,
    /// `max-protected-backups` of the storage, where one is set.
    pub max_protected: Option<i64>,
}

/// PVE's default of `max-protected-backups` for callers without `Datastore.Allocate` (pve-storage Storage.pm).
const DEFAULT_MAX_PROTECTED: i64 = 5;

/// The limit that keeps a guest with so many protected archives from another one, on a storage with this
/// `max-protected-backups`; `None` when there is room. A negative limit is none.
pub(crate) fn protection_limit_reached(
    max_protected: Option<i64>,
    protected: usize,
) -> Option<i64> {
    let limit = max_protected.unwrap_or(DEFAULT_MAX_PROTECTED);
    let reached = limit >= 0 && i64::try_from(protected).unwrap_or(i64::MAX) >= limit;
    reached.then_some(limit)
}

/// What is to become of one archive, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The archive.
    pub volid: VolumeId,
    /// Whether it goes.
    pub delete: bool,
    /// Why.
    pub reason: String,
}

/// The node's clock and ours may differ by this much before neither is believed.
const MAX_SKEW_S: i64 = 3600;
/// An archive may be dated this far ahead of the node's clock: names have whole seconds.
const MAX_AHEAD_S: i64 = 60;

/// Decides about every archive that can be seen, newest first.
pub fn plan_retention(
    policy: &KeepPolicy,
    installation: &InstallationId,
    vmid: Vmid,
    records: &[ArchiveRecord],
    seen: &GuestArchives,
    now: Timestamp,
) -> Vec<Decision> {
    let mut archives: Vec<&ArchiveFacts> = seen.archives.iter().collect();
    archives.sort_by(|a, b| newest_first(a, b));
    let stop = reason_to_keep_all(policy, seen, now);
    let mut ours: Vec<Ours<'_>> = Vec::new();
    let mut decisions = Vec::new();
    for facts in archives {
        let reason = match (identify(facts, installation, vmid, records), &stop) {
            (Err(reason), _) => reason,
            (Ok(_), Some(stop)) => stop.clone(),
            (Ok(record), None) => {
                ours.push(Ours { facts, record });
                continue;
            }
        };
        decisions.push(keep(facts, reason));
    }
    for group in by_guest(ours) {
        decisions.extend(decide(policy, &group, seen.offset_s));
    }
    decisions.sort_by_key(|decision| {
        let place = |facts: &&ArchiveFacts| facts.volid == decision.volid;
        let ctime = seen.archives.iter().find(place).map(|facts| facts.ctime);
        (std::cmp::Reverse(ctime), decision.volid.clone())
    });
    decisions
}

/// An archive that is proven to be ours.
struct Ours<'a> {
    facts: &'a ArchiveFacts,
    record: &'a ArchiveRecord,
}

impl Ours<'_> {
    /// Whether it was made after the other one, by the node's clock and by ours.
    fn supersedes(&self, other: &Ours<'_>) -> bool {
        self.facts.ctime > other.facts.ctime && self.record.finished > other.record.finished
    }

    /// Whether both are of one guest. A time of creation that only one of them tells ties nobody to two guests which were made at
    /// different times.
    fn is_of_same_guest(&self, other: &Ours<'_>) -> bool {
        let (one, another) = (&self.record.fingerprint, &other.record.fingerprint);
        one.created_s == another.created_s && one.is_of_same_guest(another)
    }
}

fn newest_first(a: &ArchiveFacts, b: &ArchiveFacts) -> std::cmp::Ordering {
    (b.ctime, &b.volid).cmp(&(a.ctime, &a.volid))
}

/// Age decides about everything here: where clocks are not to be believed, nothing is decided.
fn reason_to_keep_all(policy: &KeepPolicy, seen: &GuestArchives, now: Timestamp) -> Option<String> {
    if policy.keeps_all() {
        return Some("everything is kept: no `keep_*` is configured".to_owned());
    }
    let Some(node) = seen.now_s else {
        return Some("the node's clock is unknown".to_owned());
    };
    let skew = node.abs_diff(now.secs());
    if skew > MAX_SKEW_S.unsigned_abs() {
        return Some(format!("the node's clock is {skew} s off ours"));
    }
    let latest = node.saturating_add(MAX_AHEAD_S);
    seen.archives
        .iter()
        .find(|facts| facts.ctime > latest)
        .map(|facts| {
            format!(
                "the clocks are implausible: `{}` is dated in the future",
                facts.volid
            )
        })
}

/// The record of the job that made this very archive, or why it counts as somebody else's.
fn identify<'a>(
    facts: &ArchiveFacts,
    installation: &InstallationId,
    vmid: Vmid,
    records: &'a [ArchiveRecord],
) -> Result<&'a ArchiveRecord, String> {
    if !records.iter().any(|record| record.volid == facts.volid) {
        return Err("not ours: the journal does not know it".to_owned());
    }
    let Some(mark) = facts.notes.as_deref().and_then(Mark::find) else {
        return Err("not ours: its notes do not carry our mark".to_owned());
    };
    if mark.installation != *installation || mark.vmid != vmid || facts.vmid != Some(vmid) {
        return Err("not ours: its notes carry another mark".to_owned());
    }
    let record = records
        .iter()
        .find(|record| record.volid == facts.volid && record.job == mark.job)
        .ok_or("not ours: the journal does not know the job of its mark")?;
    if record.size != Some(facts.size) {
        return Err("not ours: it is not as large as the archive that was made".to_owned());
    }
    if record.fingerprint.rootfs.is_none() {
        return Err("nobody knows which guest it is of".to_owned());
    }
    Ok(record)
}

/// Archives of one guest compete with each other, and with no others. Its interfaces may have been replaced one after another, so
/// that the first and the last archive have no address in common: those between them say that it is one guest.
fn by_guest(ours: Vec<Ours<'_>>) -> Vec<Vec<Ours<'_>>> {
    let mut groups: Vec<Vec<Ours<'_>>> = Vec::new();
    for one in ours {
        let (same, others): (Vec<_>, Vec<_>) = groups
            .into_iter()
            .partition(|group| group.iter().any(|other| other.is_of_same_guest(&one)));
        groups = others;
        groups.push(same.into_iter().flatten().chain([one]).collect());
    }
    for group in &mut groups {
        group.sort_by(|a, b| newest_first(a.facts, b.facts));
    }
    groups
}

/// Decides about one guest's archives, newest first.
fn decide(policy: &KeepPolicy, group: &[Ours<'_>], offset_s: i64) -> Vec<Decision> {
    let proven = group
        .iter()
        .filter(|one| one.record.good && one.record.proven.is_some())
        .max_by_key(|one| (one.record.proven, one.facts.ctime))
        .map(|one| &one.facts.volid);
    let rules = rules(policy, group, offset_s);
    let needed = usize::try_from(policy.at_least.max(1)).unwrap_or(usize::MAX);
    let mut good_kept: Vec<&Ours<'_>> = Vec::new();
    let mut decisions = Vec::new();
    for (one, rule) in group.iter().zip(rules) {
        let newer = good_kept.iter().filter(|kept| kept.supersedes(one)).count();
        let reason = if one.facts.protected {
            Some("protected".to_owned())
        } else if proven == Some(&one.facts.volid) {
            Some("the last one that passed a restore test".to_owned())
        } else if let Some(rule) = rule {
            Some(rule.to_owned())
        } else if newer < needed {
            Some(format!(
                "only {newer} good ones are newer, and {needed} must be"
            ))
        } else {
            None
        };
        if one.record.good && reason.is_some() {
            good_kept.push(one);
        }
        decisions.push(match reason {
            Some(reason) => keep(one.facts, reason),
            None => Decision {
                volid: one.facts.volid.clone(),
                delete: true,
                reason: superseded(one, newer),
            },
        });
    }
    decisions
}

fn superseded(one: &Ours<'_>, newer: usize) -> String {
    let what = if one.record.good {
        ""
    } else {
        "not good, and "
    };
    format!("{what}superseded: {newer} good ones that stay are newer")
}

fn keep(facts: &ArchiveFacts, reason: String) -> Decision {
    Decision {
        volid: facts.volid.clone(),
        delete: false,
        reason,
    }
}

/// The rule that keeps each archive. As in Proxmox's own pruning a period that an earlier rule serves does not count,
/// and protected archives do not compete.
fn rules(policy: &KeepPolicy, group: &[Ours<'_>], offset_s: i64) -> Vec<Option<&'static str>> {
    let mut kept: Vec<Option<&'static str>> = vec![None; group.len()];
    let competes = |one: &Ours<'_>| one.record.good && !one.facts.protected;
    let mut left = policy.last;
    for (one, slot) in group.iter().zip(&mut kept) {
        if left > 0 && competes(one) {
            *slot = Some("keep_last");
            left -= 1;
        }
    }
    for (name, number, format) in [
        ("keep_daily", policy.daily, "%Y-%m-%d"),
        ("keep_weekly", policy.weekly, "%G-%V"),
        ("keep_monthly", policy.monthly, "%Y-%m"),
    ] {
        let period = |one: &Ours<'_>| period(one.facts.ctime, offset_s, format);
        let mut served: BTreeSet<Option<String>> = group
            .iter()
            .zip(&kept)
            .filter(|(_, slot)| slot.is_some())
            .map(|(one, _)| period(one))
            .collect();
        let mut left = number;
        for (one, slot) in group.iter().zip(&mut kept) {
            if left > 0 && slot.is_none() && competes(one) && served.insert(period(one)) {
                *slot = Some(name);
                left -= 1;
            }
        }
    }
    kept
}

/// The day, week or month in the node's local time. A time that cannot be told is a period of its own.
fn period(ctime: i64, offset_s: i64, format: &str) -> Option<String> {
    let time = jiff::Timestamp::from_second(ctime.saturating_add(offset_s)).ok()?;
    Some(time.strftime(format).to_string())
}

#[cfg(test)]
mod tests;
