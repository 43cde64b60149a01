//! Completions, under the names by which the shells look for them.

use std::fs;
use std::path::Path;

use anyhow::Context;
use clap_complete::Shell;

/// The shells, each with the name of its file.
pub const SHELLS: [(Shell, &str); 3] = [
    (Shell::Bash, "felhom-agent.bash"),
    (Shell::Zsh, "_felhom-agent"),
    (Shell::Fish, "felhom-agent.fish"),
];

/// Writes a file for each shell.
///
/// # Errors
/// When a file cannot be written.
pub fn write(directory: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("{}", directory.display()))?;
    for (shell, file) in SHELLS {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut super::agent(), "felhom-agent", &mut text);
        let path = directory.join(file);
        fs::write(&path, text).with_context(|| format!("{}", path.display()))?;
    }
    Ok(())
}
