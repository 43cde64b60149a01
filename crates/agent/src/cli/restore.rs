//! `restore plan`, `restore run`, `restore list`: what would come back, and bringing it back.

mod list;
mod text;

use felhom_engine::{
    ErrorClass, Identity, InstallationId, Job, JobId, JobKind, Principal, RemoteError, RestoreEnd,
    RestoreRunJob, RestoreRunPolicy, RestoreRunReport, RestoreRunRequest,
};
use felhom_ids::{Vmid, VolumeId};
use felhom_proxmox::Pve;

use super::context::{Context, engine_failure, journal_failure, parse, parse_backup, pve_failure};
use super::restore_test::require_archive;
use super::targets::{Door, Use};
use super::{RestoreChoices, RestorePlanArgs, RestoreRunArgs, arrears, jobs};
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::journal::Journal;
use crate::observe;
use crate::perform::Performer;

pub(super) use list::list;
use text::{PlanView, RunView};

/// What is wanted, as far as the command line says.
pub(super) struct Wish<'a> {
    pub(super) volid: VolumeId,
    pub(super) to: Vmid,
    pub(super) identity: Identity,
    pub(super) choices: &'a RestoreChoices,
    /// Whether the archive has to be of a golden container.
    pub(super) golden: bool,
}

pub(super) async fn plan(context: &Context, args: &RestorePlanArgs) -> Result<Exit, Failure> {
    let volid = parse_backup(&args.volid)?;
    let performer = context.performer()?;
    require_voice(&performer)?;
    admitted(context, &performer, &volid, true).await?;
    require_archive(&performer, &volid).await?;
    let agent = performer.remotes().of(Principal::Agent);
    let gone = observe::archived_vmid_is_free(agent, &volid)
        .await
        .map_err(|error| pve_failure(&error))?;
    let identity = match &args.identity {
        Some(text) => parse("--identity", text)?,
        None if gone => Identity::Keep,
        None => Identity::Fresh,
    };
    let to = match (&args.to, volid.guest()) {
        (Some(text), _) => parse("--to", text)?,
        (None, Some(own)) if gone && identity == Identity::Keep => own,
        (None, _) => free_vmid(agent, performer.config()).await?,
    };
    let wish = Wish {
        volid,
        to,
        identity,
        choices: &args.choices,
        golden: false,
    };
    rehearse(context, &performer, &wish).await
}

pub(super) async fn run(context: &Context, args: &RestoreRunArgs) -> Result<Exit, Failure> {
    let wish = Wish {
        volid: parse_backup(&args.volid)?,
        to: parse("--to", &args.to)?,
        identity: parse("--identity", &args.identity)?,
        choices: &args.choices,
        golden: false,
    };
    let performer = context.performer()?;
    carry_out(context, &performer, &wish, args.dry_run).await
}

/// Restores what is wanted, or only says what would come back.
pub(super) async fn carry_out(
    context: &Context,
    performer: &Performer,
    wish: &Wish<'_>,
    dry_run: bool,
) -> Result<Exit, Failure> {
    require_voice(performer)?;
    admitted(context, performer, &wish.volid, dry_run).await?;
    require_archive(performer, &wish.volid).await?;
    if dry_run {
        return rehearse(context, performer, wish).await;
    }
    let purpose = format!("restore of {} to guest {}", wish.volid, wish.to);
    let mut journal = context.open_journal(performer.config(), &purpose).await?;
    arrears::settle(context, &journal, performer).await?;
    let job = make(wish, performer.config(), Some(&journal)).await?;
    journal.say(&format!("{purpose}, job {}", job.id));
    let job = jobs::perform(context, &journal, performer, job).await?;
    let JobKind::RestoreRun(restore) = &job.kind else {
        return Ok(Exit::Unexpected);
    };
    let Some(report) = restore.report() else {
        return Ok(Exit::Unexpected);
    };
    let view = RunView::new(&job, report, performer.config());
    context
        .printer
        .document("felhom.restore", &view, || view.text());
    Ok(exit(report))
}

/// An archive on a removable disk: it is mounted when it is there.
async fn admitted(
    context: &Context,
    performer: &Performer,
    volid: &VolumeId,
    dry_run: bool,
) -> Result<(), Failure> {
    let read = context.read_journal(performer.config()).await?;
    let door = Door {
        context,
        performer,
        journal: read.as_ref(),
        dry_run,
    };
    door.admit(volid.storage(), Use::Read).await
}

/// The token that is given for the occasion must be there now.
fn require_voice(performer: &Performer) -> Result<(), Failure> {
    match performer.remotes().mute(Principal::Restore) {
        None => Ok(()),
        Some(why) => Err(Failure::new(Exit::Configuration, "credentials", why).hint(
            "put the secret of the token for this restore there, or take `[principals.restore]` out to use the agent's own",
        )),
    }
}

