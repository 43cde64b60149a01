//! The end of a pass: how everything stands is gathered, kept, published and announced.

use super::Pass;
use crate::cli::context::Context;
use crate::exit::Exit;
use crate::journal::Journal;
use crate::perform::Performer;

/// What is said at the end.
#[derive(Debug)]
pub(super) struct Said {
    /// Lines for a person.
    pub(super) says: Vec<String>,
    /// How the pass ends.
    pub(super) exit: Exit,
}

/// Ends a pass. Nothing here can undo what was done: what fails is said.
pub(super) async fn finish(
    _context: &Context,
    _journal: &Journal,
    _performer: &Performer,
    pass: &Pass,
) -> Said {
    let failed = pass.done.iter().any(|done| done.exit != Exit::Done.code());
    let exit = if failed || pass.broken.is_some() {
        Exit::Findings
    } else {
        Exit::Done
    };
    Said {
        says: Vec::new(),
        exit,
    }
}
