//! `[snapshot-guard]`: how guarded changes are kept.

use std::time::Duration;

use felhom_engine::{BackupPolicy, GuardPolicy};

use super::problems::Problems;
use super::raw::RawGuard;
use super::span::Span;

/// A snapshot of an LVM-thin or ZFS volume holds every block that changes; a day of changes is what a pool usually bears.
const MAX_AGE: Duration = Duration::from_hours(24);

pub(super) fn guard(
    raw: Option<&RawGuard>,
    backup: Option<&BackupPolicy>,
    problems: &mut Problems,
) -> Option<GuardPolicy> {
    // Where there is none, something is wrong with it, and that is told beside what is wrong here.
    let (no_progress, settle) = backup
        .map(|backup| (backup.no_progress, backup.settle))
        .unwrap_or_default();
    let none = RawGuard::default();
    let raw = raw.unwrap_or(&none);
    let on_expiry = problems.parse_or("snapshot-guard.on_expiry", raw.on_expiry.as_deref(), "keep");
    let on_max_age = problems.parse_or(
        "snapshot-guard.on_max_age",
        raw.on_max_age.as_deref(),
        "finding",
    );
    let max_age = raw.max_age.map_or(MAX_AGE, Span::get);
    problems.require(
        !max_age.is_zero(),
        "snapshot-guard.max_age: `0s` leaves no time to confirm anything",
        (),
    );
    let storage_percent = raw.storage_percent.unwrap_or(10);
    let metadata_percent = raw.metadata_percent.unwrap_or(10);
    problems.require(
        storage_percent <= 90 && metadata_percent <= 90,
        "snapshot-guard: a floor above 90 percent leaves no room for a snapshot",
        GuardPolicy {
            on_expiry: on_expiry?,
            max_age,
            on_max_age: on_max_age?,
            storage_percent,
            metadata_percent,
            no_progress,
            settle,
        },
    )
}
