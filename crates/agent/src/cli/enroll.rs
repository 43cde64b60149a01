//! `enroll pve`: prints the runbook for chosen abilities, or carries it out with an admin's login that it does not keep.

mod desired;
mod login;
mod pbs;

use std::path::Path;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Context;
use super::context::pve_failure;
use crate::enroll::look::Seen;
use crate::enroll::perform::{Done, Session};
use crate::enroll::{EnrollError, Step, Wanted, files, plan, remove, runbook};
use crate::exit::{Exit, Failure};
use desired::Desired;

/// What stands below a set-up that succeeded.
const NEXT: &str = "\
next: `felhom-agent doctor` says whether the box is fit; the package's timer runs a pass within twenty minutes,
and `systemctl start felhom-agent` runs one now";

/// Whom to enrol with.
#[derive(Debug, Subcommand)]
pub(super) enum EnrollCommand {
    /// Roles, users, tokens, grants, scratch pool and isolated bridge on Proxmox VE; configuration and secrets here.
    Pve(Box<PveArgs>),
    /// Key and recovery kit, user and tokens on a Proxmox Backup Server, and the storage of Proxmox VE that encrypts.
    Pbs(Box<pbs::PbsArgs>),
}

#[derive(Debug, Args)]
pub(super) struct PveArgs {
    /// What the agent shall be able to do: backup, restore-test, snapshot, self-backup.
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "backup,restore-test"
    )]
    pub(super) abilities: Vec<String>,
    /// The guests it works on: VMIDs, or `all`, also those that come later.
    #[arg(long, value_name = "LIST", default_value = "all")]
    pub(super) guests: String,
    /// Only print the commands; so it does without `--admin`.
    #[arg(long, conflicts_with = "admin")]
    pub(super) print: bool,
    /// Carry it out as this user, such as `root@pam`.
    #[arg(long, value_name = "USER@REALM")]
    pub(super) admin: Option<String>,
    /// The file with the admin's password (mode 0600), or `-` for a line of standard input.
    #[arg(long, value_name = "FILE", requires = "admin")]
    pub(super) password_file: Option<std::path::PathBuf>,
    /// The same for the second factor, if the server asks: six digits, or `recovery:KEY`.
    #[arg(long, value_name = "FILE", requires = "admin")]
    pub(super) second_factor_file: Option<std::path::PathBuf>,
    /// Where Proxmox VE answers.
    #[arg(long)]
    pub(super) url: Option<String>,
    /// SHA-256 of its certificate.
    #[arg(long, value_name = "SHA256")]
    pub(super) fingerprint: Option<String>,
    /// The node's own certificate, to know it by instead; on the node it is found at /etc/pve/local.
    #[arg(
        long,
        value_name = "FILE",
        requires = "admin",
        conflicts_with = "fingerprint"
    )]
    pub(super) certificate: Option<std::path::PathBuf>,
    /// The node, where the server knows more than one name for it.
    #[arg(long)]
    pub(super) node: Option<String>,
    /// Where backups go.
    #[arg(long, value_name = "STORAGE")]
    pub(super) backup_storage: Option<String>,
    /// Where scratch guests live.
    #[arg(long, value_name = "STORAGE")]
    pub(super) target_storage: Option<String>,
    /// The pool of scratch guests.
    #[arg(long)]
    pub(super) pool: Option<String>,
    /// The bridge that leads nowhere.
    #[arg(long)]
    pub(super) bridge: Option<String>,
    /// The VMIDs of scratch guests, as `9100-9199`.
    #[arg(long, value_name = "FIRST-LAST")]
    pub(super) scratch_vmids: Option<String>,
    /// Where the archives of the backup storage lie, if not in `dump` below its path.
    #[arg(long, value_name = "DIR")]
    pub(super) dump_dir: Option<String>,
    /// Where the journal goes.
    #[arg(long, value_name = "DIR")]
    pub(super) state_dir: Option<String>,
    /// Take back what enrolling made. Backups, storages and the journal stay.
    #[arg(long)]
    pub(super) remove: bool,
    /// Only say what would be done.
    #[arg(long)]
    pub(super) dry_run: bool,
}

pub(super) async fn run(context: &Context, command: EnrollCommand) -> Result<Exit, Failure> {
    believe(&context.path)?;
    let args = match command {
        EnrollCommand::Pve(args) => args,
        EnrollCommand::Pbs(args) => return pbs::run(context, &args).await,
    };
    let desired = Desired::read(context, &args)?;
    let Some(admin) = &args.admin else {
        return print(context, &args, &desired.blind()?);
    };
    let admin = super::context::parse("--admin", admin)?;
    let door = desired.door().await?;
    let pve = login::as_admin(&args, &admin, &door, &desired).await?;
    let wanted = desired.on(&pve).await?;
    let narrate = |line: &str| context.printer.narrate(line);
    let session = Session {
        pve: &pve,
        door: &door,
        say: &narrate,
    };
    if !args.remove {
        warn(context, &wanted);
    }
    let exit = perform(context, &args, &session, &wanted).await?;
    context.printer.narrate(&format!(
        "the login as `{admin}` is forgotten; its ticket ends by itself within two hours"
    ));
    Ok(exit)
}

/// The configuration says where the admin's password is sent and where secrets are written: root acts on none but its own.
fn believe(path: &Path) -> Result<(), Failure> {
    if !path.exists() || files::is_roots_own(path) {
        return Ok(());
    }
    let message = format!(
        "root does not act on `{}`, which somebody else can write",
        path.display()
    );
    let mend = format!(
        "read it through, then: chown root:root {0} && chmod 644 {0}",
        path.display()
    );
    Err(Failure::new(Exit::Configuration, "configuration", message).hint(mend))
}

