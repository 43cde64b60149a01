//! What the Debian package has beside the programs: generated from the agent's command line from the
//! reference of its configuration, and from Cargo's own data.

pub mod completions;
pub mod example;
pub mod man;
pub mod sbom;

/// The agent's command line, with the help that clap adds to it.
pub fn agent() -> clap::Command {
    let mut command = <felhom_agent::cli::Cli as clap::CommandFactory>::command();
    command.build();
    command
}
