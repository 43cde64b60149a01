//! The proof for what a failed restore left under a VMID that a command named: it must never have been started, and no task
//! but ours may have touched it.

use felhom_ids::{GuestKind, StorageId, Upid, VolumeId};

use crate::finding::{Finding, codes};
use crate::mark::Mark;
use crate::restore_run::{RestoreRunPolicy, VolumesSeen};
use crate::scratch::clean_up::{CleanUp, Stage};
use crate::scratch::earlier::Earlier;
use crate::scratch::release::Release;
use crate::scratch::standing::Lease;
use crate::scratch::tenure::Tenure;
use crate::scratch::told::{listed, of_another, orphans};
use crate::time::Timestamp;
use crate::world::{Existence, ScratchFacts, TaskFacts};

impl Lease {
    /// A lease of one VMID that a command named, for a restore that stays.
    pub fn named(mark: Mark, restore: Option<Upid>) -> Self {
        Self {
            first: mark.vmid,
            last: mark.vmid,
            mark,
            restore,
            destroy: None,
            tenure: Tenure::Named,
            before: VolumesSeen::new(),
            earlier: Earlier::default(),
        }
    }

    /// The same, knowing which volumes bore the VMID before the restore.
    #[must_use]
    pub fn after(mut self, before: VolumesSeen) -> Self {
        self.before = before;
        self
    }

    /// Whether a volume that bears the VMID was made by us: everything in the scratch range is. A named VMID may have been
    /// somebody's, whose last copy this is, so there it must be missing from a list that nothing had shortened.
    pub(super) fn made(&self, volume: &VolumeId) -> bool {
        let seen = self.before.get(volume.storage());
        match self.tenure {
            Tenure::Scratch => true,
            Tenure::Named => matches!(seen, Some(Some(seen)) if !seen.contains(volume)),
        }
    }

    /// Why a guest under a named VMID is not, or no longer, ours to destroy.
    pub(super) fn touched(&self, facts: &ScratchFacts) -> Option<String> {
        if self.tenure == Tenure::Scratch {
            return None;
        }
        if facts.state.as_ref().is_none_or(|state| state.running) {
            return Some("it was started".to_owned());
        }
        let touched = |task: &TaskFacts| format!("`{}` touched it after the restore", task.upid);
        // However the node's clock was set, everything that was not there before must be ours.
        if let Some(later) = self.earlier.later(facts)
            && let Some(stranger) = later.into_iter().find(|task| !self.is_ours(&task.upid))
        {
            return Some(touched(stranger));
        }
        let Some(last) = self.earlier.last(facts) else {
            return Some("which task touched it last cannot be seen".to_owned());
        };
        (!self.is_ours(&last.upid)).then(|| touched(last))
    }

    /// Whether a task is our restore or our removal: the one that is known, one of the same user that an answer which was lost
    /// may have started, or, where no answer named any, one of that kind.
    fn is_ours(&self, upid: &Upid) -> bool {
        let is = |ours: &Option<Upid>, of_its_kind: bool| match ours {
            Some(ours) => ours == upid || of_its_kind && ours.user() == upid.user(),
            None => of_its_kind,
        };
        let destroys = matches!(upid.kind(), "vzdestroy" | "qmdestroy");
        is(&self.restore, is_restore(upid)) || is(&self.destroy, destroys)
    }

    /// Whether a stub without a mark is proven to be what our failed restore of a virtual machine left: its shape, no lock, no
    /// volume, not running, and the last task on the VMID is the one that the journal holds as ours. A scratch guest's stub
    /// lies outside of the pool from which its principal has its rights; that of a named VMID does not.
    pub(super) fn may_destroy_stub(&self, facts: &ScratchFacts) -> bool {
        let Existence::Guest(config) = &facts.existence else {
            return false;
        };
        let empty = facts.volumes.as_ref().is_some_and(Vec::is_empty);
        let stopped = facts.state.as_ref().is_some_and(|state| !state.running);
        let ours = self.earlier.last(facts).is_some_and(|last| {
            let known = [&self.restore, &self.destroy];
            !last.running && known.into_iter().flatten().any(|upid| *upid == last.upid)
        });
        let untouched = self.touched(facts).is_none();
        self.tenure == Tenure::Named
            && config.is_restore_stub()
            && empty
            && stopped
            && ours
            && untouched
    }
}

/// Whether a task restores a guest, of whatever kind.
pub(super) fn is_restore(upid: &Upid) -> bool {
    matches!(upid.kind(), "vzrestore" | "qmrestore")
}

impl CleanUp {
    /// A clean-up of what a failed restore may have made, its volumes on these storages.
    pub fn of_restore(
        kind: GuestKind,
        storages: &[StorageId],
        policy: &RestoreRunPolicy,
        lease: Lease,
    ) -> Option<Self> {
        let (storage, others) = storages.split_first()?;
        Some(Self {
            vmid: lease.mark.vmid,
            storage: storage.clone(),
            others: others.to_vec(),
            lease,
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
            kind,
        })
    }

    /// Volumes that are left without a guest: only those that are proven to be ours are named as ours to remove.
    pub(super) fn orphans(&self, volumes: &[VolumeId]) -> Finding {
        let (ours, others): (Vec<_>, Vec<_>) =
            volumes.iter().partition(|volume| self.lease.made(volume));
        if !ours.is_empty() {
            let mut finding = orphans(self.subject(), &ours);
            finding.detail.push_str(&of_another(&others));
            return finding;
        }
        let vmid = self.vmid;
        let names = listed(&others);
        let detail = format!(
            "{names} bears the VMID {vmid}, is not proven to be of this restore, and may be all that is left of a guest"
        );
        Finding::new(codes::RESTORE_LEFTOVER, self.subject(), detail).hint(format!(
            "look at it with `pvesm list {} --vmid {vmid}`; it is left alone",
            self.storage
        ))
    }

    /// A restore of a whole guest may still run for hours; no look is counted for as long as silence is borne.
    pub(super) fn be_patient(&mut self, now: Timestamp) {
        let since = *self.waiting_since.get_or_insert(now);
        if self.lease.tenure == Tenure::Named && now.since(since) <= self.no_progress {
            self.rounds = self.rounds.min(5);
        }
    }
}
