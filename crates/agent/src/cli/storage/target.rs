//! Targets on removable disks for people: adopted by UUID, ejected before they are unplugged, and shown.

use felhom_engine::Principal;
use felhom_engine::storages::Attachment;
use felhom_engine::targets::Takes;
use felhom_host::{Code, Operation, Report};
use felhom_ids::{FilesystemUuid, TargetName};
use felhom_proxmox::pve::storage::StorageConfig;
use felhom_proxmox::pve::tasks::{ListTasks, TaskSource};
use serde_json::{Value, json};

use super::{AdoptArgs, EjectArgs};
use crate::cli::context::{Context, journal_failure, parse, pve_failure};
use crate::cli::host::{devices, odd_report};
use crate::cli::jobs;
use crate::clock;
use crate::exit::{Exit, Failure};
use crate::fence::{self, Fence, FenceError};
use crate::journal::{Journal, KnownTarget};
use crate::output::size;
use crate::perform::Performer;
use crate::targets::{Target, Targets};

/// All targets for programs.
pub(in crate::cli) fn views(targets: &Targets) -> Value {
    targets.all.iter().map(view).collect()
}

/// One for programs.
pub(in crate::cli) fn view(target: &Target) -> Value {
    let (look, known, report) = (&target.look, &target.known, target.report.as_ref());
    json!({
        "name": known.name, "uuid": known.uuid, "serial": known.serial, "mount_point": known.mount_point,
        "standing": look.standing, "mounted": look.mounted, "why": look.why, "takes": look.takes,
        "away_days": look.away_days(clock::now()), "ejected": known.ejected.is_some(),
        "fenced": report.map(|report| report.fenced), "fstype": report.map(|report| &report.fstype),
        "total": report.and_then(|report| report.space).map(|space| space.0),
        "avail": report.and_then(|report| report.space).map(|space| space.1),
        "adopted_ms": known.since, "attached_ms": known.attached,
    })
}

/// One as a line.
pub(in crate::cli) fn line(target: &Target) -> String {
    let look = &target.look;
    let state = match (look.standing, look.takes) {
        (Attachment::Attached, Takes::ReadOnly) => "attached, READ-ONLY".to_owned(),
        (Attachment::Attached, Takes::Full) => "attached, FULL".to_owned(),
        (Attachment::Attached, _) if look.mounted => "attached, mounted".to_owned(),
        (Attachment::Attached, _) if look.leaving => "ejected, can be unplugged".to_owned(),
        (Attachment::Attached, _) => "attached, not mounted".to_owned(),
        (Attachment::Detached, _) => {
            let days = look.away_days(clock::now()).unwrap_or_default();
            format!("detached, last seen {days} days ago")
        }
        (Attachment::Wrong, _) => "WRONG".to_owned(),
        (Attachment::Unknown, _) => "UNKNOWN".to_owned(),
    };
    let space = target.report.as_ref().and_then(|report| report.space);
    let space = space.map(|(total, free)| format!("{} of {} free", size(free), size(total)));
    let unfenced = target.report.as_ref().filter(|report| !report.fenced);
    let unfenced = unfenced.map(|_| "its bare mount point would take data".to_owned());
    let parts = [Some(state), space, unfenced, look.why.clone()];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    format!("target {}: {}", look.name, parts.join("; "))
}

/// All of them in one line; none where there is none.
pub(in crate::cli) fn brief(targets: &Targets) -> Option<String> {
    if targets.all.is_empty() {
        return None;
    }
    let each = targets.all.iter().map(|target| {
        let (name, look) = (&target.look.name, &target.look);
        match look.standing {
            Attachment::Attached if look.takes == Takes::ReadOnly => format!("{name} READ-ONLY"),
            Attachment::Attached if look.takes == Takes::Full => format!("{name} FULL"),
            Attachment::Attached => format!("{name} attached"),
            Attachment::Detached => {
                let days = look.away_days(clock::now()).unwrap_or_default();
                format!("{name} away for {days} d")
            }
            Attachment::Wrong => format!("{name} WRONG"),
            Attachment::Unknown => format!("{name} UNKNOWN"),
        }
    });
    let each: Vec<String> = each.collect();
    let why = targets.absent.as_ref().map_or("", |_| " (no root helper)");
    Some(format!("targets: {}{why}", each.join(", ")))
}

