//! The command line: what can be asked, and which file answers it.

mod arrears;
mod backup;
mod config;
mod context;
mod doctor;
mod enroll;
mod findings;
mod golden;
mod guests;
mod host;
mod jobs;
mod kit;
mod metrics;
mod notify;
mod pbs;
mod provision;
mod report;
mod restore;
mod restore_test;
mod run;
mod selftest;
mod snapshot;
mod status;
mod storage;
mod targets;
mod task;
mod terminal;
mod text;
mod trust;
mod volumes;

use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};

use crate::exit::{Exit, Failure};
use crate::output::Printer;

pub(crate) use context::Context;

/// Over the options that every command takes.
const GLOBAL: &str = "Global options";

/// What stands below the first help.
const FIRST_STEPS: &str = "\
First: `enroll pve`, `doctor`, then `backup run VMID --dry-run`.
Exit codes: 0 done, 3 done with findings, anything else is no success;
/usr/share/doc/felhom-agent/reference/exit-codes.md has them all.";

/// Backs guests up, and proves that the backups come back.
#[derive(Debug, Parser)]
#[command(name = "felhom-agent", version, about, disable_help_subcommand = true, after_help = FIRST_STEPS)]
pub struct Cli {
    /// The configuration file.
    #[arg(
        long,
        global = true,
        env = "FELHOM_CONFIG",
        default_value = crate::config::DEFAULT_PATH,
        value_name = "FILE",
        help_heading = GLOBAL
    )]
    config: PathBuf,
    /// Print one JSON document on stdout.
    #[arg(long, global = true, help_heading = GLOBAL)]
    json: bool,
    /// Print no narration and no progress.
    #[arg(long, short, global = true, help_heading = GLOBAL)]
    quiet: bool,
    /// Log more to stderr; `-vv` logs every request.
    #[arg(long, short, global = true, action = clap::ArgAction::Count, help_heading = GLOBAL)]
    verbose: u8,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// One page: host, guests, backups, last proofs, storages, findings.
    Status,
    /// Everything that is known of the box, as the host report has it; kept under the next number.
    Report(report::ReportArgs),
    /// What is due by the schedule: backups, restore tests, verifies, and the pruning after them.
    Run(run::RunArgs),
    /// The guests of the node.
    Guests,
    /// Backups: make one, list them, show what is in one.
    #[command(subcommand)]
    Backup(BackupCommand),
    /// Restores: say what would come back, and bring a guest back.
    #[command(subcommand)]
    Restore(RestoreCommand),
    /// Restore tests: prove that a backup comes back.
    #[command(subcommand)]
    RestoreTest(RestoreTestCommand),
    /// Golden images: containers in which Docker runs, made once by the root helper.
    #[command(subcommand)]
    Golden(golden::GoldenCommand),
    /// Make a new guest from a golden image.
    Provision(provision::ProvisionArgs),
    /// Docker volumes of a guest: what its engine has, as it was last told.
    #[command(subcommand)]
    Volumes(volumes::VolumesCommand),
    /// Backup servers: what is there, whether it is whole, and who can read it.
    #[command(subcommand)]
    Pbs(pbs::PbsCommand),
    /// Guarded changes: a snapshot before, confirmed or rolled back after.
    #[command(subcommand)]
    Snapshot(snapshot::SnapshotCommand),
    /// Storages: which stands under a name, whether it is there, and how full it is.
    #[command(subcommand)]
    Storage(storage::StorageCommand),
    /// What root sees of the box for us: disks, sensors, and the root helper's configuration.
    #[command(subcommand)]
    Host(host::HostCommand),
    /// The kit: how the box is rebuilt without this program.
    #[command(subcommand)]
    Kit(kit::KitCommand),
    /// Metrics for Prometheus: the last host report, printed or served to the machine itself.
    #[command(subcommand)]
    Metrics(metrics::MetricsCommand),
    /// Tasks of the node.
    #[command(subcommand)]
    Task(TaskCommand),
    /// Set the box up for chosen abilities: print the runbook, or carry it out once as an admin.
    #[command(subcommand)]
    Enroll(enroll::EnrollCommand),
    /// Check the rights and the health of the box, and print what mends them.
    Doctor(doctor::DoctorArgs),
    /// Findings: what a code means, and which are accepted for a while.
    #[command(subcommand)]
    Findings(findings::FindingsCommand),
    /// Notifications: what is open and was told, and whether notices arrive.
    #[command(subcommand)]
    Notify(notify::NotifyCommand),
    /// The certificate that is trusted.
    #[command(subcommand)]
    Trust(TrustCommand),
    /// A read-only health report, or reversible exercises against the live host.
    Selftest(SelftestArgs),
    /// The configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
}

