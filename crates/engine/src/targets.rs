//! Targets on removable disks: whether one may be used now, and what a person should know of it.

use std::time::Duration;

use felhom_ids::TargetName;
use serde::{Deserialize, Serialize};

use crate::finding::{Finding, codes};
use crate::storages::Attachment;
use crate::time::Timestamp;

/// Whether a target takes data, as far as that was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Takes {
    /// Nobody tried.
    Untold,
    /// What was written came back from the disk.
    Data,
    /// It is read-only.
    ReadOnly,
    /// It is full.
    Full,
}

/// How a target stands, as root sees it, beside what is remembered of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetLook {
    /// Its name.
    pub name: TargetName,
    /// Whether its disk is there, and the right one.
    pub standing: Attachment,
    /// Whether it is mounted.
    pub mounted: bool,
    /// Why it stands so.
    pub why: Option<String>,
    /// Whether it takes data.
    pub takes: Takes,
    /// When its disk was last seen, and at first when it was adopted.
    pub last_there: Timestamp,
    /// Whether somebody unmounted it to carry it away, and it has not been away since.
    pub leaving: bool,
}

/// Whether a target may be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// It is mounted.
    Ready,
    /// Its disk is there; it has to be mounted first.
    Mount,
    /// It is not there, as is to be expected of a disk that is carried around.
    Away(String),
    /// Another disk is in its place. Nothing may be written.
    Wrong(String),
    /// It is there, and takes no data.
    Unwritable(String),
    /// Nobody can say.
    Unknown(String),
}

const DAY_S: u64 = 24 * 3600;

impl TargetLook {
    /// Whether it may be used now; `write` says what for.
    pub fn admission(&self, write: bool) -> Admission {
        let why = |otherwise: &str| self.why.clone().unwrap_or_else(|| otherwise.to_owned());
        match (self.standing, self.takes) {
            (Attachment::Detached, _) => Admission::Away(why("its disk is not attached")),
            (Attachment::Wrong, _) => Admission::Wrong(why("another disk is in its place")),
            (Attachment::Unknown, _) => Admission::Unknown(why("nobody can say how it stands")),
            (Attachment::Attached, _) if self.leaving && !self.mounted => Admission::Away(
                "it was ejected to be unplugged, and is not mounted again before it was away"
                    .to_owned(),
            ),
            (Attachment::Attached, Takes::ReadOnly) if write => {
                Admission::Unwritable(why("its file system is read-only"))
            }
            (Attachment::Attached, Takes::Full) if write => {
                Admission::Unwritable(why("its file system is full"))
            }
            (Attachment::Attached, _) if self.mounted => Admission::Ready,
            (Attachment::Attached, _) => Admission::Mount,
        }
    }

    /// For how many whole days it has been away; none while it is there, or nobody can say.
    pub fn away_days(&self, now: Timestamp) -> Option<u64> {
        (self.standing == Attachment::Detached)
            .then(|| now.since(self.last_there).as_secs() / DAY_S)
    }
}

/// What a person should know of a target that may be away for so long.
pub fn target_findings(look: &TargetLook, away: Duration, now: Timestamp) -> Vec<Finding> {
    let subject = || format!("target {}", look.name);
    let why = |otherwise: &str| look.why.clone().unwrap_or_else(|| otherwise.to_owned());
    let name = &look.name;
    match look.standing {
        Attachment::Attached => unwritable(look).into_iter().collect(),
        Attachment::Detached if now.since(look.last_there) <= away => Vec::new(),
        Attachment::Detached => {
            let days = look.away_days(now).unwrap_or_default();
            let allowed = away.as_secs() / DAY_S;
            let detail = format!(
                "its disk was last seen {days} days ago, on {}; {allowed} are allowed",
                look.last_there.date()
            );
            let hint = format!(
                "plug it in; or, when it shall not come back: felhom-agent storage eject {name} --forget"
            );
            vec![Finding::new(codes::TARGET_AWAY_TOO_LONG, subject(), detail).hint(hint)]
        }
        Attachment::Wrong => {
            let hint = format!(
                "unplug what is not the target's disk and plug its own in; when the new one is meant: \
                 felhom-agent storage eject {name} --forget, then felhom-agent storage adopt UUID=… --name {name}"
            );
            let detail = why("another disk is in its place");
            vec![Finding::new(codes::TARGET_WRONG, subject(), detail).hint(hint)]
        }
        Attachment::Unknown => {
            let detail = why("nobody can say how it stands");
            let hint = "journalctl -u felhom-hostd; felhom-agent doctor says whether the root helper works";
            vec![Finding::new(codes::TARGET_UNKNOWN, subject(), detail).hint(hint)]
        }
    }
}

