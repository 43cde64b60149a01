//! The end of a pass: how everything stands is gathered, kept, announced and published.

use std::collections::BTreeSet;
use std::time::Duration;

use felhom_engine::{self as engine, codes};
use felhom_protocol::host::{Finding, HostReport, Posture};
use serde_json::{Value, json};

use super::Pass;
use crate::cli::context::Context;
use crate::cli::jobs::INTERRUPTED;
use crate::clock;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::journal::{DoneWell, Journal};
use crate::metrics;
use crate::notify::{self, Announced, PassEnd, Pinged};
use crate::perform::Performer;
use crate::report::{gather_in_pass, parts};

/// What is said at the end.
#[derive(Debug)]
pub(super) struct Said {
    /// Lines for a person.
    pub(super) says: Vec<String>,
    /// How the pass ends.
    pub(super) exit: Exit,
    /// The same for programs.
    pub(super) data: Value,
}

/// Ends a pass. Nothing here can undo what was done: what fails is said.
pub(super) async fn finish(
    journal: &Journal,
    performer: &Performer,
    pass: &Pass,
    failure: Option<&Failure>,
) -> Said {
    let config = performer.config();
    let gathered = Box::pin(gather_in_pass(performer, journal)).await;
    let mut report = gathered.report;
    let mut says = Vec::new();
    report.findings.extend(failure.and_then(broken));
    if let Err(error) = journal.keep_report(&mut report).await {
        says.push(format!("the host report was not kept: {error}"));
    }
    says.extend(summary(&report));
    let now = clock::now();
    let announced = notify::announce(config, journal, &report, now).await;
    says.extend(announced.lines());
    if let Some(why) = &announced.trouble {
        says.extend(notify::alarm(config, why, None).await);
    }
    // Also what an interrupted job came to, whoever brought it to its end.
    let well = journal.done_well(now).await.unwrap_or_else(|error| {
        says.push(format!("signs of life: {error}"));
        DoneWell::default()
    });
    let earned = notify::earned(&report, &end(config, pass, &report, &well), now);
    let pinged = notify::ping(config, &earned).await;
    let mute = pinged.iter().filter_map(|one| {
        let error = one.error.as_ref()?;
        let concern = one.concern.name();
        Some(format!("no sign of life ({concern}): {error}"))
    });
    says.extend(mute);
    Said {
        exit: exit(&report, pass),
        data: data(&report, &announced, &pinged),
        says,
    }
}

/// A pass that broke off is told, whatever else says so: nothing was backed up after that. One that was told to stop is not broken.
fn broken(failure: &Failure) -> Option<Finding> {
    if failure.code == INTERRUPTED {
        return None;
    }
    let why = &failure.message;
    let detail = format!("the last pass ended before everything was done: {why}");
    let finding = engine::Finding::new(codes::PASS_BROKEN, "node", detail);
    Some(parts::finding(&finding.hint(
        "felhom-agent run --once --dry-run says what is in the way",
    )))
}

/// Writes the metrics, of which this pass is one now.
pub(super) async fn publish(context: &Context, config: &Config, journal: &Journal) {
    if let Err(error) = metrics::publish_kept(config, journal).await {
        let line = format!("the metrics were not written: {error}");
        context.printer.narrate(&line);
    }
}

/// How the pass ended, as far as signs of life go.
fn end(config: &Config, pass: &Pass, report: &HostReport, well: &DoneWell) -> PassEnd {
    let selected = |vmids: &BTreeSet<u32>| {
        let mut guests = report.guests.iter().filter(|guest| guest.selected);
        guests.any(|guest| vmids.contains(&guest.vmid))
    };
    let limits = config.posture_limits();
    PassEnd {
        ended: pass.broken.is_none(),
        backed_up: selected(&well.backed_up),
        proved: selected(&well.proved),
        backup_within: seconds(limits.stale_s),
        proof_within: seconds(limits.proof_stale_s),
    }
}

fn seconds(count: i64) -> Duration {
    Duration::from_secs(u64::try_from(count).unwrap_or_default())
}

fn exit(report: &HostReport, pass: &Pass) -> Exit {
    let failed = pass.done.iter().any(|done| done.exit != Exit::Done.code());
    let mut guests = report.guests.iter().filter(|guest| guest.selected);
    let well = report.findings.is_empty() && guests.all(|one| one.posture == Posture::Protected);
    if well && !failed && pass.broken.is_none() {
        Exit::Done
    } else {
        Exit::Findings
    }
}

/// What needs a person, a line each, and where the rest stands.
fn summary(report: &HostReport) -> Vec<String> {
    let mut lines: Vec<String> = report
        .findings
        .iter()
        .map(|found| {
            let (severity, subject) = (found.severity, &found.subject);
            format!("{severity}: {subject}: {} [{}]", found.detail, found.code)
        })
        .collect();
    if !lines.is_empty() {
        lines.push("`felhom-agent status` says what to do".to_owned());
    }
    lines
}

fn data(report: &HostReport, announced: &Announced, pinged: &[Pinged]) -> Value {
    json!({
        "report": report.sequence,
        "findings": report.findings,
        "announced": announced,
        "pinged": pinged,
    })
}
