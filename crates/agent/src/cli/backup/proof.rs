//! `backup proof`: what is in an archive, read from the archive itself.

use felhom_engine::{ArchiveContent, Inclusion, Principal, WantedContent};
use felhom_ids::VolumeId;
use serde_json::json;

use crate::archive;
use crate::cli::context::{Context, archived_config, parse_backup};
use crate::exit::{Exit, Failure};
use crate::output::size;

pub(in crate::cli) async fn proof(context: &Context, archive_id: &str) -> Result<Exit, Failure> {
    let volid = parse_backup(archive_id)?;
    let performer = context.performer()?;
    let pve = performer.remotes().of(Principal::Agent);
    let archived = archived_config(pve, &volid).await?;
    let wanted = WantedContent::of(&archived);
    let path = archive::locate(&volid, &performer.config().archives).map_err(|error| {
        Failure::new(Exit::Configuration, "archive", error.to_string())
            .hint("name the directory in the configuration: [[archives]] storage = …, path = …")
    })?;
    let read = archive::read(&path, &wanted, &mut |_| {}).map_err(|error| {
        let failure = Failure::new(Exit::NoSuchThing, "archive", error.to_string());
        match std::error::Error::source(&error) {
            Some(source) => failure.caused_by(source),
            None => failure,
        }
    })?;
    let planned = felhom_engine::planned_inclusion(&archived);
    let data = json!({ "volid": volid, "planned": planned, "content": read });
    context
        .printer
        .document("felhom.proof", &data, || text(&volid, &planned, &read));
    Ok(if read.complete {
        Exit::Done
    } else {
        Exit::VerdictFailed
    })
}

fn text(volid: &VolumeId, planned: &[Inclusion], content: &ArchiveContent) -> String {
    let mut lines = vec![format!(
        "{volid}: {} members, {} unpacked",
        content.members,
        size(content.bytes)
    )];
    for mount in planned {
        let tally = content.mounts.get(&mount.key).copied().unwrap_or_default();
        let place = if mount.included { "in " } else { "out" };
        lines.push(format!(
            "  {place} {} ({}): {}; {} members, {}",
            mount.key,
            mount.path,
            mount.why,
            tally.members,
            size(tally.bytes)
        ));
    }
    for volume in &content.docker_volumes {
        let (name, tally) = (&volume.name, volume.tally);
        lines.push(format!(
            "  in  Docker volume `{name}`: {} members, {}",
            tally.members,
            size(tally.bytes)
        ));
    }
    if let Some(error) = &content.error {
        lines.push(format!("  the archive breaks off: {error}"));
    }
    lines.join("\n")
}
