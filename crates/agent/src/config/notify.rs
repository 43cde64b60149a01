//! `[notify]`: who is told when something is wrong, and who waits for a sign of life.

mod channel;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use felhom_engine::Severity;
use felhom_engine::incident::NoticePolicy;
use serde::Serialize;
use serde_json::{Value, json};

use super::problems::Problems;
use super::raw::{RawNotify, RawPing};
use super::span::Span;

pub use channel::{ChannelConfig, ChannelKind, SmtpTls};

/// Who is told, and of what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotifyConfig {
    /// What is less grave is not told.
    pub at_least: Severity,
    /// After how long a critical incident is told again; `None` for never.
    pub remind_after: Option<Duration>,
    /// What comes back so soon after it was last seen has not been over.
    pub flap: Duration,
    /// Who is told.
    pub channels: Vec<ChannelConfig>,
    /// The files that hold the addresses which wait for a sign of life.
    pub ping: BTreeMap<Concern, PathBuf>,
}

impl NotifyConfig {
    /// The same for the engine.
    pub fn policy(&self) -> NoticePolicy {
        NoticePolicy {
            at_least: self.at_least,
            remind_after: self.remind_after,
            flap: self.flap,
        }
    }

    /// The files with a secret of a channel, or with an address that is one.
    pub fn secret_files(&self) -> impl Iterator<Item = &Path> {
        let channels = self.channels.iter();
        let of_channels = channels.filter_map(|one| one.secret_file.as_deref());
        of_channels.chain(self.ping.values().map(PathBuf::as_path))
    }
}

/// What a sign of life is given of. Each is waited for by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Concern {
    /// The agent runs.
    Alive,
    /// Every selected guest has a good backup that is recent enough.
    Backup,
    /// Every selected guest has a proof that is recent enough.
    Proof,
}

impl Concern {
    /// Every one there is.
    pub const ALL: [Self; 3] = [Self::Alive, Self::Backup, Self::Proof];

    /// Its name, as the configuration has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Backup => "backup",
            Self::Proof => "proof",
        }
    }
}

/// What was not mended in a week has been forgotten.
const REMIND_AFTER: Duration = Duration::from_hours(7 * 24);
/// Whoever looks every quarter of an hour shall not tell of every swing.
const FLAP: Duration = Duration::from_hours(1);

pub(super) fn notify(
    raw: Option<&RawNotify>,
    base: &Path,
    problems: &mut Problems,
) -> Option<NotifyConfig> {
    let none = RawNotify::default();
    let raw = raw.unwrap_or(&none);
    let at_least = severity(raw.at_least.as_deref().unwrap_or("warning"), problems);
    let remind_after = raw.remind_after.map_or(REMIND_AFTER, Span::get);
    let channels = channel::channels(&raw.channels, base, problems);
    let ping = ping(raw.ping.as_ref(), base, problems);
    Some(NotifyConfig {
        at_least: at_least?,
        remind_after: Some(remind_after).filter(|after| !after.is_zero()),
        flap: raw.flap.map_or(FLAP, Span::get),
        channels: channels?,
        ping: ping?,
    })
}

fn severity(text: &str, problems: &mut Problems) -> Option<Severity> {
    match text {
        "notice" => Some(Severity::Notice),
        "warning" => Some(Severity::Warning),
        "critical" => Some(Severity::Critical),
        _ => {
            let problem = "notify.at_least: one of `notice`, `warning`, `critical` is needed";
            problems.0.push(problem.to_owned());
            None
        }
    }
}

fn ping(
    raw: Option<&RawPing>,
    base: &Path,
    problems: &mut Problems,
) -> Option<BTreeMap<Concern, PathBuf>> {
    let Some(raw) = raw else {
        return Some(BTreeMap::new());
    };
    let mut all = BTreeMap::new();
    let mut usable = true;
    for concern in Concern::ALL {
        let (file, credential) = match concern {
            Concern::Alive => (&raw.alive_file, &raw.alive_credential),
            Concern::Backup => (&raw.backup_file, &raw.backup_credential),
            Concern::Proof => (&raw.proof_file, &raw.proof_credential),
        };
        let name = concern.name();
        let keys = (format!("{name}_file"), format!("{name}_credential"));
        let place = SecretPlace {
            section: "notify.ping",
            keys: (&keys.0, &keys.1),
        };
        match place.find(file.as_deref(), credential.as_deref(), base, problems) {
            Ok(Some(path)) => drop(all.insert(concern, path)),
            Ok(None) => {}
            Err(Told) => usable = false,
        }
    }
    usable.then_some(all)
}

/// What is wrong was added to the problems.
struct Told;

/// Two keys, of which one may say where a secret is.
struct SecretPlace<'a> {
    section: &'a str,
    keys: (&'a str, &'a str),
}

impl SecretPlace<'_> {
    fn find(
        &self,
        file: Option<&Path>,
        credential: Option<&str>,
        base: &Path,
        problems: &mut Problems,
    ) -> Result<Option<PathBuf>, Told> {
        let (section, (of_file, of_credential)) = (self.section, self.keys);
        match (file, credential) {
            (None, None) => Ok(None),
            (Some(file), None) => Ok(Some(base.join(file))),
            (None, Some(name)) => {
                crate::credentials::credential_path(name)
                    .map(Some)
                    .map_err(|error| {
                        problems
                            .0
                            .push(format!("{section}.{of_credential}: {error}"));
                        Told
                    })
            }
            (Some(_), Some(_)) => {
                let problem = format!("{section}: `{of_file}` or `{of_credential}`, not both");
                problems.0.push(problem);
                Err(Told)
            }
        }
    }
}

/// The section by the keys of the file.
pub(super) fn shown(config: &NotifyConfig) -> Value {
    let span = |duration: Duration| Span::new(duration).to_string();
    let channels: Vec<Value> = config.channels.iter().map(channel::shown).collect();
    let ping = config.ping.iter();
    let ping: serde_json::Map<String, Value> = ping
        .map(|(concern, path)| (format!("{}_file", concern.name()), json!(path)))
        .collect();
    json!({
        "at_least": config.at_least,
        "remind_after": span(config.remind_after.unwrap_or_default()),
        "flap": span(config.flap),
        "channels": channels,
        "ping": ping,
    })
}
