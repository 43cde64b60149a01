//! `selftest`: a read-only health report; with an exercise, something reversible against the live host.

use felhom_engine::{ExerciseJob, ExerciseReport, Job, JobKind, Mark, Principal};
use felhom_ids::{SnapshotName, Vmid};
use serde_json::json;

use super::context::{Context, parse, pve_failure, require_container};
use super::text::findings_text;
use super::{Exercise, RestoreTestRunArgs, arrears, jobs, restore_test};
use crate::exit::{Exit, Failure};

pub(super) async fn run(context: &Context, exercise: Option<Exercise>) -> Result<Exit, Failure> {
    match exercise {
        None => report(context).await,
        Some(Exercise::Task { vmid, dry_run }) => task(context, &vmid, dry_run).await,
        Some(Exercise::RestoreTest { dry_run }) => {
            let args = RestoreTestRunArgs {
                subject: None,
                dry_run,
                allow_empty: false,
            };
            restore_test::run(context, &args).await
        }
    }
}

/// Every principal asks the server who it is and what it may do. Nothing is changed.
async fn report(context: &Context) -> Result<Exit, Failure> {
    let performer = context.performer()?;
    let mut checks = Vec::new();
    for principal in [Principal::Agent, Principal::RestoreTest] {
        let pve = performer.remotes().of(principal);
        let version = pve.version().await.map_err(|error| pve_failure(&error))?;
        let held = pve
            .permissions()
            .await
            .map_err(|error| pve_failure(&error))?;
        let granted: usize = held.0.values().map(std::collections::BTreeMap::len).sum();
        let ok = granted > 0;
        let text = if ok {
            format!(
                "{principal}: Proxmox VE {} answers; grants on {} path(s)",
                version.version,
                held.0.len()
            )
        } else {
            format!(
                "{principal}: Proxmox VE {} answers, but nothing is granted to user and token both",
                version.version
            )
        };
        checks.push((ok, text));
    }
    let nodes = performer
        .remotes()
        .of(Principal::Agent)
        .nodes()
        .await
        .map_err(|error| pve_failure(&error))?;
    let node = performer.config().node.clone();
    checks.push((
        nodes.iter().any(|one| one.node == node),
        format!("node `{node}` is there"),
    ));
    checks.push((
        nodes.len() == 1,
        format!("{} node(s) in the cluster; one is supported", nodes.len()),
    ));
    let all = checks.iter().all(|(ok, _)| *ok);
    let data: Vec<_> = checks
        .iter()
        .map(|(ok, text)| json!({ "ok": ok, "text": text }))
        .collect();
    context.printer.document("felhom.selftest", &data, || {
        checks
            .iter()
            .map(|(ok, text)| format!("{} {text}", if *ok { "ok  " } else { "BAD " }))
            .collect::<Vec<_>>()
            .join("\n")
    });
    Ok(if all { Exit::Done } else { Exit::Findings })
}

async fn task(context: &Context, vmid: &str, dry_run: bool) -> Result<Exit, Failure> {
    let vmid: Vmid = parse("VMID", vmid)?;
    let performer = context.performer()?;
    let config = performer.config();
    let id = jobs::new_job_id()?;
    let name: SnapshotName = parse("snapshot name", &format!("felhom-{}", &id))?;
    require_container(performer.remotes().of(Principal::Agent), vmid).await?;
    let plan = vec![format!(
        "snapshot guest {vmid} as `{name}`, find the snapshot, remove it again"
    )];
    if dry_run {
        context.printer.document(
            "felhom.plan",
            &json!({ "dry_run": true, "plan": plan }),
            || plan.join("\n"),
        );
        return Ok(Exit::Done);
    }
    jobs::single_node(&performer).await?;
    let journal = context
        .open_journal(config, &format!("selftest of guest {vmid}"))
        .await?;
    arrears::settle(context, &journal, &performer).await?;
    for line in &plan {
        context.printer.narrate(line);
    }
    let mark = Mark {
        installation: journal.installation().clone(),
        job: id.clone(),
        vmid,
    };
    let exercise = ExerciseJob::new(mark, name, config.backup.no_progress, config.backup.settle);
    let job = Job {
        id,
        created: jobs::now(),
        kind: JobKind::Exercise(Box::new(exercise)),
    };
    let job = jobs::perform(context, &journal, &performer, job).await?;
    let JobKind::Exercise(exercise) = &job.kind else {
        return Ok(Exit::Unexpected);
    };
    let Some(report) = exercise.report() else {
        return Ok(Exit::Unexpected);
    };
    context
        .printer
        .document("felhom.selftest-task", report, || text(report));
    Ok(match (report.done, report.trouble) {
        (true, _) if report.findings.is_empty() => Exit::Done,
        (true, _) => Exit::Findings,
        (false, Some(class)) => Exit::of(class),
        (false, None) => Exit::TaskFailed,
    })
}

fn text(report: &ExerciseReport) -> String {
    let mut lines = vec![if report.done {
        format!(
            "guest {}: snapshot `{}` was made, found, and removed",
            report.vmid, report.snapshot
        )
    } else {
        let why = report.reason.as_deref().unwrap_or("unknown");
        format!("guest {}: the exercise did not succeed: {why}", report.vmid)
    }];
    lines.extend(report.upids.iter().map(|upid| format!("  {upid}")));
    lines.extend(findings_text(&report.findings));
    lines.join("\n")
}
