//! One guest: whether its data would come back today, and why.

use std::collections::{BTreeMap, BTreeSet};

use felhom_engine::volumes::JudgedVolumes;
use felhom_engine::watch::{GuestPast, guest_findings};
use felhom_engine::{
    ArchiveFacts, BackupVerdict, Finding, GuestConfig, GuestFingerprint, GuestRecord, Mount,
    MountSource, Posture, PostureLimits, Timestamp, codes, posture_within,
};
use felhom_ids::{BackupGroup, GuestKind, StorageId, Vmid, VolumeId};
use felhom_protocol::host::{Backup, Guest, Proof};
use felhom_proxmox::pve::guests::GuestStatus;
use felhom_proxmox::{Error, Pve};

use super::{former, parts, servers};
use crate::clock;
use crate::config::Config;
use crate::doctor::pbs::Looked;
use crate::journal::{GuestHistory, Journal, JournalError, TestRow, Tried};
use crate::observe;
use crate::storages::sight::Archives;
use crate::volumes::{Known, inventory, known};

/// What is dated further ahead than this was dated by a clock that was wrong.
const FUTURE_S: i64 = 6 * 3600;

/// What is known before the guests are looked at one by one.
pub(super) struct Looking<'a> {
    pve: &'a Pve,
    config: &'a Config,
    journal: Option<&'a Journal>,
    servers: &'a [Looked],
    archives: Vec<ArchiveFacts>,
    /// The guests of the last report, where a storage that did not tell what is on it may hold what that one knew of.
    former: Vec<Guest>,
    /// What the journal knows of these archives.
    made: BTreeMap<VolumeId, Tried<BackupVerdict>>,
    /// Whether every storage for backups told what is on it.
    list_is_whole: bool,
    /// The storages whose backups are out of sight.
    out_of_sight: BTreeSet<StorageId>,
    /// The node's time and ours of the same moment.
    node_now: i64,
    now: i64,
    limits: PostureLimits,
    pools: BTreeMap<u32, String>,
}

/// Why a guest could not be looked at.
enum Unseen {
    Node(Error),
    Journal(JournalError),
}

impl From<Error> for Unseen {
    fn from(error: Error) -> Self {
        Self::Node(error)
    }
}

impl From<JournalError> for Unseen {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}

impl<'a> Looking<'a> {
    pub(super) fn new(
        look: &super::Look<'a>,
        archives: Archives,
        former: Vec<Guest>,
        made: BTreeMap<VolumeId, Tried<BackupVerdict>>,
        servers: &'a [Looked],
        pools: BTreeMap<u32, String>,
    ) -> Self {
        Self {
            pve: look.pve,
            config: look.config,
            journal: look.journal,
            servers,
            former,
            made,
            list_is_whole: archives.is_whole(),
            out_of_sight: archives.out_of_sight(),
            archives: archives.found,
            node_now: look.node_now,
            now: look.began,
            limits: look.limits(),
            pools,
        }
    }

    /// The guest, what a person should know of it, and why it could not be looked at, if it could not.
    pub(super) async fn at(
        &self,
        kind: GuestKind,
        status: &GuestStatus,
    ) -> (Guest, Vec<Finding>, Option<String>) {
        let mut guest = Guest {
            vmid: status.vmid.get(),
            kind: kind.to_string(),
            name: status.name.clone().unwrap_or_default(),
            running: status.is_running(),
            selected: observe::is_selected(
                &self.config.schedule.guests,
                kind,
                status,
                self.pools.get(&status.vmid.get()).map(String::as_str),
            ),
            posture: parts::posture(Posture::Unknown),
            reasons: Vec::new(),
            newest_archive_s: None,
            last_backup: None,
            good_backup_s: None,
            last_proof: None,
        };
        let seen = self.see(kind, status.vmid, &mut guest).await;
        let why = match seen {
            Ok(found) => return (guest, found, None),
            Err(Unseen::Node(error)) => observe::remote_error(&error).text,
            Err(Unseen::Journal(error)) => error.to_string(),
        };
        guest.posture = parts::posture(Posture::Unknown);
        guest.reasons = vec![format!("it could not be looked at: {why}")];
        (guest, Vec::new(), Some(why))
    }

