//! `pbs verify`: has servers read backups back, and believes nothing but what their lists say afterwards.

mod text;

use std::time::Duration;

use clap::Args;
use felhom_engine::pbs::{VerifyJob, VerifyReport, VerifyRequest, VerifyVerdict, Wanted, Window};
use felhom_engine::{Job, JobKind};
use felhom_ids::{BackupGroup, BackupSnapshot, StorageId, VolumeId};
use serde_json::json;

use super::{chosen, unusable, worst};
use crate::cli::context::{Context, journal_failure, parse};
use crate::cli::text::plan_text;
use crate::cli::{arrears, jobs};
use crate::config::{Config, PbsConfig, Span};
use crate::exit::{Exit, Failure};
use crate::journal::Journal;
use crate::observe;
use crate::perform::Performer;

#[derive(Debug, Args)]
pub(in crate::cli) struct VerifyArgs {
    /// A backup (`ct/9001/2026-11-22T23:36:06Z`) or a group (`ct/9001`), with `STORAGE:` before it or
    /// not; without it what is due by age, never verified first.
    backup: Option<String>,
    /// Only the backup server behind this storage; without it all of the configuration.
    #[arg(long)]
    storage: Option<String>,
    /// Every backup, however lately it was verified.
    #[arg(long, conflicts_with_all = ["backup", "older_than"])]
    all: bool,
    /// What was verified longer ago than this, such as `720h`, instead of `pbs.STORAGE.verify_every`.
    #[arg(long, value_name = "TIME", conflicts_with = "backup")]
    older_than: Option<String>,
    /// Begin no further one after this time, instead of `pbs.STORAGE.verify_for`.
    #[arg(long = "for", value_name = "TIME")]
    lasts: Option<String>,
    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,
}

/// What the command line says, understood.
struct Asked {
    servers: Vec<(StorageId, PbsConfig)>,
    subject: Option<Subject>,
    older_than: Option<Duration>,
    lasts: Option<Duration>,
}

/// What is named.
enum Subject {
    Snapshot(BackupSnapshot),
    Group(BackupGroup),
}

/// A verify that came to its end, with the job that it was.
struct Ended {
    job: String,
    report: VerifyReport,
}

pub(super) async fn run(context: &Context, args: &VerifyArgs) -> Result<Exit, Failure> {
    let performer = context.performer()?;
    let config = performer.config();
    let asked = understand(config, args)?;
    if let [(storage, _)] = asked.servers.as_slice() {
        performer
            .remotes()
            .pbs(storage)
            .map_err(|error| unusable(&error))?;
    }
    if args.dry_run {
        return rehearse(context, &performer, &asked).await;
    }
    let mut journal = context
        .open_journal(config, "verifying of backups on backup servers")
        .await?;
    arrears::settle(context, &journal, &performer).await?;
    let (mut ended, mut failures) = (Vec::new(), Vec::new());
    for (storage, section) in &asked.servers {
        let server = (storage, section);
        match perform(context, &mut journal, &performer, &asked, server).await {
            Ok(job) => ended.extend(report(&job)),
            // One server that must be waited for stands in no other's way.
            Err(failure) => failures.push((storage, failure)),
        }
    }
    if ended.is_empty()
        && let Some((_, failure)) = failures.pop()
    {
        return Err(failure);
    }
    for (storage, failure) in &failures {
        let told = format!("{storage}: {}", failure.message);
        context.printer.narrate(&told);
    }
    tell(context, &ended);
    let waiting = failures.iter().map(|(_, failure)| failure.exit);
    let ends = ended.iter().map(|one| exit(&one.report));
    Ok(worst(ends.chain(waiting)))
}

async fn perform(
    context: &Context,
    journal: &mut Journal,
    performer: &Performer,
    asked: &Asked,
    (storage, section): (&StorageId, &PbsConfig),
) -> Result<Job, Failure> {
    let job = make(performer.config(), Some(journal), asked, (storage, section)).await?;
    let purpose = format!("verifying of backups on {storage}, job {}", job.id);
    journal.say(&purpose);
    jobs::perform(context, journal, performer, job).await
}