async fn perform(
    context: &Context,
    args: &PveArgs,
    session: &Session<'_>,
    wanted: &Wanted,
) -> Result<Exit, Failure> {
    let done = match (args.dry_run, args.remove) {
        (false, false) => session.enroll(wanted).await,
        (false, true) => session.remove(wanted).await,
        (true, remove) => session
            .look(wanted)
            .await
            .and_then(|seen| only_planned(wanted, &seen, remove)),
    };
    let done = done.map_err(|error| failure(&error))?;
    let data = document(args, wanted, &done, Some(session.pve.node()));
    context
        .printer
        .document("felhom.enroll", &data, || text(args, &done, &wanted.node));
    Ok(if done.by_hand.is_empty() {
        Exit::Done
    } else {
        Exit::Findings
    })
}

fn only_planned(wanted: &Wanted, seen: &Seen, remove: bool) -> Result<Done, EnrollError> {
    if remove {
        let removal = remove::plan(wanted, seen);
        return Ok(Done {
            steps: removal.steps,
            left: removal.left,
            ..Done::default()
        });
    }
    let steps = plan::plan(wanted, seen).map_err(EnrollError::Refused)?;
    Ok(Done {
        steps,
        ..Done::default()
    })
}

/// Without an admin: the commands for a box where nothing has been made yet, or where everything has.
fn print(context: &Context, args: &PveArgs, wanted: &Wanted) -> Result<Exit, Failure> {
    let done = if args.remove {
        only_planned(wanted, &remove::as_made(wanted), true)
    } else {
        warn(context, wanted);
        only_planned(wanted, &Seen::default(), false)
    };
    let done = done.map_err(|error| failure(&error))?;
    let data = document(args, wanted, &done, None);
    context.printer.document("felhom.enroll", &data, || {
        runbook::script(&done.steps, &wanted.node)
    });
    Ok(Exit::Done)
}

fn warnings(wanted: &Wanted) -> Vec<&'static str> {
    let chosen = wanted.abilities.iter();
    chosen.filter_map(|ability| ability.warning()).collect()
}

fn warn(context: &Context, wanted: &Wanted) {
    for warning in warnings(wanted) {
        context.printer.narrate(&format!("note: {warning}"));
    }
}

fn document(
    args: &PveArgs,
    wanted: &Wanted,
    done: &Done,
    node: Option<&felhom_ids::NodeName>,
) -> Value {
    let step = |step: &Step| {
        let request = node.and_then(|node| step.request(node));
        json!({
            "command": runbook::command(step, &wanted.node),
            "request": request.map(|request| request.to_string()),
        })
    };
    let abilities: Vec<&str> = wanted.abilities.iter().map(|one| one.word()).collect();
    json!({
        "dry_run": args.dry_run || args.admin.is_none(),
        "remove": args.remove,
        "abilities": abilities,
        "warnings": warnings(wanted),
        "steps": done.steps.iter().map(step).collect::<Vec<_>>(),
        "by_hand": done.by_hand,
        "left": done.left,
        "proofs": done.proofs,
    })
}

fn text(args: &PveArgs, done: &Done, node: &str) -> String {
    if args.dry_run && !done.steps.is_empty() {
        return runbook::script(&done.steps, node);
    }
    let mut lines = Vec::new();
    lines.push(match (done.steps.len(), args.remove) {
        (0, false) => "everything is there already; nothing was changed".to_owned(),
        (0, true) => "nothing of ours is there".to_owned(),
        (count, false) => format!("{count} step(s) carried out"),
        (count, true) => format!("{count} step(s) taken back"),
    });
    lines.extend(done.proofs.iter().map(|line| format!("  proved: {line}")));
    lines.extend(done.left.iter().map(|line| format!("  left: {line}")));
    if !done.by_hand.is_empty() {
        lines.push(
            "the server did not let this user change the host's network; as root on the node:"
                .to_owned(),
        );
        lines.extend(done.by_hand.iter().cloned());
    }
    if !args.dry_run && !args.remove {
        lines.push(NEXT.to_owned());
    }
    lines.join("\n")
}

fn failure(error: &EnrollError) -> Failure {
    let again = "run the same command again: it looks at what is there and goes on";
    match error {
        EnrollError::Server(error) => pve_failure(error),
        EnrollError::Refused(_) => Failure::new(Exit::Refused, "enroll-refused", error.to_string())
            .hint("nothing was changed"),
        EnrollError::Undetermined { source, .. } => {
            Failure::new(Exit::Undetermined, "undetermined", error.to_string())
                .caused_by(source)
                .hint(again)
        }
        EnrollError::Network(_) => {
            Failure::new(Exit::TaskFailed, "task-failed", error.to_string()).hint(again)
        }
        EnrollError::File { source, .. } => {
            Failure::new(Exit::Configuration, "file", error.to_string())
                .caused_by(source)
                .hint(again)
        }
        EnrollError::Kit(_) => Failure::new(Exit::Configuration, "kit", error.to_string())
            .hint("nothing was given a key that is not in a kit; look at the file, then run the same command again"),
        EnrollError::Unproven(_) => {
            Failure::new(Exit::Unexpected, "unproven", error.to_string()).hint(again)
        }
    }
}
