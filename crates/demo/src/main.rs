//! felhom-sim: `serve` a world until told to stop, or tell the whole story with `demo`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use felhom_demo::{serve, story};

/// A Proxmox VE world to talk to, and the demo of felhom-agent against it.
#[derive(Debug, Parser)]
#[command(name = "felhom-sim", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve a world; print one JSON line when it is ready, and run until told to stop.
    Serve {
        /// Where the world lives. A world found there goes on.
        #[arg(long, value_name = "DIR")]
        state: PathBuf,
        /// Where Proxmox VE listens; loopback, port 0 takes a free one.
        #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
        pve: SocketAddr,
        /// Where the backup server listens; loopback, port 0 takes a free one.
        #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
        pbs: SocketAddr,
        /// What a new world contains: `built-in` or `virgin`.
        #[arg(long, default_value = "built-in")]
        scenario: String,
        /// Simulated seconds in one real second.
        #[arg(long, default_value_t = 1.0)]
        speed: f64,
    },
    /// The main job in one go: back up, prove the content, restore, boot, remove, write the verdict down.
    Demo {
        /// Print one JSON document instead of the story.
        #[arg(long)]
        json: bool,
        /// Simulated seconds in one real second.
        #[arg(long, default_value_t = 2.0)]
        speed: f64,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("FELHOM_LOG")
                .unwrap_or_else(|_| "error".into()),
        )
        .with_writer(std::io::stderr)
        .init();
    let result = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Into::into)
        .and_then(|runtime| {
            runtime.block_on(async {
                match cli.command {
                    Command::Serve {
                        state,
                        pve,
                        pbs,
                        scenario,
                        speed,
                    } => serve::serve(&state, pve, pbs, &scenario, speed)
                        .await
                        .map(|()| true),
                    Command::Demo { json, speed } => story::demo(json, speed).await,
                }
            })
        });
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            story::complain(&error);
            ExitCode::FAILURE
        }
    }
}
