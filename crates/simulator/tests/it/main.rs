//! The simulator from outside: over TLS, as any client meets it.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, helpers included"
)]

mod access;
mod alike;
mod backups;
mod client;
mod confined;
mod faults;
mod guests;
mod hands;
mod hostd;
mod http;
mod machines;
mod matrix;
mod options;
mod pbs;
mod pbs_recordings;
mod pbs_storage;
mod recordings;
mod refusals;
mod restores;
mod snapshots;
mod storages;
mod story;
mod tasks;
mod world;
