//! Documents against what a real Docker engine printed, against hostile ones, and against a real engine where there is one.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::too_many_lines,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking, helpers included; tables are long"
)]

mod docker;
mod engine;
mod pbs;
mod recorded;
mod refusals;
mod report;
mod scene;
