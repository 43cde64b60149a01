//! Reads what the kit is made of. Whatever cannot be read is taken down as that, and the rest goes on.

use std::collections::{BTreeMap, BTreeSet};

use felhom_engine::storages::Answer;
use felhom_engine::{ArchiveFacts, GuestFingerprint, Principal, Verdict};
use felhom_ids::{GuestKind, KeyFingerprint, StorageId, Vmid, VolumeId};
use felhom_proxmox::Pve;
use felhom_proxmox::pve::guests::{GuestStatus, QemuConfig};
use felhom_proxmox::pve::written::Written;

use super::archives::choose;
use super::facts::{ArchiveFact, Config, DiskFact, Facts, GuestFact, Told};
use crate::clock;
use crate::config::TrustConfig;
use crate::journal::{Journal, JournalError};
use crate::observe::{self, storages as seen};
use crate::perform::Performer;

/// What the kit asks of.
struct Reader<'a> {
    performer: &'a Performer,
    journal: Option<&'a Journal>,
    pve: &'a Pve,
}

/// Reads the box.
///
/// # Errors
/// When the journal cannot be read; what the node does not tell is no error.
pub(crate) async fn gather(
    performer: &Performer,
    journal: Option<&Journal>,
) -> Result<Facts, JournalError> {
    let reader = Reader {
        performer,
        journal,
        pve: performer.remotes().of(Principal::Agent),
    };
    let storages = reader.pve.written_storages().await;
    let storages = storages.map_err(|error| error.to_string());
    let (archives, mut unread) = reader.archives().await;
    let pools = reader.pools().await.unwrap_or_else(|why| {
        unread.push(format!("the pools of the guests could not be read ({why})"));
        BTreeMap::new()
    });
    let mut facts = Facts {
        installation: journal.map(|journal| journal.installation().to_string()),
        made: clock::now(),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        node: performer.config().node.to_string(),
        pve_version: told(reader.pve.version().await).map(|version| version.version),
        fingerprint: reader.fingerprint().await,
        keys: reader.keys(&storages).await?,
        storages,
        interfaces: told(reader.pve.written_interfaces().await),
        disks: reader.disks().await?,
        guests: reader.guests(&archives, &pools).await?,
        unread,
    };
    reader.read_archived(&mut facts).await;
    Ok(facts)
}

fn told<T>(answer: Result<T, felhom_proxmox::Error>) -> Told<T> {
    answer.map_err(|error| error.to_string())
}

