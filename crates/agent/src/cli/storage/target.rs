//! Targets on removable disks for people: adopted by UUID, ejected before they are unplugged, and shown.

mod adopt;
mod eject;

use felhom_engine::storages::Attachment;
use felhom_engine::targets::Takes;
use felhom_host::Report;
use serde_json::{Value, json};

use crate::cli::host::odd_report;
use crate::cli::targets;
use crate::clock;
use crate::exit::Failure;
use crate::fence::FenceError;
use crate::journal::{Journal, KnownTarget};
use crate::output::size;
use crate::targets::{Target, Targets};

pub(super) use adopt::adopt;
pub(super) use eject::eject;

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

/// The target that a person means by a name.
pub(super) async fn named(
    journal: Option<&Journal>,
    name: &str,
) -> Result<Option<KnownTarget>, Failure> {
    let known = targets::known(journal).await?;
    Ok(known.into_iter().find(|one| one.name.as_str() == name))
}
