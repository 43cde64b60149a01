//! `findings`: what a code means, and which findings somebody has accepted for a while.

use clap::{Args, Subcommand};
use felhom_engine::{Code, Finding, Timestamp, codes};
use serde_json::json;

use super::context::{Context, journal_failure, parse};
use crate::clock;
use crate::exit::{Exit, Failure};
use crate::journal::{Journal, Suppression};
use crate::report::heard;
pub(super) use crate::report::heard::{Heard, Suppressed};

#[derive(Debug, Subcommand)]
pub(super) enum FindingsCommand {
    /// Say what a finding means.
    Explain {
        /// The code, as findings show it in brackets; without it all codes.
        code: Option<String>,
    },
    /// Keep a finding from counting in `doctor`, `status` and `backup run`, until a day and for a
    /// reason. It is still shown there, and never turns a failed backup into a good one.
    Suppress(SuppressArgs),
}

#[derive(Debug, Args)]
pub(super) struct SuppressArgs {
    /// The code, as findings show it in brackets.
    code: String,
    /// The first day on which it counts again, such as `2027-03-01`.
    #[arg(long, value_name = "DATE")]
    until: String,
    /// Why it is accepted.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Only about this subject, as the finding names it; without it about all.
    #[arg(long, value_name = "TEXT")]
    subject: Option<String>,
}

/// Takes the findings apart by what the journal keeps of suppressions.
pub(super) async fn heard(
    journal: Option<&Journal>,
    findings: Vec<Finding>,
) -> Result<Heard, Failure> {
    let heard = heard::heard(journal, findings).await;
    heard.map_err(|error| journal_failure(&error))
}

/// A line for each that does not count.
pub(super) fn suppressed_lines(all: &[Suppressed]) -> impl Iterator<Item = String> {
    all.iter().map(|one| {
        let (finding, by) = (&one.finding, &one.by);
        format!(
            "suppressed until {} ({}): {}: {} [{}]",
            by.until.date(),
            by.reason,
            finding.subject,
            finding.detail,
            finding.code
        )
    })
}

pub(super) async fn run(context: &Context, command: FindingsCommand) -> Result<Exit, Failure> {
    match command {
        FindingsCommand::Explain { code } => explain(context, code.as_deref()),
        FindingsCommand::Suppress(args) => suppress(context, args).await,
    }
}

fn catalogued(name: &str) -> Result<Code, Failure> {
    let known = codes::ALL.iter().find(|code| code.name == name).copied();
    known.ok_or_else(|| {
        Failure::new(
            Exit::NoSuchThing,
            "no-such-code",
            format!("no finding has the code `{name}`"),
        )
        .hint("`felhom-agent findings explain` lists them all")
    })
}

fn explain(context: &Context, code: Option<&str>) -> Result<Exit, Failure> {
    let told = match code {
        Some(name) => vec![catalogued(name)?],
        None => codes::ALL.to_vec(),
    };
    let data: Vec<_> = told
        .iter()
        .map(
            |code| json!({ "code": code.name, "severity": code.severity, "meaning": code.meaning }),
        )
        .collect();
    context.printer.document("felhom.finding-codes", &data, || {
        let each = told
            .iter()
            .map(|code| format!("{} ({})\n  {}", code.name, code.severity, code.meaning));
        each.collect::<Vec<_>>().join("\n")
    });
    Ok(Exit::Done)
}

async fn suppress(context: &Context, args: SuppressArgs) -> Result<Exit, Failure> {
    let code = catalogued(&args.code)?;
    let until = day(&args.until)?;
    let now = clock::now();
    let refuse = |message: String| Err(Failure::new(Exit::Usage, "usage", message));
    if until.secs() <= now.secs() {
        return refuse(format!("--until: `{}` is over", args.until));
    }
    if args.reason.trim().is_empty() {
        return refuse("--reason: whoever reads it later needs one".to_owned());
    }
    let config = context.config()?;
    let journal = context
        .open_journal(&config, "suppressing a finding")
        .await?;
    let suppression = Suppression {
        code: code.name.to_owned(),
        subject: args.subject,
        until,
        reason: args.reason,
    };
    journal
        .suppress(&suppression, now)
        .await
        .map_err(|error| journal_failure(&error))?;
    context
        .printer
        .document("felhom.suppression", &suppression, || {
            let subject = suppression.subject.as_deref().unwrap_or("any subject");
            format!(
                "`{}` about {subject} does not count until {}",
                suppression.code, args.until
            )
        });
    Ok(Exit::Done)
}

/// The beginning of a day, UTC.
fn day(text: &str) -> Result<Timestamp, Failure> {
    let date: jiff::civil::Date = parse("--until", text)?;
    let start = date
        .to_zoned(jiff::tz::TimeZone::UTC)
        .map_err(|error| Failure::new(Exit::Usage, "usage", format!("--until: {error}")))?;
    Ok(Timestamp::from_secs(start.timestamp().as_second()))
}
