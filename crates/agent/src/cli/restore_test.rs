//! `restore-test run`, `restore-test list`, `restore-test reap`.

mod choose;
mod reap;

use felhom_engine::{Job, JobKind, RestoreTestJob, RestoreTestReport, RestoreTestRequest, Verdict};
use felhom_ids::{StorageId, Vmid, VolumeId};
use serde::Serialize;
use serde_json::json;

use super::context::{Context, journal_failure, parse};
use super::targets::{Door, Use};
use super::text::{findings_text, plan_text};
use super::{RestoreTestRunArgs, arrears, jobs};
use crate::clock;
use crate::exit::{Exit, Failure};
use crate::journal::Journal;
use crate::output::{seconds, table};
use crate::perform::Performer;

pub(super) use choose::require_archive;
pub(super) use reap::{reap, remains};

pub(super) async fn run(context: &Context, args: &RestoreTestRunArgs) -> Result<Exit, Failure> {
    let performer = context.performer()?;
    let config = performer.config();
    let Some(volid) = chosen(context, &performer, args).await? else {
        return nothing(context, args);
    };
    if args.dry_run {
        let journal = context.read_journal(config).await?;
        let job = make(&volid, &performer, journal.as_ref()).await?;
        let job = jobs::rehearse(context, &performer, job).await?;
        return Ok(rehearsed(context, &job));
    }
    let mut journal = context
        .open_journal(config, &format!("restore test of {volid}"))
        .await?;
    arrears::settle(context, &journal, &performer).await?;
    for report in remains(context, &journal, &performer).await? {
        for line in findings_text(&report.findings) {
            context.printer.narrate(&line);
        }
    }
    let job = perform(context, &mut journal, &performer, &volid).await?;
    let Some(report) = report(&job) else {
        return Ok(Exit::Unexpected);
    };
    context
        .printer
        .document("felhom.restore-test", &TestView::new(&job, report), || {
            text(report)
        });
    Ok(exit(report))
}

/// Tests an archive that is within reach.
pub(super) async fn perform(
    context: &Context,
    journal: &mut Journal,
    performer: &Performer,
    volid: &VolumeId,
) -> Result<Job, Failure> {
    let job = make(volid, performer, Some(journal)).await?;
    journal.say(&format!("restore test of {volid}, job {}", job.id));
    jobs::perform(context, journal, performer, job).await
}

/// What a restore test that ended says of itself.
pub(super) fn report(job: &Job) -> Option<&RestoreTestReport> {
    let JobKind::RestoreTest(test) = &job.kind else {
        return None;
    };
    test.report()
}

/// The archive that is tested, within reach.
async fn chosen(
    context: &Context,
    performer: &Performer,
    args: &RestoreTestRunArgs,
) -> Result<Option<VolumeId>, Failure> {
    let read = context.read_journal(performer.config()).await?;
    let door = Door {
        context,
        performer,
        journal: read.as_ref(),
        dry_run: args.dry_run,
    };
    let subject = args.subject.as_deref();
    if let Some(storage) = named_storage(subject) {
        door.admit(&storage, Use::Change).await?;
        return choose::subject(subject, performer, read.as_ref()).await;
    }
    door.mount_present().await?;
    let chosen = choose::subject(subject, performer, read.as_ref()).await?;
    if let Some(volid) = &chosen {
        door.admit(volid.storage(), Use::Change).await?;
    }
    Ok(chosen)
}

fn nothing(context: &Context, args: &RestoreTestRunArgs) -> Result<Exit, Failure> {
    if args.allow_empty {
        context
            .printer
            .document("felhom.restore-test", &json!({ "nothing": true }), || {
                "nothing to test".into()
            });
        return Ok(Exit::Done);
    }
    let of = match &args.subject {
        Some(vmid) => format!(" of guest {vmid}"),
        None => String::new(),
    };
    let message =
        format!("there is no backup{of} that could be tested, or none that the token may see");
    Err(Failure::new(Exit::NoSuchThing, "nothing", message)
        .hint("make one with `felhom-agent backup run VMID`; `--allow-empty` makes this no error"))
}