impl Command {
    /// Whether a prepared pin may be taken before it: not where a person decides about trust, only looks, or nobody is asked.
    fn may_take_a_pin(&self) -> bool {
        match self {
            Self::Trust(TrustCommand::Rotate { dry_run }) => !dry_run,
            Self::Trust(TrustCommand::Show | TrustCommand::Repin { .. })
            | Self::Enroll(_)
            | Self::Findings(_)
            | Self::Notify(_)
            | Self::Config(_)
            | Self::Host(_)
            | Self::Metrics(_) => false,
            Self::Status
            | Self::Report(_)
            | Self::Run(_)
            | Self::Guests
            | Self::Backup(_)
            | Self::Restore(_)
            | Self::RestoreTest(_)
            | Self::Volumes(_)
            | Self::Pbs(_)
            | Self::Snapshot(_)
            | Self::Storage(_)
            | Self::Task(_)
            | Self::Kit(_)
            | Self::Doctor(_)
            | Self::Golden(_)
            | Self::Provision(_)
            | Self::Selftest(_) => true,
        }
    }
}

#[derive(Debug, Subcommand)]
enum BackupCommand {
    /// Back one guest up, and prove what is in the archive.
    Run(BackupRunArgs),
    /// List the backups that can be seen, and what is known of them.
    List {
        /// Only this guest's.
        vmid: Option<String>,
    },
    /// Read an archive to its end, and hold it against what was planned and what vzdump's log says.
    Proof {
        /// Volume id, such as `local:backup/vzdump-lxc-…` or `local:backup/vzdump-qemu-…`.
        volid: String,
    },
    /// Remove our own archives that the configured rules no longer keep, and keep at least
    /// `keep_at_least` good ones.
    Prune {
        /// Only this guest's.
        vmid: Option<String>,
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, Args)]
struct BackupRunArgs {
    /// The guest.
    vmid: String,
    /// Where to, instead of `backup.storage`.
    #[arg(long)]
    storage: Option<String>,
    /// `snapshot`, `suspend` or `stop`, instead of `backup.mode`.
    #[arg(long)]
    mode: Option<String>,
    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Subcommand)]
enum RestoreCommand {
    /// Say what would come back, what comes back empty or not at all, and what stands in the way.
    Plan(RestorePlanArgs),
    /// Restore a guest under a free VMID, never on top of another, and compare it with the plan.
    Run(RestoreRunArgs),
    /// What was restored, and how it ended.
    List {
        /// Only restores from or to this VMID.
        vmid: Option<String>,
    },
}

#[derive(Debug, Args)]
struct RestorePlanArgs {
    /// Volume id, such as `local:backup/vzdump-lxc-…` or `local:backup/vzdump-qemu-…`.
    volid: String,
    /// The VMID that the guest would get; without it the next free one.
    #[arg(long, value_name = "VMID")]
    to: Option<String>,
    /// `fresh` or `keep`; without it `keep` when the original is gone, else `fresh`.
    #[arg(long)]
    identity: Option<String>,
    #[command(flatten)]
    choices: RestoreChoices,
}

