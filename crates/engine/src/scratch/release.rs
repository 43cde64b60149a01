//! What a task of ours left that was cut off: the root helper takes its lock away, and then it is destroyed.

use felhom_ids::{GuestKind, Upid};
use serde::{Deserialize, Serialize};

use crate::mutating::Ended;
use crate::mutation::Mutation;
use crate::scratch::clean_up::CleanUp;
use crate::scratch::tenure::Tenure;
use crate::scratch::told;
use crate::world::{Existence, ScratchFacts};

/// How often the helper is asked. It does nothing twice: what was released before it answers with the same, so when its reply was
/// lost and the look afterwards shows that nothing happened, asking again is no repetition of anything.
const MAX_ASKS: u8 = 3;
/// How often the removal is tried.
const MAX_REMOVALS: u8 = 2;

/// How far the release of a stub has come; part of a job's state.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Release {
    /// How often the helper was asked.
    asks: u8,
    /// Whether it said that it is done.
    released: bool,
    /// How often the removal was tried.
    removals: u8,
    /// Why it cannot be done now.
    why: Option<String>,
}

impl Release {
    /// Takes up how a request ended.
    pub(super) fn acted(&mut self, mutation: &str, ended: &Ended) {
        match (mutation, ended) {
            ("release-unfinished", Ended::Task { .. }) => self.released = true,
            // It was heard, and will say the same; or there is nobody to hear it.
            ("release-unfinished", Ended::Refused(error)) => self.why = Some(error.text.clone()),
            ("release-unfinished" | "destroy-stub", ended) => {
                self.why = ended.trouble().filter(|_| self.is_over());
            }
            _ => {}
        }
    }

    /// Whether nothing more is tried.
    fn is_over(&self) -> bool {
        self.asks >= MAX_ASKS || self.removals >= MAX_REMOVALS
    }
}

impl CleanUp {
    /// What is done with a stub that is proven to be ours: released by the helper, looked at again, destroyed with what bears
    /// its number. What cannot be done is told with the commands of root.
    pub(super) fn unfinished(&mut self, kind: GuestKind, upid: Upid, facts: &ScratchFacts) {
        let locked = match &facts.existence {
            Existence::Guest(config) => config.lock.is_some(),
            Existence::Absent | Existence::Unreadable(_) => true,
        };
        let release = &mut self.release;
        // Under a VMID that a command named there may be volumes that were somebody's: the helper releases scratch guests only.
        let over = release.why.is_some() || release.is_over();
        if over || self.lease.tenure == Tenure::Named {
            let why = release.why.clone();
            let why = why.or(self.trouble.clone().filter(|_| release.is_over()));
            let told = told::cut_off(self.subject(), &self.lease, &upid, facts, why.as_deref());
            return self.leave(told);
        }
        // A removal that was cut off after its release has left another lock.
        release.released &= !locked;
        if release.released {
            release.removals = release.removals.saturating_add(1);
            let tasks = facts.upids();
            self.lease.earlier.destroy.clone_from(&tasks);
            let vmid = self.vmid;
            return self.act(Mutation::DestroyStub { kind, vmid }, tasks);
        }
        release.asks = release.asks.saturating_add(1);
        let release = Mutation::ReleaseUnfinished {
            vmid: self.vmid,
            upid,
        };
        self.act(release, facts.upids());
    }
}
