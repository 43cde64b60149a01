//! `report`: everything that is known of the box, as one document with a number.

mod text;

use felhom_protocol::host::{HostReport, Posture, Unknown};
use serde_json::Value;

use super::context::{Context, journal_failure};
use crate::exit::{Exit, Failure};
use crate::journal::{Journal, JournalError};
use crate::lock::LockError;
use crate::report::gather;

const SCHEMA: &str = "felhom.host-report";

#[derive(Debug, clap::Args)]
pub(super) struct ReportArgs {
    /// Show the report that was kept last, and ask nobody.
    #[arg(long)]
    last: bool,
}

pub(super) async fn run(context: &Context, args: &ReportArgs) -> Result<Exit, Failure> {
    let report = if args.last {
        last(context).await?
    } else {
        fresh(context).await?
    };
    let data = serde_json::to_value(&report)
        .map_err(|error| Failure::new(Exit::Unexpected, "report", error.to_string()))?;
    show(context, &data, &report);
    let mut guests = report.guests.iter();
    let well = guests.all(|guest| guest.posture == Posture::Protected);
    Ok(if report.findings.is_empty() && well {
        Exit::Done
    } else {
        Exit::Findings
    })
}

fn show(context: &Context, data: &Value, report: &HostReport) {
    context
        .printer
        .document(SCHEMA, data, || text::text(report));
}

async fn last(context: &Context) -> Result<HostReport, Failure> {
    let config = context.config()?;
    let journal = context.read_journal(&config).await?;
    let last = match &journal {
        Some(journal) => journal
            .last_report()
            .await
            .map_err(|error| journal_failure(&error))?,
        None => None,
    };
    last.ok_or_else(|| {
        let message = "no report was kept yet";
        let failure = Failure::new(Exit::NoSuchThing, "no-report", message);
        failure.hint("`felhom-agent report` makes one")
    })
}

/// Looks, and keeps what was seen. That it cannot be kept is part of the report: it is told nevertheless.
async fn fresh(context: &Context) -> Result<HostReport, Failure> {
    let performer = context.performer()?;
    let config = performer.config();
    let (journal, mute) = match journal(context, &config.state_dir).await {
        Ok(journal) => (Some(journal), None),
        Err(error) => (None, Some(error)),
    };
    let gathered = Box::pin(gather(&performer, journal.as_ref())).await;
    let mut report = gathered.report;
    let kept = match (&journal, mute) {
        (Some(journal), _) => journal.keep_report(&mut report).await.map(|_| ()),
        (None, Some(error)) => Err(error),
        (None, None) => Ok(()),
    };
    if let Err(error) = kept {
        report.unknown.push(Unknown {
            what: "journal".to_owned(),
            why: journal_failure(&error).message,
        });
    }
    Ok(report)
}

/// The journal, made or brought up to date where that is needed and possible. Whoever holds it goes on: a report is kept in one
/// write of its own.
async fn journal(context: &Context, directory: &std::path::Path) -> Result<Journal, JournalError> {
    match Journal::open(directory, "a report").await {
        Err(JournalError::Lock(LockError::Held { .. })) => {
            context
                .printer
                .narrate("another command is at work; looking beside it");
            Journal::read(directory).await
        }
        opened => opened,
    }
}
