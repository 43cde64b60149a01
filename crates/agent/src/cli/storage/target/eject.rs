//! `storage eject` of a target: unmounted, so that it can be unplugged; with `--forget` also taken back.

use felhom_engine::Principal;
use felhom_engine::storages::Attachment;
use felhom_host::{Code, Operation, Standing};
use felhom_ids::TargetName;
use felhom_proxmox::pve::tasks::{ListTasks, TaskSource};
use serde_json::json;

use super::report;
use crate::cli::context::{Context, journal_failure, pve_failure};
use crate::cli::jobs;
use crate::cli::storage::{EjectArgs, journal};
use crate::clock;
use crate::exit::{Exit, Failure};
use crate::fence::{self, Fence, FenceError};
use crate::journal::{Journal, KnownTarget};
use crate::perform::Performer;

pub(in crate::cli::storage) async fn eject(
    context: &Context,
    performer: &Performer,
    known: KnownTarget,
    args: &EjectArgs,
) -> Result<Exit, Failure> {
    let config = performer.config();
    let name = known.name.clone();
    let journal = journal(
        context,
        config,
        args.dry_run,
        &format!("ejecting target {name}"),
    )
    .await?;
    if let Some(journal) = &journal {
        at_work(performer, journal, &name).await?;
    }
    let deed = if args.forget { "forget" } else { "eject" };
    if args.dry_run {
        let data = json!({ "deed": deed, "name": name, "changes": true, "dry_run": true });
        context
            .printer
            .document("felhom.target-decision", &data, || {
                let forget = if args.forget {
                    ", and forget it; what is on the disk stays"
                } else {
                    ""
                };
                format!("would unmount target `{name}`{forget}")
            });
        return Ok(Exit::Done);
    }
    let fence = Fence::new(config);
    let (standing, held) = unmount(&fence, &name).await?;
    let now = clock::now();
    let away = standing == Attachment::Detached;
    let known = KnownTarget {
        ejected: Some(now),
        away,
        ..known
    };
    if let Some(journal) = &journal {
        journal
            .remember_target(&known)
            .await
            .map_err(|error| journal_failure(&error))?;
    }
    if let Some(why) = held {
        let message = format!("target `{name}`: {why}");
        return Err(Failure::new(Exit::Busy, "target-in-use", message)
            .hint("end what holds it before the disk is unplugged, then eject it again"));
    }
    if args.forget {
        forget(&fence, journal.as_ref(), &name).await?;
    }
    tell(context, &name, standing, args.forget);
    Ok(Exit::Done)
}

fn tell(context: &Context, name: &TargetName, standing: Attachment, forget: bool) {
    let deed = if forget { "forget" } else { "eject" };
    let data = json!({
        "deed": deed, "name": name, "standing": standing, "changes": true, "dry_run": false,
    });
    context.printer.document("felhom.target-decision", &data, || {
        let ejected = if standing == Attachment::Detached {
            format!("target `{name}` is not attached")
        } else {
            format!("target `{name}` can be unplugged now")
        };
        if forget {
            format!("{ejected}; it is forgotten, and what is on the disk stays. The storage goes by: pvesm remove {name}")
        } else {
            format!("{ejected}; it is mounted again when it was away and is plugged in")
        }
    });
}

/// Nothing is unmounted under a job that goes on, ours or PVE's.
async fn at_work(
    performer: &Performer,
    journal: &Journal,
    name: &TargetName,
) -> Result<(), Failure> {
    let busy = |message: String| Err(Failure::new(Exit::Busy, "target-in-use", message));
    let waiting = journal
        .unfinished()
        .await
        .map_err(|error| journal_failure(&error))?;
    if let Some(one) = waiting.first() {
        let what = jobs::resumption(&one.job);
        return busy(format!(
            "target `{name}` may be in use: this comes first: {what}"
        ))
        .map_err(|failure| failure.hint("`felhom-agent restore-test reap` goes on with it"));
    }
    let illegible = journal.illegible().await;
    let illegible = illegible.map_err(|error| journal_failure(&error))?;
    if let Some(one) = illegible.first() {
        let (kind, subject) = (&one.kind, &one.subject);
        return busy(format!(
            "target `{name}` may be in use: {kind} of {subject} did not end, and cannot be read"
        ));
    }
    let list = ListTasks {
        source: TaskSource::Active,
        ..ListTasks::default()
    };
    let pve = performer.remotes().of(Principal::Agent);
    let running = pve
        .tasks(&list)
        .await
        .map_err(|error| pve_failure(&error))?;
    let kinds = ["vzdump", "vzrestore", "qmrestore", "imgdel", "download"];
    match running.iter().find(|one| kinds.contains(&one.upid.kind())) {
        None => Ok(()),
        Some(task) => busy(format!(
            "target `{name}` may be in use: a {} runs ({})",
            task.upid.kind(),
            task.upid
        ))
        .map_err(|failure| failure.hint("try again when it has ended")),
    }
}

/// How it stands when it is unmounted, and why it must not be unplugged all the same.
async fn unmount(
    fence: &Fence,
    name: &TargetName,
) -> Result<(Attachment, Option<String>), Failure> {
    let unmount = Operation::UnmountUsb { name: name.clone() };
    match fence.ask(unmount, fence::DISK).await {
        Err(FenceError::Refused(refusal))
            if matches!(refusal.code, Code::Detached | Code::NotFound) =>
        {
            Ok((Attachment::Detached, None))
        }
        Err(FenceError::Refused(refusal)) if refusal.code == Code::InUse => {
            let message = format!("target `{name}` is in use: {refusal}");
            Err(Failure::new(Exit::Busy, "target-in-use", message)
                .hint("end what holds it, then eject it again"))
        }
        answer => {
            let known = report(answer)?;
            Ok(match known.standing {
                Standing::Detached => (Attachment::Detached, None),
                Standing::Wrong => (Attachment::Wrong, None),
                // Root says so of a mount that somebody else's namespace kept.
                Standing::Present => (Attachment::Attached, known.reason),
                Standing::Mounted => {
                    let message = format!("target `{name}` is still mounted");
                    return Err(
                        Failure::new(Exit::Busy, "target-in-use", message).hint("eject it again")
                    );
                }
            })
        }
    }
}

async fn forget(
    fence: &Fence,
    journal: Option<&Journal>,
    name: &TargetName,
) -> Result<(), Failure> {
    let remove = Operation::RemoveUsbMount { name: name.clone() };
    match fence.ask(remove, fence::DISK).await {
        Ok(_) => {}
        // Root knows nothing of it, so there is nothing to undo.
        Err(FenceError::Refused(refusal)) if refusal.code == Code::NotFound => {}
        Err(error) => return Err(error.failure()),
    }
    match journal {
        Some(journal) => journal
            .forget_target(name)
            .await
            .map_err(|error| journal_failure(&error)),
        None => Ok(()),
    }
}
