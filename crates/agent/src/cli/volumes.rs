//! `volumes`: what the Docker engine of a guest has, as it was last told.

mod import;
mod show;

use clap::{Args, Subcommand};
use felhom_engine::{GuestFingerprint, Principal};
use felhom_ids::Vmid;
use felhom_proxmox::Pve;

use super::context::{Context, pve_failure};
use crate::exit::{Exit, Failure};
use crate::observe;
use crate::perform::Performer;

#[derive(Debug, Subcommand)]
pub(super) enum VolumesCommand {
    /// Show the volumes of a guest, and what uses them.
    Show {
        /// The guest.
        vmid: String,
    },
    /// Take up what the Docker engine of a guest tells.
    #[command(after_long_help = after_help())]
    Import(ImportArgs),
}

#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// The guest.
    vmid: String,
    /// What docker's commands printed inside the guest, or a volume report; `-` is standard input.
    #[arg(required = true)]
    file: Vec<String>,
    /// Only say what would be taken up.
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(context: &Context, command: VolumesCommand) -> Result<Exit, Failure> {
    match command {
        VolumesCommand::Show { vmid } => show::run(context, &vmid).await,
        VolumesCommand::Import(args) => import::run(context, &args).await,
    }
}

fn after_help() -> String {
    let commands = felhom_protocol::docker::COMMANDS.join("\n  ");
    format!("Commands that make a whole report, in any order:\n  {commands}")
}

/// Who the guest is now. One that the node does not have, or hides, is no guest.
async fn fingerprint(pve: &Pve, vmid: Vmid) -> Result<GuestFingerprint, Failure> {
    let config = pve
        .lxc_config(vmid)
        .await
        .map_err(|error| pve_failure(&error))?;
    let config = observe::guest_config(&config).map_err(|error| {
        Failure::new(
            Exit::Remote,
            "garbage",
            format!("the configuration of {vmid}: {error}"),
        )
    })?;
    Ok(config.fingerprint())
}

fn everyday(performer: &Performer) -> &Pve {
    performer.remotes().of(Principal::Agent)
}
