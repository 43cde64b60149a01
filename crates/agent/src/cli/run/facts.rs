//! What a pass is planned from: the guests as the node lists them, their archives, and what the journal knows of both.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use felhom_engine::{
    ArchiveFacts, BackupVerdict, GuestFingerprint, PassFacts, PassGuest, PassServer, Principal,
    RefusedWork, Timestamp, Verdict, Work,
};
use felhom_ids::{GuestKind, StorageId, Vmid, VolumeId};
use felhom_proxmox::Pve;
use felhom_proxmox::pve::guests::GuestStatus;

use super::work::Done;
use crate::cli::context::{journal_failure, pve_failure};
use crate::clock;
use crate::exit::Failure;
use crate::journal::{Journal, JournalError, Tried};
use crate::observe;
use crate::perform::Performer;
use crate::storages::sight::{self, SightError};

/// What is dated further ahead than this was dated by a clock that was wrong.
const FUTURE: Duration = Duration::from_hours(6);
/// How far the node's clock and ours may be apart; they are usually the same one.
const APART_S: i64 = 600;

/// What a pass remembers between two plans.
pub(super) struct Known {
    /// What it has begun.
    pub(super) begun: BTreeSet<Work>,
    windows: bool,
    fresh: BTreeMap<Vmid, StorageId>,
    /// Who the guests are; read once a pass, and again after a job about one.
    who: BTreeMap<Vmid, GuestFingerprint>,
}

/// What the journal says of the guests' jobs.
#[derive(Default)]
struct Tries {
    backups: Vec<Tried<BackupVerdict>>,
    tests: Vec<Tried<Verdict>>,
    /// Of the archives that are listed, as far as jobs of ours made them.
    made: BTreeMap<VolumeId, Tried<BackupVerdict>>,
    refused: Vec<RefusedWork>,
    stuck: Vec<Work>,
}

impl Known {
    /// Nothing yet, but of which guests this pass has a good backup from an interrupted job.
    pub(super) fn new(windows: bool, fresh: BTreeMap<Vmid, StorageId>) -> Self {
        Self {
            begun: BTreeSet::new(),
            windows,
            fresh,
            who: BTreeMap::new(),
        }
    }

    /// Takes notice of what was done.
    pub(super) fn learn(&mut self, done: &Done) {
        if let (Work::Backup { vmid }, Some(storage)) = (&done.work, &done.good_on) {
            self.fresh.insert(*vmid, storage.clone());
        }
        if let Work::Prune { vmid, .. } = &done.work {
            self.fresh.remove(vmid);
        }
    }

    /// Has a guest looked at again.
    pub(super) fn forget(&mut self, vmid: Vmid) {
        self.who.remove(&vmid);
    }

    pub(super) async fn gather(
        &mut self,
        performer: &Performer,
        journal: Option<&Journal>,
    ) -> Result<PassFacts, Failure> {
        let config = performer.config();
        let now = clock::now();
        let pve = performer.remotes().of(Principal::Agent);
        let told = |error| pve_failure(&error);
        let listed = observe::guests(pve).await.map_err(told)?;
        let pools = pools(pve).await.map_err(told)?;
        let failure = |error| journal_failure(&error);
        let seen = sight::look(config, performer.remotes(), journal).await;
        let seen = seen.map_err(|error| match error {
            SightError::Node(error) => told(error),
            SightError::Journal(error) => failure(error),
        })?;
        // A storage that hangs or refuses keeps nobody from the others; the report tells of it.
        let archives = newest(sight::archives(config, pve, &seen).await.found);
        let tries = tries(journal, now, &archives).await.map_err(failure)?;
        let scratch = config.restore_test_policy.range();
        let mut guests = Vec::new();
        for (kind, status) in &listed {
            if !scratch.contains(&status.vmid) {
                self.identify(pve, status.vmid, &tries).await;
            }
            let pool = pools.get(&status.vmid).cloned();
            guests.push(self.guest(*kind, status, pool, &tries, &archives));
        }
        Ok(PassFacts {
            now,
            clock: odd_clock(pve, now, &archives).await,
            guests,
            servers: servers(performer, journal).await.map_err(failure)?,
            scratch,
            tests: config.restore_tests,
            prunes: !config.keep.keeps_all(),
            refused: tries.refused,
            stuck: tries.stuck,
            begun: self.begun.clone(),
            windows: self.windows,
        })
    }

    /// Asks who a guest is, where the journal knows something of its VMID.
    async fn identify(&mut self, pve: &Pve, vmid: Vmid, tries: &Tries) {
        let named = tries.backups.iter().any(|one| one.vmid == vmid)
            || tries.tests.iter().any(|one| one.vmid == vmid);
        if !named || self.who.contains_key(&vmid) {
            return;
        }
        if let Ok(Ok(config)) = observe::either_config(pve, vmid).await {
            self.who.insert(vmid, config.fingerprint());
        }
    }