/// The report on a target, or how the command ends.
fn report(answer: Result<Report, FenceError>) -> Result<felhom_host::TargetReport, Failure> {
    match answer.map_err(|error| error.failure())? {
        Report::Target(report) => Ok(*report),
        Report::Golden(_)
        | Report::BlockDevices { .. }
        | Report::Removed { .. }
        | Report::Sensors(_)
        | Report::Stripped { .. }
        | Report::Released { .. } => Err(odd_report()),
    }
}

pub(super) async fn adopt(
    context: &Context,
    uuid: &str,
    args: &AdoptArgs,
) -> Result<Exit, Failure> {
    let uuid: FilesystemUuid = parse("UUID", uuid)?;
    let Some(name) = &args.name else {
        let failure = Failure::new(Exit::Usage, "usage", "a target needs a name");
        return Err(failure.hint(format!(
            "felhom-agent storage adopt UUID={uuid} --name usb1; `felhom-agent host devices` lists what can be adopted"
        )));
    };
    let name: TargetName = parse("--name", name)?;
    let performer = context.performer()?;
    let config = performer.config();
    let fence = Fence::new(config);
    if args.dry_run {
        return rehearse(context, &fence, &name, &uuid).await;
    }
    let journal = context
        .open_journal(config, &format!("adopting target {name}"))
        .await?;
    let known = journal
        .targets()
        .await
        .map_err(|error| journal_failure(&error))?;
    let former = known.into_iter().find(|one| one.name == name);
    if let Some(other) = former
        .as_ref()
        .filter(|one| !one.uuid.eq_ignore_ascii_case(uuid.as_str()))
    {
        let message = format!("target `{name}` is UUID={}", other.uuid);
        return Err(Failure::new(Exit::Refused, "target-exists", message).hint(format!(
            "choose another name, or forget it first: felhom-agent storage eject {name} --forget"
        )));
    }
    // Each of the three can be asked for again, and does nothing then that was done.
    let install = Operation::InstallUsbMount {
        name: name.clone(),
        uuid,
    };
    report(fence.ask(install, fence::DISK).await)?;
    let mount = Operation::MountUsb { name: name.clone() };
    report(fence.ask(mount, fence::DISK).await)?;
    let write = Operation::ProbeUsb {
        name: name.clone(),
        write: true,
    };
    let report = report(fence.ask(write, fence::DISK).await)?;
    let now = clock::now();
    let known = KnownTarget {
        name: name.clone(),
        uuid: report.uuid.clone(),
        serial: report.serial.clone(),
        mount_point: report.mount_point.clone(),
        since: former.map_or(now, |former| former.since),
        attached: Some(now),
        ejected: None,
        away: false,
    };
    let target = Target::new(known.clone(), Ok(Report::Target(Box::new(report))));
    if target.look.takes != Takes::Data {
        let message = format!(
            "nothing that is written to it comes back: {}",
            line(&target)
        );
        return Err(
            Failure::new(Exit::Refused, "target-unproven", message).hint(format!(
                "felhom-agent storage eject {name} --forget takes it back"
            )),
        );
    }
    journal
        .remember_target(&known)
        .await
        .map_err(|error| journal_failure(&error))?;
    let commands = definition(&performer, &known).await;
    let data = json!({
        "deed": "adopt", "target": view(&target), "commands": commands, "changes": true, "dry_run": false,
    });
    context
        .printer
        .document("felhom.target-decision", &data, || {
            let mut lines = vec![
                line(&target),
                "what was written to it came back from the disk".to_owned(),
            ];
            lines.extend(told_commands(&commands));
            lines.join("\n")
        });
    Ok(Exit::Done)
}

fn told_commands(commands: &[String]) -> Vec<String> {
    if commands.is_empty() {
        return Vec::new();
    }
    let mut lines = vec!["as root on the node:".to_owned()];
    lines.extend(commands.iter().map(|command| format!("  {command}")));
    lines
}

