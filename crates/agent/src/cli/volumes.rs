//! `volumes`: what the Docker engine of a guest has, as it was last told; where it lies, and what moves it to where it belongs.

mod import;
mod look;
mod plan;
mod show;

use clap::{Args, Subcommand};

use super::context::Context;
use crate::exit::{Exit, Failure};

#[derive(Debug, Subcommand)]
pub(super) enum VolumesCommand {
    /// Show the volumes of a guest: where each lies, whether backups hold it, what it should be, and what is wrong about that.
    Show {
        /// The guest.
        vmid: String,
    },
    /// Import a report on the guest's Docker volumes.
    #[command(after_long_help = after_help())]
    Import(ImportArgs),
    /// Plan what moves the volumes that lie wrong to where they belong. Changes nothing.
    Plan(PlanArgs),
}

#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    /// The guest.
    vmid: String,
    /// Only these volumes; all that lie wrong as a rule.
    volume: Vec<String>,
    /// Where new mount points are made; as a rule the storage of restore tests.
    #[arg(long)]
    storage: Option<String>,
    /// The size of a volume's new mount point, where it is not what was counted and a quarter more.
    #[arg(long, value_name = "VOLUME=SIZE")]
    size: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// The guest.
    vmid: String,
    /// What docker's commands printed inside the guest, or a volume report; `-` is standard input.
    #[arg(required = true)]
    file: Vec<String>,
    /// Only say what would be imported.
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(context: &Context, command: VolumesCommand) -> Result<Exit, Failure> {
    match command {
        VolumesCommand::Show { vmid } => show::run(context, &vmid).await,
        VolumesCommand::Import(args) => import::run(context, &args).await,
        VolumesCommand::Plan(args) => plan::run(context, &args).await,
    }
}

fn after_help() -> String {
    let commands = felhom_protocol::docker::COMMANDS.join("\n  ");
    format!("Commands that make a whole report, in any order:\n  {commands}")
}
