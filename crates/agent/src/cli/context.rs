//! What every command needs: the configuration, the clients, the journal, and how their failures are told.

use std::path::PathBuf;

use felhom_engine::RemoteError as EngineError;
use felhom_ids::{Fingerprint, Vmid, VolumeId};
use felhom_proxmox::Pve;

use crate::config::{self, Config, ConfigError, TrustConfig};
use crate::exit::{Exit, Failure};
use crate::journal::{Journal, JournalError};
use crate::lock::LockError;
use crate::observe;
use crate::output::Printer;
use crate::perform::Performer;
use crate::remote::{RemoteError, Remotes};

/// What the command line said before the command.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub(crate) path: PathBuf,
    pub(crate) printer: Printer,
    /// The pin that followed the configured one, where the configuration does not name it yet: the former, and its successor.
    pub(crate) followed: Option<(Fingerprint, Fingerprint)>,
}

impl Context {
    pub(crate) fn config(&self) -> Result<Config, Failure> {
        let mut config = config::load(&self.path).map_err(|error| config_failure(&error))?;
        if let Some((former, next)) = &self.followed
            && config.trust == TrustConfig::Fingerprint(*former)
        {
            config.trust = TrustConfig::Fingerprint(*next);
        }
        Ok(config)
    }

    pub(crate) fn performer(&self) -> Result<Performer, Failure> {
        let config = self.config()?;
        let remotes = Remotes::new(&config).map_err(|error| remote_failure(&error))?;
        Ok(Performer::new(config, remotes))
    }

    /// The journal for reading; `None` when there is none yet.
    pub(crate) async fn read_journal(&self, config: &Config) -> Result<Option<Journal>, Failure> {
        match Journal::read(&config.state_dir).await {
            Ok(journal) => Ok(Some(journal)),
            Err(JournalError::Absent(_)) => Ok(None),
            Err(error) => Err(journal_failure(&error)),
        }
    }

    pub(crate) async fn open_journal(
        &self,
        config: &Config,
        purpose: &str,
    ) -> Result<Journal, Failure> {
        Journal::open(&config.state_dir, purpose)
            .await
            .map_err(|error| journal_failure(&error))
    }
}

pub(crate) fn config_failure(error: &ConfigError) -> Failure {
    let failure = Failure::new(Exit::Configuration, "config", error.to_string());
    let failure = match std::error::Error::source(error) {
        Some(source) => failure.caused_by(source),
        None => failure,
    };
    match error {
        ConfigError::Read { path, .. } => failure.hint(format!(
            "`felhom-agent enroll pve` writes `{}`; or name another file with `--config`",
            path.display()
        )),
        ConfigError::Parse { .. } | ConfigError::Problems { .. } => {
            failure.hint("mend it, then run `felhom-agent config check`")
        }
    }
}

pub(crate) fn remote_failure(error: &RemoteError) -> Failure {
    let failure = Failure::new(Exit::Configuration, "credentials", error.to_string());
    let failure = match std::error::Error::source(error) {
        Some(source) => failure.caused_by(source),
        None => failure,
    };
    match error {
        RemoteError::Credential(credential) => failure.hint(credential.hint()),
        RemoteError::CaFile { .. } | RemoteError::Address(_) | RemoteError::Client(_) => failure,
    }
}

pub(crate) fn journal_failure(error: &JournalError) -> Failure {
    let failure = match error {
        JournalError::Lock(LockError::Held { .. }) => {
            Failure::new(Exit::Busy, "busy", error.to_string()).hint("try again when it has ended")
        }
        JournalError::Lock(LockError::Io(_)) | JournalError::Directory { .. } => {
            Failure::new(Exit::Configuration, "state-dir", error.to_string()).hint(
                "`state_dir` of the configuration must be a directory that this user may write to",
            )
        }
        JournalError::Database { .. } if error.is_of_the_file_system() => {
            Failure::new(Exit::Unexpected, "journal", error.to_string()).hint(
                "free space on the file system of `state_dir` (`felhom-agent config show` names it), or mend it; what \
                 was begun goes on at the next start",
            )
        }
        JournalError::Database { .. }
        | JournalError::Version(_)
        | JournalError::Row { .. }
        | JournalError::Randomness(_)
        | JournalError::Absent(_) => Failure::new(Exit::Unexpected, "journal", error.to_string()),
    };
    match std::error::Error::source(error) {
        Some(source) => failure.caused_by(source),
        None => failure,
    }
}

