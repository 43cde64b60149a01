//! What a look at a backup server says: keys, owners, verify states, clocks. Nothing here asks it for anything.

use std::collections::BTreeSet;
use std::time::Duration;

use felhom_ids::{BackupGroup, Fingerprint, KeyFingerprint};

use super::facts::{Encryption, Listing, Snapshot, Target, VerifyStanding};
use crate::finding::{Code, Finding, codes};
use crate::outcome::{ErrorClass, RemoteError};
use crate::time::Timestamp;

/// Whether the recovery kit is known to be stored where the loss of the box does not reach it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kit {
    /// A person said so.
    Confirmed,
    /// Nobody said so yet.
    Unconfirmed,
    /// There is no key of ours, so there is no kit.
    None,
}

/// What was seen of one backup server through one storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Where.
    pub target: Target,
    /// The snapshots of the namespace, or why they could not be listed.
    pub listing: Result<Listing, RemoteError>,
    /// The maintenance of the datastore, as the server words it: `offline`, `read-only …`.
    pub maintenance: Option<String>,
    /// The certificate that the server shows.
    pub certificate: Option<Fingerprint>,
}

/// What should be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Whether the policy wants every backup encrypted.
    pub encrypted: bool,
    /// The key that the storage has now.
    pub key: Option<KeyFingerprint>,
    /// The token or user that the storage backs up as.
    pub owner: Option<String>,
    /// Groups that should hold a backup.
    pub groups: BTreeSet<BackupGroup>,
    /// How long a verify is believed.
    pub verify_ttl: Duration,
    /// How long a backup may be in progress.
    pub in_progress: Duration,
    /// By how much the clocks may differ.
    pub clock: Duration,
    /// The certificate that was known.
    pub certificate: Option<Fingerprint>,
    /// The recovery kit.
    pub kit: Kit,
}

/// What a person should know of it. One finding a group and code, however many snapshots there are.
pub fn findings(seen: &Seen, expected: &Expected, now: Timestamp) -> Vec<Finding> {
    let mut found = of_server(seen, expected, now);
    let listing = match &seen.listing {
        Ok(listing) => listing,
        Err(error) => {
            found.extend(unlisted(seen, error));
            return found;
        }
    };
    if let Some(why) = listing.sight.shortened() {
        let detail = format!("the list of snapshots proves nothing: {why}");
        let hint = "the same `felhom-agent enroll pbs …` as at first grants both user and token `DatastoreReader`";
        found.push(
            Finding::new(codes::LIST_MAY_BE_SHORTENED, storage(&seen.target), detail).hint(hint),
        );
    }
    let now = listing.now(now);
    let listed = listing.snapshots.iter().map(|one| one.name.group());
    let groups: BTreeSet<&BackupGroup> = listed.chain(&expected.groups).collect();
    let mut by_group = by_group(listing);
    for group in groups {
        let look = Group {
            target: &seen.target,
            name: group,
            all: by_group.remove(group).unwrap_or_default(),
            expected,
            now,
        };
        found.extend(look.findings(listing));
    }
    found
}

/// All groups at once, each newest first: going through the list once for each takes too long when there are many.
fn by_group(listing: &Listing) -> std::collections::BTreeMap<&BackupGroup, Vec<&Snapshot>> {
    let mut groups = std::collections::BTreeMap::<&BackupGroup, Vec<&Snapshot>>::new();
    for one in &listing.snapshots {
        groups.entry(one.name.group()).or_default().push(one);
    }
    for all in groups.values_mut() {
        all.sort_by_key(|one| std::cmp::Reverse(one.name.time()));
    }
    groups
}

fn storage(target: &Target) -> String {
    format!("storage {}", target.storage)
}