/// The storage of an archive that is named.
fn named_storage(subject: Option<&str>) -> Option<StorageId> {
    let volid: VolumeId = subject?.parse().ok()?;
    Some(volid.storage().clone())
}

/// A file takes whole blocks, however small it is.
const BLOCK: u64 = 4096;

async fn make(
    volid: &VolumeId,
    performer: &Performer,
    journal: Option<&Journal>,
) -> Result<Job, Failure> {
    let id = jobs::new_job_id()?;
    let (installation, leased, content_bytes) = match journal {
        Some(journal) => {
            let known = journal
                .backup_of(volid)
                .await
                .map_err(|error| journal_failure(&error))?;
            let content = known.and_then(|row| row.report.content).map(|content| {
                content
                    .bytes
                    .saturating_add(content.members.saturating_mul(BLOCK))
            });
            (
                journal.installation().clone(),
                leased(journal).await?,
                content,
            )
        }
        None => (jobs::no_installation(), Vec::new(), None),
    };
    let request = RestoreTestRequest {
        volid: volid.clone(),
        installation,
        job: id.clone(),
        nonce: jobs::random_u64()?,
        policy: performer.config().restore_test_policy.clone(),
        leased,
        content_bytes,
    };
    let former = match (journal, volid.guest()) {
        (Some(journal), Some(vmid)) => journal
            .former_proofs(vmid)
            .await
            .map_err(|error| journal_failure(&error))?,
        _ => Vec::new(),
    };
    let test = RestoreTestJob::new(request).protecting(former);
    let kind = JobKind::RestoreTest(Box::new(test));
    Ok(Job {
        id,
        created: jobs::now(),
        kind,
    })
}

/// Scratch VMIDs that are spoken for.
async fn leased(journal: &Journal) -> Result<Vec<Vmid>, Failure> {
    let unfinished = journal
        .unfinished()
        .await
        .map_err(|error| journal_failure(&error))?;
    let remains = journal
        .remains()
        .await
        .map_err(|error| journal_failure(&error))?;
    let held = unfinished.iter().filter_map(|one| match &one.job.kind {
        JobKind::RestoreTest(test) => test.lease(),
        JobKind::Reap(reap) => Some(reap.vmid()),
        JobKind::Backup(_)
        | JobKind::RestoreRun(_)
        | JobKind::Exercise(_)
        | JobKind::Prune(_)
        | JobKind::Guard(_)
        | JobKind::Verify(_)
        | JobKind::Golden(_) => None,
    });
    Ok(held
        .chain(
            remains
                .into_iter()
                .map(|remains| remains.leftover.mark.vmid),
        )
        .collect())
}

fn rehearsed(context: &Context, job: &Job) -> Exit {
    if let JobKind::RestoreTest(test) = &job.kind
        && let Some(report) = test.report()
    {
        let data =
            json!({ "dry_run": true, "plan": job.planning(), "judgement": report.judgement });
        context
            .printer
            .document("felhom.plan", &data, || text(report));
        return exit(report);
    }
    let data = json!({ "dry_run": true, "plan": job.planning(), "findings": job.findings() });
    context.printer.document("felhom.plan", &data, || {
        plan_text(job.planning(), job.findings())
    });
    Exit::Done
}

/// What programs get of a restore test.
#[derive(Serialize)]
pub(super) struct TestView<'a> {
    job: &'a str,
    verdict: Verdict,
    #[serde(flatten)]
    report: &'a RestoreTestReport,
}

impl<'a> TestView<'a> {
    pub(super) fn new(job: &'a Job, report: &'a RestoreTestReport) -> Self {
        Self {
            job: job.id.as_str(),
            verdict: report.judgement.verdict,
            report,
        }
    }
}

pub(super) fn exit(report: &RestoreTestReport) -> Exit {
    match (report.judgement.verdict, report.trouble) {
        (Verdict::Passed, _) if report.findings.is_empty() => Exit::Done,
        (Verdict::Passed, _) => Exit::Findings,
        (Verdict::Failed, _) => Exit::VerdictFailed,
        // Nothing was begun: the reason is the remote's, and so is the code.
        (Verdict::Error | Verdict::Unverified, Some(class)) if report.scratch.is_none() => {
            Exit::of(class)
        }
        (Verdict::Error | Verdict::Unverified, _) => Exit::VerdictError,
    }
}

