//! The storages of the node beside what is remembered of them: translation for the engine, and what is noted of it.

pub(crate) mod sight;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use felhom_engine::storages::{
    Answer, Attachment, Backing, Sample, Samples, StorageLook, ThinMetadata, attachment,
    durable_id, mount_unchecked, storage_findings,
};
use felhom_engine::{Finding, Timestamp};
use felhom_ids::{NodeName, StorageId};
use felhom_proxmox::pve::disks::ThinPool;
use felhom_proxmox::pve::storage::{StorageConfig, StorageStatus};
use felhom_proxmox::{Error, Pve};

use crate::journal::{Journal, JournalError, KnownStorage};
use crate::observe::storages::{self as seen, Storages};
use crate::targets::{Target, Targets};

/// No more samples are kept than one in this time.
const BETWEEN_SAMPLES: Duration = Duration::from_hours(1);

/// A storage, and all that is known of it.
#[derive(Debug, Clone)]
pub struct Observed {
    /// In the engine's words.
    pub look: StorageLook,
    /// Why the answer is what it is, where it is none or a refusal.
    pub why: Option<String>,
    /// Its definition; `None` when there is none any more.
    pub config: Option<StorageConfig>,
    /// How full it is, by the node's list.
    pub status: Option<StorageStatus>,
    /// The thin pool that it is.
    pub pool: Option<ThinPool>,
    /// What is remembered.
    pub known: Option<KnownStorage>,
    /// The target on a removable disk that it lies on.
    pub target: Option<Target>,
}

/// Looks at the storages that are defined, and for those that were.
///
/// # Errors
/// When the node cannot be asked at all. A storage that does not answer is no error.
pub async fn observe(
    pve: &Pve,
    node: &NodeName,
    request: Duration,
    known: Vec<KnownStorage>,
    now: Timestamp,
) -> Result<Vec<Observed>, Error> {
    let patience = seen::patience(request);
    let mut storages = seen::storages(pve, node, patience).await?;
    let mut known: BTreeMap<StorageId, KnownStorage> =
        known.into_iter().map(|one| (one.id.clone(), one)).collect();
    let definitions = std::mem::take(&mut storages.definitions);
    let mut all = Vec::new();
    for config in definitions {
        let known = known.remove(&config.storage);
        all.push(defined(&mut storages, config, known, now));
    }
    // What is no longer in the list is gone only when this token would see it.
    for (id, known) in known {
        let path = format!("/storage/{id}");
        let held = pve.permissions_at(&path).await?;
        let sees = ["Datastore.Audit", "Datastore.AllocateSpace"]
            .iter()
            .any(|right| held.has(&path, right));
        all.push(undefined(id, known, sees));
    }
    all.sort_by(|one, other| one.look.id.cmp(&other.look.id));
    Ok(all)
}

fn defined(
    storages: &mut Storages,
    config: StorageConfig,
    known: Option<KnownStorage>,
    now: Timestamp,
) -> Observed {
    let id = config.storage.clone();
    let silent = || (Answer::None("it was not asked".to_owned()), None);
    let (answer, why) = storages.answers.remove(&id).unwrap_or_else(silent);
    let status = storages.statuses.remove(&id);
    let backing = seen::backing(&config, storages.filesystem(&config));
    let mut pools = storages.pools.iter();
    let pool = if let Backing::LvmThin { vg, pool } = &backing {
        pools.find(|one| one.vg == *vg && one.lv == *pool).cloned()
    } else {
        None
    };
    let remembered = known.as_ref().and_then(|known| known.durable_id.clone());
    let state = attachment(&answer, Some(&backing), remembered.as_deref());
    let mut samples = match (&known, state) {
        // How full the former one was says nothing about this one, nor about one that is not there.
        (Some(known), Attachment::Attached) => known.samples.clone(),
        _ => Samples::default(),
    };
    if answer == Answer::Active(true)
        && let Some(sample) = status.as_ref().and_then(|status| sample(status, now))
    {
        samples.remember(sample);
    }
    let metadata = pool.as_ref().map(|pool| ThinMetadata {
        used: pool.metadata_used,
        total: pool.metadata_size,
    });
    Observed {
        look: StorageLook {
            id,
            answer,
            backing: Some(backing),
            remembered,
            samples,
            metadata,
            may_be_away: known.as_ref().is_some_and(|known| known.ejected.is_some()),
        },
        why,
        config: Some(config),
        status,
        pool,
        known,
        target: None,
    }
}

