//! The agent against the simulator, end to end.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "helpers of tests may fail loudly"
)]

mod architecture;
mod archive;
mod bad_input;
mod canary;
mod cli;
mod crash_matrix;
mod doctor;
mod enroll;
mod enroll_pbs;
mod faults;
mod fence;
mod golden;
mod guard;
mod helper;
mod host_facts;
mod keep;
mod kit;
mod machines;
mod metrics;
mod notify;
mod pass;
mod pbs;
mod pin_rotation;
mod power_cut;
mod report;
mod restore;
mod scene;
mod storages;
mod story;
mod support;
mod targets;
mod transcripts;
mod volumes;
mod year;
