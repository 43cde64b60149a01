//! Findings taken apart: what counts, and what somebody has accepted for a while.

use felhom_engine::Finding;
use serde::Serialize;

use crate::clock;
use crate::journal::{Journal, JournalError, Suppression};

/// What counts, and what somebody has accepted for a while.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) loud: Vec<Finding>,
    pub(crate) quiet: Vec<Suppressed>,
}

/// A finding that does not count now.
#[derive(Debug, Serialize)]
pub(crate) struct Suppressed {
    pub(crate) finding: Finding,
    pub(crate) by: Suppression,
}

/// Takes the findings apart by what the journal keeps of suppressions.
pub(crate) async fn heard(
    journal: Option<&Journal>,
    findings: Vec<Finding>,
) -> Result<Heard, JournalError> {
    let suppressions = match journal {
        Some(journal) => journal.suppressions(clock::now()).await?,
        None => Vec::new(),
    };
    let mut heard = Heard::default();
    for finding in findings {
        match suppressions.iter().find(|one| one.covers(&finding)) {
            Some(by) => heard.quiet.push(Suppressed {
                finding,
                by: by.clone(),
            }),
            None => heard.loud.push(finding),
        }
    }
    Ok(heard)
}