    async fn see(
        &self,
        kind: GuestKind,
        vmid: Vmid,
        guest: &mut Guest,
    ) -> Result<Vec<Finding>, Unseen> {
        let stored = self.stored(kind, vmid).await?;
        let age = self.newest(vmid, &stored.fingerprint());
        let recalled = self.recalled(guest);
        let newest = age.into_iter().chain(recalled).min();
        guest.newest_archive_s = newest.map(|age| self.now.saturating_sub(age));
        let path = format!("/vms/{vmid}");
        let held = self.pve.permissions_at(&path).await?;
        let shortened = !self.list_is_whole || !held.has(&path, "VM.Backup");
        let past = match self.journal {
            Some(journal) => {
                let until = Timestamp::from_secs(self.now.saturating_add(FUTURE_S));
                let who = stored.fingerprint();
                journal.guest_history(vmid, &who, until).await?
            }
            None => GuestHistory::default(),
        };
        guest.last_backup = past.last_backup.as_ref().map(|row| Backup {
            verdict: row.report.verdict.as_str().to_owned(),
            ended_s: row.finished.secs(),
            size: row.report.size,
            volid: row.report.volid.as_ref().map(ToString::to_string),
        });
        guest.good_backup_s = past.last_good.map(Timestamp::secs);
        guest.last_proof = past.last_proof.as_ref().map(proof);
        let mut record = self.record(vmid, &stored, &past, age, shortened).await?;
        // Beside an older one that is seen, a newer one that is away is the newest.
        let away = self.out_of_sight(&record, &past);
        let unseen = away.into_iter().chain(recalled).min();
        record.newest_archive_s = age.map(|age| unseen.map_or(age, |unseen| age.min(unseen)));
        record.newer_may_be_unseen = !self.list_is_whole && unseen.is_none();
        let (posture, reasons) = posture_within(&record, self.limits);
        (guest.posture, guest.reasons) = (parts::posture(posture), reasons);
        let mut found = Vec::new();
        if guest.selected && record.hot_outside > 0 {
            let detail = format!("{} hot volume(s) are in no backup", record.hot_outside);
            let subject = format!("guest {vmid}");
            let lost = Finding::new(codes::VOLUME_HOT_NOT_IN_BACKUP, subject, detail);
            found.push(lost.hint(format!("felhom-agent volumes plan {vmid}")));
        }
        let past = self.past(vmid, guest.selected, &past, &record, unseen);
        found.extend(guest_findings(&past, self.limits));
        Ok(found)
    }

    /// What the journal knows of an archive.
    fn known(&self, archive: &ArchiveFacts) -> Option<&Tried<BackupVerdict>> {
        self.made.get(&archive.volid)
    }

    /// Whether a backup of a VMID is of a guest that had it before.
    fn is_of_earlier(&self, vmid: Vmid, who: &GuestFingerprint) -> bool {
        let mut all = self.archives.iter().filter(|one| one.vmid == Some(vmid));
        all.any(|one| {
            let known = self.known(one);
            known.is_some_and(|tried| !tried.fingerprint.is_of_same_guest(who))
        })
    }

    /// Age of the newest backup of a guest. What a wrong clock has dated is the newest only when there is no other; what we know
    /// to be no backup, or one of another guest that had the VMID, is none.
    fn newest(&self, vmid: Vmid, who: &GuestFingerprint) -> Option<i64> {
        let none = |one: &&ArchiveFacts| {
            self.known(one).is_some_and(|tried| {
                tried.verdict != BackupVerdict::Good || !tried.fingerprint.is_of_same_guest(who)
            })
        };
        let all = self
            .archives
            .iter()
            .filter(|one| one.vmid == Some(vmid) && !none(one));
        let ages = all.map(|one| self.node_now.saturating_sub(one.ctime));
        // The oldest of the future comes last.
        ages.min_by_key(|age| (*age < -FUTURE_S, *age))
    }

    async fn stored(&self, kind: GuestKind, vmid: Vmid) -> Result<GuestConfig, Error> {
        let stored = match kind {
            GuestKind::Lxc => {
                let stored = self.pve.lxc_config(vmid).await?;
                observe::guest_config(&stored)
            }
            GuestKind::Qemu => {
                let stored = self.pve.qemu_config(vmid).await?;
                observe::machine_config(&stored)
            }
        };
        Ok(stored.unwrap_or_default())
    }

    /// The guest's Docker volumes, as far as its engine was heard.
    async fn judged(
        &self,
        vmid: Vmid,
        config: &GuestConfig,
    ) -> Result<Option<JudgedVolumes>, JournalError> {
        let known = known(self.journal, vmid, &config.fingerprint()).await?;
        let Known::Report(kept) = known else {
            return Ok(None);
        };
        let inventory = inventory(&kept.report, kept.taken);
        let policy = &self.config.volumes;
        Ok(Some(JudgedVolumes::judge(vmid, config, &inventory, policy)))
    }

