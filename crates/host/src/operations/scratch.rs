//! What the two operations on scratch guests have in common.

use felhom_ids::{GuestKind, Upid, Vmid};

use super::Root;
use crate::pve::guests::{Place, places, this_node};
use crate::refusal::{Code, Refusal};

/// Refuses what is not in the scratch range.
pub(super) fn check_range(root: Root<'_>, vmid: Vmid) -> Result<(), Refusal> {
    let vmids = root.scratch()?.vmids;
    if vmids.holds(vmid) {
        return Ok(());
    }
    let text = format!("{vmid} is not in the scratch range {vmids} of /etc/felhom/hostd.toml");
    Err(Refusal::new(Code::OutsideRange, text))
}

/// Whether a token whose scratch guests these are has started the task.
pub(super) fn is_ours(root: Root<'_>, upid: &Upid) -> Result<bool, Refusal> {
    let tokens = &root.scratch()?.tokens;
    Ok(upid.token().is_some_and(|token| tokens.contains(&token)))
}

/// The guest's place, when it is of this kind, on this node, and nowhere else.
pub(super) fn place(root: Root<'_>, kind: GuestKind, vmid: Vmid) -> Result<Place, Refusal> {
    let node = this_node(root.layout)?;
    let wanted = Place { node, kind };
    let found = places(root.layout, vmid)?;
    if found.is_empty() {
        let text = format!("there is no guest {vmid}");
        return Err(Refusal::new(Code::NotFound, text));
    }
    if let Some(other) = found.iter().find(|place| **place != wanted) {
        let kind = other.kind.as_str();
        let text = format!(
            "{vmid} is a guest of the kind {kind} on the node {}",
            other.node
        );
        return Err(Refusal::new(Code::NotProven, text));
    }
    Ok(wanted)
}

pub(super) fn unproven(text: impl Into<String>) -> Refusal {
    Refusal::new(Code::NotProven, text)
}