/// The configuration inside an archive, read as this principal.
pub(crate) async fn archived_config(
    pve: &Pve,
    volid: &VolumeId,
) -> Result<felhom_engine::GuestConfig, Failure> {
    let config = observe::archived_config(pve, volid)
        .await
        .map_err(|error| pve_failure(&error))?;
    config.map_err(|error| {
        Failure::new(
            Exit::Remote,
            "garbage",
            format!("the archived configuration: {error}"),
        )
    })
}

/// The node's own time, by which ages of what it dated are told; ours where the token may not ask.
pub(crate) async fn node_now(pve: &Pve) -> i64 {
    match pve.node_time().await {
        Ok(time) => time.time,
        Err(_) => crate::clock::now().secs(),
    }
}

/// The failure of a call to Proxmox that was made outside of a job.
pub(crate) fn pve_failure(error: &felhom_proxmox::Error) -> Failure {
    let told = observe::remote_error(error);
    let mut failure = engine_failure(&told);
    failure.message = error.to_string();
    if let Some(source) = std::error::Error::source(error) {
        failure = failure.caused_by(source);
    }
    match error.hint() {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// The failure that an error of the engine's words is.
pub(crate) fn engine_failure(error: &EngineError) -> Failure {
    use felhom_engine::ErrorClass;
    let code = match error.class {
        ErrorClass::Unreachable => "unreachable",
        ErrorClass::Untrusted => "untrusted",
        ErrorClass::Unauthorized => "unauthorized",
        ErrorClass::Forbidden => "forbidden",
        ErrorClass::NotFound => "not-found",
        ErrorClass::Locked => "locked",
        ErrorClass::Refused => "refused",
        ErrorClass::Garbage => "garbage",
        ErrorClass::Local => "local",
    };
    Failure::new(Exit::of(error.class), code, error.text.clone())
}

/// Parses an id of the command line.
pub(crate) fn parse<T>(what: &str, text: &str) -> Result<T, Failure>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error: T::Err| {
        let failure = Failure::new(Exit::Usage, "usage", format!("{what}: {error}"));
        match where_listed(what) {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    })
}

const LISTS_BACKUPS: &str = "`felhom-agent backup list` lists them";

/// The command that shows what can be named.
fn where_listed(what: &str) -> Option<&'static str> {
    match what {
        "VMID" => Some("`felhom-agent guests` lists them"),
        "VOLID" => Some(LISTS_BACKUPS),
        "--storage" | "STORAGE" => Some("`felhom-agent storage list` lists them"),
        _ => None,
    }
}

/// Parses the volume id of a backup.
pub(crate) fn parse_backup(text: &str) -> Result<VolumeId, Failure> {
    let volid: VolumeId = parse("VOLID", text)?;
    if volid.name().starts_with("backup/") {
        return Ok(volid);
    }
    let message = format!(
        "VOLID: `{text}` is no backup, as `local:backup/vzdump-lxc-…` or `local:backup/vzdump-qemu-…` is"
    );
    let failure = Failure::new(Exit::Usage, "usage", message);
    Err(failure.hint(LISTS_BACKUPS))
}

/// Nothing is begun for a guest that is not there.
pub(crate) async fn require_guest(pve: &Pve, vmid: Vmid) -> Result<(), Failure> {
    if pve.qemu_status(vmid).await.is_ok() {
        return Ok(());
    }
    require_container(pve, vmid).await
}

/// The same where only a container will do.
pub(crate) async fn require_container(pve: &Pve, vmid: Vmid) -> Result<(), Failure> {
    let Err(error) = pve.lxc_config(vmid).await else {
        return Ok(());
    };
    if pve.qemu_status(vmid).await.is_ok() {
        let message = format!(
            "guest {vmid} is a virtual machine: its snapshots are neither made nor removed here"
        );
        let hint = format!(
            "on the node: `qm snapshot {vmid} NAME` before the change, `qm rollback {vmid} NAME` to take it back; \
             `felhom-agent backup run {vmid}` works for both kinds"
        );
        return Err(Failure::new(Exit::Refused, "refused", message).hint(hint));
    }
    Err(pve_failure(&error))
}
