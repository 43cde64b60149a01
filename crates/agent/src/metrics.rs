//! The last host report as metrics, for Prometheus and what reads its formats.
//!
//! Names, labels and meanings are an interface: `docs/reference/metrics.md` is made of the same table. Whatever grows by itself is told
//! as the time when it began, so that an old report does not tell a young age. There is no label whose values grow without bound: what
//! a finding is about stands in the report, not here.

mod families;
mod findings;
mod guests;
mod kept;
mod node;
mod reference;
pub mod serve;
mod storages;
mod text;
mod textfile;

use felhom_engine::PostureLimits;
use felhom_protocol::host::HostReport;

pub use kept::{Kept, limits, publish_kept};
pub use reference::metrics_page;
pub use text::Format;
pub use textfile::{PublishError, publish, publish_told};

/// All that metrics are made of.
#[derive(Debug, Clone, Copy, Default)]
pub struct Told<'a> {
    /// The report that was made last; without one only the program is told of.
    pub report: Option<&'a HostReport>,
    /// What is old.
    pub limits: PostureLimits,
    /// The last pass of `run`, where there was one.
    pub pass: Option<Pass>,
    /// How many incidents are open, where somebody counts them.
    pub open_incidents: Option<u64>,
}

/// A pass of `run`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pass {
    /// When it ended, in seconds since 1970.
    pub ended_s: i64,
    /// With which exit code.
    pub exit: u8,
}

/// The metrics as text.
pub fn render(told: &Told<'_>, format: Format) -> String {
    text::render(families::all(), told, format)
}
