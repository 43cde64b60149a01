//! Docker volumes of a guest, between the protocol's words, the journal and the engine's words. No decision is taken here.

mod changes;
mod plan;
mod translate;

pub use changes::{Changes, Difference, changes};
pub use plan::placement_plan;
pub use translate::inventory;

use felhom_engine::GuestFingerprint;
use felhom_ids::Vmid;
use felhom_protocol::docker::COMMANDS;

use crate::journal::{Journal, JournalError, KeptReport};

/// What the journal has on the Docker volumes of a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// Nothing was ever imported.
    Nothing,
    /// A report on another guest, which had this VMID before: it says nothing about this one.
    OfAnother(Box<KeptReport>),
    /// The latest report on this guest.
    Report(Box<KeptReport>),
}

/// What is known of the Docker volumes of the guest with this VMID and fingerprint.
///
/// # Errors
/// When the journal cannot be read.
pub async fn known(
    journal: Option<&Journal>,
    vmid: Vmid,
    fingerprint: &GuestFingerprint,
) -> Result<Known, JournalError> {
    let Some(journal) = journal else {
        return Ok(Known::Nothing);
    };
    Ok(match journal.volume_report(vmid).await? {
        None => Known::Nothing,
        Some(kept) if kept.fingerprint.is_of_same_guest(fingerprint) => {
            Known::Report(Box::new(kept))
        }
        Some(kept) => Known::OfAnother(Box::new(kept)),
    })
}

/// The line that takes a report inside a container and imports it, for root's shell on the node.
pub fn how_to_report(vmid: Vmid) -> String {
    format!(
        "pct exec {vmid} -- sh -c '{}' | felhom-agent volumes import {vmid} -",
        COMMANDS.join("; ")
    )
}
