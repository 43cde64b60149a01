//! Not built yet.

use felhom_ids::{FilesystemUuid, TargetName};

use super::Root;
use crate::refusal::{Code, Refusal};
use crate::report::Report;

fn not_yet() -> Result<Report, Refusal> {
    Err(Refusal::new(Code::NotConfigured, "not built yet"))
}

pub(super) fn install(_: Root<'_>, _: &TargetName, _: &FilesystemUuid) -> Result<Report, Refusal> {
    not_yet()
}

pub(super) fn mount(_: Root<'_>, _: &TargetName) -> Result<Report, Refusal> {
    not_yet()
}

pub(super) fn unmount(_: Root<'_>, _: &TargetName) -> Result<Report, Refusal> {
    not_yet()
}

pub(super) fn remove(_: Root<'_>, _: &TargetName) -> Result<Report, Refusal> {
    not_yet()
}

pub(super) fn probe(_: Root<'_>, _: &TargetName, _: bool) -> Result<Report, Refusal> {
    not_yet()
}