/// Verifies what is due by age on one server, for no longer than its section says, and than is given here.
pub(in crate::cli) async fn due(
    context: &Context,
    journal: &mut Journal,
    performer: &Performer,
    (storage, section): (&StorageId, &PbsConfig),
    at_most: Option<Duration>,
) -> Result<VerifyReport, Failure> {
    performer
        .remotes()
        .pbs(storage)
        .map_err(|error| unusable(&error))?;
    let asked = Asked {
        servers: Vec::new(),
        subject: None,
        older_than: None,
        lasts: Some(at_most.map_or(section.verify_for, |most| most.min(section.verify_for))),
    };
    let job = perform(context, journal, performer, &asked, (storage, section)).await?;
    report(&job).map(|ended| ended.report).ok_or_else(|| {
        Failure::new(
            Exit::Unexpected,
            "verify",
            "the verify ended without a report",
        )
    })
}

fn tell(context: &Context, ended: &[Ended]) {
    let all: Vec<_> = ended
        .iter()
        .map(|one| {
            let passed = one.report.passed();
            json!({ "job": one.job, "passed": passed, "report": one.report })
        })
        .collect();
    let data = json!({ "servers": all });
    context.printer.document("felhom.pbs-verify", &data, || {
        let texts: Vec<String> = ended.iter().map(|one| text::report(&one.report)).collect();
        texts.join("\n")
    });
}

fn understand(config: &Config, args: &VerifyArgs) -> Result<Asked, Failure> {
    let (mut storage, mut subject) = (args.storage.clone(), None);
    if let Some(text) = &args.backup {
        let (before, named) = named(text)?;
        if let (Some(before), Some(storage)) = (&before, &storage)
            && before != storage
        {
            let message = format!("BACKUP names storage `{before}`, and --storage `{storage}`");
            return Err(Failure::new(Exit::Usage, "usage", message));
        }
        storage = storage.or(before);
        subject = Some(named);
    }
    let servers = chosen(config, storage.as_deref())?;
    if subject.is_some() && servers.len() > 1 {
        let known: Vec<String> = servers.iter().map(|(id, _)| id.to_string()).collect();
        let message = "BACKUP does not say on which storage it is, and there are several";
        let hint = format!("name one with --storage: {}", known.join(", "));
        return Err(Failure::new(Exit::Usage, "usage", message).hint(hint));
    }
    let span = |what: &str, text: &Option<String>| -> Result<Option<Duration>, Failure> {
        let Some(text) = text else { return Ok(None) };
        let span: Span = parse(what, text)?;
        if span.get().is_zero() {
            let message = format!("{what}: `{text}` leaves no time; `--all` verifies everything");
            return Err(Failure::new(Exit::Usage, "usage", message));
        }
        Ok(Some(span.get()))
    };
    Ok(Asked {
        servers,
        subject,
        older_than: if args.all {
            Some(Duration::ZERO)
        } else {
            span("--older-than", &args.older_than)?
        },
        lasts: span("--for", &args.lasts)?,
    })
}

/// `[STORAGE:]GROUP`, `[STORAGE:]SNAPSHOT`, or the volume id that PVE has for it. No storage has a slash in its name.
fn named(text: &str) -> Result<(Option<String>, Subject), Failure> {
    if let Ok(volume) = text.parse::<VolumeId>()
        && let Some(snapshot) = BackupSnapshot::from_volume(&volume)
    {
        let storage = volume.storage().to_string();
        return Ok((Some(storage), Subject::Snapshot(snapshot)));
    }
    let (storage, rest) = match text.split_once(':') {
        Some((before, rest)) if !before.contains('/') => (Some(before.to_owned()), rest),
        Some(_) | None => (None, text),
    };
    if let Ok(group) = rest.parse::<BackupGroup>() {
        return Ok((storage, Subject::Group(group)));
    }
    match rest.parse::<BackupSnapshot>() {
        Ok(snapshot) => Ok((storage, Subject::Snapshot(snapshot))),
        Err(error) => {
            let failure = Failure::new(Exit::Usage, "usage", format!("BACKUP: {error}"));
            Err(failure.hint("`felhom-agent pbs snapshots` lists them"))
        }
    }
}

