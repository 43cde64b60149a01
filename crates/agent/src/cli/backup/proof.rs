//! `backup proof`: what is in an archive, read from the archive itself.

use felhom_engine::{ArchiveContent, Inclusion, Principal, WantedContent};
use felhom_ids::VolumeId;
use serde_json::json;

use crate::archive::ArchiveError;
use crate::cli::context::{Context, archived_config, parse_backup};
use crate::cli::terminal::Terminal;
use crate::exit::{Exit, Failure};
use crate::output::size;

pub(in crate::cli) async fn proof(context: &Context, archive_id: &str) -> Result<Exit, Failure> {
    let volid = parse_backup(archive_id)?;
    let performer = context.performer()?;
    let pve = performer.remotes().of(Principal::Agent);
    let archived = archived_config(pve, &volid).await?;
    let wanted = WantedContent::of(&archived);
    let terminal = Terminal::new(context.printer.clone());
    let reading = performer.read_archive(&volid, &wanted, &terminal);
    let read = tokio::select! {
        read = reading => read.map_err(|error| unread(&error))?,
        _ = tokio::signal::ctrl_c() => return Err(unread(&ArchiveError::Stopped)),
    };
    drop(terminal);
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

/// The archive could not be looked at, which says nothing about it.
fn unread(error: &ArchiveError) -> Failure {
    let exit = match error {
        ArchiveError::NoDirectory { .. } => Exit::Configuration,
        ArchiveError::Stopped => Exit::Undetermined,
        ArchiveError::Thread(_) => Exit::Unexpected,
        ArchiveError::Open { .. }
        | ArchiveError::NoFile { .. }
        | ArchiveError::Format { .. }
        | ArchiveError::Storage { .. }
        | ArchiveError::Changed { .. } => Exit::NoSuchThing,
    };
    let failure = Failure::new(exit, "archive", error.to_string());
    let failure = match std::error::Error::source(error) {
        Some(source) => failure.caused_by(source),
        None => failure,
    };
    if exit == Exit::Configuration {
        failure.hint("name the directory in the configuration: [[archives]] storage = …, path = …")
    } else {
        failure
    }
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
