//! Equips an agent for a simulated box: configuration and secret files, as an admin would lay them out.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use felhom_agent::config::Template;
use felhom_simulator::Running;

/// The principals of the built-in scenario.
pub const AGENT: &str = "felhom-agent@pve!agent";
/// Restores, boots and removes scratch guests.
pub const RESTORE_TEST: &str = "felhom-test@pve!restore-test";

/// Writes `agent.toml` and the secret files into `directory`; `extra` are further sections of the configuration.
///
/// # Errors
/// When the world has no such principals, or a file cannot be written.
pub fn equip(world: &Running, directory: &Path, extra: &str) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(directory.join("credentials"))?;
    let tokens = world.tokens();
    for (token, name) in [(AGENT, "agent"), (RESTORE_TEST, "restore-test")] {
        let secret = tokens
            .get(token)
            .with_context(|| format!("the world has no token `{token}`"))?;
        write_secret(&directory.join("credentials").join(name), secret)?;
    }
    let dump = world.state_dir().join("storage/local/dump");
    let template = Template {
        node: world.node(),
        url: world.url(),
        fingerprint: world.fingerprint(),
        state_dir: "agent-state".to_owned(),
        agent: (AGENT.to_owned(), "credentials/agent".to_owned()),
        restore_test: (
            RESTORE_TEST.to_owned(),
            "credentials/restore-test".to_owned(),
        ),
        archives: vec![("local".to_owned(), dump.display().to_string())],
        extra: format!(
            "[host]\nsocket = \"{}\"\n\n{extra}",
            world.host_socket().display()
        ),
    };
    let path = directory.join("agent.toml");
    std::fs::write(&path, template.to_toml())
        .with_context(|| format!("cannot write `{}`", path.display()))?;
    Ok(path)
}

fn write_secret(path: &Path, secret: &str) -> anyhow::Result<()> {
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot write `{}`", path.display()))?;
    file.write_all(secret.as_bytes())?;
    Ok(())
}