#[derive(Debug, Args)]
struct RestoreRunArgs {
    /// Volume id, such as `local:backup/vzdump-lxc-…` or `local:backup/vzdump-qemu-…`.
    volid: String,
    /// The VMID that the guest gets; no guest may have it.
    #[arg(long, value_name = "VMID")]
    to: String,
    /// `fresh`: new MAC addresses and host name; `keep`: those of the original, which must be gone
    /// or stopped.
    #[arg(long)]
    identity: String,
    #[command(flatten)]
    choices: RestoreChoices,
    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
struct RestoreChoices {
    /// The host name, with a fresh identity, instead of the old one with `-restored`.
    #[arg(long, value_name = "NAME")]
    hostname: Option<String>,
    /// Where all volumes go, instead of each where it was.
    #[arg(long)]
    storage: Option<String>,
    /// Leave volumes of a container out that were not backed up, instead of making them anew and empty.
    #[arg(long)]
    without_empty: bool,
    /// Put the link of every interface down, so that the guest can be looked at first.
    #[arg(long)]
    link_down: bool,
    /// Start the guest when it is as planned.
    #[arg(long)]
    start: bool,
}

#[derive(Debug, Subcommand)]
enum RestoreTestCommand {
    /// Restore to a scratch guest, boot it, gather evidence, remove it, write the verdict down.
    Run(RestoreTestRunArgs),
    /// What was tested, and with which verdict.
    List {
        /// Only this guest's.
        vmid: Option<String>,
    },
    /// Go on with interrupted jobs and remove what they left: only what is proven to be ours.
    Reap(ReapArgs),
}

#[derive(Debug, Args)]
struct RestoreTestRunArgs {
    /// A guest (its newest backup) or a volume id; without it the guest whose last test is longest ago, also
    /// one that ended in an error.
    subject: Option<String>,
    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,
    /// Exit with 0 when there is nothing to test.
    #[arg(long)]
    allow_empty: bool,
}

#[derive(Debug, Args)]
struct ReapArgs {
    /// Remove this scratch guest though the journal that made it is lost; asks for the VMID to be typed.
    #[arg(long, value_name = "VMID")]
    adopt: Option<String>,
    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Subcommand)]
enum TaskCommand {
    /// Follow a task to its end.
    Watch {
        /// `UPID:…`
        upid: String,
    },
}

#[derive(Debug, Subcommand)]
enum TrustCommand {
    /// Show what is trusted, and what the server shows.
    Show,
    /// Prepare the pin of the certificate that the node shows next, and say how that stands. It is
    /// taken by itself when the node shows exactly that.
    Rotate {
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
    },
    /// Trust another certificate, after looking at it.
    Repin {
        /// The fingerprint that you have checked, as `trust show` prints it.
        #[arg(long, value_name = "SHA256")]
        accept: Option<String>,
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, Args)]
struct SelftestArgs {
    #[command(subcommand)]
    exercise: Option<Exercise>,
}

#[derive(Debug, Subcommand)]
enum Exercise {
    /// Snapshot a guest, find the snapshot, and remove it again.
    Task {
        /// The guest.
        vmid: String,
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
    },
    /// Restore-test the guest whose last test is longest ago.
    RestoreTest {
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Check the configuration and the secret files it names.
    Check,
    /// Show the configuration with every default filled in. Secrets are never shown.
    Show,
}

/// Runs a parsed command line to its exit code. Every failure is printed here, and only here.
pub async fn run(cli: Cli) -> Exit {
    let printer = Printer {
        json: cli.json,
        quiet: cli.quiet,
        record: None,
    };
    run_with(cli, printer).await
}

/// The same, speaking through a given printer.
pub async fn run_with(cli: Cli, printer: Printer) -> Exit {
    match Box::pin(dispatch(cli, printer.clone())).await {
        Ok(exit) => exit,
        Err(failure) => {
            printer.failure(&failure);
            failure.exit
        }
    }
}

/// Prints why a command line made no sense as the document that `--json` asks for.
pub fn print_usage_error(error: &clap::Error) {
    let rendered = error.to_string();
    let first = rendered.lines().next().unwrap_or_default();
    let message = if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        "a command is missing"
    } else {
        first.strip_prefix("error: ").unwrap_or(first)
    };
    let printer = Printer {
        json: true,
        ..Printer::default()
    };
    printer.failure(
        &Failure::new(Exit::Usage, "usage", message)
            .hint("`felhom-agent --help` lists what can be asked"),
    );
}