fn of_server(seen: &Seen, expected: &Expected, now: Timestamp) -> Vec<Finding> {
    let mut found = Vec::new();
    let subject = storage(&seen.target);
    let id = &seen.target.storage;
    if let (Some(shown), Some(known)) = (seen.certificate, expected.certificate)
        && shown != known
    {
        let detail = format!("it shows {shown}, and {known} was known");
        let hint = format!(
            "compare, on the backup server: proxmox-backup-manager cert info; when it is the server's own: pvesm set {id} \
             --fingerprint {shown}, and the same into `fingerprint` of [pbs.{id}]; when it is not, somebody stands in between"
        );
        let code = codes::PBS_CERTIFICATE_CHANGED;
        found.push(Finding::new(code, &subject, detail).hint(hint));
    }
    if let Some(mode) = &seen.maintenance {
        let detail = format!(
            "the datastore `{}` is in maintenance: {mode}",
            seen.target.datastore
        );
        let hint = format!(
            "ask its admin; when nobody works on it any more, there: proxmox-backup-manager datastore update {} --delete maintenance-mode",
            seen.target.datastore
        );
        let code = codes::DATASTORE_MAINTENANCE;
        found.push(Finding::new(code, &subject, detail).hint(hint));
    }
    let theirs = seen
        .listing
        .as_ref()
        .ok()
        .and_then(|list| list.server_now_s);
    if let Some(theirs) = theirs {
        let ahead = theirs.saturating_sub(now.secs());
        if Duration::from_secs(ahead.unsigned_abs()) > expected.clock {
            let way = if ahead > 0 { "ahead of" } else { "behind" };
            let detail = format!(
                "the server's clock is {} s {way} ours",
                ahead.unsigned_abs()
            );
            let hint = "on both: timedatectl status; chronyc tracking";
            found.push(Finding::new(codes::PBS_CLOCK_OFF, &subject, detail).hint(hint));
        }
    }
    if expected.kit == Kit::Unconfirmed {
        let detail = "the key to every backup there is on this box, and nobody said that the recovery kit is stored \
                      elsewhere";
        let hint = format!(
            "store page and key file off the box, and say so: felhom-agent pbs kit --storage {id} --stored-by NAME"
        );
        let code = codes::RECOVERY_KIT_UNCONFIRMED;
        found.push(Finding::new(code, &subject, detail).hint(hint));
    }
    found
}

/// The list could not be had at all. That a server is out of reach is told where the storages are.
fn unlisted(seen: &Seen, error: &RemoteError) -> Option<Finding> {
    if error.class != ErrorClass::Forbidden {
        return None;
    }
    let detail = format!("the list of snapshots is refused: {error}");
    let hint = "the same `felhom-agent enroll pbs …` as at first grants both user and token `DatastoreReader`";
    Some(Finding::new(codes::LIST_MAY_BE_SHORTENED, storage(&seen.target), detail).hint(hint))
}

/// One group of the list.
struct Group<'a> {
    target: &'a Target,
    name: &'a BackupGroup,
    /// Newest first.
    all: Vec<&'a Snapshot>,
    expected: &'a Expected,
    now: Timestamp,
}

