//! `kit`: the page that rebuilds the box without our software.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use felhom_protocol::Document;
use felhom_protocol::kit::Kit;

use super::context::{Context, journal_failure};
use super::findings;
use super::text::findings_text;
use crate::enroll::files;
use crate::exit::{Exit, Failure};
use crate::kit;

#[derive(Debug, Subcommand)]
pub(super) enum KitCommand {
    /// Print how to rebuild the box on new hardware, with stock commands alone.
    Print(PrintArgs),
}

#[derive(Debug, Args)]
pub(super) struct PrintArgs {
    /// Write the page to this file, which only its owner may read, instead of to stdout.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) async fn run(context: &Context, command: KitCommand) -> Result<Exit, Failure> {
    match command {
        KitCommand::Print(args) => print(context, &args).await,
    }
}

async fn print(context: &Context, args: &PrintArgs) -> Result<Exit, Failure> {
    let performer = context.performer()?;
    let journal = context.read_journal(performer.config()).await?;
    let facts = Box::pin(kit::gather(&performer, journal.as_ref()))
        .await
        .map_err(|error| journal_failure(&error))?;
    let (kit, found) = kit::compose(&facts);
    let heard = findings::heard(journal.as_ref(), found).await?;
    let page = kit::page(&kit);
    if let Some(path) = &args.out {
        write(path, &page)?;
    }
    let printer = &context.printer;
    printer.document_with_findings(Kit::SCHEMA, &kit, &heard.loud, || match &args.out {
        None => page.clone(),
        Some(path) => format!("the kit is in `{}`; keep it off the box", path.display()),
    });
    for line in findings_text(&heard.loud) {
        printer.narrate(&line);
    }
    Ok(if heard.loud.is_empty() {
        Exit::Done
    } else {
        Exit::Findings
    })
}

fn write(path: &std::path::Path, page: &str) -> Result<(), Failure> {
    files::write_secret_text(path, &page.to_owned().into()).map_err(|error| {
        Failure::new(Exit::Unexpected, "out", error.to_string())
            .caused_by(&error)
            .hint("name a file in a directory that this user may write to, or send the page there: `kit print > FILE`")
    })
}
