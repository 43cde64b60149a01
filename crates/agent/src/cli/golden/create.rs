//! `golden create`: the container by the root helper, its archive by the agent.

use felhom_engine::{
    ErrorClass, GoldenJob, GoldenReport, GoldenRequest, Job, JobKind, Principal, RemoteError,
};
use felhom_host::{Operation, TemplateVolume};
use felhom_ids::{Vmid, VolumeId};
use serde_json::json;

use super::{CreateArgs, images};
use crate::cli::context::{Context, engine_failure, parse};
use crate::cli::text::plan_text;
use crate::cli::{arrears, backup, jobs};
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::fence::{Fence, FenceError, LOOK};
use crate::journal::Journal;
use crate::perform::Performer;

pub(super) async fn create(context: &Context, args: &CreateArgs) -> Result<Exit, Failure> {
    let vmid: Vmid = parse("--vmid", &args.vmid)?;
    let wanted: TemplateVolume = parse("TEMPLATE", &args.template)?;
    let template: VolumeId = parse("TEMPLATE", &args.template)?;
    let performer = context.performer()?;
    let config = performer.config();
    let wanted = Operation::CreateGoldenContainer {
        vmid,
        template: wanted,
    };
    require_helper(config, &wanted).await?;
    if args.dry_run {
        return rehearse(context, &performer, vmid, template).await;
    }
    jobs::single_node(&performer).await?;
    let purpose = format!("golden container {vmid}");
    let mut journal = context.open_journal(config, &purpose).await?;
    arrears::settle(context, &journal, &performer).await?;
    let job = make(vmid, template, config)?;
    journal.say(&format!("{purpose}, job {}", job.id));
    let job = jobs::perform(context, &journal, &performer, job).await?;
    let report = report_of(&job)?;
    if !report.ready {
        return Err(not_ready(report));
    }
    imaged(context, &journal, &performer, args.no_backup, report).await
}

/// Backs it up, unless an earlier request did.
async fn imaged(
    context: &Context,
    journal: &Journal,
    performer: &Performer,
    no_backup: bool,
    report: &GoldenReport,
) -> Result<Exit, Failure> {
    let vmid = report.vmid;
    let made = if report.existed {
        "was there"
    } else {
        "is made"
    };
    let headline = format!("golden container {vmid} {made}");
    let pve = performer.remotes().of(Principal::Agent);
    let known = images(pve, Some(journal)).await?.into_iter();
    let image = known
        .filter(|image| image.there)
        .find(|image| image.vmid == vmid);
    if no_backup || image.is_some() {
        let data = json!({ "golden": report, "image": image, "backup": null });
        let line = match &image {
            Some(image) => format!("{headline}; its image is {}", image.volid),
            None => format!("{headline}; for its image: felhom-agent backup run {vmid}"),
        };
        context.printer.document("felhom.golden", &data, || line);
        return Ok(Exit::Done);
    }
    context.printer.narrate(&headline);
    let job = backup::image(context, journal, performer, vmid).await?;
    let JobKind::Backup(done) = &job.kind else {
        return Ok(Exit::Unexpected);
    };
    let Some(done) = done.report() else {
        return Ok(Exit::Unexpected);
    };
    let known = images(pve, Some(journal)).await?.into_iter();
    let image = known
        .filter(|image| image.there)
        .find(|image| image.vmid == vmid);
    let view = backup::BackupView::new(&job, done);
    let data = json!({ "golden": report, "image": image, "backup": view });
    context.printer.document("felhom.golden", &data, || {
        format!("{headline}\n{}", backup::text(done))
    });
    Ok(backup::exit(done))
}

/// A question that changes nothing: without the helper nothing is begun.
async fn require_helper(config: &Config, wanted: &Operation) -> Result<(), Failure> {
    match Fence::new(config)
        .ask_before(Operation::ReadSensors {}, LOOK, wanted)
        .await
    {
        Err(error @ (FenceError::Absent(_) | FenceError::Lost(_))) => Err(error.failure()),
        Err(FenceError::Refused(refusal)) if refusal.code == felhom_host::Code::NotAllowed => {
            Err(FenceError::Refused(refusal).failure())
        }
        // Whatever it says of the sensors, it is there.
        Ok(_) | Err(FenceError::Refused(_)) => Ok(()),
    }
}

async fn rehearse(
    context: &Context,
    performer: &Performer,
    vmid: Vmid,
    template: VolumeId,
) -> Result<Exit, Failure> {
    let config = performer.config();
    let job = jobs::rehearse(context, performer, make(vmid, template, config)?).await?;
    if let JobKind::Golden(golden) = &job.kind
        && let Some(report) = golden.report()
        && !report.ready
    {
        return Err(not_ready(report));
    }
    let mut plan = job.planning().to_vec();
    plan.push(format!(
        "then it is backed up to `{}`, and the archive set protected",
        config.backup.storage
    ));
    let data = json!({ "dry_run": true, "plan": plan, "findings": job.findings() });
    context
        .printer
        .document("felhom.plan", &data, || plan_text(&plan, job.findings()));
    Ok(Exit::Done)
}

fn make(vmid: Vmid, template: VolumeId, config: &Config) -> Result<Job, Failure> {
    let request = GoldenRequest {
        vmid,
        template,
        storage: config.restore_test_policy.target.clone(),
        no_progress: config.backup.no_progress,
        settle: config.backup.settle,
    };
    Ok(Job {
        id: jobs::new_job_id()?,
        created: jobs::now(),
        kind: JobKind::Golden(Box::new(GoldenJob::new(request))),
    })
}

fn report_of(job: &Job) -> Result<&GoldenReport, Failure> {
    let report = match &job.kind {
        JobKind::Golden(golden) => golden.report(),
        JobKind::Backup(_)
        | JobKind::RestoreTest(_)
        | JobKind::RestoreRun(_)
        | JobKind::Reap(_)
        | JobKind::Exercise(_)
        | JobKind::Prune(_)
        | JobKind::Guard(_)
        | JobKind::Verify(_) => None,
    };
    report.ok_or_else(|| {
        let text = "the job ended without a report";
        Failure::new(Exit::Unexpected, "golden", text)
    })
}

fn not_ready(report: &GoldenReport) -> Failure {
    let text = report.reasons.first().cloned().unwrap_or_default();
    let class = report.trouble.unwrap_or(ErrorClass::Refused);
    let mut failure = engine_failure(&RemoteError { class, text });
    if class == ErrorClass::Unreachable {
        // Only the helper was asked for something; it went away in between.
        failure.exit = Exit::Refused;
    }
    failure
        .hint("`felhom-agent host config` prints what root's /etc/felhom/hostd.toml has to allow")
}
