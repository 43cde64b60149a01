//! `restore-test reap`: go on with what was interrupted, and remove what is left, by proof only.

use std::io::{BufRead, IsTerminal};

use felhom_engine::{
    Earlier, Existence, Job, JobKind, Leftover, Mark, Principal, ReapJob, ReapReport,
};
use felhom_ids::Vmid;
use serde_json::json;

use super::super::context::{Context, engine_failure, journal_failure, parse};
use super::super::{ReapArgs, arrears, jobs};
use crate::cli::text::findings_text;
use crate::exit::{Exit, Failure};
use crate::journal::{Journal, Remains};
use crate::observe::{self, Trouble};
use crate::perform::Performer;

pub(in crate::cli) async fn reap(context: &Context, args: &ReapArgs) -> Result<Exit, Failure> {
    let adopt: Option<Vmid> = args
        .adopt
        .as_deref()
        .map(|text| parse("VMID", text))
        .transpose()?;
    let performer = context.performer()?;
    if args.dry_run {
        return rehearse(context, &performer, adopt).await;
    }
    jobs::single_node(&performer).await?;
    let journal = context.open_journal(performer.config(), "reap").await?;
    let resumed = arrears::settle(context, &journal, &performer).await?;
    let mut reports = remains(context, &journal, &performer).await?;
    if let Some(vmid) = adopt {
        let mark = adopted(context, &performer, vmid).await?;
        let leftover = Leftover {
            mark,
            restore: None,
            destroy: None,
            earlier: Earlier::default(),
        };
        reports.push(one(context, &journal, &performer, leftover).await?);
    }
    let all_gone = reports.iter().all(|report| report.gone);
    let data = json!({
        "resumed": resumed.iter().map(|job| json!({ "job": job.id, "kind": job.kind_name(), "subject": job.subject() }))
            .collect::<Vec<_>>(),
        "reaped": reports,
    });
    context
        .printer
        .document("felhom.reap", &data, || text(&resumed, &reports));
    Ok(if all_gone { Exit::Done } else { Exit::Findings })
}

/// Removes what earlier tests left, as far as it can be removed now.
pub(in crate::cli) async fn remains(
    context: &Context,
    journal: &Journal,
    performer: &Performer,
) -> Result<Vec<ReapReport>, Failure> {
    let mut reports = Vec::new();
    for remains in journal
        .remains()
        .await
        .map_err(|error| journal_failure(&error))?
    {
        context.printer.narrate(&another_look(&remains));
        reports.push(one(context, journal, performer, remains.leftover).await?);
    }
    Ok(reports)
}

async fn one(
    context: &Context,
    journal: &Journal,
    performer: &Performer,
    leftover: Leftover,
) -> Result<ReapReport, Failure> {
    let reap = ReapJob::new(&performer.config().restore_test_policy, leftover);
    let job = Job {
        id: jobs::new_job_id()?,
        created: jobs::now(),
        kind: JobKind::Reap(Box::new(reap)),
    };
    let job = jobs::perform(context, journal, performer, job).await?;
    match &job.kind {
        JobKind::Reap(reap) => reap.report(),
        JobKind::Backup(_)
        | JobKind::RestoreTest(_)
        | JobKind::RestoreRun(_)
        | JobKind::Exercise(_)
        | JobKind::Prune(_)
        | JobKind::Guard(_)
        | JobKind::Verify(_)
        | JobKind::Golden(_) => None,
    }
    .ok_or_else(|| Failure::new(Exit::Unexpected, "reap", "the reap ended without a report"))
}

fn another_look(remains: &Remains) -> String {
    format!(
        "look at scratch {} again: {}",
        remains.leftover.mark.vmid, remains.finding.detail
    )
}

