//! Not built yet.

use super::Root;
use crate::refusal::{Code, Refusal};
use crate::report::Report;

pub(super) fn strip(root: Root<'_>, vmid: felhom_ids::Vmid) -> Result<Report, Refusal> {
    let _unused = (root, vmid);
    Err(Refusal::new(Code::NotConfigured, "not built yet"))
}
