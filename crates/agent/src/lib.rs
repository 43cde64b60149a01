//! felhom-agent as a library: the command line and the loop that performs jobs, for the program and for the demo.
//!
//! The agent performs nothing that is not a journaled step, starts no process, and speaks only to the pinned
//! peers, and to whoever `notify` is told to tell.

pub mod archive;
pub mod cli;
pub mod clock;
pub mod config;
pub mod credentials;
pub mod doctor;
pub mod enroll;
pub mod exit;
pub mod fence;
pub mod journal;
pub mod kit;
pub mod lock;
pub mod metrics;
pub mod notify;
pub mod observe;
pub mod output;
pub mod perform;
pub mod pins;
pub mod privilege;
pub mod progress;
pub mod remote;
pub mod report;
pub mod runner;
pub mod storages;
pub mod targets;
pub mod volumes;
