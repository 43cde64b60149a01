//! Manual pages, one for each command: section 8, commands of who looks after a machine.

use std::fs;
use std::path::Path;

use anyhow::Context;
use clap_mangen::Man;

/// Writes a page for the agent and for each command of it.
///
/// # Errors
/// When a file cannot be written.
pub fn write(directory: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("{}", directory.display()))?;
    let mut agent = super::agent();
    let name = agent.get_name().to_owned();
    page(directory, &name, &mut agent)
}

fn page(directory: &Path, name: &str, command: &mut clap::Command) -> anyhow::Result<()> {
    for below in command.get_subcommands_mut() {
        if below.get_name() != "help" {
            let name = format!("{name}-{}", below.get_name());
            page(directory, &name, below)?;
        }
    }
    let command = command.clone().display_name(name.to_owned());
    let mut text = Vec::new();
    Man::new(command)
        .title(name.to_uppercase())
        .section("8")
        .manual("felhom-agent")
        // No date: the same source gives the same page.
        .date("")
        .render(&mut text)?;
    let path = directory.join(format!("{name}.8"));
    fs::write(&path, text).with_context(|| format!("{}", path.display()))
}
