//! How a VMID stands that a guest of ours is, or was, under.

use std::collections::BTreeSet;

use felhom_ids::{Upid, Vmid, VolumeId};
use serde::{Deserialize, Serialize};

use crate::mark::Mark;
use crate::policy::RestoreTestPolicy;
use crate::restore_run::VolumesSeen;
use crate::scratch::earlier::Earlier;
use crate::scratch::restored::is_restore;
use crate::scratch::tenure::Tenure;
use crate::world::{Existence, GuestConfig, ScratchFacts, TaskFacts};

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
    /// Our restore, or the removal of what one left, still works on it.
    Restoring(Upid),
    /// A stub that our restore or our removal left, with its lock or without: no token of ours can remove it.
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
    /// How we came to the VMID.
    #[serde(default, rename = "named")]
    pub tenure: Tenure,
    /// Volumes that bore a named VMID before the restore.
    #[serde(default)]
    pub before: VolumesSeen,
    /// Tasks of the VMID that were there before ours.
    #[serde(default)]
    pub earlier: Earlier,
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
            tenure: Tenure::Scratch,
            before: VolumesSeen::new(),
            earlier: Earlier::default(),
        }
    }

    /// The same, knowing which tasks on the VMID were there before ours.
    #[must_use]
    pub fn later_than(mut self, earlier: Earlier) -> Self {
        self.earlier = earlier;
        self
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
        Existence::Guest(config) => config,
    };
    if vmid < lease.first || vmid > lease.last {
        return Standing::Foreign(format!("{vmid} lies outside the scratch range"));
    }
    if config.is_create_stub() || config.is_restore_stub() {
        return stub_standing(facts, lease);
    }
    if config.is_bare_container() && lease.tenure == Tenure::Scratch {
        return released_standing(facts, lease);
    }
    if config.is_destroyed_stub() {
        return destroyed_standing(facts, lease);
    }
    match config.description.as_deref().and_then(Mark::find) {
        Some(found) if found == lease.mark => match lease.touched(facts) {
            Some(why) => Standing::Foreign(why),
            None => Standing::Ours {
                running: facts.state.as_ref().is_some_and(|state| state.running),
                lock: config.lock.clone(),
                tasks: facts.upids(),
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
    let Some(last) = lease.earlier.last(facts) else {
        return Standing::Foreign(
            "a stub without a mark, and no task that made it is known".into(),
        );
    };
    match &lease.restore {
        // Whose it is, its mark will tell when it has ended.
        None if lease.tenure == Tenure::Named && last.running && is_restore(&last.upid) => {
            Standing::Restoring(last.upid.clone())
        }
        Some(ours) if *ours == last.upid && last.running => Standing::Restoring(last.upid.clone()),
        Some(_) if lease.may_destroy_stub(facts) => Standing::Ours {
            running: false,
            lock: None,
            tasks: facts.upids(),
        },
        Some(ours) if *ours == last.upid => Standing::Unfinished(last.upid.clone()),
        _ if may_be_released(last, lease) => Standing::Unfinished(last.upid.clone()),
        _ => Standing::Foreign(format!(
            "a stub without a mark, last touched by `{}`",
            last.upid
        )),
    }
}

/// What was released, and is still there: ours for as long as no task but ours has touched it since.
fn released_standing(facts: &ScratchFacts, lease: &Lease) -> Standing {
    match lease.earlier.last(facts) {
        Some(last) if may_be_released(last, lease) => Standing::Unfinished(last.upid.clone()),
        Some(last) if last.running && lease.destroy.as_ref() == Some(&last.upid) => {
            Standing::Restoring(last.upid.clone())
        }
        Some(last) => Standing::Foreign(format!(
            "an empty configuration, last touched by `{}`",
            last.upid
        )),
        None => {
            Standing::Foreign("an empty configuration, and no task that made it is known".into())
        }
    }
}

/// Whether the last task is our restore or our removal, and has ended.
fn may_be_released(last: &TaskFacts, lease: &Lease) -> bool {
    let mut ours = [&lease.restore, &lease.destroy].into_iter().flatten();
    lease.tenure == Tenure::Scratch && !last.running && ours.any(|upid| *upid == last.upid)
}

fn destroyed_standing(facts: &ScratchFacts, lease: &Lease) -> Standing {
    match (lease.earlier.last(facts), &lease.destroy) {
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
