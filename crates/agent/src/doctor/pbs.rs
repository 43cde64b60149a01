//! The backup servers of the configuration, looked at for `doctor`, `status` and `pbs snapshots`. Only reads, and a server that
//! cannot be asked is something that is seen, not a failure.

mod definition;

use std::collections::BTreeSet;
use std::time::Duration;

use felhom_engine::pbs::{self, Expected, Kit, Seen, Target};
use felhom_engine::{ErrorClass, Finding, Principal, RemoteError, Timestamp, codes};
use felhom_ids::{BackupGroup, Fingerprint, KeyFingerprint, StorageId, Vmid};
use felhom_proxmox::fetch_leaf;
use felhom_proxmox::pve::storage::StorageConfig;

use crate::clock;
use crate::config::{Config, PbsConfig, TrustConfig};
use crate::journal::{Journal, JournalError};
use crate::observe::{self, Trouble};
use crate::remote::{NoPbs, Remotes, pbs_address};

/// A backup of some terabytes over a slow line takes most of a day; longer than that, nobody is still sending.
const IN_PROGRESS: Duration = Duration::from_hours(24);
/// Seconds are lost on the way; a minute is nobody's way.
const CLOCK: Duration = Duration::from_mins(1);

/// What is known of the box before its backup servers are looked at one by one.
pub(crate) struct Look<'a> {
    pub(crate) config: &'a Config,
    pub(crate) remotes: &'a Remotes,
    pub(crate) journal: Option<&'a Journal>,
    /// The storages as Proxmox VE defines them; `None` where that cannot be read now.
    pub(crate) definitions: Option<Vec<StorageConfig>>,
    /// The groups of the guests that are to be backed up.
    pub(crate) guests: BTreeSet<BackupGroup>,
    /// The box's clock, as the node shows it: by that it dates its backups.
    now: Timestamp,
}

/// One backup server.
#[derive(Debug)]
pub(crate) struct Looked {
    pub(crate) seen: Seen,
    /// The key that backups must be made with: the storage's, else the configured one.
    pub(crate) key: Option<KeyFingerprint>,
    /// What becomes of that key when the box is lost.
    pub(crate) kit: Kit,
    pub(crate) findings: Vec<Finding>,
}

impl<'a> Look<'a> {
    /// Without the node: what it would say stays unknown.
    pub(crate) fn apart(
        config: &'a Config,
        remotes: &'a Remotes,
        journal: Option<&'a Journal>,
    ) -> Self {
        Self {
            config,
            remotes,
            journal,
            definitions: None,
            guests: BTreeSet::new(),
            now: clock::now(),
        }
    }

    /// Asks the node what is the same for every backup server; what it does not say stays unknown.
    pub(crate) async fn begin(
        config: &'a Config,
        remotes: &'a Remotes,
        journal: Option<&'a Journal>,
    ) -> Self {
        let mut look = Self::apart(config, remotes, journal);
        if config.pbs.is_empty() {
            return look;
        }
        let agent = remotes.of(Principal::Agent);
        if let Ok(time) = agent.node_time().await {
            look.now = Timestamp::from_millis(time.time.saturating_mul(1000));
        }
        look.definitions = agent
            .storage_configs()
            .await
            .inspect_err(|error| tracing::debug!(%error, "the storages' definitions are not known"))
            .ok();
        if config.pbs.contains_key(&config.backup.storage)
            && let Ok(guests) = observe::guests(agent).await
        {
            let scratch = config.restore_test_policy.range();
            let ours = |vmid: &Vmid| !scratch.contains(vmid);
            let guests = guests.into_iter().filter(|(_, one)| ours(&one.vmid));
            look.guests = guests
                .map(|(kind, one)| BackupGroup::of_guest(kind, one.vmid))
                .collect();
        }
        look
    }

