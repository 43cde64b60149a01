//! `pbs`: what is on the backup servers, whether it is whole, and who can read it.

mod audit;
mod kit;
mod snapshots;
mod verify;

pub(super) use verify::{due as verify_due, exit as verify_exit};

use clap::{Args, Subcommand};
use felhom_engine::RemoteError;
use felhom_engine::pbs::Target;
use felhom_ids::StorageId;

use super::context::{Context, engine_failure, parse};
use crate::config::{Config, PbsConfig};
use crate::doctor::pbs::next_step;
use crate::exit::{Exit, Failure};
use crate::remote::NoPbs;

#[derive(Debug, Subcommand)]
pub(super) enum PbsCommand {
    /// List the backups on the backup servers, and what the servers say of each.
    Snapshots(Which),
    /// Have a server read backups back, and believe only the list: due ones, or those that are named.
    Verify(verify::VerifyArgs),
    /// Show of the newest backup of each group that the server can read nothing in it.
    Audit(Which),
    /// The recovery kit of a storage's key: whether somebody said that it is stored off the box.
    Kit(kit::KitArgs),
}

#[derive(Debug, Args)]
pub(super) struct Which {
    /// Only the backup server behind this storage; without it all of the configuration.
    #[arg(long)]
    storage: Option<String>,
}

pub(super) async fn run(context: &Context, command: PbsCommand) -> Result<Exit, Failure> {
    match command {
        PbsCommand::Snapshots(which) => snapshots::run(context, &which).await,
        PbsCommand::Verify(args) => verify::run(context, &args).await,
        PbsCommand::Audit(which) => audit::run(context, &which).await,
        PbsCommand::Kit(args) => kit::run(context, &args).await,
    }
}

/// The backup servers that are asked for; at least one.
fn chosen(config: &Config, storage: Option<&str>) -> Result<Vec<(StorageId, PbsConfig)>, Failure> {
    if config.pbs.is_empty() {
        let message = "no backup server is configured";
        let hint = "`felhom-agent enroll pbs` sets one up; or write a section [pbs.STORAGE] with `url`, `fingerprint`, \
                    `datastore`, `token` and `secret_file`";
        return Err(Failure::new(Exit::Configuration, "no-pbs", message).hint(hint));
    }
    let all = config.pbs.iter();
    let Some(text) = storage else {
        return Ok(all.map(|(id, one)| (id.clone(), one.clone())).collect());
    };
    let id: StorageId = parse("--storage", text)?;
    if let Some(one) = config.pbs.get(&id) {
        return Ok(vec![(id, one.clone())]);
    }
    let known: Vec<String> = all.map(|(id, _)| id.to_string()).collect();
    let message = format!("no backup server is configured for storage `{id}`");
    let hint = format!("those of the configuration: {}", known.join(", "));
    Err(Failure::new(Exit::NoSuchThing, "no-such-storage", message).hint(hint))
}

/// A backup server that cannot be asked.
fn unusable(error: &NoPbs) -> Failure {
    Failure::new(Exit::Configuration, "credentials", error.to_string()).hint(error.hint())
}

/// The trouble that a backup server gave.
fn trouble(target: &Target, section: &PbsConfig, error: &RemoteError) -> Failure {
    engine_failure(error).hint(next_step(target, section, error.class))
}

/// The most serious of several ends.
fn worst(ends: impl IntoIterator<Item = Exit>) -> Exit {
    // What is known to be bad before what nobody knows, and that before what was not done.
    let order = [
        Exit::VerdictFailed,
        Exit::Undetermined,
        Exit::Findings,
        Exit::Done,
    ];
    let place = |exit: &Exit| match order.iter().position(|one| one == exit) {
        Some(place) if place < 2 => place,
        Some(place) => place.saturating_add(1),
        None => 2,
    };
    ends.into_iter().min_by_key(place).unwrap_or(Exit::Done)
}
