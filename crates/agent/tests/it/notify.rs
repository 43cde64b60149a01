//! Notifications: what goes out, to whom, how often, and what becomes of it when it does not arrive.

mod channels;
mod conditions;
mod configuration;
mod history;
mod life;
mod mail;
mod outbox;
pub(crate) mod receiver;
mod told;

use std::path::Path;

use felhom_agent::config::{self, Config};
use felhom_agent::journal::Journal;
use felhom_agent::notify::{Announced, announce};
use felhom_engine::Timestamp;
use felhom_protocol::host::*;

use crate::support::secret;
use receiver::Receiver;

/// 2026-11-23T00:00:00Z, and so many minutes.
pub(crate) fn minute(minutes: i64) -> Timestamp {
    Timestamp::from_secs(1_795_392_000 + minutes * 60)
}

/// A box with channels and a journal, and nothing else.
pub(crate) struct Room {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) config: Config,
}

pub(crate) const NTFY_TOKEN: &str = "tk_canary-of-the-ntfy-token";
pub(crate) const HOOK_KEY: &str = "canary-of-the-key-that-signs";
pub(crate) const MAIL_PASSWORD: &str = "canary-of-the-mail-password";

const LEAST: &str = "node = \"pve\"\nstate_dir = \"state\"\n\
    pve = { url = \"https://127.0.0.1:8006\", insecure = true }\n\
    [principals.agent]\ntoken = \"agent@pve!agent\"\nsecret_file = \"agent\"\n\
    [limits]\nrequest = \"2s\"\n";

pub(crate) fn secrets(directory: &Path) {
    for (name, text) in [
        ("ntfy", NTFY_TOKEN),
        ("hook", HOOK_KEY),
        ("mail", MAIL_PASSWORD),
    ] {
        secret(&directory.join(name), text, 0o600);
    }
}

impl Room {
    pub(crate) fn new(sections: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        secrets(directory.path());
        let config = parse(directory.path(), sections).unwrap();
        Self { directory, config }
    }

    /// With one webhook.
    pub(crate) fn hook(receiver: &Receiver) -> Self {
        Self::new(&hook("hook", receiver.port()))
    }

    pub(crate) fn reconfigure(&mut self, sections: &str) {
        self.config = parse(self.directory.path(), sections).unwrap();
    }

    pub(crate) async fn journal(&self) -> Journal {
        Journal::open(&self.config.state_dir, "test").await.unwrap()
    }

    /// One pass: a journal of its own, as every start of the program has.
    pub(crate) async fn pass(&self, report: &HostReport, now: Timestamp) -> Announced {
        let journal = self.journal().await;
        announce(&self.config, &journal, report, now).await
    }
}

pub(crate) fn parse(directory: &Path, sections: &str) -> Result<Config, config::ConfigError> {
    config::parse(&directory.join("agent.toml"), &format!("{LEAST}{sections}"))
}

pub(crate) fn hook(name: &str, port: u16) -> String {
    format!(
        "[[notify.channels]]\nname = \"{name}\"\nkind = \"webhook\"\nurl = \"http://127.0.0.1:{port}/hook\"\n\
         secret_file = \"hook\"\n"
    )
}

/// A box on which nothing is wrong.
pub(crate) fn well() -> HostReport {
    HostReport {
        installation: "0123456789abcdef0123456789abcdef".to_owned(),
        sequence: 1,
        taken_s: minute(0).secs(),
        agent_version: "0.1.0".to_owned(),
        node: Node {
            name: "pve".to_owned(),
            pve_version: None,
            kernel: None,
            uptime_s: None,
            load: Vec::new(),
            cpus: None,
            memory: None,
            swap: None,
            root: None,
            updates: None,
        },
        storages: Vec::new(),
        thin_pools: Vec::new(),
        disks: Vec::new(),
        temperatures: Vec::new(),
        targets: Vec::new(),
        servers: Vec::new(),
        guests: vec![guest(101, Posture::Protected)],
        findings: Vec::new(),
        suppressed: 0,
        jobs: Vec::new(),
        unknown: Vec::new(),
    }
}

pub(crate) fn guest(vmid: u32, posture: Posture) -> Guest {
    Guest {
        vmid,
        kind: "lxc".to_owned(),
        name: format!("web{vmid}"),
        running: true,
        selected: true,
        posture,
        reasons: vec!["never restore-tested".to_owned()],
        newest_archive_s: None,
        last_backup: None,
        good_backup_s: None,
        last_proof: None,
    }
}

pub(crate) fn finding(code: &str, subject: &str, severity: Severity) -> Finding {
    Finding {
        severity,
        code: code.to_owned(),
        subject: subject.to_owned(),
        detail: "what was seen – näher besehen".to_owned(),
        remedy: Some("felhom-agent backup run 101".to_owned()),
    }
}

/// A box on which this is wrong.
pub(crate) fn wrong(code: &str, subject: &str) -> HostReport {
    HostReport {
        findings: vec![finding(code, subject, Severity::Critical)],
        ..well()
    }
}

pub(crate) fn failed() -> HostReport {
    wrong("backup-failed", "guest 101")
}
