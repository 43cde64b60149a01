//! What is settled before a command changes something: jobs that were interrupted, and guards whose time is over.

use felhom_engine::Job;

use super::context::Context;
use super::jobs::AskedBy;
use super::{jobs, snapshot};
use crate::exit::Failure;
use crate::journal::Journal;
use crate::perform::Performer;

/// Goes on with every job that did not end, then does what is due for guards; returns the jobs that came to their end.
pub(super) async fn settle(
    context: &Context,
    journal: &Journal,
    performer: &Performer,
) -> Result<Vec<Job>, Failure> {
    settle_for(context, journal, performer, AskedBy::Person).await
}

/// The same for who may not go on with everything.
pub(super) async fn settle_for(
    context: &Context,
    journal: &Journal,
    performer: &Performer,
    asked: AskedBy,
) -> Result<Vec<Job>, Failure> {
    let ended = jobs::resume_interrupted(context, journal, performer, asked).await?;
    snapshot::due(context, journal, performer, None).await?;
    Ok(ended)
}