    /// All of them, in the order of their storages.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub(crate) async fn all(&self) -> Result<Vec<Looked>, JournalError> {
        let mut all = Vec::new();
        for (storage, section) in &self.config.pbs {
            all.push(self.at(storage, section).await?);
        }
        Ok(all)
    }

    /// The definition of a storage in Proxmox VE.
    pub(crate) fn definition(&self, storage: &StorageId) -> Option<&StorageConfig> {
        let all = self.definitions.as_ref()?;
        all.iter().find(|one| one.storage == *storage)
    }

    /// The key that the storage has in Proxmox VE, and the one of the configuration, when both are known and are not the same.
    pub(crate) fn key_conflict(
        &self,
        storage: &StorageId,
        section: &PbsConfig,
    ) -> Option<(KeyFingerprint, KeyFingerprint)> {
        let has = self.definition(storage).and_then(observe::key_of)?;
        section
            .key
            .map(|ours| (has, ours))
            .filter(|(has, ours)| has != ours)
    }

    /// The key that a storage backs up with now, where it is known.
    pub(crate) fn key(&self, storage: &StorageId, section: &PbsConfig) -> Option<KeyFingerprint> {
        let defined = self.definition(storage);
        defined.and_then(observe::key_of).or(section.key)
    }

    /// One of them.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub(crate) async fn at(
        &self,
        storage: &StorageId,
        section: &PbsConfig,
    ) -> Result<Looked, JournalError> {
        let target = observe::target(storage, section);
        let (seen, mute) = self.see(target, section).await;
        let key = self.key(storage, section);
        let kit = kit(self.journal, storage, key).await?;
        let expected = self.expected(storage, section, key, kit);
        let mut findings = pbs::findings(&seen, &expected, self.now);
        findings.extend(unusable(&seen, &expected, section, mute.as_ref()));
        if let Some(all) = &self.definitions {
            findings.extend(definition::differs(&seen.target, section, all));
        }
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        Ok(Looked {
            seen,
            key,
            kit,
            findings,
        })
    }

    async fn see(&self, target: Target, section: &PbsConfig) -> (Seen, Option<NoPbs>) {
        let (listing, maintenance, mute) = match self.remotes.pbs(&target.storage) {
            Ok(server) => {
                let listing = observe::pbs_snapshots(server, &target, None).await;
                let listing = listing.map_err(|Trouble(error)| error);
                let answers = match &listing {
                    Ok(_) => true,
                    Err(error) => error.class.is_lasting(),
                };
                let maintenance = if answers {
                    let told = observe::maintenance(server, &target.datastore).await;
                    told.ok().flatten()
                } else {
                    None
                };
                (listing, maintenance, None)
            }
            Err(why) => {
                let (class, text) = (ErrorClass::Local, why.to_string());
                (Err(RemoteError { class, text }), None, Some(why))
            }
        };
        let is_another = listing
            .as_ref()
            .is_err_and(|error| error.class == ErrorClass::Untrusted);
        let certificate = if is_another {
            shown(section, self.config.request_timeout).await
        } else {
            None
        };
        let seen = Seen {
            target,
            listing,
            maintenance,
            certificate,
        };
        (seen, mute)
    }

    fn expected(
        &self,
        storage: &StorageId,
        section: &PbsConfig,
        key: Option<KeyFingerprint>,
        kit: Kit,
    ) -> Expected {
        let owner = section.owner.as_ref().map(ToString::to_string);
        let defined = self.definition(storage);
        Expected {
            encrypted: section.encrypted,
            key,
            owner: owner.or_else(|| defined.and_then(|one| one.username.clone())),
            groups: if self.config.backup.storage == *storage {
                self.guests.clone()
            } else {
                BTreeSet::new()
            },
            verify_ttl: section.verify_every,
            in_progress: IN_PROGRESS,
            clock: CLOCK,
            certificate: pinned(section),
            kit,
        }
    }
}

fn pinned(section: &PbsConfig) -> Option<Fingerprint> {
    match section.trust {
        TrustConfig::Fingerprint(pinned) => Some(pinned),
        TrustConfig::CaFile(_) | TrustConfig::Insecure => None,
    }
}

/// The certificate that the server shows, whoever it is.
async fn shown(section: &PbsConfig, patience: Duration) -> Option<Fingerprint> {
    let address = pbs_address(section).ok()?;
    let leaf = fetch_leaf(&address, patience).await.ok()?;
    Some(leaf.fingerprint)
}

/// Whether a person said that the kit of this key is stored off the box.
async fn kit(
    journal: Option<&Journal>,
    storage: &StorageId,
    key: Option<KeyFingerprint>,
) -> Result<Kit, JournalError> {
    let Some(key) = key else {
        return Ok(Kit::None);
    };
    let kept = match journal {
        Some(journal) => journal.kit(storage, &key).await?,
        None => None,
    };
    Ok(match kept.and_then(|kit| kit.stored) {
        Some(_) => Kit::Confirmed,
        None => Kit::Unconfirmed,
    })
}

/// That a server cannot be asked, where no other finding says it better.
fn unusable(
    seen: &Seen,
    expected: &Expected,
    section: &PbsConfig,
    mute: Option<&NoPbs>,
) -> Option<Finding> {
    let error = seen.listing.as_ref().err()?;
    let told = error.class == ErrorClass::Forbidden
        || seen.maintenance.is_some()
        || seen.certificate.is_some() && seen.certificate != expected.certificate;
    if told {
        return None;
    }
    let subject = format!("storage {}", seen.target.storage);
    let hint = mute.map_or_else(
        || next_step(&seen.target, section, error.class),
        NoPbs::hint,
    );
    Some(Finding::new(codes::PBS_UNUSABLE, subject, error.text.clone()).hint(hint))
}

/// What to do when a backup server gives this kind of trouble.
pub(crate) fn next_step(target: &Target, section: &PbsConfig, class: ErrorClass) -> String {
    let (storage, token) = (&target.storage, &section.identity.token);
    match class {
        ErrorClass::Unreachable => format!(
            "on the backup server: systemctl status proxmox-backup-proxy; from here {} must lead to it",
            section.address
        ),
        ErrorClass::Untrusted => format!(
            "compare, on the backup server: proxmox-backup-manager cert info; when it is the server's own, write it into \
             `fingerprint` of [pbs.{storage}]; when it is not, somebody stands in between"
        ),
        ErrorClass::Unauthorized => format!(
            "on the backup server: proxmox-backup-manager user list-tokens {}; then the secret of {token} into `{}`",
            token.user(),
            section.identity.secret_file.display()
        ),
        ErrorClass::Forbidden => {
            let mut path = format!("/datastore/{}", target.datastore);
            if !target.namespace.is_root() {
                path = format!("{path}/{}", target.namespace);
            }
            // A shell expands `!` unless it is quoted.
            let grant = |who: &dyn std::fmt::Display| {
                format!(
                    "proxmox-backup-manager acl update '{path}' DatastoreReader --auth-id '{who}'"
                )
            };
            format!(
                "on the backup server, both: {}; {}",
                grant(&token.user()),
                grant(token)
            )
        }
        ErrorClass::NotFound | ErrorClass::Refused => format!(
            "see that datastore `{}` and its namespace are there as [pbs.{storage}] has them: proxmox-backup-manager \
             datastore list",
            target.datastore
        ),
        ErrorClass::Locked => "try again when the other task is done".to_owned(),
        ErrorClass::Garbage | ErrorClass::Local => {
            format!("run it again with `-v`, and look at [pbs.{storage}] of the configuration")
        }
    }
}
