//! What must hold of every text that comes from outside: one check per parser, which panics when a promise is broken.
//!
//! The targets of cargo-fuzz (`fuzz/`) and the replay of their corpus (`tests/it`) call the same checks, so that what one
//! of them found the other keeps.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a check speaks by panicking"
)]

mod agent_config;
mod archive;
mod claims;
mod docker_inspect;
mod guest_config;
mod host_request;
mod leak;
mod machine_archive;
mod property;
mod pve_envelope;
mod task_log;
mod upid;
mod volume_id;
mod volume_report;

pub use agent_config::agent_config;
pub use archive::archive;
pub use docker_inspect::docker_inspect;
pub use guest_config::guest_config;
pub use host_request::host_request;
pub use machine_archive::machine_archive;
pub use property::property;
pub use pve_envelope::pve_envelope;
pub use task_log::task_log;
pub use upid::upid;
pub use volume_id::volume_id;
pub use volume_report::volume_report;

/// Takes any bytes, and panics when a promise is broken.
pub type Check = fn(&[u8]);

/// Every check by the name of its target, which is also that of its corpus.
pub const CHECKS: &[(&str, Check)] = &[
    ("agent_config", agent_config),
    ("docker_inspect", docker_inspect),
    ("archive", archive),
    ("guest_config", guest_config),
    ("host_request", host_request),
    ("machine_archive", machine_archive),
    ("property", property),
    ("pve_envelope", pve_envelope),
    ("task_log", task_log),
    ("upid", upid),
    ("volume_id", volume_id),
    ("volume_report", volume_report),
];
