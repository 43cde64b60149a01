//! The comma separated `key=value` strings inside guest and storage configurations.
//!
//! Each is a type that reads what PVE reads, prints what PVE prints (default key first, then the
//! required keys, then the optional ones, each sorted by name) and compares by meaning. Keys of a
//! newer PVE are kept in `other`, so that writing a value back never loses any.

mod features;
mod fields;
mod machine;
mod mount;
mod network;
mod prune;
mod value;

pub use features::Features;
pub use machine::{Drive, MachineNic};
pub use mount::{MountOptions, MountPoint, MountSource, RootFs};
pub use network::{Ipv4Setting, Ipv6Setting, NetworkInterface};
pub use prune::PruneBackups;
pub use value::PropertyValue;

/// Why a property string was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {problem}")]
pub struct InvalidProperty {
    what: &'static str,
    problem: String,
}

/// How much of a problem is told; the rest of a foreign text helps nobody read it.
const TOLD: usize = 300;

impl InvalidProperty {
    pub(crate) fn new(what: &'static str, problem: impl std::fmt::Display) -> Self {
        let mut problem = problem.to_string();
        if let Some((end, _)) = problem.char_indices().nth(TOLD) {
            problem.truncate(end);
            problem.push('…');
        }
        if problem.contains(char::is_control) {
            problem = problem.escape_debug().to_string();
        }
        Self { what, problem }
    }
}
