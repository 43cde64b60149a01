//! Which guests are backed up now: those without a good backup first, then the one whose last is longest ago.

use super::{Chore, Desk, Now, PassGuest, Work, ago, would_be_late};
use crate::time::Timestamp;

impl Desk<'_> {
    pub(super) fn backups(&mut self, guests: &[&PassGuest]) {
        if self.schedule.backup.opens.is_empty() {
            self.unasked(Chore::Backups, "`[schedule] backup` names no time");
            return;
        }
        let window = self.window(&self.schedule.backup);
        let mut order: Vec<(Option<Timestamp>, &PassGuest)> = guests
            .iter()
            .map(|guest| (self.believed(&guest.good).max(), *guest))
            .collect();
        // A guest that fails keeps nobody waiting: what was tried lately goes behind what was not.
        order.sort_by_cached_key(|(last, guest)| {
            let tried = self.believed(&guest.failed).max();
            (*last.max(&tried), guest.vmid)
        });
        for (last, guest) in order {
            let work = Work::Backup { vmid: guest.vmid };
            match self.backup(guest, last, window) {
                Backup::Due(reason) => self.due(work, reason),
                Backup::Left(reason, next, overdue) => self.left(work, reason, next, overdue),
            }
        }
    }

    fn backup(&self, guest: &PassGuest, last: Option<Timestamp>, window: Now) -> Backup {
        let now = self.facts.now;
        let every = self.schedule.backup_every;
        let resting = self.resting(&guest.failed, last, window);
        let late = last.is_none_or(|last| last.plus(every) <= now);
        let wanted = match last {
            None if self.schedule.first_at_once && !window.may => {
                Some("it has no good backup yet, and the first one waits for no window".to_owned())
            }
            None if window.may => Some("it has no good backup yet".to_owned()),
            Some(last) if window.may && self.is_due(last, window) => {
                let age = ago(now, last);
                Some(format!("its last good backup is {age} old"))
            }
            None | Some(_) => None,
        };
        match (wanted, resting) {
            (Some(reason), None) => Backup::Due(reason),
            (Some(_), Some((reason, next))) => Backup::Left(reason, next, late),
            (None, _) => {
                let reason = match (last, window.may) {
                    (None, _) => "it has no good backup yet; the window is closed".to_owned(),
                    (Some(last), true) => format!("backed up {} ago", ago(now, last)),
                    (Some(last), false) => {
                        format!("backed up {} ago; the window is closed", ago(now, last))
                    }
                };
                Backup::Left(reason, window.next, late)
            }
        }
    }

    /// Once a window, when it would be too old before the window opens again; without windows, when it is too old.
    fn is_due(&self, last: Timestamp, window: Now) -> bool {
        let every = self.schedule.backup_every;
        match window.open {
            Some(open) => last < open.since && would_be_late(last, every, window.next),
            None => last.plus(every) <= self.facts.now,
        }
    }
}

enum Backup {
    Due(String),
    Left(String, Option<Timestamp>, bool),
}