async fn make(
    config: &Config,
    journal: Option<&Journal>,
    asked: &Asked,
    (storage, section): (&StorageId, &PbsConfig),
) -> Result<Job, Failure> {
    let target = observe::target(storage, section);
    let known_damage = match journal {
        Some(journal) => journal
            .known_damage(&target)
            .await
            .map_err(|error| journal_failure(&error))?,
        None => std::collections::BTreeMap::new(),
    };
    let now = jobs::now();
    let (wanted, lasts) = match &asked.subject {
        Some(Subject::Snapshot(one)) => (Wanted::Named(vec![one.clone()]), asked.lasts),
        Some(Subject::Group(group)) => (Wanted::Group(group.clone()), asked.lasts),
        None => {
            let due = Wanted::Due {
                outdated_after: asked.older_than.unwrap_or(section.verify_every),
                most: usize::MAX,
            };
            (due, asked.lasts.or(Some(section.verify_for)))
        }
    };
    let request = VerifyRequest {
        target,
        wanted,
        window: lasts.map(|lasts| Window { opens: now, lasts }),
        known_damage,
        no_progress: config.backup.no_progress,
        settle: config.backup.settle,
    };
    Ok(Job {
        id: jobs::new_job_id()?,
        created: now,
        kind: JobKind::Verify(Box::new(VerifyJob::new(request))),
    })
}

fn report(job: &Job) -> Option<Ended> {
    let JobKind::Verify(verify) = &job.kind else {
        return None;
    };
    let (job, report) = (job.id.to_string(), verify.report()?.clone());
    Some(Ended { job, report })
}

async fn rehearse(
    context: &Context,
    performer: &Performer,
    asked: &Asked,
) -> Result<Exit, Failure> {
    let config = performer.config();
    let journal = context.read_journal(config).await?;
    let (mut plan, mut findings, mut queue) = (Vec::new(), Vec::new(), Vec::new());
    let mut ends = Vec::new();
    for (storage, section) in &asked.servers {
        let job = make(config, journal.as_ref(), asked, (storage, section)).await?;
        let job = jobs::rehearse(context, performer, job).await?;
        plan.extend(job.planning().iter().cloned());
        findings.extend(job.findings().iter().cloned());
        let JobKind::Verify(verify) = &job.kind else {
            continue;
        };
        let all = verify.current().into_iter().chain(verify.queue());
        queue.extend(all.map(|one| format!("{storage}:{one}")));
        if let Some(report) = verify.report() {
            ends.push(exit(report));
            plan.extend(report.reason.iter().map(|why| format!("  {why}")));
            plan.extend(text::hint(report));
        }
    }
    let data = json!({ "dry_run": true, "plan": plan, "findings": findings, "snapshots": queue });
    context
        .printer
        .document("felhom.plan", &data, || plan_text(&plan, &findings));
    Ok(worst(ends))
}

pub(in crate::cli) fn exit(report: &VerifyReport) -> Exit {
    if report.count(VerifyVerdict::Failed) > 0 {
        return Exit::VerdictFailed;
    }
    if report.count(VerifyVerdict::Undetermined) > 0 {
        return Exit::Undetermined;
    }
    match report.trouble {
        Some(class) => Exit::of(class),
        None if report.left.is_empty() && report.findings.is_empty() => Exit::Done,
        None => Exit::Findings,
    }
}
