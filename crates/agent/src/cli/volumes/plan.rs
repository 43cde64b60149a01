//! `volumes plan`: what moves the volumes that lie wrong to where they belong. Nothing is changed.

use std::collections::BTreeMap;

use felhom_engine::BackupVerdict;
use felhom_engine::volumes::{PlacementSetting, plan_placement};
use felhom_ids::{ByteSize, StorageId, Vmid, VolumeId};
use felhom_protocol::placement::{PlacementPlan, Privilege, Side, Step, VolumeMove};

use super::PlanArgs;
use super::look::{Look, everyday, look};
use crate::cli::context::{Context, journal_failure, parse, pve_failure};
use crate::exit::{Exit, Failure};
use crate::output::{seconds, size};
use crate::perform::Performer;
use crate::volumes::placement_plan;

pub(super) async fn run(context: &Context, args: &PlanArgs) -> Result<Exit, Failure> {
    let vmid: Vmid = parse("VMID", &args.vmid)?;
    let sizes = sizes(&args.size)?;
    let performer = context.performer()?;
    let storage = match &args.storage {
        Some(storage) => parse("--storage", storage)?,
        None => performer.config().restore_test_policy.target.clone(),
    };
    let look = look(context, &performer, vmid).await?;
    known_names(&look, &args.volume, &sizes)?;
    let archives = archives(context, &performer, &look).await?;
    let setting = PlacementSetting {
        node: performer.config().node.clone(),
        avail: avail(&performer, &storage).await?,
        storage,
        sizes,
        labels: labels(&look),
        last_archives: archives.last,
        backups: performer.config().backup.storage.clone(),
        mode: performer.config().backup.mode,
        last_size: archives.size,
        only: args.volume.clone(),
    };
    let plan = placement_plan(&plan_placement(
        &look.judged,
        &look.config,
        &look.inventory,
        &setting,
    ));
    context
        .printer
        .document("felhom.placement-plan", &plan, || text(&plan));
    Ok(if plan.refused.is_empty() {
        Exit::Done
    } else {
        Exit::Refused
    })
}

/// `VOLUME=8G`: the name may hold an equals sign, the size does not.
fn sizes(texts: &[String]) -> Result<BTreeMap<String, ByteSize>, Failure> {
    texts
        .iter()
        .map(|text| {
            let Some((name, size)) = text.rsplit_once('=') else {
                let message = format!("--size: `{text}` is not of the form VOLUME=8G");
                return Err(Failure::new(Exit::Usage, "usage", message));
            };
            Ok((name.to_owned(), parse("--size", size)?))
        })
        .collect()
}

/// A name that is misspelt would silently plan nothing.
fn known_names(
    look: &Look,
    only: &[String],
    sizes: &BTreeMap<String, ByteSize>,
) -> Result<(), Failure> {
    let unknown = only
        .iter()
        .chain(sizes.keys())
        .find(|name| look.judged.find(name).is_none());
    let Some(name) = unknown else {
        return Ok(());
    };
    let message = format!(
        "guest {} has no volume `{name}` that was told of",
        look.vmid
    );
    let failure = Failure::new(Exit::NoSuchThing, "no-volume", message);
    Err(failure.hint(format!("felhom-agent volumes show {}", look.vmid)))
}

async fn avail(performer: &Performer, storage: &StorageId) -> Result<Option<u64>, Failure> {
    let listed = everyday(performer).storages().await;
    let listed = listed.map_err(|error| pve_failure(&error))?;
    let found = listed
        .into_iter()
        .find(|status| status.storage.as_ref() == Some(storage));
    match found {
        Some(status) if status.content.iter().any(|content| content == "rootdir") => {
            Ok(status.avail)
        }
        Some(_) => Err(Failure::new(
            Exit::Refused,
            "storage",
            format!(
                "storage `{storage}` takes no volumes of containers (content `rootdir` is missing)"
            ),
        )),
        None => Err(Failure::new(
            Exit::NoSuchThing,
            "storage",
            format!("storage `{storage}` is not on the node, or hidden from the token"),
        )),
    }
}

fn labels(look: &Look) -> BTreeMap<String, BTreeMap<String, String>> {
    let volumes = look.inventory.volumes.iter();
    volumes
        .map(|volume| (volume.name.clone(), volume.labels.clone()))
        .collect()
}

/// What is known of the good backups of this very guest.
#[derive(Default)]
struct Archives {
    /// The newest that holds a volume, by volume.
    last: BTreeMap<String, VolumeId>,
    /// Bytes of the newest.
    size: Option<u64>,
}