impl Reader<'_> {
    async fn fingerprint(&self) -> Told<String> {
        if let TrustConfig::Fingerprint(pinned) = &self.performer.config().trust {
            return Ok(pinned.to_string());
        }
        let all = told(self.pve.certificates().await)?;
        let shown = |name: &str| {
            let mut named = all.iter();
            named.find(|one| one.filename.as_deref() == Some(name))
        };
        shown("pveproxy-ssl.pem")
            .or_else(|| shown("pve-ssl.pem"))
            .and_then(|one| one.fingerprint)
            .map(|one| one.to_string())
            .ok_or_else(|| "the node names none".to_owned())
    }

    /// Who said that the key of a storage is stored off the box; of the key that it has now only.
    async fn keys(
        &self,
        storages: &Told<Vec<Written>>,
    ) -> Result<BTreeMap<String, String>, JournalError> {
        let mut all = BTreeMap::new();
        let Some(journal) = self.journal else {
            return Ok(all);
        };
        for one in storages.as_deref().unwrap_or_default() {
            let id = one.get("storage").unwrap_or_default();
            let (Ok(storage), Some(Ok(key))) = (
                id.parse::<StorageId>(),
                one.get("encryption-key").map(str::parse::<KeyFingerprint>),
            ) else {
                continue;
            };
            let kept = journal.kit(&storage, &key).await?;
            if let Some(stored) = kept.and_then(|kit| kit.stored) {
                let said = format!(
                    "{} said on {} that it is stored off the box",
                    stored.by,
                    clock::utc(stored.at)
                );
                all.insert(id.to_owned(), said);
            }
        }
        Ok(all)
    }

    /// Targets on removable disks, as they are remembered, and the mount units of the node.
    async fn disks(&self) -> Result<Told<Vec<DiskFact>>, JournalError> {
        let mut all = Vec::new();
        if let Some(journal) = self.journal {
            let known = journal.targets().await?.into_iter();
            all.extend(known.map(|target| DiskFact {
                uuid: target.uuid,
                path: target.mount_point,
                serial: target.serial,
                removable: true,
            }));
        }
        let units = match self.pve.mount_units().await {
            Ok(units) => units,
            Err(error) => return Ok(Err(error.to_string())),
        };
        all.extend(units.iter().filter_map(|unit| {
            Some(DiskFact {
                uuid: unit.filesystem()?.to_owned(),
                path: unit.path.trim_end_matches('/').to_owned(),
                serial: None,
                removable: false,
            })
        }));
        Ok(Ok(all))
    }

    /// The archives of all guests, and which storages did not tell theirs.
    async fn archives(&self) -> (Vec<ArchiveFacts>, Vec<String>) {
        let config = self.performer.config();
        let patience = seen::patience(config.request_timeout);
        let all = match seen::storages(self.pve, &config.node, patience).await {
            Ok(all) => all,
            Err(error) => {
                return (
                    Vec::new(),
                    vec![format!("the archives could not be listed: {error}")],
                );
            }
        };
        let (mut there, mut unread) = (Vec::new(), Vec::new());
        let takes = |content: &Vec<String>| content.iter().any(|one| one == "backup");
        for definition in all.definitions.iter().filter(|one| takes(&one.content)) {
            let id = &definition.storage;
            match all.answers.get(id) {
                Some((Answer::Active(true), _)) => there.push(id),
                Some((_, why)) => unread.push(silent(id, why.as_deref())),
                None => unread.push(silent(id, None)),
            }
        }
        let mut found = Vec::new();
        for id in there {
            match tokio::time::timeout(patience, observe::archives_of(self.pve, id)).await {
                Ok(Ok(listed)) => found.extend(listed),
                Ok(Err(error)) => unread.push(silent(id, Some(&error.to_string()))),
                Err(_) => unread.push(silent(id, Some("it did not answer in time"))),
            }
        }
        (found, unread)
    }

    async fn guests(
        &self,
        archives: &[ArchiveFacts],
        pools: &BTreeMap<u32, String>,
    ) -> Result<Told<Vec<GuestFact>>, JournalError> {
        let listed = match observe::guests(self.pve).await {
            Ok(listed) => listed,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let scratch = self.performer.config().restore_test_policy.range();
        let mut all = Vec::new();
        for (kind, guest) in listed {
            if !scratch.contains(&guest.vmid) {
                let pool = pools.get(&guest.vmid.get()).cloned();
                all.push(self.guest(kind, &guest, pool, archives).await?);
            }
        }
        Ok(Ok(all))
    }

    /// The pools of the guests.
    async fn pools(&self) -> Told<BTreeMap<u32, String>> {
        let listed = told(self.pve.resources().await)?.into_iter();
        Ok(listed
            .filter_map(|one| Some((one.vmid?, one.pool?.to_string())))
            .collect())
    }

    async fn guest(
        &self,
        kind: GuestKind,
        guest: &GuestStatus,
        pool: Option<String>,
        archives: &[ArchiveFacts],
    ) -> Result<GuestFact, JournalError> {
        let config = match kind {
            GuestKind::Lxc => told(self.pve.lxc_config(guest.vmid).await).map(Config::Lxc),
            GuestKind::Qemu => told(self.pve.qemu_config(guest.vmid).await).map(Config::Qemu),
        };
        let mut own = Vec::new();
        let who = fingerprint(&config);
        let passed = self.passed(guest.vmid, who.as_ref()).await?;
        for archive in archives.iter().filter(|one| one.vmid == Some(guest.vmid)) {
            if observe::archive_kind(&archive.volid) == kind
                && !self.is_others(archive, who.as_ref()).await?
            {
                own.push(ArchiveFact {
                    volid: archive.volid.clone(),
                    size: archive.size,
                    made_s: archive.ctime,
                    proven_s: passed.get(&archive.volid.to_string()).copied(),
                });
            }
        }
        Ok(GuestFact {
            vmid: guest.vmid.get(),
            kind,
            name: guest.name.clone().unwrap_or_default(),
            running: guest.is_running(),
            selected: observe::is_selected(
                &self.performer.config().schedule.guests,
                kind,
                guest,
                pool.as_deref(),
            ),
            pool,
            config,
            archives: own,
            archived: None,
        })
    }

    /// When each archive of this very guest last passed a restore test; one that failed since has not passed.
    async fn passed(
        &self,
        vmid: Vmid,
        who: Option<&GuestFingerprint>,
    ) -> Result<BTreeMap<String, i64>, JournalError> {
        let Some(journal) = self.journal else {
            return Ok(BTreeMap::new());
        };
        let (mut passed, mut judged) = (BTreeMap::new(), BTreeSet::new());
        // The last test comes first.
        for row in journal.tests(Some(vmid)).await? {
            let verdict = row.report.judgement.verdict;
            let says = matches!(verdict, Verdict::Passed | Verdict::Failed);
            let same = who.is_some_and(|who| row.report.fingerprint.is_of_same_guest(who));
            if !says || !same {
                continue;
            }
            let volid = row.report.volid.to_string();
            if judged.insert(volid.clone()) && verdict == Verdict::Passed {
                passed.insert(volid, row.finished.secs());
            }
        }
        Ok(passed)
    }

    /// Whether the journal knows an archive as one of another guest that had the number before.
    async fn is_others(
        &self,
        archive: &ArchiveFacts,
        who: Option<&GuestFingerprint>,
    ) -> Result<bool, JournalError> {
        let (Some(journal), Some(who)) = (self.journal, who) else {
            return Ok(false);
        };
        let row = journal.backup_of(&archive.volid).await?;
        Ok(row.is_some_and(|row| !row.report.fingerprint.is_of_same_guest(who)))
    }

    /// Reads the configuration inside of each archive that the kit restores.
    async fn read_archived(&self, facts: &mut Facts) {
        let chosen: Vec<Option<VolumeId>> = facts
            .all_guests()
            .iter()
            .map(|guest| choose(facts, guest).map(|choice| choice.main.volid.clone()))
            .collect();
        let Ok(guests) = &mut facts.guests else {
            return;
        };
        for (guest, volid) in guests.iter_mut().zip(chosen) {
            guest.archived = match volid {
                Some(volid) => Some(self.archived(guest.kind, &volid).await),
                None => None,
            };
        }
    }

    async fn archived(&self, kind: GuestKind, volid: &VolumeId) -> Told<Config> {
        match kind {
            GuestKind::Lxc => told(self.pve.extract_lxc_config(volid).await).map(Config::Lxc),
            GuestKind::Qemu => {
                let text = told(self.pve.extract_config(volid).await)?;
                Ok(Config::Qemu(QemuConfig::from_text(&text)))
            }
        }
    }
}

fn silent(id: &StorageId, why: Option<&str>) -> String {
    let why = why.unwrap_or("it did not answer");
    format!("the archives on storage {id} could not be listed ({why})")
}

fn fingerprint(config: &Told<Config>) -> Option<GuestFingerprint> {
    let known = match config.as_ref().ok()? {
        Config::Lxc(config) => observe::guest_config(config),
        Config::Qemu(config) => observe::machine_config(config),
    };
    Some(known.ok()?.fingerprint())
}
