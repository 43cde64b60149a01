//! Not built yet.

use super::Root;
use crate::refusal::{Code, Refusal};
use crate::report::Report;

pub(super) fn read(root: Root<'_>) -> Result<Report, Refusal> {
    let _unused = (root);
    Err(Refusal::new(Code::NotConfigured, "not built yet"))
}