    fn guest(
        &self,
        kind: GuestKind,
        status: &GuestStatus,
        pool: Option<String>,
        tries: &Tries,
        archives: &BTreeMap<Vmid, Vec<ArchiveFacts>>,
    ) -> PassGuest {
        let vmid = status.vmid;
        let who = self.who.get(&vmid);
        // Where nobody can say who it is, what is known of the VMID counts: it is not made into a guest without a backup.
        let same = |found: &GuestFingerprint| who.is_none_or(|who| who.is_of_same_guest(found));
        let backups = tries.backups.iter();
        let backups: Vec<_> = backups.filter(|one| one.vmid == vmid).collect();
        let tests = tries.tests.iter();
        let tests: Vec<_> = tests.filter(|one| one.vmid == vmid).collect();
        let good = |one: &&&Tried<BackupVerdict>| {
            one.verdict == BackupVerdict::Good && same(&one.fingerprint)
        };
        let bad = |volid: &VolumeId| {
            let made = tries.made.get(volid);
            made.is_some_and(|one| one.verdict != BackupVerdict::Good || !same(&one.fingerprint))
        };
        let latest = clock::now().plus(FUTURE).secs();
        let newest = archives.get(&vmid).and_then(|all| {
            // What a wrong clock has dated is not the newest for ever.
            let mut believed = all.iter().filter(|one| one.ctime <= latest);
            let archive = believed.find(|one| !bad(&one.volid));
            archive.map(|one| one.volid.clone())
        });
        let said = |verdict| matches!(verdict, Verdict::Passed | Verdict::Failed);
        PassGuest {
            vmid,
            kind,
            template: status.template,
            tags: tags(status.tags.as_deref()),
            pool,
            good: backups.iter().filter(good).map(|one| one.ended).collect(),
            // Of a backup that failed early it is not known who it was of.
            failed: backups
                .iter()
                .filter(|one| one.verdict != BackupVerdict::Good)
                .map(|one| one.ended)
                .collect(),
            archive: newest,
            proofs: tests
                .iter()
                .filter(|one| said(one.verdict) && same(&one.fingerprint))
                .filter_map(|one| Some((one.ended, one.verdict, one.volid.clone()?)))
                .collect(),
            errors: tests
                .iter()
                .filter(|one| !said(one.verdict))
                .map(|one| one.ended)
                .collect(),
            strangers: tests
                .iter()
                .filter(|one| said(one.verdict) && !same(&one.fingerprint))
                .filter_map(|one| one.volid.clone())
                .collect(),
            fresh: self.fresh.get(&vmid).cloned(),
        }
    }
}

async fn tries(
    journal: Option<&Journal>,
    now: Timestamp,
    archives: &BTreeMap<Vmid, Vec<ArchiveFacts>>,
) -> Result<Tries, JournalError> {
    let Some(journal) = journal else {
        return Ok(Tries::default());
    };
    let until = now.plus(FUTURE);
    let listed = archives.values().flatten().map(|one| &one.volid);
    Ok(Tries {
        backups: journal.backups_tried(until).await?,
        tests: journal.tests_tried(until).await?,
        made: journal.backups_of(listed).await?,
        refused: journal.refused_work(until).await?,
        stuck: stuck(journal).await?,
    })
}

/// What jobs were to do that nobody goes on with unasked any more: another one would come to the same.
async fn stuck(journal: &Journal) -> Result<Vec<Work>, JournalError> {
    let unfinished = journal.unfinished().await?;
    let stuck = unfinished.iter().filter(|one| one.is_stuck());
    Ok(stuck.filter_map(|one| Work::of(&one.job)).collect())
}

async fn servers(
    performer: &Performer,
    journal: Option<&Journal>,
) -> Result<Vec<PassServer>, JournalError> {
    let mut servers = Vec::new();
    for storage in performer.config().pbs.keys() {
        let passes = match journal {
            Some(journal) => journal.server_passes(storage).await?,
            None => Vec::new(),
        };
        let of = |wanted: bool| {
            let passes = passes.iter().filter(move |(_, good)| *good == wanted);
            passes.map(|(ended, _)| *ended).collect()
        };
        servers.push(PassServer {
            storage: storage.clone(),
            verified: of(true),
            failed: of(false),
        });
    }
    Ok(servers)
}

/// The pools of guests, as far as the token sees them.
async fn pools(pve: &Pve) -> Result<BTreeMap<Vmid, String>, felhom_proxmox::Error> {
    let resources = pve.resources().await?.into_iter();
    let pool = |one: felhom_proxmox::pve::cluster::Resource| {
        let vmid = Vmid::new(one.vmid?).ok()?;
        Some((vmid, one.pool?.to_string()))
    };
    Ok(resources.filter_map(pool).collect())
}

/// The archives of each guest, the newest first.
fn newest(archives: Vec<ArchiveFacts>) -> BTreeMap<Vmid, Vec<ArchiveFacts>> {
    let mut by_guest: BTreeMap<Vmid, Vec<ArchiveFacts>> = BTreeMap::new();
    for archive in archives {
        if let Some(vmid) = archive.vmid {
            by_guest.entry(vmid).or_default().push(archive);
        }
    }
    for all in by_guest.values_mut() {
        all.sort_by_key(|archive| std::cmp::Reverse(archive.ctime));
    }
    by_guest
}

fn tags(text: Option<&str>) -> Vec<String> {
    let parts = text.unwrap_or_default().split([';', ',', ' ']);
    let parts = parts.filter(|part| !part.is_empty());
    parts.map(str::to_owned).collect()
}

/// Why the clocks cannot be believed: ours and the node's disagree, or archives are dated in the future.
async fn odd_clock(
    pve: &Pve,
    now: Timestamp,
    archives: &BTreeMap<Vmid, Vec<ArchiveFacts>>,
) -> Option<String> {
    if let Ok(time) = pve.node_time().await {
        let apart = time.time.saturating_sub(now.secs());
        if apart.abs() > APART_S {
            return Some(format!("the node's is {apart} s ahead of ours"));
        }
    }
    let latest = now.plus(FUTURE).secs();
    let ahead = archives.values().flatten().find(|one| one.ctime > latest)?;
    Some(format!("`{}` is dated in the future", ahead.volid))
}