impl Group<'_> {
    fn finding(&self, code: Code, detail: String, hint: String) -> Finding {
        let subject = format!("backups {} on {}", self.name, self.target.storage);
        Finding::new(code, subject, detail).hint(hint)
    }

    fn findings(&self, listing: &Listing) -> Vec<Finding> {
        let backups: Vec<&Snapshot> = self.all.iter().copied().filter(|s| s.is_backup()).collect();
        let mut found = Vec::new();
        found.extend(self.unfinished());
        let Some(newest) = backups.first() else {
            let may_be_hidden = listing.sight.shortened().is_some();
            if self.expected.groups.contains(self.name) && !may_be_hidden {
                found.push(self.empty());
            }
            return found;
        };
        if self.expected.encrypted {
            found.extend(self.encryption(&backups));
        }
        found.extend(self.key(newest));
        found.extend(self.owner(newest));
        found.extend(self.verified(&backups));
        found
    }

    fn empty(&self) -> Finding {
        let unfinished = self.all.len();
        let detail = match unfinished {
            0 => "the server lists no backup of it".to_owned(),
            some => format!(
                "the server lists {some} that are in progress or empty, which are no backups"
            ),
        };
        let hint = match self.name.guest() {
            Some((_, vmid)) => format!("felhom-agent backup run {vmid}"),
            None => "back it up".to_owned(),
        };
        self.finding(codes::BACKUP_GROUP_EMPTY, detail, hint)
    }

    /// Only the newest can be on its way: a later one begins when it has ended.
    fn unfinished(&self) -> Option<Finding> {
        let newest = self.all.first().filter(|one| one.is_in_progress())?;
        let age = newest.age(self.now);
        if age <= self.expected.in_progress {
            return None;
        }
        let hours = age.as_secs() / 3600;
        let detail = format!(
            "{} was begun {hours} hours ago and has no manifest",
            newest.name
        );
        let again = match self.name.guest() {
            Some((_, vmid)) => format!("by felhom-agent backup run {vmid}"),
            None => "by hand".to_owned(),
        };
        let hint = format!(
            "felhom-agent status shows what runs; a broken one vanishes when its connection does, and is made again {again}"
        );
        Some(self.finding(codes::BACKUP_UNFINISHED, detail, hint))
    }

    fn encryption(&self, backups: &[&Snapshot]) -> Vec<Finding> {
        let table: [(Code, &[Encryption]); 3] = [
            (
                codes::BACKUP_NOT_ENCRYPTED,
                &[Encryption::Plain, Encryption::SignOnly],
            ),
            (codes::BACKUP_ENCRYPTION_MIXED, &[Encryption::Mixed]),
            (codes::BACKUP_ENCRYPTION_UNKNOWN, &[Encryption::Unknown]),
        ];
        let of = |(code, kinds): (Code, &[Encryption])| {
            let of_kind = backups
                .iter()
                .filter(|one| kinds.contains(&one.encryption()));
            let bad: Vec<&&Snapshot> = of_kind.collect();
            let newest = bad.first()?;
            let detail = format!(
                "{} of {} are {}, the newest of them {}",
                bad.len(),
                backups.len(),
                newest.encryption(),
                newest.name
            );
            let hint = format!(
                "see that the storage has a key (pvesm config {0}: `encryption-key`) and make a new backup; only when \
                 felhom-agent pbs audit passes that one, remove on the backup server what is readable",
                self.target.storage
            );
            Some(self.finding(code, detail, hint))
        };
        table.into_iter().filter_map(of).collect()
    }

    fn key(&self, newest: &Snapshot) -> Option<Finding> {
        let (made, has) = (newest.key?, self.expected.key?);
        if made == has {
            return None;
        }
        let detail = format!(
            "{} was made with {}, and the storage has {}: that key does not open it, and the kit of the former key does not \
             open what is backed up from now on",
            newest.name,
            made.short(),
            has.short()
        );
        let hint = format!(
            "first save the key that the box has now, which may have no kit: install -m 600 /etc/pve/priv/storage/{id}.enc FILE, \
             and FILE off the box; find the kit of {made}; only then put its key back (pvesm set {id} --encryption-key \
             FILE-OF-THE-KIT), or leave the new key, make a kit of it, and keep both",
            id = self.target.storage,
            made = made.short(),
        );
        Some(self.finding(codes::BACKUP_KEY_DIFFERS, detail, hint))
    }

    fn owner(&self, newest: &Snapshot) -> Option<Finding> {
        let (is, should) = (newest.owner.as_ref()?, self.expected.owner.as_ref()?);
        if is == should {
            return None;
        }
        let detail = format!(
            "{} belongs to `{is}`, and the storage backs up as `{should}`",
            newest.name
        );
        let namespace = &self.target.namespace;
        let namespace = if namespace.is_root() {
            String::new()
        } else {
            format!(" --ns '{namespace}'")
        };
        let hint = format!(
            "on the backup server, when both are yours: proxmox-backup-client change-owner {} '{should}'{namespace} \
             --repository {}",
            self.name, self.target.datastore
        );
        Some(self.finding(codes::BACKUP_OWNER_FOREIGN, detail, hint))
    }

    fn verified(&self, backups: &[&Snapshot]) -> Vec<Finding> {
        let ttl = self.expected.verify_ttl;
        let storage = &self.target.storage;
        let standing = |one: &Snapshot| one.standing(self.now, ttl);
        let mut found = Vec::new();
        let failed: Vec<&&Snapshot> = backups
            .iter()
            .filter(|one| standing(one) == VerifyStanding::Failed)
            .collect();
        let good = backups
            .iter()
            .find(|one| standing(one) == VerifyStanding::Ok);
        if let Some(newest) = failed.first() {
            let left = match good {
                Some(good) => {
                    let last = good.verification.as_ref();
                    let when =
                        last.map_or_else(String::new, |last| format!(" on {}", last.at().date()));
                    format!(
                        "{} verified well{when}, but may need what is damaged since: verify it first",
                        good.name
                    )
                }
                None => "none verified well within the time that is believed".to_owned(),
            };
            let detail = format!(
                "{} of {} failed their last verify, the newest of them {}; {left}",
                failed.len(),
                backups.len(),
                newest.name
            );
            let first = good.map_or_else(String::new, |good| {
                format!(
                    "; before a restore of the other: felhom-agent pbs verify {storage}:{}",
                    good.name
                )
            });
            let hint = format!(
                "felhom-agent pbs verify {storage}:{} names the damage{first}",
                newest.name
            );
            found.push(self.finding(codes::BACKUP_VERIFY_FAILED, detail, hint));
        }
        let oldest = backups
            .last()
            .map_or(Duration::ZERO, |one| one.age(self.now));
        if good.is_none() && failed.is_empty() && oldest > ttl {
            let days = ttl.as_secs() / 86_400;
            let detail = format!(
                "none of {} was verified within {days} days, so what the server says of them is not known",
                backups.len()
            );
            let hint = format!("felhom-agent pbs verify {storage}:{}", self.name);
            found.push(self.finding(codes::BACKUP_VERIFY_STALE, detail, hint));
        }
        found
    }
}