async fn archives(
    context: &Context,
    performer: &Performer,
    look: &Look,
) -> Result<Archives, Failure> {
    let mut newest = Archives::default();
    let Some(journal) = context.read_journal(performer.config()).await? else {
        return Ok(newest);
    };
    let rows = journal
        .backups(Some(look.vmid))
        .await
        .map_err(|error| journal_failure(&error))?;
    let who = look.config.fingerprint();
    let good = rows.iter().filter(|row| {
        let same = row.report.fingerprint.is_of_same_guest(&who);
        row.report.verdict == BackupVerdict::Good && same
    });
    for row in good {
        let Some(volid) = &row.report.volid else {
            continue;
        };
        newest.size = newest.size.or(row.report.size);
        let held = row.report.docker_volumes.iter();
        for volume in held.filter(|volume| volume.tally.members > 0) {
            newest
                .last
                .entry(volume.name.clone())
                .or_insert_with(|| volid.clone());
        }
    }
    Ok(newest)
}

fn text(plan: &PlacementPlan) -> String {
    let mut lines = Vec::new();
    if plan.moves.is_empty() && plan.refused.is_empty() {
        lines.push(format!(
            "every classed volume of guest {} lies where it belongs",
            plan.vmid
        ));
    }
    if !plan.moves.is_empty() {
        let stop = "stop at the first command that fails (`echo $?` says something else than 0), and read what is true there";
        lines.push(stop.to_owned());
    }
    for moved in &plan.moves {
        lines.extend(move_lines(moved));
    }
    for refused in &plan.refused {
        lines.push(format!("refused: {}", refused.what));
        lines.extend(refused.hint.iter().map(|hint| format!("  hint: {hint}")));
    }
    if !plan.moves.is_empty() {
        lines.push(format!(
            "nothing was changed; the new mount points may take {} on `{}`",
            size(plan.space),
            plan.storage
        ));
    }
    lines.join("\n")
}

fn move_lines(moved: &VolumeMove) -> Vec<String> {
    let bytes = moved
        .bytes
        .map_or_else(|| "of unknown size".to_owned(), size);
    let mut lines = vec![format!(
        "{} ({}, {bytes}): from {} to {} on {}",
        moved.volume, moved.class, moved.from, moved.to, moved.key
    )];
    let down = moved.downtime_s.map_or_else(
        || "of unknown length".to_owned(),
        |s| format!("about {}", seconds(s * 1000)),
    );
    let by_hand = moved.steps.iter().any(|step| step.side == Side::Person);
    lines.push(match moved.stops.as_slice() {
        [] => "  no container uses it, so nothing stands still".to_owned(),
        names => format!(
            "  {} stand(s) still meanwhile, {down} at 100 MiB/s{}",
            names.join(", "),
            if by_hand {
                ", and as long as a person takes"
            } else {
                ""
            }
        ),
    });
    lines.push(format!(
        "  the node's half needs {}",
        privileges(&moved.privileges)
    ));
    for (number, step) in moved.steps.iter().enumerate() {
        lines.extend(step_lines(number + 1, step));
    }
    lines.push(format!("  the old copy {}", moved.old_copy));
    lines
}

fn step_lines(number: usize, step: &Step) -> Vec<String> {
    let side = match step.side {
        Side::Node => "node",
        Side::Guest => "guest",
        Side::Person => "by hand",
    };
    let mut lines = vec![format!("  {number}. {side}: {}", step.what)];
    lines.extend(
        step.commands
            .iter()
            .map(|command| format!("       {command}")),
    );
    lines.push(format!("     takes: {}", takes(step)));
    lines.push(format!("     stopped here: {}", step.if_stopped));
    lines
}

/// Rights, room and downtime, in a line.
fn takes(step: &Step) -> String {
    let rights = match step.side {
        Side::Node => privileges(&step.privileges),
        Side::Guest => "root inside the guest".to_owned(),
        Side::Person => "no privilege".to_owned(),
    };
    let space = step.space.iter().map(|space| {
        let bytes = space.bytes.map_or_else(
            || "unknown room".to_owned(),
            |bytes| format!("up to {}", size(bytes)),
        );
        format!("{bytes} on `{}`", space.place)
    });
    let space = match step.space.as_slice() {
        [] => "no room".to_owned(),
        _ => space.collect::<Vec<_>>().join(", "),
    };
    let downtime = match step.downtime_s {
        Some(0) => "no downtime of its own".to_owned(),
        Some(s) => format!("about {} of downtime", seconds(s * 1000)),
        None => "downtime of unknown length".to_owned(),
    };
    format!("{rights}; {space}; {downtime}")
}

fn privileges(all: &[Privilege]) -> String {
    let all: Vec<String> = all
        .iter()
        .map(|one| format!("{} on {}", one.privilege, one.path))
        .collect();
    all.join(", ")
}
