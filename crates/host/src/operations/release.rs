//! Not built yet.

use super::Root;
use crate::refusal::{Code, Refusal};
use crate::report::Report;

pub(super) fn release(
    root: Root<'_>,
    vmid: felhom_ids::Vmid,
    upid: &felhom_ids::Upid,
) -> Result<Report, Refusal> {
    let _unused = (root, vmid, upid);
    Err(Refusal::new(Code::NotConfigured, "not built yet"))
}
