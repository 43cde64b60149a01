//! Whether the storages can bear the guest in the worst case, and what the restore is watched with.

use felhom_ids::StorageId;
use serde::{Deserialize, Serialize};

use crate::headroom::{METADATA_DIVISOR, mib, percent};
use crate::restore_run::plan::{RestoreRunPlan, RestoredVolume};
use crate::restore_run::records::{RestoreRunPolicy, RestoreRunRequest};
use crate::restore_run::subject::RestoreSubject;
use crate::step::Guard;
use crate::world::StorageFacts;

/// What the guest takes of one storage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Space {
    /// The storage.
    pub storage: StorageId,
    /// Bytes that are free now.
    pub avail: u64,
    /// Bytes that the restore writes at most.
    pub needed: u64,
    /// Bytes that the volumes can grow to.
    pub could_grow_to: u64,
    /// Bytes that must stay free.
    pub floor: u64,
    /// Whether a volume takes its whole size at once.
    pub thick: bool,
    /// What would run short, one sentence each.
    pub short: Vec<String>,
}

/// What an empty file system takes of a thin volume.
const EMPTY: u64 = 32 << 20;

/// Space by storage.
pub(super) fn space(
    request: &RestoreRunRequest,
    subject: &RestoreSubject,
    volumes: &[RestoredVolume],
) -> Vec<Space> {
    let mut found: Vec<Space> = Vec::new();
    for volume in volumes {
        if found.iter().any(|one| one.storage == volume.storage) {
            continue;
        }
        let Some(facts) = subject.storages.iter().find(|one| one.id == volume.storage) else {
            continue;
        };
        let here: Vec<&RestoredVolume> = volumes
            .iter()
            .filter(|one| one.storage == volume.storage)
            .collect();
        found.push(on(request, facts, &here));
    }
    found
}

fn on(request: &RestoreRunRequest, facts: &StorageFacts, volumes: &[&RestoredVolume]) -> Space {
    let thick = facts.is_thick(request.kind());
    let sum = |filled: bool| {
        volumes
            .iter()
            .filter(|volume| volume.filled == filled)
            .fold(0_u64, |sum, volume| sum.saturating_add(volume.size.bytes()))
    };
    let (full, empty) = (sum(true), sum(false));
    let count = |filled: bool| {
        let count = volumes.iter().filter(|volume| volume.filled == filled);
        u64::try_from(count.count()).unwrap_or(u64::MAX)
    };
    // What the archive unpacks to, a quarter more for what the file system adds, and the empty file systems.
    let written = request.content_bytes.map_or(full, |bytes| {
        bytes
            .saturating_add(bytes / 4)
            .saturating_add(EMPTY.saturating_mul(count(true)))
            .min(full)
    });
    let needed = if thick {
        full.saturating_add(empty)
    } else {
        written.saturating_add(EMPTY.saturating_mul(count(false)).min(empty))
    };
    let floors = &request.policy.floors;
    let mut space = Space {
        storage: facts.id.clone(),
        avail: facts.avail,
        needed,
        could_grow_to: full.saturating_add(empty),
        floor: percent(facts.total, floors.storage_percent),
        thick,
        short: Vec::new(),
    };
    space.check("space", facts.avail, needed, space.floor);
    match &facts.thin_pool {
        Some(pool) if pool.metadata_size > 0 => {
            let free = pool.metadata_size.saturating_sub(pool.metadata_used);
            let floor = percent(pool.metadata_size, floors.metadata_percent);
            space.check("thin-pool metadata", free, needed / METADATA_DIVISOR, floor);
        }
        _ if facts.kind == "lvmthin" => space.short.push(format!(
            "how full the metadata of the thin pool behind `{}` is cannot be seen (the agent token needs Sys.Audit on /)",
            facts.id
        )),
        _ => {}
    }
    space
}

impl Space {
    fn check(&mut self, what: &str, free: u64, needed: u64, floor: u64) {
        if free < needed || free.saturating_sub(needed) < floor {
            self.short.push(format!(
                "storage `{}`, {what}: {} free, {} at most needed, {} must stay free",
                self.storage,
                mib(free),
                mib(needed),
                mib(floor)
            ));
        }
    }

    /// One line for people.
    pub(super) fn line(&self) -> String {
        let growth = if self.thick {
            String::new()
        } else {
            format!(", its volumes can grow to {}", mib(self.could_grow_to))
        };
        format!(
            "on `{}`: at most {} of {} free{growth}; {} must stay free",
            self.storage,
            mib(self.needed),
            mib(self.avail),
            mib(self.floor)
        )
    }
}

/// What runs short of the node itself. Memory counts only when the guest is started.
pub(super) fn node_shortages(request: &RestoreRunRequest, subject: &RestoreSubject) -> Vec<String> {
    let floors = &request.policy.floors;
    let mut short = Vec::new();
    let root = subject.node.root_avail;
    if root < floors.root_bytes {
        short.push(format!(
            "root disk: {} free, {} must stay free",
            mib(root),
            mib(floors.root_bytes)
        ));
    }
    // PVE's own default is 512 MiB.
    let memory = subject.archived.config.memory_mib.unwrap_or(512) << 20;
    let available = subject.node.memory_available;
    if request.start && available.saturating_sub(memory) < floors.memory_bytes {
        short.push(format!(
            "memory: {} available, {} for the guest, {} must stay free; restore it without `--start`",
            mib(available),
            mib(memory),
            mib(floors.memory_bytes)
        ));
    }
    short
}

/// What the restore is watched with: every storage that it fills, the one that it fills most first.
pub(super) fn guard(
    plan: &RestoreRunPlan,
    subject: &RestoreSubject,
    policy: &RestoreRunPolicy,
) -> Option<Guard> {
    let mut spaces: Vec<&Space> = plan.space.iter().collect();
    spaces.sort_by_key(|space| std::cmp::Reverse(space.needed));
    let mut guards = spaces.into_iter().map(|space| {
        let facts = subject.storages.iter().find(|one| one.id == space.storage);
        let pool = facts.and_then(|facts| facts.thin_pool.as_ref());
        Guard {
            storage: space.storage.clone(),
            min_avail: space.floor,
            max_metadata: pool.filter(|pool| pool.metadata_size > 0).map(|pool| {
                let floor = percent(pool.metadata_size, policy.floors.metadata_percent);
                let most = pool.metadata_size.saturating_sub(floor);
                (pool.vg.clone(), pool.lv.clone(), most)
            }),
            min_root_avail: policy.floors.root_bytes,
            others: Vec::new(),
        }
    });
    let first = guards.next()?;
    Some(Guard {
        others: guards.collect(),
        ..first
    })
}
