//! `provision`: a new guest from a golden image.

use clap::Args;
use felhom_engine::{Identity, Principal};
use felhom_ids::VolumeId;

use super::context::{Context, parse, parse_backup};
use super::{RestoreChoices, golden, restore};
use crate::exit::{Exit, Failure};
use crate::perform::Performer;

#[derive(Debug, Args)]
pub(super) struct ProvisionArgs {
    /// The VMID that the guest gets; no guest may have it.
    #[arg(long, value_name = "VMID")]
    to: String,
    /// The guest's host name.
    #[arg(long, value_name = "NAME")]
    hostname: String,
    /// The image, as `golden list` shows it; without it the newest.
    #[arg(long, value_name = "VOLID")]
    from: Option<String>,
    /// Where its root file system goes, instead of where the image's was.
    #[arg(long)]
    storage: Option<String>,
    /// Put the link of every interface down, so that the guest can be looked at first.
    #[arg(long)]
    link_down: bool,
    /// Start the guest when it is as planned.
    #[arg(long)]
    start: bool,
    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,
}

/// A restore with a fresh identity, which refuses what is no image, by the token that restores.
pub(super) async fn run(context: &Context, args: &ProvisionArgs) -> Result<Exit, Failure> {
    let to = parse("--to", &args.to)?;
    let performer = context.performer()?;
    let volid = match &args.from {
        Some(text) => parse_backup(text)?,
        None => newest(context, &performer).await?,
    };
    let choices = RestoreChoices {
        hostname: Some(args.hostname.clone()),
        storage: args.storage.clone(),
        without_empty: false,
        link_down: args.link_down,
        start: args.start,
    };
    let wish = restore::Wish {
        volid,
        to,
        identity: Identity::Fresh,
        choices: &choices,
        golden: true,
    };
    restore::carry_out(context, &performer, &wish, args.dry_run).await
}

async fn newest(context: &Context, performer: &Performer) -> Result<VolumeId, Failure> {
    let pve = performer.remotes().of(Principal::Agent);
    let journal = context.read_journal(performer.config()).await?;
    let images = golden::images(pve, journal.as_ref()).await?;
    let there = images.into_iter().find(|image| image.there);
    there.map(|image| image.volid).ok_or_else(|| {
        Failure::new(
            Exit::NoSuchThing,
            "no-image",
            "there is no golden image that the token may see",
        )
        .hint("make one: `felhom-agent golden create TEMPLATE --vmid N`")
    })
}
