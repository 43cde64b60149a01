//! All metrics, in the order in which they are written and documented.

use super::findings::FINDINGS;
use super::guests::GUESTS;
use super::node::{NODE, PROGRAM};
use super::storages::STORAGES;
use super::text::Family;

/// The chapters of the reference, in order.
pub(super) const CHAPTERS: [(&str, &[Family]); 5] = [
    ("The program and its report", PROGRAM),
    ("Guests", GUESTS),
    ("Findings", FINDINGS),
    ("Storages, targets and backup servers", STORAGES),
    ("The node", NODE),
];

/// All of them.
pub(super) fn all() -> impl Iterator<Item = &'static Family> {
    CHAPTERS.into_iter().flat_map(|(_, families)| families)
}