async fn rehearse(
    context: &Context,
    performer: &Performer,
    adopt: Option<Vmid>,
) -> Result<Exit, Failure> {
    let (unfinished, remains): (Vec<_>, Vec<Remains>) =
        match context.read_journal(performer.config()).await? {
            Some(journal) => (
                journal
                    .unfinished()
                    .await
                    .map_err(|error| journal_failure(&error))?,
                journal
                    .remains()
                    .await
                    .map_err(|error| journal_failure(&error))?,
            ),
            None => (Vec::new(), Vec::new()),
        };
    let mut plan: Vec<String> = unfinished
        .iter()
        .map(|one| jobs::resumption(&one.job))
        .collect();
    plan.extend(remains.iter().map(another_look));
    if let Some(vmid) = adopt {
        plan.push(adoptable(performer, vmid).await?.1);
    }
    context.printer.document(
        "felhom.plan",
        &json!({ "dry_run": true, "plan": plan }),
        || {
            if plan.is_empty() {
                "nothing was interrupted, and nothing is left".to_owned()
            } else {
                plan.join("\n")
            }
        },
    );
    Ok(Exit::Done)
}

fn refuse(text: impl Into<String>) -> Failure {
    Failure::new(Exit::Refused, "adopt", text)
}

/// The mark of a guest whose journal is lost: it may be adopted, and a person has typed its VMID.
async fn adopted(context: &Context, performer: &Performer, vmid: Vmid) -> Result<Mark, Failure> {
    let (mark, line) = adoptable(performer, vmid).await?;
    context.printer.narrate(&line);
    context.printer.narrate(&format!("type {vmid} to go on:"));
    if typed().as_deref() == Some(vmid.to_string().as_str()) {
        Ok(mark)
    } else {
        Err(refuse("the VMID was not typed; nothing was done"))
    }
}

/// The mark of a guest that may be adopted, and what is said of it: it carries one for its very VMID, and lies in the
/// scratch range.
async fn adoptable(performer: &Performer, vmid: Vmid) -> Result<(Mark, String), Failure> {
    let policy = &performer.config().restore_test_policy;
    if !policy.range().contains(&vmid) {
        let (first, last) = (policy.first_vmid, policy.last_vmid);
        return Err(refuse(format!(
            "{vmid} lies outside the scratch range {first} to {last}"
        )));
    }
    let agent = performer.remotes().of(Principal::Agent);
    let facts = observe::scratch(agent, vmid, &policy.target)
        .await
        .map_err(|Trouble(error)| engine_failure(&error))?;
    let config = match facts.existence {
        Existence::Guest(config) => config,
        Existence::Absent => {
            return Err(Failure::new(
                Exit::NoSuchThing,
                "not-found",
                format!("there is no guest {vmid}"),
            ));
        }
        Existence::Unreadable(why) => return Err(refuse(why)),
    };
    let mark = config.description.as_deref().and_then(Mark::find);
    let mark = mark.filter(|mark| mark.vmid == vmid).ok_or_else(|| {
        refuse(format!(
            "guest {vmid} carries no mark of felhom-agent for this VMID"
        ))
    })?;
    let name = config.hostname.unwrap_or_default();
    let line = format!(
        "guest {vmid} (`{name}`) carries the mark of installation {}, job {}; it will be stopped and destroyed",
        mark.installation, mark.job
    );
    Ok((mark, line))
}

fn typed() -> Option<String> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        tracing::debug!("standard input is no terminal; a line of it is taken as typed");
    }
    let mut line = String::new();
    stdin.lock().read_line(&mut line).ok()?;
    Some(line.trim().to_owned())
}

fn text(resumed: &[Job], reports: &[ReapReport]) -> String {
    let mut lines: Vec<String> = resumed
        .iter()
        .map(|job| {
            format!(
                "{} of {} ({}) was brought to its end",
                job.kind_name(),
                job.subject(),
                job.id
            )
        })
        .collect();
    for report in reports {
        if report.gone {
            lines.push(format!("scratch {} is gone", report.vmid));
        }
        lines.extend(findings_text(&report.findings));
    }
    if lines.is_empty() {
        lines.push("nothing was interrupted, and nothing is left".to_owned());
    }
    lines.join("\n")
}
