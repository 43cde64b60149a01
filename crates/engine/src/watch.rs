//! What follows from how things stand, and heals by itself when they stand otherwise: backups and proofs that failed or are
//! overdue, disks that fail or wear out, and heat.

use felhom_ids::Vmid;

use crate::backup::BackupVerdict;
use crate::finding::{Finding, codes};
use crate::judgement::Verdict;
use crate::posture::PostureLimits;

const DAY_S: i64 = 86_400;
/// One test that could not run is an hour that was not quiet; a second in a row is a rule.
const MOST_ERRORS: usize = 2;
/// A guest is locked for an hour, or a storage full for a night; a third refusal in a row is no accident.
const MOST_REFUSALS: usize = 3;
/// So much of a disk's life is used up that a new one should be at hand.
const WORN_PERCENT: u8 = 90;

/// What is known of one guest's backups and restore tests, while the guest is the same one. Ages are in seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestPast {
    /// The guest.
    pub vmid: Vmid,
    /// Whether the policy has it backed up.
    pub selected: bool,
    /// Whether restore tests are set up.
    pub tested: bool,
    /// Our last backup, and why it is not good.
    pub last_backup: Option<(BackupVerdict, Option<String>)>,
    /// Backups that were refused since the last good one, and why the last of them was.
    pub refusals: (usize, Option<String>),
    /// Age of the newest archive that the storages list.
    pub newest_archive_s: Option<i64>,
    /// The last verdict *passed* or *failed*, its age, and why.
    pub last_proof: Option<(Verdict, i64, Option<String>)>,
    /// Age of the first good backup that is known: since then there is something to prove.
    pub provable_s: Option<i64>,
    /// Tests in a row that could not run, up to the last one.
    pub errors: usize,
    /// Why the last of them could not.
    pub error: Option<String>,
}

/// What a person should know of it.
pub fn guest_findings(past: &GuestPast, limits: PostureLimits) -> Vec<Finding> {
    let subject = format!("guest {}", past.vmid);
    let mut found = Vec::new();
    let mut tell = |code, detail: String, hint: String| {
        found.push(Finding::new(code, &subject, detail).hint(hint));
    };
    let vmid = past.vmid;
    if let Some((detail, hint)) = failed(past) {
        tell(codes::BACKUP_FAILED, detail, hint);
    }
    if let Some((Verdict::Failed, _, why)) = &past.last_proof {
        tell(
            codes::RESTORE_TEST_FAILED,
            format!("its backup did not come back{}", because(why.as_ref())),
            format!("felhom-agent backup run {vmid}; then: felhom-agent restore-test run {vmid}"),
        );
    }
    if past.errors >= MOST_ERRORS {
        tell(
            codes::RESTORE_TEST_ERROR,
            format!(
                "the last {} restore tests could not run{}",
                past.errors,
                because(past.error.as_ref())
            ),
            format!("felhom-agent restore-test run {vmid} --dry-run says what is in the way"),
        );
    }
    if let Some(age) = past.newest_archive_s
        && past.selected
        && age > limits.stale_s
    {
        tell(
            codes::BACKUP_OVERDUE,
            format!("the newest backup is {} old", days(age)),
            format!("felhom-agent backup run {vmid}"),
        );
    }
    if past.selected
        && past.tested
        && let Some(detail) = unproven(past, limits)
    {
        let hint = format!("felhom-agent restore-test run {vmid}");
        tell(codes::PROOF_OVERDUE, detail, hint);
    }
    found
}

fn because(why: Option<&String>) -> String {
    why.map_or_else(String::new, |why| format!(": {why}"))
}

/// Why our last backups are none, and what to do.
fn failed(past: &GuestPast) -> Option<(String, String)> {
    let vmid = past.vmid;
    match &past.last_backup {
        Some((BackupVerdict::Failed, why)) => Some((
            format!("our last backup failed{}", because(why.as_ref())),
            format!("felhom-agent backup list {vmid}; then: felhom-agent backup run {vmid}"),
        )),
        Some((BackupVerdict::Undetermined, why)) => Some((
            format!(
                "our last backup ended without a verdict{}",
                because(why.as_ref())
            ),
            format!("felhom-agent backup run {vmid}"),
        )),
        Some((BackupVerdict::Good | BackupVerdict::Refused, _)) | None => {
            let (count, why) = &past.refusals;
            (past.selected && *count >= MOST_REFUSALS).then(|| {
                (
                    format!(
                        "the last {count} backups were refused{}",
                        because(why.as_ref())
                    ),
                    format!("felhom-agent backup run {vmid} --dry-run says what is in the way"),
                )
            })
        }
    }
}

/// Since when nothing was proven, when that is too long. What failed was proven, too.
fn unproven(past: &GuestPast, limits: PostureLimits) -> Option<String> {
    match &past.last_proof {
        Some((_, age, _)) if *age > limits.proof_stale_s => {
            Some(format!("the last restore test is {} old", days(*age)))
        }
        Some(_) => None,
        None => {
            let age = past.provable_s.filter(|age| *age > limits.proof_stale_s)?;
            let what = "there have been backups for";
            Some(format!("{what} {}, and none was ever proven", days(age)))
        }
    }
}

fn days(seconds: i64) -> String {
    match seconds / DAY_S {
        1 => "a day".to_owned(),
        days if days > 1 => format!("{days} days"),
        _ => format!("{} hours", seconds / 3600),
    }
}

/// What one disk says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskLook {
    /// `/dev/sda`.
    pub device: String,
    /// Its model.
    pub model: Option<String>,
    /// Whether it calls itself failing.
    pub failing: bool,
    /// How much of its life is used up.
    pub worn_percent: Option<u8>,
}