/// The lowest free VMID outside of the scratch range.
async fn free_vmid(pve: &Pve, config: &Config) -> Result<Vmid, Failure> {
    let range = config.restore_test_policy.range();
    let next = pve.next_id().await.map_err(|error| pve_failure(&error))?;
    if !range.contains(&next) {
        return Ok(next);
    }
    let above = range.end().get().saturating_add(1);
    for number in above..=Vmid::MAX.get() {
        let vmid: Vmid = parse("VMID", &number.to_string())?;
        if pve
            .is_free(vmid)
            .await
            .map_err(|error| pve_failure(&error))?
        {
            return Ok(vmid);
        }
    }
    Err(Failure::new(
        Exit::Refused,
        "no-vmid",
        "no VMID is free; name one with `--to`",
    ))
}

/// Looks as far as reading goes, and tells the plan.
async fn rehearse(
    context: &Context,
    performer: &Performer,
    wish: &Wish<'_>,
) -> Result<Exit, Failure> {
    let journal = context.read_journal(performer.config()).await?;
    let job = make(wish, performer.config(), journal.as_ref()).await?;
    let job = jobs::rehearse(context, performer, job).await?;
    let JobKind::RestoreRun(restore) = &job.kind else {
        return Ok(Exit::Unexpected);
    };
    let report = restore.report();
    let lacking = report.is_some_and(|report| !report.lacking.is_empty());
    if restore.plan().is_none() && !lacking {
        return Err(no_plan(&job, report));
    }
    let view = PlanView::new(restore, performer.config());
    context
        .printer
        .document("felhom.restore-plan", &view, || view.text());
    Ok(report.map_or(Exit::Done, exit))
}

/// Why there is not even a plan.
fn no_plan(job: &Job, report: Option<&RestoreRunReport>) -> Failure {
    let Some(report) = report else {
        let why = job.planning().last().cloned().unwrap_or_default();
        return Failure::new(Exit::Remote, "unreachable", why);
    };
    let text = report.reasons.first().cloned().unwrap_or_default();
    let class = report.trouble.unwrap_or(ErrorClass::Refused);
    let failure = engine_failure(&RemoteError { class, text });
    match report.hints.first() {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

async fn make(wish: &Wish<'_>, config: &Config, journal: Option<&Journal>) -> Result<Job, Failure> {
    let id = jobs::new_job_id()?;
    let (installation, content_bytes) = match journal {
        Some(journal) => (
            journal.installation().clone(),
            content_bytes(journal, &wish.volid).await?,
        ),
        None => (jobs::no_installation(), None),
    };
    let request = request(wish, config, id.clone(), installation, content_bytes)?;
    Ok(Job {
        id,
        created: jobs::now(),
        kind: JobKind::RestoreRun(Box::new(RestoreRunJob::new(request))),
    })
}

fn request(
    wish: &Wish<'_>,
    config: &Config,
    job: JobId,
    installation: InstallationId,
    content_bytes: Option<u64>,
) -> Result<RestoreRunRequest, Failure> {
    let choices = wish.choices;
    Ok(RestoreRunRequest {
        volid: wish.volid.clone(),
        to: wish.to,
        identity: wish.identity,
        hostname: choices.hostname.clone(),
        storage: choices
            .storage
            .as_deref()
            .map(|text| parse("--storage", text))
            .transpose()?,
        without_empty: choices.without_empty,
        link_down: choices.link_down,
        start: choices.start,
        installation,
        job,
        policy: RestoreRunPolicy::from(&config.restore_test_policy),
        content_bytes,
        golden: wish.golden,
    })
}

/// A file takes whole blocks, however small it is.
const BLOCK: u64 = 4096;

/// Bytes that the archive unpacks to, where its backup's proof tells.
async fn content_bytes(journal: &Journal, volid: &VolumeId) -> Result<Option<u64>, Failure> {
    let known = journal
        .backup_of(volid)
        .await
        .map_err(|error| journal_failure(&error))?;
    Ok(known.and_then(|row| row.report.content).map(|content| {
        content
            .bytes
            .saturating_add(content.members.saturating_mul(BLOCK))
    }))
}

fn exit(report: &RestoreRunReport) -> Exit {
    match report.end {
        RestoreEnd::Restored if report.findings.is_empty() => Exit::Done,
        RestoreEnd::Restored | RestoreEnd::Differs => Exit::Findings,
        RestoreEnd::Refused => report.trouble.map_or(Exit::Refused, Exit::of),
        // The server refused the request itself, and nothing was made.
        RestoreEnd::Failed if report.restore_upid.is_none() && report.nothing_left => {
            report.trouble.map_or(Exit::TaskFailed, Exit::of)
        }
        RestoreEnd::Failed => Exit::TaskFailed,
    }
}
