//! Not built yet.

use super::Root;
use crate::refusal::{Code, Refusal};
use crate::report::Report;

pub(super) fn create(
    root: Root<'_>,
    vmid: felhom_ids::Vmid,
    template: &crate::fields::TemplateVolume,
) -> Result<Report, Refusal> {
    let _unused = (root, vmid, template);
    Err(Refusal::new(Code::NotConfigured, "not built yet"))
}
