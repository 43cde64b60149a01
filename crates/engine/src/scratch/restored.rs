//! The proof for what a failed restore left under a VMID that a command named: it must never have been started, and no task
//! but ours may have touched it.

use std::fmt::Write;

use felhom_ids::{StorageId, Upid, Vmid, VolumeId};

use crate::finding::{Finding, codes};
use crate::mark::Mark;
use crate::restore_run::RestoreRunPolicy;
use crate::scratch::{CleanUp, Lease, Stage};
use crate::time::Timestamp;
use crate::world::ScratchFacts;

impl Lease {
    /// A lease of one VMID that a command named, for a restore that stays.
    pub fn named(mark: Mark, restore: Option<Upid>) -> Self {
        Self {
            first: mark.vmid,
            last: mark.vmid,
            mark,
            restore,
            destroy: None,
            named: true,
        }
    }

    /// Why a guest under a named VMID is not, or no longer, ours to destroy.
    pub(super) fn touched(&self, facts: &ScratchFacts) -> Option<String> {
        if !self.named {
            return None;
        }
        if facts.state.as_ref().is_none_or(|state| state.running) {
            return Some("it was started".to_owned());
        }
        let Some(last) = &facts.last_task else {
            return Some("which task touched it last cannot be seen".to_owned());
        };
        let is = |ours: &Option<Upid>, kind: &str| match ours {
            Some(ours) => *ours == last.upid,
            // The answer that named it was lost.
            None => last.upid.kind() == kind,
        };
        let untouched = is(&self.restore, "vzrestore") || is(&self.destroy, "vzdestroy");
        (!untouched).then(|| format!("`{}` touched it after the restore", last.upid))
    }
}

impl CleanUp {
    /// A clean-up of what a failed restore may have made, its volumes on these storages.
    pub fn of_restore(
        storages: &[StorageId],
        policy: &RestoreRunPolicy,
        mark: Mark,
        restore: Option<Upid>,
    ) -> Option<Self> {
        let (storage, others) = storages.split_first()?;
        Some(Self {
            vmid: mark.vmid,
            storage: storage.clone(),
            others: others.to_vec(),
            lease: Lease::named(mark, restore),
            no_progress: policy.no_progress,
            settle: policy.settle,
            stage: Stage::Look,
            rounds: 0,
            not_before: None,
            trouble: None,
            unfinished: None,
            destroyed: false,
            waiting_since: None,
        })
    }

    /// A restore of a whole guest may still run for hours; no look is counted for as long as silence is borne.
    pub(super) fn be_patient(&mut self, now: Timestamp) {
        let since = *self.waiting_since.get_or_insert(now);
        if self.lease.named && now.since(since) <= self.no_progress {
            self.rounds = self.rounds.min(5);
        }
    }
}

/// The stub of a restore that was to stay. Its VMID may have been somebody's before, so only volumes are named that were seen
/// after it: before it there were none.
pub(super) fn unfinished_restore(
    subject: String,
    vmid: Vmid,
    upid: &Upid,
    volumes: Option<&[VolumeId]>,
) -> Finding {
    let mut commands = format!("pct unlock {vmid} && pct destroy {vmid}");
    for volume in volumes.unwrap_or_default() {
        // Writing to a string does not fail.
        if write!(commands, " && pvesm free {volume}").is_err() {}
    }
    let unseen = format!("; then look for volumes of it with `pvesm list STORAGE --vmid {vmid}`");
    if volumes.is_none() {
        commands.push_str(&unseen);
    }
    Finding::new(
        codes::UNFINISHED_RESTORE,
        subject,
        format!("`{upid}` was cut off and left a locked stub; no API token can remove it"),
    )
    .hint(format!("as root on the node: {commands}"))
}
