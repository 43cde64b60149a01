//! `golden create`, `golden list`: the containers and archives from which guests are provisioned.

mod create;

use clap::{Args, Subcommand};
use felhom_engine::{Principal, Timestamp};
use felhom_ids::{Vmid, VolumeId};
use felhom_proxmox::Pve;
use serde::Serialize;
use serde_json::json;

use super::context::{Context, journal_failure, pve_failure};
use crate::clock;
use crate::exit::{Exit, Failure};
use crate::journal::{BackupRow, GoldenContainer, Journal};
use crate::observe;
use crate::output::table;

#[derive(Debug, Subcommand)]
pub(super) enum GoldenCommand {
    /// Have the root helper make a container from a template, and back it up as an image.
    Create(CreateArgs),
    /// The images, newest first, and the containers that they were taken of.
    List,
}

#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// The template, such as `local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst`.
    template: String,
    /// The container's VMID, in the range that root's `/etc/felhom/hostd.toml` allows.
    #[arg(long)]
    vmid: String,
    /// Only make the container; `backup run VMID` makes the image when it was changed.
    #[arg(long)]
    no_backup: bool,
    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(context: &Context, command: GoldenCommand) -> Result<Exit, Failure> {
    match command {
        GoldenCommand::Create(args) => create::create(context, &args).await,
        GoldenCommand::List => list(context).await,
    }
}

/// A golden archive.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Image {
    pub(super) volid: VolumeId,
    /// The container that it was taken of.
    pub(super) vmid: Vmid,
    template: String,
    #[serde(rename = "made_ms")]
    made: Timestamp,
    /// Whether the storage lists it now.
    pub(super) there: bool,
}

/// The golden archives that the journal knows, newest first.
pub(super) async fn images(pve: &Pve, journal: Option<&Journal>) -> Result<Vec<Image>, Failure> {
    let Some(journal) = journal else {
        return Ok(Vec::new());
    };
    let known = journal.golden_archives().await;
    let known = known.map_err(|error| journal_failure(&error))?;
    if known.is_empty() {
        return Ok(Vec::new());
    }
    let listed = observe::archives(pve, None).await;
    let listed = listed.map_err(|error| pve_failure(&error))?;
    let image = |(container, row): (GoldenContainer, BackupRow)| {
        let volid = row.report.volid?;
        Some(Image {
            there: listed.iter().any(|archive| archive.volid == volid),
            volid,
            vmid: container.vmid,
            template: container.template,
            made: row.finished,
        })
    };
    Ok(known.into_iter().filter_map(image).collect())
}

async fn list(context: &Context) -> Result<Exit, Failure> {
    let performer = context.performer()?;
    let journal = context.read_journal(performer.config()).await?;
    let pve = performer.remotes().of(Principal::Agent);
    let images = images(pve, journal.as_ref()).await?;
    let containers = match &journal {
        Some(journal) => journal
            .golden()
            .await
            .map_err(|error| journal_failure(&error))?,
        None => Vec::new(),
    };
    let data = json!({ "images": images, "containers": containers });
    context
        .printer
        .document("felhom.golden-images", &data, || text(&images, &containers));
    Ok(Exit::Done)
}

fn text(images: &[Image], containers: &[GoldenContainer]) -> String {
    let bare = containers
        .iter()
        .filter(|container| images.iter().all(|image| image.vmid != container.vmid));
    let mut lines: Vec<String> = bare
        .map(|container| {
            let vmid = container.vmid;
            format!(
                "container {vmid} ({}) has no image yet: felhom-agent backup run {vmid}",
                container.template
            )
        })
        .collect();
    if images.is_empty() {
        lines.insert(0, "there is no golden image".to_owned());
        return lines.join("\n");
    }
    let rows: Vec<_> = images
        .iter()
        .map(|image| {
            vec![
                clock::local(image.made),
                image.vmid.to_string(),
                if image.there { "yes" } else { "no" }.to_owned(),
                format!("{}\nfrom {}", image.volid, image.template),
            ]
        })
        .collect();
    lines.insert(0, table(&["WHEN", "VMID", "THERE", "IMAGE"], &rows));
    lines.join("\n")
}
