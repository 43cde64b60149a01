//! A look at everything that backups can lie on: the storages, the targets that some of them lie on, and the archives.

use std::collections::BTreeSet;

use felhom_engine::storages::Answer;
use felhom_engine::{ArchiveFacts, Finding, Principal};
use felhom_ids::StorageId;
use felhom_proxmox::{Error, Pve};

use super::{Observed, note, observe};
use crate::clock;
use crate::config::Config;
use crate::journal::{Journal, JournalError};
use crate::observe::archives_of;
use crate::observe::storages::{is_late, patience};
use crate::remote::Remotes;
use crate::targets::{self, Targets};

/// The storages, and the targets that some of them lie on.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) all: Vec<Observed>,
    pub(crate) targets: Targets,
    /// Whether nobody could say which storages there are: then it is not known of any that it is not there.
    pub(crate) unlisted: bool,
}

/// Why nothing could be seen.
#[derive(Debug)]
pub(crate) enum SightError {
    /// The node cannot be asked.
    Node(Error),
    /// What is remembered cannot be read.
    Journal(JournalError),
}

/// Looks at all storages beside what the journal remembers.
pub(crate) async fn look(
    config: &Config,
    remotes: &Remotes,
    journal: Option<&Journal>,
) -> Result<Seen, SightError> {
    let known = match journal {
        Some(journal) => journal.storages().await.map_err(SightError::Journal)?,
        None => Vec::new(),
    };
    let targets = look_at_targets(config, journal)
        .await
        .map_err(SightError::Journal)?;
    let pve = remotes.of(Principal::Agent);
    let timeout = config.request_timeout;
    let mut all = observe(pve, &config.node, timeout, known, clock::now())
        .await
        .map_err(SightError::Node)?;
    for one in &mut all {
        one.lies_on(&targets);
    }
    Ok(Seen {
        all,
        targets,
        unlisted: false,
    })
}

/// The targets alone: they need no node.
pub(crate) async fn look_at_targets(
    config: &Config,
    journal: Option<&Journal>,
) -> Result<Targets, JournalError> {
    let known = match journal {
        Some(journal) => journal.targets().await?,
        None => Vec::new(),
    };
    Ok(targets::look(config, known).await)
}

impl Seen {
    /// What a person should know of them.
    pub(crate) fn findings(&self, config: &Config) -> Vec<Finding> {
        let mut found: Vec<Finding> = self.all.iter().flat_map(Observed::findings).collect();
        found.extend(self.targets.findings(config, clock::now()));
        found
    }

    /// Remembers what was learned.
    pub(crate) async fn note(&self, config: &Config) {
        let now = clock::now();
        note(&config.state_dir, &self.all, now).await;
        targets::note(&config.state_dir, &self.targets.all, now).await;
    }
}

/// The backups of the node.
#[derive(Debug, Default)]
pub(crate) struct Archives {
    pub(crate) found: Vec<ArchiveFacts>,
    /// The storages for backups that did not tell what is on them, with the reason.
    pub(crate) mute: Vec<(StorageId, String)>,
    /// The storages for backups that the node cannot use now: what is on them is out of sight, not gone.
    pub(crate) away: BTreeSet<StorageId>,
    /// Whether nobody could say which storages there are.
    unlisted: bool,
}

impl Archives {
    /// Whether every storage for backups that may be there told what is on it.
    pub(crate) fn is_whole(&self) -> bool {
        self.mute.is_empty() && !self.unlisted
    }

    /// The storages of which it is not known what is on them now.
    pub(crate) fn out_of_sight(&self) -> BTreeSet<StorageId> {
        let mute = self.mute.iter().map(|(id, _)| id);
        mute.chain(&self.away).cloned().collect()
    }
}

/// Whether backups may lie on it. Of one that is not in the list any more nobody knows what it took.
fn may_hold(one: &Observed) -> bool {
    one.takes("backup") || one.config.is_none()
}

/// The backups on the storages that are there. A storage that hangs or refuses costs no more than the patience with it, and
/// is told of.
pub(crate) async fn archives(config: &Config, pve: &Pve, seen: &Seen) -> Archives {
    let patience = patience(config.request_timeout);
    let mut archives = Archives {
        unlisted: seen.unlisted,
        ..Archives::default()
    };
    for one in seen.all.iter().filter(|one| may_hold(one)) {
        let id = &one.look.id;
        match &one.look.answer {
            Answer::Active(true) => {}
            Answer::Active(false) => {
                archives.away.insert(id.clone());
                continue;
            }
            // Somebody said that it goes away, and it went.
            Answer::None(_) if one.config.is_none() && one.look.may_be_away => {
                archives.away.insert(id.clone());
                continue;
            }
            Answer::None(why) => {
                archives.mute.push((id.clone(), why.clone()));
                continue;
            }
            Answer::Undefined => continue,
        }
        let why = match tokio::time::timeout(patience, archives_of(pve, id)).await {
            Ok(Ok(found)) => {
                archives.found.extend(found);
                continue;
            }
            Ok(Err(error)) if !is_late(&error) => format!("its backups cannot be listed: {error}"),
            Ok(Err(_)) | Err(_) => format!(
                "its backups were not listed within {} s",
                patience.as_secs()
            ),
        };
        archives.mute.push((id.clone(), why));
    }
    archives
}