impl Cli {
    /// How often `-v` was given.
    pub fn verbosity(&self) -> u8 {
        self.verbose
    }

    /// Whether root's rights are needed: enrolling writes below `/etc`.
    pub fn keeps_root(&self) -> bool {
        matches!(self.command, Command::Enroll(_))
    }

    /// Whether narration is off.
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }
}

/// What every command begins with.
async fn prepare(cli: &Cli, printer: Printer) -> Context {
    let mut context = Context {
        path: cli.config.clone(),
        printer,
        followed: None,
    };
    // Root opens no journal, which is the user's.
    if !cli.keeps_root() {
        context.followed = trust::follow(&context, cli.command.may_take_a_pin()).await;
    }
    context
}

async fn dispatch(cli: Cli, printer: Printer) -> Result<Exit, Failure> {
    let context = prepare(&cli, printer).await;
    match cli.command {
        Command::Status => status::run(&context).await,
        Command::Report(args) => report::run(&context, &args).await,
        Command::Run(args) => Box::pin(run::run(&context, &args)).await,
        Command::Guests => guests::run(&context).await,
        Command::Backup(BackupCommand::Run(args)) => backup::run(&context, &args).await,
        Command::Backup(BackupCommand::List { vmid }) => {
            backup::list(&context, vmid.as_deref()).await
        }
        Command::Backup(BackupCommand::Proof { volid }) => backup::proof(&context, &volid).await,
        Command::Backup(BackupCommand::Prune { vmid, dry_run }) => {
            backup::prune(&context, vmid.as_deref(), dry_run).await
        }
        Command::Restore(RestoreCommand::Plan(args)) => restore::plan(&context, &args).await,
        Command::Restore(RestoreCommand::Run(args)) => restore::run(&context, &args).await,
        Command::Restore(RestoreCommand::List { vmid }) => {
            restore::list(&context, vmid.as_deref()).await
        }
        Command::RestoreTest(RestoreTestCommand::Run(args)) => {
            restore_test::run(&context, &args).await
        }
        Command::RestoreTest(RestoreTestCommand::List { vmid }) => {
            restore_test::list(&context, vmid.as_deref()).await
        }
        Command::RestoreTest(RestoreTestCommand::Reap(args)) => {
            restore_test::reap(&context, &args).await
        }
        Command::Golden(command) => golden::run(&context, command).await,
        Command::Provision(args) => provision::run(&context, &args).await,
        Command::Volumes(command) => volumes::run(&context, command).await,
        Command::Pbs(command) => Box::pin(pbs::run(&context, command)).await,
        Command::Snapshot(command) => snapshot::run(&context, command).await,
        Command::Storage(command) => storage::run(&context, command).await,
        Command::Host(command) => host::run(&context, command).await,
        Command::Kit(command) => kit::run(&context, command).await,
        Command::Metrics(command) => metrics::run(&context, command).await,
        Command::Task(TaskCommand::Watch { upid }) => task::watch(&context, &upid).await,
        Command::Enroll(command) => enroll::run(&context, command).await,
        Command::Doctor(args) => doctor::run(&context, &args).await,
        Command::Findings(command) => findings::run(&context, command).await,
        Command::Notify(command) => notify::run(&context, command).await,
        Command::Trust(TrustCommand::Show) => trust::show(&context).await,
        Command::Trust(TrustCommand::Repin { accept, dry_run }) => {
            trust::repin(&context, accept.as_deref(), dry_run).await
        }
        Command::Trust(TrustCommand::Rotate { dry_run }) => trust::rotate(&context, dry_run).await,
        Command::Selftest(args) => selftest::run(&context, args.exercise).await,
        Command::Config(ConfigCommand::Check) => config::check(&context),
        Command::Config(ConfigCommand::Show) => config::show(&context),
    }
}
