//! Storages, thin pools, targets and backup servers: are they there, and how full are they?

use felhom_protocol::host::{Attachment, Server, Storage, Target, ThinPool, Usage};

use super::Told;
use super::text::{Family, Value};

const STATES: [&str; 4] = ["attached", "detached", "wrong", "unknown"];
const STORAGE: &[&str] = &["storage"];
const POOL: &[&str] = &["pool"];
const DAY_S: u64 = 86_400;

pub(super) const STORAGES: &[Family] = &[
    Family::new(
        "felhom_storage_info",
        "A storage of the node, by its kind: dir, lvmthin, pbs.",
        &["storage", "kind"],
        |told, rows| storages(told, |one| rows.put(&[&one.id, &one.kind], true)),
    ),
    Family::new(
        "felhom_storage_state",
        "Whether the storage is there: 1 at the state that holds (attached, detached, wrong, unknown).",
        &["storage", "state"],
        |told, rows| storages(told, |one| rows.states(&one.id, &STATES, word(one.state))),
    ),
    Family::new(
        "felhom_storage_size_bytes",
        "How large the storage is, while it answers.",
        STORAGE,
        |told, rows| storages(told, |one| rows.maybe(&[&one.id], one.usage.map(size))),
    ),
    Family::new(
        "felhom_storage_used_bytes",
        "How much of the storage is used, while it answers.",
        STORAGE,
        |told, rows| storages(told, |one| rows.maybe(&[&one.id], one.usage.map(used))),
    ),
    Family::new(
        "felhom_storage_until_full_seconds",
        "How long the storage lasts as it grows now; absent where it does not grow.",
        STORAGE,
        |told, rows| {
            storages(told, |one| {
                let seconds = one.full_in_days.map(|days| days.saturating_mul(DAY_S));
                rows.maybe(&[&one.id], seconds);
            });
        },
    ),
    Family::new(
        "felhom_thin_pool_data_size_bytes",
        "Room for data in the thin pool.",
        POOL,
        |told, rows| pools(told, |one| rows.put(&[&one.name], size(one.data))),
    ),
    Family::new(
        "felhom_thin_pool_data_used_bytes",
        "Data in the thin pool.",
        POOL,
        |told, rows| pools(told, |one| rows.put(&[&one.name], used(one.data))),
    ),
    Family::new(
        "felhom_thin_pool_metadata_size_bytes",
        "Room for metadata in the thin pool, which can run full by itself.",
        POOL,
        |told, rows| pools(told, |one| rows.put(&[&one.name], size(one.metadata))),
    ),
    Family::new(
        "felhom_thin_pool_metadata_used_bytes",
        "Metadata in the thin pool.",
        POOL,
        |told, rows| pools(told, |one| rows.put(&[&one.name], used(one.metadata))),
    ),
    Family::new(
        "felhom_target_state",
        "Whether the target on a removable disk is there: 1 at the state that holds (attached, detached, wrong, unknown).",
        &["target", "state"],
        |told, rows| targets(told, |one| rows.states(&one.name, &STATES, word(one.state))),
    ),
    Family::new(
        "felhom_target_seen_timestamp_seconds",
        "When the target was last there.",
        &["target"],
        |told, rows| targets(told, |one| rows.maybe(&[&one.name], one.last_there_s)),
    ),
    Family::new(
        "felhom_server_up",
        "Whether the backup server behind the storage could be asked.",
        STORAGE,
        |told, rows| servers(told, |one| rows.put(&[&one.storage], one.error.is_none())),
    ),
    Family::new(
        "felhom_server_backups",
        "Backups on the backup server.",
        STORAGE,
        |told, rows| servers(told, |one| rows.maybe(&[&one.storage], one.backups)),
    ),
    Family::new(
        "felhom_server_backups_verified",
        "Backups on the backup server whose last verify is good, and lately enough.",
        STORAGE,
        |told, rows| servers(told, |one| rows.maybe(&[&one.storage], one.verified)),
    ),
    Family::new(
        "felhom_server_backups_damaged",
        "Backups on the backup server in which the last verify found damage.",
        STORAGE,
        |told, rows| servers(told, |one| rows.maybe(&[&one.storage], one.failed)),
    ),
    Family::new(
        "felhom_server_newest_backup_timestamp_seconds",
        "When the newest backup on the backup server was begun.",
        STORAGE,
        |told, rows| servers(told, |one| rows.maybe(&[&one.storage], one.newest_s)),
    ),
];

fn storages(told: &Told<'_>, tell: impl FnMut(&Storage)) {
    let report = told.report.into_iter();
    report.flat_map(|report| &report.storages).for_each(tell);
}

fn pools(told: &Told<'_>, tell: impl FnMut(&ThinPool)) {
    let report = told.report.into_iter();
    report.flat_map(|report| &report.thin_pools).for_each(tell);
}

fn targets(told: &Told<'_>, tell: impl FnMut(&Target)) {
    let report = told.report.into_iter();
    report.flat_map(|report| &report.targets).for_each(tell);
}

fn servers(told: &Told<'_>, tell: impl FnMut(&Server)) {
    let report = told.report.into_iter();
    report.flat_map(|report| &report.servers).for_each(tell);
}

fn size(usage: Usage) -> Value {
    usage.total.into()
}

fn used(usage: Usage) -> Value {
    usage.used.into()
}

fn word(state: Attachment) -> &'static str {
    match state {
        Attachment::Attached => "attached",
        Attachment::Detached => "detached",
        Attachment::Wrong => "wrong",
        Attachment::Unknown => "unknown",
    }
}