pub(super) fn text(report: &RestoreTestReport) -> String {
    let mut headline = format!("{}: {}", report.volid, report.judgement.verdict);
    if let Some(level) = report.judgement.level {
        headline.push_str(", ");
        headline.push_str(&level.to_string());
    }
    if let Some(rto) = report.rto_ms {
        headline.push_str(", back in ");
        headline.push_str(&seconds(rto));
    }
    let mut lines = vec![headline];
    lines.extend(
        report
            .judgement
            .reasons
            .iter()
            .map(|reason| format!("  {reason}")),
    );
    lines.extend(
        report
            .checks
            .iter()
            .map(|check| format!("  checked: {check}")),
    );
    if let Some(plan) = &report.plan {
        for lost in &plan.lost {
            lines.push(format!(
                "  not in the backup: {} ({}): {}",
                lost.key, lost.path, lost.why
            ));
        }
    }
    if let Some(age) = report.data_age_s {
        lines.push(format!("  the data is {} old", clock::age(age)));
    }
    lines.push(match (report.scratch, report.nothing_left) {
        (Some(scratch), true) => {
            format!("  scratch guest {scratch} is gone, nothing is left of it")
        }
        (Some(scratch), false) => format!("  scratch guest {scratch} could not be removed"),
        (None, _) => "  nothing was made".to_owned(),
    });
    if report.noted {
        lines.push("  the verdict stands in the archive's notes".to_owned());
    }
    for volid in &report.released {
        lines.push(format!(
            "  {volid} is no longer protected: this proof is newer"
        ));
    }
    lines.extend(findings_text(&report.findings));
    lines.join("\n")
}

pub(super) async fn list(context: &Context, vmid: Option<&str>) -> Result<Exit, Failure> {
    let vmid: Option<Vmid> = vmid.map(|text| parse("VMID", text)).transpose()?;
    let config = context.config()?;
    let tests = match context.read_journal(&config).await? {
        Some(journal) => journal
            .tests(vmid)
            .await
            .map_err(|error| journal_failure(&error))?,
        None => Vec::new(),
    };
    let data: Vec<_> = tests
        .iter()
        .map(|row| json!({ "job": row.job, "finished_ms": row.finished.millis(), "report": row.report }))
        .collect();
    context.printer.document("felhom.restore-tests", &data, || {
        if tests.is_empty() {
            return "nothing was tested yet".to_owned();
        }
        let rows: Vec<_> = tests
            .iter()
            .map(|row| {
                vec![
                    clock::local(row.finished),
                    row.report
                        .source
                        .map(|vmid| vmid.to_string())
                        .unwrap_or_default(),
                    made(&row.report.volid),
                    row.report.judgement.verdict.to_string(),
                    row.report
                        .judgement
                        .level
                        .map(|level| level.to_string())
                        .unwrap_or_default(),
                    row.report.rto_ms.map(seconds).unwrap_or_default(),
                    beginning(row.report.judgement.reasons.first()),
                ]
            })
            .collect();
        table(
            &[
                "WHEN", "VMID", "BACKUP", "VERDICT", "EVIDENCE", "RTO", "REASON",
            ],
            &rows,
        )
    });
    Ok(Exit::Done)
}

/// When an archive was made, as its name says; a name that says nothing is shown itself.
fn made(volid: &VolumeId) -> String {
    volid
        .backup()
        .map_or_else(|| volid.to_string(), |backup| backup.time)
}

/// As much of a reason as a table bears; the whole text is in the document for programs.
fn beginning(reason: Option<&String>) -> String {
    const LONGEST: usize = 72;
    let Some(reason) = reason else {
        return String::new();
    };
    let mut shown: String = reason.chars().take(LONGEST).collect();
    if shown.len() < reason.len() {
        shown.push('…');
    }
    shown
}
