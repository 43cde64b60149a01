//! The daemon from outside, by its socket: what it does to a host, and what it refuses.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "helpers of tests may fail loudly"
)]

mod disks;
mod targets;
mod world;