async fn rehearse(
    context: &Context,
    fence: &Fence,
    name: &TargetName,
    uuid: &FilesystemUuid,
) -> Result<Exit, Failure> {
    let judged = devices::judge(devices::ask(fence).await?, &[]);
    let is_meant = |one: &&devices::Judged| {
        let found = one.device.uuid.as_deref();
        found.is_some_and(|found| found.eq_ignore_ascii_case(uuid.as_str()))
    };
    let Some(one) = judged.iter().find(is_meant) else {
        let message = format!("no disk with UUID={uuid} is attached");
        return Err(Failure::new(Exit::Busy, "target-detached", message)
            .hint("`felhom-agent host devices` lists what is attached"));
    };
    if let Some(why) = &one.unsuitable {
        let message = format!("{} cannot be a target: {why}", one.device.name);
        return Err(Failure::new(Exit::Refused, "target-unsuitable", message));
    }
    let data =
        json!({ "deed": "adopt", "name": name, "device": one, "changes": true, "dry_run": true });
    context.printer.document("felhom.target-decision", &data, || {
        format!(
            "would take {} (UUID={uuid}) for target `{name}`: a mount unit, a mount, a mark on it, and a megabyte written \
             and read back",
            one.device.name
        )
    });
    Ok(Exit::Done)
}

/// What root types so that PVE has a storage on the target that is only used when it is mounted.
async fn definition(performer: &Performer, known: &KnownTarget) -> Vec<String> {
    let (name, path) = (&known.name, &known.mount_point);
    let pve = performer.remotes().of(Principal::Agent);
    let definitions = pve.storage_configs().await.unwrap_or_default();
    let on_it = |one: &&StorageConfig| {
        one.path
            .as_deref()
            .is_some_and(|there| there.trim_end_matches('/') == path)
    };
    match definitions.iter().find(on_it) {
        Some(there) if there.must_be_mounted() => Vec::new(),
        Some(there) => vec![format!("pvesm set {} --is_mountpoint yes", there.storage)],
        None => vec![format!(
            "pvesm add dir {name} --path {path} --content backup --is_mountpoint yes --nodes {} --prune-backups keep-all=1",
            performer.config().node
        )],
    }
}

/// The target that a person means by a name.
pub(super) async fn named(
    journal: Option<&Journal>,
    name: &str,
) -> Result<Option<KnownTarget>, Failure> {
    let Some(journal) = journal else {
        return Ok(None);
    };
    let known = journal
        .targets()
        .await
        .map_err(|error| journal_failure(&error))?;
    Ok(known.into_iter().find(|one| one.name.as_str() == name))
}

pub(super) async fn eject(
    context: &Context,
    performer: &Performer,
    known: KnownTarget,
    args: &EjectArgs,
) -> Result<Exit, Failure> {
    let config = performer.config();
    let name = known.name.clone();
    let journal = super::journal(
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
    let standing = unmount(&fence, &name).await?;
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
    if args.forget {
        forget(&fence, journal.as_ref(), &name).await?;
    }
    let data = json!({ "deed": deed, "name": name, "standing": standing, "changes": true, "dry_run": false });
    context.printer.document("felhom.target-decision", &data, || {
        let ejected = if away {
            format!("target `{name}` is not attached")
        } else {
            format!("target `{name}` can be unplugged now")
        };
        if args.forget {
            format!("{ejected}; it is forgotten, and what is on the disk stays. The storage goes by: pvesm remove {name}")
        } else {
            format!("{ejected}; it is mounted again when it was away and is plugged in")
        }
    });
    Ok(Exit::Done)
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

async fn unmount(fence: &Fence, name: &TargetName) -> Result<Attachment, Failure> {
    let unmount = Operation::UnmountUsb { name: name.clone() };
    match fence.ask(unmount, fence::DISK).await {
        Err(FenceError::Refused(refusal))
            if matches!(refusal.code, Code::Detached | Code::NotFound) =>
        {
            Ok(Attachment::Detached)
        }
        Err(FenceError::Refused(refusal)) if refusal.code == Code::InUse => {
            let message = format!("target `{name}` is in use: {refusal}");
            Err(Failure::new(Exit::Busy, "target-in-use", message)
                .hint("end what holds it, then eject it again"))
        }
        answer => {
            let known = report(answer)?;
            Ok(match known.standing {
                felhom_host::Standing::Detached => Attachment::Detached,
                felhom_host::Standing::Wrong => Attachment::Wrong,
                felhom_host::Standing::Present => Attachment::Attached,
                felhom_host::Standing::Mounted => {
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