fn undefined(id: StorageId, known: KnownStorage, sees: bool) -> Observed {
    let (answer, why) = if sees {
        (Answer::Undefined, "it is not defined".to_owned())
    } else {
        let why = format!(
            "it is not in the list, which may leave it out: the token may not see /storage/{id}"
        );
        (Answer::None(why.clone()), why)
    };
    Observed {
        look: StorageLook {
            id,
            answer,
            backing: None,
            remembered: known.durable_id.clone(),
            samples: Samples::default(),
            metadata: None,
            may_be_away: known.ejected.is_some(),
        },
        why: Some(why),
        config: None,
        status: None,
        pool: None,
        known: Some(known),
        target: None,
    }
}

fn sample(status: &StorageStatus, at: Timestamp) -> Option<Sample> {
    let total = status.total.filter(|total| *total > 0)?;
    let used = status.used?;
    Some(Sample { at, used, total })
}

impl Observed {
    /// Finds the target that it lies on. What root says of that is told as such, so the storage itself is not missed.
    pub fn lies_on(&mut self, targets: &Targets) {
        let path = self
            .config
            .as_ref()
            .and_then(|config| config.path.as_deref());
        self.target = path.and_then(|path| targets.of_path(path)).cloned();
        let told = self
            .target
            .as_ref()
            .is_some_and(|target| target.look.standing != Attachment::Unknown);
        self.look.may_be_away |= told;
    }

    /// Its state, against what is remembered.
    pub fn state(&self) -> Attachment {
        let look = &self.look;
        attachment(
            &look.answer,
            look.backing.as_ref(),
            look.remembered.as_deref(),
        )
    }

    /// What it is; `None` when it is not defined, or of a type that nothing durable is known of.
    pub fn durable_id(&self) -> Option<String> {
        self.look.backing.as_ref().and_then(durable_id)
    }

    /// Whether it takes this content.
    pub fn takes(&self, content: &str) -> bool {
        let config = self.config.as_ref();
        config.is_some_and(|config| config.content.iter().any(|one| one == content))
    }

    /// Whether the node can use it now.
    pub fn is_active(&self) -> bool {
        self.look.answer == Answer::Active(true)
    }

    /// What a person should know of it.
    pub fn findings(&self) -> Vec<Finding> {
        let mut found = storage_findings(&self.look);
        let unchecked = self
            .config
            .as_ref()
            .filter(|config| config.kind == "dir" && !config.disable && !config.must_be_mounted());
        found.extend(unchecked.and_then(|config| {
            mount_unchecked(
                &self.look.id,
                config.path.as_deref()?,
                self.target.is_some(),
            )
        }));
        found
    }

    /// What is to be remembered of it now; `None` where nothing new was learned.
    fn news(&self, now: Timestamp) -> Option<KnownStorage> {
        let state = self.state();
        let mut news = match &self.known {
            Some(known) => known.clone(),
            // First sight is believed of what answers only.
            None if state == Attachment::Attached => KnownStorage {
                id: self.look.id.clone(),
                durable_id: self.durable_id(),
                first_seen: now,
                attached: None,
                ejected: None,
                away: false,
                samples: Samples::default(),
            },
            None => return None,
        };
        if state == Attachment::Attached {
            if news.away {
                // It went and came back: from now on it is missed again.
                (news.ejected, news.away) = (None, false);
            }
            if is_due(news.attached, now) {
                news.attached = Some(now);
                let status = self.status.as_ref();
                if let Some(sample) = status.and_then(|status| sample(status, now)) {
                    news.samples.remember(sample);
                }
            }
        } else if state == Attachment::Detached && news.ejected.is_some() {
            news.away = true;
        }
        (self.known.as_ref() != Some(&news)).then_some(news)
    }
}

fn is_due(last: Option<Timestamp>, now: Timestamp) -> bool {
    last.is_none_or(|last| now < last || now.since(last) >= BETWEEN_SAMPLES)
}

/// Notes what was learned. That it cannot be noted now is no trouble: the next look does.
pub async fn note(directory: &Path, all: &[Observed], now: Timestamp) {
    let news: Vec<_> = all
        .iter()
        .filter_map(|one| Some((one.known.as_ref(), one.news(now)?)))
        .collect();
    if news.is_empty() {
        return;
    }
    if let Err(error) = write(directory, &news).await {
        tracing::debug!(%error, "what was seen of the storages is not remembered");
    }
}

async fn write(
    directory: &Path,
    news: &[(Option<&KnownStorage>, KnownStorage)],
) -> Result<(), JournalError> {
    let Some(journal) = Journal::to_note(directory).await? else {
        return Ok(());
    };
    for (former, storage) in news {
        journal.note_storage(*former, storage).await?;
    }
    Ok(())
}