    async fn record(
        &self,
        vmid: Vmid,
        config: &GuestConfig,
        past: &GuestHistory,
        newest_archive_s: Option<i64>,
        list_may_be_shortened: bool,
    ) -> Result<GuestRecord, JournalError> {
        let judged = self.judged(vmid, config).await?;
        let outside = |mount: &&Mount| {
            let backed_up = mount.backup && matches!(mount.source, MountSource::Volume(_));
            let meant = |judged: &JudgedVolumes| judged.is_meant_outside(&mount.key, &mount.path);
            mount.key != "rootfs" && !backed_up && !judged.as_ref().is_some_and(meant)
        };
        let group = BackupGroup::of_guest(config.kind, vmid);
        Ok(GuestRecord {
            newest_archive_s,
            list_may_be_shortened,
            newer_may_be_unseen: false,
            of_earlier_guest: self.is_of_earlier(vmid, &config.fingerprint()),
            away: past
                .good_volid
                .as_ref()
                .map(VolumeId::storage)
                .filter(|id| self.out_of_sight.contains(*id))
                .cloned(),
            last_backup: past.last_backup.as_ref().map(|row| row.report.verdict),
            last_proof: past
                .last_proof
                .as_ref()
                .map(|row| (row.report.judgement.verdict, self.age(row))),
            kind: config.kind,
            outside: config.mounts.iter().filter(outside).count(),
            hot_outside: judged.as_ref().map_or(0, JudgedVolumes::hot_outside),
            bulk_uncovered: judged.as_ref().map_or(0, JudgedVolumes::bulk_uncovered),
            off_box: servers::of_guest(self.config, self.servers, &group, clock::now()),
        })
    }

    fn past(
        &self,
        vmid: Vmid,
        selected: bool,
        past: &GuestHistory,
        record: &GuestRecord,
        unseen: Option<i64>,
    ) -> GuestPast {
        let first = |reasons: &[String]| reasons.first().cloned();
        let proof = past.last_proof.as_ref();
        GuestPast {
            vmid,
            selected,
            tested: self.config.restore_tests,
            last_backup: past
                .last_backup
                .as_ref()
                .map(|row| (row.report.verdict, first(&row.report.reasons))),
            refusals: (past.refusals, past.refused.clone()),
            newest_archive_s: record
                .newest_archive_s
                .or(unseen)
                .filter(|_| !record.newer_may_be_unseen),
            last_proof: proof.map(|row| {
                let judgement = &row.report.judgement;
                (judgement.verdict, self.age(row), first(&judgement.reasons))
            }),
            provable_s: past.first_good.map(|at| self.now.saturating_sub(at.secs())),
            errors: past.errors,
            error: past
                .last_error
                .as_ref()
                .and_then(|row| first(&row.report.judgement.reasons)),
        }
    }

    /// Age of the newest backup that the last report knew of, while nobody can say that it is gone.
    fn recalled(&self, guest: &Guest) -> Option<i64> {
        let former = self.former.iter().find(|one| former::is_same(one, guest))?;
        let age = self.now.saturating_sub(former.newest_archive_s?);
        Some(age).filter(|age| *age >= -FUTURE_S)
    }

    /// Age of the last good backup where it is out of sight.
    fn out_of_sight(&self, record: &GuestRecord, past: &GuestHistory) -> Option<i64> {
        let good = past.last_good.filter(|_| record.away.is_some())?;
        Some(self.now.saturating_sub(good.secs()))
    }

    fn age(&self, row: &TestRow) -> i64 {
        self.now.saturating_sub(row.finished.secs()).max(0)
    }
}

/// That a backup is dated so far ahead that a clock was wrong.
pub(super) fn from_future(archives: &[ArchiveFacts], node_now: i64) -> Option<Finding> {
    let latest = node_now.saturating_add(FUTURE_S);
    let ahead: Vec<_> = archives.iter().filter(|one| one.ctime > latest).collect();
    let first = ahead.first()?;
    let days = first.ctime.saturating_sub(node_now) / 86_400;
    let detail = format!(
        "{} backup(s) are dated in the future, `{}` by {days} days; nothing is pruned while they are there",
        ahead.len(),
        first.volid
    );
    let finding = Finding::new(codes::ARCHIVE_FROM_FUTURE, "backups", detail);
    Some(
        finding
            .hint("timedatectl; make another backup of that guest, then remove this one as root"),
    )
}

fn proof(row: &TestRow) -> Proof {
    let judgement = &row.report.judgement;
    Proof {
        verdict: judgement.verdict.as_str().to_owned(),
        evidence: judgement.level.map(|level| level.to_string()),
        ended_s: row.finished.secs(),
        rto_ms: row.report.rto_ms,
        volid: row.report.volid.to_string(),
    }
}