/// What a person should know of a disk.
pub fn disk_findings(disk: &DiskLook) -> Vec<Finding> {
    let device = &disk.device;
    let subject = format!("disk {device}");
    let which = disk
        .model
        .as_ref()
        .map_or_else(String::new, |model| format!(" ({model})"));
    let mut found = Vec::new();
    if disk.failing {
        let detail = format!("its SMART data says that it is failing{which}");
        let hint = format!(
            "smartctl -a {device}; back up what lies on it to another disk first, then replace it"
        );
        found.push(Finding::new(codes::DISK_FAILING, &subject, detail).hint(hint));
    }
    if let Some(worn) = disk.worn_percent.filter(|worn| *worn >= WORN_PERCENT) {
        let detail = format!("{worn} % of its life is used up{which}");
        let hint = format!("smartctl -a {device}; have another one at hand");
        found.push(Finding::new(codes::DISK_WORN, &subject, detail).hint(hint));
    }
    found
}

/// What a person should know of the sensors: one finding for each that reads what it calls critical itself.
pub fn heat(sensor: &str, celsius: f64, critical: Option<f64>) -> Option<Finding> {
    // A sensor without a sensible limit says nothing about heat.
    let limit = critical.filter(|limit| *limit > 0.0)?;
    (celsius >= limit).then(|| {
        let detail = format!("{celsius:.0} °C, and {limit:.0} °C are critical by its own word");
        let hint = "look at fans and dust; `felhom-agent host sensors` shows all of them";
        Finding::new(codes::TOO_HOT, format!("sensor {sensor}"), detail).hint(hint)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: PostureLimits = PostureLimits {
        stale_s: 2 * DAY_S,
        proof_stale_s: 8 * DAY_S,
    };

    fn well() -> GuestPast {
        GuestPast {
            refusals: (0, None),
            vmid: Vmid::new(101).unwrap(),
            selected: true,
            tested: true,
            last_backup: Some((BackupVerdict::Good, None)),
            newest_archive_s: Some(3600),
            last_proof: Some((Verdict::Passed, DAY_S, None)),
            provable_s: Some(90 * DAY_S),
            errors: 0,
            error: None,
        }
    }

    fn told(change: impl FnOnce(&mut GuestPast)) -> Vec<String> {
        let mut past = well();
        change(&mut past);
        let found = guest_findings(&past, LIMITS);
        assert!(found.iter().all(|one| one.subject == "guest 101"));
        assert!(found.iter().all(|one| one.hint.is_some()));
        found.into_iter().map(|one| one.code).collect()
    }

    #[test]
    fn one_refusal_is_no_news_and_a_third_is() {
        let codes = |count: usize| {
            let mut past = well();
            past.refusals = (count, Some("it is locked".to_owned()));
            let found = guest_findings(&past, LIMITS);
            found.into_iter().map(|one| one.code).collect::<Vec<_>>()
        };
        assert!(codes(2).is_empty());
        assert_eq!(codes(3), ["backup-failed"]);
    }

    #[test]
    fn a_guest_that_is_well_is_not_told_of() {
        assert_eq!(told(|_| ()), Vec::<String>::new());
        assert_eq!(told(|past| past.errors = 1), Vec::<String>::new());
        let refused = Some((BackupVerdict::Refused, None));
        assert_eq!(
            told(|past| past.last_backup = refused),
            Vec::<String>::new()
        );
    }

    #[test]
    fn each_trouble_has_its_code() {
        for verdict in [BackupVerdict::Failed, BackupVerdict::Undetermined] {
            let last = Some((verdict, Some("no space".to_owned())));
            assert_eq!(told(|past| past.last_backup = last), ["backup-failed"]);
        }
        let failed = Some((Verdict::Failed, 60, None));
        assert_eq!(
            told(|past| past.last_proof = failed),
            ["restore-test-failed"]
        );
        assert_eq!(told(|past| past.errors = 2), ["restore-test-error"]);
        let old = Some(2 * DAY_S + 1);
        assert_eq!(told(|past| past.newest_archive_s = old), ["backup-overdue"]);
        let old = Some((Verdict::Passed, 8 * DAY_S + 1, None));
        assert_eq!(told(|past| past.last_proof = old), ["proof-overdue"]);
        assert_eq!(told(|past| past.last_proof = None), ["proof-overdue"]);
    }

    #[test]
    fn nothing_is_overdue_that_nobody_wants_or_that_has_just_begun() {
        let none: Vec<String> = Vec::new();
        assert_eq!(
            told(|past| {
                (past.last_proof, past.provable_s) = (None, Some(DAY_S));
            }),
            none
        );
        assert_eq!(
            told(|past| {
                (past.selected, past.last_proof) = (false, None);
                past.newest_archive_s = Some(90 * DAY_S);
            }),
            none
        );
        assert_eq!(
            told(|past| {
                (past.tested, past.last_proof) = (false, None);
            }),
            none
        );
    }

    #[test]
    fn disks_and_sensors_are_told_by_their_own_word() {
        let mut disk = DiskLook {
            device: "/dev/sda".into(),
            model: None,
            failing: false,
            worn_percent: Some(89),
        };
        assert!(disk_findings(&disk).is_empty());
        (disk.failing, disk.worn_percent) = (true, Some(90));
        let codes: Vec<_> = disk_findings(&disk)
            .into_iter()
            .map(|one| one.code)
            .collect();
        assert_eq!(codes, ["disk-failing", "disk-worn"]);
        assert!(heat("coretemp", 99.9, Some(100.0)).is_none());
        assert!(heat("coretemp", 120.0, None).is_none());
        assert!(heat("coretemp", 50.0, Some(0.0)).is_none());
        assert!(heat("coretemp", 100.0, Some(100.0)).is_some());
    }
}
