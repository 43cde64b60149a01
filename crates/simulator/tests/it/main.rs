//! The simulator from outside: over TLS, as any client meets it.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, helpers included"
)]

mod access;
mod backups;
mod client;
mod faults;
mod guests;
mod http;
mod restores;
mod story;
mod world;
