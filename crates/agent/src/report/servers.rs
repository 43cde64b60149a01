//! What is told of each backup server, and what its copies say for a guest's posture.

use felhom_engine::Timestamp;
use felhom_engine::pbs::{OffBoxLook, Target, VerifyStanding, VerifyVerdict, off_box};
use felhom_ids::{BackupGroup, StorageId};
use felhom_protocol::host::Server;
use serde_json::{Value, json};

use crate::clock;
use crate::config::Config;
use crate::doctor::pbs::Looked;
use crate::journal::{Journal, JournalError, VerifyRow};

/// What is told of one server.
#[derive(Debug)]
pub(crate) struct ServerLine {
    target: Target,
    /// Why there is no list.
    error: Option<String>,
    backups: usize,
    groups: usize,
    newest_s: Option<i64>,
    ok: usize,
    failed: usize,
    never: usize,
    unknown: usize,
    /// Our own last verdict, and when.
    last: Option<(VerifyVerdict, Timestamp)>,
}

pub(super) async fn lines(
    config: &Config,
    journal: Option<&Journal>,
    looked: &[Looked],
) -> Result<Vec<ServerLine>, JournalError> {
    let mut lines = Vec::new();
    for one in looked {
        let rows = match journal {
            Some(journal) => journal.verifications(&one.seen.target).await?,
            None => Vec::new(),
        };
        lines.push(ServerLine::of(config, one, rows.first()));
    }
    Ok(lines)
}

/// A guest's copies on the server that is to hold some, else on the first that holds some or could not be asked.
pub(super) fn of_guest(
    config: &Config,
    looked: &[Looked],
    group: &BackupGroup,
    now: Timestamp,
) -> OffBoxLook {
    let may_hold = |one: &&Looked| match &one.seen.listing {
        Ok(listing) => !listing.group(group).is_empty(),
        Err(_) => true,
    };
    let meant = looked
        .iter()
        .find(|one| one.seen.target.storage == config.backup.storage);
    let Some(one) = meant.or_else(|| looked.iter().find(may_hold)) else {
        // Each server of the configuration has been looked at, unless the journal kept that from being done.
        return if looked.len() < config.pbs.len() {
            OffBoxLook::Unseen
        } else {
            OffBoxLook::NotMeant
        };
    };
    match &one.seen.listing {
        Ok(listing) => {
            let ttl = ttl(config, &one.seen.target.storage);
            OffBoxLook::Seen(off_box(listing, group, now, ttl))
        }
        Err(_) => OffBoxLook::Unseen,
    }
}

fn ttl(config: &Config, storage: &StorageId) -> std::time::Duration {
    let section = config.pbs.get(storage);
    section.map_or(std::time::Duration::ZERO, |section| section.verify_every)
}

impl ServerLine {
    fn of(config: &Config, one: &Looked, last: Option<&VerifyRow>) -> Self {
        let mut line = Self {
            target: one.seen.target.clone(),
            error: None,
            backups: 0,
            groups: 0,
            newest_s: None,
            ok: 0,
            failed: 0,
            never: 0,
            unknown: 0,
            last: last.map(|row| (row.report.verdict, row.finished)),
        };
        let listing = match &one.seen.listing {
            Ok(listing) => listing,
            Err(error) => {
                line.error = Some(error.text.clone());
                return line;
            }
        };
        let now = listing.now(clock::now());
        let ttl = ttl(config, &line.target.storage);
        let mut groups = std::collections::BTreeSet::new();
        let mut newest = None;
        for backup in listing.snapshots.iter().filter(|one| one.is_backup()) {
            line.backups = line.backups.saturating_add(1);
            groups.insert(backup.name.group());
            newest = newest.max(Some(backup.name.time()));
            let count = match backup.standing(now, ttl) {
                VerifyStanding::Ok => &mut line.ok,
                VerifyStanding::Failed => &mut line.failed,
                VerifyStanding::Never => &mut line.never,
                VerifyStanding::Unknown => &mut line.unknown,
            };
            *count = count.saturating_add(1);
        }
        line.groups = groups.len();
        line.newest_s = newest.map(|time| now.secs().saturating_sub(time));
        line
    }

    /// In the report's words.
    pub(super) fn told(&self) -> Server {
        let count = |count: usize| {
            let count = u64::try_from(count).unwrap_or(u64::MAX);
            Some(count).filter(|_| self.error.is_none())
        };
        let now = clock::now().secs();
        Server {
            storage: self.target.storage.to_string(),
            error: self.error.clone(),
            backups: count(self.backups),
            verified: count(self.ok),
            failed: count(self.failed),
            newest_s: self.newest_s.map(|age| now.saturating_sub(age)),
        }
    }

    pub(crate) fn view(&self) -> Value {
        json!({
            "storage": self.target.storage, "datastore": self.target.datastore, "namespace": self.target.namespace,
            "error": self.error, "backups": self.backups, "groups": self.groups, "newest_backup_s": self.newest_s,
            "verified": { "ok": self.ok, "failed": self.failed, "never": self.never, "unknown": self.unknown },
            "last_verify": self.last.map(|(verdict, at)| json!({ "verdict": verdict, "at_ms": at })),
        })
    }

    pub(crate) fn text(&self) -> String {
        let target = &self.target;
        let last = self.last.map_or_else(String::new, |(verdict, at)| {
            format!("; our last verify {verdict}, {}", clock::local(at))
        });
        if let Some(error) = &self.error {
            return format!("backup server {target}: cannot be asked: {error}{last}");
        }
        let Some(newest) = self.newest_s else {
            return format!("backup server {target}: no backup{last}");
        };
        let counts = [
            (self.ok, "verified"),
            (self.failed, "FAILED their verify"),
            (self.never, "never verified"),
            (self.unknown, "verified too long ago"),
        ];
        let counts = counts.into_iter().filter(|(count, _)| *count > 0);
        let told: Vec<String> = counts
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        format!(
            "backup server {target}: {} backups of {} groups, the newest {}; {}{last}",
            self.backups,
            self.groups,
            match newest {
                ..0 => "dated in the future".to_owned(),
                _ => format!("{} old", clock::age(newest)),
            },
            told.join(", ")
        )
    }
}
