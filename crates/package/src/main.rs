//! felhom-package: writes what stands beside the programs in the package. `packaging/build` calls it.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use felhom_package::{completions, example, man, sbom};

/// Writes what stands beside the programs in the package.
#[derive(Debug, Parser)]
#[command(name = "felhom-package", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// One manual page for each command of the agent.
    Man {
        /// Where they go.
        directory: PathBuf,
    },
    /// What completes the agent's commands in bash, zsh and fish.
    Completions {
        /// Where they go.
        directory: PathBuf,
    },
    /// The configuration with every default, commented out, from the reference page.
    Example {
        /// `docs/reference/configuration.md`.
        page: PathBuf,
        /// Where it goes.
        file: PathBuf,
    },
    /// The bill of materials, `CycloneDX` 1.5, from `cargo metadata`'s document.
    Sbom {
        /// What `cargo metadata --format-version 1 --locked --filter-platform TRIPLE` printed.
        metadata: PathBuf,
        /// Where it goes.
        file: PathBuf,
    },
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Man { directory } => man::write(&directory),
        Command::Completions { directory } => completions::write(&directory),
        Command::Example { page, file } => example::write(&page, &file),
        Command::Sbom { metadata, file } => sbom::write(&metadata, &file),
    }
}
