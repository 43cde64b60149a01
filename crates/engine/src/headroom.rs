//! Whether the box can bear a restore in the worst case: thin-pool data and metadata, root disk, memory.

use serde::{Deserialize, Serialize};

use crate::step::Guard;
use crate::world::TestSubject;

/// What must stay free, at every moment of a restore test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Floors {
    /// Percent of the target storage that must stay free.
    pub storage_percent: u8,
    /// Percent of a thin pool's metadata that must stay free.
    pub metadata_percent: u8,
    /// Bytes of the root file system that must stay free.
    pub root_bytes: u64,
    /// Bytes of memory that must stay available.
    pub memory_bytes: u64,
}

/// One resource that would run short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shortage {
    /// `target storage`, `thin-pool metadata`, `root disk`, `memory`.
    pub resource: String,
    /// The whole sentence, with the numbers.
    pub detail: String,
}

/// The result of the preflight: what would run short, and what to watch meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Headroom {
    /// Empty when the test may run.
    pub shortages: Vec<Shortage>,
    /// One line per resource, for the planning report.
    pub report: Vec<String>,
    /// What the restore is watched with.
    pub guard: Option<Guard>,
}

/// Metadata that a thin pool needs per byte of data, as a divisor: 64 bytes per 64 KiB chunk, doubled for the copies that
/// a transaction keeps (lvmthin(7) names 48 to 64 bytes a chunk).
pub(crate) const METADATA_DIVISOR: u64 = 512;

/// Decides whether `growth` bytes on the target and `memory_mib` of memory can be borne.
pub fn headroom(subject: &TestSubject, floors: &Floors, growth: u64, memory_mib: u64) -> Headroom {
    let mut result = Headroom {
        shortages: Vec::new(),
        report: Vec::new(),
        guard: None,
    };
    let Some(target) = &subject.target else {
        result.shortages.push(Shortage {
            resource: "target storage".into(),
            detail: "the target storage is not there, or hidden from the token".into(),
        });
        return result;
    };
    let floor = percent(target.total, floors.storage_percent);
    result.check("target storage", target.avail, growth, floor);

    let mut max_metadata = None;
    if let Some(pool) = target
        .thin_pool
        .as_ref()
        .filter(|pool| pool.metadata_size > 0)
    {
        let free = pool.metadata_size.saturating_sub(pool.metadata_used);
        let floor = percent(pool.metadata_size, floors.metadata_percent);
        result.check("thin-pool metadata", free, growth / METADATA_DIVISOR, floor);
        max_metadata = Some((
            pool.vg.clone(),
            pool.lv.clone(),
            pool.metadata_size.saturating_sub(floor),
        ));
    } else if target.kind == "lvmthin" {
        result.shortages.push(Shortage {
            resource: "thin-pool metadata".into(),
            detail: format!(
                "how full the metadata of the thin pool behind `{}` is cannot be seen (the agent token needs Sys.Audit on /)",
                target.id
            ),
        });
    }
    result.check("root disk", subject.node.root_avail, 0, floors.root_bytes);
    let memory = memory_mib.saturating_mul(1 << 20);
    result.check(
        "memory",
        subject.node.memory_available,
        memory,
        floors.memory_bytes,
    );
    result.guard = Some(Guard {
        storage: target.id.clone(),
        min_avail: floor,
        max_metadata,
        min_root_avail: floors.root_bytes,
        others: Vec::new(),
    });
    result
}

impl Headroom {
    fn check(&mut self, resource: &str, free: u64, needed: u64, floor: u64) {
        let left = free.saturating_sub(needed);
        let detail = format!(
            "{resource}: {} free, {} at most needed, {} must stay free",
            mib(free),
            mib(needed),
            mib(floor)
        );
        if free < needed || left < floor {
            self.shortages.push(Shortage {
                resource: resource.to_owned(),
                detail: detail.clone(),
            });
        }
        self.report.push(detail);
    }
}

pub(crate) fn percent(total: u64, percent: u8) -> u64 {
    (total / 100).saturating_mul(u64::from(percent))
}

pub(crate) fn mib(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10) >> 20;
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}
