//! The engine's jobs against a world that is a value: every way through them ends, and nothing unproven is destroyed.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "helpers of tests may fail loudly"
)]

mod backup;
mod calendar;
mod crash;
mod doubt;
mod fake;
mod golden;
mod guard;
mod incident;
mod pass;
mod pbs;
mod privileges;
mod restore_run;
mod restore_test;
mod retention;
mod selection;
mod stale;
mod storages;
mod unfinished;
mod volumes;
mod year;
