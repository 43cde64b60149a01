//! `storage adopt UUID=…`: a removable disk becomes a target.

use felhom_engine::Principal;
use felhom_engine::targets::Takes;
use felhom_host::{Code, Operation, Report, TargetReport};
use felhom_ids::{FilesystemUuid, TargetName};
use felhom_proxmox::pve::storage::StorageConfig;
use serde_json::json;

use super::{line, report, view};
use crate::cli::context::{Context, journal_failure, parse};
use crate::cli::host::devices;
use crate::cli::storage::AdoptArgs;
use crate::clock;
use crate::exit::{Exit, Failure};
use crate::fence::{self, Fence, FenceError};
use crate::journal::KnownTarget;
use crate::perform::Performer;
use crate::targets::Target;

pub(in crate::cli::storage) async fn adopt(
    context: &Context,
    uuid: &str,
    args: &AdoptArgs,
) -> Result<Exit, Failure> {
    let (uuid, name) = wanted(uuid, args)?;
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
    let target = match taken(&fence, &name, uuid, former.as_ref()).await {
        Ok(target) => target,
        Err(failure) if former.is_some() => return Err(failure),
        // What was never a target leaves nothing behind at root's.
        Err(failure) => return Err(taken_back(&fence, &name, failure).await),
    };
    let known = &target.known;
    journal
        .remember_target(known)
        .await
        .map_err(|error| journal_failure(&error))?;
    let commands = definition(&performer, known).await;
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

/// The disk and its name, as far as the command line says.
fn wanted(uuid: &str, args: &AdoptArgs) -> Result<(FilesystemUuid, TargetName), Failure> {
    let uuid: FilesystemUuid = parse("UUID", uuid)?;
    match &args.name {
        Some(name) => Ok((uuid, parse("--name", name)?)),
        None => Err(Failure::new(Exit::Usage, "usage", "a target needs a name").hint(format!(
            "felhom-agent storage adopt UUID={uuid} --name usb1; `felhom-agent host devices` lists what can be adopted"
        ))),
    }
}

/// The disk as a target that took what was written to it.
async fn taken(
    fence: &Fence,
    name: &TargetName,
    uuid: FilesystemUuid,
    former: Option<&KnownTarget>,
) -> Result<Target, Failure> {
    let report = installed(fence, name, uuid).await?;
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
    let target = Target::new(known, Ok(Report::Target(Box::new(report))));
    if target.look.takes == Takes::Data {
        return Ok(target);
    }
    let why = line(&target);
    let message = format!("nothing that is written to it comes back: {why}");
    Err(Failure::new(Exit::Refused, "target-unproven", message))
}

/// Undoes what was done of an adoption that failed. What cannot be undone is said.
async fn taken_back(fence: &Fence, name: &TargetName, mut failure: Failure) -> Failure {
    let unmount = Operation::UnmountUsb { name: name.clone() };
    let remove = Operation::RemoveUsbMount { name: name.clone() };
    for operation in [unmount, remove] {
        match fence.ask(operation, fence::DISK).await {
            Ok(_) => {}
            Err(FenceError::Refused(refusal)) if refusal.code == Code::NotFound => {}
            Err(error) => {
                failure.causes.push(format!(
                    "what was made for target `{name}` was not taken back: {error}"
                ));
                break;
            }
        }
    }
    failure
}

/// Installed, mounted, written to and read back. Each of the three can be asked for again, and does nothing then that was done.
async fn installed(
    fence: &Fence,
    name: &TargetName,
    uuid: FilesystemUuid,
) -> Result<TargetReport, Failure> {
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
    report(fence.ask(write, fence::DISK).await)
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
    let wanted = Operation::InstallUsbMount {
        name: name.clone(),
        uuid: uuid.clone(),
    };
    let judged = devices::judge(&devices::ask(fence, &wanted).await?, &[]);
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
