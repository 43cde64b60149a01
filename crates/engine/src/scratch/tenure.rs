//! The two ways in which a VMID becomes ours for a time, and what differs between them.

use felhom_ids::{GuestKind, StorageId, Vmid};
use serde::{Deserialize, Serialize};

use crate::finding::{Code, codes};
use crate::mutation::Mutation;
use crate::step::Observe;

/// On which terms a VMID is ours. Journals hold it as whether it was named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "bool", into = "bool")]
pub enum Tenure {
    /// It lies in the scratch range, where nobody else makes guests.
    #[default]
    Scratch,
    /// A command named it: it may have been somebody's, so the guest must never have been started, nor touched by a task that
    /// is not ours, and no volume that was there before is ours.
    Named,
}

impl From<bool> for Tenure {
    fn from(named: bool) -> Self {
        if named { Self::Named } else { Self::Scratch }
    }
}

impl From<Tenure> for bool {
    fn from(tenure: Tenure) -> Self {
        tenure == Tenure::Named
    }
}

impl Tenure {
    /// The look that decides; `None` without a storage to look at. A scratch guest's volumes are on one.
    pub(super) fn look(self, vmid: Vmid, storages: Vec<StorageId>) -> Option<Observe> {
        match self {
            Self::Scratch => storages
                .into_iter()
                .next()
                .map(|storage| Observe::Scratch { vmid, storage }),
            Self::Named => Some(Observe::Restored { vmid, storages }),
        }
    }

    /// The request that removes the guest, sent by whoever made it.
    pub(super) fn removal(self, kind: GuestKind, vmid: Vmid) -> Mutation {
        match self {
            Self::Scratch => Mutation::destroy(kind, vmid),
            Self::Named => Mutation::destroy_restored(kind, vmid),
        }
    }

    /// What findings are about.
    pub(super) fn subject(self, vmid: Vmid) -> String {
        match self {
            Self::Scratch => format!("scratch {vmid}"),
            Self::Named => format!("guest {vmid}"),
        }
    }

    /// The code for something that is not proven to be ours.
    pub(super) fn foreign(self) -> Code {
        match self {
            Self::Scratch => codes::SCRATCH_FOREIGN,
            Self::Named => codes::RESTORE_LEFTOVER,
        }
    }

    /// Code and hint for what is ours and could not be removed.
    pub(super) fn incomplete(self, kind: GuestKind, vmid: Vmid) -> (Code, String) {
        let tool = kind.tool();
        match self {
            Self::Scratch => (
                codes::CLEAN_UP_INCOMPLETE,
                "run `felhom-agent restore-test reap` when the cause is gone".to_owned(),
            ),
            Self::Named => (
                codes::RESTORE_LEFTOVER,
                format!(
                    "when the cause is gone, and `{tool} config {vmid}` shows what the failed restore made: {tool} destroy {vmid}"
                ),
            ),
        }
    }
}