fn unwritable(look: &TargetLook) -> Option<Finding> {
    let subject = format!("target {}", look.name);
    match look.takes {
        Takes::Untold | Takes::Data => None,
        Takes::ReadOnly => {
            let detail = "its file system is mounted read-only, or the disk is";
            let hint = "dmesg says why; felhom-agent storage eject, then fsck on the disk, then plug it in again";
            Some(Finding::new(codes::TARGET_READ_ONLY, subject, detail).hint(hint))
        }
        Takes::Full => {
            let detail = "there is no room left on it";
            let hint = "felhom-agent backup prune, or a larger disk";
            Some(Finding::new(codes::TARGET_FULL, subject, detail).hint(hint))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEEK: Duration = Duration::from_hours(24 * 7);

    fn look(standing: Attachment, mounted: bool, takes: Takes) -> TargetLook {
        TargetLook {
            name: "usb1".parse().unwrap(),
            standing,
            mounted,
            why: None,
            takes,
            last_there: Timestamp::from_secs(0),
            leaving: false,
        }
    }

    fn after(days: i64) -> Timestamp {
        Timestamp::from_secs(days * 86_400)
    }

    #[test]
    fn only_the_right_disk_that_takes_data_is_written_to() {
        let of = |standing, mounted, takes| look(standing, mounted, takes).admission(true);
        assert_eq!(
            of(Attachment::Attached, true, Takes::Data),
            Admission::Ready
        );
        assert_eq!(
            of(Attachment::Attached, false, Takes::Untold),
            Admission::Mount
        );
        let unwritable = |takes| {
            matches!(
                of(Attachment::Attached, true, takes),
                Admission::Unwritable(_)
            )
        };
        assert!(unwritable(Takes::ReadOnly) && unwritable(Takes::Full));
        for mounted in [true, false] {
            for takes in [Takes::Untold, Takes::Data, Takes::ReadOnly, Takes::Full] {
                let admitted = |standing| look(standing, mounted, takes).admission(true);
                assert!(matches!(admitted(Attachment::Wrong), Admission::Wrong(_)));
                assert!(matches!(admitted(Attachment::Detached), Admission::Away(_)));
                assert!(matches!(
                    admitted(Attachment::Unknown),
                    Admission::Unknown(_)
                ));
            }
        }
    }

    #[test]
    fn what_is_read_only_or_full_may_be_read() {
        let read = |takes| look(Attachment::Attached, true, takes).admission(false);
        assert_eq!(read(Takes::ReadOnly), Admission::Ready);
        assert_eq!(read(Takes::Full), Admission::Ready);
    }

    #[test]
    fn what_was_ejected_is_not_mounted_again_before_it_was_away() {
        let leaving = TargetLook {
            leaving: true,
            ..look(Attachment::Attached, false, Takes::Untold)
        };
        assert!(matches!(leaving.admission(false), Admission::Away(_)));
    }

    #[test]
    fn nobody_is_alarmed_before_the_days_are_over() {
        let away = look(Attachment::Detached, false, Takes::Untold);
        assert!(target_findings(&away, WEEK, after(7)).is_empty());
        let found = target_findings(&away, WEEK, after(9));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].code, "target-away-too-long");
        assert!(
            found[0].detail.contains("9 days ago, on 1970-01-01; 7 are"),
            "{found:?}"
        );
        // A clock that went backwards alarms nobody.
        assert!(target_findings(&away, WEEK, after(-3)).is_empty());
    }

    #[test]
    fn another_disk_is_told_at_once() {
        let found = target_findings(
            &look(Attachment::Wrong, false, Takes::Untold),
            WEEK,
            after(0),
        );
        assert_eq!(found[0].code, "target-wrong");
        let found = target_findings(
            &look(Attachment::Unknown, false, Takes::Untold),
            WEEK,
            after(0),
        );
        assert_eq!(found[0].code, "target-unknown");
        let found = target_findings(
            &look(Attachment::Attached, true, Takes::Data),
            WEEK,
            after(99),
        );
        assert!(found.is_empty());
    }
}
