//! felhom-agent: parse, set up logging, dispatch, exit code.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use felhom_agent::cli::{self, Cli};
use felhom_agent::exit::Exit;
use felhom_agent::privilege::{self, Privileges};
use tracing_subscriber::EnvFilter;

/// For how long threads that were told to stop are waited for.
const PATIENCE: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are asked for; anything else is a usage error. A broken pipe is neither.
            let exit = if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Done
            };
            if exit == Exit::Usage && std::env::args_os().any(|arg| arg == "--json") {
                cli::print_usage_error(&error);
            } else {
                // Whoever closed the pipe has read enough.
                drop(error.print());
            }
            return exit.into();
        }
    };
    log_to_stderr(&cli);
    let dropped = if cli.keeps_root() {
        Ok(Privileges::Unprivileged)
    } else {
        privilege::drop_root()
    };
    match dropped {
        Ok(Privileges::Unprivileged | Privileges::Dropped) => {}
        Ok(Privileges::StillRoot) => {
            tracing::warn!(
                "running as root, because there is no user `{}`: make it with `useradd --system --home-dir \
                 /nonexistent --shell /usr/sbin/nologin {}`, and give it the state directory and the secrets",
                privilege::USER,
                privilege::USER
            );
        }
        Err(error) => {
            tracing::error!(%error, "refusing to go on as root");
            return Exit::Permission.into();
        }
    }
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "no runtime");
            return Exit::Unexpected.into();
        }
    };
    let exit = runtime.block_on(cli::run(cli));
    // A thread that waits for a storage that does not answer is left behind.
    runtime.shutdown_timeout(PATIENCE);
    exit.into()
}

fn log_to_stderr(cli: &Cli) {
    let default = match (cli.is_quiet(), cli.verbosity()) {
        (true, _) => "error",
        (false, 0) => "warn",
        (false, 1) => "info",
        (false, 2) => "felhom_agent=debug,felhom_proxmox=debug,info",
        (false, _) => "felhom_agent=trace,felhom_proxmox=trace,debug",
    };
    let filter = EnvFilter::try_from_env("FELHOM_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(terminal)
        // It would print the error, and panic where the reader of stderr has gone away.
        .log_internal_errors(false)
        .init();
}
